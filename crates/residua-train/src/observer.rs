//! What somebody who watches a run is told.

use residua_core::precision::Precision;
use residua_core::task::Task;
use residua_data::UnreadableImage;
use residua_weights::LoadReport;
use serde_json::{Map, Value};

use crate::network::Network;

/// What is about to be trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Catalog name of the network.
    pub model: String,
    /// In what it differs from the published one, as a record keeps it.
    pub variations: Map<String, Value>,
    /// Trainable parameters.
    pub parameters: u64,
    /// The format of feature maps in training.
    pub precision: Precision,
    /// Training images.
    pub train_images: u64,
    /// Validation images.
    pub validation_images: u64,
    /// Name of the split that validates.
    pub validation_split: String,
    /// What is asked about an image.
    pub task: Task,
    /// Class names in the order of the labels.
    pub classes: Vec<String>,
    /// Epochs in all.
    pub epochs: u64,
    /// Optimiser updates in all.
    pub steps: u64,
    /// Updates that are done already, when a run is continued.
    pub finished_steps: u64,
}

/// One optimiser update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The update, counted from 1.
    pub step: u64,
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// Mean loss since the epoch began.
    pub loss: f64,
    /// Training accuracy since the epoch began; where images show any number of classes, the share of the
    /// answers about classes that are right.
    pub accuracy: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Images per second since the epoch began.
    pub images_per_second: f64,
}

/// One finished epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochReport {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Training accuracy, as of [`StepReport`].
    pub train_accuracy: f64,
    /// Validation loss.
    pub validation_loss: f64,
    /// Validation accuracy.
    pub validation_accuracy: f64,
    /// The mean area under the ROC curve, by which epochs are compared where images show any number of
    /// classes.
    pub validation_roc_auc: Option<f64>,
    /// Whether it is the best so far.
    pub is_best: bool,
    /// Training images per second.
    pub images_per_second: f64,
    /// Share of the time of training in which it waited for the loader, 0 to 1.
    pub waiting_share: f64,
    /// Height and width of its training images, where they were smaller than those of later epochs.
    pub smaller_images: Option<[usize; 2]>,
}

/// Watches a run. All methods do nothing unless implemented.
pub trait Observer {
    /// Image files are being checked before training.
    fn checking(&self, _done: usize, _total: usize) {}
    /// These images cannot be read and are left out.
    fn quarantined(&mut self, _images: &[UnreadableImage]) {}
    /// The network starts from the values of a file.
    fn weights_loaded(&mut self, _report: &LoadReport) {}
    /// Training begins.
    fn started(&mut self, _plan: &Plan) {}
    /// An update is done.
    fn stepped(&mut self, _report: &StepReport) {}
    /// This is the network after an update; step 0 is before the first.
    fn network(&mut self, _step: u64, _network: &Network) {}
    /// Validation has seen this many images.
    fn validating(&mut self, _done: u64, _total: u64) {}
    /// Something that does not stop the run, and that its user should know.
    fn warned(&mut self, _message: &str) {}
    /// An epoch is done.
    fn epoch_ended(&mut self, _report: &EpochReport) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
