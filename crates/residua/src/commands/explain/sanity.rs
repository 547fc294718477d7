//! Whether maps depend on what was learned (Adebayo et al. 2018, "Sanity Checks for Saliency Maps",
//! §3.1: the model parameter randomization test).

/// What the column says.
pub(super) const MEANING: &str = "\
\nrandom weights: rank correlation with the map of the same network before any training. Maps of what\n\
was learned differ from it; near 1 a method draws the image and not the decision.";

/// Spearman's rank correlation of two maps of the same size; `None` where one of them is the same
/// everywhere.
pub(super) fn rank_correlation(one: &[f32], other: &[f32]) -> Option<f64> {
    let (one, other) = (ranks(one), ranks(other));
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
    let (mean_one, mean_other) = (mean(&one), mean(&other));
    let (mut product, mut square_one, mut square_other) = (0.0, 0.0, 0.0);
    for (a, b) in one.iter().zip(&other) {
        product += (a - mean_one) * (b - mean_other);
        square_one += (a - mean_one).powi(2);
        square_other += (b - mean_other).powi(2);
    }
    let length = (square_one * square_other).sqrt();
    (length > 0.0).then(|| product / length)
}

/// The rank of each number; equal numbers share the mean of their ranks.
fn ranks(numbers: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut begin = 0;
    while begin < order.len() {
        let equal = |index: &&usize| numbers[**index] == numbers[order[begin]];
        let count = order[begin..].iter().take_while(equal).count().max(1);
        let shared = begin as f64 + (count - 1) as f64 / 2.0;
        for index in &order[begin..begin + count] {
            ranks[*index] = shared;
        }
        begin += count;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_order_counts() {
        assert_eq!(
            rank_correlation(&[1.0, 2.0, 9.0], &[0.1, 0.2, 0.3]),
            Some(1.0)
        );
        assert_eq!(
            rank_correlation(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]),
            Some(-1.0)
        );
        assert_eq!(rank_correlation(&[1.0, 2.0], &[5.0, 5.0]), None);
        // Worked by hand: ranks 0.5, 0.5, 2 and 0, 1, 2.
        let shared = rank_correlation(&[1.0, 1.0, 2.0], &[0.0, 1.0, 2.0]).unwrap();
        assert!((shared - 0.75f64.sqrt()).abs() < 1e-12, "{shared}");
    }
}
