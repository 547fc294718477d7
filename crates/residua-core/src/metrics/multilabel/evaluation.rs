//! Everything about one set of logits that decide about one class each.

use serde::{Deserialize, Serialize};

use super::{MultilabelPredictions, MultilabelRanking, MultilabelSummary};
use crate::metrics::MetricError;
use crate::metrics::bootstrap::{AreaIntervals, BootstrapSettings, area_intervals};
use crate::metrics::probabilities::sigmoid;
use crate::metrics::ranking::{PrecisionRecallPoint, RocPoint};
use crate::seed::SeedStream;

/// Points of a curve that is kept: more than a page can show.
const CURVE_POINTS: usize = 64;

/// What a network said of some images, each of which shows any number of classes.
#[derive(Debug, Clone, Copy)]
pub struct LabelledImages<'a> {
    /// `[N, classes]`; probabilities are their sigmoids.
    pub logits: &'a [f32],
    /// Whether the image shows the class, `[N, classes]`.
    pub truth: &'a [bool],
    /// Number of classes.
    pub classes: usize,
}

/// The figures that need no thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultilabelScores {
    /// Number of images.
    pub images: u64,
    /// Binary cross entropy in nats, averaged over images and classes; 0 without any.
    pub loss: f64,
    /// Share of the decisions about a class that are right where it is predicted from a probability of a
    /// half on; 0 without any.
    pub accuracy: f64,
    /// How well the logits of each class rank the images.
    pub ranking: MultilabelRanking,
}

/// How good a network is at images of any number of classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultilabelEvaluation {
    /// What needs no thresholds.
    #[serde(flatten)]
    pub scores: MultilabelScores,
    /// Probability from which each class is predicted.
    pub thresholds: Vec<f32>,
    /// How good the decisions at these thresholds are.
    pub decisions: MultilabelSummary,
    /// Classes of an image, on average (the label cardinality); `None` without images.
    pub label_cardinality: Option<f64>,
    /// Classes that are predicted of an image, on average.
    pub predicted_cardinality: Option<f64>,
    /// By resampling the images.
    pub intervals: AreaIntervals,
    /// The curves of each class.
    pub curves: Vec<LabelCurves>,
}

/// The curves of a class, thinned; without points where the class has no positives or no negatives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelCurves {
    /// True positive rate against false positive rate.
    pub roc: Vec<RocPoint>,
    /// Precision against recall.
    pub precision_recall: Vec<PrecisionRecallPoint>,
}

impl MultilabelScores {
    /// The figures of some images.
    ///
    /// # Errors
    /// When the lengths do not fit, or a logit is not finite.
    pub fn new(images: LabelledImages<'_>) -> Result<Self, MetricError> {
        let predictions = images.by_logit()?;
        let pairs = || images.logits.iter().zip(images.truth);
        let share = |sum: f64| match images.logits.len() {
            0 => 0.0,
            count => sum / count as f64,
        };
        let right = pairs().filter(|(logit, truth)| (**logit >= 0.0) == **truth);
        Ok(Self {
            images: predictions.samples() as u64,
            loss: share(
                pairs()
                    .map(|(logit, truth)| cross_entropy(*logit, *truth))
                    .sum(),
            ),
            accuracy: share(right.count() as f64),
            ranking: predictions.rankings(),
        })
    }

    /// The figure by which networks are compared: the mean area under the ROC curve; a half, which is
    /// no knowledge, where no class has one.
    pub fn score(&self) -> f64 {
        self.ranking.macro_roc_auc.unwrap_or(0.5)
    }
}

impl LabelledImages<'_> {
    /// For each class the threshold with the highest F1 on these images
    /// ([`MultilabelPredictions::best_thresholds`]).
    ///
    /// # Errors
    /// When the lengths do not fit, or a logit is not finite.
    pub fn best_thresholds(&self) -> Result<Vec<f32>, MetricError> {
        self.by_logit()?;
        let probabilities = self.probabilities();
        Ok(self.ranked_by(&probabilities)?.best_thresholds())
    }

    /// All figures, with these thresholds. The intervals are drawn from a stream of their own, so that
    /// they depend on logits and truth alone.
    ///
    /// # Errors
    /// When the lengths do not fit, or a logit or a threshold is not finite.
    pub fn evaluate(&self, thresholds: &[f32]) -> Result<MultilabelEvaluation, MetricError> {
        let scores = MultilabelScores::new(*self)?;
        // Ranked by logits: their sigmoids round to 1 where they are large.
        let by_logit = self.by_logit()?;
        let probabilities = self.probabilities();
        let decisions = self.ranked_by(&probabilities)?.at_thresholds(thresholds)?;
        let stream = SeedStream::new(0).child("bootstrap");
        let cardinality =
            |count: u64| (scores.images > 0).then(|| count as f64 / scores.images as f64);
        let labels = decisions.per_label.iter();
        let (support, predicted) = labels.fold((0, 0), |(support, predicted), label| {
            (support + label.support, predicted + label.predicted)
        });
        Ok(MultilabelEvaluation {
            thresholds: thresholds.to_vec(),
            label_cardinality: cardinality(support),
            predicted_cardinality: cardinality(predicted),
            intervals: area_intervals(&by_logit, BootstrapSettings::default(), stream)?,
            curves: curves(&by_logit),
            decisions,
            scores,
        })
    }

    fn by_logit(&self) -> Result<MultilabelPredictions<'_>, MetricError> {
        self.ranked_by(self.logits)
    }

    fn ranked_by<'s>(
        &'s self,
        scores: &'s [f32],
    ) -> Result<MultilabelPredictions<'s>, MetricError> {
        MultilabelPredictions::new(scores, self.truth, self.classes)
    }

    fn probabilities(&self) -> Vec<f32> {
        self.logits
            .iter()
            .map(|&logit| sigmoid(logit) as f32)
            .collect()
    }
}

/// `-ln` of the probability of the truth, without rounding to 0 or infinity.
fn cross_entropy(logit: f32, truth: bool) -> f64 {
    let logit = f64::from(if truth { logit } else { -logit });
    (-logit.abs()).exp().ln_1p() - logit.min(0.0)
}

fn curves(predictions: &MultilabelPredictions<'_>) -> Vec<LabelCurves> {
    let probability = |logit: f64| sigmoid(logit as f32);
    (0..predictions.labels())
        .filter_map(|label| predictions.label_ranking(label))
        .map(|ranking| {
            let ranking = ranking.with_thresholds(probability);
            LabelCurves {
                roc: ranking.roc_curve(CURVE_POINTS).unwrap_or_default(),
                precision_recall: { ranking.precision_recall_curve(CURVE_POINTS) }
                    .unwrap_or_default(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [2.0, -1.0, 0.5, 3.0, -0.5, -2.0];
    const TRUTH: [bool; 6] = [true, false, false, true, true, false];

    fn images() -> LabelledImages<'static> {
        LabelledImages {
            logits: &LOGITS,
            truth: &TRUTH,
            classes: 2,
        }
    }

    #[test]
    fn hand_made_figures() {
        let scores = MultilabelScores::new(images()).unwrap();
        // torch.nn.functional.binary_cross_entropy_with_logits of the six numbers.
        assert!(
            (scores.loss - 0.427_309_838_256_354).abs() < 1e-12,
            "{}",
            scores.loss
        );
        assert_eq!((scores.images, scores.accuracy), (3, 4.0 / 6.0));
        assert_eq!(scores.ranking.per_label[0].roc_auc, Some(0.5));
        assert_eq!(scores.score(), 0.75);
        // Class 0: all three are predicted for F1 = 4/5. Class 1: perfect at a half.
        let thresholds = images().best_thresholds().unwrap();
        let lowest = sigmoid(-0.5) as f32;
        assert_eq!(thresholds, [lowest / 2.0, 0.5]);
        let found = images().evaluate(&thresholds).unwrap();
        assert_eq!(found.scores, scores);
        assert_eq!(found.decisions.per_label[0].f1, 0.8);
        assert_eq!(found.decisions.exact_match_ratio, Some(2.0 / 3.0));
        assert_eq!(found.label_cardinality, Some(1.0));
        assert_eq!(found.predicted_cardinality, Some(4.0 / 3.0));
        assert_eq!(found.curves[1].roc.last().unwrap().true_positive_rate, 1.0);
        let highest = found.curves[1].roc[1].threshold.unwrap();
        assert!((highest - sigmoid(3.0)).abs() < 1e-12);
        let text = serde_json::to_string(&found).unwrap();
        let again: MultilabelEvaluation = serde_json::from_str(&text).unwrap();
        assert_eq!(again, found);
    }

    #[test]
    fn logits_whose_sigmoids_round_to_one_are_still_ranked() {
        let images = LabelledImages {
            logits: &[50.0, 60.0],
            truth: &[false, true],
            classes: 1,
        };
        let scores = MultilabelScores::new(images).unwrap();
        assert_eq!(scores.ranking.macro_roc_auc, Some(1.0));
        assert!((scores.loss - 25.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_defined_without_images_and_bad_input_is_refused() {
        let empty = LabelledImages {
            logits: &[],
            truth: &[],
            classes: 2,
        };
        let found = empty.evaluate(&[0.5, 0.5]).unwrap();
        assert_eq!((found.scores.loss, found.scores.score()), (0.0, 0.5));
        assert_eq!(found.label_cardinality, None);
        assert_eq!(found.curves[0], LabelCurves::default());
        assert!(images().evaluate(&[0.5]).is_err());
        let logits = [f32::NAN; 6];
        let broken = LabelledImages {
            logits: &logits,
            ..images()
        };
        assert!(broken.best_thresholds().is_err());
        assert!(MultilabelScores::new(broken).is_err());
    }
}
