//! How good predictions are where an image may have several labels at once, or none.
//!
//! Each label has a score of its own (usually the sigmoid of a logit, but any finite number) and is
//! predicted where the score is at least a threshold. Averages over labels are those of
//! scikit-learn's multi-label metrics with `zero_division=0`: *macro* counts every label the same,
//! *micro* counts every pair of sample and label the same.
//!
//! [`MultilabelPredictions`] takes scores of any kind. [`LabelledImages`] are logits, with all that is
//! to be said of them in one [`MultilabelEvaluation`]. [`MultilabelCounts`] adds the decisions of several
//! evaluations up.

mod counts;
mod evaluation;
mod thresholds;

use serde::{Deserialize, Serialize};

use super::ranking::{BinaryRanking, RankingScore};
use super::{Average, ClassScore, MetricError, mean_of_defined};

use counts::Answer;
pub use counts::MultilabelCounts;
pub use evaluation::{LabelCurves, LabelledImages, MultilabelEvaluation, MultilabelScores};

/// Scores and truth `[samples, labels]`, row by row, checked: of equal length, whole rows, finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultilabelPredictions<'a> {
    scores: &'a [f32],
    targets: &'a [bool],
    labels: usize,
}

/// What [`MultilabelPredictions::at_thresholds`] reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultilabelSummary {
    /// Number of samples.
    pub samples: u64,
    /// One entry for each label. A ratio whose denominator is zero is 0.
    pub per_label: Vec<ClassScore>,
    /// Every label counts the same, those that never occur included (with 0).
    pub macro_average: Average,
    /// Every pair of sample and label counts the same.
    pub micro_average: Average,
    /// Share of samples of which every label is right; `None` without samples.
    pub exact_match_ratio: Option<f64>,
    /// Share of pairs of sample and label that are wrong; `None` without pairs.
    pub hamming_loss: Option<f64>,
}

/// What [`MultilabelPredictions::rankings`] reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultilabelRanking {
    /// One entry for each label.
    pub per_label: Vec<RankingScore>,
    /// All pairs of sample and label in one ranking.
    pub micro: RankingScore,
    /// Mean of the areas that are defined; `None` where none is.
    pub macro_roc_auc: Option<f64>,
    /// Mean of the average precisions that are defined; `None` where none is.
    pub macro_average_precision: Option<f64>,
}

impl<'a> MultilabelPredictions<'a> {
    /// From scores and truth, both `[samples, labels]`.
    ///
    /// # Errors
    /// When the lengths differ or are not whole rows, or a score is not finite (with the sample and
    /// the label).
    pub fn new(scores: &'a [f32], targets: &'a [bool], labels: usize) -> Result<Self, MetricError> {
        if targets.len() != scores.len() {
            return Err(MetricError::WrongLength {
                what: "truth values, one for each score,",
                expected: scores.len(),
                found: targets.len(),
            });
        }
        if !(scores.is_empty() || (labels > 0 && scores.len().is_multiple_of(labels))) {
            return Err(MetricError::NotWholeRows {
                found: scores.len(),
                classes: labels,
            });
        }
        if let Some(place) = scores.iter().position(|score| !score.is_finite()) {
            let problem = MetricError::ValueNotFinite {
                what: "score of label",
                index: place % labels,
                value: f64::from(scores[place]),
            };
            return Err(problem.at_sample(place / labels));
        }
        Ok(Self {
            scores,
            targets,
            labels,
        })
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.scores.len() / self.labels.max(1)
    }

    /// Number of labels.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// All figures with one threshold for all labels.
    ///
    /// # Errors
    /// When the threshold is not finite.
    pub fn at_threshold(&self, threshold: f32) -> Result<MultilabelSummary, MetricError> {
        if !threshold.is_finite() {
            return Err(MetricError::Setting {
                name: "the threshold",
                value: f64::from(threshold),
                expected: "a finite number",
            });
        }
        Ok(self.summary(|_| threshold))
    }

    /// All figures with a threshold for each label: it is predicted where its score is at least the
    /// threshold.
    ///
    /// # Errors
    /// When the number of thresholds is not that of labels or one is not finite.
    pub fn at_thresholds(&self, thresholds: &[f32]) -> Result<MultilabelSummary, MetricError> {
        if thresholds.len() != self.labels {
            return Err(MetricError::WrongLength {
                what: "thresholds, one for each label,",
                expected: self.labels,
                found: thresholds.len(),
            });
        }
        if let Some(index) = thresholds.iter().position(|value| !value.is_finite()) {
            return Err(MetricError::ValueNotFinite {
                what: "threshold of label",
                index,
                value: f64::from(thresholds[index]),
            });
        }
        Ok(self.summary(|label| thresholds[label]))
    }

    /// Area under the ROC curve and average precision, which need no threshold.
    pub fn rankings(&self) -> MultilabelRanking {
        let per_label: Vec<RankingScore> = (0..self.labels)
            .map(|label| RankingScore::from(&self.ranking(label, self.labels)))
            .collect();
        MultilabelRanking {
            micro: RankingScore::from(&self.ranking(0, 1)),
            macro_roc_auc: mean_of_defined(per_label.iter().map(|score| score.roc_auc)),
            macro_average_precision: mean_of_defined(
                per_label.iter().map(|score| score.average_precision),
            ),
            per_label,
        }
    }

    /// The ranking of the samples by the score of one label, for its curves; `None` where there is
    /// no such label.
    pub fn label_ranking(&self, label: usize) -> Option<BinaryRanking> {
        (label < self.labels).then(|| self.ranking(label, self.labels))
    }

    /// The scores of one label with the truth.
    pub(super) fn column(&self, label: usize) -> impl Iterator<Item = (f32, bool)> {
        let pairs = self
            .scores
            .iter()
            .copied()
            .zip(self.targets.iter().copied());
        pairs.skip(label).step_by(self.labels.max(1))
    }

    /// The ranking of every `step`-th pair of sample and label.
    fn ranking(&self, first: usize, step: usize) -> BinaryRanking {
        let pairs = self.scores.iter().zip(self.targets);
        let pairs = pairs.skip(first).step_by(step);
        BinaryRanking::from_finite(
            pairs
                .map(|(&score, &target)| (f64::from(score), target))
                .collect(),
        )
    }

    fn summary(&self, threshold: impl Fn(usize) -> f32) -> MultilabelSummary {
        let mut counts = MultilabelCounts::new(self.labels);
        let width = self.labels.max(1);
        for (scores, targets) in self.scores.chunks(width).zip(self.targets.chunks(width)) {
            let pairs = scores.iter().zip(targets).enumerate();
            counts.record(pairs.map(|(label, (&score, &is_true))| Answer {
                is_predicted: score >= threshold(label),
                is_true,
            }));
        }
        counts.summary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_made_counts() {
        let scores = [0.9, 0.5, 0.4, 0.1, 0.8, 0.7];
        let targets = [true, false, true, false, true, true];
        let predictions = MultilabelPredictions::new(&scores, &targets, 2).unwrap();
        let result = predictions.at_threshold(0.5).unwrap();
        assert_eq!((result.samples, result.per_label[0].support), (3, 3));
        assert_eq!(result.per_label[0].precision, 1.0);
        assert_eq!(result.per_label[0].recall, 2.0 / 3.0);
        assert_eq!(result.per_label[1].precision, 0.5);
        assert_eq!(result.micro_average.precision, 0.75);
        assert_eq!(result.micro_average.recall, 0.75);
        assert_eq!(result.macro_average.precision, 0.75);
        assert_eq!(result.exact_match_ratio, Some(1.0 / 3.0));
        assert_eq!(result.hamming_loss, Some(2.0 / 6.0));
        let strict = predictions.at_thresholds(&[0.4, 0.6]).unwrap();
        assert_eq!(strict.exact_match_ratio, Some(1.0));
        assert_eq!(predictions.label_ranking(1).unwrap().roc_auc(), Some(1.0));
        assert_eq!(predictions.label_ranking(2), None);
    }

    #[test]
    fn absent_labels_and_no_samples_are_defined() {
        let predictions = MultilabelPredictions::new(&[0.1, 0.9], &[false, true], 2).unwrap();
        let result = predictions.at_threshold(0.5).unwrap();
        assert_eq!(
            (result.per_label[0].f1, result.macro_average.f1),
            (0.0, 0.5)
        );
        assert_eq!(predictions.rankings().macro_roc_auc, None);
        assert_eq!(predictions.rankings().micro.roc_auc, Some(1.0));
        for labels in [0, 3] {
            let empty = MultilabelPredictions::new(&[], &[], labels).unwrap();
            let result = empty.at_threshold(0.5).unwrap();
            assert_eq!(
                (result.exact_match_ratio, result.hamming_loss),
                (None, None)
            );
            assert_eq!(result.macro_average.f1, 0.0);
            assert_eq!(empty.rankings().per_label.len(), labels);
            assert_eq!(empty.rankings().micro.average_precision, None);
        }
    }

    #[test]
    fn bad_input_is_refused_with_the_place() {
        let targets = [true, false, true, false];
        let error = MultilabelPredictions::new(&[0.1, 0.2, 0.3, f32::NAN], &targets, 2);
        assert_eq!(
            error.unwrap_err().to_string(),
            "sample 1: the score of label 1 is NaN: expected a finite number"
        );
        assert!(MultilabelPredictions::new(&[0.1], &targets, 1).is_err());
        assert!(MultilabelPredictions::new(&[0.1; 4], &targets, 3).is_err());
        assert!(MultilabelPredictions::new(&[0.1; 4], &targets, 0).is_err());
        let predictions = MultilabelPredictions::new(&[0.1; 4], &targets, 2).unwrap();
        assert!(predictions.at_threshold(f32::NAN).is_err());
        assert!(predictions.at_thresholds(&[0.5]).is_err());
        assert!(predictions.at_thresholds(&[0.5, f32::INFINITY]).is_err());
    }
}
