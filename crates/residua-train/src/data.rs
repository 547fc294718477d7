//! The data of a run, checked and ready to be loaded.

use std::num::NonZeroUsize;

use residua_core::seed::SeedStream;
use residua_data::{
    Dataset, DatasetOptions, Fraction, LastBatch, Loader, LoaderOptions, Progress, Purpose, Source,
    SplitName, Transform, UnreadableImage, quarantine_unreadable,
};

use crate::config::TrainConfig;
use crate::error::TrainError;

/// Data that a configuration names, without the images that cannot be read.
#[derive(Debug)]
pub(crate) struct RunData {
    pub(crate) classes: Vec<String>,
    pub(crate) train: Loader,
    pub(crate) validation: Loader,
    pub(crate) validation_split: SplitName,
    pub(crate) quarantined: Vec<UnreadableImage>,
}

impl RunData {
    /// Opens and checks the data; writes nothing.
    pub(crate) fn open(
        config: &TrainConfig,
        workers: usize,
        on_progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self, TrainError> {
        let settings = |message: String| TrainError::Config(message);
        let fraction = config.validation_fraction.map(Fraction::new).transpose();
        let options = DatasetOptions {
            purpose: Purpose::Training,
            validation_fraction: fraction.map_err(|failure| settings(failure.to_string()))?,
            seed: config.seed,
        };
        let mut dataset = Dataset::open(&config.data, &options)?;
        let quarantined = quarantine_unreadable(&mut dataset, config.max_unreadable, on_progress)?;
        let batch_size = NonZeroUsize::new(config.batch_size)
            .ok_or_else(|| settings("batch_size is 0; expected at least 1".to_owned()))?;
        let transforms = (
            Transform::training(&config.preprocessing, config.augmentation),
            Transform::evaluation(&config.preprocessing),
        );
        let transforms = (
            transforms
                .0
                .map_err(|failure| settings(failure.to_string()))?,
            transforms
                .1
                .map_err(|failure| settings(failure.to_string()))?,
        );
        let train = LoaderOptions {
            last_batch: LastBatch::Keep,
            workers,
            ..LoaderOptions::training(batch_size, SeedStream::new(config.seed).child("data"))
        };
        let validation = LoaderOptions {
            workers,
            ..LoaderOptions::evaluation(batch_size)
        };
        let (validation_split, split) = dataset.evaluation()?;
        let train_split = dataset.require(SplitName::Train)?.clone();
        Ok(Self {
            classes: dataset.classes().to_vec(),
            train: Loader::new(train_split, transforms.0, train),
            validation: Loader::new(split.clone(), transforms.1, validation),
            validation_split,
            quarantined,
        })
    }

    /// A hash of which samples are trained and validated on, with their classes, in order.
    /// Files count by name: pixels are not looked at, and where the data lie does not matter.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = Fnv1a::default();
        for loader in [&self.train, &self.validation] {
            let samples = &loader.split().samples;
            hash.write(&samples.len().to_le_bytes());
            for sample in samples {
                hash.write(&sample.label.to_le_bytes());
                match &sample.source {
                    Source::File(path) => {
                        let name = path.file_name().unwrap_or_default();
                        hash.write(name.as_encoded_bytes());
                    }
                    Source::Record { record, .. } => hash.write(&record.to_le_bytes()),
                }
            }
        }
        hash.0
    }
}

/// The hash of Fowler, Noll and Vo: stable between versions of Rust, which the standard
/// library's is not.
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv1a {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
