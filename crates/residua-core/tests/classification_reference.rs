//! The classification metrics against scikit-learn's values for the same predictions.

use residua_core::metrics::Classification;
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

#[track_caller]
fn assert_close(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().expect("a number");
    assert!(
        (found - expected).abs() <= tolerance,
        "{found} is not {expected}"
    );
}

#[test]
fn all_figures_agree_with_scikit_learn() {
    let text = include_str!("fixtures/classification_10_classes.json");
    let fixture: Value = serde_json::from_str(text).unwrap();
    let scores = numbers(&fixture["inputs"]["scores"]["data"]);
    let targets = numbers(&fixture["inputs"]["target"]);
    let mut results = Classification::new(10);
    for (row, target) in scores.chunks(10).zip(&targets) {
        let logits: Vec<f32> = row.iter().map(|score| score.ln() as f32).collect();
        results.record(&logits, *target as usize).unwrap();
    }
    let summary = results.summary();
    let expected = &fixture["outputs"];

    assert_eq!(summary.images, 500);
    assert_close(summary.accuracy, &expected["accuracy"], 1e-12);
    assert_close(summary.top5, &expected["top5_accuracy"], 1e-12);
    // The stored scores are rounded to six digits, so their rows do not quite sum to one.
    assert_close(summary.loss, &expected["nll"], 1e-5);
    let averages = [
        ("macro", summary.macro_average),
        ("micro", summary.micro_average),
        ("weighted", summary.weighted_average),
    ];
    for (name, average) in averages {
        assert_close(average.precision, &expected[name]["precision"], 1e-9);
        assert_close(average.recall, &expected[name]["recall"], 1e-9);
        assert_close(average.f1, &expected[name]["f1"], 1e-9);
    }
    for (class, score) in summary.per_class.iter().enumerate() {
        let per_class = &expected["per_class"];
        assert_close(score.precision, &per_class["precision"][class], 1e-9);
        assert_close(score.recall, &per_class["recall"][class], 1e-9);
        assert_close(score.f1, &per_class["f1"][class], 1e-9);
        assert_close(score.support as f64, &expected["support"][class], 0.0);
    }
    let matrix = expected["confusion_matrix_rows_true"].as_array().unwrap();
    for (found, row) in summary.confusion.iter().zip(matrix) {
        let found: Vec<f64> = found.iter().map(|&count| count as f64).collect();
        assert_eq!(found, numbers(row));
    }
}
