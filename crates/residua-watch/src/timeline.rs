//! The state of a run, folded from its events.

mod points;
#[cfg(test)]
mod tests;
mod time;

use jiff::Timestamp;
use residua_core::run::{Event, ResumePoint};
use residua_core::task::{Measure, Task};

use crate::format::{clock, counted};

pub use points::{EpochPoint, LogLevel, LogLine, QuarantinedImage, Start, StepPoint};

/// What is known of a run from the events so far: the same whether they were seen one by one while
/// it went on, or all at once years later.
///
/// Only the log remembers what a [`Event::Resume`] takes back; curves and sums do not, as in
/// [`RunFolder::events`](residua_core::run::RunFolder::events).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    start: Option<Start>,
    steps: Vec<StepPoint>,
    epochs: Vec<EpochPoint>,
    quarantined: Vec<QuarantinedImage>,
    resumes: Vec<ResumePoint>,
    log: Vec<LogLine>,
    step: u64,
    ending: Option<Ending>,
    anchor: Option<Anchor>,
    time: Option<Timestamp>,
}

/// What the last event says about how the process ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Interrupted,
    Failed,
    Finished { best: f64, seconds: f64 },
}

/// A moment of which both the time of day and the training time are known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Anchor {
    time: Timestamp,
    seconds: f64,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunStatus {
    /// Nothing was recorded yet: data are still being read.
    Waiting,
    /// A process is training it.
    Training,
    /// It has not ended, and no process is training it: that one was killed. It can be resumed.
    Stopped,
    /// It was interrupted, after a checkpoint. It can be resumed.
    Interrupted,
    /// It could not go on: its loss was no number any more, say.
    Failed,
    /// It has ended.
    Finished,
}

impl RunStatus {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Training => "training",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Finished => "finished",
        }
    }

    /// Whether nothing more is to be expected unless the run is resumed.
    pub fn is_over(self) -> bool {
        match self {
            Self::Waiting | Self::Training => false,
            Self::Stopped | Self::Interrupted | Self::Failed | Self::Finished => true,
        }
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Timeline {
    /// Takes in the next event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Start { time, .. } => self.begin(event, time),
            Event::Quarantine { path, reason } => {
                self.say(LogLevel::Warning, format!("left out {path}: {reason}"));
                self.quarantined.push(QuarantinedImage {
                    path: path.clone(),
                    reason: reason.clone(),
                });
            }
            Event::Step { step, .. } => {
                self.goes_on(*step);
                let seconds = self.seconds_at_step(event);
                self.steps.extend(StepPoint::from_event(event, seconds));
                self.time = self.time_now();
            }
            Event::Epoch { step, .. } => {
                self.goes_on(*step);
                self.end_epoch(event);
            }
            Event::Checkpoint { step, name } => self.saved(*step, name),
            Event::Resume {
                step,
                finished_epochs,
                time,
            } => {
                let point = ResumePoint {
                    step: *step,
                    finished_epochs: *finished_epochs,
                };
                self.rewind(point, time);
            }
            Event::Warning { message, .. } => self.say(LogLevel::Warning, message.clone()),
            Event::Interrupted { step, time } => {
                self.step = *step;
                self.ending = Some(Ending::Interrupted);
                self.time = time.parse().ok().or(self.time);
                let after = counted(*step, "step", "steps");
                self.say(LogLevel::Warning, format!("interrupted after {after}"));
            }
            Event::Failed { step, time, reason } => {
                self.step = *step;
                self.ending = Some(Ending::Failed);
                self.time = time.parse().ok().or(self.time);
                self.say(LogLevel::Error, format!("failed: {reason}"));
            }
            Event::End {
                step,
                time,
                best_accuracy,
                best_roc_auc,
                seconds,
            } => {
                self.step = *step;
                self.ending = Some(Ending::Finished {
                    best: best_roc_auc.unwrap_or(*best_accuracy),
                    seconds: *seconds,
                });
                self.time = time.parse().ok().or(self.time);
                let best = self.named(best_roc_auc.unwrap_or(*best_accuracy));
                let text = format!("finished in {}; best {best}", clock(*seconds));
                self.say(LogLevel::Success, text);
            }
        }
    }

    /// A new beginning forgets everything: a run has one [`Event::Start`].
    fn begin(&mut self, event: &Event, time: &str) {
        let start = Start::from_event(event);
        *self = Self {
            time: time.parse().ok(),
            ..Self::default()
        };
        self.anchor = self.time.map(|time| Anchor { time, seconds: 0.0 });
        if let Some(start) = &start {
            let text = format!(
                "training {} on {}: {}, {}",
                start.model,
                start.data,
                counted(start.epochs, "epoch", "epochs"),
                counted(start.steps, "step", "steps"),
            );
            self.say(LogLevel::Information, text);
        }
        self.start = start;
    }

    /// Training goes on: this step is done.
    fn goes_on(&mut self, step: u64) {
        self.step = step;
        self.ending = None;
    }

    fn end_epoch(&mut self, event: &Event) {
        let best_before = self.best_epoch().map(EpochPoint::score);
        let Some(point) = EpochPoint::from_event(event, self.seconds_of_epochs()) else {
            return;
        };
        let is_best = best_before.is_none_or(|best| point.score() > best);
        let text = format!(
            "epoch {}: validation loss {:.4}, {}{}",
            point.epoch,
            point.validation_loss,
            self.named(point.score()),
            if is_best { ", the best so far" } else { "" },
        );
        self.epochs.push(point);
        self.time = self.time_now();
        let level = if is_best {
            LogLevel::Success
        } else {
            LogLevel::Information
        };
        self.say(level, text);
    }

    /// Each epoch is saved, which is not worth a line; what is saved in between is.
    fn saved(&mut self, step: u64, name: &str) {
        if self.epochs.last().is_none_or(|epoch| epoch.step != step) {
            let text = format!("checkpoint '{name}' after step {step}");
            self.say(LogLevel::Information, text);
        }
    }

    fn rewind(&mut self, point: ResumePoint, time: &str) {
        self.steps.retain(|step| point.keeps_step(step.step));
        self.epochs.retain(|epoch| point.keeps_epoch(epoch.epoch));
        self.goes_on(point.step);
        self.time = time.parse().ok().or(self.time);
        self.anchor = self.time.map(|time| Anchor {
            time,
            seconds: self.elapsed_seconds(),
        });
        self.resumes.push(point);
        let text = format!("resumed after step {}", point.step);
        self.say(LogLevel::Information, text);
    }

    fn say(&mut self, level: LogLevel, text: String) {
        self.log.push(LogLine {
            time: self.time,
            level,
            text,
        });
    }

    /// A score with what it is called.
    fn named(&self, score: f64) -> String {
        let measure = self.measure();
        format!("{} {}", measure.name(), measure.written(score))
    }

    /// The figure by which epochs are compared.
    pub fn measure(&self) -> Measure {
        let task = self
            .start
            .as_ref()
            .map_or(Task::default(), |start| start.task);
        task.measure()
    }

    /// The facts that the first event states.
    pub fn start(&self) -> Option<&Start> {
        self.start.as_ref()
    }

    /// All recorded steps, in order.
    pub fn steps(&self) -> &[StepPoint] {
        &self.steps
    }

    /// The latest recorded step of the epoch that is going on.
    pub fn current_step(&self) -> Option<&StepPoint> {
        let going_on = |step: &&StepPoint| step.epoch > self.finished_epochs();
        self.steps.last().filter(going_on)
    }

    /// All finished epochs, in order.
    pub fn epochs(&self) -> &[EpochPoint] {
        &self.epochs
    }

    /// The first of the epochs with the best validation, whose weights are kept.
    pub fn best_epoch(&self) -> Option<&EpochPoint> {
        self.epochs.iter().reduce(|best, epoch| {
            if epoch.score() > best.score() {
                epoch
            } else {
                best
            }
        })
    }

    /// The best validation so far, by [`Timeline::measure`].
    pub fn best_score(&self) -> Option<f64> {
        match self.ending {
            Some(Ending::Finished { best, .. }) => Some(best),
            _ => self.best_epoch().map(EpochPoint::score),
        }
    }

    /// Images that are left out because they cannot be read.
    pub fn quarantined(&self) -> &[QuarantinedImage] {
        &self.quarantined
    }

    /// The checkpoints from which the run was continued.
    pub fn resumes(&self) -> &[ResumePoint] {
        &self.resumes
    }

    /// What happened, in words. It includes what was done again after a resume.
    pub fn log(&self) -> &[LogLine] {
        &self.log
    }

    /// The last step that is known to be done; 0 before the first.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The number of epochs that were finished and validated.
    pub fn finished_epochs(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// The epoch that is going on, or the last when none is; from 1.
    pub fn current_epoch(&self) -> u64 {
        let planned = self.start.as_ref().map_or(u64::MAX, |start| start.epochs);
        (self.finished_epochs().saturating_add(1)).min(planned.max(1))
    }

    /// The share of the planned steps that is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        match &self.start {
            Some(start) if start.steps > 0 => {
                (self.step as f64 / start.steps as f64).clamp(0.0, 1.0)
            }
            _ => 0.0,
        }
    }

    /// Where the run stands, given whether a process holds its log
    /// ([`RunFolder::is_being_written`](residua_core::run::RunFolder::is_being_written)).
    pub fn status(&self, being_written: bool) -> RunStatus {
        match (self.ending, &self.start) {
            (Some(Ending::Finished { .. }), _) => RunStatus::Finished,
            (Some(Ending::Interrupted), _) => RunStatus::Interrupted,
            (Some(Ending::Failed), _) => RunStatus::Failed,
            (None, Some(_)) if being_written => RunStatus::Training,
            (None, Some(_)) => RunStatus::Stopped,
            (None, None) => RunStatus::Waiting,
        }
    }
}
