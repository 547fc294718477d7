//! A share between nothing and everything.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number strictly between 0 and 1: the share of the training images that is put aside for
/// validation.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(f64);

/// The number is not strictly between 0 and 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a fraction between 0 and 1, such as 0.1, found {0}")]
pub struct FractionError(String);

impl Fraction {
    /// The fraction `value`.
    ///
    /// # Errors
    /// Unless `value` is more than 0 and less than 1.
    pub fn new(value: f64) -> Result<Self, FractionError> {
        if value > 0.0 && value < 1.0 {
            Ok(Self(value))
        } else {
            Err(FractionError(value.to_string()))
        }
    }

    /// The value, more than 0 and less than 1.
    pub fn get(self) -> f64 {
        self.0
    }

    /// How many of `count` things this is, rounded, but at least one and never all of them.
    /// 0 if there are fewer than two.
    pub(crate) fn of(self, count: usize) -> usize {
        match count {
            0 | 1 => 0,
            _ => ((count as f64 * self.0).round() as usize).clamp(1, count - 1),
        }
    }
}

impl TryFrom<f64> for Fraction {
    type Error = FractionError;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> Self {
        fraction.0
    }
}

impl FromStr for Fraction {
    type Err = FractionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = text
            .parse()
            .map_err(|_| FractionError(format!("\"{text}\"")))?;
        Self::new(value)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proper_fractions_exist() {
        assert_eq!("0.25".parse::<Fraction>().unwrap().get(), 0.25);
        for text in ["0", "1", "-0.1", "NaN", "a tenth"] {
            let message = text.parse::<Fraction>().unwrap_err().to_string();
            assert!(
                message.starts_with("expected a fraction between 0 and 1"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_part_is_never_nothing_and_never_everything() {
        let tenth = Fraction::new(0.1).unwrap();
        assert_eq!(
            [0, 1, 2, 10, 100].map(|count| tenth.of(count)),
            [0, 0, 1, 1, 10]
        );
        assert_eq!(Fraction::new(0.99).unwrap().of(3), 2);
    }
}
