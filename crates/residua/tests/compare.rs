//! Several networks side by side, and the studies.

mod common;

use std::fs;
use std::path::Path;

use common::{failure, json, pictures, run, stdout, text, tiny_training};

/// Arguments of a set of trainings of seconds on pictures.
fn tiny_set<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = command.to_vec();
    arguments.extend([
        "--quiet",
        "--data",
        "folder:pictures",
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
    ]);
    arguments.extend(more);
    arguments
}

fn modified(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn what_is_missing_is_trained_once_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let models = ["--models", "resnet8,plain8", "--seeds", "2", "--out", "cmp"];
    let arguments = tiny_set(&["compare"], &models);
    let said = stdout(folder.path(), &arguments);
    for part in ["Table 1", "Table 2", "Table 3", "resnet8", "plain8", "±"] {
        assert!(said.contains(part), "'{part}' is missing in {said}");
    }
    for file in [
        "index.html",
        "tables/table-1.md",
        "tables/table-2.csv",
        "tables/table-3.tex",
        "tables/table-3.html",
        "figures/error-against-parameters.svg",
        "figures/accuracy-against-epochs.png",
        "runs/resnet8-seed1/report.html",
    ] {
        assert!(folder.path().join("cmp").join(file).is_file(), "{file}");
    }
    let checkpoint = |run: &str| {
        let checkpoint = "checkpoints/last.safetensors";
        folder.path().join("cmp/runs").join(run).join(checkpoint)
    };
    let before = modified(&checkpoint("resnet8-seed0"));
    // One run is lost: it alone is trained again, to the same result.
    fs::remove_dir_all(folder.path().join("cmp/runs/plain8-seed1")).unwrap();
    let tables = |json: serde_json::Value| [0, 2].map(|index| json["tables"][index].clone());
    let mut again = arguments.clone();
    again.push("--json");
    let first = tables(json(folder.path(), &again));
    assert_eq!(first, tables(json(folder.path(), &again)));
    assert_eq!(before, modified(&checkpoint("resnet8-seed0")));
    // Other settings are not mixed with what is there.
    let mut other = arguments;
    other.extend(["--batch-size", "6"]);
    let message = failure(folder.path(), &other, 3);
    assert!(
        message.contains("was trained with other settings"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_trained_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let models = ["--models", "resnet8,plain8,resnet14", "--out", "cmp"];
    let arguments = tiny_set(&["compare"], &models);
    // Somebody else's folder, and one whose checkpoint is damaged.
    fs::create_dir_all(folder.path().join("cmp/runs/resnet8-seed0")).unwrap();
    stdout(
        folder.path(),
        &tiny_set(&["compare"], &["--models", "plain8", "--out", "cmp"]),
    );
    let plain = folder.path().join("cmp/runs/plain8-seed0");
    fs::remove_file(plain.join("metrics.json")).unwrap();
    fs::write(plain.join("checkpoints/last.safetensors"), "no").unwrap();
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.contains("resnet8-seed0 has no config.toml"), "{said}");
    assert!(said.contains("the same command trains it anew"), "{said}");
    assert!(said.contains("2 of 3 runs failed"), "{said}");
    assert!(text(&output.stdout).contains("resnet14"));
}

#[test]
fn studies_say_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let study = |name: &'static str, more: &[&'static str]| {
        let arguments = tiny_set(&["study", name], more);
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        fs::read_to_string(folder.path().join("studies").join(name).join("index.html"))
    };
    let diverging = ["--lr", "1e30", "--schedule", "constant"];
    let mut more = vec!["--models", "resnet8"];
    more.extend(diverging);
    let page = study("gradients", &more).unwrap();
    assert!(page.contains("resnet8 (failed)"), "{page}");
    assert!(page.contains("could not be trained to its end"), "{page}");
    let mut more = vec!["--depths", "8"];
    more.extend(diverging);
    // Nothing is left to be drawn.
    assert!(study("degradation", &more).is_err());
}

#[test]
fn finished_runs_are_compared_and_what_is_unfair_is_said() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    stdout(folder.path(), &tiny_training("a", &["--epochs", "1"]));
    stdout(folder.path(), &tiny_training("b", &["--epochs", "2"]));
    let output = run(folder.path(), &["compare", "a", "b"]);
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("different numbers of epochs"), "{said}");
    fs::remove_file(folder.path().join("b/metrics.json")).unwrap();
    let message = failure(folder.path(), &["compare", "a", "b"], 3);
    assert!(message.contains("b has no final evaluation"), "{message}");
    // What can be compared is.
    let output = run(folder.path(), &["compare", "a", "b", "nothing"]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.contains("is not a run folder"), "{said}");
    assert!(said.contains("2 of 3 runs cannot be compared"), "{said}");
    assert!(text(&output.stdout).contains("Table 1"));
    failure(folder.path(), &["compare", "a", "--epochs", "3"], 2);
    failure(folder.path(), &["compare", "a", "a"], 2);
    failure(
        folder.path(),
        &["compare", "--models", "resnet8,resnet8"],
        2,
    );
    let unknown = ["compare", "--models", "resnet21"];
    let message = failure(folder.path(), &unknown, 3);
    assert!(message.contains("did you mean"), "{message}");
}

#[test]
fn studies_leave_data_figures_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let depths = ["--depths", "8,14", "--out", "deep", "--json"];
    let report = json(folder.path(), &tiny_set(&["study", "degradation"], &depths));
    assert_eq!(report["networks"].as_array().unwrap().len(), 4);
    assert_eq!(report["networks"][0]["kind"], "plain");
    for file in [
        "index.html",
        "errors.csv",
        "curves.csv",
        "figures/error-against-depth.png",
    ] {
        assert!(folder.path().join("deep").join(file).is_file(), "{file}");
    }
    let curves = fs::read_to_string(folder.path().join("deep/curves.csv")).unwrap();
    assert_eq!(curves.lines().count(), 1 + 4 * 2);

    let models = ["--models", "plain8,resnet8", "--out", "signals", "--json"];
    let arguments = tiny_set(&["study", "gradients"], &models);
    let report = json(folder.path(), &arguments);
    let network = &report["networks"][1];
    assert_eq!(network["model"], "resnet8");
    // Seven convolutions and the classifier; seven normalisations.
    assert_eq!(network["gradients_at_start"].as_array().unwrap().len(), 8);
    assert_eq!(network["responses_at_end"].as_array().unwrap().len(), 7);
    let gradients = fs::read_to_string(folder.path().join("signals/gradients.csv")).unwrap();
    assert!(gradients.contains("resnet8,0,1,conv1,"), "{gradients}");
    // Nothing is done again, and the figures are the same.
    assert_eq!(report, json(folder.path(), &arguments));
    // A run without its figures.
    fs::remove_file(folder.path().join("signals/probes/plain8-seed0.jsonl")).unwrap();
    let message = failure(folder.path(), &arguments, 3);
    assert!(
        message.contains("remove its folder to train it again"),
        "{message}"
    );
}
