//! From which probability on a label is predicted.

use super::MultilabelPredictions;

/// What is taken where nothing speaks for another.
const HALF: f32 = 0.5;

impl MultilabelPredictions<'_> {
    /// For each label the threshold with the highest F1 on these samples, whose scores are
    /// probabilities.
    ///
    /// A threshold lies in the middle between two neighbouring probabilities (of the lowest and 0,
    /// below which everything is predicted), or at a half where that divides the samples alike. Of
    /// equally good ones the one nearest a half is taken, and a half for a label without positives.
    pub fn best_thresholds(&self) -> Vec<f32> {
        (0..self.labels)
            .map(|label| self.best_threshold(label))
            .collect()
    }

    fn best_threshold(&self, label: usize) -> f32 {
        let mut samples: Vec<(f32, bool)> = self.column(label).collect();
        samples.sort_by(|a, b| b.0.total_cmp(&a.0));
        let positives = samples.iter().filter(|(_, target)| *target).count();
        if positives == 0 {
            return HALF;
        }
        let mut best = (0.0, HALF);
        let mut hits = 0;
        for (index, &(score, target)) in samples.iter().enumerate() {
            hits += usize::from(target);
            let next = samples.get(index + 1).map_or(0.0, |(next, _)| *next);
            let is_last_of_tie = index + 1 == samples.len() || next != score;
            if !is_last_of_tie {
                continue;
            }
            let f1 = (2 * hits) as f64 / (index + 1 + positives) as f64;
            let threshold = between(next, score);
            let is_nearer = (threshold - HALF).abs() < (best.1 - HALF).abs();
            if f1 > best.0 || (f1 == best.0 && is_nearer) {
                best = (f1, threshold);
            }
        }
        best.1
    }
}

/// Above `lower` and not above `upper`: a half where that is there, or the middle.
fn between(lower: f32, upper: f32) -> f32 {
    if lower < HALF && HALF <= upper {
        return HALF;
    }
    let middle = ((f64::from(lower) + f64::from(upper)) / 2.0) as f32;
    match middle > lower {
        true => middle,
        // Between neighbouring numbers there is none.
        false => upper,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn best(scores: &[f32], targets: &[bool]) -> f32 {
        let predictions = MultilabelPredictions::new(scores, targets, 1).unwrap();
        predictions.best_thresholds()[0]
    }

    #[test]
    fn the_highest_f1_decides() {
        // Cuts after 0.9, 0.6, 0.3, 0.1: F1 is 2/3, 1/2, 4/5, 2/3.
        let scores = [0.1, 0.9, 0.3, 0.6];
        assert_eq!(best(&scores, &[false, true, true, false]), 0.2);
        // 0.5 divides as the middle of 0.3 and 0.6 does.
        assert_eq!(best(&scores, &[false, true, false, true]), 0.5);
        assert_eq!(best(&[0.2, 0.1], &[true, false]), 0.15);
        assert_eq!(best(&[0.2, 0.1], &[true, true]), 0.05);
        assert_eq!(best(&[0.2, 0.1], &[false, false]), 0.5);
        assert_eq!(best(&[], &[]), 0.5);
    }

    #[test]
    fn of_equals_the_nearest_to_a_half_is_taken() {
        // F1 is 2/3 after 0.875, 1/2 and 2/5 then, and 2/3 after 0.125.
        let scores = [0.875, 0.75, 0.25, 0.125];
        assert_eq!(best(&scores, &[true, false, false, true]), 0.8125);
        // Scores that are equal are on one side.
        assert_eq!(best(&[0.8, 0.8, 0.8], &[true, false, true]), 0.5);
    }

    proptest! {
        /// Every division of the samples is that of one of their scores as the threshold.
        #[test]
        fn no_other_threshold_is_better(samples in vec((0_u8..=20, any::<bool>()), 1..40)) {
            let scores: Vec<f32> = samples.iter().map(|(score, _)| f32::from(*score) / 20.0).collect();
            let targets: Vec<bool> = samples.iter().map(|(_, target)| *target).collect();
            let predictions = MultilabelPredictions::new(&scores, &targets, 1).unwrap();
            let f1 = |threshold: f32| {
                predictions.at_thresholds(&[threshold]).unwrap().per_label[0].f1
            };
            let best = predictions.best_thresholds()[0];
            prop_assert!((0.0..=1.0).contains(&best));
            for &threshold in &scores {
                prop_assert!(f1(best) >= f1(threshold), "{} and {}", best, threshold);
            }
            prop_assert!(f1(best) > f1(0.5) || best == 0.5, "{}", best);
        }
    }

    #[test]
    fn neighbouring_numbers_can_be_told_apart() {
        let upper = 0.75_f32;
        let lower = upper.next_down();
        let threshold = best(&[upper, lower], &[true, false]);
        assert!(lower < threshold && threshold <= upper);
        let sure = [1.0_f32, 1.0_f32.next_down()];
        assert_eq!(best(&sure, &[true, false]), 1.0);
        assert_eq!(best(&[0.0, 0.0], &[true, false]), 0.0);
    }
}
