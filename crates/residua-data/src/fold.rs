//! One of several parts that are alike.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One of the parts into which cross-validation divides the training images, written as `2/5`: the
/// second of five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Fold {
    index: u32,
    count: u32,
}

/// The text or the numbers name no fold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a fold such as 2/5, the second of five, found {0}")]
pub struct FoldError(String);

impl Fold {
    /// The fold `index` of `count`, counted from 1.
    ///
    /// # Errors
    /// Unless there are at least 2 folds and this is one of them.
    pub fn new(index: u32, count: u32) -> Result<Self, FoldError> {
        if count >= 2 && (1..=count).contains(&index) {
            Ok(Self { index, count })
        } else {
            Err(FoldError(format!("{index}/{count}")))
        }
    }

    /// All folds of so many; none where there are fewer than 2.
    pub fn all(count: u32) -> impl Iterator<Item = Self> {
        (1..=count).filter_map(move |index| Self::new(index, count).ok())
    }

    /// Which one it is, from 1.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.count
    }
}

impl FromStr for Fold {
    type Err = FoldError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || FoldError(format!("\"{text}\""));
        let (index, count) = text.split_once('/').ok_or_else(refused)?;
        match (index.trim().parse(), count.trim().parse()) {
            (Ok(index), Ok(count)) => Self::new(index, count),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

impl TryFrom<String> for Fold {
    type Error = FoldError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fold> for String {
    fn from(fold: Fold) -> Self {
        fold.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_read_back_as_printed() {
        for fold in Fold::all(7) {
            assert_eq!(fold.to_string().parse::<Fold>().unwrap(), fold);
        }
        assert_eq!(" 2 / 5 ".parse::<Fold>().unwrap().to_string(), "2/5");
        assert_eq!(Fold::all(3).map(Fold::index).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(Fold::all(1).count(), 0);
    }

    #[test]
    fn what_is_no_fold_is_refused() {
        for (text, found) in [
            ("0/5", "0/5"),
            ("6/5", "6/5"),
            ("1/1", "1/1"),
            ("2", "\"2\""),
            ("two/five", "\"two/five\""),
            ("2/5/7", "\"2/5/7\""),
        ] {
            let message = text.parse::<Fold>().unwrap_err().to_string();
            let expected = "expected a fold such as 2/5, the second of five, found ";
            assert_eq!(message, format!("{expected}{found}"));
        }
    }
}
