//! `residua data split`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{failure, json, pictures, stdout, tiny_training};

fn split<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let data = "folder:pictures/train";
    let mut arguments = vec!["data", "split", "--data", data, "--out", out];
    arguments.extend(more);
    arguments
}

/// The images of a spreadsheet that are in a split.
fn listed(file: &Path, wanted: &str) -> BTreeSet<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("path,label,split"));
    let folder = file.parent().unwrap();
    lines
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|fields| fields[2] == wanted)
        .map(|fields| folder.join(fields[0]).canonicalize().unwrap())
        .collect()
}

#[test]
fn splits_are_written_and_can_be_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let shares = ["--validation", "0.25", "--test", "0.25", "--seed", "7"];
    let said = stdout(folder.path(), &split("lists/labels.csv", &shares));
    insta::assert_snapshot!(said);
    let file = folder.path().join("lists/labels.csv");
    let sizes = ["train", "val", "test"].map(|name| listed(&file, name).len());
    assert_eq!(sizes, [18, 9, 9]);
    stdout(folder.path(), &["data", "check", "csv:lists/labels.csv"]);
    let training = ["--data", "csv:lists/labels.csv", "--epochs", "1"];
    stdout(folder.path(), &tiny_training("run", &training));
    let test = ["eval", "--run", "run", "--split", "test", "--json"];
    assert_eq!(json(folder.path(), &test)["images"], 9);
}

#[test]
fn the_same_images_are_held_out_as_in_training() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    stdout(
        folder.path(),
        &split("labels.csv", &["--validation", "0.25", "--seed", "7"]),
    );
    let report = json(
        folder.path(),
        &split("labels.csv", &["--folds", "3", "--seed", "7", "--json"]),
    );
    assert_eq!(report["files"].as_array().unwrap().len(), 3);
    assert_eq!(report["files"][1]["file"], "labels-fold2.csv");
    assert_eq!(report["files"][1]["splits"][1]["split"], "validation");
    assert_eq!(report["files"][1]["splits"][1]["classes"][2]["images"], 4);
    let folds = [1, 2, 3].map(|fold| {
        let file = folder.path().join(format!("labels-fold{fold}.csv"));
        listed(&file, "val")
    });
    let all: BTreeSet<&PathBuf> = folds.iter().flatten().collect();
    assert_eq!(all.len(), 36);
    let whole = ["--data", "folder:pictures/train", "--epochs", "1"];
    for (run, hold_out, sheet) in [
        ("a", ["--val-fraction", "0.25"], "labels.csv"),
        ("b", ["--fold", "2/3"], "labels-fold2.csv"),
    ] {
        let more = [&whole[..], &hold_out].concat();
        stdout(folder.path(), &tiny_training(run, &more));
        let predictions = folder.path().join(run).join("predictions.csv");
        let text = fs::read_to_string(predictions).unwrap();
        let judged = text.lines().skip(1).map(|line| {
            let image = line.split(',').next().unwrap();
            PathBuf::from(image).canonicalize().unwrap()
        });
        let judged: BTreeSet<PathBuf> = judged.collect();
        assert_eq!(judged, listed(&folder.path().join(sheet), "val"), "{sheet}");
    }
}

#[test]
fn patients_stay_together_and_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let mut rows = "path,label,group\n".to_owned();
    for class in common::CLASSES {
        for number in 0..12 {
            rows += &format!(
                "pictures/train/{class}/{number}.png,{class},patient {}\n",
                number / 2
            );
        }
    }
    fs::write(folder.path().join("all.csv"), rows).unwrap();
    let arguments = [
        "data",
        "split",
        "--data",
        "csv:all.csv",
        "--folds",
        "2",
        "--out",
        "sheets/p.csv",
    ];
    stdout(folder.path(), &arguments);
    let text = fs::read_to_string(folder.path().join("sheets/p-fold1.csv")).unwrap();
    assert!(
        text.starts_with("path,label,split,group\n../pictures/train/"),
        "{text}"
    );
    let mut of_split = [BTreeSet::new(), BTreeSet::new()];
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        of_split[usize::from(fields[2] == "val")].insert(fields[3].to_owned());
    }
    assert!(of_split[0].is_disjoint(&of_split[1]));
    assert_eq!([of_split[0].len(), of_split[1].len()], [3, 3]);
    assert!(
        of_split[0]
            .iter()
            .all(|group| group.starts_with("patient "))
    );
    // A file that divided a group would be refused.
    stdout(folder.path(), &["data", "check", "csv:sheets/p-fold1.csv"]);
}

#[test]
fn nothing_is_overwritten_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 6);
    fs::write(folder.path().join("a-fold2.csv"), "mine").unwrap();
    let folds = split("a.csv", &["--folds", "2"]);
    let message = failure(folder.path(), &folds, 2);
    assert!(
        message.contains("'a-fold2.csv' exists already; name another file"),
        "{message}"
    );
    assert!(!folder.path().join("a-fold1.csv").exists());
    stdout(folder.path(), &split("a.csv", &["--folds", "2", "--force"]));
    let text = fs::read_to_string(folder.path().join("a-fold2.csv")).unwrap();
    assert!(text.starts_with("path,label,split\n"), "{text}");
}

#[test]
fn what_cannot_be_listed_or_divided_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 6);
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let message = failure(folder.path(), arguments, code);
        assert!(
            message.contains(expected),
            "'{expected}' is missing in {message}"
        );
        assert!(!folder.path().join("a.csv").exists());
    };
    let share = ["--validation", "0.2"];
    for data in ["builtin", "cifar10:x", "npz:x.npz", "idx:x"] {
        let arguments = [
            "data", "split", "--data", data, "--out", "a.csv", "--folds", "5",
        ];
        refused(&arguments, 3, "no spreadsheet can list them");
    }
    refused(
        &split("a.txt", &share),
        2,
        "expected a name that ends with .csv",
    );
    refused(&split("a.csv", &[]), 2, "--validation");
    refused(
        &split("a.csv", &["--folds", "2", "--validation", "0.2"]),
        2,
        "cannot be used with",
    );
    refused(&split("a.csv", &["--folds", "1"]), 2, "1 is not in 2..");
    refused(
        &split("a.csv", &["--validation", "0.6", "--test", "0.4"]),
        2,
        "nothing for training",
    );
    refused(
        &split("a.csv", &["--folds", "9"]),
        3,
        "expected at least 9, one for each fold",
    );
    let arguments = [
        "data",
        "split",
        "--data",
        "folder:pictures",
        "--out",
        "a.csv",
    ];
    let with = |more: &[&'static str]| [&arguments[..], more].concat();
    refused(
        &with(&share),
        3,
        "there is a validation split already; leave out the validation fraction (0.2) or remove",
    );
    refused(
        &with(&["--folds", "2"]),
        3,
        "there is a validation split already; to validate on folds",
    );
    let missing = [
        "data",
        "split",
        "--data",
        "folder:none",
        "--out",
        "a.csv",
        "--folds",
        "2",
    ];
    refused(&missing, 3, "none: expected a folder, found nothing");
}
