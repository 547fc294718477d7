//! What the tests of the command line share.

#![allow(dead_code)] // Each test file uses a part of it.

pub(crate) mod arrays;
pub(crate) mod shapes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use image::{Rgb, RgbImage};
use serde_json::Value;

/// The program, in a folder of its own.
pub(crate) fn residua(folder: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("residua"));
    command.current_dir(folder).env_remove("CARGO");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RESIDUA_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program and returns what it did.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    residua(folder).args(arguments).output().unwrap()
}

/// What it wrote to stdout; it must have succeeded.
#[track_caller]
pub(crate) fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(
        output.status.success(),
        "{arguments:?} failed: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// The JSON object that it wrote to stdout; it must have succeeded.
#[track_caller]
pub(crate) fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(folder, arguments)).unwrap()
}

/// Runs the program, which must fail with this exit code; returns its message.
#[track_caller]
pub(crate) fn failure(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(folder, arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    message
}

/// Starts the program, whose messages can be read in the end.
pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Child {
    process::Command::new(assert_cmd::cargo::cargo_bin!("residua"))
        .current_dir(folder)
        .env_remove("CARGO")
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the events of a run contain `wanted`.
pub(crate) fn wait_for(folder: &Path, run: &str, wanted: &str) {
    let path = folder.join(run).join("events.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fs::read_to_string(&path).is_ok_and(|events| events.contains(wanted)) {
        assert!(
            Instant::now() < deadline,
            "'{wanted}' did not happen in {run}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Whether `value` has all these keys.
#[track_caller]
pub(crate) fn assert_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "'{key}' is missing in {value}");
    }
}

/// The classes of [`pictures`].
pub(crate) const CLASSES: [&str; 3] = ["bars", "columns", "dots"];

/// A folder `pictures` with train and val, three easy classes and `count` images in each.
pub(crate) fn pictures(folder: &Path, count: usize) -> PathBuf {
    let root = folder.join("pictures");
    for (split, offset) in [("train", 0), ("val", 1000)] {
        for (class, name) in CLASSES.iter().enumerate() {
            let directory = root.join(split).join(name);
            fs::create_dir_all(&directory).unwrap();
            for number in 0..count {
                let path = directory.join(format!("{number}.png"));
                picture(class, offset + number).save(path).unwrap();
            }
        }
    }
    root
}

/// A 20×18 picture of a class in colours that depend on `number`.
pub(crate) fn picture(class: usize, number: usize) -> RgbImage {
    // Knuth's multiplicative hash, so that no two numbers give the same picture.
    let hash = (number as u32 + 1).wrapping_mul(2_654_435_761);
    let shade = |step: u32| (hash.wrapping_mul(step) >> 16) as u8 % 200 + 30;
    let (front, back) = (
        Rgb([shade(37), shade(91), shade(53)]),
        Rgb([255 - shade(71), shade(13), 255 - shade(29)]),
    );
    RgbImage::from_fn(20, 18, |x, y| {
        let phase = number as u32 % 4;
        let on = match class {
            0 => ((y + phase) / 3).is_multiple_of(2),
            1 => ((x + phase) / 3).is_multiple_of(2),
            _ => (x + phase) % 4 < 2 && (y + phase) % 4 < 2,
        };
        if on { front } else { back }
    })
}

/// Arguments of a training of seconds on [`pictures`].
pub(crate) fn tiny_training<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "train",
        "--quiet",
        "--data",
        "folder:pictures",
        "--model",
        "resnet8",
        "--input-size",
        "16",
        "--batch-size",
        "8",
        "--lr",
        "0.05",
        "--augment",
        "cifar",
        "--epochs",
        "3",
        "--seed",
        "7",
        "--out",
        out,
    ];
    arguments.extend(more);
    arguments
}
