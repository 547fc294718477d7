//! Scores of many samples with their true classes, checked once.

use super::probabilities::{Normaliser, append_softmax, check_temperature};
use super::{MetricError, check_finite, most_likely};

/// How far the probabilities of a sample may add up to something else than 1: enough for
/// probabilities rounded to 16-bit formats.
const SUM_TOLERANCE: f64 = 0.01;

/// The least probability whose logarithm is taken where probabilities (and not logits) are given:
/// the spacing of 32-bit numbers at 1, as in scikit-learn's `log_loss` for 32-bit input.
const LEAST_PROBABILITY: f64 = f32::EPSILON as f64;

/// Scores `[samples, classes]`, row by row, with the true class of each sample.
///
/// What exists has been checked: the lengths fit, every label names a class, and every score is
/// finite (and, for probabilities, between 0 and 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predictions<'a> {
    scores: &'a [f32],
    classes: usize,
    labels: &'a [u32],
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Logits { temperature: f64 },
    Probabilities,
}

impl<'a> Predictions<'a> {
    /// From logits `[samples, classes]`, whose probabilities are `softmax(logits / temperature)`
    /// (1 is the ordinary softmax).
    ///
    /// # Errors
    /// When the lengths do not fit, a label names no class, a logit is not finite, or the
    /// temperature is not a finite number above 0.
    pub fn from_logits(
        logits: &'a [f32],
        classes: usize,
        labels: &'a [u32],
        temperature: f64,
    ) -> Result<Self, MetricError> {
        check_temperature(temperature)?;
        let kind = Kind::Logits { temperature };
        Self::checked(logits, classes, labels, kind, check_finite)
    }

    /// From probabilities `[samples, classes]`. They are used as given; each row adds up to 1
    /// within 0.01.
    ///
    /// # Errors
    /// When the lengths do not fit, a label names no class, a value is not between 0 and 1, or a
    /// row does not add up to 1.
    pub fn from_probabilities(
        probabilities: &'a [f32],
        classes: usize,
        labels: &'a [u32],
    ) -> Result<Self, MetricError> {
        let kind = Kind::Probabilities;
        Self::checked(probabilities, classes, labels, kind, check_distribution)
    }

    fn checked(
        scores: &'a [f32],
        classes: usize,
        labels: &'a [u32],
        kind: Kind,
        check_row: impl Fn(&[f32]) -> Result<(), MetricError>,
    ) -> Result<Self, MetricError> {
        if labels.len().checked_mul(classes) != Some(scores.len()) {
            return Err(MetricError::WrongLength {
                what: "scores, one for each sample and class,",
                expected: labels.len().saturating_mul(classes),
                found: scores.len(),
            });
        }
        let predictions = Self {
            scores,
            classes,
            labels,
            kind,
        };
        for (sample, &label) in labels.iter().enumerate() {
            let label = label as usize;
            let in_range = if label < classes {
                Ok(())
            } else {
                Err(MetricError::LabelOutOfRange { label, classes })
            };
            in_range
                .and_then(|()| check_row(predictions.row(sample)))
                .map_err(|problem| problem.at_sample(sample))?;
        }
        Ok(predictions)
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.labels.len()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The true class of each sample.
    pub fn labels(&self) -> &'a [u32] {
        self.labels
    }

    /// The most likely class of each sample; among equals the lowest index.
    pub fn most_likely_classes(&self) -> Vec<u32> {
        // Without classes there are no samples, because no label would name a class.
        (0..self.samples())
            .map(|sample| most_likely(self.row(sample)).unwrap_or(0) as u32)
            .collect()
    }

    /// Number of samples by true class (rows) and most likely class (columns).
    pub fn confusion(&self) -> Vec<Vec<u64>> {
        let mut counts = vec![vec![0; self.classes]; self.classes];
        for (&label, predicted) in self.labels.iter().zip(self.most_likely_classes()) {
            counts[label as usize][predicted as usize] += 1;
        }
        counts
    }

    /// For each sample the true class and the probabilities of all classes, in turn.
    pub(super) fn for_each(&self, mut visit: impl FnMut(Sample<'_>)) {
        let mut probabilities = Vec::with_capacity(self.classes);
        for (sample, &label) in self.labels.iter().enumerate() {
            let row = self.row(sample);
            probabilities.clear();
            match self.kind {
                Kind::Logits { temperature } => {
                    append_softmax(row, temperature, &mut probabilities);
                }
                Kind::Probabilities => {
                    probabilities.extend(row.iter().map(|&value| f64::from(value)));
                }
            }
            visit(Sample {
                label: label as usize,
                predicted: most_likely(row).unwrap_or(0),
                probabilities: &probabilities,
            });
        }
    }

    /// The natural logarithm of each sample's probability of its true class. A probability that
    /// was given as less than 2^-23 counts as that.
    pub(super) fn log_likelihoods(&self) -> impl Iterator<Item = f64> {
        let labels = self.labels.iter().enumerate();
        labels.map(|(sample, &label)| {
            let row = self.row(sample);
            let score = row[label as usize];
            match self.kind {
                Kind::Logits { temperature } => {
                    Normaliser::new(row, temperature).log_probability(score)
                }
                Kind::Probabilities => f64::from(score).max(LEAST_PROBABILITY).ln(),
            }
        })
    }

    /// What the logits of each sample are divided by; `None` for probabilities.
    pub(super) fn normalisers(&self) -> Option<Vec<Normaliser>> {
        match self.kind {
            Kind::Logits { temperature } => Some(
                (0..self.samples())
                    .map(|sample| Normaliser::new(self.row(sample), temperature))
                    .collect(),
            ),
            Kind::Probabilities => None,
        }
    }

    /// The scores of one class, as given.
    pub(super) fn column(&self, class: usize) -> impl Iterator<Item = f32> {
        self.scores
            .iter()
            .copied()
            .skip(class)
            .step_by(self.classes.max(1))
    }

    fn row(&self, sample: usize) -> &'a [f32] {
        &self.scores[sample * self.classes..][..self.classes]
    }
}

/// One sample as [`Predictions::for_each`] shows it.
pub(super) struct Sample<'a> {
    pub(super) label: usize,
    pub(super) predicted: usize,
    pub(super) probabilities: &'a [f64],
}

/// Refuses a row that is not a distribution over classes.
fn check_distribution(row: &[f32]) -> Result<(), MetricError> {
    // A comparison with NaN is false, so NaN is refused as well.
    if let Some(class) = row.iter().position(|value| !(0.0..=1.0).contains(value)) {
        return Err(MetricError::NotAProbability {
            class,
            value: row[class],
        });
    }
    let sum: f64 = row.iter().map(|&value| f64::from(value)).sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(MetricError::WrongSum {
            sum,
            tolerance: SUM_TOLERANCE,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_confusion_matrix_has_true_classes_as_rows() {
        let logits = [2.0, 1.0, 0.0, 3.0, 5.0, 5.0];
        let predictions = Predictions::from_logits(&logits, 2, &[0, 0, 1], 1.0).unwrap();
        assert_eq!(predictions.most_likely_classes(), [0, 1, 0]);
        assert_eq!(predictions.confusion(), [[1, 1], [1, 0]]);
        assert_eq!((predictions.samples(), predictions.classes()), (3, 2));
        assert_eq!(predictions.labels(), [0, 0, 1]);
    }

    #[test]
    fn bad_predictions_are_refused_with_the_place() {
        let probabilities = |values: &[f32], labels: &[u32]| {
            let result = Predictions::from_probabilities(values, 2, labels);
            result.unwrap_err().to_string()
        };
        assert_eq!(
            probabilities(&[0.5], &[0]),
            "expected 2 scores, one for each sample and class, and found 1"
        );
        assert_eq!(
            probabilities(&[0.5, 0.5, 1.0, 0.0], &[0, 2]),
            "sample 1: label 2 is out of range: there are 2 classes, numbered from 0"
        );
        assert!(
            probabilities(&[0.5, 0.5, 1.5, -0.5], &[0, 1])
                .starts_with("sample 1: the probability of class 0 is 1.5: expected 0 to 1")
        );
        assert!(probabilities(&[f32::NAN, 0.5], &[0]).starts_with("sample 0: the probability"));
        assert!(
            probabilities(&[0.9, 0.9], &[0]).contains("add up to 1.8000: expected 1 within 0.01")
        );
        let logits = Predictions::from_logits(&[0.0, f32::NAN], 2, &[0], 1.0).unwrap_err();
        assert!(
            logits
                .to_string()
                .starts_with("sample 0: the logit of class 1 is NaN")
        );
        assert!(Predictions::from_logits(&[0.0, 1.0], 2, &[0], 0.0).is_err());
    }

    #[test]
    fn neither_samples_nor_classes_are_needed() {
        let empty = Predictions::from_probabilities(&[], 0, &[]).unwrap();
        assert_eq!(empty.confusion(), Vec::<Vec<u64>>::new());
        let labelled = Predictions::from_logits(&[], 0, &[0], 1.0).unwrap_err();
        assert!(labelled.to_string().contains("there are 0 classes"));
    }
}
