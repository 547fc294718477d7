//! Real data sets, where they are at hand.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use residua_data::{DataSpec, Dataset, DatasetOptions, Purpose, Split, SplitName};

use crate::support::cifar;

/// Where a data set is, if it is there.
fn shared(place: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = Some(folder.join(place)).filter(|path| path.exists());
    if path.is_none() {
        println!("skipped: there is no ../shared/data/{place} beside the workspace");
    }
    path
}

fn images(split: &Split) -> HashSet<(u32, Vec<u8>)> {
    let samples = split.samples.iter();
    samples
        .map(|sample| {
            (
                sample.label.class().unwrap(),
                sample.pixels().unwrap().rgb().to_vec(),
            )
        })
        .collect()
}

/// The test file only: unpacking all six takes longer than all other tests together.
#[test]
fn the_builtin_test_images_are_among_the_official_ones() {
    let Some(folder) = shared("cifar10") else {
        return;
    };
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

/// Counts, sums of all pixels and sums of labels are NumPy's.
#[test]
fn pneumoniamnist_is_what_numpy_reads() {
    let Some(file) = shared("pneumoniamnist/pneumoniamnist.npz") else {
        return;
    };
    let dataset = Dataset::open(&DataSpec::Npz { file }, &DatasetOptions::default()).unwrap();
    assert_eq!(dataset.classes(), ["0", "1"]);
    for (split, counts, sum) in [
        (SplitName::Train, [388, 3_494], 447_494_718),
        (SplitName::Validation, [135, 389], 59_624_090),
        (SplitName::Test, [234, 390], 70_355_184),
    ] {
        let split = dataset.require(split).unwrap();
        assert_eq!(split.class_counts(2), counts);
        let mut total = 0;
        for sample in &split.samples {
            let pixels = sample.pixels().unwrap();
            assert_eq!((pixels.height(), pixels.width()), (28, 28));
            total += pixels
                .rgb()
                .iter()
                .map(|&value| u64::from(value))
                .sum::<u64>();
        }
        assert_eq!(total, 3 * sum);
    }
}
