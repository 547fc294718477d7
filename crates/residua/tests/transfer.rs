//! `residua train` from other networks: frozen stages, groups of parameters, teachers.

mod common;

use std::fs;
use std::path::Path;

use common::{failure, json, pictures, stdout, tiny_training};
use residua::weights::{NamedTensor, TensorFile};

fn tensors(folder: &Path, run: &str, file: &str) -> Vec<NamedTensor> {
    let path = folder.join(run).join("checkpoints").join(file);
    let mut tensors = TensorFile::read(&path).unwrap().tensors;
    tensors.retain(|tensor| !tensor.name.starts_with("optimiser."));
    tensors
}

/// Names of tensors that differ between two runs; batch counts always do.
fn changed(folder: &Path, before: &str, after: &str) -> Vec<String> {
    let before = tensors(folder, before, "best.safetensors");
    let after = tensors(folder, after, "last.safetensors");
    let find = |name: &str| before.iter().find(|tensor| tensor.name == name).unwrap();
    let mut names: Vec<String> = { after.into_iter() }
        .filter(|tensor| tensor.values != find(&tensor.name).values)
        .map(|tensor| tensor.name)
        .filter(|name| !name.ends_with("num_batches_tracked"))
        .collect();
    names.sort();
    names
}

#[test]
fn the_recipe_for_fine_tuning_keeps_what_is_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pictures(folder, 12);
    stdout(folder, &tiny_training("first", &[]));
    let weights = "first/checkpoints/best.safetensors";
    let from_first = ["--weights", weights, "--recipe", "finetune"];
    let train = |out: &str, more: &[&str]| {
        stdout(
            folder,
            &tiny_training(out, &[&from_first[..], more].concat()),
        );
    };
    // Of three epochs the first trains the last layer, and each other one stage more.
    train("thawed", &[]);
    let thawed = changed(folder, "first", "thawed");
    assert!(
        thawed.iter().any(|name| name == "layer2.0.conv1.weight"),
        "{thawed:?}"
    );
    assert!(
        thawed
            .iter()
            .any(|name| name == "layer3.0.bn1.running_mean")
    );
    let of_first_stage = |name: &String| name.starts_with("layer1") || name == "conv1.weight";
    assert!(!thawed.iter().any(of_first_stage), "{thawed:?}");
    train("frozen", &["--freeze-stages", "3"]);
    let frozen = changed(folder, "first", "frozen");
    assert_eq!(frozen, ["linear.bias", "linear.weight"]);
    let config = fs::read_to_string(folder.join("frozen/config.toml")).unwrap();
    assert!(
        config.contains("[stages]\nrate_decay = 0.385\nfrozen = 3\n"),
        "{config}"
    );
}

#[test]
fn a_recipe_adds_to_what_a_weight_file_says_of_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pictures(folder, 4);
    let first = ["--epochs", "1", "--activation", "silu"];
    stdout(folder, &tiny_training("first", &first));
    let weights = ["--weights", "first/checkpoints/best.safetensors"];
    let config = |out: &str, recipe: &str| {
        fs::write(folder.join("mine.toml"), recipe).unwrap();
        let more = [&weights[..], &["--recipe", "mine.toml", "--epochs", "1"]].concat();
        stdout(folder, &tiny_training(out, &more));
        fs::read_to_string(folder.join(out).join("config.toml")).unwrap()
    };
    let recorded = fs::read_to_string(folder.join("first/config.toml")).unwrap();
    let section = |text: &str| {
        let (_, rest) = text.split_once("[preprocessing]").unwrap();
        rest.split_once("[augmentation]").unwrap().0.to_owned()
    };
    let varied = config("varied", "[variations]\nstochastic-depth = 0.1\n");
    let variations = "[variations]\nactivation = \"silu\"\nstochastic-depth = 0.1";
    assert!(varied.contains(variations), "{varied}");
    assert_eq!(section(&varied), section(&recorded));
    let prepared = config(
        "prepared",
        "[preprocessing]\nheight = 16\nwidth = 16\nresize = { rule = \"stretch\" }\n\
         normalisation = { mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }\n",
    );
    assert!(
        section(&prepared).contains("mean = [0.5, 0.5, 0.5]"),
        "{prepared}"
    );
    assert!(
        section(&prepared).contains("rule = \"stretch\""),
        "{prepared}"
    );
}

#[test]
fn a_teacher_may_be_a_run_or_a_weight_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pictures(folder, 12);
    stdout(folder, &tiny_training("teacher", &["--epochs", "6"]));
    let arguments = tiny_training("student", &["--teacher", "teacher", "--json"]);
    let of_run = json(folder, &arguments);
    let file = "teacher/checkpoints/best.safetensors";
    let arguments = tiny_training("other", &["--teacher", file, "--json"]);
    let of_file = json(folder, &arguments);
    assert_eq!(of_run["best_accuracy"], of_file["best_accuracy"]);
    let weights = |run| tensors(folder, run, "last.safetensors");
    assert_eq!(weights("student"), weights("other"));
    stdout(folder, &tiny_training("alone", &[]));
    assert_ne!(weights("student"), weights("alone"));
    // Another network in the teacher's place is noticed.
    fs::copy(
        folder.join("alone/checkpoints/best.safetensors"),
        folder.join("teacher/checkpoints/best.safetensors"),
    )
    .unwrap();
    let message = failure(folder, &["train", "--resume", "student"], 3);
    assert!(message.contains("the teacher"), "{message}");
    assert!(message.contains("has changed since"), "{message}");
}

#[test]
fn rules_that_do_not_fit_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pictures(folder, 4);
    stdout(folder, &tiny_training("teacher", &["--epochs", "1"]));
    let cases: [(&[&str], &str); 7] = [
        (&["--freeze-stages", "4"], "resnet8 has 3 stages"),
        (
            &["--stage-rate-decay", "2"],
            "stages.rate_decay is 2; expected more than 0",
        ),
        (
            &["--set", "parameter_groups=[{names='layr1.*'}]"],
            "fits no parameter",
        ),
        (
            &["--set", "parameter_groups=[{names='*',frozen='always'}]"],
            "nothing is left to learn",
        ),
        (&["--teacher", "nobody"], "nobody"),
        (
            &["--teacher", "teacher", "--input-size", "24"],
            "sees images of 16×16 pixels",
        ),
        (
            &["--teacher", "teacher", "--set", "distillation.share=2.0"],
            "distillation.share is 2; expected 0 to 1",
        ),
    ];
    for (more, expected) in cases {
        let message = failure(folder, &tiny_training("run", more), 3);
        assert!(message.contains(expected), "{more:?}: {message}");
        assert!(!folder.join("run").exists(), "{more:?}");
    }
}
