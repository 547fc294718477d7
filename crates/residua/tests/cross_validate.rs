//! `residua cross-validate` and `train --fold`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{assert_keys, failure, json, pictures, run, stdout, text};
use serde_json::Value;

/// Arguments of trainings of seconds on the training pictures, which have no validation split.
fn tiny<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        command,
        "--quiet",
        "--data",
        "folder:pictures/train",
        "--model",
        "resnet8",
        "--input-size",
        "16",
        "--batch-size",
        "8",
        "--lr",
        "0.05",
        "--augment",
        "cifar",
        "--epochs",
        "2",
    ];
    arguments.extend(more);
    arguments
}

/// The lines of a file of predictions, without the one of names.
fn predictions(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1);
    lines
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}

#[test]
fn every_image_is_judged_once_by_a_network_that_has_not_seen_it() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 13);
    let arguments = tiny("cross-validate", &["--folds", "3", "--out", "cv", "--json"]);
    let report = json(folder.path(), &arguments);
    assert_keys(
        &report,
        &[
            "accuracy",
            "last_accuracy",
            "macro_f1",
            "roc_auc",
            "intervals",
            "notes",
        ],
    );
    let folds = report["folds"].as_array().unwrap();
    assert_eq!(folds.len(), 3);
    let all = predictions(&folder.path().join("cv/predictions.csv"));
    let images: BTreeSet<&String> = all.iter().map(|line| &line[1]).collect();
    assert_eq!((all.len(), images.len()), (39, 39));
    // 13 images of each class in three folds.
    for fold in ["1/3", "2/3", "3/3"] {
        for class in common::CLASSES {
            let own = all
                .iter()
                .filter(|line| line[0] == fold && line[2] == class);
            assert!((4..=5).contains(&own.count()), "{fold} {class}");
        }
    }
    // The pooled figures are those of the lines.
    let right = all.iter().filter(|line| line[2] == line[3]).count();
    let pooled = &report["pooled"];
    assert_eq!(pooled["images"], 39);
    let accuracy = pooled["accuracy"].as_f64().unwrap();
    assert!((accuracy - right as f64 / 39.0).abs() < 1e-12);
    let mean = folds
        .iter()
        .map(|fold| fold["accuracy"].as_f64().unwrap())
        .sum::<f64>()
        / 3.0;
    assert!((report["accuracy"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert_eq!(report["accuracy"]["count"], 3);
    for file in [
        "index.html",
        "tables/table-1.tex",
        "tables/table-2.md",
        "figures/accuracy-of-each-fold.svg",
        "figures/confusion-of-all-folds-together.png",
        "runs/fold-2-of-3/report.html",
    ] {
        assert!(folder.path().join("cv").join(file).is_file(), "{file}");
    }
    // One run is lost: it alone is trained again, to the same result.
    let kept = folder.path().join("cv/runs/fold-1-of-3/metrics.json");
    let before = fs::metadata(&kept).unwrap().modified().unwrap();
    fs::remove_dir_all(folder.path().join("cv/runs/fold-2-of-3")).unwrap();
    assert_eq!(json(folder.path(), &arguments), report);
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), before);
    // A run of its own holds the same images out and comes to the same.
    stdout(
        folder.path(),
        &tiny("train", &["--fold", "2/3", "--out", "alone"]),
    );
    let alone = predictions(&folder.path().join("alone/predictions.csv"));
    let own = all
        .iter()
        .filter(|line| line[0] == "2/3")
        .map(|line| line[1..].to_vec());
    assert_eq!(alone, own.collect::<Vec<_>>());
    // Evaluation finds the images that were held out.
    let evaluated = json(folder.path(), &["eval", "--run", "alone", "--json"]);
    assert_eq!(evaluated["images"], folds[1]["images"]);
    assert_eq!(evaluated["accuracy"], folds[1]["accuracy"]);
}

#[test]
fn the_tables_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 6);
    let arguments = tiny("cross-validate", &["--folds", "2", "--epochs", "1"]);
    let output = run(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for part in [
        "**Table 1. Folds**",
        "| 1/2 | 9 |",
        "| mean ± standard deviation |",
        "**Table 2. Classes, all folds together**",
        "| macro average | 18 |",
        "Predictions: cross-validation/predictions.csv",
        "Page:        cross-validation/index.html",
    ] {
        assert!(said.contains(part), "'{part}' is missing in {said}");
    }
    assert!(
        text(&output.stderr).contains("note: The weights of each network are those of its best")
    );
}

#[test]
fn what_cannot_be_divided_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 6);
    let refused = |more: &[&str], code: i32, expected: &str| {
        let message = failure(folder.path(), &tiny("cross-validate", more), code);
        assert!(
            message.contains(expected),
            "'{expected}' is missing in {message}"
        );
        assert!(!folder.path().join("cross-validation").exists());
    };
    refused(&["--folds", "1"], 2, "1 is not in 2..");
    refused(&["--fold", "1/5"], 2, "leave out --val-fraction and --fold");
    refused(
        &["--val-fraction", "0.1"],
        2,
        "leave out --val-fraction and --fold",
    );
    refused(
        &["--set", "fold=1/5"],
        2,
        "leave out --val-fraction and --fold",
    );
    refused(
        &["--folds", "7"],
        3,
        "class \"bars\" has 6 images; expected at least 7, one for each fold; use fewer folds",
    );
    refused(
        &["--data", "folder:pictures"],
        3,
        "there is a validation split already; to validate on folds of the training images, remove the",
    );
    let message = failure(folder.path(), &tiny("train", &["--fold", "6/5"]), 2);
    assert!(message.contains("expected a fold such as 2/5"), "{message}");
    let both = tiny("train", &["--fold", "1/5", "--val-fraction", "0.1"]);
    failure(folder.path(), &both, 2);
    let set = tiny(
        "train",
        &["--set", "fold=1/5", "--set", "validation_fraction=0.1"],
    );
    let message = failure(folder.path(), &set, 3);
    assert!(message.contains("expected one of them"), "{message}");
}

#[test]
fn folds_that_cannot_be_trained_do_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 6);
    let arguments = tiny(
        "cross-validate",
        &["--folds", "2", "--epochs", "1", "--json"],
    );
    let whole: Value = json(folder.path(), &arguments);
    // Somebody else's folder.
    let root = folder.path().join("cross-validation/runs/fold-1-of-2");
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("the same command trains it anew"));
    let part: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(part["folds"].as_array().unwrap().len(), 1);
    assert_eq!(part["folds"][0], whole["folds"][1]);
    let notes = part["notes"][0].as_str().unwrap();
    assert!(
        notes.contains("fold-1-of-2 could not be trained"),
        "{notes}"
    );
}
