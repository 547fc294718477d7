//! What is asked about an image: which class it shows, or which of the classes.

use serde::{Deserialize, Serialize};

use crate::metrics::most_likely;

/// What is asked about an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Which of the classes it shows: exactly one.
    #[default]
    SingleLabel,
    /// Which of the classes it shows: any number of them, or none.
    MultiLabel,
}

impl Task {
    /// The figure by which validations are compared.
    pub fn measure(self) -> Measure {
        match self {
            Self::SingleLabel => Measure::Accuracy,
            Self::MultiLabel => Measure::RocAuc,
        }
    }
}

/// The figure by which validations are compared; the higher, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The share of the images that were recognised.
    Accuracy,
    /// The area under the ROC curve, as the mean over the classes that have it.
    RocAuc,
}

impl Measure {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::RocAuc => "mean ROC-AUC",
        }
    }

    /// What it is called in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::RocAuc => "roc_auc",
        }
    }

    /// A value as people read it: an accuracy in percent, an area as a fraction.
    pub fn written(self, value: f64) -> String {
        match self {
            Self::Accuracy => format!("{:.2} %", 100.0 * value),
            Self::RocAuc => format!("{value:.4}"),
        }
    }
}

/// How the logits of a network become an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Decision {
    /// The class of the largest logit.
    #[default]
    MostLikely,
    /// Every class whose probability, the sigmoid of its logit, is at least its threshold.
    Thresholds {
        /// Between 0 and 1, one for each class.
        thresholds: Vec<f32>,
    },
}

impl Decision {
    /// Thresholds of a half, which is what they are before anything is known.
    pub fn halves(classes: usize) -> Self {
        Self::Thresholds {
            thresholds: vec![0.5; classes],
        }
    }

    /// The task that is decided like this.
    pub fn task(&self) -> Task {
        match self {
            Self::MostLikely => Task::SingleLabel,
            Self::Thresholds { .. } => Task::MultiLabel,
        }
    }

    /// Whether it suits so many classes; if not, what was expected.
    ///
    /// # Errors
    /// With a sentence about the thresholds.
    pub fn check(&self, classes: usize) -> Result<(), String> {
        let Self::Thresholds { thresholds } = self else {
            return Ok(());
        };
        if thresholds.len() != classes {
            return Err(format!(
                "its record has {} thresholds; expected {classes}, one for each class",
                thresholds.len()
            ));
        }
        match thresholds
            .iter()
            .find(|value| !(0.0..=1.0).contains(*value))
        {
            Some(value) => Err(format!(
                "its record has a threshold of {value}; expected 0 to 1"
            )),
            None => Ok(()),
        }
    }

    /// The classes that an image shows, of which these are the probabilities.
    pub fn chosen(&self, probabilities: &[f32]) -> Vec<usize> {
        match self {
            Self::MostLikely => most_likely(probabilities).into_iter().collect(),
            Self::Thresholds { thresholds } => {
                let pairs = probabilities.iter().zip(thresholds).enumerate();
                pairs
                    .filter(|(_, (probability, threshold))| probability >= threshold)
                    .map(|(class, _)| class)
                    .collect()
            }
        }
    }

    pub(crate) fn is_most_likely(&self) -> bool {
        *self == Self::MostLikely
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_fit_the_classes() {
        assert_eq!(Decision::halves(3).check(3), Ok(()));
        assert_eq!(Decision::MostLikely.check(7), Ok(()));
        assert!(
            Decision::halves(3)
                .check(2)
                .unwrap_err()
                .contains("expected 2")
        );
        for value in [-0.1, 1.5, f32::NAN] {
            let thresholds = vec![0.5, value];
            let problem = Decision::Thresholds { thresholds }.check(2).unwrap_err();
            assert!(problem.ends_with("expected 0 to 1"), "{problem}");
        }
    }

    #[test]
    fn a_class_is_chosen_from_its_threshold_on() {
        let thresholds = vec![0.5, 0.25, 0.75];
        let decision = Decision::Thresholds { thresholds };
        assert_eq!(decision.chosen(&[0.5, 0.2, 0.9]), [0, 2]);
        assert_eq!(decision.chosen(&[0.4, 0.2, 0.7]), [0_usize; 0]);
        assert_eq!(Decision::MostLikely.chosen(&[0.1, 0.7, 0.2]), [1]);
    }

    #[test]
    fn measures_are_written_in_their_units() {
        assert_eq!(Task::SingleLabel.measure().written(0.86741), "86.74 %");
        assert_eq!(Task::MultiLabel.measure().written(0.86741), "0.8674");
    }
}
