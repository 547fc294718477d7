//! What training refuses, and what it leaves out.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::arrays::archive;
use common::{failure, pictures, run, stdout, text, tiny_training};

#[test]
fn unreadable_images_are_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path(), 20);
    fs::write(pictures.join("train/dots/3.png"), b"not a picture").unwrap();
    let output = run(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("1 unreadable image left out"), "{message}");
    assert!(message.contains("3.png"), "{message}");
    let events = fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    assert!(events.contains(r#""event":"quarantine""#) && events.contains("3.png"));
    // Too many of them are an error before anything is written.
    for number in 0..10 {
        fs::write(pictures.join(format!("train/dots/{number}.png")), b"?").unwrap();
    }
    let message = failure(folder.path(), &tiny_training("none", &[]), 3);
    assert!(
        message.contains("10 of 120 images are unreadable"),
        "{message}"
    );
    assert!(!folder.path().join("none").exists());
    stdout(
        folder.path(),
        &tiny_training("some", &["--max-unreadable", "0.5", "--epochs", "1"]),
    );
}

#[test]
fn bad_data_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path(), 4);
    let refused = |expected: &str| {
        let message = failure(folder.path(), &tiny_training("none", &[]), 3);
        assert!(
            message.contains(expected),
            "expected '{expected}' in: {message}"
        );
        assert!(
            !folder.path().join("none").exists(),
            "something was written"
        );
    };
    fs::create_dir(pictures.join("train/empty")).unwrap();
    refused("train/empty");
    fs::remove_dir(pictures.join("train/empty")).unwrap();
    fs::rename(pictures.join("val"), pictures.join("elsewhere")).unwrap();
    refused("val");
    fs::remove_dir_all(&pictures).unwrap();
    refused("pictures");
}

#[test]
fn bad_cifar_files_are_refused_with_file_and_record() {
    let folder = tempfile::tempdir().unwrap();
    let cifar = folder.path().join("cifar");
    fs::create_dir(&cifar).unwrap();
    let record = |label: u8| {
        let mut record = vec![128u8; 3073];
        record[0] = label;
        record
    };
    let arguments = ["train", "--data", "cifar10:cifar", "--out", "none"];
    let refused = |expected: &[&str]| {
        let message = failure(folder.path(), &arguments, 3);
        for expected in expected {
            assert!(
                message.contains(expected),
                "expected '{expected}' in: {message}"
            );
        }
        assert!(
            !folder.path().join("none").exists(),
            "something was written"
        );
    };
    refused(&["cifar"]);
    for number in 1..=5 {
        fs::write(cifar.join(format!("data_batch_{number}.bin")), record(3)).unwrap();
    }
    refused(&["test_batch"]);
    fs::write(cifar.join("test_batch.bin"), record(10)).unwrap();
    refused(&["test_batch.bin", "10"]);
    fs::write(cifar.join("test_batch.bin"), &record(1)[..3000]).unwrap();
    refused(&["test_batch.bin", "3073", "3000"]);
}

/// Trains on these data, which must be refused like this, with nothing written.
#[track_caller]
fn refused_data(folder: &Path, data: &str, expected: &str) {
    let message = failure(folder, &["train", "--data", data, "--out", "none"], 3);
    assert!(
        message.contains(expected),
        "expected '{expected}' in: {message}"
    );
    assert!(!folder.join("none").exists(), "something was written");
}

#[test]
fn bad_spreadsheets_are_refused_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 2);
    let [a, b] = ["pictures/train/dots/0.png", "pictures/train/dots/1.png"];
    for (table, expected) in [
        (
            format!("path,label,split\n{a},x,train\nlost.png,y,train\n{b},y,val\n"),
            "labels.csv: 1 of the images listed is missing, expected in",
        ),
        (
            format!("path,label,split\n{a},x,train\n{b},strange,val\n"),
            "labels.csv, line 3: class \"strange\" is not among the training classes",
        ),
        (
            format!("path,label\n{a},x\n{b},y\n{a},x\n"),
            "labels.csv, line 4: pictures/train/dots/0.png is in line 2 already",
        ),
        (
            format!("path,label\n{a},x\n{b},\n"),
            "labels.csv, line 3: has no label; fill the field, or remove the line",
        ),
    ] {
        fs::write(folder.path().join("labels.csv"), table).unwrap();
        refused_data(folder.path(), "csv:labels.csv", expected);
    }
}

#[test]
fn bad_arrays_are_refused_with_file_and_array() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.npz");
    let written = |shape: &[u64], labels: &[u8]| {
        let pixels = vec![9; shape.iter().product::<u64>() as usize];
        let count = [labels.len() as u64];
        archive(
            &file,
            &[
                ("train_images", shape, pixels.clone()),
                ("train_labels", &count, labels.to_vec()),
                ("val_images", shape, pixels),
                ("val_labels", &count, labels.to_vec()),
            ],
        );
    };
    let data = "npz:x.npz";
    written(&[4, 6], &[0, 1, 0, 1]);
    refused_data(folder.path(), data, "train_images: has the shape [4, 6]");
    written(&[4, 2, 3], &[0, 1, 0]);
    refused_data(folder.path(), data, "has 4 images, and there are 3 labels");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    refused_data(folder.path(), data, "x.npz: cannot be unpacked");
    // A bomb: ten bytes of values whose header claims a gigabyte.
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 16384, 16384), }\n";
    let length = (header.len() as u16).to_le_bytes();
    let array = [
        b"\x93NUMPY\x01\x00",
        &length[..],
        header.as_bytes(),
        &[0; 10],
    ]
    .concat();
    let mut bomb = zip::ZipWriter::new(fs::File::create(&file).unwrap());
    for name in ["train_images.npy", "train_labels.npy"] {
        let options = zip::write::SimpleFileOptions::default();
        bomb.start_file(name, options).unwrap();
        bomb.write_all(&array).unwrap();
    }
    bomb.finish().unwrap();
    refused_data(folder.path(), data, "x.npz/train_");
}

#[test]
fn bad_idx_files_are_refused_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mnist");
    fs::create_dir(&root).unwrap();
    let images = [
        &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..],
        &[7; 8],
    ]
    .concat();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 2][..], &[0, 1]].concat();
    let written = |images: &[u8]| {
        for split in ["train", "t10k"] {
            fs::write(root.join(format!("{split}-images-idx3-ubyte")), images).unwrap();
            fs::write(root.join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
        }
    };
    let mut wrong = images.clone();
    wrong[2] = 0x0d;
    written(&wrong);
    refused_data(folder.path(), "idx:mnist", "train-images-idx3-ubyte: ");
    written(&images[..20]);
    refused_data(folder.path(), "idx:mnist", "train-images-idx3-ubyte: ");
    written(&[&images[..], &[1]].concat());
    refused_data(folder.path(), "idx:mnist", "train-images-idx3-ubyte: ");
}

#[test]
fn wrong_options_and_folders_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 4);
    let message = failure(folder.path(), &["train", "--data", "pictures"], 2);
    assert!(message.contains("folder:pictures"), "{message}");
    let message = failure(folder.path(), &["train", "--model", "resent20"], 3);
    assert!(message.contains("did you mean 'resnet20'"), "{message}");
    let message = failure(
        folder.path(),
        &["train", "--set", "optimizer.momentum=1"],
        3,
    );
    assert!(message.contains("did you mean 'optimiser'"), "{message}");
    let message = failure(folder.path(), &["train", "--resume", "nowhere"], 3);
    assert!(
        message.contains("'nowhere' is not a run folder"),
        "{message}"
    );
    let message = failure(
        folder.path(),
        &["train", "--resume", "x", "--epochs", "2"],
        2,
    );
    assert!(message.contains("cannot be used with"), "{message}");
    let message = failure(
        folder.path(),
        &["train", "--resume", "x", "--data", "builtin"],
        2,
    );
    assert!(message.contains("cannot be used with"), "{message}");
    let message = failure(
        folder.path(),
        &tiny_training("none", &["--input-size", "65535"]),
        3,
    );
    assert!(message.contains("does not fit into memory"), "{message}");
    let message = failure(folder.path(), &tiny_training("none", &["--lr", "nan"]), 3);
    assert!(message.contains("learning_rate is NaN"), "{message}");
    assert!(!folder.path().join("none").exists());
    let message = failure(folder.path(), &["train", "--threads", "0"], 2);
    assert!(message.contains("expected 1 to"), "{message}");
    let message = failure(
        folder.path(),
        &["train", "--loss", "mse", "--label-smoothing", "0.1"],
        2,
    );
    assert!(
        message.contains("does not go with the squared error"),
        "{message}"
    );
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/note"), "").unwrap();
    let message = failure(folder.path(), &tiny_training("full", &[]), 3);
    assert!(
        message.contains("already exists and is not empty"),
        "{message}"
    );
}
