//! What can be wrong with predictions, and where.

use thiserror::Error;

/// Why a result could not be recorded or judged.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum MetricError {
    /// The number of logits is not the number of classes.
    #[error("expected {expected} logits, one for each class, and found {found}")]
    WrongWidth {
        /// Number of classes.
        expected: usize,
        /// Number of logits given.
        found: usize,
    },
    /// The label does not name a class.
    #[error("label {label} is out of range: there are {classes} classes, numbered from 0")]
    LabelOutOfRange {
        /// The offending label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A logit is NaN or infinite, so that no class can be called the most likely.
    #[error(
        "the logit of class {class} is {value}: the network's output is not finite \
         (its weights or its input contain NaN or infinity)"
    )]
    NotFinite {
        /// Index of the class.
        class: usize,
        /// The value found.
        value: f32,
    },
    /// Something is wrong with one sample of many.
    #[error("sample {sample}: {problem}")]
    AtSample {
        /// Index of the sample, from 0.
        sample: usize,
        /// What is wrong with it.
        problem: Box<MetricError>,
    },
    /// Two lists that belong together differ in length.
    #[error("expected {expected} {what} and found {found}")]
    WrongLength {
        /// What the list holds, in the plural.
        what: &'static str,
        /// The number that fits the other list.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// A list of rows ends within a row.
    #[error("{found} values are not whole rows of {classes}, one value for each class")]
    NotWholeRows {
        /// Number of values given.
        found: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A probability is not between 0 and 1.
    #[error(
        "the probability of class {class} is {value}: expected 0 to 1 \
         (logits are to be given as logits)"
    )]
    NotAProbability {
        /// Index of the class.
        class: usize,
        /// The value found.
        value: f32,
    },
    /// The probabilities of a sample do not add up to 1.
    #[error(
        "the probabilities add up to {sum:.4}: expected 1 within {tolerance} \
         (independent labels are judged by `multilabel`)"
    )]
    WrongSum {
        /// The sum found.
        sum: f64,
        /// The largest difference from 1 that is accepted.
        tolerance: f64,
    },
    /// A number in a list is NaN or infinite.
    #[error("the {what} {index} is {value}: expected a finite number")]
    ValueNotFinite {
        /// What the number is, to be followed by its index.
        what: &'static str,
        /// Index of the number, from 0.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// A setting of a metric is out of its range.
    #[error("{name} is {value}: expected {expected}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// The value found.
        value: f64,
        /// The range.
        expected: &'static str,
    },
}

impl MetricError {
    /// The same problem with the sample that has it.
    pub(super) fn at_sample(self, sample: usize) -> Self {
        Self::AtSample {
            sample,
            problem: Box::new(self),
        }
    }
}
