//! The parts of a time line.

use jiff::Timestamp;
use residua_core::precision::Precision;
use residua_core::run::Event;
use residua_core::task::Task;

/// The facts with which a run begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// When it began; none when the file states no valid time.
    pub time: Option<Timestamp>,
    /// Catalog name of the network.
    pub model: String,
    /// Data specification.
    pub data: String,
    /// Trainable parameters.
    pub parameters: u64,
    /// The format of feature maps.
    pub precision: Precision,
    /// Training images.
    pub train_images: u64,
    /// Validation images.
    pub validation_images: u64,
    /// Optimiser updates planned.
    pub steps: u64,
    /// Epochs planned.
    pub epochs: u64,
    /// What is asked about an image.
    pub task: Task,
    /// Class names in the order of the labels; empty in runs of early versions.
    pub classes: Vec<String>,
    /// The device of the network; empty in runs of early versions.
    pub device: String,
}

impl Start {
    pub(super) fn from_event(event: &Event) -> Option<Self> {
        let Event::Start {
            time,
            model,
            data,
            parameters,
            precision,
            train_images,
            validation_images,
            steps,
            epochs,
            task,
            classes,
            environment,
            ..
        } = event
        else {
            return None;
        };
        Some(Self {
            time: time.parse().ok(),
            model: model.clone(),
            data: data.clone(),
            parameters: *parameters,
            precision: *precision,
            train_images: *train_images,
            validation_images: *validation_images,
            steps: *steps,
            epochs: *epochs,
            task: *task,
            classes: classes.clone(),
            device: environment.device.clone(),
        })
    }

    /// The name of a class; its number where the run does not name its classes.
    pub fn class_name(&self, label: usize) -> String {
        match self.classes.get(label) {
            Some(name) => name.clone(),
            None => format!("class {label}"),
        }
    }
}

/// Progress within an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPoint {
    /// The step, from 1.
    pub step: u64,
    /// Its epoch, from 1.
    pub epoch: u64,
    /// Training loss, averaged since the epoch began.
    pub loss: f64,
    /// Training accuracy, averaged since the epoch began; a fraction.
    pub accuracy: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Images per second, averaged since the epoch began.
    pub images_per_second: f64,
    /// Seconds spent training and validating since the run began, derived from the speed.
    pub seconds: f64,
}

impl StepPoint {
    pub(super) fn from_event(event: &Event, seconds: f64) -> Option<Self> {
        let Event::Step {
            step,
            epoch,
            loss,
            accuracy,
            learning_rate,
            images_per_second,
        } = event
        else {
            return None;
        };
        Some(Self {
            step: *step,
            epoch: *epoch,
            loss: *loss,
            accuracy: *accuracy,
            learning_rate: *learning_rate,
            images_per_second: *images_per_second,
            seconds,
        })
    }
}

/// A finished epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochPoint {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Its last step.
    pub step: u64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Mean training accuracy, a fraction.
    pub train_accuracy: f64,
    /// Validation loss.
    pub validation_loss: f64,
    /// Validation accuracy, a fraction.
    pub validation_accuracy: f64,
    /// The mean area under the ROC curve on the validation images, where images show any number of
    /// classes.
    pub validation_roc_auc: Option<f64>,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Seconds spent on validation.
    pub validation_seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
    /// Share of each class's validation images that were recognised, in the order of the labels.
    pub class_accuracies: Vec<Option<f64>>,
    /// The area under the ROC curve of each class, where images show any number of them.
    pub class_roc_aucs: Vec<Option<f64>>,
    /// Seconds spent training and validating since the run began.
    pub seconds: f64,
}

impl EpochPoint {
    /// `before` is the seconds spent on the epochs before.
    pub(super) fn from_event(event: &Event, before: f64) -> Option<Self> {
        let Event::Epoch {
            step,
            epoch,
            train_loss,
            train_accuracy,
            validation_loss,
            validation_accuracy,
            learning_rate,
            train_seconds,
            validation_seconds,
            images_per_second,
            class_accuracies,
            validation_roc_auc,
            class_roc_aucs,
            ..
        } = event
        else {
            return None;
        };
        Some(Self {
            epoch: *epoch,
            step: *step,
            train_loss: *train_loss,
            train_accuracy: *train_accuracy,
            validation_loss: *validation_loss,
            validation_accuracy: *validation_accuracy,
            validation_roc_auc: *validation_roc_auc,
            learning_rate: *learning_rate,
            validation_seconds: *validation_seconds,
            images_per_second: *images_per_second,
            class_accuracies: class_accuracies.clone(),
            class_roc_aucs: class_roc_aucs.clone(),
            seconds: before + train_seconds + validation_seconds,
        })
    }
}

impl EpochPoint {
    /// The figure by which epochs are compared.
    pub fn score(&self) -> f64 {
        self.validation_roc_auc.unwrap_or(self.validation_accuracy)
    }

    /// What is known of each class: its share of recognised images, or its area under the ROC curve.
    pub fn class_scores(&self) -> &[Option<f64>] {
        match self.validation_roc_auc {
            Some(_) => &self.class_roc_aucs,
            None => &self.class_accuracies,
        }
    }
}

/// An image that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedImage {
    /// Where it is.
    pub path: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// It went on as planned.
    Information,
    /// It went well.
    Success,
    /// It may need a look.
    Warning,
    /// It went wrong.
    Error,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When ([`Timeline::time`](super::Timeline::time)); none when the run states no valid times.
    pub time: Option<Timestamp>,
    /// How much it matters.
    pub level: LogLevel,
    /// What happened.
    pub text: String,
}
