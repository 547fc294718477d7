//! The data of a run, checked and ready to be loaded.

use std::num::NonZeroUsize;

use residua_core::seed::SeedStream;
use residua_data::{
    Dataset, DatasetOptions, Fraction, HostBatch, LastBatch, Loader, LoaderOptions, Progress,
    Purpose, SplitName, Transform, UnreadableImage, quarantine_unreadable,
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
            epochs: Some(config.epochs),
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

    /// The first `count` validation images, or all if there are fewer.
    pub(crate) fn first_of_validation(&self, count: usize) -> Result<HostBatch, TrainError> {
        let batch_size = NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        let options = LoaderOptions::evaluation(batch_size);
        let loader = &self.validation;
        let loader = Loader::new(loader.split().clone(), loader.transform().clone(), options);
        match loader.epoch(0).next() {
            Some(batch) => Ok(batch?),
            None => Err(TrainError::Config(
                "there are no validation images".to_owned(),
            )),
        }
    }

    /// Identifies the images that are trained and validated on.
    pub(crate) fn fingerprint(&self) -> u64 {
        let of = |loader: &Loader| loader.split().fingerprint();
        of(&self.train) ^ of(&self.validation).rotate_left(1)
    }
}
