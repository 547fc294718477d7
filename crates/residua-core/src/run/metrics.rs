//! How good a run is.

use serde::{Deserialize, Serialize};

use crate::metrics::ClassificationSummary;
use crate::metrics::judgement::Judgement;
use crate::precision::Precision;

/// `metrics.json`: how good the run's best checkpoint is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMetrics {
    /// Form of this file: `residua.run-metrics/1`.
    pub schema: String,
    /// Catalog name of the network.
    pub model: String,
    /// Data specification.
    pub data: String,
    /// Name of the split that was evaluated.
    pub split: String,
    /// Class names in the order of the labels.
    pub classes: Vec<String>,
    /// Trainable parameters.
    pub parameters: u64,
    /// The format of feature maps in training.
    #[serde(default)]
    pub precision: Precision,
    /// Epochs trained.
    pub epochs: u64,
    /// Epoch of the best checkpoint.
    pub best_epoch: u64,
    /// Accuracy of the weights after the last epoch.
    pub last_accuracy: f64,
    /// Seconds spent training and validating, over all processes of the run.
    pub seconds: f64,
    /// Median over epochs of training images per second.
    pub train_images_per_second: f64,
    /// Share of the time of training steps, 0 to 1, in which training waited for the loader; more than
    /// a few hundredths say that more workers, or a cache, would make it faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_share: Option<f64>,
    /// The evaluation of the best checkpoint.
    pub evaluation: ClassificationSummary,
    /// How far its figures can be trusted, and where the network is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
}
