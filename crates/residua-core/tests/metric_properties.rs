//! What holds for metrics of any predictions.

use std::time::Instant;

use proptest::prelude::*;
use residua_core::metrics::bootstrap::{BootstrapSettings, classification_intervals, interval};
use residua_core::metrics::multilabel::MultilabelPredictions;
use residua_core::metrics::ranking::{BinaryRanking, one_versus_rest, rankings};
use residua_core::metrics::temperature::{
    HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, fit_temperature,
};
use residua_core::metrics::{Predictions, calibration};
use residua_core::seed::SeedStream;

/// Scores on a coarse grid, so that some are equal, and whether each is a positive.
fn ranked_samples() -> impl Strategy<Value = Vec<(i16, bool)>> {
    prop::collection::vec((-40_i16..40, any::<bool>()), 0..80)
}

/// Logits and labels of up to 40 samples of up to 6 classes.
fn labelled_logits() -> impl Strategy<Value = (usize, Vec<f32>, Vec<u32>)> {
    (1_usize..6, 0_usize..40, 0.01_f32..60.0).prop_flat_map(|(classes, samples, scale)| {
        (
            Just(classes),
            prop::collection::vec(-scale..scale, classes * samples),
            prop::collection::vec(0..classes as u32, samples),
        )
    })
}

/// The share of pairs in which the positive has the higher score, counted pair by pair.
fn pairs_won(samples: &[(i16, bool)]) -> Option<f64> {
    let (mut twice_won, mut pairs) = (0, 0);
    for positive in samples.iter().filter(|sample| sample.1) {
        for negative in samples.iter().filter(|sample| !sample.1) {
            twice_won +=
                1 + i32::from(positive.0 > negative.0) - i32::from(positive.0 < negative.0);
            pairs += 1;
        }
    }
    (pairs > 0).then(|| f64::from(twice_won) / f64::from(2 * pairs))
}

fn ranking(samples: &[(i16, bool)], score: impl Fn(f32) -> f32) -> BinaryRanking {
    let scores: Vec<f32> = samples
        .iter()
        .map(|&(value, _)| score(f32::from(value)))
        .collect();
    let positives: Vec<bool> = samples.iter().map(|&(_, positive)| positive).collect();
    BinaryRanking::new(&scores, &positives).unwrap()
}

proptest! {
    #[test]
    fn the_area_is_the_share_of_pairs_won(samples in ranked_samples()) {
        prop_assert_eq!(ranking(&samples, |score| score).roc_auc(), pairs_won(&samples));
    }

    #[test]
    fn rankings_ignore_monotone_transformations_and_order(
        samples in ranked_samples().prop_shuffle(),
    ) {
        let plain = ranking(&samples, |score| score);
        let mut reordered = samples.clone();
        reordered.reverse();
        let others = [
            ranking(&samples, |score| (score / 20.0).exp()),
            ranking(&samples, |score| score.powi(3) + 5.0),
            ranking(&reordered, |score| score / (1.0 + score.abs())),
        ];
        for other in others {
            prop_assert_eq!(other.roc_auc(), plain.roc_auc());
            prop_assert_eq!(other.average_precision(), plain.average_precision());
        }
        if let Some(area) = plain.roc_auc() {
            let reversed = ranking(&samples, |score| -score).roc_auc().unwrap();
            prop_assert!((area + reversed - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_whole_curve_encloses_the_area(samples in ranked_samples()) {
        let ranking = ranking(&samples, |score| score);
        if let Some(curve) = ranking.roc_curve(usize::MAX) {
            let area: f64 = curve
                .windows(2)
                .map(|pair| {
                    (pair[1].false_positive_rate - pair[0].false_positive_rate)
                        * (pair[1].true_positive_rate + pair[0].true_positive_rate) / 2.0
                })
                .sum();
            prop_assert!((area - ranking.roc_auc().unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn constructed_calibration_is_perfect(
        bins in prop::collection::vec((6_u32..=10, 1_usize..5), 1..6),
    ) {
        // Of ten guesses with confidence k / 10, k are right.
        let (mut probabilities, mut labels) = (Vec::new(), Vec::new());
        for (tenths, repetitions) in bins {
            for guess in 0..10 * repetitions as u32 {
                let confidence = tenths as f32 / 10.0;
                probabilities.extend([confidence, 1.0 - confidence]);
                labels.push(u32::from(guess % 10 >= tenths));
            }
        }
        let predictions = Predictions::from_probabilities(&probabilities, 2, &labels).unwrap();
        let result = calibration::summary(&predictions, 10).unwrap();
        // 0.6 and its like are rounded to 32-bit numbers.
        prop_assert!(result.expected_calibration_error.unwrap() < 1e-7);
        prop_assert!(result.maximum_calibration_error.unwrap() < 1e-7);
    }

    #[test]
    fn calibration_figures_are_in_range((classes, logits, labels) in labelled_logits()) {
        let predictions = Predictions::from_logits(&logits, classes, &labels, 1.0).unwrap();
        let result = calibration::summary(&predictions, 15).unwrap();
        prop_assert_eq!(result.bins.iter().map(|bin| bin.count).sum::<u64>(), result.samples);
        for bin in &result.bins {
            if let Some(confidence) = bin.mean_confidence {
                prop_assert!(bin.lower - 1e-6 <= confidence && confidence <= bin.upper + 1e-6);
            }
        }
        if let Some(expected) = result.expected_calibration_error {
            let maximum = result.maximum_calibration_error.unwrap();
            prop_assert!((0.0..=1.0).contains(&maximum) && expected <= maximum + 1e-12);
            prop_assert!((0.0..=2.0 + 1e-12).contains(&result.brier_score.unwrap()));
            prop_assert!(result.negative_log_likelihood.unwrap() >= 0.0);
        }
        for score in one_versus_rest(&predictions).per_class {
            prop_assert!(score.roc_auc.is_none_or(|area| (0.0..=1.0).contains(&area)));
            prop_assert!(score.average_precision.is_none_or(|p| p > 0.0 && p <= 1.0 + 1e-12));
        }
    }

    #[test]
    fn temperature_scaling_never_raises_the_loss((classes, logits, labels) in labelled_logits()) {
        let found = fit_temperature(&logits, classes, &labels).unwrap();
        prop_assert!((LOWEST_TEMPERATURE..=HIGHEST_TEMPERATURE).contains(&found.temperature));
        prop_assert!(found.negative_log_likelihood_after <= found.negative_log_likelihood_before);
        let loss = |temperature: f64| {
            let predictions =
                Predictions::from_logits(&logits, classes, &labels, temperature).unwrap();
            calibration::negative_log_likelihood(&predictions)
        };
        prop_assert_eq!(loss(found.temperature), found.negative_log_likelihood_after);
        for other in [0.01, 0.1, 0.5, 0.99, 1.01, 2.0, 10.0, 100.0] {
            let temperature = (found.temperature * other)
                .clamp(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE);
            if let (Some(best), Some(other)) = (loss(found.temperature), loss(temperature)) {
                prop_assert!(best <= other + 1e-12 * (1.0 + other), "{found:?} {temperature}");
            }
        }
    }

    #[test]
    fn intervals_contain_the_estimate_and_repeat(
        right in 30_u64..200, wrong in 30_u64..200, other in 30_u64..200, seed in any::<u64>(),
    ) {
        let confusion = [vec![right, wrong], vec![wrong / 2, other]];
        let settings = BootstrapSettings { level: 0.95, resamples: 200 };
        let make = |seed| {
            classification_intervals(&confusion, settings, SeedStream::new(seed)).unwrap()
        };
        let found = make(seed);
        for interval in [found.accuracy, found.macro_f1] {
            prop_assert!(interval.lower < interval.estimate);
            prop_assert!(interval.estimate < interval.upper);
            prop_assert_eq!(interval.resamples, 200);
        }
        prop_assert_eq!(found, make(seed));
        prop_assert_ne!(found, make(seed.wrapping_add(1)));
    }

    #[test]
    fn results_survive_json((classes, logits, labels) in labelled_logits()) {
        let predictions = Predictions::from_logits(&logits, classes, &labels, 0.5).unwrap();
        let result = calibration::summary(&predictions, 3).unwrap();
        let text = serde_json::to_string(&result).unwrap();
        prop_assert_eq!(serde_json::from_str::<calibration::CalibrationSummary>(&text).unwrap(), result);
        let targets: Vec<bool> = logits.iter().map(|&logit| logit > 0.1).collect();
        let multilabel = MultilabelPredictions::new(&logits, &targets, classes).unwrap();
        let result = multilabel.rankings();
        let text = serde_json::to_string(&result).unwrap();
        prop_assert_eq!(
            serde_json::from_str::<residua_core::metrics::multilabel::MultilabelRanking>(&text).unwrap(),
            result
        );
    }

    #[test]
    fn any_bits_give_figures_or_an_error(
        bits in prop::collection::vec(any::<u32>(), 0..24),
        labels in prop::collection::vec(0_u32..4, 0..8),
        classes in 0_usize..5,
        temperature in any::<f64>(),
    ) {
        let scores: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let fitting = &scores[..scores.len().min(labels.len() * classes)];
        for scores in [&scores[..], fitting] {
            let _ = fit_temperature(scores, classes, &labels);
            let _ = Predictions::from_probabilities(scores, classes, &labels);
            let targets = vec![true; scores.len()];
            if let Ok(multilabel) = MultilabelPredictions::new(scores, &targets, classes) {
                let _ = (multilabel.rankings(), multilabel.at_threshold(0.0));
            }
            for temperature in [temperature, temperature.abs(), 1.0] {
                let logits = Predictions::from_logits(scores, classes, &labels, temperature);
                if let Ok(predictions) = logits {
                    let text = serde_json::to_string(&one_versus_rest(&predictions)).unwrap();
                    prop_assert!(!text.contains("NaN"));
                    let result = calibration::summary(&predictions, 15).unwrap();
                    prop_assert!(result.brier_score.is_none_or(f64::is_finite));
                    prop_assert!(result.negative_log_likelihood.is_none_or(f64::is_finite));
                }
            }
        }
    }
}

#[test]
fn both_ways_to_draw_agree_with_the_binomial_distribution() {
    let right: Vec<bool> = (0..2000).map(|sample| sample % 5 != 0).collect();
    let settings = BootstrapSettings::default();
    let accuracy = |indices: &[usize]| {
        let count = indices.iter().filter(|&&index| right[index]).count();
        Some(count as f64 / indices.len() as f64)
    };
    let by_index = interval(2000, settings, SeedStream::new(5), accuracy).unwrap();
    let confusion = [vec![800, 200], vec![200, 800]];
    let by_count = classification_intervals(&confusion, settings, SeedStream::new(6)).unwrap();
    let half_width = 1.96 * (0.8_f64 * 0.2 / 2000.0).sqrt();
    for found in [by_index, by_count.accuracy] {
        assert_eq!((found.estimate, found.resamples), (Some(0.8), 1000));
        let width = (found.upper.unwrap() - found.lower.unwrap()) / 2.0;
        assert!(
            (width / half_width - 1.0).abs() < 0.15,
            "{width} {half_width}"
        );
    }
}

#[test]
fn ten_thousand_samples_take_a_moment() {
    let confusion: Vec<Vec<u64>> = (0..100)
        .map(|label| {
            (0..100)
                .map(|other| if label == other { 80 } else { label % 2 })
                .collect()
        })
        .collect();
    let start = Instant::now();
    let found =
        classification_intervals(&confusion, BootstrapSettings::default(), SeedStream::new(0));
    let seconds = start.elapsed().as_secs_f64();
    assert!(found.unwrap().macro_f1.lower > Some(0.5));
    println!("{seconds:.3} s for 1000 resamples of about 13,000 samples");
    // Far above what it takes, so that a busy machine does not fail.
    assert!(seconds < 5.0, "{seconds} s");
}

#[test]
fn thresholds_of_classes_are_probabilities() {
    let predictions = Predictions::from_logits(&[3.0, 3.0, 0.0, 800.0], 2, &[0, 1], 1.0).unwrap();
    let ranking = rankings(&predictions).next().unwrap();
    let thresholds: Vec<_> = ranking
        .roc_curve(9)
        .unwrap()
        .iter()
        .map(|p| p.threshold)
        .collect();
    assert_eq!(thresholds[..2], [None, Some(0.5)]);
    assert_eq!(ranking.roc_auc(), Some(1.0));
}
