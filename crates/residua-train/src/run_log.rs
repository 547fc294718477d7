//! What a run writes into `events.jsonl`.

use residua_core::metrics::ClassScore;
use residua_core::run::{Environment, Event, EventLog, RunFolder};
use residua_data::UnreadableImage;

use crate::checkpoint::{Best, EpochSums, TrainingState};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::evaluation::Summary;
use crate::observer::{Plan, StepReport};

/// Steps between progress events.
const STEPS_PER_EVENT: u64 = 10;

/// The events of one run, in the words of the training loop.
#[derive(Debug)]
pub(crate) struct RunLog(EventLog);

impl RunLog {
    pub(crate) fn open(folder: &RunFolder) -> Result<Self, TrainError> {
        Ok(Self(folder.append_events()?))
    }

    pub(crate) fn started(
        &mut self,
        plan: &Plan,
        config: &TrainConfig,
        environment: Environment,
        quarantined: &[UnreadableImage],
    ) -> Result<(), TrainError> {
        self.record(&Event::Start {
            schema: "residua.events/1".to_owned(),
            time: now(),
            model: plan.model.clone(),
            data: config.data.to_string(),
            parameters: plan.parameters,
            precision: plan.precision,
            train_images: plan.train_images,
            validation_images: plan.validation_images,
            steps: plan.steps,
            epochs: plan.epochs,
            seed: config.seed,
            task: plan.task,
            classes: plan.classes.clone(),
            environment,
        })?;
        for image in quarantined {
            self.record(&Event::Quarantine {
                path: image.path.clone(),
                reason: image.reason.clone(),
            })?;
        }
        Ok(())
    }

    pub(crate) fn resumed(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        self.record(&Event::Resume {
            step: state.step,
            finished_epochs: state.finished_epochs,
            time: now(),
        })
    }

    /// Every tenth step is recorded.
    pub(crate) fn stepped(&mut self, report: &StepReport) -> Result<(), TrainError> {
        if !report.step.is_multiple_of(STEPS_PER_EVENT) {
            return Ok(());
        }
        self.record(&Event::Step {
            step: report.step,
            epoch: report.epoch,
            loss: report.loss,
            accuracy: report.accuracy,
            learning_rate: report.learning_rate,
            images_per_second: report.images_per_second,
        })
    }

    /// An epoch whose training sums and validation are these; `state` is the state after it.
    pub(crate) fn epoch_ended(
        &mut self,
        state: &TrainingState,
        sums: &EpochSums,
        validation: &Summary,
        validation_seconds: f64,
        learning_rate: f64,
    ) -> Result<(), TrainError> {
        self.record(&Event::Epoch {
            step: state.step,
            epoch: state.finished_epochs,
            train_loss: sums.mean_loss(),
            train_accuracy: sums.accuracy(),
            validation_loss: validation.loss(),
            validation_accuracy: validation.accuracy(),
            learning_rate,
            train_seconds: sums.seconds,
            waiting_seconds: sums.waiting_seconds,
            validation_seconds,
            images_per_second: sums.speed(),
            class_accuracies: class_accuracies(validation),
            validation_roc_auc: validation.roc_auc(),
            class_roc_aucs: class_roc_aucs(validation),
        })
    }

    pub(crate) fn saved(&mut self, step: u64, name: &str) -> Result<(), TrainError> {
        let name = name.to_owned();
        self.record(&Event::Checkpoint { step, name })
    }

    pub(crate) fn warned(&mut self, step: u64, message: String) -> Result<(), TrainError> {
        self.record(&Event::Warning {
            step,
            time: now(),
            message,
        })
    }

    pub(crate) fn interrupted(&mut self, step: u64) -> Result<(), TrainError> {
        self.record(&Event::Interrupted { step, time: now() })
    }

    pub(crate) fn failed(&mut self, step: u64, reason: &TrainError) -> Result<(), TrainError> {
        self.record(&Event::Failed {
            step,
            time: now(),
            reason: reason.to_string(),
        })
    }

    pub(crate) fn ended(&mut self, step: u64, best: Best, seconds: f64) -> Result<(), TrainError> {
        self.record(&Event::End {
            step,
            time: now(),
            best_accuracy: best.accuracy,
            best_roc_auc: best.roc_auc,
            seconds,
        })
    }

    fn record(&mut self, event: &Event) -> Result<(), TrainError> {
        Ok(self.0.record(event)?)
    }
}

/// Of images of one class each: the share of each class's images that were recognised.
fn class_accuracies(validation: &Summary) -> Vec<Option<f64>> {
    let Summary::SingleLabel(summary) = validation else {
        return Vec::new();
    };
    let scores = summary.per_class.iter();
    let share = |score: &ClassScore| (score.support > 0).then_some(score.recall);
    scores.map(share).collect()
}

fn class_roc_aucs(validation: &Summary) -> Vec<Option<f64>> {
    let Summary::MultiLabel(scores) = validation else {
        return Vec::new();
    };
    let labels = scores.ranking.per_label.iter();
    labels.map(|label| label.roc_auc).collect()
}

/// The time in UTC as RFC 3339 has it.
fn now() -> String {
    jiff::Timestamp::now()
        .round(jiff::Unit::Second)
        .map_or_else(|_| String::new(), |time| time.to_string())
}
