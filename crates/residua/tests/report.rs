//! Runs as pages, in lists and for TensorBoard.

mod common;

use std::fs;
use std::path::Path;

use common::{assert_keys, failure, json, pictures, run, stdout, text, tiny_training};

fn page(folder: &Path, run: &str) -> String {
    fs::read_to_string(folder.join(run).join("report.html")).unwrap()
}

#[test]
fn every_training_ends_with_a_page() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let said = stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    assert!(said.contains("run/report.html"), "{said}");
    let first = page(folder.path(), "run");
    for part in [
        "bars",
        "columns",
        "dots",
        "resnet8",
        "data:image/png;base64,",
    ] {
        assert!(first.contains(part), "'{part}' is missing");
    }
    assert!(!first.contains("<script"));
    // The same run gives the same page, wherever it goes.
    let said = stdout(folder.path(), &["report", "run", "--out", "elsewhere.html"]);
    assert_eq!(said.trim(), "elsewhere.html");
    let again = fs::read_to_string(folder.path().join("elsewhere.html")).unwrap();
    assert_eq!(first, again);
    let metrics = fs::read_to_string(folder.path().join("run/metrics.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_keys(
        &metrics["judgement"],
        &[
            "intervals",
            "calibration",
            "temperature_scaling",
            "ranking",
            "mistakes",
        ],
    );
    let predictions = fs::read_to_string(folder.path().join("run/predictions.csv")).unwrap();
    assert_eq!(predictions.lines().count(), 1 + 3 * 12);
    assert!(
        predictions.contains("pictures/val/bars/0.png,bars,"),
        "{predictions}"
    );
}

#[test]
fn a_page_is_made_of_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let root = pictures(folder.path(), 12);
    // A class that nobody validates.
    fs::remove_dir_all(root.join("val/dots")).unwrap();
    stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    assert!(page(folder.path(), "run").contains("has no validation images"));
    let evaluation = json(folder.path(), &["eval", "--run", "run", "--json"]);
    assert_eq!(evaluation["per_class"][2]["support"], 0);
    assert!(evaluation["ranking"]["per_class"][2]["roc_auc"].is_null());
    // Data that have gone.
    fs::rename(&root, folder.path().join("moved")).unwrap();
    let output = run(folder.path(), &["report", "run"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("no pictures of the mistakes"));
    // A run that was killed: curves so far, and how to go on.
    fs::remove_file(folder.path().join("run/metrics.json")).unwrap();
    stdout(folder.path(), &["report", "run"]);
    assert!(
        page(folder.path(), "run").contains("Training ended, but there is no final evaluation")
    );
    let events = folder.path().join("run/events.jsonl");
    let text = fs::read_to_string(&events).unwrap();
    let end = text.find("{\"event\":\"end\"").unwrap();
    fs::write(&events, &text[..end]).unwrap();
    stdout(folder.path(), &["report", "run"]);
    let said = page(folder.path(), "run");
    assert!(said.contains("This run has no end"), "{said}");
    assert!(said.contains("train --resume"), "{said}");
    // Without any checkpoint.
    fs::remove_dir_all(folder.path().join("run/checkpoints")).unwrap();
    stdout(folder.path(), &["report", "run"]);
}

#[test]
fn what_is_no_run_or_a_newer_one_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    let report = |status| failure(folder.path(), &["report", "run"], status);
    let message = failure(folder.path(), &["report", "nothing"], 3);
    assert!(message.contains("is not a run folder"), "{message}");
    let change = |file: &str, from: &str, to: &str| {
        let path = folder.path().join("run").join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    };
    change(
        "metrics.json",
        "residua.run-metrics/1",
        "residua.run-metrics/9",
    );
    assert!(report(3).contains("newer version"));
    change(
        "metrics.json",
        "residua.run-metrics/9",
        "residua.run-metrics/1",
    );
    change("events.jsonl", "residua.events/1", "residua.events/2");
    assert!(report(3).contains("newer version"));
    change("events.jsonl", "residua.events/2", "residua.events/1");
    let path = folder.path().join("run/metrics.json");
    let half = fs::read_to_string(&path).unwrap();
    fs::write(&path, &half[..half.len() / 2]).unwrap();
    let message = report(3);
    assert!(message.contains("metrics.json, line "), "{message}");
    assert!(message.contains("train --resume 'run'"), "{message}");
    fs::remove_file(&path).unwrap();
    stdout(folder.path(), &["train", "--resume", "run", "--quiet"]);
    assert_eq!(fs::read_to_string(&path).unwrap().len(), half.len());
    change("config.toml", "residua.config/1", "residua.config/2");
    change("config.toml", "epochs = ", "laps = ");
    assert!(report(3).contains("newer version"));
}

#[test]
fn one_class_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = pictures(folder.path(), 12);
    for split in ["train", "val"] {
        for class in ["columns", "dots"] {
            fs::remove_dir_all(root.join(split).join(class)).unwrap();
        }
    }
    let message = failure(folder.path(), &tiny_training("run", &[]), 3);
    assert!(
        message.contains("found 1 class folder; expected at least 2"),
        "{message}"
    );
    assert!(!folder.path().join("run").exists());
}

#[test]
fn runs_are_listed_and_written_for_tensorboard() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let more = ["--epochs", "1", "--tensorboard"];
    stdout(folder.path(), &tiny_training("runs/first", &more));
    let event_files = |folder: &Path| {
        let files = fs::read_dir(folder).unwrap();
        let name = |file: std::io::Result<fs::DirEntry>| file.unwrap().file_name();
        let names = files.map(|file| name(file).into_string().unwrap());
        names.filter(|name| name.contains("tfevents")).count()
    };
    assert_eq!(
        event_files(&folder.path().join("runs/first/tensorboard")),
        1
    );
    let list = json(folder.path(), &["runs", "--json"]);
    assert_eq!(list["schema"], "residua.runs/1");
    assert_eq!(list["runs"][0]["status"], "finished");
    assert_eq!(list["runs"][0]["finished_epochs"], 1);
    assert!(stdout(folder.path(), &["runs"]).contains("resnet8"));
    let file = stdout(
        folder.path(),
        &["runs", "tensorboard", "runs/first", "--out", "events"],
    );
    assert!(file.contains("tfevents"), "{file}");
    assert_eq!(event_files(&folder.path().join("events")), 1);
    let message = failure(folder.path(), &["runs", "elsewhere"], 3);
    assert!(message.contains("is not a folder"), "{message}");
    let message = failure(folder.path(), &["runs", "watch", "runs/first"], 2);
    assert!(message.contains("needs a terminal"), "{message}");
}
