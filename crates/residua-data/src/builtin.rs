//! The images that are part of the program.
//!
//! 2,000 training and 500 test images of CIFAR-10, 200 and 50 per class, in one
//! xz-compressed file of records in the official layout, training first. They were chosen
//! with a fixed seed by the example `make_builtin`, which can make the file again.

use std::path::{Path, PathBuf};

use crate::cifar::{CLASS_NAMES, RECORD_BYTES, append, parse_records, unpack_xz};
use crate::dataset::{Dataset, Inspection, Split, SplitName};
use crate::error::DataError;
use crate::layout::Layout;

/// Images in the training split.
pub const TRAIN_IMAGES: usize = 2_000;

/// Images in the test split.
pub const TEST_IMAGES: usize = 500;

static RECORDS: &[u8] = include_bytes!("../assets/builtin.bin.xz");

pub(crate) fn inspect() -> Inspection {
    let mut dataset = Dataset::new(
        "builtin",
        CLASS_NAMES.map(String::from).to_vec(),
        Layout::Files,
    );
    dataset.evaluate_on_test_without_validation();
    let problems = match read() {
        Ok([train, test]) => {
            dataset.set_split(SplitName::Train, train);
            dataset.set_split(SplitName::Test, test);
            Vec::new()
        }
        Err(problem) => vec![problem],
    };
    Inspection { dataset, problems }
}

fn read() -> Result<[Split; 2], DataError> {
    let bytes = unpack_xz(Path::new("builtin"), RECORDS)?;
    let train_bytes = TRAIN_IMAGES * RECORD_BYTES;
    let (train, test) = bytes.split_at(train_bytes.min(bytes.len()));
    Ok([
        read_split("builtin:train", train)?,
        read_split("builtin:test", test)?,
    ])
}

fn read_split(name: &str, bytes: &[u8]) -> Result<Split, DataError> {
    let path = PathBuf::from(name);
    let records = parse_records(&path, bytes)?;
    let mut split = Split::default();
    append(&mut split, path, records);
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_images_are_balanced_and_small() {
        let [train, test] = read().unwrap();
        assert_eq!((train.len(), test.len()), (TRAIN_IMAGES, TEST_IMAGES));
        assert_eq!(train.class_counts(10), [200; 10]);
        assert_eq!(test.class_counts(10), [50; 10]);
        assert!(RECORDS.len() <= 6_000_000, "{} bytes", RECORDS.len());
        assert_eq!(train.samples[17].source.to_string(), "builtin:train#17");
    }
}
