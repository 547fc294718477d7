//! Numbers as people read them. What is not finite is a dash.

use residua_core::metrics::convergence::Summary;
use residua_core::task::Measure;
pub(crate) use residua_core::text::grouped;

/// What stands for a figure that does not exist.
pub(crate) const NONE: &str = "–";

/// Between a number and its unit, where no line may break.
const NO_BREAK: char = '\u{a0}';

/// `0.8674` with one decimal as `86.7 %`.
pub(crate) fn percent(fraction: f64, decimals: usize) -> String {
    if fraction.is_finite() {
        format!("{}{NO_BREAK}%", points(fraction, decimals))
    } else {
        NONE.to_owned()
    }
}

/// `0.8674` with one decimal as `86.7`, for a column that says percent.
pub(crate) fn points(fraction: f64, decimals: usize) -> String {
    decimal(fraction * 100.0, decimals)
}

/// With this many decimals, and never `-0`.
pub(crate) fn decimal(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let text = format!("{value:.decimals$}");
    let is_zero = text.bytes().all(|byte| !(b'1'..=b'9').contains(&byte));
    match text.strip_prefix('-') {
        Some(rest) if is_zero => rest.to_owned(),
        _ => text,
    }
}

/// What runs are compared by, in its unit: `86.74 %`, or `0.8674`.
pub(crate) fn score(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Accuracy => percent(value, 2),
        Measure::RocAuc => decimal(value, 4),
    }
}

/// The same of a figure that may not exist.
pub(crate) fn optional(value: Option<f64>, write: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), write)
}

/// `94.52 ± 0.13`; the mean alone where there is no deviation.
pub(crate) fn with_spread(summary: Summary, write: impl Fn(f64) -> String) -> String {
    match (summary.mean, summary.standard_deviation) {
        (Some(mean), Some(deviation)) => {
            format!("{}{NO_BREAK}±{NO_BREAK}{}", write(mean), write(deviation))
        }
        (Some(mean), None) => write(mean),
        (None, _) => NONE.to_owned(),
    }
}

/// With about three digits, whatever the size: `0.012`, `1.23`, `123`, `12,345`.
pub(crate) fn significant(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size < 1e-3 {
        format!("{value:.1e}")
    } else {
        with_decimals(value, decimals_of(value))
    }
}

/// `94.5 ± 0.1`, a mean with about three digits and a deviation with as many decimals.
pub(crate) fn with_deviation(mean: f64, deviation: f64) -> String {
    let decimals = decimals_of(mean);
    format!(
        "{}{NO_BREAK}±{NO_BREAK}{}",
        with_decimals(mean, decimals),
        with_decimals(deviation, decimals)
    )
}

/// Decimals that leave about three digits.
fn decimals_of(value: f64) -> usize {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    }
}

fn with_decimals(value: f64, decimals: usize) -> String {
    let size = value.abs();
    if decimals == 0 && (1000.0..1e15).contains(&size) {
        let sign = if value < 0.0 { "-" } else { "" };
        format!("{sign}{}", grouped(size.round() as u64))
    } else {
        decimal(value, decimals)
    }
}

/// `1` as `1 image`, `1234` as `1,234 images`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{}{NO_BREAK}{word}", grouped(number))
}

/// At most four digits and the prefix of a power of 1000: `269.7 k`, `11.69 M`.
pub(crate) fn compact(number: u64) -> String {
    const PREFIXES: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if number < 1000 {
        return number.to_string();
    }
    let mut value = number as f64 / 1000.0;
    let mut prefix = 0;
    // 999.95 would be written 1000.0.
    while value >= 999.95 && prefix + 1 < PREFIXES.len() {
        value /= 1000.0;
        prefix += 1;
    }
    let decimals = if value < 99.995 { 2 } else { 1 };
    format!("{value:.decimals$}{NO_BREAK}{}", PREFIXES[prefix])
}

/// A span of time with two units at most: `41.3 s`, `6 min 39 s`, `2 h 05 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.to_owned();
    }
    if seconds < 59.95 {
        let decimals = if seconds < 0.995 { 2 } else { 1 };
        return format!("{seconds:.decimals$}{NO_BREAK}s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{}{NO_BREAK}h {minutes:02}{NO_BREAK}min", grouped(hours))
    } else {
        format!("{minutes}{NO_BREAK}min {seconds:02}{NO_BREAK}s")
    }
}

/// The middle one of the values that are finite; the mean of the two in the middle when their number
/// is even. `None` without any.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len().is_multiple_of(2) {
        let lower = values.get(middle.checked_sub(1)?)?;
        Some(lower + (upper - lower) / 2.0)
    } else {
        Some(upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: String) -> String {
        text.replace(NO_BREAK, " ")
    }

    #[test]
    fn shares() {
        assert_eq!(plain(percent(0.8674, 2)), "86.74 %");
        assert_eq!(percent(f64::NAN, 1), "–");
        assert_eq!(points(-0.0001, 1), "0.0");
        assert_eq!(decimal(-0.16, 1), "-0.2");
    }

    #[test]
    fn sizes() {
        let texts = [0.0, 0.00012, 0.01234, 1.234, 12.34, 123.4, -12345.6].map(significant);
        let expected = ["0", "1.2e-4", "0.012", "1.23", "12.3", "123", "-12,346"];
        assert_eq!(texts, expected);
        assert_eq!(plain(with_deviation(41.0, 0.0)), "41.0 ± 0.0");
        assert_eq!(plain(with_deviation(1234.4, 60.2)), "1,234 ± 60");
        let texts = [999, 1_000, 269_722, 11_689_512, 999_999, u64::MAX].map(compact);
        let expected = ["999", "1.00 k", "269.7 k", "11.69 M", "1.00 M", "18.45 E"];
        assert_eq!(texts.map(plain), expected);
        assert_eq!(plain(counted(1, "image", "images")), "1 image");
    }

    #[test]
    fn times() {
        let texts = [0.123, 41.26, 59.96, 398.99, 3599.7, 7500.0, f64::INFINITY].map(duration);
        let expected = [
            "0.12 s",
            "41.3 s",
            "1 min 00 s",
            "6 min 39 s",
            "1 h 00 min",
            "2 h 05 min",
            "–",
        ];
        assert_eq!(texts.map(plain), expected);
    }

    #[test]
    fn middles() {
        assert_eq!(median([3.0, f64::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
        assert_eq!(median([]), None);
    }
}
