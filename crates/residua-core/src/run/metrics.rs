//! How good a run is.

use serde::{Deserialize, Serialize};

use crate::metrics::bootstrap::ConfidenceInterval;
use crate::metrics::judgement::Judgement;
use crate::metrics::multilabel::MultilabelEvaluation;
use crate::metrics::{ClassScore, ClassificationSummary};
use crate::precision::Precision;
use crate::task::{Measure, Task};

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
    /// Seconds spent training and validating, over all processes of the run.
    pub seconds: f64,
    /// Median over epochs of training images per second; of those that showed images of full size, where the
    /// first ones showed smaller ones.
    pub train_images_per_second: f64,
    /// Share of the time of training steps, 0 to 1, in which training waited for the loader; more than
    /// a few hundredths say that more workers, or a cache, would make it faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_share: Option<f64>,
    /// What the evaluations found.
    #[serde(flatten)]
    pub results: RunResults,
}

/// What the evaluations of a run found, by its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunResults {
    /// Of images of one class each.
    SingleLabel(Box<SingleLabelResults>),
    /// Of images of any number of classes.
    MultiLabel(Box<MultiLabelResults>),
}

/// What evaluations found of images of one class each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SingleLabelResults {
    /// Accuracy of the weights after the last epoch.
    pub last_accuracy: f64,
    /// The evaluation of the best checkpoint.
    pub evaluation: ClassificationSummary,
    /// How far its figures can be trusted, and where the network is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
}

/// What evaluations found of images of any number of classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiLabelResults {
    /// Mean area under the ROC curve of the weights after the last epoch.
    pub last_roc_auc: f64,
    /// The evaluation of the best checkpoint.
    pub multilabel: MultilabelEvaluation,
}

impl RunMetrics {
    /// What the run was trained for.
    pub fn task(&self) -> Task {
        match self.results {
            RunResults::SingleLabel(_) => Task::SingleLabel,
            RunResults::MultiLabel(_) => Task::MultiLabel,
        }
    }

    /// The figure that [`RunMetrics::score`] gives.
    pub fn measure(&self) -> Measure {
        self.task().measure()
    }

    /// How good the best checkpoint is: its accuracy, or the mean area under the ROC curve.
    pub fn score(&self) -> f64 {
        match &self.results {
            RunResults::SingleLabel(results) => results.evaluation.accuracy,
            RunResults::MultiLabel(results) => results.multilabel.scores.score(),
        }
    }

    /// The same figure of the weights after the last epoch.
    pub fn last_score(&self) -> f64 {
        match &self.results {
            RunResults::SingleLabel(results) => results.last_accuracy,
            RunResults::MultiLabel(results) => results.last_roc_auc,
        }
    }

    /// How far [`RunMetrics::score`] could be off for other images; `None` where that was not judged.
    pub fn score_interval(&self) -> Option<ConfidenceInterval> {
        match &self.results {
            RunResults::SingleLabel(results) => {
                let judgement = results.judgement.as_ref()?;
                Some(judgement.intervals.accuracy)
            }
            RunResults::MultiLabel(results) => Some(results.multilabel.intervals.macro_roc_auc),
        }
    }

    /// Number of images that were evaluated.
    pub fn images(&self) -> u64 {
        match &self.results {
            RunResults::SingleLabel(results) => results.evaluation.images,
            RunResults::MultiLabel(results) => results.multilabel.scores.images,
        }
    }

    /// The figures of each class, in the order of the labels.
    pub fn class_scores(&self) -> &[ClassScore] {
        match &self.results {
            RunResults::SingleLabel(results) => &results.evaluation.per_class,
            RunResults::MultiLabel(results) => &results.multilabel.decisions.per_label,
        }
    }

    /// The results, where each image has one class.
    pub fn single_label(&self) -> Option<&SingleLabelResults> {
        match &self.results {
            RunResults::SingleLabel(results) => Some(results),
            RunResults::MultiLabel(_) => None,
        }
    }

    /// The results, where an image has any number of classes.
    pub fn multi_label(&self) -> Option<&MultiLabelResults> {
        match &self.results {
            RunResults::SingleLabel(_) => None,
            RunResults::MultiLabel(results) => Some(results),
        }
    }
}
