//! CIFAR-10 in all its packings, sound and damaged.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use residua_data::{Dataset, DatasetOptions, Purpose, SplitName};
use tempfile::tempdir;

use crate::support::{cifar, cifar_files, record_file, refusal, with_validation, write_cifar};

fn write_xz(folder: &Path) {
    for (name, bytes) in cifar_files() {
        let file = File::create(folder.join(format!("{name}.xz"))).unwrap();
        let mut writer = XzWriter::new(file, XzOptions::with_preset(1)).unwrap();
        writer.write_all(&bytes).unwrap();
        writer.finish().unwrap();
    }
}

fn write_archive(folder: &Path) {
    let file = File::create(folder.join("cifar-10-binary.tar.gz")).unwrap();
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for (name, bytes) in cifar_files() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let path = format!("cifar-10-batches-bin/{name}");
        archive.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
}

/// Label and pixels.
type LabelledImage = (u32, Vec<u8>);

/// All samples, split by split.
fn content(folder: &Path) -> Vec<(SplitName, Vec<LabelledImage>)> {
    let dataset = Dataset::open(&cifar(folder), &DatasetOptions::default()).unwrap();
    let samples = |split: &residua_data::Split| {
        let samples = split.samples.iter();
        samples
            .map(|sample| {
                (
                    sample.label.class().unwrap(),
                    sample.pixels().unwrap().rgb().to_vec(),
                )
            })
            .collect()
    };
    dataset
        .splits()
        .map(|(name, split)| (name, samples(split)))
        .collect()
}

#[test]
fn every_packing_gives_the_same_images() {
    let plain = tempdir().unwrap();
    write_cifar(plain.path());
    let expected = content(plain.path());
    assert_eq!(expected.len(), 2);
    assert_eq!(
        (expected[0].0, expected[0].1.len()),
        (SplitName::Train, 100)
    );
    assert_eq!((expected[1].0, expected[1].1.len()), (SplitName::Test, 10));

    let xz = tempdir().unwrap();
    write_xz(xz.path());
    assert_eq!(content(xz.path()), expected);

    let archive = tempdir().unwrap();
    write_archive(archive.path());
    assert_eq!(content(archive.path()), expected);

    let inner = tempdir().unwrap();
    let inner_folder = inner.path().join("cifar-10-batches-bin");
    fs::create_dir(&inner_folder).unwrap();
    write_cifar(&inner_folder);
    assert_eq!(content(inner.path()), expected);
}

#[test]
fn samples_know_their_record() {
    let folder = tempdir().unwrap();
    write_cifar(folder.path());
    let dataset = Dataset::open(&cifar(folder.path()), &DatasetOptions::default()).unwrap();
    let train = dataset.require(SplitName::Train).unwrap();
    let source = train.samples[23].source.to_string();
    assert!(source.ends_with("data_batch_2.bin#3"), "{source}");
    assert_eq!(train.samples[23].label.class(), Some(3));
    assert_eq!(dataset.classes()[3], "cat");
}

#[test]
fn the_test_images_are_evaluated_unless_some_are_put_aside() {
    let folder = tempdir().unwrap();
    write_cifar(folder.path());
    let spec = cifar(folder.path());
    let dataset = Dataset::open(&spec, &DatasetOptions::default()).unwrap();
    let (name, split) = dataset.evaluation().unwrap();
    assert_eq!((name, split.len()), (SplitName::Test, 10));

    let dataset = Dataset::open(&spec, &with_validation(0.2)).unwrap();
    let (name, split) = dataset.evaluation().unwrap();
    assert_eq!((name, split.len()), (SplitName::Validation, 20));
    assert_eq!(split.class_counts(10), [2; 10]);
    assert_eq!(dataset.require(SplitName::Train).unwrap().len(), 80);
}

#[test]
fn evaluation_needs_the_test_file_only() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("test_batch.bin"), record_file(3, 0)).unwrap();
    let options = DatasetOptions {
        purpose: Purpose::Evaluation,
        ..DatasetOptions::default()
    };
    let dataset = Dataset::open(&cifar(folder.path()), &options).unwrap();
    assert_eq!(dataset.evaluation().unwrap().1.len(), 3);
}

#[test]
fn names_in_the_meta_file_count() {
    let folder = tempdir().unwrap();
    write_cifar(folder.path());
    let meta = folder.path().join("batches.meta.txt");
    fs::write(&meta, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n").unwrap();
    let options = DatasetOptions::default();
    let dataset = Dataset::open(&cifar(folder.path()), &options).unwrap();
    assert_eq!(dataset.classes()[9], "j");

    fs::write(&meta, "a\nb\n").unwrap();
    assert_eq!(
        refusal(&cifar(folder.path()), &options, folder.path()),
        "DIR/batches.meta.txt: 2 class names; expected 10, one a line (delete the file to use \
         the known names)"
    );
}

#[test]
fn damaged_files_are_named() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let refused = || refusal(&cifar(path), &DatasetOptions::default(), path);
    write_cifar(path);

    fs::write(path.join("data_batch_3.bin"), &record_file(2, 0)[..5_000]).unwrap();
    assert_eq!(
        refused(),
        "DIR/data_batch_3.bin: found 5000 bytes; expected a whole number of records of 3073 \
         bytes, at least one (an official file has 10000, 30730000 bytes): the file is truncated \
         or damaged, copy or download it again"
    );

    let mut bytes = record_file(4, 0);
    bytes[2 * 3073] = 200;
    fs::write(path.join("data_batch_3.bin"), bytes).unwrap();
    assert_eq!(
        refused(),
        "DIR/data_batch_3.bin: record 2 (from 0) has label 200; expected 0 to 9 (the file is \
         damaged or not in the CIFAR-10 binary layout)"
    );

    fs::remove_file(path.join("data_batch_3.bin")).unwrap();
    assert_eq!(
        refused(),
        "DIR: data_batch_3.bin is missing; expected it there or in cifar-10-batches-bin, plain \
         or as data_batch_3.bin.xz, or inside cifar-10-binary.tar.gz (the \"binary version\" of \
         CIFAR-10, not the Python one)"
    );

    fs::write(
        path.join("data_batch_3.bin.xz"),
        b"\xFD7zXZ\0 and then nothing",
    )
    .unwrap();
    let message = refused();
    assert!(
        message.starts_with("DIR/data_batch_3.bin.xz: cannot be unpacked: ")
            && message.ends_with("; the file is damaged or incomplete, copy or download it again"),
        "{message}"
    );
}

#[test]
fn a_truncated_archive_is_named() {
    let folder = tempdir().unwrap();
    write_archive(folder.path());
    let archive = folder.path().join("cifar-10-binary.tar.gz");
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let message = refusal(
        &cifar(folder.path()),
        &DatasetOptions::default(),
        folder.path(),
    );
    assert!(
        message.starts_with("DIR/cifar-10-binary.tar.gz: cannot be unpacked: "),
        "{message}"
    );
}

#[test]
fn a_folder_must_be_one() {
    let folder = tempdir().unwrap();
    let options = DatasetOptions::default();
    let nothing = folder.path().join("absent");
    assert_eq!(
        refusal(&cifar(&nothing), &options, folder.path()),
        "DIR/absent: expected a folder, found nothing"
    );
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(
        refusal(&cifar(&file), &options, folder.path()),
        "DIR/file: expected a folder, found a file"
    );
}
