//! Whether higher scores mean likelier classes, whatever the threshold.
//!
//! Samples are ordered by the score of one class; those of the class are the positives, all
//! others the negatives. Lowering a threshold through the scores gives the true positives `TP`, the
//! false positives `FP`, and
//!
//! ```text
//! recall R = true positive rate = TP / positives      false positive rate = FP / negatives
//! precision P = TP / (TP + FP)
//! ROC-AUC = share of the pairs (positive, negative) in which the positive has the higher score,
//!           pairs of equal scores counting one half (the Mann-Whitney statistic with mid-ranks)
//! AP      = sum over thresholds of (R_n - R_(n-1)) P_n, without interpolation
//! ```
//!
//! Equal scores share one threshold, so that the order of the samples has no influence. These are
//! the definitions of scikit-learn's `roc_auc_score` and `average_precision_score`; on ROC curves
//! see Fawcett 2006, "An introduction to ROC analysis", sections 4 and 7. Where there are no positives
//! or no negatives every figure is `None`.
//!
//! ```
//! use residua_core::metrics::ranking::BinaryRanking;
//!
//! let ranking = BinaryRanking::new(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
//! assert_eq!(ranking.roc_auc(), Some(0.75));
//! # Ok::<(), residua_core::metrics::MetricError>(())
//! ```

use serde::{Deserialize, Serialize};

use super::MetricError;
pub use super::one_versus_rest::{
    OneVersusRest, RankingScore, one_versus_rest, rankings, roc_auc_interval,
};

/// A point of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Samples with at least this score count as positive; `None` at the start, where none does.
    pub threshold: Option<f64>,
    /// Share of the negatives that count as positive.
    pub false_positive_rate: f64,
    /// Share of the positives that count as positive.
    pub true_positive_rate: f64,
}

/// A point of a precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallPoint {
    /// Samples with at least this score count as positive; `None` at the start, where none does.
    pub threshold: Option<f64>,
    /// Share of the positives that count as positive.
    pub recall: f64,
    /// Share of those counted as positive that are; 1 at the start by convention.
    pub precision: f64,
}

/// The counts at each threshold, from the highest score to the lowest.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryRanking {
    steps: Vec<Step>,
    positives: u64,
    negatives: u64,
}

/// What counts as positive from this threshold upwards.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    threshold: f64,
    true_positives: u64,
    false_positives: u64,
}

impl BinaryRanking {
    /// Of one score (a probability, a logit, any finite number) for each sample and whether the
    /// sample is positive.
    ///
    /// # Errors
    /// When the lengths differ or a score is not finite.
    pub fn new(scores: &[f32], positives: &[bool]) -> Result<Self, MetricError> {
        if scores.len() != positives.len() {
            return Err(MetricError::WrongLength {
                what: "truth values, one for each score,",
                expected: scores.len(),
                found: positives.len(),
            });
        }
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            return Err(MetricError::ValueNotFinite {
                what: "score of sample",
                index,
                value: f64::from(scores[index]),
            });
        }
        let scores = scores.iter().map(|&score| f64::from(score));
        Ok(Self::from_finite(
            scores.zip(positives.iter().copied()).collect(),
        ))
    }

    /// Of finite scores.
    pub(super) fn from_finite(mut samples: Vec<(f64, bool)>) -> Self {
        samples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut steps: Vec<Step> = Vec::new();
        let (mut true_positives, mut false_positives) = (0, 0);
        for (threshold, positive) in samples {
            true_positives += u64::from(positive);
            false_positives += u64::from(!positive);
            let step = Step {
                threshold,
                true_positives,
                false_positives,
            };
            match steps.last_mut() {
                // 0 and -0 are equal, though sorted one after the other.
                Some(last) if last.threshold == threshold => *last = step,
                _ => steps.push(step),
            }
        }
        Self {
            steps,
            positives: true_positives,
            negatives: false_positives,
        }
    }

    /// Number of positive samples.
    pub fn positives(&self) -> u64 {
        self.positives
    }

    /// Number of negative samples.
    pub fn negatives(&self) -> u64 {
        self.negatives
    }

    /// The area under the ROC curve; 0.5 where scores say nothing.
    pub fn roc_auc(&self) -> Option<f64> {
        let pairs = self.positives as u128 * self.negatives as u128;
        let mut twice_the_area = 0_u128;
        let (mut true_positives, mut false_positives) = (0, 0);
        for step in &self.steps {
            let width = u128::from(step.false_positives - false_positives);
            twice_the_area += width * u128::from(step.true_positives + true_positives);
            (true_positives, false_positives) = (step.true_positives, step.false_positives);
        }
        // Counted in whole numbers, so the quotient is rounded once.
        (pairs > 0).then(|| twice_the_area as f64 / (2 * pairs) as f64)
    }

    /// The average precision; the share of positives where scores say nothing.
    pub fn average_precision(&self) -> Option<f64> {
        self.defined()?;
        let mut sum = 0.0;
        let mut found = 0;
        for step in &self.steps {
            sum += (step.true_positives - found) as f64 * step.precision();
            found = step.true_positives;
        }
        Some(sum / self.positives as f64)
    }

    /// The ROC curve from (0, 0) to (1, 1), at most `most_points` of its points (and at least the
    /// two ends). Which ones are kept depends on the curve alone: they are spread evenly along it.
    pub fn roc_curve(&self, most_points: usize) -> Option<Vec<RocPoint>> {
        self.defined()?;
        let start = RocPoint {
            threshold: None,
            false_positive_rate: 0.0,
            true_positive_rate: 0.0,
        };
        let points = self.steps.iter().map(|step| RocPoint {
            threshold: Some(step.threshold),
            false_positive_rate: step.false_positives as f64 / self.negatives as f64,
            true_positive_rate: step.true_positives as f64 / self.positives as f64,
        });
        let points = std::iter::once(start).chain(points).collect();
        Some(thinned(points, most_points, |point: &RocPoint| {
            (point.false_positive_rate, point.true_positive_rate)
        }))
    }

    /// The precision-recall curve from recall 0 (precision 1 by convention) to recall 1, at most
    /// `most_points` of its points (and at least the two ends), spread evenly along it.
    pub fn precision_recall_curve(&self, most_points: usize) -> Option<Vec<PrecisionRecallPoint>> {
        self.defined()?;
        let start = PrecisionRecallPoint {
            threshold: None,
            recall: 0.0,
            precision: 1.0,
        };
        let points = self.steps.iter().map(|step| PrecisionRecallPoint {
            threshold: Some(step.threshold),
            recall: step.true_positives as f64 / self.positives as f64,
            precision: step.precision(),
        });
        let points = std::iter::once(start).chain(points).collect();
        Some(thinned(
            points,
            most_points,
            |point: &PrecisionRecallPoint| (point.recall, point.precision),
        ))
    }

    /// The same ranking by an increasing function of the scores.
    pub(super) fn with_thresholds(mut self, transform: impl Fn(f64) -> f64) -> Self {
        for step in &mut self.steps {
            step.threshold = transform(step.threshold);
        }
        self
    }

    fn defined(&self) -> Option<()> {
        (self.positives > 0 && self.negatives > 0).then_some(())
    }
}

impl Step {
    /// A step stands for at least one sample, so there is something to divide by.
    fn precision(&self) -> f64 {
        self.true_positives as f64 / (self.true_positives + self.false_positives) as f64
    }
}

/// At most `most` of the points, the first and the last among them: of each of `most - 1` pieces
/// of equal length (horizontal plus vertical way) the point that ends it.
fn thinned<P: Copy>(points: Vec<P>, most: usize, place: impl Fn(&P) -> (f64, f64)) -> Vec<P> {
    let most = most.max(2);
    if points.len() <= most {
        return points;
    }
    let mut length = 0.0;
    let lengths: Vec<f64> = (0..points.len())
        .map(|index| {
            let (before, here) = (
                place(&points[index.saturating_sub(1)]),
                place(&points[index]),
            );
            length += (here.0 - before.0).abs() + (here.1 - before.1).abs();
            length
        })
        .collect();
    let last = points.len() - 1;
    let mut kept = vec![0];
    for piece in 1..most - 1 {
        let end = length * piece as f64 / (most - 1) as f64;
        let index = lengths.partition_point(|&length| length < end);
        if index > kept[kept.len() - 1] && index < last {
            kept.push(index);
        }
    }
    kept.push(last);
    kept.into_iter().map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_count_one_half() {
        let ranking = BinaryRanking::new(
            &[0.5, 0.5, 0.2, -0.0, 0.0],
            &[true, false, false, true, false],
        );
        let ranking = ranking.unwrap();
        // Pairs: (0.5, 0.5) half, (0.5, 0.2) and (0.5, 0) won, (0, 0.5) and (0, 0.2) lost, (0, 0) half.
        assert_eq!(ranking.roc_auc(), Some(3.0 / 6.0));
        assert_eq!(ranking.average_precision(), Some(0.5 * 0.5 + 0.5 * 0.4));
        assert_eq!((ranking.positives(), ranking.negatives()), (2, 3));
        let constant = BinaryRanking::new(&[1.0; 5], &[true, false, false, false, false]).unwrap();
        assert_eq!(constant.roc_auc(), Some(0.5));
        assert_eq!(constant.average_precision(), Some(0.2));
    }

    #[test]
    fn curves_have_one_point_for_each_threshold() {
        let ranking = BinaryRanking::new(&[0.8, 0.4, 0.4, 0.1], &[true, true, false, false]);
        let ranking = ranking.unwrap();
        let roc: Vec<_> = ranking.roc_curve(10).unwrap();
        let roc: Vec<_> = roc
            .iter()
            .map(|p| (p.false_positive_rate, p.true_positive_rate))
            .collect();
        assert_eq!(roc, [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        let curve = ranking.precision_recall_curve(10).unwrap();
        assert_eq!(curve[0].threshold, None);
        assert_eq!(curve[1].threshold, Some(f64::from(0.8_f32)));
        let curve: Vec<_> = curve.iter().map(|p| (p.recall, p.precision)).collect();
        assert_eq!(
            curve,
            [(0.0, 1.0), (0.5, 1.0), (1.0, 2.0 / 3.0), (1.0, 0.5)]
        );
    }

    #[test]
    fn thin_curves_keep_their_ends_and_their_order() {
        let scores: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 1000) as f32).collect();
        let positives: Vec<bool> = (0..1000).map(|i| i % 3 == 0).collect();
        let ranking = BinaryRanking::new(&scores, &positives).unwrap();
        let whole = ranking.roc_curve(usize::MAX).unwrap();
        assert_eq!(whole.len(), 1001);
        for most in [0, 1, 2, 3, 50, 999] {
            let thin = ranking.roc_curve(most).unwrap();
            assert!((2..=most.max(2)).contains(&thin.len()), "{}", thin.len());
            assert_eq!(thin.first(), whole.first());
            assert_eq!(thin.last(), whole.last());
            assert!(thin.is_sorted_by_key(|p| p.false_positive_rate + p.true_positive_rate));
            assert!(thin.iter().all(|point| whole.contains(point)));
            assert_eq!(thin, ranking.roc_curve(most).unwrap());
        }
        assert_eq!(ranking.roc_curve(50).unwrap().len(), 50);
    }

    #[test]
    fn figures_need_both_kinds() {
        for (scores, positives) in [(&[][..], &[][..]), (&[1.0], &[true]), (&[1.0], &[false])] {
            let ranking = BinaryRanking::new(scores, positives).unwrap();
            assert_eq!(ranking.roc_auc(), None);
            assert_eq!(ranking.average_precision(), None);
            assert_eq!(ranking.roc_curve(5), None);
            assert_eq!(ranking.precision_recall_curve(5), None);
        }
    }

    #[test]
    fn bad_scores_are_refused_with_the_place() {
        let error = BinaryRanking::new(&[1.0, f32::NAN], &[true, false]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the score of sample 1 is NaN: expected a finite number"
        );
        assert!(BinaryRanking::new(&[1.0], &[]).is_err());
    }
}
