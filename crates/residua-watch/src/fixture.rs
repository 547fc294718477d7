//! A realistic run for tests: a ResNet-20 on CIFAR-10, rounded.

use std::fs;

use residua_core::precision::Precision;
use residua_core::run::{Destination, Environment, Event, RunFolder};
use residua_core::task::Task;
use tempfile::TempDir;

pub(crate) const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

const STEPS_PER_EPOCH: u64 = 391;

/// Train loss and accuracy, validation loss and accuracy, learning rate, seconds of training.
const EPOCHS: [[f64; 6]; 10] = [
    [1.6017, 0.4051, 1.7110, 0.4196, 0.1483, 31.8],
    [1.0858, 0.6130, 2.0556, 0.4499, 0.3633, 47.1],
    [0.8310, 0.7096, 1.1021, 0.6393, 0.3957, 32.2],
    [0.7043, 0.7561, 0.9871, 0.6838, 0.3545, 31.9],
    [0.6257, 0.7839, 0.8146, 0.7288, 0.2890, 32.0],
    [0.5655, 0.8040, 0.6894, 0.7701, 0.2100, 31.7],
    [0.5063, 0.8249, 0.6089, 0.7916, 0.1382, 31.9],
    [0.4412, 0.8478, 0.5207, 0.8291, 0.0662, 32.4],
    [0.3647, 0.8743, 0.4161, 0.8543, 0.0173, 31.6],
    [0.3071, 0.8952, 0.3894, 0.8674, 1.6e-6, 31.8],
];

const CLASS_ACCURACIES: [f64; 10] = [
    0.823, 0.941, 0.702, 0.489, 0.731, 0.644, 0.874, 0.799, 0.893, 0.805,
];

/// A run folder without events.
pub(crate) fn empty_run() -> (TempDir, RunFolder) {
    let folder = tempfile::tempdir().unwrap();
    let run = create(&folder, "run");
    (folder, run)
}

pub(crate) fn create(parent: &TempDir, name: &str) -> RunFolder {
    let run = RunFolder::create(&Destination::Folder(parent.path().join(name))).unwrap();
    fs::write(run.config(), "schema = \"residua.config/1\"\n").unwrap();
    run
}

pub(crate) fn start() -> Event {
    Event::Start {
        schema: "residua.events/1".to_owned(),
        time: "2026-11-25T22:55:46Z".to_owned(),
        model: "resnet20".to_owned(),
        data: "cifar10:/data".to_owned(),
        parameters: 269_722,
        precision: Precision::Bf16,
        train_images: 50_000,
        validation_images: 10_000,
        steps: 10 * STEPS_PER_EPOCH,
        epochs: 10,
        seed: 0,
        task: Task::SingleLabel,
        classes: CLASSES.map(str::to_owned).to_vec(),
        environment: Environment {
            device: "cpu".to_owned(),
            ..Environment::default()
        },
    }
}

/// The recorded steps of an epoch, up to and including `last` of its steps.
pub(crate) fn steps(epoch: u64, last: u64) -> Vec<Event> {
    let [loss, accuracy, _, _, rate, seconds] = EPOCHS[epoch as usize - 1];
    let first = (epoch - 1) * STEPS_PER_EPOCH;
    let recorded = (first + 1..=first + last).filter(|step| step.is_multiple_of(10));
    recorded
        .map(|step| {
            let share = (step - first) as f64 / STEPS_PER_EPOCH as f64;
            let passed = seconds * (share + 0.01 * (20.0 * share).sin());
            Event::Step {
                step,
                epoch,
                loss: loss * (1.25 - 0.25 * share),
                accuracy: accuracy * (0.8 + 0.2 * share),
                learning_rate: rate,
                images_per_second: 50_000.0 * share / passed,
            }
        })
        .collect()
}

/// The end of an epoch, which is the best so far.
pub(crate) fn epoch_end(epoch: u64) -> Vec<Event> {
    let [
        loss,
        accuracy,
        validation_loss,
        validation_accuracy,
        rate,
        seconds,
    ] = EPOCHS[epoch as usize - 1];
    let step = epoch * STEPS_PER_EPOCH;
    let checkpoint = |name: &str| Event::Checkpoint {
        step,
        name: name.to_owned(),
    };
    vec![
        Event::Epoch {
            step,
            epoch,
            train_loss: loss,
            train_accuracy: accuracy,
            validation_loss,
            validation_accuracy,
            learning_rate: rate,
            train_seconds: seconds,
            waiting_seconds: 0.0,
            validation_seconds: 2.6,
            images_per_second: 50_000.0 / seconds,
            class_accuracies: CLASS_ACCURACIES.map(Some).to_vec(),
            validation_roc_auc: None,
            class_roc_aucs: Vec::new(),
        },
        checkpoint("best"),
        checkpoint("last"),
    ]
}

/// The whole of an epoch.
pub(crate) fn epoch(number: u64) -> Vec<Event> {
    let mut events = steps(number, STEPS_PER_EPOCH);
    events.extend(epoch_end(number));
    events
}

/// A beginning, an image that is left out, and so many epochs.
pub(crate) fn epochs(count: u64) -> Vec<Event> {
    let mut events = vec![
        start(),
        Event::Quarantine {
            path: "/data/train/cat/0417.png".to_owned(),
            reason: "unexpected end of file".to_owned(),
        },
    ];
    events.extend((1..=count).flat_map(epoch));
    events
}

pub(crate) fn resume(step: u64, finished_epochs: u64, time: &str) -> Event {
    Event::Resume {
        step,
        finished_epochs,
        time: time.to_owned(),
    }
}

pub(crate) fn end() -> Event {
    Event::End {
        step: 10 * STEPS_PER_EPOCH,
        time: "2026-11-25T23:02:25Z".to_owned(),
        best_accuracy: 0.8674,
        best_roc_auc: None,
        seconds: 398.987,
    }
}

/// The events as `events.jsonl` has them.
pub(crate) fn text(events: &[Event]) -> String {
    let line = |event| serde_json::to_string(event).unwrap() + "\n";
    events.iter().map(line).collect()
}
