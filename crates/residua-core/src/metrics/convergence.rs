//! How soon a run was good, and how much a figure differs between seeds.

use serde::{Deserialize, Serialize};

use super::{MetricError, finite};

/// Which values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// As with accuracy.
    Higher,
    /// As with loss.
    Lower,
}

/// What [`first_within`] found. Indices count from 0, in the order of the series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Convergence {
    /// Index of the first value within the margin of the best.
    pub index: usize,
    /// That value.
    pub value: f64,
    /// Index of the best value; among equals the first.
    pub best_index: usize,
    /// The best value of the series.
    pub best: f64,
}

/// The first value of a series (an entry for each epoch) that is at most `margin` worse than the best
/// one, in the units of the series: for accuracies as fractions, half a point is 0.005. `None` for an
/// empty series.
///
/// ```
/// use residua_core::metrics::convergence::{Better, first_within};
///
/// let accuracies = [0.61, 0.88, 0.914, 0.911, 0.917];
/// let found = first_within(&accuracies, 0.005, Better::Higher)?.expect("an epoch");
/// assert_eq!((found.index, found.best_index), (2, 4));
/// # Ok::<(), residua_core::metrics::MetricError>(())
/// ```
///
/// # Errors
/// When a value is not finite, or the margin is not a finite number of at least 0.
pub fn first_within(
    series: &[f64],
    margin: f64,
    better: Better,
) -> Result<Option<Convergence>, MetricError> {
    check_values(series)?;
    if !(margin.is_finite() && margin >= 0.0) {
        return Err(MetricError::Setting {
            name: "the margin",
            value: margin,
            expected: "a finite number of at least 0",
        });
    }
    let beats = |a: f64, b: f64| match better {
        Better::Higher => a > b,
        Better::Lower => a < b,
    };
    let best_index = (0..series.len()).reduce(|best, index| {
        if beats(series[index], series[best]) {
            index
        } else {
            best
        }
    });
    let Some(best_index) = best_index else {
        return Ok(None);
    };
    let best = series[best_index];
    // 0.917 - 0.912 is more than 0.005 only because decimals are rounded to 64-bit numbers.
    let rounding = |value: f64| 2.0 * f64::EPSILON * value.abs().max(best.abs());
    let first = series
        .iter()
        .position(|&value| (value - best).abs() <= margin + rounding(value));
    // The best itself is within any margin, so there is a first.
    let index = first.unwrap_or(best_index);
    Ok(Some(Convergence {
        index,
        value: series[index],
        best_index,
        best,
    }))
}

/// Mean and spread of a figure over repetitions, such as runs with different seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The mean; `None` without values.
    pub mean: Option<f64>,
    /// The standard deviation of the sample, `sqrt(sum of (x - mean)^2 / (count - 1))`; `None` for
    /// fewer than two values.
    pub standard_deviation: Option<f64>,
    /// Number of values.
    pub count: usize,
}

impl Summary {
    /// Of these values.
    ///
    /// ```
    /// use residua_core::metrics::convergence::Summary;
    ///
    /// let summary = Summary::of(&[2.0, 4.0, 6.0])?;
    /// assert_eq!((summary.mean, summary.standard_deviation), (Some(4.0), Some(2.0)));
    /// # Ok::<(), residua_core::metrics::MetricError>(())
    /// ```
    ///
    /// # Errors
    /// When a value is not finite. (A result too large for a 64-bit number is `None`.)
    pub fn of(values: &[f64]) -> Result<Self, MetricError> {
        check_values(values)?;
        Ok(Self::of_checked(values))
    }

    /// Of the values that there are and that are finite: a figure may be undefined for some repetitions.
    ///
    /// ```
    /// use residua_core::metrics::convergence::Summary;
    ///
    /// let summary = Summary::of_defined([Some(2.0), None, Some(f64::NAN), Some(6.0)]);
    /// assert_eq!((summary.mean, summary.count), (Some(4.0), 2));
    /// ```
    pub fn of_defined(values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let values = values.into_iter().flatten();
        let finite: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        Self::of_checked(&finite)
    }

    fn of_checked(values: &[f64]) -> Self {
        let count = values.len();
        let mean = finite(values.iter().sum::<f64>() / count as f64);
        let standard_deviation = mean.and_then(|mean| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let degrees = count.checked_sub(1)? as f64;
            finite((squares / degrees).sqrt())
        });
        Self {
            mean,
            standard_deviation,
            count,
        }
    }
}

fn check_values(values: &[f64]) -> Result<(), MetricError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(MetricError::ValueNotFinite {
            what: "value with index",
            index,
            value: values[index],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_within_the_margin() {
        let losses = [3.0, 1.25, 1.0, 1.5, 1.0];
        let index = |margin| {
            let found = first_within(&losses, margin, Better::Lower)
                .unwrap()
                .unwrap();
            assert_eq!((found.best_index, found.best), (2, 1.0));
            assert_eq!(found.value, losses[found.index]);
            found.index
        };
        assert_eq!(
            [index(0.0), index(0.25), index(2.0), index(1e300)],
            [2, 1, 0, 0]
        );
        let falling = first_within(&[5.0, 4.0], 0.5, Better::Higher)
            .unwrap()
            .unwrap();
        assert_eq!((falling.index, falling.best_index), (0, 0));
        let edge = first_within(&[0.912, 0.917], 0.005, Better::Higher).unwrap();
        assert_eq!(edge.map(|found| found.index), Some(0));
        assert_eq!(first_within(&[], 0.5, Better::Higher).unwrap(), None);
    }

    #[test]
    fn few_and_enormous_values_are_defined() {
        let summary = |values: &[f64]| {
            let summary = Summary::of(values).unwrap();
            assert_eq!(summary.count, values.len());
            (summary.mean, summary.standard_deviation)
        };
        assert_eq!(summary(&[]), (None, None));
        assert_eq!(summary(&[0.5]), (Some(0.5), None));
        assert_eq!(summary(&[0.5, 0.5]), (Some(0.5), Some(0.0)));
        assert_eq!(summary(&[f64::MAX, f64::MAX]), (None, None));
        assert_eq!(summary(&[f64::MAX, f64::MIN]), (Some(0.0), None));
    }

    #[test]
    fn bad_values_are_refused_with_the_place() {
        let error = Summary::of(&[1.0, f64::NAN]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the value with index 1 is NaN: expected a finite number"
        );
        assert!(first_within(&[f64::INFINITY], 0.1, Better::Lower).is_err());
        for margin in [-0.1, f64::NAN, f64::INFINITY] {
            let error = first_within(&[1.0], margin, Better::Lower).unwrap_err();
            assert!(error.to_string().starts_with("the margin is"), "{error}");
        }
    }
}
