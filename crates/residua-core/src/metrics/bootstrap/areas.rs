//! The intervals of areas under ROC curves.
//!
//! A resample differs from the samples in how often each of them occurs, so that the samples are
//! sorted once for each label, and not for each resample.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{BootstrapSettings, ConfidenceInterval, check_samples};
use crate::metrics::multilabel::MultilabelPredictions;
use crate::metrics::{MetricError, mean_of_defined};
use crate::seed::SeedStream;

/// What [`area_intervals`] reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AreaIntervals {
    /// The mean of the areas that a resample defines.
    pub macro_roc_auc: ConfidenceInterval,
    /// The area of each label.
    pub roc_auc: Vec<ConfidenceInterval>,
}

/// The intervals of the area under the ROC curve of each label, and of their mean. All labels see the
/// same resamples.
///
/// # Errors
/// When a setting is out of range, or there are more than [`MOST_SAMPLES`](super::MOST_SAMPLES)
/// samples.
pub fn area_intervals(
    predictions: &MultilabelPredictions<'_>,
    settings: BootstrapSettings,
    stream: SeedStream,
) -> Result<AreaIntervals, MetricError> {
    settings.check()?;
    let samples = predictions.samples();
    check_samples(samples as u128)?;
    let labels: Vec<Ordered> = (0..predictions.labels())
        .map(|label| Ordered::new(predictions, label))
        .collect();
    let areas = |counts: &[u32]| -> Vec<Option<f64>> {
        labels.iter().map(|label| label.area(counts)).collect()
    };
    let mean = |areas: &[Option<f64>]| mean_of_defined(areas.iter().copied());
    let mut counts = vec![1; samples];
    let estimates = areas(&counts);
    let mut means = Vec::new();
    let mut values = vec![Vec::new(); labels.len()];
    for resample in 0..settings.resamples {
        if samples == 0 {
            break;
        }
        let mut rng = stream.child_index(resample as u64).rng();
        counts.fill(0);
        for _ in 0..samples {
            counts[rng.random_range(0..samples)] += 1;
        }
        let found = areas(&counts);
        means.extend(mean(&found));
        for (values, area) in values.iter_mut().zip(found) {
            values.extend(area);
        }
    }
    let interval =
        |estimate, values: Vec<f64>| ConfidenceInterval::new(estimate, values, settings.level);
    Ok(AreaIntervals {
        macro_roc_auc: interval(mean(&estimates), means),
        roc_auc: estimates
            .iter()
            .zip(values)
            .map(|(estimate, values)| interval(*estimate, values))
            .collect(),
    })
}

/// The samples by the score of one label, the highest first.
struct Ordered {
    places: Vec<Place>,
}

struct Place {
    sample: usize,
    is_positive: bool,
    /// Whether the next score is lower.
    ends_tie: bool,
}

impl Ordered {
    fn new(predictions: &MultilabelPredictions<'_>, label: usize) -> Self {
        let mut samples: Vec<(f32, bool, usize)> = predictions
            .column(label)
            .enumerate()
            .map(|(sample, (score, is_positive))| (score, is_positive, sample))
            .collect();
        samples.sort_by(|a, b| b.0.total_cmp(&a.0));
        let next = samples.iter().skip(1).map(Some).chain([None]);
        let places = samples
            .iter()
            .zip(next)
            .map(|(&(score, is_positive, sample), next)| Place {
                sample,
                is_positive,
                ends_tie: next.is_none_or(|&(other, ..)| other != score),
            });
        Self {
            places: places.collect(),
        }
    }

    /// The area where each sample occurs so often; `None` without positives or negatives.
    fn area(&self, counts: &[u32]) -> Option<f64> {
        let (mut positives, mut negatives) = (0_u64, 0_u64);
        let (mut tied_positives, mut tied_negatives) = (0_u64, 0_u64);
        let mut twice_the_area = 0_u128;
        for place in &self.places {
            let count = u64::from(counts[place.sample]);
            match place.is_positive {
                true => tied_positives += count,
                false => tied_negatives += count,
            }
            if place.ends_tie {
                let height = u128::from(2 * positives + tied_positives);
                twice_the_area += u128::from(tied_negatives) * height;
                positives += std::mem::take(&mut tied_positives);
                negatives += std::mem::take(&mut tied_negatives);
            }
        }
        let pairs = u128::from(positives) * u128::from(negatives);
        (pairs > 0).then(|| twice_the_area as f64 / (2 * pairs) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::bootstrap::interval;
    use crate::metrics::ranking::BinaryRanking;

    /// 40 samples with ties, and a label that all of them have.
    fn case() -> (Vec<f32>, Vec<bool>) {
        let scores = (0..40).flat_map(|index| {
            let score = (index * 7 % 11) as f32 - 5.0;
            [score, -score]
        });
        let targets = (0..40).flat_map(|index| [index * 5 % 13 > 6, true]);
        (scores.collect(), targets.collect())
    }

    #[test]
    fn they_are_those_of_resampled_rankings() {
        let (scores, targets) = case();
        let predictions = MultilabelPredictions::new(&scores, &targets, 2).unwrap();
        let settings = BootstrapSettings {
            resamples: 50,
            ..BootstrapSettings::default()
        };
        let stream = SeedStream::new(3);
        let found = area_intervals(&predictions, settings, stream).unwrap();
        let slow = interval(40, settings, stream, |indices| {
            let scores: Vec<f32> = indices.iter().map(|&index| scores[2 * index]).collect();
            let targets: Vec<bool> = indices.iter().map(|&index| targets[2 * index]).collect();
            BinaryRanking::new(&scores, &targets).unwrap().roc_auc()
        });
        assert_eq!(found.roc_auc[0], slow.unwrap());
        // The other label has no area, so that the mean is that of the first.
        assert_eq!(found.macro_roc_auc, found.roc_auc[0]);
        assert_eq!(found.roc_auc[1].estimate, None);
        assert_eq!(found.roc_auc[1].resamples, 0);
    }

    #[test]
    fn nothing_has_no_interval() {
        let empty = MultilabelPredictions::new(&[], &[], 3).unwrap();
        let found = area_intervals(&empty, BootstrapSettings::default(), SeedStream::new(0));
        let found = found.unwrap();
        assert_eq!((found.macro_roc_auc.lower, found.roc_auc.len()), (None, 3));
    }
}
