//! The one error of this crate: shapes that do not fit together.

use std::fmt;

/// A geometry that cannot exist or a slice whose length does not fit its geometry.
///
/// The message names the quantity and the numbers involved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    message: String,
}

impl ShapeError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// Checks that the slice called `name` has `expected` elements.
    pub(crate) fn check_length(name: &str, actual: usize, expected: usize) -> Result<(), Self> {
        if actual == expected {
            return Ok(());
        }
        Err(Self::new(format!(
            "{name} has {actual} elements, but the shape needs {expected}"
        )))
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ShapeError {}
