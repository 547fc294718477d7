//! Accuracy, precision, recall, F1 and the confusion matrix of single-label predictions.

use serde::{Deserialize, Serialize};

use super::{MetricError, check_finite, log_softmax, ranking};

/// Collects single-label predictions and summarises them.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    classes: usize,
    /// Row = true class, column = predicted class.
    confusion: Vec<u64>,
    top5: u64,
    loss: f64,
}

impl Classification {
    /// An empty collection for this number of classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            confusion: vec![0; classes * classes],
            top5: 0,
            loss: 0.0,
        }
    }

    /// Adds one sample: its logits, one for each class, and its true class.
    ///
    /// # Errors
    /// When the number of logits or the label does not fit, or a logit is not finite.
    pub fn record(&mut self, logits: &[f32], label: usize) -> Result<(), MetricError> {
        if logits.len() != self.classes {
            return Err(MetricError::WrongWidth {
                expected: self.classes,
                found: logits.len(),
            });
        }
        if label >= self.classes {
            return Err(MetricError::LabelOutOfRange {
                label,
                classes: self.classes,
            });
        }
        check_finite(logits)?;
        let order = ranking(logits);
        self.confusion[label * self.classes + order[0]] += 1;
        self.top5 += u64::from(order.iter().take(5).any(|&class| class == label));
        self.loss -= log_softmax(logits)[label];
        Ok(())
    }

    /// Adds all samples of a summary, such as that of another fold.
    ///
    /// # Errors
    /// When the summary is not of as many classes.
    pub fn absorb(&mut self, summary: &ClassificationSummary) -> Result<(), MetricError> {
        let rows = summary.confusion.iter().map(Vec::len);
        for found in rows.chain([summary.confusion.len()]) {
            if found != self.classes {
                return Err(MetricError::WrongLength {
                    what: "classes in a summary",
                    expected: self.classes,
                    found,
                });
            }
        }
        for (sum, count) in self
            .confusion
            .iter_mut()
            .zip(summary.confusion.iter().flatten())
        {
            *sum += count;
        }
        let images = summary.images as f64;
        self.top5 += (summary.top5 * images).round() as u64;
        self.loss += summary.loss * images;
        Ok(())
    }

    /// Number of samples recorded.
    pub fn images(&self) -> u64 {
        self.confusion.iter().sum()
    }

    /// All figures at once.
    pub fn summary(&self) -> ClassificationSummary {
        let images = self.images();
        let share = |count: f64| {
            if images == 0 {
                0.0
            } else {
                count / images as f64
            }
        };
        let right: u64 = (0..self.classes).map(|class| self.cell(class, class)).sum();
        let per_class: Vec<ClassScore> = (0..self.classes).map(|c| self.class_score(c)).collect();
        // As scikit-learn does, a class that occurs neither among the labels nor among the
        // predictions takes no part in the macro average.
        let occurring: Vec<&ClassScore> = per_class
            .iter()
            .filter(|score| score.support + score.predicted > 0)
            .collect();
        let accuracy = share(right as f64);
        ClassificationSummary {
            images,
            loss: share(self.loss),
            accuracy,
            top5: share(self.top5 as f64),
            macro_average: Average::weighted(&occurring, |_| 1.0),
            micro_average: Average {
                precision: accuracy,
                recall: accuracy,
                f1: accuracy,
            },
            weighted_average: Average::weighted(&occurring, |score| score.support as f64),
            per_class,
            confusion: self
                .confusion
                .chunks(self.classes.max(1))
                .map(<[u64]>::to_vec)
                .collect(),
        }
    }

    fn cell(&self, label: usize, predicted: usize) -> u64 {
        self.confusion[label * self.classes + predicted]
    }

    fn class_score(&self, class: usize) -> ClassScore {
        let hits = self.cell(class, class);
        let support: u64 = (0..self.classes).map(|other| self.cell(class, other)).sum();
        let predicted: u64 = (0..self.classes).map(|other| self.cell(other, class)).sum();
        ClassScore::from_counts(hits, support, predicted)
    }
}

/// The figures of one class. A ratio whose denominator is zero is reported as 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Share of the samples predicted as this class that belong to it.
    pub precision: f64,
    /// Share of the samples of this class that were predicted as it.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Number of samples of this class.
    pub support: u64,
    /// Number of samples predicted as this class.
    pub predicted: u64,
}

/// Precision, recall and F1 averaged over classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// Averaged precision.
    pub precision: f64,
    /// Averaged recall.
    pub recall: f64,
    /// Averaged F1 (the mean of the classes' F1, not the F1 of the means).
    pub f1: f64,
}

impl ClassScore {
    /// From the number of samples that are of the class and predicted as it, of the class, and
    /// predicted as it.
    pub(super) fn from_counts(hits: u64, support: u64, predicted: u64) -> Self {
        let ratio = |numerator: f64, denominator: f64| {
            if denominator == 0.0 {
                0.0
            } else {
                numerator / denominator
            }
        };
        // As numbers that do not overflow: the counts of a damaged file may be of any size.
        let [true_positives, real, claimed] = [hits, support, predicted].map(|count| count as f64);
        Self {
            precision: ratio(true_positives, claimed),
            recall: ratio(true_positives, real),
            f1: ratio(2.0 * true_positives, real + claimed),
            support,
            predicted,
        }
    }
}

impl Average {
    fn weighted(scores: &[&ClassScore], weight: impl Fn(&ClassScore) -> f64) -> Self {
        let total: f64 = scores.iter().map(|score| weight(score)).sum();
        let mean = |value: fn(&ClassScore) -> f64| {
            if total == 0.0 {
                return 0.0;
            }
            scores.iter().map(|s| weight(s) * value(s)).sum::<f64>() / total
        };
        Self {
            precision: mean(|score| score.precision),
            recall: mean(|score| score.recall),
            f1: mean(|score| score.f1),
        }
    }
}

/// What [`Classification::summary`] reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationSummary {
    /// Number of samples.
    pub images: u64,
    /// Mean cross entropy in nats.
    pub loss: f64,
    /// Share of samples whose most likely class is the true one.
    pub accuracy: f64,
    /// Share of samples whose true class is among the five most likely.
    pub top5: f64,
    /// Every occurring class counts the same.
    pub macro_average: Average,
    /// Every sample counts the same; for single labels all three equal the accuracy.
    pub micro_average: Average,
    /// Every class counts by its number of samples.
    pub weighted_average: Average,
    /// One entry for each class, in the order of the labels.
    pub per_class: Vec<ClassScore>,
    /// Rows are true classes, columns predicted ones.
    pub confusion: Vec<Vec<u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_class_is_left_out_of_the_macro_average() {
        let mut results = Classification::new(3);
        results.record(&[1.0, 0.0, -1.0], 0).unwrap();
        results.record(&[0.0, 1.0, -1.0], 1).unwrap();
        let summary = results.summary();
        assert_eq!(summary.macro_average.recall, 1.0);
        assert_eq!(summary.per_class[2].recall, 0.0);
        assert_eq!(summary.per_class[2].support, 0);
    }

    #[test]
    fn summaries_of_parts_add_up_to_that_of_the_whole() {
        let samples = [
            ([2.0, 0.5, 0.0], 0),
            ([0.0, 0.5, 1.0], 1),
            ([0.25, 0.5, 0.0], 1),
            ([1.0, 0.5, 3.0], 2),
            ([4.0, 0.5, 3.0], 2),
        ];
        let summary = |samples: &[([f32; 3], usize)]| {
            let mut results = Classification::new(3);
            for (logits, label) in samples {
                results.record(logits, *label).unwrap();
            }
            results.summary()
        };
        let mut pooled = Classification::new(3);
        for part in [&samples[..2], &samples[2..], &[]] {
            pooled.absorb(&summary(part)).unwrap();
        }
        let (mut pooled, whole) = (pooled.summary(), summary(&samples));
        assert!((pooled.loss - whole.loss).abs() < 1e-12);
        pooled.loss = whole.loss;
        assert_eq!(pooled, whole);
        let message = Classification::new(2).absorb(&whole).unwrap_err();
        assert_eq!(
            message.to_string(),
            "expected 2 classes in a summary and found 3"
        );
    }

    #[test]
    fn no_samples_give_zeros_and_not_nan() {
        let summary = Classification::new(2).summary();
        assert_eq!(
            (summary.accuracy, summary.loss, summary.macro_average.f1),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn bad_results_are_refused_with_the_place() {
        let mut results = Classification::new(2);
        assert_eq!(
            results.record(&[1.0], 0).unwrap_err().to_string(),
            "expected 2 logits, one for each class, and found 1"
        );
        assert_eq!(
            results.record(&[1.0, 0.0], 2).unwrap_err().to_string(),
            "label 2 is out of range: there are 2 classes, numbered from 0"
        );
        let message = results.record(&[1.0, f32::NAN], 0).unwrap_err().to_string();
        assert!(
            message.starts_with("the logit of class 1 is NaN"),
            "{message}"
        );
        assert_eq!(results.images(), 0);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let values = log_softmax(&[1000.0, 0.0]);
        assert!(values[0].abs() < 1e-12 && (values[1] + 1000.0).abs() < 1e-9);
    }
}
