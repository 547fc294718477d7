//! Spreadsheets, NumPy archives and IDX files on the whole way from file to batch.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use residua_core::preprocessing::Preprocessing;
use residua_core::seed::SeedStream;
use residua_core::task::Task;
use residua_data::check::CheckOptions;
use residua_data::{
    Augmentation, DataSpec, Dataset, DatasetOptions, Labels, Loader, LoaderOptions, PictureReader,
    Progress, SplitName, Transform, check, quarantine_unreadable,
};
use tempfile::tempdir;

use crate::support::{picture, with_validation, write_class};

const SILENT: &(dyn Fn(Progress) + Sync) = &|_| ();

fn fixture() -> DataSpec {
    npz("numpy_arrays.npz")
}

fn npz(name: &str) -> DataSpec {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    DataSpec::Npz {
        file: fixtures.join(name),
    }
}

/// Every value of an array of the fixture (`numpy_arrays.py`).
fn remainders(count: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| index * 7_919 % (most + 1))
}

fn pixels(dataset: &Dataset, split: SplitName) -> Vec<u8> {
    let samples = &dataset.require(split).unwrap().samples;
    let images = samples
        .iter()
        .map(|sample| sample.pixels().unwrap().rgb().to_vec());
    images.flatten().collect()
}

fn labels(dataset: &Dataset, split: SplitName) -> Vec<u32> {
    let samples = &dataset.require(split).unwrap().samples;
    samples
        .iter()
        .map(|sample| sample.label.classes()[0])
        .collect()
}

#[test]
fn what_numpy_writes_is_read() {
    let dataset = Dataset::open(&fixture(), &DatasetOptions::default()).unwrap();
    let to_eight = |value: usize| (value as f64 / 257.0).round() as u8;
    let grey = |count| -> Vec<u8> {
        let values = remainders(count, 65_535).map(to_eight);
        values.flat_map(|value| [value; 3]).collect()
    };
    assert_eq!(pixels(&dataset, SplitName::Train), grey(6 * 20));
    assert_eq!(pixels(&dataset, SplitName::Test), grey(3 * 20));
    let colour: Vec<u8> = remainders(3 * 60, 255).map(|value| value as u8).collect();
    assert_eq!(pixels(&dataset, SplitName::Validation), colour);
    assert_eq!(labels(&dataset, SplitName::Train), [0, 1, 2, 2, 1, 0]);
    assert_eq!(labels(&dataset, SplitName::Validation), [2, 0, 1]);
    assert_eq!(labels(&dataset, SplitName::Test), [1, 0, 2]);
}

#[test]
fn what_numpy_writes_of_several_labels_is_read() {
    let spec = npz("numpy_indicators.npz");
    assert_eq!(spec.task(), Task::MultiLabel);
    let dataset = Dataset::open(&spec, &DatasetOptions::default()).unwrap();
    for (name, images) in SplitName::ALL.into_iter().zip([6, 3, 2]) {
        let split = dataset.require(name).unwrap();
        let labels = Labels::of(split.samples.iter().map(|sample| &sample.label));
        let expected = remainders(images * 14, 4).map(|remainder| remainder < 2);
        assert_eq!(labels.truth(14), expected.collect::<Vec<_>>(), "{name}");
    }

    let report = check(&spec, &CheckOptions::default(), SILENT);
    assert!(report.is_usable(), "{:?}", report.problems);
    assert_eq!((report.task, report.classes.len()), (Task::MultiLabel, 14));
    let train = report.splits[0].cardinality.unwrap();
    assert_eq!((train.none, train.mean, train.most), (0, 33.0 / 6.0, 6));
    // The images of the other splits are the first training images, with the same labels.
    assert_eq!((report.leakage.len(), report.label_conflicts()), (5, 0));
    assert_eq!(report.leakage[0].second.class, "0|4|5|9|10");
}

#[test]
fn arrays_are_checked_and_become_batches() {
    let report = check(&fixture(), &CheckOptions::default(), SILENT);
    assert!(report.is_usable(), "{:?}", report.problems);
    assert_eq!(report.classes, ["0", "1", "2"]);
    assert_eq!(report.splits.len(), 3);
    let sizes = report.splits[0].sizes.as_ref().unwrap();
    assert_eq!((sizes.smallest, sizes.different), ([4, 5], 1));
    // The test images are the first training images.
    assert_eq!(report.leakage.len(), 3);
    assert!(report.leakage[0].first.source.ends_with("train_images#0"));
    assert!(report.leakage[0].second.source.ends_with("test_images#0"));

    let mut dataset = Dataset::open(&fixture(), &DatasetOptions::default()).unwrap();
    let unreadable =
        quarantine_unreadable(&mut dataset, 0.0, &PictureReader::default(), SILENT).unwrap();
    assert!(unreadable.is_empty());
    let mut preprocessing = Preprocessing::cifar10();
    preprocessing.normalisation = preprocessing.normalisation.grey();
    let transform = Transform::training(&preprocessing, Augmentation::CIFAR).unwrap();
    let options = LoaderOptions::training(NonZeroUsize::new(3).unwrap(), SeedStream::new(1));
    let split = dataset.require(SplitName::Train).unwrap().clone();
    let batch = Loader::new(split, transform, options)
        .epoch(0)
        .next()
        .unwrap();
    assert_eq!(batch.unwrap().shape, [3, 32, 32, 1]);
}

#[test]
fn a_broken_image_of_a_spreadsheet_is_put_aside() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("scans"), 24, 1);
    fs::write(root.path().join("scans/005.png"), "not a png").unwrap();
    picture(20, 24, 1_000)
        .save(root.path().join("scans/twin.bmp"))
        .unwrap();
    let mut text = "Patient;Image;Class;Group\n".to_owned();
    for index in 0..24 {
        let class = ["ill", "well"][index % 2];
        text += &format!("x;scans/{index:03}.png;{class};{}\n", index / 3);
    }
    text += "x;scans/twin.bmp;well;9\n";
    let file = root.path().join("labels.csv");
    fs::write(&file, text).unwrap();
    let spec = DataSpec::Csv { file };

    let options = CheckOptions {
        has_validation_fraction: true,
        ..CheckOptions::default()
    };
    let report = check(&spec, &options, SILENT);
    assert!(report.is_usable(), "{:?}", report.problems);
    assert_eq!(report.classes, ["ill", "well"]);
    assert_eq!(report.unreadable.len(), 1);
    assert_eq!((report.duplicates.len(), report.label_conflicts()), (1, 1));
    let report = check(&spec, &CheckOptions::default(), SILENT);
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].contains("there is no validation split; add lines with val"));

    let mut dataset = Dataset::open(&spec, &with_validation(0.25)).unwrap();
    let unreadable =
        quarantine_unreadable(&mut dataset, 0.05, &PictureReader::default(), SILENT).unwrap();
    assert!(unreadable[0].path.ends_with("005.png"));
    let groups = |split: SplitName| -> Vec<u32> {
        let samples = &dataset.require(split).unwrap().samples;
        samples.iter().filter_map(|sample| sample.group).collect()
    };
    let (train, validation) = (groups(SplitName::Train), groups(SplitName::Validation));
    assert_eq!(train.len() + validation.len(), 24);
    assert!(validation.iter().all(|group| !train.contains(group)));
    assert!((4..=9).contains(&validation.len()), "{}", validation.len());
}

#[test]
fn problems_of_new_sources_are_all_listed() {
    let root = tempdir().unwrap();
    let file = root.path().join("labels.csv");
    fs::write(&file, "path,label\na.png,x\nb.png,\nc.png,y\na.png,y\n").unwrap();
    let report = check(&DataSpec::Csv { file }, &CheckOptions::default(), SILENT);
    assert_eq!(report.problems.len(), 3, "{:?}", report.problems);
    assert!(report.problems[0].contains("line 3: has no label"));
    assert!(report.problems[1].contains("line 5: a.png is labelled \"y\", but \"x\" in line 2"));
    assert!(report.problems[2].contains("2 of the images listed are missing"));

    let folder = root.path().join("absent");
    let report = check(&DataSpec::Idx { folder }, &CheckOptions::default(), SILENT);
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].ends_with("absent: expected a folder, found nothing"));
}
