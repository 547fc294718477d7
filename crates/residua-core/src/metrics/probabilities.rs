//! From logits to probabilities: the softmax with a temperature, and the sigmoid, in 64-bit arithmetic.
//!
//! ```text
//! softmax(z / T)_c = exp(z_c / T) / sum over k of exp(z_k / T)
//! ```
//!
//! A temperature `T` above 1 makes the probabilities more equal, one below 1 less; the order of
//! the classes stays. 1 is the ordinary softmax.

use super::{MetricError, check_finite};

/// The softmax of one sample's `logits / temperature`, as many values as logits.
///
/// The largest logit is subtracted first, so nothing overflows. Without logits the result is empty.
///
/// ```
/// use residua_core::metrics::probabilities::softmax;
///
/// assert_eq!(softmax(&[3.0, 3.0], 1.0)?, [0.5, 0.5]);
/// # Ok::<(), residua_core::metrics::MetricError>(())
/// ```
///
/// # Errors
/// When a logit is not finite, or the temperature is not a finite number above 0.
pub fn softmax(logits: &[f32], temperature: f64) -> Result<Vec<f64>, MetricError> {
    check_temperature(temperature)?;
    check_finite(logits)?;
    let mut values = Vec::with_capacity(logits.len());
    append_softmax(logits, temperature, &mut values);
    Ok(values)
}

/// The probability of a yes, `1 / (1 + exp(-logit))`, for logits that decide about one class each.
pub fn sigmoid(logit: f32) -> f64 {
    let logit = f64::from(logit);
    // The exponent of a positive number could overflow.
    let small = (-logit.abs()).exp();
    match logit >= 0.0 {
        true => 1.0 / (1.0 + small),
        false => small / (1.0 + small),
    }
}

/// The softmax of each row of `logits / temperature`, `[samples, classes]` to the same shape.
///
/// # Errors
/// When the logits are not whole rows, one of them is not finite (with the sample), or the
/// temperature is not a finite number above 0.
pub fn softmax_rows(
    logits: &[f32],
    classes: usize,
    temperature: f64,
) -> Result<Vec<f64>, MetricError> {
    check_temperature(temperature)?;
    let whole = logits.is_empty() || (classes > 0 && logits.len().is_multiple_of(classes));
    if !whole {
        return Err(MetricError::NotWholeRows {
            found: logits.len(),
            classes,
        });
    }
    let mut values = Vec::with_capacity(logits.len());
    for (sample, row) in logits.chunks(classes.max(1)).enumerate() {
        check_finite(row).map_err(|problem| problem.at_sample(sample))?;
        append_softmax(row, temperature, &mut values);
    }
    Ok(values)
}

/// Refuses a temperature by which logits cannot be divided.
pub(super) fn check_temperature(temperature: f64) -> Result<(), MetricError> {
    if temperature.is_finite() && temperature > 0.0 {
        return Ok(());
    }
    Err(MetricError::Setting {
        name: "the temperature",
        value: temperature,
        expected: "a finite number above 0",
    })
}

/// What the exponentials of a row are divided by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Normaliser {
    largest: f64,
    temperature: f64,
    /// Sum of `exp((z - largest) / T)` over all classes but one that has the largest logit, whose
    /// term is 1. Kept without it, so that a probability close to 1 keeps its distance from 1.
    others: f64,
}

impl Normaliser {
    /// Of finite logits and a valid temperature.
    pub(super) fn new(logits: &[f32], temperature: f64) -> Self {
        let best = super::most_likely(logits);
        let largest = best.map_or(0.0, |class| f64::from(logits[class]));
        let others = logits.iter().enumerate();
        let others = others
            .filter(|&(class, _)| Some(class) != best)
            .map(|(_, &logit)| ((f64::from(logit) - largest) / temperature).exp())
            .sum();
        Self {
            largest,
            temperature,
            others,
        }
    }

    pub(super) fn probability(&self, logit: f32) -> f64 {
        self.exponent(logit).exp() / (1.0 + self.others)
    }

    pub(super) fn log_probability(&self, logit: f32) -> f64 {
        self.exponent(logit) - self.others.ln_1p()
    }

    fn exponent(&self, logit: f32) -> f64 {
        (f64::from(logit) - self.largest) / self.temperature
    }
}

/// Appends the softmax of a row of finite logits.
pub(super) fn append_softmax(logits: &[f32], temperature: f64, values: &mut Vec<f64>) {
    let normaliser = Normaliser::new(logits, temperature);
    values.extend(logits.iter().map(|&logit| normaliser.probability(logit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_ordinary_softmax() {
        let values = softmax_rows(&[0.0, 1.0, 2.0, -1.0, -1.0, 3.0], 3, 1.0).unwrap();
        for (row, logits) in values
            .chunks(3)
            .zip([[0.0_f64, 1.0, 2.0], [-1.0, -1.0, 3.0]])
        {
            let sum: f64 = logits.iter().map(|z| z.exp()).sum();
            for (value, logit) in row.iter().zip(logits) {
                assert!((value - logit.exp() / sum).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn a_temperature_divides_the_logits() {
        let halved = softmax(&[0.5, 1.0, -2.0], 1.0).unwrap();
        assert_eq!(softmax(&[1.0, 2.0, -4.0], 2.0).unwrap(), halved);
    }

    #[test]
    fn extreme_logits_and_temperatures_stay_finite() {
        let largest = f32::MAX;
        assert_eq!(softmax(&[largest, -largest], 1e-300).unwrap(), [1.0, 0.0]);
        assert_eq!(softmax(&[largest, -largest], 1e300).unwrap(), [0.5, 0.5]);
        assert_eq!(softmax(&[7.0], 3.0).unwrap(), [1.0]);
        assert!(softmax(&[], 1.0).unwrap().is_empty());
        assert!(softmax_rows(&[], 0, 1.0).unwrap().is_empty());
    }

    #[test]
    fn a_probability_close_to_one_keeps_its_logarithm() {
        let logits = [50.0, 0.0];
        let log = Normaliser::new(&logits, 1.0).log_probability(logits[0]);
        assert!((log + (-50.0_f64).exp()).abs() < 1e-35, "{log}");
    }

    #[test]
    fn the_sigmoid_is_finite_and_symmetric() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!((sigmoid(f32::MAX), sigmoid(f32::MIN)), (1.0, 0.0));
        for logit in [0.1_f32, 1.0, 5.0, 30.0] {
            let direct = 1.0 / (1.0 + (-f64::from(logit)).exp());
            assert!((sigmoid(logit) - direct).abs() < 1e-15);
            assert!((sigmoid(logit) + sigmoid(-logit) - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn bad_input_is_refused_with_the_place() {
        let message = |result: Result<Vec<f64>, MetricError>| result.unwrap_err().to_string();
        assert!(
            message(softmax_rows(&[0.0, 1.0, f32::INFINITY, 0.0], 2, 1.0))
                .starts_with("sample 1: the logit of class 0 is inf")
        );
        assert_eq!(
            message(softmax_rows(&[0.0, 1.0, 2.0], 2, 1.0)),
            "3 values are not whole rows of 2, one value for each class"
        );
        assert!(softmax_rows(&[0.0], 0, 1.0).is_err());
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(message(softmax(&[0.0], temperature)).starts_with("the temperature is"));
        }
    }
}
