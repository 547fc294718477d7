//! Batches, made ahead of their consumer on worker threads.
//!
//! Batch `index` of epoch `epoch` depends on the seed, the epoch and the index alone. The
//! workers only decide how soon it is ready, so their number changes no result, and a run can
//! be resumed at any batch.

mod order;
mod queue;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use residua_core::seed::SeedStream;

use crate::augmentation::Mixture;
use crate::dataset::{Sample, Split};
use crate::error::DataError;
use crate::label::Labels;
use crate::panics::panic_message;
use crate::picture_reader::PictureReader;
use crate::transform::{Showing, Transform};
use queue::Workers;

pub use order::Order;

/// What becomes of a last batch with fewer samples than the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastBatch {
    /// It is delivered as it is.
    Keep,
    /// It is left out, so that all batches have the same size. A split with fewer samples
    /// than a batch has then no batches at all.
    Drop,
}

/// How a split is divided into batches, and how fast they are made.
#[derive(Debug, Clone, Copy)]
pub struct LoaderOptions {
    /// Samples in a batch.
    pub batch_size: NonZeroUsize,
    /// The order of the samples.
    pub order: Order,
    /// What becomes of an incomplete last batch.
    pub last_batch: LastBatch,
    /// How often a sample appears in an epoch, one time after the other and each time augmented
    /// anew (repeated augmentation: Hoffer et al. 2019, "Augment your batch: better training with
    /// larger batches"). An epoch has as many samples as the split for all that, as in timm's
    /// `RepeatAugSampler`: with 3 repeats it shows a third of them. With a batch size that
    /// the repeats divide, all repeats of a sample are in one batch.
    pub repeats: NonZeroUsize,
    /// The number of epochs in the run, if it is known: some augmentation ends before the run
    /// does ([`Mix::off_epochs`](crate::Mix::off_epochs)).
    pub epochs: Option<u64>,
    /// Where shuffling and augmentation take their randomness from.
    pub seed: SeedStream,
    /// Worker threads; with 0 every batch is made when it is asked for.
    pub workers: usize,
    /// How many batches may be ready or in work at a time: the bound on memory. There are never
    /// more workers than that.
    pub prefetch: NonZeroUsize,
}

impl LoaderOptions {
    /// Shuffled batches of one size for training, made by one worker, four batches ahead.
    pub fn training(batch_size: NonZeroUsize, seed: SeedStream) -> Self {
        Self {
            batch_size,
            order: Order::Shuffled,
            last_batch: LastBatch::Drop,
            repeats: NonZeroUsize::MIN,
            epochs: None,
            seed,
            workers: 1,
            prefetch: DEFAULT_PREFETCH,
        }
    }

    /// All samples in their order for evaluation, made by one worker, four batches ahead.
    pub fn evaluation(batch_size: NonZeroUsize) -> Self {
        Self {
            batch_size,
            order: Order::Sequential,
            last_batch: LastBatch::Keep,
            repeats: NonZeroUsize::MIN,
            epochs: None,
            seed: SeedStream::new(0),
            workers: 1,
            prefetch: DEFAULT_PREFETCH,
        }
    }

    /// The same with another number of workers, all of which have something to do: one batch more than
    /// there are workers may be under way.
    pub fn with_workers(self, workers: usize) -> Self {
        let needed = NonZeroUsize::MIN.saturating_add(workers);
        Self {
            workers,
            prefetch: DEFAULT_PREFETCH.max(needed),
            ..self
        }
    }
}

const DEFAULT_PREFETCH: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");

/// Images and labels of one batch, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Index of the batch in its epoch, from 0.
    pub index: usize,
    /// `[N, H, W, C]`.
    pub shape: [usize; 4],
    /// The normalised images, `[N, H, W, C]`.
    pub images: Vec<f32>,
    /// What each image is labelled with, N.
    pub labels: Labels,
    /// How much of each image is another, where the images of the batch are mixed.
    pub mixture: Option<Mixture>,
    /// N positions in [`Split::samples`], which say where each image comes from.
    pub samples: Vec<usize>,
}

/// Divides a split into batches.
///
/// Cloning is cheap; the samples are shared.
#[derive(Debug, Clone)]
pub struct Loader {
    split: Arc<Split>,
    transform: Arc<Transform>,
    reader: PictureReader,
    options: LoaderOptions,
}

impl Loader {
    /// A loader of the samples of `split`, treated by `transform`.
    pub fn new(split: Arc<Split>, transform: Transform, options: LoaderOptions) -> Self {
        Self {
            split,
            transform: Arc::new(transform),
            reader: PictureReader::default(),
            options,
        }
    }

    /// The same loader with another way to its pictures.
    pub fn reading(self, reader: PictureReader) -> Self {
        Self { reader, ..self }
    }

    /// The samples it loads.
    pub fn split(&self) -> &Arc<Split> {
        &self.split
    }

    /// How it treats images.
    pub fn transform(&self) -> &Transform {
        &self.transform
    }

    /// Its options.
    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// Number of batches in an epoch; 0 only for a split without samples, or with fewer than a
    /// batch if the last one is dropped.
    pub fn batches_per_epoch(&self) -> usize {
        let batch_size = self.options.batch_size.get();
        match self.options.last_batch {
            LastBatch::Keep => self.split.len().div_ceil(batch_size),
            LastBatch::Drop => self.split.len() / batch_size,
        }
    }

    /// Number of samples that an epoch delivers.
    pub fn samples_per_epoch(&self) -> usize {
        let whole_batches = self.batches_per_epoch() * self.options.batch_size.get();
        whole_batches.min(self.split.len())
    }

    /// All batches of an epoch, in order.
    pub fn epoch(&self, epoch: u64) -> EpochBatches {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch from batch `first` on: what an interrupted run still needs.
    pub fn epoch_from(&self, epoch: u64, first: usize) -> EpochBatches {
        let order = self.order(epoch);
        let maker = BatchMaker {
            shown_before: shown_before(&order, self.split.len()),
            order,
            seed: self.options.seed.child("augment").child_index(epoch),
            loader: self.clone(),
            epoch,
        };
        EpochBatches::start(maker, first)
    }

    /// The positions of the samples in the order in which this epoch shows them ([`Order`]), each as
    /// often as it is repeated.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let LoaderOptions {
            order,
            seed,
            repeats,
            ..
        } = self.options;
        let different = self.split.len().div_ceil(repeats.get());
        let order = order.positions(&self.split, different, seed, epoch);
        let places = 0..self.split.len();
        places.map(|place| order[place / repeats]).collect()
    }
}

/// Makes any batch of one epoch.
pub(crate) struct BatchMaker {
    loader: Loader,
    epoch: u64,
    order: Vec<usize>,
    /// How often the sample at each place of the order was shown in this epoch already.
    shown_before: Vec<u32>,
    seed: SeedStream,
}

fn shown_before(order: &[usize], samples: usize) -> Vec<u32> {
    let mut shown = vec![0; samples];
    let count = |&position: &usize| {
        shown[position] += 1;
        shown[position] - 1
    };
    order.iter().map(count).collect()
}

impl BatchMaker {
    fn make(&self, index: usize) -> Result<HostBatch, DataError> {
        let batch_size = self.loader.options.batch_size.get();
        let start = (index * batch_size).min(self.order.len());
        let end = (start + batch_size).min(self.order.len());
        let samples = self.order[start..end].to_vec();

        let [height, width, channels] = self.loader.transform.shape();
        let image_len = height * width * channels;
        let mut images = vec![0.0; samples.len() * image_len];
        let showings = samples.iter().zip(&self.shown_before[start..end]);
        for ((&position, &repeat), image) in showings.zip(images.chunks_exact_mut(image_len)) {
            let sample = &self.loader.split.samples[position];
            self.load_guarded(sample, repeat.into(), image)?;
        }
        let of_split = &self.loader.split.samples;
        let labels = Labels::of(samples.iter().map(|&position| &of_split[position].label));
        let shape = [samples.len(), height, width, channels];
        Ok(HostBatch {
            epoch: self.epoch,
            index,
            shape,
            mixture: self.mix(index, shape, &mut images, &labels),
            images,
            labels,
            samples,
        })
    }

    fn mix(
        &self,
        index: usize,
        shape: [usize; 4],
        images: &mut [f32],
        labels: &Labels,
    ) -> Option<Mixture> {
        let options = &self.loader.options;
        let mix = self.loader.transform.augmentation().mix?;
        if !mix.is_on(self.epoch, options.epochs) {
            return None;
        }
        let seed = options.seed.child("mix").child_index(self.epoch);
        let seed = seed.child_index(index as u64);
        mix.apply(images, shape, labels, &mut seed.rng())
    }

    /// A panic would end its worker in silence and leave the consumer waiting; so it becomes an
    /// error that names the sample.
    fn load_guarded(
        &self,
        sample: &Sample,
        repeat: u64,
        image: &mut [f32],
    ) -> Result<(), DataError> {
        let load = AssertUnwindSafe(|| self.load(sample, repeat, image));
        catch_unwind(load).unwrap_or_else(|panic| {
            Err(DataError::WorkerFailed {
                sample: sample.source.to_string(),
                reason: panic_message(&*panic),
            })
        })
    }

    fn load(&self, sample: &Sample, repeat: u64, image: &mut [f32]) -> Result<(), DataError> {
        let pixels = self.loader.reader.pixels(sample)?;
        let showing = self.showing(sample, repeat);
        let transformed = self.loader.transform.apply_into(&pixels, showing, image);
        transformed.map_err(|error| DataError::Unreadable {
            path: sample.source.to_string().into(),
            reason: error.to_string(),
        })
    }

    fn showing(&self, sample: &Sample, repeat: u64) -> Showing {
        let first = self.seed.child_index(sample.id);
        let image_seed = self.loader.options.seed.child("flip");
        Showing {
            // The first time needs no number, so that repeats leave it as it is without them.
            seed: match repeat {
                0 => first,
                _ => first.child("repeat").child_index(repeat),
            },
            image_seed: image_seed.child_index(sample.id),
            turn: self.epoch.wrapping_add(repeat),
        }
    }
}

/// The batches of one epoch, in order.
///
/// An item is an error if one of its images cannot be decoded any more; the batches after it
/// can still be had. Dropping the iterator stops the workers after the batches that they are
/// just making.
pub struct EpochBatches {
    maker: Arc<BatchMaker>,
    next: usize,
    end: usize,
    workers: Option<Workers>,
}

impl EpochBatches {
    fn start(maker: BatchMaker, first: usize) -> Self {
        let end = maker.loader.batches_per_epoch();
        let next = first.min(end);
        let maker = Arc::new(maker);
        let workers = Workers::start(&maker, next..end);
        Self {
            maker,
            next,
            end,
            workers,
        }
    }
}

impl Iterator for EpochBatches {
    type Item = Result<HostBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        let index = self.next;
        self.next += 1;
        Some(match &self.workers {
            Some(workers) => workers.take(index),
            None => self.maker.make(index),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for EpochBatches {}
