//! The data of a run, checked and ready to be loaded.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::Path;

use residua_core::preprocessing::Preprocessing;
use residua_core::seed::SeedStream;
use residua_core::setting::SettingError;
use residua_core::task::Task;
use residua_data::{
    Dataset, DatasetOptions, HostBatch, LastBatch, Loader, LoaderOptions, PictureCache,
    PictureReader, Progress, Purpose, Sample, Source, Split, SplitName, Transform, UnreadableImage,
    quarantine_unreadable,
};

use crate::config::{TrainConfig, check_batch_memory};
use crate::error::TrainError;

/// Data that a configuration names, without the images that cannot be read.
#[derive(Debug)]
pub(crate) struct RunData {
    pub(crate) task: Task,
    pub(crate) classes: Vec<String>,
    pub(crate) train: Loader,
    /// Of the first epochs: the same with smaller images, for each entry of `progressive_resizing`.
    smaller: Vec<Loader>,
    pub(crate) validation: Loader,
    pub(crate) validation_split: SplitName,
    pub(crate) pictures: PictureReader,
    pub(crate) quarantined: Vec<UnreadableImage>,
}

impl RunData {
    /// Opens and checks the data; writes nothing.
    pub(crate) fn open(
        config: &TrainConfig,
        workers: usize,
        cache: Option<&Path>,
        on_progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self, TrainError> {
        let mut dataset = open_dataset(config)?;
        let pictures = picture_reader(&config.preprocessing, cache, &dataset)?;
        let quarantined =
            quarantine_unreadable(&mut dataset, config.max_unreadable, &pictures, on_progress)?;
        let batch_size = NonZeroUsize::new(config.batch_size)
            .ok_or_else(|| settings("batch_size is 0; expected at least 1"))?;
        let transforms = (
            training_transform(config, &config.preprocessing)?,
            Transform::evaluation(&config.preprocessing).map_err(settings)?,
        );
        let train = training_options(config, batch_size)?.with_workers(workers);
        let validation = LoaderOptions::evaluation(batch_size).with_workers(workers);
        let (validation_split, split) = dataset.evaluation()?;
        check_ranking(
            dataset.task(),
            split,
            validation_split,
            dataset.classes().len(),
        )?;
        let train_split = dataset.require(SplitName::Train)?.clone();
        let loader = |transform| {
            Loader::new(train_split.clone(), transform, train).reading(pictures.clone())
        };
        let stages = config.progressive_resizing.iter();
        let smaller = stages.map(|stage| {
            let preprocessing = stage.preprocessing(&config.preprocessing);
            training_transform(config, &preprocessing).map(loader)
        });
        Ok(Self {
            smaller: smaller.collect::<Result<_, _>>()?,
            task: dataset.task(),
            classes: dataset.classes().to_vec(),
            train: loader(transforms.0),
            validation: Loader::new(split.clone(), transforms.1, validation)
                .reading(pictures.clone()),
            validation_split,
            pictures,
            quarantined,
        })
    }

    /// What an epoch of stage `stage` of `progressive_resizing` shows, or one after all of them.
    pub(crate) fn training(&self, stage: Option<usize>) -> &Loader {
        stage.map_or(&self.train, |stage| &self.smaller[stage])
    }

    /// The first `count` validation images, or all if there are fewer.
    pub(crate) fn first_of_validation(&self, count: usize) -> Result<HostBatch, TrainError> {
        self.first(&self.validation, self.validation.transform().clone(), count)
    }

    /// The first `count` training images of the first epoch, or all if there are fewer, as evaluation
    /// would see them.
    pub(crate) fn first_of_training(
        &self,
        preprocessing: &Preprocessing,
        count: usize,
    ) -> Result<HostBatch, TrainError> {
        let transform = Transform::evaluation(preprocessing).map_err(settings)?;
        self.first(&self.train, transform, count)
    }

    /// In the order of the loader's first epoch.
    fn first(
        &self,
        loader: &Loader,
        transform: Transform,
        count: usize,
    ) -> Result<HostBatch, TrainError> {
        let options = LoaderOptions {
            batch_size: NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN),
            last_batch: LastBatch::Keep,
            repeats: NonZeroUsize::MIN,
            workers: 0,
            ..*loader.options()
        };
        let loader = Loader::new(loader.split().clone(), transform, options);
        match loader.reading(self.pictures.clone()).epoch(0).next() {
            Some(batch) => Ok(batch?),
            None => Err(settings("there are no such images")),
        }
    }

    /// Identifies the images that are trained and validated on.
    pub(crate) fn fingerprint(&self) -> u64 {
        let of = |loader: &Loader| loader.split().fingerprint();
        of(&self.train) ^ of(&self.validation).rotate_left(1)
    }
}

/// The first `count` training images of an epoch, counted from 0, as a network would get them: cropped,
/// changed and mixed. None of the others is read.
///
/// # Errors
/// When data or configuration cannot be used, or one of the images cannot be read.
pub fn training_batch(
    config: &TrainConfig,
    epoch: u64,
    count: NonZeroUsize,
) -> Result<HostBatch, TrainError> {
    let Preprocessing { height, width, .. } = config.preprocessing;
    check_batch_memory(
        count.get(),
        [height, width, config.preprocessing.channels()],
    )?;
    let dataset = open_dataset(config)?;
    let split = dataset.require(SplitName::Train)?.clone();
    let options = training_options(config, count)?.with_workers(0);
    let transform = training_transform(config, &config.preprocessing_in(epoch))?;
    let loader = Loader::new(split, transform, options);
    match loader.epoch(epoch).next() {
        Some(batch) => Ok(batch?),
        None => Err(settings("there are no training images")),
    }
}

/// How a training loads its images, apart from the number of workers.
pub(crate) fn training_options(
    config: &TrainConfig,
    batch_size: NonZeroUsize,
) -> Result<LoaderOptions, TrainError> {
    let seed = SeedStream::new(config.seed).child("data");
    Ok(LoaderOptions {
        order: config.sampling.into(),
        last_batch: LastBatch::Keep,
        repeats: NonZeroUsize::new(config.repeats)
            .ok_or_else(|| settings("repeats is 0; expected at least 1"))?,
        epochs: Some(config.epochs),
        ..LoaderOptions::training(batch_size, seed)
    })
}

/// Reads pictures through the cache in a folder, if there is one; the folder is made if need be. Data in
/// memory need none.
///
/// # Errors
/// When the folder cannot be a cache, or the preprocessing reduces nothing that could be kept there.
pub fn picture_reader(
    preprocessing: &Preprocessing,
    cache: Option<&Path>,
    dataset: &Dataset,
) -> Result<PictureReader, TrainError> {
    let is_file = |sample: &Sample| matches!(sample.source, Source::File(_));
    let mut splits = dataset.splits();
    let has_files = splits.any(|(_, split)| split.samples.iter().any(is_file));
    let Some(folder) = cache.filter(|_| has_files) else {
        return Ok(PictureReader::default());
    };
    if preprocessing.shorter_side.is_none() {
        // Twice the input leaves random crops something to choose from.
        let twice = 2 * preprocessing.height.max(preprocessing.width);
        return Err(TrainError::CacheNeedsShorterSide {
            example: twice.max(preprocessing.covered_side()),
        });
    }
    let cache = PictureCache::open(folder)?;
    Ok(PictureReader::new(preprocessing, Some(cache)))
}

pub(crate) fn open_dataset(config: &TrainConfig) -> Result<Dataset, TrainError> {
    let options = DatasetOptions {
        purpose: Purpose::Training,
        hold_out: config.hold_out()?,
        seed: config.seed,
    };
    Dataset::open(&config.data, &options).map_err(|error| {
        let key = match (config.fold, config.validation_fraction) {
            (Some(_), _) => "fold",
            (None, Some(_)) => "validation_fraction",
            (None, None) => return error.into(),
        };
        match error.concerns_hold_out() {
            true => SettingError::new(key, format!("cannot be used: {error}")).into(),
            false => error.into(),
        }
    })
}

/// Epochs are compared by how well classes rank the images, which takes images with and without one.
fn check_ranking(
    task: Task,
    validation: &Split,
    name: SplitName,
    classes: usize,
) -> Result<(), TrainError> {
    let counts = validation.class_counts(classes);
    let can_rank = |with: &usize| *with > 0 && *with < validation.len();
    if task == Task::SingleLabel || counts.iter().any(can_rank) {
        return Ok(());
    }
    Err(settings(format!(
        "no class has {name} images with it and without it, so that epochs could not be compared; \
         expected both of at least one class: put more images into that split"
    )))
}

pub(crate) fn training_transform(
    config: &TrainConfig,
    preprocessing: &Preprocessing,
) -> Result<Transform, TrainError> {
    Transform::training(preprocessing, config.augmentation).map_err(settings)
}

fn settings(reason: impl Display) -> TrainError {
    TrainError::Config(reason.to_string())
}

#[cfg(test)]
mod tests {
    use residua_data::DataSpec;

    use super::*;
    use crate::progressive_resizing::SmallerImages;

    #[test]
    fn the_first_epochs_show_smaller_images_and_validation_does_not() {
        let config = TrainConfig {
            progressive_resizing: vec![SmallerImages {
                scale: 0.625,
                epochs: 1,
            }],
            ..TrainConfig::for_data(DataSpec::Builtin)
        };
        let data = RunData::open(&config, 0, None, &|_| {}).unwrap();
        let shape = |loader: &Loader| loader.epoch(0).next().unwrap().unwrap().shape;
        assert_eq!(shape(data.training(Some(0))), [32, 20, 20, 3]);
        assert_eq!(shape(data.training(None)), [32, 32, 32, 3]);
        assert_eq!(shape(&data.validation), [32, 32, 32, 3]);
        let count = NonZeroUsize::new(3).unwrap();
        for (epoch, side) in [(0, 20), (1, 32)] {
            let batch = training_batch(&config, epoch, count).unwrap();
            assert_eq!(batch.shape, [3, side, side, 3]);
        }
    }
}
