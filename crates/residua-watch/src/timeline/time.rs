//! Times of a run. Only starts, resumes and ends say what time it was; the rest follows from the
//! seconds and the speeds that the events state, so that it does not depend on when they are read.

use jiff::{SignedDuration, Timestamp};
use residua_core::run::Event;

use super::{Ending, StepPoint, Timeline};

impl Timeline {
    /// When the latest event happened, as far as its time can be told: starts, resumes and ends
    /// state theirs, and the others were so many seconds of training after the last of these.
    /// Reading data and writing checkpoints is not counted, which makes times a little early.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// Seconds spent training and validating, over all processes of the run, without what was lost
    /// and done again.
    pub fn elapsed_seconds(&self) -> f64 {
        if let Some(Ending::Finished { seconds, .. }) = self.ending {
            return seconds;
        }
        let steps = self.steps.last().map_or(0.0, |step| step.seconds);
        self.seconds_of_epochs().max(steps)
    }

    /// Estimated seconds to the end: the steps that remain at the latest speed, and validations as
    /// long as the latest (before the first, they are not counted). None before the first speed. While a
    /// run shows the smaller images of its first epochs, the estimate is too short.
    pub fn remaining_seconds(&self) -> Option<f64> {
        let start = self.start.as_ref()?;
        if matches!(self.ending, Some(Ending::Finished { .. })) {
            return Some(0.0);
        }
        let speed = match (self.current_step(), self.epochs.last()) {
            (Some(step), _) => step.images_per_second,
            (None, Some(epoch)) => epoch.images_per_second,
            (None, None) => return None,
        };
        let epochs = start.epochs.saturating_sub(self.finished_epochs()) as f64;
        let validation = self.epochs.last().map_or(0.0, |e| e.validation_seconds);
        let images = (1.0 - self.progress()) * start.epochs as f64 * start.train_images as f64;
        Some(images / speed + epochs * validation).filter(|seconds| seconds.is_finite())
    }

    /// Training speed between recorded steps, in images per second, oldest first. Events state the
    /// mean since the epoch began; this is what it was in between.
    pub fn speeds(&self) -> Vec<f64> {
        let first = self.steps.first().map(|step| step.images_per_second);
        let others = self.steps.windows(2).map(|pair| {
            let speed = self.speed_between(&pair[0], &pair[1]);
            speed.unwrap_or(pair[1].images_per_second)
        });
        first.into_iter().chain(others).collect()
    }

    fn speed_between(&self, before: &StepPoint, after: &StepPoint) -> Option<f64> {
        if before.epoch != after.epoch {
            return None;
        }
        let images = self.images_in_epoch(after.step, after.epoch)?
            - self.images_in_epoch(before.step, before.epoch)?;
        let speed = images / (after.seconds - before.seconds);
        (speed.is_finite() && speed >= 0.0).then_some(speed)
    }

    /// The optimiser updates of one epoch, where the plan tells.
    pub(crate) fn steps_per_epoch(&self) -> Option<f64> {
        let start = self.start.as_ref()?;
        (start.steps > 0 && start.epochs > 0).then(|| start.steps as f64 / start.epochs as f64)
    }

    /// The training images that were seen from the beginning of `epoch` up to `step`.
    fn images_in_epoch(&self, step: u64, epoch: u64) -> Option<f64> {
        let start = self.start.as_ref()?;
        let per_epoch = self.steps_per_epoch()?;
        let share = step as f64 / per_epoch - epoch.saturating_sub(1) as f64;
        Some(share.clamp(0.0, 1.0) * start.train_images as f64)
    }

    pub(super) fn seconds_of_epochs(&self) -> f64 {
        self.epochs.last().map_or(0.0, |epoch| epoch.seconds)
    }

    pub(super) fn seconds_at_step(&self, event: &Event) -> f64 {
        let Event::Step {
            step,
            epoch,
            images_per_second,
            ..
        } = event
        else {
            return self.elapsed_seconds();
        };
        let seconds = self
            .images_in_epoch(*step, *epoch)
            .map(|images| images / images_per_second)
            .filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        self.seconds_of_epochs() + seconds.unwrap_or(0.0)
    }

    /// The time that the seconds since the last stated time lead to.
    pub(super) fn time_now(&self) -> Option<Timestamp> {
        let anchor = self.anchor?;
        let seconds = self.elapsed_seconds() - anchor.seconds;
        let passed = SignedDuration::try_from_secs_f64(seconds).ok()?;
        anchor.time.checked_add(passed).ok()
    }
}
