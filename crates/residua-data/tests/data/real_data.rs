//! All of CIFAR-10, where it is at hand.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use residua_data::{DataSpec, Dataset, DatasetOptions, Purpose, Split, SplitName};

use crate::support::cifar;

fn cifar10() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cifar10");
    let folder = folder.is_dir().then_some(folder);
    if folder.is_none() {
        println!("skipped: CIFAR-10 is not at ../shared/data/cifar10 beside the workspace");
    }
    folder
}

fn images(split: &Split) -> HashSet<(u32, Vec<u8>)> {
    let samples = split.samples.iter();
    samples
        .map(|sample| (sample.label, sample.pixels().unwrap().rgb().to_vec()))
        .collect()
}

/// The test file only: unpacking all six takes longer than all other tests together.
#[test]
fn the_builtin_test_images_are_among_the_official_ones() {
    let Some(folder) = cifar10() else { return };
    let options = DatasetOptions {
        purpose: Purpose::Evaluation,
        ..DatasetOptions::default()
    };
    let official = Dataset::open(&cifar(&folder), &options).unwrap();
    let official = official.require(SplitName::Test).unwrap();
    assert_eq!(official.class_counts(10), [1_000; 10]);

    let builtin = Dataset::open(&DataSpec::Builtin, &DatasetOptions::default()).unwrap();
    let builtin = images(builtin.require(SplitName::Test).unwrap());
    assert_eq!(builtin.len(), 500);
    assert!(builtin.is_subset(&images(official)));
}
