//! The precision of a run, from the outside.

mod common;

use std::fs;

use common::{failure, json, pictures, run, stdout, text, tiny_training};
use residua::weights::TensorFile;

/// Versions before there was a choice did not write the precision down.
#[test]
fn a_run_without_a_precision_is_continued_in_f32() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 6);
    stdout(folder.path(), &tiny_training("run", &[]));
    let config = folder.path().join("run/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let older = text.replace("precision = \"f32\"\n", "");
    assert_ne!(text, older);
    fs::write(&config, &older).unwrap();
    let checkpoint = folder.path().join("run/checkpoints/last.safetensors");
    let mut file = TensorFile::read(&checkpoint).unwrap();
    let state = &file.metadata["residua.training"];
    let mut state: serde_json::Value = serde_json::from_str(state).unwrap();
    state["config"] = older.into();
    file.metadata
        .insert("residua.training".to_owned(), state.to_string());
    file.write(&checkpoint).unwrap();
    stdout(folder.path(), &["train", "--quiet", "--resume", "run"]);
    let metrics = fs::read_to_string(folder.path().join("run/metrics.json")).unwrap();
    assert!(metrics.contains(r#""precision": "f32""#), "{metrics}");
}

#[test]
fn the_precision_of_a_run_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "train",
        "--epochs",
        "1",
        "--model",
        "resnet8",
        "--precision",
        "bf16",
        "--out",
        "run",
    ];
    let output = run(folder.path(), &arguments);
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("precision bf16"), "{message}");
    let read = |name: &str| fs::read_to_string(folder.path().join("run").join(name)).unwrap();
    assert!(read("config.toml").contains("precision = \"bf16\"\n"));
    assert!(read("metrics.json").contains(r#""precision": "bf16""#));
    let events = read("events.jsonl");
    let start = events.lines().next().unwrap();
    assert!(start.contains(r#""precision":"bf16""#), "{start}");
    // An evaluation of the weights is worth the same whatever they were trained in.
    let report = json(folder.path(), &["eval", "--run", "run", "--json"]);
    let metrics: serde_json::Value = serde_json::from_str(&read("metrics.json")).unwrap();
    assert_eq!(report["loss"], metrics["evaluation"]["loss"]);
    let message = failure(
        folder.path(),
        &tiny_training("x", &["--precision", "half"]),
        2,
    );
    assert!(message.contains("possible values: f32, bf16"), "{message}");
    let message = failure(folder.path(), &["train", "--set", "precision=half"], 3);
    assert!(message.contains("expected f32 or bf16"), "{message}");
}
