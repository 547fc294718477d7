//! `residua sweep`.

mod common;

use std::fs;
use std::path::Path;

use common::shapes::shapes;
use common::{failure, json, pictures, run, stdout, text};
use serde_json::Value;

const HALVING: &str = "\
[search]
method = \"halving\"
trials = 4
first_epochs = 1
reduction = 2

[space]
optimiser.learning_rate = { log_uniform = [0.001, 0.1] }
model = { choice = [\"resnet8\", \"plain8\"] }
";

const RANDOM: &str = "\
[search]
method = \"random\"
trials = 3

[space]
optimiser.learning_rate = { uniform = [0.01, 0.1] }
";

/// Arguments of trainings of seconds on pictures.
fn sweep<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "sweep",
        "space.toml",
        "--quiet",
        "--data",
        "folder:pictures",
        "--model",
        "resnet8",
        "--input-size",
        "16",
        "--batch-size",
        "8",
        "--augment",
        "cifar",
        "--epochs",
        "3",
        "--out",
        out,
    ];
    arguments.extend(more);
    arguments
}

/// A folder with pictures and this search space.
fn prepared(space: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    fs::write(folder.path().join("space.toml"), space).unwrap();
    folder
}

/// What is the same whenever and wherever it is computed.
fn outcome(report: &Value) -> Vec<Value> {
    let trials = report["trials"].as_array().unwrap().iter().cloned();
    trials
        .map(|mut trial| {
            for key in ["seconds", "run"] {
                assert!(trial.as_object_mut().unwrap().remove(key).is_some());
            }
            trial
        })
        .collect()
}

fn endings(report: &Value) -> Vec<(String, u64)> {
    let trials = report["trials"].as_array().unwrap().iter();
    trials
        .map(|trial| {
            let ending = trial["ending"].as_str().unwrap().to_owned();
            (ending, trial["epochs"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn halving_leaves_trials_behind_and_the_best_is_as_trained_alone() {
    let folder = prepared(HALVING);
    let arguments = sweep("sweep", &["--json"]);
    let report = json(folder.path(), &arguments);
    let mut endings = endings(&report);
    endings.sort();
    let expected = [
        ("finished", 3),
        ("left-behind", 1),
        ("left-behind", 1),
        ("left-behind", 2),
    ];
    assert_eq!(
        endings,
        expected.map(|(ending, epochs)| (ending.to_owned(), epochs))
    );
    assert_eq!(report["search"]["measure"], "accuracy");
    let accuracies: Vec<f64> = { report["trials"].as_array().unwrap().iter() }
        .map(|trial| trial["accuracy"].as_f64().unwrap())
        .collect();
    assert!(
        accuracies.is_sorted_by(|one, other| one >= other),
        "{accuracies:?}"
    );
    let best = &report["trials"][0];
    assert_eq!(best["ending"], "finished");
    assert!(best["interval"][0].as_f64() <= best["accuracy"].as_f64());
    assert!(report["trials"][1]["interval"].is_null());
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("The best of 4 trials was chosen by its accuracy"),
        "{warning}"
    );
    let file = fs::read_to_string(folder.path().join("sweep/sweep.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), report);
    for file in [
        "index.html",
        "search.toml",
        "tables/table-1.csv",
        "figures/accuracy-against-optimiser-learning-rate.svg",
        "figures/best-accuracy-for-each-model.png",
        "runs/trial-003/config.toml",
    ] {
        assert!(folder.path().join("sweep").join(file).is_file(), "{file}");
    }
    // It was stopped and continued on the way, and no less than trained in one go.
    let run = best["run"].as_str().unwrap();
    let config = format!("{run}/config.toml");
    stdout(
        folder.path(),
        &["train", "--quiet", "--config", &config, "--out", "alone"],
    );
    let predictions =
        |run: &str| fs::read_to_string(folder.path().join(run).join("predictions.csv"));
    assert_eq!(predictions(run).unwrap(), predictions("alone").unwrap());
    // Nothing is trained again.
    let checkpoint = folder
        .path()
        .join("sweep/runs/trial-000/checkpoints/last.safetensors");
    let before = fs::metadata(&checkpoint).unwrap().modified().unwrap();
    assert_eq!(json(folder.path(), &arguments), report);
    assert_eq!(
        fs::metadata(&checkpoint).unwrap().modified().unwrap(),
        before
    );
}

/// Arguments of a search on pictures of any number of classes.
fn sweep_shapes<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = sweep(
        out,
        &["--data", "csv:shapes/labels.csv", "--input-size", "24"],
    );
    arguments.extend(more);
    arguments
}

/// The area after an epoch, and that of `metrics.json` with its interval.
fn areas(folder: &Path, trial: &Value, epoch: u64) -> (f64, Option<(f64, Value)>) {
    let run = folder.join(trial["run"].as_str().unwrap());
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let mut events = { events.lines() }.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let event = events.find(|event| event["event"] == "epoch" && event["epoch"] == epoch);
    let area = event.unwrap()["validation_roc_auc"].as_f64().unwrap();
    let metrics = fs::read_to_string(run.join("metrics.json")).ok();
    let judged = metrics.map(|text| {
        let found = serde_json::from_str::<Value>(&text).unwrap()["multilabel"].take();
        let interval = found["intervals"]["macro_roc_auc"].clone();
        (
            found["ranking"]["macro_roc_auc"].as_f64().unwrap(),
            interval,
        )
    });
    (area, judged)
}

#[test]
fn trials_on_several_labels_are_compared_by_their_areas() {
    let folder = prepared(HALVING);
    let folder = folder.path();
    shapes(folder, 64, 32);
    let report = json(folder, &sweep_shapes("areas", &["--json"]));
    assert_eq!(report["schema"], "residua.sweep-labels/1");
    assert_eq!(report["search"]["measure"], "roc_auc");
    let trials = report["trials"].as_array().unwrap();
    let scores: Vec<f64> = { trials.iter() }
        .map(|trial| {
            assert!(trial.get("accuracy").is_none());
            trial["roc_auc"].as_f64().unwrap()
        })
        .collect();
    assert!(scores.is_sorted_by(|one, other| one >= other), "{scores:?}");
    // Two went on after the first epoch: those of the largest areas by then.
    let first = |goes_on: bool| {
        let trials = trials.iter();
        let own = trials.filter(move |trial| (trial["epochs"].as_u64() > Some(1)) == goes_on);
        own.map(|trial| areas(folder, trial, 1).0)
    };
    assert_eq!((first(true).count(), first(false).count()), (2, 2));
    assert!(first(true).reduce(f64::min) >= first(false).reduce(f64::max));
    // The finished one is judged as its run is.
    let finished = { trials.iter() }.find(|trial| trial["ending"] == "finished");
    let finished = finished.unwrap();
    let (area, interval) = areas(folder, finished, 3).1.unwrap();
    assert_eq!(finished["roc_auc"].as_f64(), Some(area));
    assert_eq!(finished["interval"][0], interval["lower"]);
    assert_eq!(finished["interval"][1], interval["upper"]);
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(
        warning
            .contains("The best of 4 trials was chosen by its mean ROC-AUC on the same 32 images"),
        "{warning}"
    );
    for file in [
        "figures/roc-auc-against-optimiser-learning-rate.svg",
        "figures/best-mean-roc-auc-for-each-model.png",
    ] {
        assert!(folder.join("areas").join(file).is_file(), "{file}");
    }
    // The same once more, in words.
    let said = stdout(folder, &sweep_shapes("areas", &[]));
    assert!(
        said.starts_with("**Trials, the best first**\n\n| trial | ROC-AUC |"),
        "{said}"
    );
    let best = format!("(trial {}, {:.4}) anew", trials[0]["number"], scores[0]);
    assert!(said.contains(&best), "'{best}' is not in {said}");
    assert!(!said.contains("ccuracy"), "{said}");
}

#[test]
fn the_result_is_printed_with_what_to_do_next() {
    let folder = prepared(RANDOM);
    let output = run(
        folder.path(),
        &sweep("found", &["--epochs", "1", "--seed", "4"]),
    );
    let (said, warned) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{warned}");
    assert!(
        said.starts_with("**Trials, the best first**\n\n| trial | accuracy % |"),
        "{said}"
    );
    assert!(said.contains("| optimiser.learning\\_rate |"), "{said}");
    assert!(
        said.contains("\nNext:\n  residua train --config 'found/runs/trial-00"),
        "{said}"
    );
    assert!(said.contains("/config.toml' --seed 5\n"), "{said}");
    assert!(said.contains(" --split test\n"), "{said}");
    assert!(said.ends_with("Page: found/index.html\n"), "{said}");
    assert!(
        warned.contains("warning: The best of 3 trials was chosen"),
        "{warned}"
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_search_comes_to_the_same_end() {
    let folder = prepared(HALVING);
    let whole = json(folder.path(), &sweep("whole", &["--json"]));
    let arguments = sweep("stopped", &["--json"]);
    let mut times = 0;
    // At the first rung, and at the second.
    for run in ["trial-001", "trial-003"] {
        let process = common::start(folder.path(), &arguments);
        common::wait_for(
            folder.path(),
            &format!("stopped/runs/{run}"),
            r#"{"event":"start""#,
        );
        let kill = ["-INT", &process.id().to_string()].map(str::to_owned);
        std::process::Command::new("kill")
            .args(kill)
            .status()
            .unwrap();
        let output = process.wait_with_output().unwrap();
        let message = text(&output.stderr);
        if output.status.code() == Some(130) {
            assert!(
                message.contains("the same command goes on from there"),
                "{message}"
            );
            times += 1;
        } else {
            assert!(output.status.success(), "{message}");
        }
    }
    assert!(
        times > 0,
        "the search had ended before it could be interrupted"
    );
    let stopped = json(folder.path(), &arguments);
    assert_eq!(outcome(&stopped), outcome(&whole));
}

#[test]
fn another_search_is_not_mixed_with_what_is_there() {
    let folder = prepared(RANDOM);
    let arguments = sweep("sweep", &["--epochs", "1"]);
    stdout(folder.path(), &arguments);
    let space = folder.path().join("space.toml");
    // Another way to write the same.
    fs::write(
        &space,
        RANDOM.replace("[space]", "seed = 0\n[space] # what is tried"),
    )
    .unwrap();
    stdout(folder.path(), &arguments);
    fs::write(
        &space,
        RANDOM
            .replace("trials = 3", "trials = 5")
            .replace("0.1]", "0.2]"),
    )
    .unwrap();
    let message = failure(folder.path(), &arguments, 3);
    assert_eq!(
        message,
        "error: sweep holds a sweep of other settings: search.trials was 3 and is 5; \
         space.optimiser.learning_rate was { uniform = [0.01, 0.1] } and is { uniform = [0.01, 0.2] }; \
         choose another --out, or remove that folder\n"
    );
    fs::write(&space, RANDOM).unwrap();
    let other = sweep("sweep", &["--epochs", "1", "--clip-norm", "1"]);
    let message = failure(folder.path(), &other, 3);
    assert!(
        message.contains("clip_norm was not set and is 1.0; choose"),
        "{message}"
    );
    fs::write(folder.path().join("sweep/search.toml"), "[search]\n").unwrap();
    let message = failure(folder.path(), &arguments, 3);
    assert!(
        message.contains("search.toml: the table [space] is missing"),
        "{message}"
    );
}

#[test]
fn diverged_trials_lose() {
    let space = RANDOM
        .replace("trials = 3", "trials = 6")
        .replace("{ uniform = [0.01, 0.1] }", "{ choice = [0.05, 1e30] }");
    let folder = prepared(&space);
    let arguments = sweep(
        "sweep",
        &["--epochs", "1", "--schedule", "constant", "--json"],
    );
    let report = json(folder.path(), &arguments);
    let trials = report["trials"].as_array().unwrap();
    let (first, last) = (&trials[0], &trials[5]);
    assert_eq!(first["settings"]["optimiser.learning_rate"], 0.05);
    assert_eq!(first["ending"], "finished");
    assert_eq!(last["settings"]["optimiser.learning_rate"], 1e30);
    assert_eq!(
        (&last["ending"], &last["accuracy"]),
        (&"diverged".into(), &Value::Null)
    );
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("could not be trained to its end"),
        "{warnings}"
    );
    assert_eq!(outcome(&json(folder.path(), &arguments)), outcome(&report));
    // All of them.
    let none = space.replace("[0.05, 1e30]", "[1e30]");
    fs::write(folder.path().join("space.toml"), none).unwrap();
    let arguments = sweep("none", &["--epochs", "1", "--schedule", "constant"]);
    let message = failure(folder.path(), &arguments, 1);
    assert!(message.contains("all 6 trials diverged"), "{message}");
}

/// Six record files like those of CIFAR-10, with two images of each class.
fn small_cifar(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let names = (1..=5).map(|batch| format!("data_batch_{batch}.bin"));
    for (salt, name) in names.chain(["test_batch.bin".to_owned()]).enumerate() {
        let mut bytes = Vec::new();
        for record in 0..20 {
            bytes.push(record % 10);
            bytes.extend((0..3072).map(|index| (index * 7 + salt * 31) as u8 ^ record));
        }
        fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn a_search_on_the_test_images_is_warned_of() {
    let folder = prepared(&RANDOM.replace("trials = 3", "trials = 2"));
    small_cifar(&folder.path().join("cifar"));
    let small = [
        "--data",
        "cifar10:cifar",
        "--epochs",
        "1",
        "--batch-size",
        "50",
        "--json",
    ];
    let report = json(folder.path(), &sweep("test", &small));
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("validated on the test images"),
        "{warnings}"
    );
    assert_eq!(report["next"].as_array().unwrap().len(), 1);
    let held_out = [&small[..], &["--val-fraction", "0.2"]].concat();
    let report = json(folder.path(), &sweep("validation", &held_out));
    assert!(
        !report["warnings"]
            .to_string()
            .contains("test images, which")
    );
    let command = report["next"][1]["command"].as_str().unwrap();
    let arguments: Vec<String> = { command.split(' ').skip(1) }
        .map(|word| word.trim_matches('\'').to_owned())
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert!(stdout(folder.path(), &arguments).contains("the 20 test images"));
}

#[test]
fn wrong_spaces_are_refused_with_the_place_before_anything_is_written() {
    let folder = prepared(RANDOM);
    let refused = |part: &str, other: &str, expected: &str| {
        assert!(RANDOM.contains(part));
        fs::write(
            folder.path().join("space.toml"),
            RANDOM.replace(part, other),
        )
        .unwrap();
        let message = failure(folder.path(), &sweep("sweep", &[]), 3);
        assert!(
            message.starts_with(&format!("error: space.toml:{expected}")),
            "{message}"
        );
        assert!(!folder.path().join("sweep").exists());
    };
    refused(
        "trials",
        "trails",
        "3:1: search.trails is not a setting; did you mean 'trials'",
    );
    refused(
        "optimiser.",
        "optimizer.",
        "6:11: with optimizer.learning_rate = 0.01 there is no conf",
    );
    refused(
        "[0.01, 0.1]",
        "[0.0, 0.1]",
        "6:11: with optimiser.learning_rate = 0.0 there is no conf",
    );
    refused(
        "uniform = [0.01, 0.1]",
        "choice = []",
        "6:29: space.optimiser.learning_rate.choice is []",
    );
    let message = failure(folder.path(), &["sweep", "absent.toml"], 3);
    assert!(
        message.starts_with("error: absent.toml: cannot be read"),
        "{message}"
    );
    failure(folder.path(), &["sweep"], 2);
    // A bad option is no fault of the space.
    fs::write(folder.path().join("space.toml"), RANDOM).unwrap();
    let message = failure(folder.path(), &sweep("sweep", &["--set", "epoch=3"]), 3);
    assert!(message.contains("did you mean 'epochs'"), "{message}");
}
