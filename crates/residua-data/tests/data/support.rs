//! Small data sets made for a test.

use std::fs;
use std::path::Path;

use image::RgbImage;
use residua_data::{DataError, DataSpec, Dataset, DatasetOptions, Fraction, HoldOut};

/// The bytes of a CIFAR record file with `count` records: labels 0–9 in turn, pixels that
/// differ between records and between files.
pub(crate) fn record_file(count: usize, salt: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count * 3073);
    for record in 0..count {
        bytes.push((record % 10) as u8);
        bytes.extend((0..3072).map(|index| ((index * 31 + record * 7) as u8) ^ salt));
    }
    bytes
}

/// Name and content of the six files of a small CIFAR-10.
pub(crate) fn cifar_files() -> Vec<(String, Vec<u8>)> {
    let train = (1..=5).map(|batch| (format!("data_batch_{batch}.bin"), record_file(20, batch)));
    let test = ("test_batch.bin".to_owned(), record_file(10, 99));
    train.chain([test]).collect()
}

pub(crate) fn write_cifar(folder: &Path) {
    for (name, bytes) in cifar_files() {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// An image that differs for every `salt`.
pub(crate) fn picture(height: u32, width: u32, salt: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([
            (x * 9 + salt * 17) as u8,
            (y * 5 + salt) as u8,
            (x + y) as u8,
        ])
    })
}

/// Writes `count` pictures into a class folder.
pub(crate) fn write_class(folder: &Path, count: u32, salt: u32) {
    fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        let image = picture(20 + index % 3, 24, salt * 1_000 + index);
        image.save(folder.join(format!("{index:03}.png"))).unwrap();
    }
}

pub(crate) fn cifar(folder: &Path) -> DataSpec {
    DataSpec::Cifar10 {
        folder: folder.to_owned(),
    }
}

pub(crate) fn folder(folder: &Path) -> DataSpec {
    DataSpec::Folder {
        folder: folder.to_owned(),
    }
}

pub(crate) fn with_validation(fraction: f64) -> DatasetOptions {
    DatasetOptions {
        hold_out: Some(HoldOut::Fraction(Fraction::new(fraction).unwrap())),
        ..DatasetOptions::default()
    }
}

/// The message of the error with which data are refused, with `root` printed as `DIR`.
pub(crate) fn refusal(spec: &DataSpec, options: &DatasetOptions, root: &Path) -> String {
    let error: DataError = Dataset::open(spec, options).expect_err("accepted");
    assert!(error.is_bad_data());
    error
        .to_string()
        .replace(&root.display().to_string(), "DIR")
}
