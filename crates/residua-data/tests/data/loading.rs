//! Batches: the same for any number of workers, from any start.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;

use residua_core::preprocessing::Preprocessing;
use residua_core::seed::SeedStream;
use residua_data::{
    Augmentation, DataError, DataSpec, Dataset, DatasetOptions, HostBatch, LastBatch, Loader,
    LoaderOptions, Order, Split, SplitName, Transform,
};
use tempfile::tempdir;

use crate::support::{folder, with_validation, write_class};

fn number(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).unwrap()
}

fn builtin(split: SplitName) -> Arc<Split> {
    let dataset = Dataset::open(&DataSpec::Builtin, &DatasetOptions::default()).unwrap();
    Arc::clone(dataset.require(split).unwrap())
}

fn training(split: Arc<Split>, workers: usize) -> Loader {
    let transform = Transform::training(&Preprocessing::cifar10(), Augmentation::CIFAR).unwrap();
    let options = LoaderOptions {
        workers,
        last_batch: LastBatch::Keep,
        ..LoaderOptions::training(number(96), SeedStream::new(7))
    };
    Loader::new(split, transform, options)
}

fn all(batches: impl Iterator<Item = Result<HostBatch, DataError>>) -> Vec<HostBatch> {
    batches.map(Result::unwrap).collect()
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let split = builtin(SplitName::Test);
    let expected = all(training(Arc::clone(&split), 0).epoch(3));
    assert_eq!(expected.len(), 6);
    for workers in 1..=3 {
        let batches = all(training(Arc::clone(&split), workers).epoch(3));
        assert!(batches == expected, "{workers} workers");
    }
}

#[test]
fn an_epoch_can_be_entered_at_any_batch() {
    let split = builtin(SplitName::Test);
    let expected = all(training(Arc::clone(&split), 0).epoch(1));
    for workers in [0, 2] {
        let loader = training(Arc::clone(&split), workers);
        for first in [0, 1, 4, 5, 6, 100] {
            let batches = all(loader.epoch_from(1, first));
            assert!(batches == expected[first.min(6)..], "from {first}");
        }
    }
}

#[test]
fn epochs_differ_and_each_shows_every_sample_once() {
    let loader = training(builtin(SplitName::Test), 1);
    let samples = |epoch: u64| {
        let batches = all(loader.epoch(epoch));
        batches
            .into_iter()
            .flat_map(|batch| batch.samples)
            .collect::<Vec<_>>()
    };
    let (first, second) = (samples(0), samples(1));
    assert_ne!(first, second);
    for mut order in [first, second] {
        order.sort();
        assert_eq!(order, (0..500).collect::<Vec<_>>());
    }
}

#[test]
fn labels_and_samples_belong_together() {
    let split = builtin(SplitName::Train);
    let loader = training(Arc::clone(&split), 1);
    for batch in all(loader.epoch(0)) {
        for (&label, &sample) in batch.labels.iter().zip(&batch.samples) {
            assert_eq!(label, split.samples[sample].label);
        }
        assert_eq!(batch.images.len(), batch.shape.iter().product::<usize>());
        assert_eq!(batch.labels.len(), batch.shape[0]);
    }
}

#[test]
fn the_last_batch_is_kept_or_dropped() {
    let split = builtin(SplitName::Test);
    let transform = Transform::evaluation(&Preprocessing::cifar10()).unwrap();
    let sizes = |last_batch: LastBatch| {
        let options = LoaderOptions {
            last_batch,
            ..LoaderOptions::evaluation(number(128))
        };
        let loader = Loader::new(Arc::clone(&split), transform.clone(), options);
        let sizes: Vec<usize> = all(loader.epoch(0))
            .iter()
            .map(|batch| batch.shape[0])
            .collect();
        assert_eq!(loader.batches_per_epoch(), sizes.len());
        assert_eq!(loader.samples_per_epoch(), sizes.iter().sum::<usize>());
        sizes
    };
    assert_eq!(sizes(LastBatch::Keep), [128, 128, 128, 116]);
    assert_eq!(sizes(LastBatch::Drop), [128, 128, 128]);
}

/// 150 images of the first class and 20 of the second.
fn skewed() -> Arc<Split> {
    let split = builtin(SplitName::Train);
    let of = |label: u32, count: usize| {
        let samples = split.samples.iter();
        let samples = samples.filter(move |sample| sample.label == label);
        samples.take(count).cloned()
    };
    Arc::new(Split {
        samples: of(0, 150).chain(of(1, 20)).collect(),
    })
}

fn balanced(workers: usize, repeats: usize) -> Loader {
    let transform = Transform::training(&Preprocessing::cifar10(), Augmentation::CIFAR).unwrap();
    let options = LoaderOptions {
        order: Order::Balanced,
        last_batch: LastBatch::Keep,
        repeats: number(repeats),
        ..LoaderOptions::training(number(32), SeedStream::new(7))
    };
    Loader::new(skewed(), transform, options.with_workers(workers))
}

#[test]
fn balanced_batches_depend_neither_on_workers_nor_on_the_start() {
    for repeats in [1, 3] {
        let expected = all(balanced(0, repeats).epoch(4));
        let sizes: Vec<usize> = expected.iter().map(|batch| batch.labels.len()).collect();
        assert_eq!(sizes, [32, 32, 32, 32, 32, 10]);
        assert!(all(balanced(2, repeats).epoch(4)) == expected);
        for first in [1, 3, 5] {
            let batches = all(balanced(1, repeats).epoch_from(4, first));
            assert!(batches == expected[first..], "from {first}");
        }
        let labels = expected.iter().flat_map(|batch| &batch.labels);
        let rare = labels.filter(|&&label| label == 1).count();
        // Half of the epoch, up to one image and its repeats.
        assert!((85 - repeats..=85 + repeats).contains(&rare), "{rare}");
    }
}

#[test]
fn an_image_that_is_shown_several_times_is_augmented_anew_each_time() {
    let batches = all(balanced(0, 1).epoch(0));
    // A padded crop has 81 places, and two of them mirrored: of 4 or 5, some may be equal.
    let mut different = 0;
    let mut shown = 0;
    for wanted in 150..170 {
        let mut crops = Vec::new();
        for batch in &batches {
            let images = batch.images.chunks_exact(32 * 32 * 3);
            let places = images.zip(&batch.samples);
            let own = places.filter(|&(_, &sample)| sample == wanted);
            crops.extend(own.map(|(image, _)| image.to_vec()));
        }
        shown += crops.len();
        crops.sort_by(|one, other| one.partial_cmp(other).unwrap());
        crops.dedup();
        different += crops.len();
    }
    assert_eq!(shown, 85);
    assert!(different > 75, "{different} of {shown}");
}

#[test]
fn evaluation_keeps_the_order_of_the_split() {
    let transform = Transform::evaluation(&Preprocessing::cifar10()).unwrap();
    let options = LoaderOptions::evaluation(number(64));
    assert_eq!(options.order, Order::Sequential);
    let loader = Loader::new(builtin(SplitName::Test), transform, options);
    let samples: Vec<usize> = loader
        .epoch(5)
        .flat_map(|batch| batch.unwrap().samples)
        .collect();
    assert_eq!(samples, (0..500).collect::<Vec<_>>());
}

/// If this fails, the same seed no longer gives the same training: restore what changed.
#[test]
fn the_first_batch_is_known() {
    let loader = training(builtin(SplitName::Train), 0);
    let batch = loader.epoch(0).next().unwrap().unwrap();
    assert_eq!(batch.samples[..6], [801, 446, 833, 598, 1584, 1942]);
    let bits = batch.images.iter().map(|value| value.to_bits());
    let sum = bits.fold(0_u64, |sum, bits| sum.rotate_left(5) ^ u64::from(bits));
    assert_eq!(sum, 7_735_258_044_071_911_393);
}

#[test]
fn an_abandoned_epoch_stops_its_workers() {
    let loader = training(builtin(SplitName::Test), 3);
    for taken in 0..4 {
        let mut batches = loader.epoch(0);
        for _ in 0..taken {
            batches.next().unwrap().unwrap();
        }
        drop(batches);
    }
}

#[test]
fn an_image_that_fails_later_is_an_error_and_not_the_end() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("cat"), 8, 1);
    write_class(&root.path().join("dog"), 8, 2);
    let dataset = Dataset::open(&folder(root.path()), &with_validation(0.25)).unwrap();
    let split = Arc::clone(dataset.require(SplitName::Train).unwrap());
    let lost = split.samples[5].source.to_string();
    fs::write(&lost, "overwritten").unwrap();

    for workers in [0, 2] {
        let transform = Transform::evaluation(&Preprocessing::cifar10()).unwrap();
        let options = LoaderOptions {
            workers,
            ..LoaderOptions::evaluation(number(4))
        };
        let loader = Loader::new(Arc::clone(&split), transform, options);
        let results: Vec<_> = loader.epoch(0).collect();
        assert_eq!(results.len(), 3);
        assert!(results[0].is_ok() && results[2].is_ok());
        assert_eq!(
            results[1].as_ref().unwrap_err().to_string(),
            format!("{lost}: unreadable image: not a JPEG, PNG, WebP, BMP or GIF image")
        );
    }
}
