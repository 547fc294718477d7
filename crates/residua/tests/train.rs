//! `residua train` from the outside: results, exact continuation, bad input.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{
    assert_keys, failure, json, pictures, residua, run, start, stdout, text, tiny_training,
    wait_for,
};
use residua::weights::TensorFile;

/// All that a run leaves: parameters, statistics and optimiser state after the last step, the
/// best weights, and what both were found to be worth.
#[derive(Debug, PartialEq)]
struct Result {
    last: TensorFile,
    best: TensorFile,
    evaluation: serde_json::Value,
}

fn result(folder: &Path, run: &str) -> Result {
    let folder = folder.join(run);
    let read = |name: &str| {
        let mut file = TensorFile::read(&folder.join("checkpoints").join(name)).unwrap();
        file.path = PathBuf::new();
        // How long it took differs.
        file.metadata.clear();
        file
    };
    let metrics = fs::read_to_string(folder.join("metrics.json")).unwrap();
    let mut metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    Result {
        last: read("last.safetensors"),
        best: read("best.safetensors"),
        evaluation: metrics["evaluation"].take(),
    }
}

#[test]
fn a_run_leaves_its_folder_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let report = json(folder.path(), &tiny_training("run", &["--json"]));
    let keys = [
        "schema",
        "run",
        "model",
        "epochs",
        "accuracy",
        "best_accuracy",
        "seconds",
        "train_images_per_second",
    ];
    assert_keys(&report, &keys);
    assert_eq!(report["epochs"], 3);
    for file in [
        "config.toml",
        "events.jsonl",
        "metrics.json",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
    ] {
        assert!(folder.path().join("run").join(file).is_file(), "{file}");
    }
    let events = fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    let count = |kind: &str| {
        events
            .lines()
            .filter(|l| l.contains(&format!("\"event\":\"{kind}\"")))
            .count()
    };
    assert_eq!((count("start"), count("epoch"), count("end")), (1, 3, 1));
}

#[test]
fn a_network_learns_easy_pictures() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 40);
    let report = json(
        folder.path(),
        &tiny_training("run", &["--json", "--epochs", "8"]),
    );
    let accuracy = report["best_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "three easy classes, and only {accuracy}");
}

#[test]
fn the_same_seed_gives_the_same_bits_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    for (out, threads, workers) in [("a", "1", "0"), ("b", "2", "2"), ("c", "3", "1")] {
        let more = [
            "--threads",
            threads,
            "--workers",
            workers,
            "--clip-norm",
            "2",
        ];
        stdout(folder.path(), &tiny_training(out, &more));
    }
    let first = result(folder.path(), "a");
    assert_eq!(first, result(folder.path(), "b"));
    assert_eq!(first, result(folder.path(), "c"));
    let other_seed = tiny_training("d", &["--clip-norm", "2", "--set", "seed=8"]);
    stdout(folder.path(), &other_seed);
    assert_ne!(first, result(folder.path(), "d"));
}

#[test]
fn smaller_images_come_first_and_patience_waits_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let stage = "progressive_resizing=[{scale=0.5,epochs=2}]";
    // So slow that no epoch is better than the first.
    let slow = ["--lr", "1e-9", "--epochs", "4"];
    let smaller = [&slow[..], &["--patience", "1", "--set", stage]].concat();
    let loud: Vec<&str> = tiny_training("smaller", &smaller);
    let loud: Vec<&str> = loud.into_iter().filter(|word| *word != "--quiet").collect();
    let output = run(folder.path(), &loud);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stderr);
    let mentions = lines.matches(" images/s of ").count();
    assert_eq!(mentions, 2, "{lines}");
    let metrics = fs::read_to_string(folder.path().join("smaller/metrics.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert!(metrics["epochs"].as_u64() >= Some(3), "{metrics}");
    stdout(folder.path(), &tiny_training("full", &slow));
    let [smaller, full] = ["smaller", "full"].map(|run| result(folder.path(), run).last);
    assert!(smaller != full, "the smaller images were not shown");
    let message = failure(
        folder.path(),
        &tiny_training(
            "none",
            &["--set", "progressive_resizing=[{scale=0.5,epochs=3}]"],
        ),
        3,
    );
    assert!(
        message.contains("which makes 3 of the run's 3 in all; expected fewer"),
        "{message}"
    );
    assert!(!folder.path().join("none").exists());
}

#[test]
fn a_killed_run_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 60);
    for (name, more) in [
        ("sgd", &["--checkpoint-every", "3"][..]),
        (
            "bf16",
            &[
                "--checkpoint-every",
                "3",
                "--precision",
                "bf16",
                "--set",
                "progressive_resizing=[{scale=0.5,epochs=1}]",
                "--set",
                "stem=whitening",
            ][..],
        ),
        (
            "adamw",
            &[
                "--checkpoint-every",
                "4",
                "--optimiser",
                "adamw",
                "--clip-norm",
                "1",
            ][..],
        ),
        (
            "average",
            &[
                "--checkpoint-every",
                "3",
                "--weight-average",
                "0.9",
                "--schedule",
                "plateau",
                "--set",
                "schedule.patience=0",
                "--class-weights",
                "balanced",
            ][..],
        ),
        (
            "muon",
            &[
                "--checkpoint-every",
                "3",
                "--optimiser",
                "muon",
                "--unfreeze-every",
                "1",
                "--stage-rate-decay",
                "0.5",
                // Of the first of these runs.
                "--weights",
                "sgd-whole/checkpoints/best.safetensors",
            ][..],
        ),
        (
            "lamb",
            &[
                "--checkpoint-every",
                "3",
                "--optimiser",
                "lamb",
                "--lr",
                "0.01",
                // The first of these runs.
                "--teacher",
                "sgd-whole",
            ][..],
        ),
        (
            "rms-prop",
            &[
                "--checkpoint-every",
                "3",
                "--optimiser",
                "rms-prop",
                "--lr",
                "0.001",
                "--set",
                "parameter_groups=[{names='*.bn?.*',weight_decay=0.0},{names='layer1.*',frozen='always'}]",
            ][..],
        ),
    ] {
        let whole = format!("{name}-whole");
        stdout(folder.path(), &tiny_training(&whole, more));
        let killed = format!("{name}-killed");
        let mut process = start(folder.path(), &tiny_training(&killed, more));
        wait_for(folder.path(), &killed, r#"{"event":"checkpoint","step":"#);
        // SIGKILL: no handler runs.
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(
            !folder.path().join(&killed).join("metrics.json").exists(),
            "the run had ended before it could be killed"
        );
        // As a kill in the middle of a write leaves it.
        let events = folder.path().join(&killed).join("events.jsonl");
        let mut events = fs::OpenOptions::new().append(true).open(events).unwrap();
        events.write_all(br#"{"event":"st"#).unwrap();
        stdout(folder.path(), &["train", "--quiet", "--resume", &killed]);
        assert_eq!(
            result(folder.path(), &whole),
            result(folder.path(), &killed),
            "{name}"
        );
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_stops_cleanly_and_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 60);
    let more = ["--accumulate", "3", "--schedule", "cosine"];
    stdout(folder.path(), &tiny_training("whole", &more));
    let process = start(folder.path(), &tiny_training("stopped", &more));
    wait_for(folder.path(), "stopped", r#"{"event":"step","step":10"#);
    let pid = process.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = process.wait_with_output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(
        message.contains("residua train --resume 'stopped'"),
        "{message}"
    );
    stdout(folder.path(), &["train", "--quiet", "--resume", "stopped"]);
    assert_eq!(
        result(folder.path(), "whole"),
        result(folder.path(), "stopped")
    );
}

#[test]
fn a_finished_run_can_be_resumed_without_harm() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 6);
    stdout(folder.path(), &tiny_training("run", &[]));
    let before = result(folder.path(), "run");
    let metrics = fs::read(folder.path().join("run/metrics.json")).unwrap();
    stdout(folder.path(), &["train", "--quiet", "--resume", "run"]);
    assert_eq!(before, result(folder.path(), "run"));
    assert_eq!(
        metrics,
        fs::read(folder.path().join("run/metrics.json")).unwrap()
    );
}

#[cfg(unix)]
#[test]
fn a_run_is_not_continued_on_other_images() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path(), 60);
    let process = start(
        folder.path(),
        &tiny_training("run", &["--checkpoint-every", "2"]),
    );
    wait_for(folder.path(), "run", r#"{"event":"checkpoint","step":"#);
    // While it runs nobody else may write to it.
    let message = failure(folder.path(), &["train", "--resume", "run"], 3);
    assert!(message.contains("written by another process"), "{message}");
    let pid = process.id().to_string();
    let interrupted = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(interrupted.unwrap().success());
    assert_eq!(process.wait_with_output().unwrap().status.code(), Some(130));
    let moved = pictures.join("train/dots/renamed.png");
    fs::rename(pictures.join("train/dots/7.png"), &moved).unwrap();
    let message = failure(folder.path(), &["train", "--resume", "run"], 3);
    assert!(
        message.contains("have changed since the run was started"),
        "{message}"
    );
    fs::rename(moved, pictures.join("train/dots/7.png")).unwrap();
    // Another picture under the old name.
    let (original, kept) = (
        pictures.join("val/bars/1.png"),
        folder.path().join("kept.png"),
    );
    fs::rename(&original, &kept).unwrap();
    fs::write(&original, [fs::read(&kept).unwrap(), vec![0]].concat()).unwrap();
    let message = failure(folder.path(), &["train", "--resume", "run"], 3);
    assert!(
        message.contains("have changed since the run was started"),
        "{message}"
    );
    fs::rename(&kept, &original).unwrap();
    // Other settings.
    let config = folder.path().join("run/config.toml");
    let settings = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        settings.replace("batch_size = 8", "batch_size = 4"),
    )
    .unwrap();
    let message = failure(folder.path(), &["train", "--resume", "run"], 3);
    assert!(
        message.contains("config.toml was changed since"),
        "{message}"
    );
    fs::write(&config, settings).unwrap();
    stdout(folder.path(), &["train", "--quiet", "--resume", "run"]);
}

#[test]
fn patience_ends_a_run_and_the_average_is_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    // Nothing is learned at such a rate, so that the first epoch remains the best.
    let more = ["--lr", "1e-12", "--patience", "2", "--epochs", "9"];
    let said = stdout(folder.path(), &tiny_training("run", &more));
    assert!(said.contains("epoch 1 of 3"), "{said}");
    let config = folder.path().join("run/config.toml");
    assert!(fs::read_to_string(config).unwrap().contains("patience = 2"));
    // It stays ended.
    let before = result(folder.path(), "run");
    stdout(folder.path(), &["train", "--quiet", "--resume", "run"]);
    assert_eq!(before, result(folder.path(), "run"));
    let weights = |run: &str, more: &[&str]| {
        stdout(folder.path(), &tiny_training(run, more));
        fs::read(folder.path().join(run).join("checkpoints/best.safetensors")).unwrap()
    };
    let plain = weights("plain", &["--epochs", "1"]);
    let average = weights("average", &["--epochs", "1", "--weight-average", "0.999"]);
    assert_eq!(plain.len(), average.len());
    assert_ne!(plain, average);
    let message = failure(
        folder.path(),
        &tiny_training("bad", &["--weight-average", "1"]),
        3,
    );
    assert!(message.contains("weight_average.decay is 1"), "{message}");
}

#[test]
fn every_loss_and_schedule_trains() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 8);
    let variants: [&[&str]; 8] = [
        &["--loss", "mse", "--schedule", "constant"],
        &["--label-smoothing", "0.1", "--schedule", "multi-step"],
        &[
            "--optimizer",
            "adamw",
            "--schedule",
            "cosine",
            "--lr",
            "0.002",
        ],
        &["--loss", "focal", "--label-smoothing", "0.1"],
        &[
            "--mixup",
            "0.2",
            "--cutmix",
            "1",
            "--policy",
            "trivial-augment-wide",
        ],
        &["--cutout", "4", "--policy", "rand-augment", "--loss", "mse"],
        &["--loss", "binary-cross-entropy", "--schedule", "plateau"],
        &[
            "--model",
            "plain8",
            "--set",
            "optimiser.nesterov=false",
            "--augment",
            "imagenet",
        ],
    ];
    for (number, more) in variants.iter().enumerate() {
        let out = format!("run{number}");
        stdout(folder.path(), &tiny_training(&out, more));
        assert!(folder.path().join(out).join("metrics.json").is_file());
    }
}

#[test]
fn a_diverging_run_stops_with_the_place_and_keeps_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let more = [
        "--lr",
        "1e30",
        "--schedule",
        "constant",
        "--checkpoint-every",
        "1",
    ];
    let message = failure(folder.path(), &tiny_training("run", &more), 1);
    assert!(message.contains("the loss became"), "{message}");
    assert!(message.contains("at step 2 (epoch 1)"), "{message}");
    assert!(
        message.contains("was the first that is not finite"),
        "{message}"
    );
    assert!(
        message.contains("Try a lower learning rate (now 1e30)"),
        "{message}"
    );
    assert!(message.contains("The last checkpoint is kept"), "{message}");
    let run = folder.path().join("run");
    assert!(run.join("checkpoints/last.safetensors").is_file());
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("This run failed"), "{page}");
    assert!(page.contains("the loss became"), "{page}");
    let runs = stdout(folder.path(), &["runs", "."]);
    assert!(runs.contains("failed"), "{runs}");
}

#[test]
fn divergence_in_the_last_step_of_an_epoch_is_explained_too() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    // One step an epoch: what it did wrong shows in validation.
    let more = ["--schedule", "constant", "--batch-size", "36", "--lr"];
    let message = failure(
        folder.path(),
        &tiny_training("run", &[&more[..], &["1e38"]].concat()),
        1,
    );
    assert!(message.contains("at step 1 (epoch 1)"), "{message}");
    assert!(message.contains("Try a lower learning rate"), "{message}");
    assert!(
        !folder
            .path()
            .join("run/checkpoints/last.safetensors")
            .exists()
    );
    // Parameters that are not finite never reach a checkpoint.
    let more = [
        "--lr",
        "1e38",
        "--weight-decay",
        "1e38",
        "--checkpoint-every",
        "1",
    ];
    let message = failure(folder.path(), &tiny_training("other", &more), 1);
    assert!(message.contains("no checkpoint was written"), "{message}");
    assert!(
        !folder
            .path()
            .join("other/checkpoints/last.safetensors")
            .exists()
    );
}

#[test]
fn a_run_can_be_repeated_from_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 8);
    stdout(folder.path(), &tiny_training("first", &["--epochs", "1"]));
    let again = [
        "train",
        "--quiet",
        "--config",
        "first/config.toml",
        "--out",
        "second",
    ];
    stdout(folder.path(), &again);
    assert_eq!(
        result(folder.path(), "first"),
        result(folder.path(), "second")
    );
    fs::write(folder.path().join("bad.toml"), "epochs = ").unwrap();
    let message = failure(folder.path(), &["train", "--config", "bad.toml"], 3);
    assert!(message.contains("bad.toml"), "{message}");
}

#[test]
fn the_main_job_says_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["train", "--epochs", "1", "--model", "resnet8", "--quiet"];
    let output = residua(folder.path()).args(arguments).output().unwrap();
    let message = text(&output.stderr);
    assert!(output.status.success(), "{}: {message}", output.status);
    let said = text(&output.stdout);
    for expected in ["Accuracy", "Run folder: runs/", "residua eval --run runs/"] {
        assert!(said.contains(expected), "{said}");
    }
    let runs = fs::read_dir(folder.path().join("runs")).unwrap();
    let names: Vec<_> = runs
        .map(|run| run.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names[0].ends_with("-resnet8-1"), "{names:?}");
}
