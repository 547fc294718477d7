//! Order statistics of measured values.

/// The value below which `fraction` of the values lie, interpolated between neighbours in order
/// (R's type 7); 0 without values.
pub(crate) fn quantile(values: &[f64], fraction: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = fraction * sorted.len().saturating_sub(1) as f64;
    let below = position.floor() as usize;
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(low), Some(high)) => low + (high - low) * position.fract(),
        (Some(only), None) => *only,
        _ => 0.0,
    }
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_between_the_middle_values() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn quartiles_divide_the_order_into_four() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        let quartiles = [0.0, 0.25, 0.75, 1.0].map(|fraction| quantile(&values, fraction));
        assert_eq!(quartiles, [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(quantile(&[1.0, 2.0], 0.25), 1.25);
    }
}
