//! Weight files of other programs: looked into, converted, used, trained on.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{assert_keys, failure, json, pictures, stdout, tiny_training};
use residua::graph::StateRole;
use residua::graph::catalog::{self, BuildOptions};
use residua::weights::{NamedTensor, TensorFile, Values};

/// Weights of a run, as another program would have saved them: under other names, without a record.
fn foreign_weights(folder: &Path) -> PathBuf {
    pictures(folder, 10);
    stdout(folder, &tiny_training("run", &[]));
    let mut file = TensorFile::read(&folder.join("run/checkpoints/best.safetensors")).unwrap();
    file.metadata.clear();
    for tensor in &mut file.tensors {
        tensor.name.insert_str(0, "model.module.");
    }
    file.tensors
        .push(NamedTensor::float("optimizer.step", &[1], vec![7.0]));
    let path = folder.join("foreign.safetensors");
    file.write(&path).unwrap();
    path
}

#[test]
fn a_file_says_which_networks_it_fits() {
    let folder = tempfile::tempdir().unwrap();
    foreign_weights(folder.path());
    let report = json(
        folder.path(),
        &["weights", "inspect", "foreign.safetensors", "--json"],
    );
    assert_eq!(report["schema"], "residua.weights/1");
    assert_keys(
        &report,
        &["file", "numbers", "record", "tensors", "fits", "load"],
    );
    // resnet8 is there by rule only.
    let inspect = [
        "weights",
        "inspect",
        "foreign.safetensors",
        "--model",
        "resnet8",
    ];
    let report = json(folder.path(), &[&inspect[..], &["--json"]].concat());
    assert_eq!(report["load"]["prefix"], "model.module.");
    assert_eq!(report["load"]["outside"][0], "optimizer.step");
    let graph = catalog::build("wrn16_8", &BuildOptions::default()).unwrap();
    let tensors = graph.state().into_iter().map(|entry| match entry.role {
        StateRole::BatchCount => NamedTensor::integer(entry.name, 1),
        _ => NamedTensor::float(
            entry.name.clone(),
            &entry.shape,
            vec![0.5; entry.elements()],
        ),
    });
    let file = TensorFile {
        tensors: tensors.collect(),
        ..TensorFile::default()
    };
    file.write(&folder.path().join("wide.safetensors")).unwrap();
    let report = json(
        folder.path(),
        &["weights", "inspect", "wide.safetensors", "--json"],
    );
    assert_eq!(report["fits"], serde_json::json!(["wrn16_8"]));
    let text = stdout(folder.path(), &inspect);
    assert!(text.contains("tensors fit, under 'model.module'"), "{text}");
    let other = [
        "weights",
        "inspect",
        "foreign.safetensors",
        "--model",
        "resnet20",
    ];
    let message = failure(folder.path(), &other, 3);
    assert!(message.contains("does not fit resnet20"), "{message}");
}

#[test]
fn converted_weights_know_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    foreign_weights(folder.path());
    let path = folder.path();
    let names: Vec<_> = common::CLASSES
        .iter()
        .map(|name| format!("{name}\n"))
        .collect();
    fs::write(path.join("names.txt"), names.concat()).unwrap();
    let convert = [
        &[
            "weights",
            "convert",
            "foreign.safetensors",
            "known.safetensors",
        ][..],
        &["--model", "resnet8", "--class-names", "names.txt"],
        &["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"],
        &["--input-size", "16"],
    ]
    .concat();
    let text = stdout(path, &convert);
    assert!(
        text.contains("resnet8, 3 classes, 16×16 pixels, mean [0.485"),
        "{text}"
    );
    let eval = [
        "eval",
        "--weights",
        "known.safetensors",
        "--data",
        "folder:pictures",
        "--json",
    ];
    assert_eq!(json(path, &eval)["images"], 30);
    let message = failure(path, &convert, 2);
    assert!(message.contains("exists already"), "{message}");
    fs::remove_file(path.join("known.safetensors")).unwrap();
    fs::write(path.join("names.txt"), "one\ntwo\n").unwrap();
    let message = failure(path, &convert, 3);
    assert!(
        message.contains("has 3 classes, and 2 names were given"),
        "{message}"
    );
}

/// A tensor of a run's last checkpoint.
fn weight(folder: &Path, run: &str, name: &str) -> Vec<f32> {
    let checkpoint = folder.join(run).join("checkpoints/best.safetensors");
    let file = TensorFile::read(&checkpoint).unwrap();
    match &file.by_name()[name].values {
        Values::Float(values) => values.clone(),
        Values::Integer(_) => panic!("{name} is no weight"),
    }
}

/// The largest difference.
fn distance(left: &[f32], right: &[f32]) -> f32 {
    let differences = left.iter().zip(right).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

#[test]
fn training_starts_from_a_weight_file() {
    let folder = tempfile::tempdir().unwrap();
    foreign_weights(folder.path());
    let path = folder.path();
    // No steps to speak of: what is evaluated is what was loaded.
    let settings = [
        "--weights",
        "foreign.safetensors",
        "--epochs",
        "1",
        "--lr",
        "1e-9",
    ];
    stdout(path, &tiny_training("second", &settings));
    let weight = |run: &str| weight(path, run, "layer1.0.conv1.weight");
    let difference = distance(&weight("run"), &weight("second"));
    assert!(difference < 1e-6, "{difference}");
    let config = fs::read_to_string(path.join("second/config.toml")).unwrap();
    assert!(config.contains("[weights]\nfile = "), "{config}");
}

#[test]
fn another_task_gets_another_head() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    foreign_weights(path);
    // Two of the three classes.
    fs::remove_dir_all(path.join("pictures/train/dots")).unwrap();
    fs::remove_dir_all(path.join("pictures/val/dots")).unwrap();
    let from = ["--weights", "foreign.safetensors", "--epochs", "1"];
    let message = failure(path, &tiny_training("other", &from), 3);
    assert!(
        message.contains("linear.weight: expected [2, 64], found [3, 64]")
            && message.contains("--reset-head"),
        "{message}"
    );
    assert!(!path.join("other").exists());
    let reset = [&from[..], &["--reset-head"]].concat();
    let reset = [&reset[..], &["--lr", "1e-9"]].concat();
    stdout(path, &tiny_training("other", &reset));
    let body = "layer1.0.conv1.weight";
    assert!(distance(&weight(path, "run", body), &weight(path, "other", body)) < 1e-6);
    assert_eq!(weight(path, "other", "linear.weight").len(), 2 * 64);
    let partial = [&from[..], &["--allow-partial"]].concat();
    stdout(path, &tiny_training("partial", &partial));
    let deeper = [&partial[..], &["--model", "resnet14"]].concat();
    stdout(path, &tiny_training("deeper", &deeper));
    let nothing = TensorFile {
        tensors: vec![NamedTensor::float("x", &[1], vec![0.0])],
        ..TensorFile::default()
    };
    nothing.write(&path.join("nothing.safetensors")).unwrap();
    let nothing = ["--weights", "nothing.safetensors", "--allow-partial"];
    let message = failure(path, &tiny_training("none", &nothing), 3);
    assert!(
        message.contains("fits no network of the catalog"),
        "{message}"
    );
    let message = failure(path, &["train", "--weights", "nothing.safetensors"], 2);
    assert!(message.contains("name it with --model NAME"), "{message}");
}

#[test]
fn a_variation_is_remembered_and_a_file_is_not_taken_for_another_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    pictures(path, 12);
    let varied = [
        "--epochs",
        "1",
        "--grey",
        "--group-norm",
        "4",
        "--activation",
        "silu",
        "--dropout",
        "0.1",
        "--stochastic-depth",
        "0.1",
    ];
    stdout(path, &tiny_training("varied", &varied));
    let file = "varied/checkpoints/best.safetensors";
    let listed = stdout(path, &["weights", "inspect", file]);
    assert!(listed.contains("Fits: resnet8"), "{listed}");
    let variations =
        "resnet8 with activation silu, dropout 0.1, norm group 4, stochastic-depth 0.1";
    assert!(listed.contains(variations), "{listed}");
    stdout(path, &["eval", "--run", "varied"]);
    // Under its own name, and without one.
    for name in [&["--model", "resnet8"][..], &[]] {
        let out = format!("again{}", name.len());
        let from = [
            &["train", "--weights", file, "--epochs", "1", "--quiet"],
            name,
        ]
        .concat();
        let data = [
            "--data",
            "folder:pictures",
            "--batch-size",
            "8",
            "--out",
            &out,
        ];
        stdout(path, &[&from[..], &data].concat());
    }
    let eval = [
        "eval",
        "--weights",
        file,
        "--data",
        "folder:pictures",
        "--model",
    ];
    let message = failure(path, &[&eval[..], &["plain8"]].concat(), 3);
    assert!(
        message.contains("written as resnet8, not as plain8"),
        "{message}"
    );
    // Grey pictures on weights for coloured ones.
    stdout(path, &tiny_training("coloured", &["--epochs", "1"]));
    let from = "coloured/checkpoints/best.safetensors";
    let grey = ["--epochs", "1", "--grey", "--weights", from];
    stdout(path, &tiny_training("grey", &grey));
}
