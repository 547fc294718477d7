//! Public checkpoints on CIFAR-10's test images, image for image as PyTorch classifies them.
//!
//! The data and the checkpoints are too large for this repository. The test looks for them in the
//! folder `shared` beside it, or where `RESIDUA_SHARED` says, and is skipped without them:
//! `data/cifar10` (the binary version), `weights/resnet20-12fca82f.th` and `resnet56-4bfd9763.th`
//! (pytorch_resnet_cifar10 by Y. Idelbayev).

use std::num::NonZeroUsize;
use std::path::PathBuf;

use burn::tensor::Device;
use residua_core::preprocessing::{Normalisation, Preprocessing};
use residua_data::{
    DataSpec, Dataset, DatasetOptions, Loader, LoaderOptions, Purpose, SplitName, Transform,
};
use residua_train::{PublishedWeights, load_published, rank_classes};

fn shared() -> PathBuf {
    std::env::var_os("RESIDUA_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    )
}

/// One digit for each test image: the class that PyTorch 2.15 gives it on the CPU.
fn predictions(text: &str) -> Vec<usize> {
    let digits = text.chars().filter_map(|digit| digit.to_digit(10));
    digits.map(|digit| digit as usize).collect()
}

/// The accuracy, and how many images are classified otherwise than by PyTorch.
fn check(model: &str, file: &str, expected: &str) -> Option<(f64, usize)> {
    let shared = shared();
    let (file, data) = (
        shared.join("weights").join(file),
        shared.join("data/cifar10"),
    );
    if !file.exists() || !data.exists() {
        println!(
            "skipped: {} or {} is not there",
            file.display(),
            data.display()
        );
        return None;
    }
    let weights = PublishedWeights {
        model,
        file: &file,
        classes: None,
        normalisation: Some(Normalisation::imagenet()),
        input_size: None,
    };
    let loaded = load_published(&weights, &Device::flex()).unwrap();
    let preprocessing = Preprocessing {
        normalisation: Normalisation::imagenet(),
        ..Preprocessing::cifar10()
    };
    let spec: DataSpec = format!("cifar10:{}", data.display()).parse().unwrap();
    let options = DatasetOptions {
        purpose: Purpose::Evaluation,
        ..DatasetOptions::default()
    };
    let dataset = Dataset::open(&spec, &options).unwrap();
    let test = dataset.require(SplitName::Test).unwrap().clone();
    let batch = NonZeroUsize::new(200).unwrap();
    let transform = Transform::evaluation(&preprocessing).unwrap();
    let loader = Loader::new(test, transform, LoaderOptions::evaluation(batch));
    let expected = predictions(expected);
    assert_eq!(expected.len(), 10_000);
    let (mut correct, mut different) = (0, 0);
    for batch in loader.epoch(0) {
        let batch = batch.unwrap();
        let ranked = rank_classes(&loaded.network, batch.images, 1, 1.0);
        for (place, (ranked, sample)) in ranked.iter().zip(&batch.samples).enumerate() {
            let class = ranked.as_ref().unwrap()[0].class;
            correct += usize::from([class as u32] == *batch.labels.shown(place));
            different += usize::from(class != expected[*sample]);
        }
    }
    Some((correct as f64 / 10_000.0, different))
}

#[test]
fn resnet20_classifies_every_image_as_pytorch_does() {
    let expected = include_str!("fixtures/resnet20_predictions.txt");
    if let Some(found) = check("resnet20", "resnet20-12fca82f.th", expected) {
        assert_eq!(found, (0.9173, 0));
    }
}

#[test]
fn resnet56_classifies_every_image_as_pytorch_does() {
    let expected = include_str!("fixtures/resnet56_predictions.txt");
    if let Some(found) = check("resnet56", "resnet56-4bfd9763.th", expected) {
        assert_eq!(found, (0.9339, 0));
    }
}
