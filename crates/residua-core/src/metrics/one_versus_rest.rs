//! The ranking of samples by each class against all others.

use serde::{Deserialize, Serialize};

use super::bootstrap::{BootstrapSettings, ConfidenceInterval, area_intervals};
use super::multilabel::MultilabelPredictions;
use super::ranking::BinaryRanking;
use super::{MetricError, Predictions, mean_of_defined};
use crate::seed::SeedStream;

/// How well the scores of one class, or label, rank the samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankingScore {
    /// Number of samples of this class.
    pub positives: u64,
    /// Number of other samples.
    pub negatives: u64,
    /// Area under the ROC curve; `None` without positives or without negatives.
    pub roc_auc: Option<f64>,
    /// Average precision; `None` without positives or without negatives.
    pub average_precision: Option<f64>,
}

impl From<&BinaryRanking> for RankingScore {
    fn from(ranking: &BinaryRanking) -> Self {
        Self {
            positives: ranking.positives(),
            negatives: ranking.negatives(),
            roc_auc: ranking.roc_auc(),
            average_precision: ranking.average_precision(),
        }
    }
}

/// What [`one_versus_rest`] reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneVersusRest {
    /// One entry for each class, in the order of the labels.
    pub per_class: Vec<RankingScore>,
    /// Mean of the areas that are defined; `None` where none is.
    pub macro_roc_auc: Option<f64>,
    /// Mean of the average precisions that are defined; `None` where none is.
    pub macro_average_precision: Option<f64>,
}

/// Each class against all others, ranked by its probability.
pub fn one_versus_rest(predictions: &Predictions<'_>) -> OneVersusRest {
    let per_class: Vec<RankingScore> = rankings(predictions)
        .map(|ranking| RankingScore::from(&ranking))
        .collect();
    OneVersusRest {
        macro_roc_auc: mean_of_defined(per_class.iter().map(|score| score.roc_auc)),
        macro_average_precision: mean_of_defined(
            per_class.iter().map(|score| score.average_precision),
        ),
        per_class,
    }
}

/// More scores (samples times classes) take too long to be resampled a thousand times.
const MOST_RESAMPLED: usize = 500_000;

/// The interval of [`OneVersusRest::macro_roc_auc`], by resampling the samples; `None` where there are
/// more than half a million scores.
///
/// # Errors
/// When a setting is out of range.
pub fn roc_auc_interval(
    predictions: &Predictions<'_>,
    settings: BootstrapSettings,
    stream: SeedStream,
) -> Result<Option<ConfidenceInterval>, MetricError> {
    let (samples, classes) = (predictions.samples(), predictions.classes());
    if samples.saturating_mul(classes) > MOST_RESAMPLED {
        return Ok(None);
    }
    let mut scores = vec![0.0_f32; samples * classes];
    let mut truth = vec![false; samples * classes];
    for (class, column) in columns(predictions).enumerate() {
        for (sample, score) in column.into_iter().enumerate() {
            scores[sample * classes + class] = score as f32;
            truth[sample * classes + class] = predictions.labels()[sample] as usize == class;
        }
    }
    let ranked = MultilabelPredictions::new(&scores, &truth, classes)?;
    let intervals = area_intervals(&ranked, settings, stream)?;
    Ok(Some(intervals.macro_roc_auc))
}

/// Numbers that order the samples as the probabilities of each class do. Logarithms still differ close
/// to 0 and 1.
fn columns(predictions: &Predictions<'_>) -> impl Iterator<Item = Vec<f64>> {
    let normalisers = predictions.normalisers();
    (0..predictions.classes()).map(move |class| match &normalisers {
        Some(normalisers) => predictions
            .column(class)
            .zip(normalisers)
            .map(|(logit, normaliser)| normaliser.log_probability(logit))
            .collect(),
        None => predictions.column(class).map(f64::from).collect(),
    })
}

/// The ranking of each class against all others by its probability, in the order of the labels, for
/// curves. One class is computed at a time.
pub fn rankings(predictions: &Predictions<'_>) -> impl Iterator<Item = BinaryRanking> {
    let are_logarithms = predictions.normalisers().is_some();
    columns(predictions)
        .enumerate()
        .map(move |(class, scores)| {
            let positives = predictions.labels().iter().map(|&l| l as usize == class);
            let ranking = BinaryRanking::from_finite(scores.into_iter().zip(positives).collect());
            match are_logarithms {
                true => ranking.with_thresholds(f64::exp),
                false => ranking,
            }
        })
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn a_missing_class_takes_no_part_in_the_mean() {
        let logits = [2.0, 0.0, 1.0, 0.0, 2.0, 1.0, 1.5, 1.0, 0.0];
        let predictions = Predictions::from_logits(&logits, 3, &[0, 1, 1], 1.0).unwrap();
        let result = one_versus_rest(&predictions);
        assert_eq!(result.per_class[2].roc_auc, None);
        assert_eq!(result.per_class[0].roc_auc, Some(1.0));
        assert_eq!(result.macro_roc_auc, Some(1.0));
        let one_class = Predictions::from_logits(&[1.0, 2.0], 1, &[0, 0], 1.0).unwrap();
        assert_eq!(one_versus_rest(&one_class).macro_average_precision, None);
        let empty = Predictions::from_logits(&[], 0, &[], 1.0).unwrap();
        assert!(one_versus_rest(&empty).per_class.is_empty());
    }

    #[test]
    fn the_interval_is_about_the_mean_of_the_areas() {
        let mut rng = SeedStream::new(2).rng();
        let logits: Vec<f32> = (0..300).map(|_| rng.random_range(-2.0..2.0)).collect();
        let labels: Vec<u32> = (0..100).map(|index| index * 7 % 3).collect();
        let predictions = Predictions::from_logits(&logits, 3, &labels, 1.0).unwrap();
        let mean = one_versus_rest(&predictions).macro_roc_auc.unwrap();
        let settings = BootstrapSettings::default();
        let found = roc_auc_interval(&predictions, settings, SeedStream::new(1));
        let found = found.unwrap().unwrap();
        assert!((found.estimate.unwrap() - mean).abs() < 1e-6, "{found:?}");
        let (lower, upper) = (found.lower.unwrap(), found.upper.unwrap());
        // A hundred samples tell the area to within a few hundredths.
        assert!((0.03..0.12).contains(&(mean - lower)), "{found:?}");
        assert!((0.03..0.12).contains(&(upper - mean)), "{found:?}");
    }
}
