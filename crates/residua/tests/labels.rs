//! Pictures that show any number of classes: from a spreadsheet to training, evaluation, predictions,
//! pages and comparisons; and what is refused.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::arrays::archive;
use common::shapes::shapes;
use common::{assert_keys, failure, json, run, stdout, text};
use residua::core::run::RunFolder;
use residua::core::task::{Decision, Measure, Task};
use residua::train::read_record;
use residua::weights::TensorFile;
use serde_json::Value;

/// Arguments of a training of seconds on [`shapes`].
fn training<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "train",
        "--quiet",
        "--data",
        "csv:shapes/labels.csv",
        "--model",
        "resnet8",
        "--input-size",
        "24",
        "--batch-size",
        "16",
        "--lr",
        "0.1",
        "--augment",
        "none",
        "--epochs",
        "2",
        "--seed",
        "3",
        "--out",
        out,
    ];
    arguments.extend(more);
    arguments
}

fn metrics(folder: &Path, run: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join(run).join("metrics.json")).unwrap())
        .unwrap()
}

#[test]
fn shapes_are_learned_and_all_commands_know_what_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shapes(folder, 320, 120);
    let report = json(folder, &training("run", &["--epochs", "10", "--json"]));
    let area = report["best_roc_auc"].as_f64().unwrap();
    assert!(area > 0.9, "three easy shapes, and only {area}");
    assert!(report.get("accuracy").is_none());

    // The run folder.
    let config = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    assert!(
        config.contains("kind = \"binary-cross-entropy\""),
        "{config}"
    );
    let found = RunFolder::open(folder.join("run"))
        .unwrap()
        .read_metrics()
        .unwrap();
    assert_eq!(
        (found.task(), found.measure()),
        (Task::MultiLabel, Measure::RocAuc)
    );
    assert_eq!(found.score(), area);
    let record = read_record(&folder.join("run/checkpoints/best.safetensors"))
        .unwrap()
        .unwrap();
    let thresholds = found.multi_label().unwrap().multilabel.thresholds.clone();
    assert_eq!(record.decision, Decision::Thresholds { thresholds });
    let events = fs::read_to_string(folder.join("run/events.jsonl")).unwrap();
    assert!(events.contains("\"task\":\"multi-label\"") && events.contains("\"best_roc_auc\""));
    let predictions = fs::read_to_string(folder.join("run/predictions.csv")).unwrap();
    let mut lines = predictions.lines();
    assert_eq!(
        lines.next(),
        Some("image,classes,predicted,blue cross,green disc,red square")
    );
    assert_eq!(lines.count(), 120);

    // The same evaluation again, and its text.
    let again = json(folder, &["eval", "--quiet", "--run", "run", "--json"]);
    assert_eq!(again["schema"], "residua.eval-labels/1");
    assert_eq!(again["roc_auc"].as_f64(), Some(area));
    assert_keys(
        &again,
        &[
            "macro",
            "micro",
            "exact_match",
            "label_cardinality",
            "per_class",
        ],
    );
    let first = metrics(folder, "run");
    assert_eq!(
        again["macro"],
        first["multilabel"]["decisions"]["macro_average"]
    );
    assert_eq!(
        again["per_class"][1]["roc_auc_interval"],
        first["multilabel"]["intervals"]["roc_auc"][1]
    );
    let shown = stdout(folder, &["eval", "--quiet", "--run", "run"]);
    assert!(
        shown.contains("mean ROC-AUC ") && shown.contains("95 % confidence"),
        "{shown}"
    );
    assert!(
        !shown.contains("accuracy") && !shown.contains("temperature"),
        "{shown}"
    );
    let train = json(
        folder,
        &[
            "eval", "--quiet", "--run", "run", "--split", "train", "--json",
        ],
    );
    assert_eq!(train["images"], 320);

    // Predictions are the decisions of the evaluation.
    let some: Vec<String> = (0..8)
        .map(|number| format!("shapes/val-{number:03}.png"))
        .collect();
    let mut arguments = vec!["predict", "--quiet", "--run", "run"];
    arguments.extend(some.iter().map(String::as_str));
    let text_output = stdout(folder, &arguments);
    let lines: Vec<&str> = text_output.lines().collect();
    assert!(lines[0].starts_with("image") && lines[0].contains("classes over their thresholds"));
    arguments.push("--json");
    let report = json(folder, &arguments);
    assert_eq!(report["schema"], "residua.predict-labels/1");
    for (place, line) in predictions.lines().skip(1).take(8).enumerate() {
        let prediction = &report["predictions"][place];
        let chosen: Vec<&str> = { prediction["chosen"].as_array().unwrap().iter() }
            .map(|class| class.as_str().unwrap())
            .collect();
        let expected = match chosen.is_empty() {
            true => "No Finding".to_owned(),
            false => chosen.join("|"),
        };
        assert_eq!(line.split(',').nth(2), Some(expected.as_str()));
        assert_eq!(prediction["classes"].as_array().unwrap().len(), 3);
        match chosen.is_empty() {
            true => assert!(lines[place + 1].ends_with("No Finding"), "{text_output}"),
            false => assert!(lines[place + 1].contains(chosen[0]), "{text_output}"),
        }
    }
    arguments.pop();
    arguments.push("--csv");
    assert_eq!(stdout(folder, &arguments).lines().count(), 1 + 8 * 3);

    // Lists, pages, event files.
    let listed = stdout(folder, &["runs", "."]);
    assert!(listed.contains(&format!("AUC {area:.4}")), "{listed}");
    let listed = json(folder, &["runs", ".", "--json"]);
    let best = listed["runs"][0]["best_roc_auc"].as_f64().unwrap();
    assert!((best - area).abs() < 1e-12, "{best} and {area}");
    assert_eq!(listed["runs"][0]["best_accuracy"], Value::Null);
    let page = fs::read_to_string(folder.join("run/report.html")).unwrap();
    assert!(page.contains("mean ROC-AUC") && page.contains("ROC curves"));
    assert!(!page.contains("temperature of") && !page.contains("Confusion"));
    stdout(folder, &["report", "run", "--out", "page.html"]);
    stdout(folder, &["runs", "tensorboard", "run"]);

    // What else looks at networks.
    let explained = json(
        folder,
        &["explain", "--quiet", "--run", "run", &some[0], "--json"],
    );
    let probability = explained["explanations"][0]["probability"]
        .as_f64()
        .unwrap();
    let best = {
        report["predictions"][0]["classes"]
            .as_array()
            .unwrap()
            .iter()
    }
    .map(|class| class["probability"].as_f64().unwrap())
    .fold(0.0, f64::max);
    assert!(
        (probability - best).abs() < 1e-6,
        "{probability} and {best}"
    );
    stdout(
        folder,
        &[
            "explain",
            "--quiet",
            "--run",
            "run",
            &some[0],
            "--method",
            "occlusion",
            "--class",
            "green disc",
        ],
    );
    stdout(
        folder,
        &["embed", "--quiet", "--run", "run", &some[0], &some[1]],
    );
    let embedded = fs::read_to_string(folder.join("embeddings.csv")).unwrap();
    let expected = predictions
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .nth(2)
        .unwrap();
    assert_eq!(
        embedded.lines().nth(1).unwrap().split(',').nth(1),
        Some(expected)
    );
    let compared = stdout(folder, &["compare", "run", "--out", "compared"]);
    assert!(compared.contains("all classes right %") && compared.contains("mean ROC-AUC"));

    // What is for one class alone is refused.
    let refused = |arguments: &[&str], expected: &str| {
        let message = failure(folder, arguments, 3);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    };
    let predict = ["predict", "--quiet", "--run", "run", &some[0]];
    refused(
        &[&predict[..], &["--calibrated"]].concat(),
        "no temperature of a softmax changes",
    );
    refused(
        &[&predict[..], &["--top", "2"]].concat(),
        "names the classes over their thresholds",
    );
    let message = "each image of builtin is of one class";
    refused(
        &["eval", "--quiet", "--run", "run", "--data", "builtin"],
        message,
    );
}

/// All that a run leaves but times.
fn state(folder: &Path, run: &str) -> (Vec<TensorFile>, Value) {
    let read = |name: &str| {
        let mut file = TensorFile::read(&folder.join(run).join("checkpoints").join(name)).unwrap();
        file.path = PathBuf::new();
        file.metadata.retain(|key, _| key == "residua");
        file
    };
    let files = vec![read("last.safetensors"), read("best.safetensors")];
    (files, metrics(folder, run)["multilabel"].take())
}

#[test]
fn a_run_goes_on_to_the_same_bits_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shapes(folder, 160, 48);
    let more = [
        "--epochs",
        "5",
        "--mixup",
        "0.4",
        "--class-weights",
        "balanced",
    ];
    stdout(
        folder,
        &training(
            "whole",
            &[&more[..], &["--threads", "1", "--workers", "0"]].concat(),
        ),
    );
    stdout(
        folder,
        &training(
            "other",
            &[&more[..], &["--threads", "3", "--workers", "2"]].concat(),
        ),
    );
    let whole = state(folder, "whole");
    assert_eq!(whole, state(folder, "other"));
    // Killed in the middle, as a power cut does it.
    let more = [&more[..], &["--checkpoint-every", "3"]].concat();
    let mut process = Command::new(assert_cmd::cargo::cargo_bin!("residua"))
        .current_dir(folder)
        .args(training("killed", &more))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let events = folder.join("killed/events.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    // After an epoch, so that thresholds have been chosen.
    while !fs::read_to_string(&events).is_ok_and(|text| text.contains("\"event\":\"epoch\"")) {
        assert!(Instant::now() < deadline, "no epoch ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(
        !folder.join("killed/metrics.json").exists(),
        "the run had ended already"
    );
    stdout(folder, &["train", "--quiet", "--resume", "killed"]);
    assert_eq!(whole, state(folder, "killed"));
}

#[test]
fn other_losses_weights_and_pieces_train_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shapes(folder, 48, 24);
    let more = [
        "--loss",
        "focal",
        "--cutmix",
        "1",
        "--accumulate",
        "2",
        "--weight-average",
        "0.9",
    ];
    stdout(folder, &training("focal", &more));
    let given = [
        "--set",
        "class_weights={rule=\"given\",weights={\"red square\"=3.0}}",
    ];
    stdout(folder, &training("given", &given));
    stdout(
        folder,
        &[
            "lr-find",
            "--quiet",
            "--data",
            "csv:shapes/labels.csv",
            "--steps",
            "3",
            "--model",
            "resnet8",
        ],
    );
    let shown = json(
        folder,
        &[
            "data",
            "show",
            "--data",
            "csv:shapes/labels.csv",
            "--images",
            "4",
            "--mixup",
            "1",
            "--json",
        ],
    );
    assert!(shown["images"][0]["class"].is_array(), "{shown}");
    // Held out, groups and all.
    let table = fs::read_to_string(folder.join("shapes/labels.csv")).unwrap();
    let mut lines = table.lines();
    lines.next();
    let rows: Vec<String> = { lines.enumerate() }
        .map(|(number, line)| format!("{},{}", line.rsplit_once(',').unwrap().0, number / 2))
        .collect();
    fs::write(
        folder.join("shapes/grouped.csv"),
        format!("path,Finding Labels,group\n{}\n", rows.join("\n")),
    )
    .unwrap();
    let more = ["--data", "csv:shapes/grouped.csv", "--val-fraction", "0.25"];
    stdout(folder, &training("grouped", &more));
    let checked = stdout(
        folder,
        &["data", "check", "--quiet", "csv:shapes/labels.csv"],
    );
    assert!(
        checked.contains("3 classes, any number of them in an image"),
        "{checked}"
    );
    assert!(
        checked.contains("classes an image, at most 3;"),
        "{checked}"
    );
    let checked = json(
        folder,
        &[
            "data",
            "check",
            "--quiet",
            "csv:shapes/labels.csv",
            "--json",
        ],
    );
    assert_eq!(checked["task"], "multi-label");
    assert_keys(
        &checked["splits"][0]["cardinality"],
        &["none", "mean", "most"],
    );
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shapes(folder, 16, 8);
    let refused = |more: &[&str], expected: &str| {
        let message = failure(folder, &training("none", more), 3);
        assert!(message.contains(expected), "{more:?}: {message}");
        assert!(!folder.join("none").exists(), "something was written");
    };
    let judge = "--loss binary-cross-entropy and --loss focal judge each class on its own";
    refused(&["--loss", "cross-entropy"], judge);
    refused(&["--loss", "mse"], judge);
    refused(&["--label-smoothing", "0.1"], "leave out --label-smoothing");
    let message = failure(
        folder,
        &[
            "study",
            "degradation",
            "--depths",
            "8",
            "--data",
            "csv:shapes/labels.csv",
            "--epochs",
            "1",
        ],
        3,
    );
    assert!(
        message.contains("expected images of one class each"),
        "{message}"
    );
    let table =
        "path,labels,split\ntrain-000.png,x,train\ntrain-001.png,y,train\nval-000.png,x,val\n";
    fs::write(folder.join("shapes/one.csv"), table).unwrap();
    refused(
        &["--data", "csv:shapes/one.csv"],
        "no class has validation images with it and without it",
    );
    fs::write(
        folder.join("shapes/bad.csv"),
        table.replace(",y,", ",y||x,"),
    )
    .unwrap();
    refused(
        &["--data", "csv:shapes/bad.csv"],
        "bad.csv, line 3: has an empty class in \"y||x\"",
    );
}

#[test]
fn progress_names_its_figure() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shapes(folder, 32, 16);
    let arguments = training("run", &["--epochs", "1"]);
    let arguments: Vec<&str> = { arguments.into_iter() }
        .filter(|word| *word != "--quiet")
        .collect();
    let output = run(folder, &arguments);
    assert!(output.status.success());
    let progress = text(&output.stderr);
    assert!(progress.contains("validation ROC-AUC 0."), "{progress}");
    assert!(!progress.contains("accuracy"), "{progress}");
    assert!(text(&output.stdout).starts_with("Mean ROC-AUC 0."));
}

/// An archive in the form of ChestMNIST: images `[N, 8, 8, 3]` and labels `[N, 3]`, where a label says
/// whether a channel is bright.
fn bright_channels(file: &Path) {
    let labels = |count: u8| -> Vec<u8> {
        let bits = |image: u8| (0..3).map(move |bit| image >> bit & 1);
        (0..count).flat_map(bits).collect()
    };
    let images = |count: u8| -> Vec<u8> {
        let labels = labels(count);
        let pixels = |shown: &[u8]| -> Vec<u8> {
            let value = |place: usize| 40 + 120 * shown[place % 3] + (place / 3 % 7 * 9) as u8;
            (0..64 * 3).map(value).collect()
        };
        labels.chunks(3).flat_map(pixels).collect()
    };
    archive(
        file,
        &[
            ("train_images", &[96, 8, 8, 3], images(96)),
            ("train_labels", &[96, 3], labels(96)),
            ("val_images", &[32, 8, 8, 3], images(32)),
            ("val_labels", &[32, 3], labels(32)),
            ("test_images", &[16, 8, 8, 3], images(16)),
            ("test_labels", &[16, 3], labels(16)),
        ],
    );
}

#[test]
fn an_archive_with_several_labels_is_learned_judged_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bright_channels(&folder.join("bright.npz"));
    fs::write(folder.join("bright.classes.txt"), "red\ngreen\nblue\n").unwrap();
    let more = [
        "--data",
        "npz:bright.npz",
        "--input-size",
        "8",
        "--epochs",
        "6",
        "--json",
    ];
    let report = json(folder, &training("run", &more));
    let area = report["best_roc_auc"].as_f64().unwrap();
    assert!(area > 0.95, "three bright channels, and only {area}");
    let arguments = ["eval", "--run", "run", "--split", "test", "--json"];
    let judged = json(folder, &arguments);
    let classes = judged["per_class"].as_array().unwrap().iter();
    let names: Vec<&str> = classes
        .map(|class| class["class"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["red", "green", "blue"]);
    let message = failure(
        folder,
        &training("none", &[&more[..], &["--loss", "mse"]].concat()),
        3,
    );
    assert!(message.contains("judge each class on its own"), "{message}");
    assert!(!folder.join("none").exists());
}
