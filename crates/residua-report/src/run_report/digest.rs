//! The events of a run as they count in the end.

use residua_core::precision::Precision;
use residua_core::run::{Environment, Event};
use residua_core::task::{Measure, Task};

/// What the events say. Where a run was continued, what it did again replaces what it had done.
#[derive(Debug, Default)]
pub(super) struct Digest<'a> {
    pub(super) start: Option<Start<'a>>,
    pub(super) epochs: Vec<Epoch>,
    pub(super) steps: Vec<Step>,
    pub(super) ending: Ending<'a>,
}

/// How training began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) time: &'a str,
    pub(super) model: &'a str,
    pub(super) data: &'a str,
    pub(super) parameters: u64,
    pub(super) precision: Precision,
    pub(super) train_images: u64,
    pub(super) validation_images: u64,
    pub(super) steps: u64,
    pub(super) epochs: u64,
    pub(super) seed: u64,
    pub(super) task: Task,
    pub(super) environment: &'a Environment,
}

/// An epoch that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch {
    pub(super) epoch: u64,
    pub(super) step: u64,
    pub(super) train_loss: f64,
    pub(super) train_accuracy: f64,
    pub(super) validation_loss: f64,
    pub(super) validation_accuracy: f64,
    pub(super) validation_roc_auc: Option<f64>,
    pub(super) learning_rate: f64,
    pub(super) train_seconds: f64,
    pub(super) validation_seconds: f64,
    pub(super) images_per_second: f64,
}

/// Progress within an epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) step: u64,
    pub(super) loss: f64,
    pub(super) accuracy: f64,
    pub(super) learning_rate: f64,
    pub(super) images_per_second: f64,
}

/// How training ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Ending<'a> {
    /// Nothing says that it did: it goes on, or its process was killed.
    #[default]
    Unknown,
    /// It was stopped after a checkpoint.
    Interrupted {
        /// Last finished step.
        step: u64,
    },
    /// It could not go on.
    Failed {
        /// What happened.
        reason: &'a str,
    },
    /// It reached its end.
    Reached,
}

impl Epoch {
    /// The figure by which epochs are compared.
    pub(super) fn score(&self) -> f64 {
        self.validation_roc_auc.unwrap_or(self.validation_accuracy)
    }
}

impl<'a> Digest<'a> {
    pub(super) fn new(events: &'a [Event]) -> Self {
        let mut digest = Self::default();
        for event in events {
            digest.add(event);
        }
        digest
    }

    fn add(&mut self, event: &'a Event) {
        match event {
            Event::Start {
                time,
                model,
                data,
                parameters,
                precision,
                train_images,
                validation_images,
                steps,
                epochs,
                seed,
                task,
                environment,
                ..
            } => {
                self.start = Some(Start {
                    time,
                    model,
                    data,
                    parameters: *parameters,
                    precision: *precision,
                    train_images: *train_images,
                    validation_images: *validation_images,
                    steps: *steps,
                    epochs: *epochs,
                    seed: *seed,
                    task: *task,
                    environment,
                });
            }
            Event::Step {
                step,
                loss,
                accuracy,
                learning_rate,
                images_per_second,
                ..
            } => self.steps.push(Step {
                step: *step,
                loss: *loss,
                accuracy: *accuracy,
                learning_rate: *learning_rate,
                images_per_second: *images_per_second,
            }),
            Event::Epoch {
                step,
                epoch,
                train_loss,
                train_accuracy,
                validation_loss,
                validation_accuracy,
                validation_roc_auc,
                learning_rate,
                train_seconds,
                validation_seconds,
                images_per_second,
                ..
            } => self.epochs.push(Epoch {
                epoch: *epoch,
                step: *step,
                train_loss: *train_loss,
                train_accuracy: *train_accuracy,
                validation_loss: *validation_loss,
                validation_accuracy: *validation_accuracy,
                validation_roc_auc: *validation_roc_auc,
                learning_rate: *learning_rate,
                train_seconds: *train_seconds,
                validation_seconds: *validation_seconds,
                images_per_second: *images_per_second,
            }),
            Event::Resume {
                step: from,
                finished_epochs,
                ..
            } => {
                self.steps.retain(|step| step.step <= *from);
                self.epochs.retain(|epoch| epoch.epoch <= *finished_epochs);
                self.ending = Ending::Unknown;
            }
            Event::Interrupted { step, .. } => {
                self.ending = Ending::Interrupted { step: *step };
            }
            Event::Failed { reason, .. } => self.ending = Ending::Failed { reason },
            Event::End { .. } => self.ending = Ending::Reached,
            Event::Quarantine { .. } | Event::Checkpoint { .. } | Event::Warning { .. } => {}
        }
    }

    /// The figure by which epochs are compared.
    pub(super) fn measure(&self) -> Measure {
        let task = self.start.map_or(Task::default(), |start| start.task);
        task.measure()
    }

    /// The epoch with the best validation; among equals the first.
    pub(super) fn best(&self) -> Option<Epoch> {
        let finite = self.epochs.iter().copied();
        let finite = finite.filter(|epoch| epoch.score().is_finite());
        finite.reduce(|best, epoch| {
            if epoch.score() > best.score() {
                epoch
            } else {
                best
            }
        })
    }

    /// Optimiser updates of an epoch; `None` where nobody said how many were planned.
    pub(super) fn steps_per_epoch(&self) -> Option<f64> {
        let start = self.start?;
        (start.steps > 0 && start.epochs > 0).then(|| start.steps as f64 / start.epochs as f64)
    }
}
