//! `residua cross-validate` and `train --fold`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::shapes::{SHAPES, shapes};
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

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Of a class, from the classes that each line shows and those that are predicted.
fn f1(lines: &[Vec<String>], class: &str) -> f64 {
    let has = |classes: &str| classes.split('|').any(|name| name == class);
    let count = |wanted: fn(bool, bool) -> bool| {
        let lines = lines.iter();
        lines
            .filter(|line| wanted(has(&line[2]), has(&line[3])))
            .count() as f64
    };
    let hits = count(|shown, predicted| shown && predicted);
    let wrong = count(|shown, predicted| shown != predicted);
    2.0 * hits / (2.0 * hits + wrong)
}

#[test]
fn folds_of_several_labels_have_their_areas_and_common_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shapes(folder, 90, 0);
    let more = [
        "--data",
        "csv:shapes/labels.csv",
        "--input-size",
        "24",
        "--augment",
        "none",
        "--folds",
        "3",
        "--out",
        "cv",
    ];
    let report = json(
        folder,
        &tiny("cross-validate", &[&more[..], &["--json"]].concat()),
    );
    assert_eq!(report["schema"], "residua.cross-validation-labels/1");
    assert_keys(
        &report,
        &[
            "last_roc_auc",
            "average_precision",
            "micro_f1",
            "notes",
            "page",
        ],
    );
    assert!(report.get("accuracy").is_none());
    let note = report["notes"][0].as_str().unwrap();
    assert!(
        note.contains("the ROC-AUC at the last epoch is not"),
        "{note}"
    );
    // Every image once; classes, and none of them, in all folds alike.
    let all = predictions(&folder.join("cv/predictions.csv"));
    let images: BTreeSet<&String> = all.iter().map(|line| &line[1]).collect();
    assert_eq!((all.len(), images.len()), (90, 90));
    for class in SHAPES.into_iter().chain(["No Finding"]) {
        let counts = ["1/3", "2/3", "3/3"].map(|fold| {
            let own = all.iter().filter(|line| line[0] == fold);
            own.filter(|line| line[2].split('|').any(|name| name == class))
                .count()
        });
        let [most, least] = [counts.iter().max(), counts.iter().min()].map(Option::unwrap);
        assert!(most - least <= 2 && *least > 0, "{class}: {counts:?}");
    }
    // The decisions of all folds are those of the lines.
    let pooled = &report["pooled"];
    let right = all.iter().filter(|line| line[2] == line[3]).count();
    assert_eq!(number(&pooled["exact_match_ratio"]), right as f64 / 90.0);
    let f1s = SHAPES.map(|class| f1(&all, class));
    let macro_f1 = f1s.iter().sum::<f64>() / 3.0;
    assert!((number(&pooled["macro_average"]["f1"]) - macro_f1).abs() < 1e-12);
    // Areas are means over folds.
    let folds = report["folds"].as_array().unwrap();
    let runs: Vec<Value> = { folds.iter() }
        .map(|fold| {
            let run = folder.join(fold["run"].as_str().unwrap());
            let text = fs::read_to_string(run.join("metrics.json")).unwrap();
            serde_json::from_str::<Value>(&text).unwrap()["multilabel"]["ranking"].take()
        })
        .collect();
    let mean = |area: &dyn Fn(&Value) -> f64| runs.iter().map(area).sum::<f64>() / 3.0;
    let expected = mean(&|run| number(&run["macro_roc_auc"]));
    assert!((number(&report["roc_auc"]["mean"]) - expected).abs() < 1e-12);
    for (place, class) in report["per_class"].as_array().unwrap().iter().enumerate() {
        assert_eq!(class["class"], SHAPES[place]);
        assert!((number(&class["f1"]) - f1s[place]).abs() < 1e-12);
        let expected = mean(&|run| number(&run["per_label"][place]["roc_auc"]));
        assert!((number(&class["roc_auc"]["mean"]) - expected).abs() < 1e-12);
    }
    for file in [
        "index.html",
        "tables/table-2.csv",
        "figures/roc-auc-of-each-fold.svg",
        "figures/roc-auc-of-the-hardest-classes.png",
        "runs/fold-3-of-3/report.html",
    ] {
        assert!(folder.join("cv").join(file).is_file(), "{file}");
    }
    // The same once more, in words.
    let said = stdout(folder, &tiny("cross-validate", &more));
    for part in [
        "| fold | images | ROC-AUC | at the last epoch |",
        &format!("| 2/3 | {} |", folds[1]["images"]),
        "| macro average | 90 |",
        "| micro average |",
    ] {
        assert!(said.contains(part), "'{part}' is missing in {said}");
    }
    assert!(!said.contains("ccuracy"), "{said}");
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
