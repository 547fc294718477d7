//! What training does to images, from the configuration to the batch.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use residua_core::preprocessing::Preprocessing;
use residua_core::seed::SeedStream;
use residua_data::{
    Augmentation, ColourJitter, DataSpec, Dataset, DatasetOptions, Erasing, ErasingFill, Flip,
    HostBatch, LastBatch, Loader, LoaderOptions, Mix, Policy, Split, SplitName, Transform,
};

fn number(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).unwrap()
}

/// Unpacked once for all tests.
fn split() -> Arc<Split> {
    static SPLIT: LazyLock<Arc<Split>> = LazyLock::new(|| {
        let dataset = Dataset::open(&DataSpec::Builtin, &DatasetOptions::default()).unwrap();
        Arc::clone(dataset.require(SplitName::Test).unwrap())
    });
    Arc::clone(&SPLIT)
}

fn loader(augmentation: Augmentation, change: impl FnOnce(&mut LoaderOptions)) -> Loader {
    let transform = Transform::training(&Preprocessing::cifar10(), augmentation).unwrap();
    let mut options = LoaderOptions {
        workers: 0,
        last_batch: LastBatch::Keep,
        ..LoaderOptions::training(number(96), SeedStream::new(7))
    };
    change(&mut options);
    Loader::new(split(), transform, options)
}

fn epoch(loader: &Loader, epoch: u64) -> Vec<HostBatch> {
    loader.epoch(epoch).map(Result::unwrap).collect()
}

/// Every image of some batches by its sample, in the order of appearance.
fn by_sample(batches: &[HostBatch]) -> BTreeMap<usize, Vec<Vec<f32>>> {
    let mut images: BTreeMap<usize, Vec<Vec<f32>>> = BTreeMap::new();
    for batch in batches {
        let pixels = batch.images.chunks_exact(32 * 32 * 3);
        for (&sample, image) in batch.samples.iter().zip(pixels) {
            images.entry(sample).or_default().push(image.to_vec());
        }
    }
    images
}

fn mirrored(image: &[f32]) -> Vec<f32> {
    let rows = image.chunks_exact(32 * 3);
    rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied())
        .collect()
}

fn everything() -> Augmentation {
    Augmentation {
        flip: Flip::Alternating,
        policy: Policy::RandAugment {
            operations: 2,
            magnitude: 9,
            magnitude_deviation: 0.5,
        },
        colour_jitter: Some(ColourJitter {
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.1,
        }),
        erasing: Erasing::Random {
            probability: 0.5,
            area: [0.02, 0.4],
            ratio: [0.3, 3.3],
            fill: ErasingFill::Noise,
        },
        mix: Some(Mix {
            mixup_alpha: 0.2,
            cutmix_alpha: 1.0,
            ..Mix::default()
        }),
        ..Augmentation::CIFAR
    }
}

#[test]
fn with_everything_batches_depend_neither_on_workers_nor_on_the_start() {
    let build = |workers| {
        loader(everything(), |options| {
            options.workers = workers;
            options.repeats = number(3);
        })
    };
    let expected = epoch(&build(0), 2);
    assert_eq!(expected.len(), 6);
    assert!(expected.iter().all(|batch| batch.mixture.is_some()));
    for workers in [1, 3] {
        assert!(epoch(&build(workers), 2) == expected, "{workers} workers");
    }
    for first in [1, 4, 6] {
        let rest: Vec<_> = build(2).epoch_from(2, first).map(Result::unwrap).collect();
        assert!(rest == expected[first..], "from {first}");
    }
}

#[test]
fn each_part_changes_the_images() {
    let all = everything();
    let parts = [
        Augmentation::NONE,
        Augmentation {
            flip: all.flip,
            ..Augmentation::NONE
        },
        Augmentation {
            policy: all.policy,
            ..Augmentation::NONE
        },
        Augmentation {
            colour_jitter: all.colour_jitter,
            ..Augmentation::NONE
        },
        Augmentation {
            erasing: all.erasing,
            ..Augmentation::NONE
        },
        Augmentation {
            mix: all.mix,
            ..Augmentation::NONE
        },
    ];
    let batches = parts.map(|part| epoch(&loader(part, |_| ()), 0).remove(0));
    for (index, batch) in batches.iter().enumerate() {
        let equal = batches.iter().filter(|other| other.images == batch.images);
        assert_eq!(equal.count(), 1, "{:?}", parts[index]);
        assert_eq!(batch.labels, batches[0].labels);
        assert_eq!(batch.mixture.is_some(), parts[index].mix.is_some());
    }
}

#[test]
fn alternating_flips_show_an_image_the_other_way_in_every_epoch() {
    let alternating = Augmentation {
        flip: Flip::Alternating,
        ..Augmentation::NONE
    };
    let plain = by_sample(&epoch(&loader(Augmentation::NONE, |_| ()), 0));
    let flipped = loader(alternating, |_| ());
    let mut mirrored_at_first = 0;
    let epochs = [0, 1, 2].map(|number| by_sample(&epoch(&flipped, number)));
    for (sample, images) in &plain {
        let [first, second, third] = epochs.each_ref().map(|epoch| &epoch[sample][0]);
        assert_eq!(&mirrored(first), second);
        assert_eq!(first, third);
        assert!(*first == images[0] || *second == images[0]);
        mirrored_at_first += usize::from(*second == images[0]);
    }
    assert!(
        (200..=300).contains(&mirrored_at_first),
        "{mirrored_at_first} of 500"
    );
}

#[test]
fn repeats_show_fewer_samples_more_often() {
    let repeated = loader(everything(), |options| options.repeats = number(3));
    assert_eq!(repeated.batches_per_epoch(), 6);
    assert_eq!(repeated.samples_per_epoch(), 500);
    let augmentation = Augmentation {
        mix: None,
        ..everything()
    };
    let repeated = loader(augmentation, |options| options.repeats = number(3));
    let once = by_sample(&epoch(&loader(augmentation, |_| ()), 4));
    let batches = epoch(&repeated, 4);
    assert_eq!(
        batches.iter().map(|batch| batch.shape[0]).sum::<usize>(),
        500
    );
    // 96 is a multiple of 3, so a sample does not cross batches.
    for batch in &batches[..5] {
        assert!(batch.samples.chunks(3).all(|three| three == [three[0]; 3]));
    }
    let images = by_sample(&batches);
    assert_eq!(images.len(), 167);
    for (sample, images) in &images {
        assert!(images.len() == 3 || images.len() == 2);
        assert_eq!(images[0], once[sample][0]);
        assert_ne!(images[0], images[1]);
    }
    let others = by_sample(&epoch(&repeated, 5));
    assert!(others.keys().ne(images.keys()));
}

#[test]
fn more_repeats_than_samples_show_one_sample() {
    let repeated = loader(Augmentation::CIFAR, |options| {
        options.repeats = number(9_999)
    });
    let images = by_sample(&epoch(&repeated, 0));
    assert_eq!(images.values().map(Vec::len).collect::<Vec<_>>(), [500]);
}

#[test]
fn mixed_batches_name_the_classes_of_their_partners_until_the_last_epochs() {
    let mix = Mix {
        mixup_alpha: 1.0,
        off_epochs: 2,
        ..Mix::default()
    };
    let augmentation = Augmentation {
        mix: Some(mix),
        ..Augmentation::CIFAR
    };
    let mixed = loader(augmentation, |options| options.epochs = Some(5));
    let plain = loader(Augmentation::CIFAR, |_| ());
    let mut shares = Vec::new();
    for (batch, plain) in epoch(&mixed, 2).iter().zip(&epoch(&plain, 2)) {
        let mixture = batch.mixture.as_ref().unwrap();
        let count = batch.labels.len();
        let is_reversed = |place: usize| {
            mixture.partner_labels.shown(place) == batch.labels.shown(count - 1 - place)
        };
        assert!((0..count).all(is_reversed));
        let share = mixture.shares[0];
        assert_eq!(mixture.shares, vec![share; batch.labels.len()]);
        let own = plain.images.chunks_exact(32 * 32 * 3);
        for ((image, own), partner) in batch
            .images
            .chunks_exact(32 * 32 * 3)
            .zip(own.clone())
            .zip(own.rev())
        {
            for ((value, own), partner) in image.iter().zip(own).zip(partner) {
                assert!((value - (share * own + (1.0 - share) * partner)).abs() < 1e-5);
            }
        }
        shares.push(share.to_bits());
    }
    shares.sort_unstable();
    shares.dedup();
    assert_eq!(shares.len(), 6);
    for last in [3, 4] {
        assert!(epoch(&mixed, last) == epoch(&plain, last));
    }
}

#[test]
fn grey_inputs_are_augmented_in_colour_first() {
    let grey = Preprocessing {
        normalisation: residua_core::preprocessing::Normalisation::new(vec![0.5], vec![0.25])
            .unwrap(),
        ..Preprocessing::cifar10()
    };
    let transform = Transform::training(&grey, everything()).unwrap();
    let options = LoaderOptions::training(number(50), SeedStream::new(1));
    for batch in Loader::new(split(), transform, options).epoch(0) {
        let batch = batch.unwrap();
        assert_eq!(batch.shape, [50, 32, 32, 1]);
        assert!(batch.images.iter().all(|value| value.is_finite()));
    }
}
