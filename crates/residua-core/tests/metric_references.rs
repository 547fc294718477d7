//! Calibration, ranking and multi-label metrics against values of scikit-learn, scipy and numpy.

use residua_core::metrics::bootstrap::{BootstrapSettings, classification_intervals};
use residua_core::metrics::convergence::Summary;
use residua_core::metrics::multilabel::MultilabelPredictions;
use residua_core::metrics::probabilities::softmax_rows;
use residua_core::metrics::ranking::{BinaryRanking, RankingScore, one_versus_rest};
use residua_core::metrics::temperature::fit_temperature;
use residua_core::metrics::{Average, Predictions, calibration};
use residua_core::seed::SeedStream;
use serde_json::Value;

/// The shared fixtures store ten significant digits; their probabilities become 32-bit numbers
/// here, which changes sums of them by up to 3e-8 relative.
const COUNTED: f64 = 1e-9;
const SUMMED: f64 = 1e-7;

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|number| number.as_f64().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value)
        .into_iter()
        .map(|number| number as f32)
        .collect()
}

fn indices(value: &Value) -> Vec<u32> {
    numbers(value)
        .into_iter()
        .map(|number| number as u32)
        .collect()
}

fn truths(value: &Value) -> Vec<bool> {
    let list = value.as_array().expect("a list").iter();
    list.map(|truth| truth.as_bool().unwrap_or_else(|| truth.as_u64() == Some(1)))
        .collect()
}

/// Also compares what is undefined (`null`).
#[track_caller]
fn assert_close(found: Option<f64>, expected: &Value, tolerance: f64) {
    let close = match (found, expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() <= tolerance,
        (None, None) => expected.is_null(),
        _ => false,
    };
    assert!(close, "{found:?} is not {expected}");
}

#[track_caller]
fn assert_all_close(
    found: impl IntoIterator<Item = Option<f64>>,
    expected: &Value,
    tolerance: f64,
) {
    let found: Vec<_> = found.into_iter().collect();
    assert_eq!(found.len(), expected.as_array().expect("a list").len());
    for (index, found) in found.into_iter().enumerate() {
        assert_close(found, &expected[index], tolerance);
    }
}

fn random_cases() -> Value {
    serde_json::from_str(include_str!("fixtures/scikit_learn_random_cases.json")).unwrap()
}

#[test]
fn ten_classes() {
    let text = include_str!("fixtures/classification_10_classes.json");
    let fixture: Value = serde_json::from_str(text).unwrap();
    let scores = floats(&fixture["inputs"]["scores"]["data"]);
    let labels = indices(&fixture["inputs"]["target"]);
    let predictions = Predictions::from_probabilities(&scores, 10, &labels).unwrap();
    let expected = &fixture["outputs"];

    let calibrated = calibration::summary(&predictions, calibration::DEFAULT_BINS).unwrap();
    let error = calibrated.expected_calibration_error;
    assert_close(error, &expected["ece_l1_15_bins"], SUMMED);
    assert_close(
        calibrated.brier_score,
        &expected["brier_multiclass_sum"],
        SUMMED,
    );
    assert_close(calibrated.negative_log_likelihood, &expected["nll"], SUMMED);

    let ranked = one_versus_rest(&predictions);
    let classes = || ranked.per_class.iter();
    assert_all_close(
        classes().map(|c| c.roc_auc),
        &expected["roc_auc_per_class"],
        COUNTED,
    );
    assert_close(
        ranked.macro_roc_auc,
        &expected["roc_auc_macro_ovr"],
        COUNTED,
    );
    let precisions = classes().map(|c| c.average_precision);
    assert_all_close(
        precisions,
        &expected["average_precision_per_class"],
        COUNTED,
    );
    let precision = ranked.macro_average_precision;
    assert_close(precision, &expected["average_precision_macro"], COUNTED);

    let intervals = classification_intervals(
        &predictions.confusion(),
        BootstrapSettings::default(),
        SeedStream::new(0),
    );
    let intervals = intervals.unwrap();
    assert_close(intervals.accuracy.estimate, &expected["accuracy"], COUNTED);
    assert_close(
        intervals.macro_f1.estimate,
        &expected["macro"]["f1"],
        COUNTED,
    );
}

#[test]
fn six_labels() {
    let text = include_str!("fixtures/multilabel_6_labels.json");
    let fixture: Value = serde_json::from_str(text).unwrap();
    let scores = floats(&fixture["inputs"]["scores"]["data"]);
    let targets = truths(&fixture["inputs"]["target"]["data"]);
    let predictions = MultilabelPredictions::new(&scores, &targets, 6).unwrap();
    let expected = &fixture["outputs"];

    let ranked = predictions.rankings();
    let labels = || ranked.per_label.iter();
    assert_all_close(
        labels().map(|l| l.roc_auc),
        &expected["auroc_per_label"],
        COUNTED,
    );
    assert_close(ranked.macro_roc_auc, &expected["auroc_macro"], COUNTED);
    assert_close(ranked.micro.roc_auc, &expected["auroc_micro"], COUNTED);
    let precisions = labels().map(|l| l.average_precision);
    assert_all_close(
        precisions,
        &expected["average_precision_per_label"],
        COUNTED,
    );
    let precision = ranked.macro_average_precision;
    assert_close(precision, &expected["average_precision_macro"], COUNTED);

    let result = predictions.at_threshold(0.5).unwrap();
    assert_close(
        Some(result.macro_average.f1),
        &expected["f1_macro"],
        COUNTED,
    );
    assert_close(
        Some(result.micro_average.f1),
        &expected["f1_micro"],
        COUNTED,
    );
    assert_close(
        result.exact_match_ratio,
        &expected["subset_accuracy"],
        COUNTED,
    );
    assert_close(result.hamming_loss, &expected["hamming_loss"], COUNTED);
}

#[test]
fn random_logits_at_two_temperatures() {
    for case in random_cases()["cases"].as_array().unwrap() {
        let (logits, labels) = (floats(&case["logits"]), indices(&case["labels"]));
        let classes = case["classes"].as_u64().unwrap() as usize;
        for (name, temperature) in [("1.0", 1.0), ("2.5", 2.5)] {
            let expected = &case["temperatures"][name];
            let rows = softmax_rows(&logits[..3 * classes], classes, temperature).unwrap();
            assert_all_close(rows.into_iter().map(Some), &expected["first_rows"], 1e-14);
            let predictions =
                Predictions::from_logits(&logits, classes, &labels, temperature).unwrap();

            let found = calibration::summary(&predictions, 15).unwrap();
            let counts: Vec<u32> = found.bins.iter().map(|bin| bin.count as u32).collect();
            assert_eq!(counts, indices(&expected["bin_counts"]));
            let figures = [
                (
                    "expected_calibration_error",
                    found.expected_calibration_error,
                ),
                ("maximum_calibration_error", found.maximum_calibration_error),
                ("brier_score", found.brier_score),
                ("negative_log_likelihood", found.negative_log_likelihood),
            ];
            for (name, figure) in figures {
                assert_close(figure, &expected[name], 1e-12);
            }

            let ranked = one_versus_rest(&predictions).per_class;
            let areas = ranked.iter().map(|class| class.roc_auc);
            assert_all_close(areas, &expected["roc_auc"], 1e-12);
            let precisions = ranked.iter().map(|class| class.average_precision);
            assert_all_close(precisions, &expected["average_precision"], 1e-12);
        }
    }
}

#[test]
fn fitted_temperatures() {
    for case in random_cases()["cases"].as_array().unwrap() {
        let (logits, labels) = (floats(&case["logits"]), indices(&case["labels"]));
        let classes = case["classes"].as_u64().unwrap() as usize;
        let found = fit_temperature(&logits, classes, &labels).unwrap();
        let expected = case["fitted_temperature"].as_f64().unwrap();
        assert!(
            (found.temperature / expected - 1.0).abs() < 1e-6,
            "{found:?} {expected}"
        );
        let loss = found.negative_log_likelihood_after;
        assert_close(loss, &case["fitted_negative_log_likelihood"], 1e-12);
    }
}

#[test]
fn estimates_of_intervals() {
    for case in random_cases()["cases"].as_array().unwrap() {
        let (logits, labels) = (floats(&case["logits"]), indices(&case["labels"]));
        let classes = case["classes"].as_u64().unwrap() as usize;
        let predictions = Predictions::from_logits(&logits, classes, &labels, 1.0).unwrap();
        let settings = BootstrapSettings::default();
        let confusion = predictions.confusion();
        let found = classification_intervals(&confusion, settings, SeedStream::new(3)).unwrap();
        assert_close(found.accuracy.estimate, &case["accuracy"], 1e-12);
        assert_close(found.macro_f1.estimate, &case["macro_f1"], 1e-12);
    }
}

#[test]
fn curves_with_ties() {
    let fixture = random_cases();
    let expected = &fixture["binary"];
    let (scores, positives) = (floats(&expected["scores"]), truths(&expected["positives"]));
    let ranking = BinaryRanking::new(&scores, &positives).unwrap();
    assert_close(ranking.roc_auc(), &expected["roc_auc"], 1e-14);
    assert_close(
        ranking.average_precision(),
        &expected["average_precision"],
        1e-14,
    );
    let curve = ranking.roc_curve(usize::MAX).unwrap();
    let column = curve.iter().map(|point| Some(point.false_positive_rate));
    assert_all_close(column, &expected["false_positive_rate"], 1e-14);
    let column = curve.iter().map(|point| Some(point.true_positive_rate));
    assert_all_close(column, &expected["true_positive_rate"], 1e-14);
    let column = curve.iter().map(|point| point.threshold);
    assert_all_close(column, &expected["roc_thresholds"], 0.0);
    let curve = ranking.precision_recall_curve(usize::MAX).unwrap();
    let column = curve.iter().map(|point| Some(point.precision));
    assert_all_close(column, &expected["precision"], 1e-14);
    let column = curve.iter().map(|point| Some(point.recall));
    assert_all_close(column, &expected["recall"], 1e-14);
    let column = curve.iter().map(|point| point.threshold);
    assert_all_close(column, &expected["precision_recall_thresholds"], 0.0);
}

#[test]
fn random_labels_with_a_threshold_each() {
    let fixture = random_cases();
    let expected = &fixture["multilabel"];
    let (scores, targets) = (floats(&expected["scores"]), truths(&expected["targets"]));
    let predictions = MultilabelPredictions::new(&scores, &targets, 5).unwrap();
    let found = predictions
        .at_thresholds(&floats(&expected["thresholds"]))
        .unwrap();
    let labels = || found.per_label.iter();
    let per_label = &expected["per_label"];
    assert_all_close(
        labels().map(|l| Some(l.precision)),
        &per_label["precision"],
        1e-14,
    );
    assert_all_close(
        labels().map(|l| Some(l.recall)),
        &per_label["recall"],
        1e-14,
    );
    assert_all_close(labels().map(|l| Some(l.f1)), &per_label["f1"], 1e-14);
    let averages: [(&str, Average); 2] = [
        ("macro", found.macro_average),
        ("micro", found.micro_average),
    ];
    for (name, average) in averages {
        assert_close(Some(average.precision), &expected[name]["precision"], 1e-14);
        assert_close(Some(average.recall), &expected[name]["recall"], 1e-14);
        assert_close(Some(average.f1), &expected[name]["f1"], 1e-14);
    }
    assert_close(
        found.exact_match_ratio,
        &expected["exact_match_ratio"],
        1e-14,
    );
    assert_close(found.hamming_loss, &expected["hamming_loss"], 1e-14);

    let ranked = predictions.rankings();
    let column = |value: fn(&RankingScore) -> Option<f64>| ranked.per_label.iter().map(value);
    assert_all_close(column(|l| l.roc_auc), &expected["roc_auc"], 1e-14);
    assert_all_close(
        column(|l| l.average_precision),
        &expected["average_precision"],
        1e-14,
    );
    let figures = [
        ("micro_roc_auc", ranked.micro.roc_auc),
        ("micro_average_precision", ranked.micro.average_precision),
        ("macro_roc_auc", ranked.macro_roc_auc),
        ("macro_average_precision", ranked.macro_average_precision),
    ];
    for (name, figure) in figures {
        assert_close(figure, &expected[name], 1e-14);
    }
}

#[test]
fn mean_and_spread_over_seeds() {
    let fixture = random_cases();
    let expected = &fixture["summary"];
    let found = Summary::of(&numbers(&expected["values"])).unwrap();
    assert_close(found.mean, &expected["mean"], 1e-15);
    assert_close(
        found.standard_deviation,
        &expected["standard_deviation"],
        1e-15,
    );
    assert_eq!(found.count, 7);
}
