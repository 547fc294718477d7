//! Settings from files, recipes, options, the environment and `--set`: what counts, and what is refused.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{failure, json, pictures, residua, run, stdout, text, tiny_training};
use residua::weights::TensorFile;
use serde_json::Value;

/// Runs the program with variables set.
fn with_variables(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let mut command = residua(folder);
    let output = { command.envs(variables.iter().copied()).args(arguments) }
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    (code, text(&output.stdout) + &text(&output.stderr))
}

/// The configuration of a run as a table.
fn config(folder: &Path, run: &str) -> String {
    fs::read_to_string(folder.join(run).join("config.toml")).unwrap()
}

/// Everything that the last step of a run left, but how long it took.
fn last(folder: &Path, run: &str) -> TensorFile {
    let path = folder.join(run).join("checkpoints/last.safetensors");
    let mut file = TensorFile::read(&path).unwrap();
    file.path = PathBuf::new();
    file.metadata.clear();
    file
}

const SETS: [&str; 10] = [
    "--set",
    "augmentation.mix.mixup_alpha=0.2",
    "--set",
    "weight_average.decay=0.9",
    "--set",
    "optimiser.kind=adamw",
    "--set",
    "class_weights.rule=balanced",
    "--set",
    "optimiser.beta1=0.8",
];

#[test]
fn a_saved_configuration_runs_again_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 10);
    stdout(folder.path(), &tiny_training("first", &SETS));
    let first = config(folder.path(), "first");
    for line in [
        "[augmentation.mix]",
        "[weight_average]",
        "beta1 = 0.8",
        "rule = \"balanced\"",
    ] {
        assert!(first.contains(line), "{first}");
    }
    // The rate of `--lr 0.05` is that of the optimiser that was chosen.
    assert!(first.contains("learning_rate = 0.05"), "{first}");
    let again = [
        "train",
        "--quiet",
        "--config",
        "first/config.toml",
        "--out",
        "again",
    ];
    stdout(folder.path(), &again);
    assert_eq!(config(folder.path(), "again"), first);
    assert_eq!(last(folder.path(), "again"), last(folder.path(), "first"));
    // A section that makes no difference would prove nothing.
    stdout(folder.path(), &tiny_training("other", &SETS[2..]));
    assert_ne!(last(folder.path(), "other"), last(folder.path(), "first"));
}

#[test]
fn the_environment_counts_where_the_command_line_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 4);
    let variables = [
        ("RESIDUA_DATA", "folder:pictures"),
        ("RESIDUA_MODEL", "resnet8"),
        ("RESIDUA_OUT", "run"),
        ("RESIDUA_INPUT_SIZE", "16"),
        ("RESIDUA_EPOCHS", "2"),
        ("RESIDUA_SEED", "3"),
        ("RESIDUA_QUIET", "yes"),
        ("RESIDUA_WEIGHT_DECAY", "0.1"),
    ];
    let arguments = [
        "train",
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--set",
        "seed=5",
    ];
    let (code, said) = with_variables(folder.path(), &variables, &arguments);
    assert_eq!(code, 0, "{said}");
    let made = config(folder.path(), "run");
    for line in [
        "model = \"resnet8\"",
        "epochs = 1",
        "seed = 5",
        "height = 16",
        "weight_decay = 0.1",
    ] {
        assert!(made.contains(&format!("{line}\n")), "{line}: {made}");
    }
    assert!(made.contains("data = \"folder:"), "{made}");
    // Of what does not go together, the command line's counts.
    let arguments = ["train", "--resume", "run"];
    let (code, said) = with_variables(folder.path(), &variables, &arguments);
    assert_eq!(code, 0, "{said}");
    let variables = [("RESIDUA_RECIPE", "absent"), ("RESIDUA_OUT", "again")];
    let arguments = ["train", "--quiet", "--config", "run/config.toml"];
    let (code, said) = with_variables(folder.path(), &variables, &arguments);
    assert_eq!(code, 0, "{said}");
    assert_eq!(config(folder.path(), "again"), made);
    let (code, said) = with_variables(
        folder.path(),
        &[("RESIDUA_DATA", "folder:pictures")],
        &["compare", "run", "again", "--out", "comparison"],
    );
    assert_eq!(code, 0, "{said}");
}

#[test]
fn wrong_variables_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (variables, arguments, code, expected) in [
        (
            &[("RESIDUA_WORKERS", "many")][..],
            &["train"][..],
            2,
            "'--workers' comes from the environment variable RESIDUA_WORKERS",
        ),
        (
            &[("RESIDUA_DATA", "nowhere")],
            &["lr-find"],
            2,
            "'--data' comes from the environment variable RESIDUA_DATA",
        ),
        (
            &[("RESIDUA_GREY", "perhaps")],
            &["data", "show"],
            2,
            "'--grey' comes from the environment variable RESIDUA_GREY",
        ),
        (
            &[("RESIDUA_CONFIG", "a.toml"), ("RESIDUA_RECIPE", "quick")],
            &["train"],
            2,
            "'--config' comes from the environment variable RESIDUA_CONFIG",
        ),
        (
            &[("RESIDUA_LR", "nan")],
            &["train"],
            3,
            "optimiser.learning_rate is NaN; expected a number above 0 (set in the environment: \
             RESIDUA_LR)",
        ),
    ] {
        let (found, said) = with_variables(folder.path(), variables, arguments);
        assert_eq!(found, code, "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let arguments = ["train", "--out", "run"];
    let (code, said) = with_variables(folder.path(), &[("RESIDUA_MODEL", "resnet2")], &arguments);
    let blamed =
        said.contains("resnet20") && said.contains("(from the environment: RESIDUA_MODEL)");
    assert!(code == 3 && blamed, "{said}");
    let variables = [
        ("RESIDUA_EPOCH", "2"),
        ("RESIDUA_SET", "seed=1"),
        ("RESIDUA_LEARNING_RATE", "1"),
        ("RESIDUA_SHARED", "1"),
    ];
    let (code, said) = with_variables(folder.path(), &variables, &["recipe", "list"]);
    assert_eq!(code, 0, "{said}");
    for expected in [
        "warning: the environment variable RESIDUA_EPOCH is not read; did you mean 'RESIDUA_EPOCHS'",
        "warning: the environment variable RESIDUA_LEARNING_RATE is not read; did you mean 'RESIDUA_LR'",
        "warning: the environment variable RESIDUA_SET is not read: --set is for the command line only",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert!(!said.contains("RESIDUA_SHARED"), "{said}");
    // The command line's own mistakes are its own.
    let variables = [("RESIDUA_WORKERS", "1")];
    let arguments = ["train", "--workers", "many"];
    let (code, said) = with_variables(folder.path(), &variables, &arguments);
    assert!(code == 2 && !said.contains("environment"), "{said}");
    let variables = [
        ("RESIDUA_THREADS", "1"),
        ("RESIDUA_MODEL", "resnet20"),
        ("RESIDUA_BATCH_SIZE", "8"),
    ];
    for wrong in [
        &["--model", "resnet2"][..],
        &["--recipe", "oncycle"],
        &["--batch", "1", "--accumulate=3", "--model=resnet8"],
    ] {
        let arguments = [&["train", "--out", "run"], wrong].concat();
        let (code, said) = with_variables(folder.path(), &variables, &arguments);
        assert!(code == 3 && !said.contains("environment"), "{said}");
    }
}

#[test]
fn help_names_the_variables_and_not_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let help = stdout(folder.path(), &["train", "--help"]);
    for name in [
        "RESIDUA_DATA",
        "RESIDUA_BATCH_SIZE",
        "RESIDUA_THREADS",
        "RESIDUA_DROPOUT",
    ] {
        assert!(help.contains(&format!("[env: {name}]")), "{name}: {help}");
    }
    assert!(!help.contains("RESIDUA_SET") && !help.contains("RESIDUA_RESUME"));
    let variables = [("RESIDUA_DATA", "folder:secret")];
    assert_eq!(
        with_variables(folder.path(), &variables, &["train", "--help"]),
        (0, help)
    );
}

#[test]
fn files_with_mistakes_are_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "mine.toml",
        "epochs = 3\n\n[augmentation]\nflip_probability = 0.5\n\
                        crop = { rule = \"none\" }\n\n[augmentation.mix]\nmixup_alfa = 0.2\n",
    );
    let arguments = ["train", "--recipe", "mine.toml", "--out", "none"];
    assert_eq!(
        failure(folder.path(), &arguments, 3),
        "error: mine.toml:8:1: augmentation.mix.mixup_alfa is not a setting; did you mean \
         'mixup_alpha'? There are: cutmix_alpha, mixup_alpha, off_epochs, probability, \
         switch_probability\n"
    );
    write("wrong.toml", "[optimiser]\nkind = \"sgdd\"\n");
    let message = failure(folder.path(), &["train", "--recipe", "wrong.toml"], 3);
    assert_eq!(
        message,
        "error: wrong.toml:2:1: optimiser.kind is 'sgdd'; expected sgd, adamw, lamb, rms-prop or muon; \
         did you mean 'sgd'?\n"
    );
    let whole = stdout(
        folder.path(),
        &["recipe", "show", "quick", "--data", "builtin"],
    );
    write(
        "whole.toml",
        &whole.replace("nesterov = true", "nesterov = 1"),
    );
    let message = failure(folder.path(), &["train", "--config", "whole.toml"], 3);
    let line = 1 + { whole.lines() }
        .position(|line| line.starts_with("nesterov"))
        .unwrap();
    assert_eq!(
        message,
        format!("error: whole.toml:{line}:1: optimiser.nesterov is 1; expected true or false\n")
    );
    let message = failure(folder.path(), &["train", "--config", "mine.toml"], 3);
    assert!(
        message.contains("is a recipe (--recipe mine.toml)"),
        "{message}"
    );
    write("broken.toml", "epochs = 3\nmodel = resnet20\n");
    let message = failure(folder.path(), &["train", "--recipe", "broken.toml"], 3);
    assert!(
        message.starts_with("error: broken.toml:2:9: not TOML: "),
        "{message}"
    );
    let arguments = ["train", "--set", "optimiser.momentm=0.9"];
    let message = failure(folder.path(), &arguments, 3);
    assert!(
        message.starts_with(
            "error: --set optimiser.momentm=0.9: optimiser.momentm is not a setting; did you mean \
             'momentum'?"
        ),
        "{message}"
    );
    assert!(!folder.path().join("runs").exists() && !folder.path().join("none").exists());
}

#[test]
fn what_only_data_or_networks_show_to_be_wrong_has_its_place_too() {
    let folder = tempfile::tempdir().unwrap();
    // With a folder for validation.
    pictures(folder.path(), 4);
    let refused = |recipe: &str, more: &[&str]| {
        fs::write(folder.path().join("mine.toml"), recipe).unwrap();
        let arguments = ["train", "--recipe", "mine.toml", "--out", "none"];
        let message = failure(folder.path(), &[&arguments, more].concat(), 3);
        assert!(!folder.path().join("none").exists(), "{message}");
        message
    };
    let weights =
        "[class_weights]\nrule = \"given\"\n\n[class_weights.weights]\ncat = 2\nhors = 2\n";
    let expected = "mine.toml:6:1: class_weights.weights.hors is no class of the data; did you mean 'horse'? \
                    There are: ";
    let message = refused(weights, &[]);
    assert!(
        message.to_lowercase().contains(&expected.to_lowercase()),
        "{message}"
    );
    // What an option or a change says instead is not the file's fault.
    let message = refused(weights, &["--set", "class_weights.weights.hors=3"]);
    let place = "error: --set class_weights.weights.hors=3: class_weights.weights.hors is no class";
    assert!(message.starts_with(place), "{message}");
    let norm = "epochs = 2\n[variations]\nnorm = { group = { groups = 3 } }\n";
    let message = refused(norm, &[]);
    assert!(
        message.contains("mine.toml:3:1: variations.norm cannot be used: "),
        "{message}"
    );
    let teacher = "epochs = 2\n\n[distillation]\nteacher = \"lost.safetensors\"\n";
    let message = refused(teacher, &[]);
    let expected = "mine.toml:4:1: distillation.teacher cannot be used: ";
    assert!(message.contains(expected), "{message}");
    let message = refused(teacher, &["--teacher", "gone.safetensors"]);
    assert!(
        message.starts_with("error: distillation.teacher cannot be used: "),
        "{message}"
    );
    let message = refused("epochs = 2\n\nmodel = \"alexnet\"\n", &[]);
    assert!(
        message.contains("mine.toml:3:1: model cannot be used: "),
        "{message}"
    );
    let message = refused(
        "epochs = 2\n\nfold = \"1/5\"\n",
        &["--data", "folder:pictures"],
    );
    let expected = "mine.toml:3:1: fold cannot be used: ";
    assert!(message.contains(expected), "{message}");
    // The same of a configuration, in a command that trains several runs.
    let whole = stdout(
        folder.path(),
        &["recipe", "show", "quick", "--data", "builtin"],
    );
    fs::write(
        folder.path().join("whole.toml"),
        format!("{whole}\n{weights}"),
    )
    .unwrap();
    let arguments = [
        "compare",
        "--models",
        "resnet8",
        "--config",
        "whole.toml",
        "--out",
        "compared",
    ];
    let message = failure(folder.path(), &arguments, 3);
    assert!(message.contains("whole.toml:"), "{message}");
    assert!(
        message.contains("class_weights.weights.hors is no class"),
        "{message}"
    );
}

#[test]
fn settings_are_judged_when_all_of_them_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(folder.path().join("mine.toml"), text).unwrap();
    let seen = ["data", "show", "--recipe", "mine.toml"];
    let refused = |more: &[&str]| failure(folder.path(), &[&seen, more].concat(), 3);
    let accepted = |more: &[&str]| {
        stdout(folder.path(), &[&seen, more].concat());
    };
    write("epochs = 0\naccumulate = 64\n");
    assert!(refused(&[]).contains("mine.toml:1:1: epochs is 0"));
    assert!(refused(&["--epochs", "1"]).contains("mine.toml:2:1: accumulate is 64"));
    accepted(&["--epochs", "1", "--batch-size", "128"]);
    write(
        "epochs = 1\n[augmentation]\nflip_probability = 0\ncrop = { rule = \"none\" }\n\
           erasing = { rule = \"cutout\", size = 40 }\n",
    );
    assert!(refused(&[]).contains("mine.toml:5:30: augmentation.erasing.size is 40"));
    accepted(&["--input-size", "64"]);
    // Data of a recipe give way to those of an option.
    write("epochs = 1\ndata = \"npz:lost.npz\"\n");
    assert!(refused(&[]).contains("lost.npz"));
    accepted(&["--data", "builtin"]);
    write("epochs = 1\n\n[weights]\nfile = \"\"\n");
    assert!(refused(&[]).contains("mine.toml:4:1: weights.file is empty"));
}

#[test]
fn a_sweep_of_what_cannot_begin_is_refused_before_its_first_trial() {
    let folder = tempfile::tempdir().unwrap();
    let space = "[search]\nmethod = \"random\"\ntrials = 2\n[space]\n\
                 stages.frozen = { choice = [0, 1] }\n";
    fs::write(folder.path().join("space.toml"), space).unwrap();
    let message = failure(folder.path(), &["sweep", "space.toml", "--epochs", "1"], 3);
    assert!(message.contains("space.toml:5:"), "{message}");
    assert!(
        message.contains("the network begins with random values"),
        "{message}"
    );
    assert!(!folder.path().join("sweep").exists());
}

#[test]
fn a_recipe_is_held_against_the_network_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let text = "epochs = 1\n[[parameter_groups]]\nnames = \"layer4.*\"\nrate = 2.0\n";
    fs::write(folder.path().join("mine.toml"), text).unwrap();
    let seen = ["data", "show", "--recipe", "mine.toml"];
    // Of the default network, which has three stages.
    let message = failure(folder.path(), &seen, 3);
    let expected = "mine.toml:3:1: parameter_groups.0.names is 'layer4.*', which fits no parameter";
    assert!(message.contains(expected), "{message}");
    let other = [&seen[..], &["--set", "model=cifar_resnet18"]].concat();
    stdout(folder.path(), &other);
    let train = |model: &'static str, recipe: &'static str| {
        let more = ["--recipe", recipe, "--model", model, "--out", "none"];
        failure(folder.path(), &[&["train"][..], &more].concat(), 3)
    };
    let message = train("resnet8", "speedrun-94");
    assert!(message.contains("recipe speedrun-94:"), "{message}");
    assert!(message.contains("'prep.conv.weight'"), "{message}");
    let message = train("resnet8", "finetune");
    assert!(
        message.contains("stages.unfreeze_every is 1, and the network begins with random values"),
        "{message}"
    );
    assert!(!folder.path().join("none").exists());
}

#[test]
fn recipes_are_shown_as_they_are_and_as_what_they_make_of_data() {
    let folder = tempfile::tempdir().unwrap();
    let own = stdout(folder.path(), &["recipe", "show", "he2015-cifar"]);
    assert!(own.starts_with('#') && own.contains("[about]"), "{own}");
    let arguments = [
        "recipe",
        "show",
        "he2015-cifar",
        "--data",
        "cifar10:somewhere",
    ];
    let whole = stdout(folder.path(), &arguments);
    for line in [
        "data = \"cifar10:somewhere\"",
        "epochs = 164",
        "model = \"resnet20\"",
    ] {
        assert!(whole.contains(line), "{whole}");
    }
    // It is a file for `--config`, of which only the data are missing.
    fs::write(folder.path().join("whole.toml"), whole).unwrap();
    let message = failure(folder.path(), &["train", "--config", "whole.toml"], 3);
    assert!(message.contains("somewhere"), "{message}");
    failure(folder.path(), &["recipe", "show", "he2016"], 3);
}

#[test]
fn the_schema_describes_configurations_and_recipes() {
    let folder = tempfile::tempdir().unwrap();
    let schema: Value = json(folder.path(), &["recipe", "schema"]);
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["additionalProperties"], false);
    let settings = schema["properties"].as_object().unwrap();
    assert!(settings.contains_key("about") && settings.contains_key("optimiser"));
    assert_eq!(
        settings["epochs"]["description"],
        "Times that all training images are seen."
    );
    assert!(schema.get("required").is_none());
    let required = schema["then"]["required"].as_array().unwrap();
    assert!(required.contains(&"loss".into()) && !required.contains(&"clip_norm".into()));
    assert!(run(folder.path(), &["recipe", "schema"]).stderr.is_empty());
}
