//! Whether confidences mean what they say.
//!
//! The confidence of a prediction is the probability of the most likely class. A network is
//! calibrated when, of the predictions with confidence `p`, the share `p` is right. The measures
//! are those of Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks",
//! section 2: predictions are put into `M` bins of equal width by their confidence, and in each bin
//! `B_m` the mean confidence is compared with the accuracy.
//!
//! ```text
//! ECE = sum over m of |B_m| / N * |accuracy(B_m) - confidence(B_m)|       (equation 3)
//! MCE = maximum over m of         |accuracy(B_m) - confidence(B_m)|       (equation 5)
//! NLL = -1/N * sum over i of ln p_i(label_i)                              (equation 6)
//! Brier = 1/N * sum over i of sum over c of (p_i(c) - [c = label_i])^2    (Brier 1950, equation 2)
//! ```
//!
//! ```
//! use residua_core::metrics::{Predictions, calibration};
//!
//! // Four guesses with confidence 0.75, of which three are right.
//! let probabilities = [0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25];
//! let predictions = Predictions::from_probabilities(&probabilities, 2, &[0, 0, 0, 1])?;
//! let calibration = calibration::summary(&predictions, calibration::DEFAULT_BINS)?;
//! assert_eq!(calibration.expected_calibration_error, Some(0.0));
//! # Ok::<(), residua_core::metrics::MetricError>(())
//! ```

use serde::{Deserialize, Serialize};

use super::{MetricError, Predictions, finite};

/// The number of bins of Guo et al. 2017, section 4 ("M = 15 bins").
pub const DEFAULT_BINS: usize = 15;

/// More bins than this say nothing about any data set, and only cost memory.
pub const MOST_BINS: usize = 1_000_000;

/// One bar of a reliability diagram: the predictions whose confidence is above `lower` and at most
/// `upper` (the first bin also takes a confidence of 0).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower edge, not part of the bin.
    pub lower: f64,
    /// Upper edge, part of the bin.
    pub upper: f64,
    /// Number of predictions.
    pub count: u64,
    /// Mean confidence; `None` in an empty bin.
    pub mean_confidence: Option<f64>,
    /// Share of right predictions; `None` in an empty bin.
    pub accuracy: Option<f64>,
}

impl ReliabilityBin {
    /// `|accuracy - mean confidence|`; `None` in an empty bin.
    pub fn gap(&self) -> Option<f64> {
        Some((self.accuracy? - self.mean_confidence?).abs())
    }
}

/// What [`summary`] reports; each figure is `None` without samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationSummary {
    /// Number of samples.
    pub samples: u64,
    /// ECE: the gap between accuracy and confidence, averaged over predictions.
    pub expected_calibration_error: Option<f64>,
    /// MCE: the largest gap of a bin.
    pub maximum_calibration_error: Option<f64>,
    /// Mean squared distance between probabilities and truth, summed over classes: 0 to 2.
    pub brier_score: Option<f64>,
    /// Mean cross entropy in nats.
    pub negative_log_likelihood: Option<f64>,
    /// The reliability diagram.
    pub bins: Vec<ReliabilityBin>,
}

/// All figures at once, with this number of bins (usually [`DEFAULT_BINS`]).
///
/// # Errors
/// When the number of bins is not in 1 to [`MOST_BINS`].
pub fn summary(
    predictions: &Predictions<'_>,
    bins: usize,
) -> Result<CalibrationSummary, MetricError> {
    let bins = reliability_bins(predictions, bins)?;
    Ok(CalibrationSummary {
        samples: predictions.samples() as u64,
        expected_calibration_error: expected_calibration_error(&bins),
        maximum_calibration_error: maximum_calibration_error(&bins),
        brier_score: brier_score(predictions),
        negative_log_likelihood: negative_log_likelihood(predictions),
        bins,
    })
}

/// The bins of a reliability diagram, from the lowest confidence to the highest.
///
/// Confidences and edges are compared as 32-bit numbers, the precision of scores, so that a
/// probability stored as 0.2 belongs to the bin that ends there.
///
/// # Errors
/// When the number of bins is not in 1 to [`MOST_BINS`].
pub fn reliability_bins(
    predictions: &Predictions<'_>,
    bins: usize,
) -> Result<Vec<ReliabilityBin>, MetricError> {
    if !(1..=MOST_BINS).contains(&bins) {
        return Err(MetricError::Setting {
            name: "the number of calibration bins",
            value: bins as f64,
            expected: "1 to 1,000,000",
        });
    }
    let mut tallies = vec![Tally::default(); bins];
    predictions.for_each(|sample| {
        let confidence = sample.probabilities[sample.predicted];
        let tally = &mut tallies[bin_of(confidence, bins)];
        tally.count += 1;
        tally.right += u64::from(sample.predicted == sample.label);
        tally.confidence += confidence;
    });
    let bin = |(index, tally): (usize, &Tally)| ReliabilityBin {
        lower: edge(index, bins),
        upper: edge(index + 1, bins),
        count: tally.count,
        mean_confidence: tally.share(tally.confidence),
        accuracy: tally.share(tally.right as f64),
    };
    Ok(tallies.iter().enumerate().map(bin).collect())
}

/// The expected calibration error of these bins; `None` without predictions.
pub fn expected_calibration_error(bins: &[ReliabilityBin]) -> Option<f64> {
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    let weighted = bins
        .iter()
        .filter_map(|bin| Some(bin.count as f64 * bin.gap()?));
    (total > 0).then(|| weighted.sum::<f64>() / total as f64)
}

/// The largest gap between accuracy and confidence in these bins; `None` without predictions.
pub fn maximum_calibration_error(bins: &[ReliabilityBin]) -> Option<f64> {
    bins.iter().filter_map(ReliabilityBin::gap).reduce(f64::max)
}

/// The mean over samples of the sum over classes of `(probability - [class is true])^2`, from 0
/// (always certain and right) to 2 (always certain and wrong); `None` without samples.
///
/// For two classes it is twice the score of the positive class alone.
pub fn brier_score(predictions: &Predictions<'_>) -> Option<f64> {
    let mut sum = 0.0;
    predictions.for_each(|sample| {
        for (class, probability) in sample.probabilities.iter().enumerate() {
            let truth = f64::from(u8::from(class == sample.label));
            sum += (probability - truth).powi(2);
        }
    });
    (predictions.samples() > 0).then(|| sum / predictions.samples() as f64)
}

/// The mean cross entropy in nats; `None` without samples.
///
/// Probabilities (not logits) are taken as at least 2^-23, so that a true class of probability 0
/// costs 15.9 nats and not infinitely many (scikit-learn's `log_loss` does so for 32-bit input).
pub fn negative_log_likelihood(predictions: &Predictions<'_>) -> Option<f64> {
    let samples = predictions.samples();
    let sum: f64 = predictions.log_likelihoods().sum();
    // Of no samples the quotient is NaN. `0 -` and not `-`: a certain network's loss is 0, not -0.
    finite(0.0 - sum / samples as f64)
}

#[derive(Clone, Default)]
struct Tally {
    count: u64,
    right: u64,
    confidence: f64,
}

impl Tally {
    fn share(&self, sum: f64) -> Option<f64> {
        (self.count > 0).then(|| sum / self.count as f64)
    }
}

fn edge(index: usize, bins: usize) -> f64 {
    index as f64 / bins as f64
}

/// The bin `(index / bins, (index + 1) / bins]` that holds the confidence.
fn bin_of(confidence: f64, bins: usize) -> usize {
    let above = |index: usize| confidence as f32 > edge(index, bins) as f32;
    let mut index = ((confidence * bins as f64) as usize).min(bins - 1);
    // The product is rounded; the comparison with the edges decides.
    while index > 0 && !above(index) {
        index -= 1;
    }
    while index + 1 < bins && above(index + 1) {
        index += 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_made_bins() {
        let probabilities = [0.9, 0.1, 0.9, 0.1, 0.4, 0.6, 0.5, 0.5];
        let predictions =
            Predictions::from_probabilities(&probabilities, 2, &[0, 1, 1, 1]).unwrap();
        let result = summary(&predictions, 2).unwrap();
        let (low, high) = (result.bins[0], result.bins[1]);
        assert_eq!((low.lower, low.upper, low.count), (0.0, 0.5, 1));
        assert_eq!((low.mean_confidence, low.accuracy), (Some(0.5), Some(0.0)));
        assert_eq!((high.lower, high.upper, high.count), (0.5, 1.0, 3));
        let close = |found: Option<f64>, expected: f64| {
            assert!(
                (found.unwrap() - expected).abs() < 1e-7,
                "{found:?} is not {expected}"
            );
        };
        close(high.mean_confidence, 0.8);
        close(high.accuracy, 2.0 / 3.0);
        close(
            result.expected_calibration_error,
            0.25 * 0.5 + 0.75 * (0.8 - 2.0 / 3.0),
        );
        close(result.maximum_calibration_error, 0.5);
        close(result.brier_score, (0.02 + 1.62 + 0.32 + 0.5) / 4.0);
        let logs = 0.9_f64.ln() + 0.1_f64.ln() + 0.6_f64.ln() + 0.5_f64.ln();
        close(result.negative_log_likelihood, -logs / 4.0);
    }

    #[test]
    fn an_edge_belongs_to_the_bin_below_it() {
        for bins in [1, 3, 5, 7, 10, 15, 100] {
            assert_eq!(bin_of(0.0, bins), 0);
            for index in 0..bins {
                let upper = edge(index + 1, bins);
                assert_eq!(bin_of(upper, bins), index, "{index} of {bins}");
                assert_eq!(bin_of(f64::from(upper as f32), bins), index);
                let next = (index + 1).min(bins - 1);
                assert_eq!(bin_of((upper + 1e-6).min(1.0), bins), next);
            }
        }
    }

    #[test]
    fn certainty_is_defined() {
        let certain = [1.0, 0.0, 0.0, 1.0];
        let right = Predictions::from_probabilities(&certain, 2, &[0, 1]).unwrap();
        let right = summary(&right, DEFAULT_BINS).unwrap();
        assert_eq!(right.negative_log_likelihood, Some(0.0));
        assert_eq!(right.brier_score, Some(0.0));
        assert_eq!(right.maximum_calibration_error, Some(0.0));
        let wrong = Predictions::from_probabilities(&certain, 2, &[1, 0]).unwrap();
        let wrong = summary(&wrong, DEFAULT_BINS).unwrap();
        let loss = wrong.negative_log_likelihood.unwrap();
        assert!((loss - 23.0 * 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(wrong.brier_score, Some(2.0));
        assert_eq!(wrong.expected_calibration_error, Some(1.0));
    }

    #[test]
    fn no_samples_give_no_figures() {
        let empty = Predictions::from_logits(&[], 3, &[], 1.0).unwrap();
        let result = summary(&empty, 2).unwrap();
        let none = CalibrationSummary {
            samples: 0,
            expected_calibration_error: None,
            maximum_calibration_error: None,
            brier_score: None,
            negative_log_likelihood: None,
            bins: result.bins.clone(),
        };
        assert_eq!(result, none);
        assert_eq!(result.bins[1].gap(), None);
        assert!(summary(&empty, 0).is_err());
        assert!(summary(&empty, usize::MAX).is_err());
    }
}
