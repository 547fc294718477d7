//! Measures how long a batch of 128 augmented CIFAR images takes on one core, with the usual crops
//! and flips and with more:
//!
//! ```text
//! cargo run --release -p residua-data --example batch_speed
//! ```

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use residua_core::preprocessing::Preprocessing;
use residua_core::seed::SeedStream;
use residua_data::{
    Augmentation, DataSpec, Dataset, DatasetOptions, Loader, LoaderOptions, Mix, Policy, Split,
    SplitName, Transform,
};

const EPOCHS: u64 = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let opened = Instant::now();
    let dataset = Dataset::open(&DataSpec::Builtin, &DatasetOptions::default())?;
    println!("opened in {:.0} ms", opened.elapsed().as_secs_f64() * 1e3);

    let train = dataset.require(SplitName::Train)?;
    let rand_augment = Augmentation {
        policy: Policy::RandAugment {
            operations: 2,
            magnitude: 9,
            magnitude_deviation: 0.5,
        },
        ..Augmentation::CIFAR
    };
    let mixed = Augmentation {
        mix: Some(Mix {
            mixup_alpha: 0.8,
            cutmix_alpha: 1.0,
            ..Mix::default()
        }),
        ..Augmentation::CIFAR
    };
    measure("crops and flips", Augmentation::CIFAR, train)?;
    measure("with RandAugment", rand_augment, train)?;
    measure("with Mixup and CutMix", mixed, train)
}

fn measure(
    title: &str,
    augmentation: Augmentation,
    train: &Arc<Split>,
) -> Result<(), Box<dyn Error>> {
    let transform = Transform::training(&Preprocessing::cifar10(), augmentation)?;
    let batch_size = NonZeroUsize::new(128).ok_or("a batch needs images")?;
    let options = LoaderOptions {
        workers: 0,
        ..LoaderOptions::training(batch_size, SeedStream::new(1))
    };
    let loader = Loader::new(Arc::clone(train), transform, options);

    let mut milliseconds = Vec::new();
    for epoch in 0..EPOCHS {
        let mut batches = loader.epoch(epoch);
        loop {
            let started = Instant::now();
            let Some(batch) = batches.next() else { break };
            std::hint::black_box(batch?);
            milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    milliseconds.sort_by(f64::total_cmp);
    println!(
        "a batch of 128, {title}: median {:.3} ms, fastest {:.3} ms",
        milliseconds[milliseconds.len() / 2],
        milliseconds[0]
    );
    Ok(())
}
