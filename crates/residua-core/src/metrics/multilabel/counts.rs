//! Decisions about labels, counted.

use super::MultilabelSummary;
use crate::metrics::{Average, ClassScore, MetricError};

/// Counts decisions about the labels of samples and summarises them.
///
/// The counts of several summaries can be added up, each with thresholds of its own: those of the folds of a
/// cross-validation. Forman and Scholz 2010, "Apples-to-Apples in Cross-Validation Studies", find F1 from
/// summed counts the least biased of the ways to get one F1 of all folds. Areas under curves cannot be had
/// from counts; the same paper averages them over folds, since scores of different networks are on
/// different scales.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultilabelCounts {
    labels: Vec<LabelCounts>,
    samples: u64,
    /// Samples of which every label is right.
    exact: u64,
    /// Pairs of sample and label that are wrong.
    wrong: u64,
}

/// What is counted for a label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LabelCounts {
    hits: u64,
    support: u64,
    predicted: u64,
}

/// What is said of a label of a sample, and what is true.
pub(super) struct Answer {
    pub(super) is_predicted: bool,
    pub(super) is_true: bool,
}

impl MultilabelCounts {
    /// Nothing yet, for this number of labels.
    pub fn new(labels: usize) -> Self {
        Self {
            labels: vec![LabelCounts::default(); labels],
            samples: 0,
            exact: 0,
            wrong: 0,
        }
    }

    /// Adds a sample, of which there is an answer for each label.
    pub(super) fn record(&mut self, answers: impl Iterator<Item = Answer>) {
        let mut wrong = 0;
        for (label, answer) in self.labels.iter_mut().zip(answers) {
            label.hits += u64::from(answer.is_predicted && answer.is_true);
            label.support += u64::from(answer.is_true);
            label.predicted += u64::from(answer.is_predicted);
            wrong += u64::from(answer.is_predicted != answer.is_true);
        }
        self.samples += 1;
        self.exact += u64::from(wrong == 0);
        self.wrong += wrong;
    }

    /// Adds all samples of a summary, such as that of another fold. Shares of counts become the counts
    /// again, without a loss.
    ///
    /// # Errors
    /// When the summary is not of as many labels.
    pub fn absorb(&mut self, summary: &MultilabelSummary) -> Result<(), MetricError> {
        if summary.per_label.len() != self.labels.len() {
            return Err(MetricError::WrongLength {
                what: "labels in a summary",
                expected: self.labels.len(),
                found: summary.per_label.len(),
            });
        }
        for (label, score) in self.labels.iter_mut().zip(&summary.per_label) {
            add(&mut label.hits, counted(Some(score.recall), score.support));
            add(&mut label.support, score.support);
            add(&mut label.predicted, score.predicted);
        }
        let pairs = summary.samples.saturating_mul(self.labels.len() as u64);
        add(&mut self.samples, summary.samples);
        add(
            &mut self.exact,
            counted(summary.exact_match_ratio, summary.samples),
        );
        add(&mut self.wrong, counted(summary.hamming_loss, pairs));
        Ok(())
    }

    /// All figures at once.
    pub fn summary(&self) -> MultilabelSummary {
        let mut all = LabelCounts::default();
        for label in &self.labels {
            add(&mut all.hits, label.hits);
            add(&mut all.support, label.support);
            add(&mut all.predicted, label.predicted);
        }
        let per_label: Vec<ClassScore> = self.labels.iter().map(LabelCounts::score).collect();
        let mean = |value: fn(&ClassScore) -> f64| {
            per_label.iter().map(value).sum::<f64>() / self.labels.len().max(1) as f64
        };
        let micro = all.score();
        let share = |count: u64, of: u64| (of > 0).then(|| count as f64 / of as f64);
        MultilabelSummary {
            samples: self.samples,
            macro_average: Average {
                precision: mean(|score| score.precision),
                recall: mean(|score| score.recall),
                f1: mean(|score| score.f1),
            },
            micro_average: Average {
                precision: micro.precision,
                recall: micro.recall,
                f1: micro.f1,
            },
            exact_match_ratio: share(self.exact, self.samples),
            hamming_loss: share(
                self.wrong,
                self.samples.saturating_mul(self.labels.len() as u64),
            ),
            per_label,
        }
    }
}

impl LabelCounts {
    fn score(&self) -> ClassScore {
        ClassScore::from_counts(self.hits, self.support, self.predicted)
    }
}

/// Adds to a count. Those of a damaged file may be of any size.
fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}

/// The count of which this is the share.
fn counted(share: Option<f64>, of: u64) -> u64 {
    share.map_or(0, |share| (share * of as f64).round() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::multilabel::MultilabelPredictions;

    fn summary(scores: &[f32], targets: &[bool], thresholds: &[f32]) -> MultilabelSummary {
        let predictions = MultilabelPredictions::new(scores, targets, thresholds.len()).unwrap();
        predictions.at_thresholds(thresholds).unwrap()
    }

    /// Two folds whose scores are on different scales, so that no threshold would do for both.
    #[test]
    fn each_summary_keeps_its_own_thresholds() {
        let first = summary(
            &[0.2, 0.9, 0.1, 0.8],
            &[true, true, false, true],
            &[0.2, 0.5],
        );
        let second = summary(&[0.7, 0.1], &[false, false], &[0.8, 0.5]);
        let mut counts = MultilabelCounts::new(2);
        counts.absorb(&first).unwrap();
        counts.absorb(&second).unwrap();
        let found = counts.summary();
        assert_eq!((found.samples, found.exact_match_ratio), (3, Some(1.0)));
        assert_eq!(
            (found.per_label[0].support, found.per_label[1].support),
            (1, 2)
        );
        assert_eq!(found.macro_average.f1, 1.0);
    }

    #[test]
    fn a_summary_of_other_labels_is_refused() {
        let other = summary(&[0.5], &[true], &[0.5]);
        let error = MultilabelCounts::new(2).absorb(&other).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected 2 labels in a summary and found 1"
        );
        // Nothing is the sum of nothing.
        let none = MultilabelCounts::new(2).summary();
        assert_eq!((none.exact_match_ratio, none.hamming_loss), (None, None));
        assert_eq!(none.per_label.len(), 2);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(
            samples in vec((any::<[bool; 3]>(), any::<[bool; 3]>()), 0..80),
            cut in 0_usize..80,
        ) {
            let of = |samples: &[([bool; 3], [bool; 3])]| {
                let predicted = samples.iter().flat_map(|(predicted, _)| predicted);
                let scores: Vec<f32> = predicted.map(|yes| f32::from(u8::from(*yes))).collect();
                let targets: Vec<bool> = samples.iter().flat_map(|(_, target)| *target).collect();
                summary(&scores, &targets, &[0.5; 3])
            };
            let (one, other) = samples.split_at(cut.min(samples.len()));
            let mut counts = MultilabelCounts::new(3);
            counts.absorb(&of(one)).unwrap();
            counts.absorb(&of(other)).unwrap();
            prop_assert_eq!(counts.summary(), of(&samples));
        }
    }
}
