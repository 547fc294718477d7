//! How fast images are loaded, without a network that waits for them.

use std::mem;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use residua_core::preprocessing::Preprocessing;
use residua_data::{
    DataError, Loader, PictureCache, PictureReader, Sample, Source, Split, SplitName,
};

use crate::config::TrainConfig;
use crate::data::{open_dataset, training_options, training_transform};
use crate::error::TrainError;
use crate::sampling::Sampling;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct LoadingBenchmark<'a> {
    /// With so many workers each, at least 1.
    pub workers: Vec<NonZeroUsize>,
    /// For about so long each.
    pub time: Duration,
    /// An empty folder for caches, which stay there. Without one no cache is measured, nor where the
    /// configuration reduces no pictures.
    pub cache: Option<&'a Path>,
}

/// Training images per second with a number of workers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LoadingSpeed {
    /// Threads that load.
    pub workers: usize,
    /// Only decoded; `None` where the pixels are in memory already.
    pub decoded: Option<f64>,
    /// Decoded, reduced, cropped, augmented and normalised, as training needs them.
    pub loaded: f64,
    /// The same, and put into a cache.
    pub cache_filled: Option<f64>,
    /// The same, out of a cache.
    pub cache_read: Option<f64>,
}

/// Fewer images than this say little of several workers.
const LEAST_IMAGES: usize = 16;

/// Measures how fast training images are loaded, for each number of workers in turn. `on_speed` is told
/// each as soon as it is known. Returns how many different images were loaded: the first ones that the
/// first epoch shows, as many as one worker decodes in the time of a figure. Images that cannot be read
/// are left out.
///
/// # Errors
/// When data or configuration cannot be used, or none of the images can be read.
pub fn measure_loading(
    config: &TrainConfig,
    benchmark: &LoadingBenchmark<'_>,
    on_speed: &mut dyn FnMut(LoadingSpeed),
) -> Result<usize, TrainError> {
    config.validate()?;
    let split = Arc::new(Split {
        samples: chosen(config, benchmark.time)?,
    });
    for &workers in &benchmark.workers {
        let case = Case {
            config,
            split: &split,
            workers,
            time: benchmark.time,
        };
        let caches = benchmark.cache.map(|parent| case.with_cache(parent));
        let [cache_filled, cache_read] = match caches.transpose()?.flatten() {
            Some(speeds) => speeds.map(Some),
            None => [None; 2],
        };
        on_speed(LoadingSpeed {
            workers: workers.get(),
            decoded: case.decoded()?,
            loaded: case.loaded(PictureReader::default(), case.time)?,
            cache_filled,
            cache_read,
        });
    }
    Ok(split.len())
}

/// The first images of the first epoch that can be read.
fn chosen(config: &TrainConfig, time: Duration) -> Result<Vec<Sample>, TrainError> {
    let dataset = open_dataset(config)?;
    let split = dataset.require(SplitName::Train)?;
    let options = training_options(config, NonZeroUsize::MIN)?;
    let loader = Loader::new(
        Arc::clone(split),
        training_transform(config, &config.preprocessing)?,
        options,
    );
    let mut is_chosen = vec![false; split.len()];
    let mut samples = Vec::new();
    let mut last_error = None;
    let began = Instant::now();
    for position in loader.order(0) {
        if mem::replace(&mut is_chosen[position], true) {
            continue;
        }
        let sample = &split.samples[position];
        if has_file(sample) {
            if samples.len() >= LEAST_IMAGES && began.elapsed() >= time {
                break;
            }
            if let Err(error) = sample.pixels() {
                last_error = Some(error);
                continue;
            }
        }
        samples.push(sample.clone());
    }
    match (samples.is_empty(), last_error) {
        (true, Some(error)) => Err(error.into()),
        (true, None) => Err(TrainError::Config(
            "there are no training images".to_owned(),
        )),
        (false, _) => Ok(samples),
    }
}

fn has_file(sample: &Sample) -> bool {
    matches!(sample.source, Source::File(_))
}

struct Case<'a> {
    config: &'a TrainConfig,
    split: &'a Arc<Split>,
    workers: NonZeroUsize,
    time: Duration,
}

impl Case<'_> {
    /// Images per second, only decoded.
    fn decoded(&self) -> Result<Option<f64>, TrainError> {
        let files: Vec<&Sample> = { self.split.samples.iter() }
            .filter(|sample| has_file(sample))
            .collect();
        if files.is_empty() {
            return Ok(None);
        }
        let speed = speed(self.time, || {
            self.decode_all(&files)?;
            Ok(files.len())
        })?;
        Ok(Some(speed))
    }

    fn decode_all(&self, files: &[&Sample]) -> Result<(), DataError> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), DataError> {
            while let Some(sample) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                sample.pixels()?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.workers.get()).map(|_| scope.spawn(work)).collect();
            // Decoders do not panic; a thread that did has decoded nothing more.
            let results = threads.into_iter().map(|thread| thread.join());
            results.filter_map(Result::ok).collect()
        })
    }

    /// Images per second, made into batches.
    fn loaded(&self, reader: PictureReader, time: Duration) -> Result<f64, TrainError> {
        self.loaded_by(self.config, reader, time)
    }

    fn loaded_by(
        &self,
        config: &TrainConfig,
        reader: PictureReader,
        time: Duration,
    ) -> Result<f64, TrainError> {
        // Small batches where there are few images, so that all workers have some.
        let shared = self.split.len() / (4 * self.workers.get());
        let batch_size = NonZeroUsize::new(shared.min(config.batch_size));
        let options = training_options(config, batch_size.unwrap_or(NonZeroUsize::MIN))?;
        let options = options.with_workers(self.workers.get());
        let transform = training_transform(config, &config.preprocessing)?;
        let loader = Loader::new(Arc::clone(self.split), transform, options).reading(reader);
        let mut epochs = 0..;
        speed(time, || {
            let batches = loader.epoch(epochs.next().unwrap_or_default());
            batches.map(|batch| Ok(batch?.labels.len())).sum()
        })
    }

    /// Images per second while a new cache is filled, and out of it.
    fn with_cache(&self, parent: &Path) -> Result<Option<[f64; 2]>, TrainError> {
        let Preprocessing { shorter_side, .. } = self.config.preprocessing;
        let has_files = self.split.samples.iter().any(has_file);
        if shorter_side.is_none() || !has_files {
            return Ok(None);
        }
        let cache = PictureCache::open(&parent.join(self.workers.to_string()))?;
        let reader = PictureReader::new(&self.config.preprocessing, Some(cache));
        // An epoch that shows each image once.
        let plain = TrainConfig {
            sampling: Sampling::Shuffled,
            repeats: 1,
            ..self.config.clone()
        };
        let filled = self.loaded_by(&plain, reader.clone(), Duration::ZERO)?;
        Ok(Some([filled, self.loaded(reader, self.time)?]))
    }
}

/// Work per second of something that is done at least once, and until the time is over.
fn speed(
    time: Duration,
    mut work: impl FnMut() -> Result<usize, TrainError>,
) -> Result<f64, TrainError> {
    let began = Instant::now();
    let mut done = 0;
    loop {
        done += work()?;
        let elapsed = began.elapsed();
        if elapsed >= time {
            return Ok(done as f64 / elapsed.as_secs_f64().max(1e-9));
        }
    }
}
