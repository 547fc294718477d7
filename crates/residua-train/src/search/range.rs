//! What a setting may be.

use rand::{Rng, RngExt};
use serde::Serialize;

/// The values of a setting among which one is drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Range {
    /// Any number between two: equal differences are equally likely.
    Uniform([f64; 2]),
    /// Any number between two above 0: equal ratios are equally likely.
    LogUniform([f64; 2]),
    /// A whole number between two, both included.
    Integer([i64; 2]),
    /// One of these.
    Choice(Vec<toml::Value>),
}

impl Range {
    /// The names of the forms, as files have them.
    pub const NAMES: [&str; 4] = ["uniform", "log_uniform", "integer", "choice"];

    /// One of the values. Numbers have four digits, more than a setting is worth, and those that are
    /// named in a report can be typed.
    pub(super) fn sample(&self, rng: &mut impl Rng) -> toml::Value {
        match self {
            Self::Uniform([low, high]) => {
                let share: f64 = rng.random();
                rounded(low + share * (high - low), *low, *high)
            }
            Self::LogUniform([low, high]) => {
                let share: f64 = rng.random();
                let logarithm = low.ln() + share * (high.ln() - low.ln());
                rounded(logarithm.exp(), *low, *high)
            }
            Self::Integer([low, high]) => toml::Value::Integer(rng.random_range(*low..=*high)),
            // There is one at least.
            Self::Choice(values) => values[rng.random_range(0..values.len())].clone(),
        }
    }

    /// The values that are tried before a search begins: both ends, or all.
    pub(super) fn extremes(&self) -> Vec<toml::Value> {
        match self {
            Self::Uniform(ends) | Self::LogUniform(ends) => ends.map(toml::Value::Float).into(),
            Self::Integer(ends) => ends.map(toml::Value::Integer).into(),
            Self::Choice(values) => values.clone(),
        }
    }
}

/// With four significant digits, between two numbers.
fn rounded(value: f64, low: f64, high: f64) -> toml::Value {
    let short = format!("{value:.3e}").parse().unwrap_or(value);
    toml::Value::Float(short.clamp(low, high))
}

#[cfg(test)]
mod tests {
    use residua_core::seed::SeedStream;

    use super::*;

    fn draws(range: &Range) -> Vec<toml::Value> {
        let seed = SeedStream::new(3);
        let draw = |index| range.sample(&mut seed.child_index(index).rng());
        (0..2000).map(draw).collect()
    }

    fn numbers(range: &Range) -> Vec<f64> {
        let draws = draws(range);
        draws
            .iter()
            .map(|value| value.as_float().unwrap())
            .collect()
    }

    fn share_below(numbers: &[f64], limit: f64) -> f64 {
        let below = numbers.iter().filter(|&&number| number < limit).count();
        below as f64 / numbers.len() as f64
    }

    #[test]
    fn draws_are_spread_as_their_names_say() {
        let uniform = numbers(&Range::Uniform([-1.0, 3.0]));
        assert!(uniform.iter().all(|number| (-1.0..=3.0).contains(number)));
        // 2000 draws are within 0.045 of a half with four standard deviations.
        assert!((share_below(&uniform, 1.0) - 0.5).abs() < 0.045);
        let logarithmic = numbers(&Range::LogUniform([1e-4, 1.0]));
        assert!(
            logarithmic
                .iter()
                .all(|number| (1e-4..=1.0).contains(number))
        );
        assert!((share_below(&logarithmic, 0.01) - 0.5).abs() < 0.045);
        let whole = draws(&Range::Integer([2, 4]));
        for number in 2..=4 {
            let times = whole
                .iter()
                .filter(|value| value.as_integer() == Some(number));
            assert!((times.count() as f64 / 2000.0 - 1.0 / 3.0).abs() < 0.045);
        }
        let words = Range::Choice(vec!["a".into(), "b".into()]);
        let first = draws(&words)
            .iter()
            .filter(|value| value.as_str() == Some("a"))
            .count();
        assert!((first as f64 / 2000.0 - 0.5).abs() < 0.045);
    }

    #[test]
    fn numbers_are_short_and_ends_are_kept() {
        for number in numbers(&Range::LogUniform([0.012_345_6, 0.012_345_7])) {
            assert!((0.012_345_6..=0.012_345_7).contains(&number), "{number}");
        }
        for number in numbers(&Range::Uniform([0.0, 1.0])) {
            assert!(
                number.to_string().trim_start_matches(['0', '.']).len() <= 4,
                "{number}"
            );
        }
    }
}
