use std::time::Duration;

use super::*;
use crate::fixture;

/// Written by TensorBoard's own writer: `tests/fixtures/reference_events.py`.
const REFERENCE: &[u8] = include_bytes!("../../tests/fixtures/reference.tfevents");

/// A run of ten epochs of ten steps of a hundred images, as the reference has it.
fn small_run() -> Vec<Event> {
    let mut start = fixture::start();
    if let Event::Start {
        time,
        train_images,
        steps,
        classes,
        ..
    } = &mut start
    {
        *time = "2026-11-29T22:55:46Z".to_owned();
        *train_images = 1000;
        *steps = 100;
        *classes = vec!["Käse".to_owned(), "empty".to_owned()];
    }
    vec![
        start,
        Event::Step {
            step: 5,
            epoch: 1,
            loss: 2.25,
            accuracy: 0.0,
            learning_rate: 0.1,
            images_per_second: 250.0,
        },
        Event::Epoch {
            step: 10,
            epoch: 1,
            train_loss: 2.0,
            train_accuracy: 0.25,
            validation_loss: 1.75,
            validation_accuracy: 0.3,
            learning_rate: 0.1,
            train_seconds: 4.0,
            waiting_seconds: 0.0,
            validation_seconds: 0.5,
            images_per_second: 250.0,
            class_accuracies: vec![Some(0.3), None],
            validation_roc_auc: None,
            class_roc_aucs: Vec::new(),
        },
        fixture::resume(300, 1, "2026-11-29T22:57:26Z"),
    ]
}

fn write(folder: &Path, events: &[Event]) -> Vec<u8> {
    let mut writer = TensorBoardWriter::create(folder).unwrap();
    for event in events {
        writer.write_event(event).unwrap();
    }
    writer.flush().unwrap();
    fs::read(writer.path()).unwrap()
}

/// The messages of a file whose checksums are right.
fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let (check, rest) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_le_bytes(*check), record::masked_checksum(length));
        let (message, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let (check, rest) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_le_bytes(*check), record::masked_checksum(message));
        messages.push(message);
        bytes = rest;
    }
    assert!(bytes.is_empty());
    messages
}

fn contains(message: &[u8], text: &str) -> bool {
    message
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn checksums_are_the_published_ones() {
    // The check value of CRC-32/ISCSI, and RFC 3720, appendix B.4.
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
    // The same, rotated and moved.
    assert_eq!(record::masked_checksum(b"123456789"), 0xc78a_b0e5);
}

#[test]
fn a_file_has_the_bytes_of_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(folder.path(), &small_run());
    assert_eq!(messages(&written), messages(REFERENCE));
    assert_eq!(written, REFERENCE);
}

#[test]
fn files_are_named_for_tensorboard_and_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("below/tensorboard");
    let first = TensorBoardWriter::create(&target).unwrap();
    let second = TensorBoardWriter::create(&target).unwrap();
    assert_ne!(first.path(), second.path());
    let name = first.path().file_name().unwrap().to_string_lossy();
    let parts: Vec<&str> = name.split('.').collect();
    assert_eq!(parts[..3], ["events", "out", "tfevents"]);
    assert!(parts[3].parse::<u64>().is_ok(), "{name}");
    assert_eq!(parts.len(), 7, "{name}");
    assert_eq!(parts[5], process::id().to_string());
}

#[test]
fn a_step_at_the_end_of_an_epoch_is_not_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = small_run();
    if let Event::Step { step, .. } = &mut events[1] {
        *step = 10;
    }
    let written = write(folder.path(), &events);
    let with_loss = |message: &&&[u8]| contains(message, "loss/train");
    assert_eq!(messages(&written).iter().filter(with_loss).count(), 1);
}

#[test]
fn a_finished_run_is_converted() {
    let (folder, run) = fixture::empty_run();
    let target = folder.path().join("tensorboard");
    let message = convert(&run, &target).unwrap_err().to_string();
    assert!(message.contains("events.jsonl: "), "{message}");
    let events = fixture::epochs(2);
    fs::write(run.events_path(), fixture::text(&events)).unwrap();
    let written = fs::read(convert(&run, &target).unwrap()).unwrap();
    let messages = messages(&written);
    assert_eq!(messages.len(), 2 + 78 + 2);
    assert!(contains(messages[0], "brain.Event:2"));
    assert!(contains(messages[81], "class_accuracy/automobile"));

    let malformed = fixture::text(&events) + "nonsense\n";
    fs::write(run.events_path(), malformed).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    let message = convert(&run, &elsewhere).unwrap_err().to_string();
    assert!(message.contains("events.jsonl, line "), "{message}");
    assert!(!elsewhere.exists());
}

#[test]
fn a_file_that_grows_with_the_run_is_that_of_a_finished_run() {
    let (folder, run) = fixture::empty_run();
    let target = folder.path().join("tensorboard");
    let follower = TensorBoardFollower::spawn(&run, &target).unwrap();
    let mut log = run.append_events().unwrap();
    for event in fixture::epochs(2) {
        log.record(&event).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1100));
    log.record(&fixture::resume(391, 1, "2026-11-26T08:00:00Z"))
        .unwrap();
    let path = follower.stop().unwrap();
    let converted = convert(&run, &target).unwrap();
    assert_eq!(fs::read(path).unwrap(), fs::read(converted).unwrap());
}
