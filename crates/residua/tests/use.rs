//! Using what was trained: `residua eval`, `predict` and `data check` from the outside.

mod common;

use std::fs;

use common::{
    CLASSES, assert_keys, failure, json, picture, pictures, run, stdout, text, tiny_training,
};
use residua::weights::{NamedTensor, TensorFile};
use serde_json::Value;

#[test]
fn evaluation_agrees_with_training() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 10);
    stdout(folder.path(), &tiny_training("run", &[]));
    let metrics = fs::read_to_string(folder.path().join("run/metrics.json")).unwrap();
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    let report = json(folder.path(), &["eval", "--run", "run", "--json"]);
    let keys = [
        "schema",
        "images",
        "loss",
        "accuracy",
        "top5",
        "precision_macro",
        "recall_macro",
        "f1_macro",
        "seconds",
    ];
    assert_keys(&report, &keys);
    assert_eq!(report["images"], 30);
    assert_eq!(report["split"], "validation");
    let trained = &metrics["evaluation"];
    for key in ["accuracy", "loss", "top5", "confusion"] {
        assert_eq!(report[key], trained[key], "{key}");
    }
    assert_eq!(report["f1_macro"], trained["macro_average"]["f1"]);
    let interval = &report["intervals"]["accuracy"];
    assert_eq!(interval["estimate"], report["accuracy"]);
    assert!(interval["lower"].as_f64() <= interval["upper"].as_f64());
    assert_eq!(report["calibration"]["samples"], 30);
    assert_eq!(report["ranking"]["per_class"].as_array().unwrap().len(), 3);
    let mistakes = report["mistakes"].as_array().unwrap();
    let wrong = 30.0 * (1.0 - report["accuracy"].as_f64().unwrap());
    assert_eq!(mistakes.len(), (wrong.round() as usize).min(5));
    for mistake in mistakes {
        assert!(mistake["image"].as_str().unwrap().contains("pictures/val"));
        assert_ne!(mistake["class"], mistake["predicted"]);
    }
    let text = stdout(folder.path(), &["eval", "--run", "run"]);
    for expected in [
        "accuracy",
        "precision",
        "macro average",
        "true \\ predicted",
        "95 % confidence",
        "expected error",
        "dots",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    // Of three classes, the right one is always among the first five.
    assert!(!text.contains("top-5"), "{text}");
}

#[test]
fn other_data_and_splits_can_be_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 10);
    stdout(folder.path(), &tiny_training("run", &[]));
    let train = json(
        folder.path(),
        &["eval", "--run", "run", "--split", "train", "--json"],
    );
    assert_eq!(
        (&train["split"], &train["images"]),
        (&"train".into(), &30.into())
    );
    // A folder of class folders, with fewer classes than the network knows.
    let other = folder.path().join("other");
    fs::create_dir_all(other.join("dots")).unwrap();
    picture(2, 5).save(other.join("dots/a.bmp")).unwrap();
    let arguments = ["eval", "--run", "run", "--data", "folder:other", "--json"];
    let report = json(folder.path(), &arguments);
    assert_eq!(report["images"], 1);
    assert_eq!(report["per_class"].as_array().unwrap().len(), 3);
    // A class that it does not know.
    fs::create_dir_all(other.join("stripes")).unwrap();
    picture(0, 5).save(other.join("stripes/a.png")).unwrap();
    let message = failure(folder.path(), &arguments, 3);
    assert!(message.contains("stripes"), "{message}");
}

#[test]
fn held_out_images_are_the_same_in_training_and_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path(), 12);
    fs::remove_dir_all(pictures.join("val")).unwrap();
    let message = failure(folder.path(), &tiny_training("none", &[]), 3);
    assert!(message.contains("fraction"), "{message}");
    stdout(
        folder.path(),
        &tiny_training("run", &["--val-fraction", "0.25"]),
    );
    let metrics = fs::read_to_string(folder.path().join("run/metrics.json")).unwrap();
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    let report = json(folder.path(), &["eval", "--run", "run", "--json"]);
    assert_eq!(report["images"], 9);
    assert_eq!(report["confusion"], metrics["evaluation"]["confusion"]);
    // The same data by name, from the same folder or another.
    let named = [
        "eval",
        "--run",
        "run",
        "--data",
        "folder:pictures",
        "--json",
    ];
    assert_eq!(
        json(folder.path(), &named)["confusion"],
        report["confusion"]
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let run = ["eval", "--run", run.to_str().unwrap(), "--json"];
    assert_eq!(
        json(elsewhere.path(), &run)["confusion"],
        report["confusion"]
    );
}

#[test]
fn weights_can_be_used_without_their_run() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 10);
    stdout(folder.path(), &tiny_training("run", &[]));
    let data = ["--data", "folder:pictures", "--json"];
    let of_run = json(folder.path(), &["eval", "--run", "run", "--json"]);
    let best = "run/checkpoints/best.safetensors";
    let with_record = [&["eval", "--weights", best][..], &data].concat();
    let found = json(folder.path(), &with_record);
    assert_eq!(found["accuracy"], of_run["accuracy"]);
    // The name of the network alone changes nothing.
    let named = [
        &["eval", "--weights", best, "--model", "resnet8"][..],
        &data,
    ]
    .concat();
    assert_eq!(json(folder.path(), &named)["accuracy"], of_run["accuracy"]);
    // As from elsewhere: tensors and nothing else.
    let mut file = TensorFile::read(&folder.path().join(best)).unwrap();
    file.metadata.clear();
    file.write(&folder.path().join("bare.safetensors")).unwrap();
    let bare = [
        &[
            "eval",
            "--weights",
            "bare.safetensors",
            "--model",
            "resnet8",
        ][..],
        &["--input-size", "16", "--mean", "0.485,0.456,0.406"],
        &["--std", "0.229,0.224,0.225"],
        &data,
    ]
    .concat();
    // The run scales to cover 16 / 0.875 pixels; published CIFAR networks take all of the image.
    assert_eq!(json(folder.path(), &bare)["images"], 30);
    let message = failure(folder.path(), &["eval", "--weights", "bare.safetensors"], 3);
    assert!(message.contains("--model NAME"), "{message}");
}

#[test]
fn bad_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let eval = |file| ["eval", "--model", "resnet20", "--weights", file];
    let message = failure(folder.path(), &eval("absent.safetensors"), 3);
    assert!(message.contains("absent.safetensors"), "{message}");
    fs::write(folder.path().join("w.pth"), b"PK\x03\x04").unwrap();
    let message = failure(folder.path(), &eval("w.pth"), 3);
    assert!(
        message.contains("not a valid PyTorch checkpoint"),
        "{message}"
    );
    fs::write(
        folder.path().join("torn.safetensors"),
        [8, 0, 0, 0, 0, 0, 0, 0, b'{'],
    )
    .unwrap();
    let message = failure(folder.path(), &eval("torn.safetensors"), 3);
    assert!(
        message.contains("not a valid safetensors file"),
        "{message}"
    );
    let other = TensorFile {
        tensors: vec![NamedTensor::float("conv1.weight", &[2], vec![0.0; 2])],
        ..TensorFile::default()
    };
    other
        .write(&folder.path().join("other.safetensors"))
        .unwrap();
    let message = failure(folder.path(), &eval("other.safetensors"), 3);
    assert!(
        message.contains("other.safetensors does not fit resnet20"),
        "{message}"
    );
    assert!(
        message.contains("conv1.weight: expected [16, 3, 3, 3], found [2]"),
        "{message}"
    );
}

#[test]
fn pictures_are_predicted_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 40);
    stdout(folder.path(), &tiny_training("run", &["--epochs", "8"]));
    let report = json(
        folder.path(),
        &[
            "predict",
            "--run",
            "run",
            "pictures/val",
            "--json",
            "--top",
            "2",
        ],
    );
    assert_eq!(report["schema"], "residua.predict/1");
    let predictions = report["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 120);
    let right = predictions.iter().filter(|prediction| {
        let class = prediction["classes"][0]["class"].as_str().unwrap();
        prediction["path"].as_str().unwrap().contains(class)
    });
    assert!(right.count() > 100);
    let probabilities: f64 = (0..2)
        .map(|rank| {
            predictions[0]["classes"][rank]["probability"]
                .as_f64()
                .unwrap()
        })
        .sum();
    assert!(probabilities > 0.5 && probabilities <= 1.0 + 1e-9);

    let image = "pictures/val/dots/1.png";
    let csv = stdout(folder.path(), &["predict", "--run", "run", image, "--csv"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "path,rank,class,probability");
    assert_eq!(lines.len(), 1 + CLASSES.len());
    assert!(lines[1].starts_with("pictures/val/dots/1.png,1,"), "{csv}");
    let table = stdout(folder.path(), &["predict", "--run", "run", image]);
    assert!(table.contains("dots") && table.contains('%'), "{table}");
}

#[test]
fn an_unreadable_picture_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 6);
    stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    fs::write(folder.path().join("broken.jpg"), b"no").unwrap();
    let arguments = [
        "predict",
        "--run",
        "run",
        "broken.jpg",
        "absent.png",
        "pictures/val/dots",
        "--json",
    ];
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3));
    let message = text(&output.stderr);
    assert!(message.contains("2 of 8 images were skipped"), "{message}");
    assert!(message.contains("absent.png: No such file"), "{message}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["predictions"].as_array().unwrap().len(), 6);
    let skipped = report["skipped"].as_array().unwrap();
    let paths: Vec<&Value> = skipped.iter().map(|skipped| &skipped["path"]).collect();
    assert_eq!(paths, ["absent.png", "broken.jpg"]);
    // As an explanation, too.
    let explain = ["explain", "--run", "run", "absent.png", "pictures/val/dots"];
    let message = failure(folder.path(), &explain, 3);
    assert!(message.contains("1 of 7 images were skipped"), "{message}");
    let written = fs::read_dir(folder.path().join("explanations")).unwrap();
    assert_eq!(written.count(), 12);
    // None that can be read.
    let message = failure(folder.path(), &["predict", "--run", "run", "broken.jpg"], 3);
    assert!(message.contains("nothing was done"), "{message}");
    for (command, nothing) in [("explain", "nothing"), ("embed", "nothing.csv")] {
        let arguments = [command, "--run", "run", "broken.jpg", "--out", nothing];
        let message = failure(folder.path(), &arguments, 3);
        assert!(message.contains("nothing was done"), "{message}");
        assert!(!folder.path().join(nothing).exists());
    }
    failure(
        folder.path(),
        &["predict", "--run", "run", "broken.jpg", "--top", "0"],
        2,
    );
    let message = failure(folder.path(), &["predict", "--run", "run", "absent.png"], 3);
    assert!(message.contains("absent.png"), "{message}");
    let message = failure(folder.path(), &["predict", "--run", "run"], 2);
    assert!(message.contains("IMAGE"), "{message}");
}

#[test]
fn unfinished_and_foreign_folders_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let message = failure(folder.path(), &["eval", "--run", "nowhere"], 3);
    assert!(message.contains("is not a run folder"), "{message}");
    let message = failure(folder.path(), &["eval"], 2);
    assert!(message.contains("--run"), "{message}");
    pictures(folder.path(), 4);
    stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    fs::remove_dir_all(folder.path().join("run/checkpoints")).unwrap();
    let message = failure(folder.path(), &["eval", "--run", "run"], 3);
    assert!(message.contains("has no checkpoint"), "{message}");
    let message = failure(folder.path(), &["train", "--resume", "run"], 3);
    assert!(message.contains("has no checkpoint yet"), "{message}");
    let config = folder.path().join("run/config.toml");
    let newer = fs::read_to_string(&config)
        .unwrap()
        .replace("config/1", "config/2");
    fs::write(&config, newer).unwrap();
    let message = failure(folder.path(), &["eval", "--run", "run"], 3);
    assert!(
        message.contains("config.toml' was written by a newer version of Residua"),
        "{message}"
    );
}

#[test]
fn a_batch_is_drawn_as_the_network_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let show = |more: &[&str]| {
        let mut arguments = vec![
            "data",
            "show",
            "--data",
            "folder:pictures",
            "--input-size",
            "16",
            "--images",
            "12",
            "--columns",
            "4",
            "--json",
        ];
        arguments.extend(more);
        arguments
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let draw = |more: &[&str]| {
        let arguments = show(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let report = json(folder.path(), &arguments);
        let picture = image::open(folder.path().join("batch.png")).unwrap();
        (report, picture.into_rgb8())
    };
    let (plain, picture) = draw(&["--augment", "none"]);
    assert_eq!(plain["images"].as_array().unwrap().len(), 12);
    assert!(plain["images"][0]["mixed_with"].is_null());
    // Four images of 16 pixels in a row, two between them, in three rows.
    assert_eq!(picture.dimensions(), (4 * 16 + 3 * 2, 3 * 16 + 2 * 2));
    let (mixed, changed) = draw(&["--augment", "none", "--mixup", "1"]);
    assert_eq!(plain["images"][3]["class"], mixed["images"][3]["class"]);
    assert!(mixed["images"][0]["mixed_with"][1].is_number());
    assert_ne!(picture, changed);
    let (_, other_epoch) = draw(&["--augment", "none", "--epoch", "2"]);
    assert_ne!(picture, other_epoch);
    let message = failure(folder.path(), &["data", "show", "--out", "x.gif"], 2);
    assert!(message.contains(".png"), "{message}");
}

#[test]
fn data_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path(), 6);
    fs::copy(
        pictures.join("train/dots/1.png"),
        pictures.join("train/dots/copy.png"),
    )
    .unwrap();
    fs::copy(
        pictures.join("train/bars/1.png"),
        pictures.join("val/bars/leak.png"),
    )
    .unwrap();
    fs::write(pictures.join("train/bars/broken.png"), b"no").unwrap();
    let arguments = [
        "data",
        "check",
        "folder:pictures",
        "--max-unreadable",
        "0.5",
    ];
    let text = stdout(folder.path(), &arguments);
    for expected in [
        "3 classes",
        "all images are 18×20",
        "unreadable (1)",
        "broken.png",
        "exact duplicates (1)",
        "copy.png",
        "the same image in two splits (1)",
        "leak.png",
    ] {
        assert!(text.contains(expected), "expected '{expected}' in: {text}");
    }
    let report = json(folder.path(), &[&arguments[..], &["--json"]].concat());
    assert_keys(
        &report,
        &["schema", "splits", "unreadable", "duplicates", "leakage"],
    );
    // What holding images out would run into.
    let held_out = [&arguments[..], &["--val-fraction", "0.2"]].concat();
    let output = run(folder.path(), &held_out);
    assert_eq!(output.status.code(), Some(3));
    assert!(common::text(&output.stdout).contains("there is a validation split already"));
    for wrong in ["--val-fraction=1.5", "--max-unreadable=7"] {
        failure(
            folder.path(),
            &["data", "check", "folder:pictures", wrong],
            2,
        );
    }
    // A problem: the exit code says so, and the rest is reported all the same.
    fs::create_dir(pictures.join("train/nothing")).unwrap();
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3));
    assert!(common::text(&output.stdout).contains("problems (1)"));
}

#[test]
fn the_builtin_data_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    let report = json(folder.path(), &["data", "check", "builtin", "--json"]);
    assert_eq!(report["splits"][0]["images"], 2000);
    assert_eq!(report["splits"][1]["images"], 500);
    for list in ["unreadable", "leakage", "problems"] {
        assert_eq!(report[list].as_array().unwrap().len(), 0, "{list}");
    }
}
