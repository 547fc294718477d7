//! Temperature scaling: the one number that best mends a network's confidence.
//!
//! Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2:
//! logits are divided by a temperature `T`, chosen on validation data to minimise the negative log
//! likelihood. The most likely class, and so the accuracy, stays as it is.
//!
//! With `b = 1 / T` the mean loss is convex in `b`:
//!
//! ```text
//! f(b)   = mean over samples of ( ln sum over c of exp(b z_c) - b z_label )
//! f'(b)  = mean over samples of ( E_p[z] - z_label )
//! f''(b) = mean over samples of Var_p[z] >= 0          with p = softmax(b z)
//! ```
//!
//! so Newton's method finds the root of `f'`; a bracket around the root guards each step.

use serde::{Deserialize, Serialize};

use super::calibration::negative_log_likelihood;
use super::{MetricError, Predictions};

/// The lowest temperature that [`fit_temperature`] gives.
pub const LOWEST_TEMPERATURE: f64 = 0.01;

/// The highest temperature that [`fit_temperature`] gives.
pub const HIGHEST_TEMPERATURE: f64 = 100.0;

/// Bisection alone would reach the precision of 64-bit numbers in fewer steps.
const MOST_STEPS: usize = 100;

/// Steps end when they change the temperature by less than this share.
const PRECISION: f64 = 1e-12;

/// What [`fit_temperature`] found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TemperatureScaling {
    /// The number to divide logits by.
    pub temperature: f64,
    /// Mean cross entropy in nats at temperature 1; `None` without samples.
    pub negative_log_likelihood_before: Option<f64>,
    /// Mean cross entropy in nats at the temperature found, never more than before.
    pub negative_log_likelihood_after: Option<f64>,
    /// Whether the loss would fall further beyond [`LOWEST_TEMPERATURE`] (every sample is right) or
    /// [`HIGHEST_TEMPERATURE`] (the logits say nothing about the labels).
    pub at_bound: bool,
}

/// The temperature between [`LOWEST_TEMPERATURE`] and [`HIGHEST_TEMPERATURE`] that minimises the
/// negative log likelihood of these logits `[samples, classes]`.
///
/// It is 1 where no temperature is better than another: without samples, with one class, where the
/// logits of each sample are equal, or where the loss is 0 as it is.
///
/// # Errors
/// When the lengths do not fit, a label names no class, or a logit is not finite.
pub fn fit_temperature(
    logits: &[f32],
    classes: usize,
    labels: &[u32],
) -> Result<TemperatureScaling, MetricError> {
    let loss = |temperature| {
        let predictions = Predictions::from_logits(logits, classes, labels, temperature)?;
        Ok(negative_log_likelihood(&predictions))
    };
    let before = loss(1.0)?;
    let (temperature, at_bound) = minimise(logits, classes, labels);
    let after = loss(temperature)?;
    let found = TemperatureScaling {
        temperature,
        negative_log_likelihood_before: before,
        negative_log_likelihood_after: after,
        at_bound,
    };
    // Where the minimum is at 1 within rounding, rounding must not make it worse.
    let worse = match (before, after) {
        (Some(before), Some(after)) => after > before,
        _ => true,
    };
    Ok(if worse {
        TemperatureScaling {
            temperature: 1.0,
            negative_log_likelihood_after: before,
            at_bound: false,
            ..found
        }
    } else {
        found
    })
}

/// The temperature, and whether it is a bound, for predictions that have been checked.
fn minimise(logits: &[f32], classes: usize, labels: &[u32]) -> (f64, bool) {
    let slope_at = |inverse| Slope::new(logits, classes, labels, inverse);
    let (mut low, mut high) = (1.0 / HIGHEST_TEMPERATURE, 1.0 / LOWEST_TEMPERATURE);
    let mut inverse = 1.0;
    let mut slope = slope_at(inverse);
    if slope.first == 0.0 {
        return (1.0, false);
    }
    if slope.first > 0.0 {
        high = inverse;
        if slope_at(low).first >= 0.0 {
            return (HIGHEST_TEMPERATURE, true);
        }
    } else {
        low = inverse;
        if slope_at(high).first <= 0.0 {
            return (LOWEST_TEMPERATURE, true);
        }
    }
    let mut last_step = high - low;
    for _ in 0..MOST_STEPS {
        let newton = inverse - slope.first / slope.second;
        let step = (newton - inverse).abs();
        // NaN and infinity, from a second derivative of 0, are not in the bracket either.
        let next = if newton > low && newton < high && step <= 0.5 * last_step {
            newton
        } else {
            (low * high).sqrt()
        };
        last_step = (next - inverse).abs();
        inverse = next;
        if last_step <= PRECISION * inverse {
            break;
        }
        slope = slope_at(inverse);
        if slope.first > 0.0 {
            high = inverse;
        } else if slope.first < 0.0 {
            low = inverse;
        } else {
            break;
        }
    }
    (1.0 / inverse, false)
}

/// The derivatives of the summed loss with respect to the inverse temperature.
struct Slope {
    first: f64,
    second: f64,
}

impl Slope {
    fn new(logits: &[f32], classes: usize, labels: &[u32], inverse: f64) -> Self {
        let mut slope = Self {
            first: 0.0,
            second: 0.0,
        };
        for (row, &label) in logits.chunks(classes.max(1)).zip(labels) {
            let largest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
            let (mut sum, mut sum_of_gaps, mut sum_of_squares) = (0.0, 0.0, 0.0);
            for &logit in row {
                let gap = f64::from(logit) - largest;
                let weight = (inverse * gap).exp();
                sum += weight;
                sum_of_gaps += weight * gap;
                sum_of_squares += weight * gap * gap;
            }
            let mean = sum_of_gaps / sum;
            slope.first += mean - (f64::from(row[label as usize]) - largest);
            slope.second += (sum_of_squares / sum - mean * mean).max(0.0);
        }
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_have_a_closed_form() {
        // Each of ten samples says class 0 by 4 nats; seven are right. The best probability is 0.7.
        let logits = [4.0, 0.0].repeat(10);
        let labels = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1];
        let found = fit_temperature(&logits, 2, &labels).unwrap();
        let expected = 4.0 / (0.7_f64 / 0.3).ln();
        assert!(
            (found.temperature / expected - 1.0).abs() < 1e-9,
            "{found:?}"
        );
        let entropy = -(0.7 * 0.7_f64.ln() + 0.3 * 0.3_f64.ln());
        assert!((found.negative_log_likelihood_after.unwrap() - entropy).abs() < 1e-12);
        assert!(found.negative_log_likelihood_before > found.negative_log_likelihood_after);
        assert!(!found.at_bound);
    }

    #[test]
    fn degenerate_logits_keep_the_temperature() {
        let temperature = |logits: &[f32], classes, labels: &[u32]| {
            let found = fit_temperature(logits, classes, labels).unwrap();
            assert!(!found.at_bound);
            found.temperature
        };
        assert_eq!(temperature(&[], 3, &[]), 1.0);
        assert_eq!(temperature(&[], 0, &[]), 1.0);
        assert_eq!(temperature(&[3.0, -1.0], 1, &[0, 0]), 1.0);
        assert_eq!(temperature(&[2.0, 2.0, 5.0, 5.0], 2, &[0, 1]), 1.0);
        assert_eq!(temperature(&[9000.0, 0.0], 2, &[0]), 1.0);
    }

    #[test]
    fn a_loss_without_a_minimum_ends_at_a_bound() {
        let right = fit_temperature(&[1.0, 0.0, 0.0, 2.0], 2, &[0, 1]).unwrap();
        assert_eq!(
            (right.temperature, right.at_bound),
            (LOWEST_TEMPERATURE, true)
        );
        let wrong = fit_temperature(&[1.0, 0.0, 0.0, 2.0], 2, &[1, 0]).unwrap();
        assert_eq!(
            (wrong.temperature, wrong.at_bound),
            (HIGHEST_TEMPERATURE, true)
        );
        let enormous = [f32::MAX, f32::MIN, f32::MIN, f32::MAX];
        let wrong = fit_temperature(&enormous, 2, &[1, 0]).unwrap();
        assert_eq!(wrong.temperature, HIGHEST_TEMPERATURE);
        assert!(wrong.negative_log_likelihood_after.unwrap().is_finite());
    }

    #[test]
    fn bad_logits_are_refused() {
        assert!(fit_temperature(&[f32::NAN, 0.0], 2, &[0]).is_err());
        assert!(fit_temperature(&[1.0, 0.0], 2, &[2]).is_err());
        assert!(fit_temperature(&[1.0], 2, &[0]).is_err());
    }
}
