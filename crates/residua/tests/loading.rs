//! How images are loaded, from the outside: caches, sampling, `residua data bench` and `data cache`.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{assert_keys, failure, json, pictures, run, stdout, text, tiny_training};
use residua::weights::TensorFile;
use serde_json::Value;

/// What a run computed: the best weights, and what they were found to be worth.
#[derive(Debug, PartialEq)]
struct Computed {
    best: TensorFile,
    predictions: String,
    evaluation: Value,
}

fn computed(folder: &Path, run: &str) -> Computed {
    let folder = folder.join(run);
    let mut best = TensorFile::read(&folder.join("checkpoints/best.safetensors")).unwrap();
    best.path = PathBuf::new();
    Computed {
        best,
        predictions: fs::read_to_string(folder.join("predictions.csv")).unwrap(),
        evaluation: metrics(&folder)["evaluation"].take(),
    }
}

fn metrics(run: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(run.join("metrics.json")).unwrap()).unwrap()
}

fn events(run: &Path, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    events
        .filter(|event: &Value| event["event"] == kind)
        .collect()
}

/// The pictures are 20×18, so that these reduce them.
const REDUCING: [&str; 6] = [
    "--input-size",
    "12",
    "--shorter-side",
    "14",
    "--augment",
    "imagenet",
];

#[test]
fn a_cache_cold_or_warm_changes_no_bit_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let train = |out: &str, more: &[&str]| {
        let more = [&REDUCING[..], more].concat();
        stdout(folder.path(), &tiny_training(out, &more));
        computed(folder.path(), out)
    };
    let expected = train("without", &[]);
    assert_eq!(train("cold", &["--cache", "cache"]), expected);
    let warm = ["--cache", "cache", "--workers", "2"];
    assert_eq!(train("warm", &warm), expected);
    let usage = json(folder.path(), &["data", "cache", "cache", "--json"]);
    assert_eq!(usage["pictures"], 72);
    // The reduction belongs to the weights, wherever they are used.
    let eval = ["eval", "--run", "warm", "--json", "--quiet"];
    let with = [&eval[..], &["--cache", "cache"]].concat();
    let [without, with] = [&eval[..], &with].map(|arguments| {
        let mut report = json(folder.path(), arguments);
        report["seconds"].take();
        report
    });
    assert_eq!(with, without);
    assert_eq!(without["accuracy"], expected.evaluation["accuracy"]);

    let cleared = stdout(folder.path(), &["data", "cache", "cache", "--clear"]);
    assert!(
        cleared.starts_with("cache: removed 72 pictures, "),
        "{cleared}"
    );
    let text = stdout(folder.path(), &["data", "cache", "cache"]);
    assert_eq!(text, "cache: 0 pictures, 0 B\n");
    assert_eq!(train("again", &["--cache", "cache"]), expected);
}

#[test]
fn a_cache_that_cannot_be_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 3);
    let nothing_to_keep = tiny_training("run", &["--cache", "cache"]);
    let message = failure(folder.path(), &nothing_to_keep, 3);
    assert!(
        message.contains("--shorter-side 32 for instance, or leave --cache out"),
        "{message}"
    );
    let among_others = [&REDUCING[..], &["--cache", "pictures"]].concat();
    let message = failure(folder.path(), &tiny_training("run", &among_others), 3);
    assert!(
        message.contains("'pictures' holds other files"),
        "{message}"
    );
    let too_small = tiny_training("run", &["--shorter-side", "17"]);
    let message = failure(folder.path(), &too_small, 3);
    assert!(
        message.contains("preprocessing.shorter_side is 17; expected at least 18"),
        "{message}"
    );
    let message = failure(folder.path(), &["data", "cache", "pictures"], 3);
    assert!(message.contains("is no cache of pictures"), "{message}");
    assert!(!folder.path().join("run").exists());
    assert!(!folder.path().join("cache").exists());
}

#[test]
fn a_cache_that_breaks_does_not_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 4);
    let expected = {
        stdout(folder.path(), &tiny_training("without", &REDUCING));
        computed(folder.path(), "without")
    };
    // A cache all of whose 256 folders are files: nothing can be written, whoever tries.
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# residua.picture-cache/1\n\
        # Reduced pictures. They are made again when they are gone.\n";
    fs::write(cache.join("CACHEDIR.TAG"), tag).unwrap();
    for shelf in 0..256 {
        fs::write(cache.join(format!("{shelf:02x}")), "").unwrap();
    }
    let more = [&REDUCING[..], &["--cache", "cache"]].concat();
    let output = run(folder.path(), &tiny_training("broken", &more));
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    let warning = "warning: nothing more is put into the cache 'cache': ";
    assert_eq!(message.matches(warning).count(), 1, "{message}");
    let warnings = events(&folder.path().join("broken"), "warning");
    assert_eq!(warnings.len(), 1);
    assert_eq!(computed(folder.path(), "broken"), expected);
}

#[test]
fn a_run_says_how_long_it_waited_for_the_loader() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    // Without workers, all loading is waiting.
    let arguments = tiny_training("run", &["--workers", "0"]);
    let arguments: Vec<&str> = { arguments.into_iter() }
        .filter(|argument| *argument != "--quiet")
        .collect();
    let output = run(folder.path(), &arguments);
    assert!(output.status.success());
    let run = folder.path().join("run");
    let share = metrics(&run)["waiting_share"].as_f64().unwrap();
    assert!(share > 0.0 && share < 1.0, "{share}");
    let (mut waited, mut trained) = (0.0, 0.0);
    let epochs = events(&run, "epoch");
    for epoch in &epochs {
        let waiting = epoch["waiting_seconds"].as_f64().unwrap();
        let training = epoch["train_seconds"].as_f64().unwrap();
        assert!(waiting > 0.0 && waiting < training, "{waiting}");
        waited += waiting;
        trained += training;
    }
    assert!((share - waited / trained).abs() < 1e-9);
    let shown = text(&output.stderr);
    let worth_saying = epochs.iter().filter(|epoch| {
        epoch["waiting_seconds"].as_f64().unwrap() / epoch["train_seconds"].as_f64().unwrap()
            >= 0.05
    });
    let said = shown.lines().filter(|line| {
        line.starts_with("epoch ") && line.contains("  waiting ") && line.ends_with(" %")
    });
    let worth_saying = worth_saying.count();
    assert_eq!(said.count(), worth_saying, "{shown}");
    let advice = shown.matches("the loader kept training waiting ").count();
    assert_eq!(advice, worth_saying.min(1), "{shown}");
}

#[test]
fn classes_can_be_shown_equally_often_and_images_repeatedly() {
    let folder = tempfile::tempdir().unwrap();
    let root = pictures(folder.path(), 12);
    // One class has 2 training images left.
    for number in 2..12 {
        fs::remove_file(root.join(format!("train/dots/{number}.png"))).unwrap();
    }
    let more = ["--sampling", "balanced", "--repeats", "2"];
    stdout(folder.path(), &tiny_training("run", &more));
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    assert!(
        config.contains("sampling = \"balanced\"\nrepeats = 2\n"),
        "{config}"
    );
    // What a batch shows can be looked at.
    let show = [
        "data",
        "show",
        "--data",
        "folder:pictures",
        "--sampling",
        "balanced",
        "--images",
        "26",
        "--json",
    ];
    let classes = &json(folder.path(), &show)["images"];
    let count = |class: u64| {
        let images = classes.as_array().unwrap().iter();
        images.filter(|image| image["class"] == class).count()
    };
    let mut counts = [0, 1, 2].map(count);
    counts.sort();
    assert_eq!(counts, [8, 9, 9]);

    let both = ["--sampling", "balanced", "--class-weights", "balanced"];
    let message = failure(folder.path(), &tiny_training("both", &both), 3);
    assert!(
        message.contains("sampling is balanced and class_weights too"),
        "{message}"
    );
    let unchanged = ["--repeats", "2", "--augment", "none"];
    let message = failure(folder.path(), &tiny_training("unchanged", &unchanged), 3);
    assert!(
        message.contains("repeats is 2, but the augmentation changes nothing"),
        "{message}"
    );
    failure(
        folder.path(),
        &tiny_training("zero", &["--repeats", "0"]),
        2,
    );
}

#[test]
fn loading_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    let bench = ["data", "bench", "--quiet", "--seconds", "0.02"];
    let files = ["--data", "folder:pictures", "--cache", "disk"];
    let arguments = [
        &bench[..],
        &files,
        &REDUCING,
        &["--workers", "1,3", "--json"],
    ]
    .concat();
    let report = json(folder.path(), &arguments);
    assert_keys(
        &report,
        &["schema", "data", "images", "processors", "shorter_side"],
    );
    // At least 16, and of the 36 as many as are decoded in the time of a figure.
    let images = report["images"].as_u64().unwrap();
    assert!((16..=36).contains(&images), "{images}");
    for (row, workers) in report["rows"].as_array().unwrap().iter().zip([1, 3]) {
        assert_eq!(row["workers"], workers);
        for figure in ["decoded", "loaded", "cache_filled", "cache_read"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{figure}: {row}");
        }
    }
    // The cache was removed.
    assert_eq!(fs::read_dir(folder.path().join("disk")).unwrap().count(), 0);
    let text = stdout(folder.path(), &[&bench[..], &files].concat());
    assert!(text.contains("workers  decoded  loaded"), "{text}");
    assert!(
        text.contains("--shorter-side PIXELS also measures"),
        "{text}"
    );
    // The builtin images are in memory: there is nothing to decode and nothing to keep.
    let in_memory = [
        &bench[..],
        &["--workers", "2", "--json", "--shorter-side", "64"],
    ]
    .concat();
    let row = &json(folder.path(), &in_memory)["rows"][0];
    assert!(row["decoded"].is_null() && row["cache_read"].is_null());
    assert!(row["loaded"].as_f64().unwrap() > 0.0);
    failure(folder.path(), &["data", "bench", "--workers", "0"], 2);
}
