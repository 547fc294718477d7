//! How fast networks are trained and evaluated.
//!
//! Measured is what trains ([`Learner`]) and what evaluates ([`Network::evaluate_in`]), on random
//! images that are in memory already: neither files nor augmentation are part of it.

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use residua_core::checkpointing::GradientCheckpointing;
use residua_core::precision::Precision;
use residua_core::seed::SeedStream;
use residua_data::HostBatch;
use residua_graph::catalog::{self, BuildOptions};
use residua_graph::{Graph, Shape};
use serde::{Deserialize, Serialize};

use crate::config::check_batch_memory;
use crate::error::TrainError;
use crate::learner::{Learner, LearnerSettings};
use crate::loss::LossConfig;
use crate::network::{Network, check_precision, host_values};
use crate::optimiser::OptimiserConfig;
use crate::quantile::{median, quantile};
use crate::schedule::Pace;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchmarkMode {
    /// Whole training steps: forward pass, loss, gradients, optimiser.
    Train,
    /// Logits from images.
    Infer,
}

/// One network under one load.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkCase {
    /// Catalog name of the network.
    pub model: String,
    /// What is measured.
    pub mode: BenchmarkMode,
    /// The format of feature maps.
    pub precision: Precision,
    /// What training steps keep for their reverse passes.
    pub checkpointing: GradientCheckpointing,
    /// Images at once; `None` for [`default_batch`].
    pub batch: Option<usize>,
    /// Height and width of the images; `None` for the network's own.
    pub size: Option<usize>,
}

/// How long is measured, and where.
#[derive(Debug, Clone)]
pub struct BenchmarkOptions {
    /// Steps before the first that counts; they fill buffers and caches.
    pub warmup: usize,
    /// Steps that count; `None` for as many as [`DEFAULT_SECONDS`] allow, but at least
    /// [`LEAST_STEPS`].
    pub steps: Option<usize>,
    /// Where it is computed.
    pub device: Device,
}

/// How long a case is measured unless a number of steps is given.
pub const DEFAULT_SECONDS: f64 = 8.0;

/// How many steps are measured at least unless a number of steps is given.
pub const LEAST_STEPS: usize = 5;

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Images of one step.
    pub batch: usize,
    /// Height and width of the images.
    pub size: [usize; 2],
    /// Floating point operations of one step, see [`operations`].
    pub operations: u64,
    /// Seconds of each step, in order.
    pub seconds: Vec<f64>,
}

impl Measurement {
    /// Median of the seconds of a step.
    pub fn median_seconds(&self) -> f64 {
        median(&self.seconds)
    }

    /// Seconds that a quarter of the steps did not need, and that a quarter exceeded.
    pub fn quartile_seconds(&self) -> [f64; 2] {
        [0.25, 0.75].map(|fraction| quantile(&self.seconds, fraction))
    }

    /// Images per second at the median.
    pub fn images_per_second(&self) -> f64 {
        self.batch as f64 / self.median_seconds().max(f64::MIN_POSITIVE)
    }

    /// Billions of floating point operations per second at the median.
    pub fn gflops(&self) -> f64 {
        self.operations as f64 / 1e9 / self.median_seconds().max(f64::MIN_POSITIVE)
    }
}

/// Floating point operations for one image, by the definition of the layers: two for each
/// multiply-accumulate of [`Graph::macs`].
///
/// Training counts every layer three times (result, gradient of its weights, gradient of its
/// input), less the gradient of the images, which nobody computes. Algorithms that need fewer
/// operations than the definition show as a higher rate.
pub fn operations(graph: &Graph, mode: BenchmarkMode) -> u64 {
    match mode {
        BenchmarkMode::Infer => 2 * graph.macs(),
        BenchmarkMode::Train => {
            let images = graph.ids().next();
            let reads_images = graph
                .ids()
                .filter(|id| graph.node(*id).inputs.first().copied() == images);
            let not_computed: u64 = reads_images.map(|id| graph.macs_of(id)).sum();
            2 * (3 * graph.macs() - not_computed)
        }
    }
}

/// Images at once unless somebody says otherwise: 128 of at most 32×32 pixels, 16 of larger ones.
pub fn default_batch(input: Shape) -> usize {
    let [height, width] = input.spatial();
    if height.max(width) <= 32 { 128 } else { 16 }
}

/// Measures a case. `on_step` is told how many steps are done, warm-up included.
///
/// # Errors
/// When the model is unknown, cannot take such images, or the device lacks the precision or gradient
/// checkpointing.
pub fn measure(
    case: &BenchmarkCase,
    options: &BenchmarkOptions,
    on_step: &mut dyn FnMut(usize),
) -> Result<Measurement, TrainError> {
    check_precision(case.precision, &options.device)?;
    let entry = catalog::find(&case.model)?;
    let channels = entry.input.channels();
    let graph = catalog::build(
        &case.model,
        &BuildOptions {
            input: case.size.map(|side| Shape::map(side, side, channels)),
            ..BuildOptions::default()
        },
    )?;
    let size = graph.input_shape().spatial();
    let batch = case
        .batch
        .unwrap_or_else(|| default_batch(graph.input_shape()));
    check_batch_memory(batch, [size[0], size[1], channels])?;
    let operations = batch as u64 * operations(&graph, case.mode);
    let images = random_batch(&graph, batch);
    let mut network = Network::initialise(graph, SeedStream::new(0), &options.device);
    let seconds = match case.mode {
        BenchmarkMode::Train => {
            network.set_precision(case.precision)?;
            network.set_checkpointing(case.checkpointing)?;
            let mut learner = Learner::new(network, LEARNING);
            repeat(options, on_step, |step| {
                let batch = images.clone();
                let begin = Instant::now();
                // Reading the loss waits for devices that work ahead.
                let learned = learner.learn(batch, Pace::rate(LEARNING_RATE), step as u64);
                learned.map_err(|divergence| TrainError::NonFiniteLoss {
                    loss: divergence.loss,
                    step: step as u64,
                    epoch: 1,
                    learning_rate: LEARNING_RATE,
                    place: divergence.place,
                    kept: "Nothing was written".to_owned(),
                })?;
                Ok(begin.elapsed().as_secs_f64())
            })?
        }
        BenchmarkMode::Infer => {
            let data = TensorData::new(images.images, images.shape);
            let images = Tensor::<4>::from_data(data, &options.device);
            repeat(options, on_step, |_| {
                let images = images.clone();
                let begin = Instant::now();
                host_values(&network.evaluate_in(case.precision, images)?);
                Ok(begin.elapsed().as_secs_f64())
            })?
        }
    };
    Ok(Measurement {
        batch,
        size,
        operations,
        seconds,
    })
}

/// Small, so that a network that learns random labels remains finite.
const LEARNING_RATE: f64 = 1e-3;

/// The defaults of training.
const LEARNING: LearnerSettings = LearnerSettings::new(
    LossConfig::CrossEntropy {
        label_smoothing: 0.0,
    },
    OptimiserConfig::sgd(LEARNING_RATE),
);

/// Seconds of the steps that count; `step` is given its number, counted from 1.
fn repeat(
    options: &BenchmarkOptions,
    on_step: &mut dyn FnMut(usize),
    mut step: impl FnMut(usize) -> Result<f64, TrainError>,
) -> Result<Vec<f64>, TrainError> {
    for number in 1..=options.warmup {
        step(number)?;
        on_step(number);
    }
    let mut seconds = Vec::new();
    let begin = Instant::now();
    let is_enough = |steps: usize| match options.steps {
        Some(wanted) => steps >= wanted,
        None => steps >= LEAST_STEPS && begin.elapsed().as_secs_f64() >= DEFAULT_SECONDS,
    };
    while !is_enough(seconds.len()) {
        let number = options.warmup + seconds.len() + 1;
        seconds.push(step(number)?);
        on_step(number);
    }
    Ok(seconds)
}

/// Normalised images of noise with random labels.
fn random_batch(graph: &Graph, batch: usize) -> HostBatch {
    let mut rng = SeedStream::new(0).child("benchmark").rng();
    let shape = graph.input_shape();
    let [height, width] = shape.spatial();
    let classes = graph.output_shape().channels() as u32;
    let images = (0..batch * shape.elements()).map(|_| rng.random_range(-2.0..2.0));
    let images = images.collect();
    HostBatch {
        epoch: 0,
        index: 0,
        shape: [batch, height, width, shape.channels()],
        images,
        labels: (0..batch).map(|_| rng.random_range(0..classes)).collect(),
        mixture: None,
        samples: (0..batch).collect(),
    }
}

/// The largest memory that the process has had so far, in bytes, of this and earlier measurements
/// together; `None` where the system does not say (it does on Linux).
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(mode: BenchmarkMode) -> BenchmarkCase {
        BenchmarkCase {
            model: "resnet8".to_owned(),
            mode,
            precision: Precision::F32,
            checkpointing: GradientCheckpointing::Off,
            batch: Some(2),
            size: Some(8),
        }
    }

    #[test]
    fn operations_are_those_of_the_definition() {
        let graph = catalog::build("resnet20", &BuildOptions::default()).unwrap();
        assert_eq!(operations(&graph, BenchmarkMode::Infer), 2 * 40_551_040);
        // The stem's 3×3×3×16 weights on 32×32 pixels.
        let stem = 32 * 32 * 27 * 16;
        assert_eq!(
            operations(&graph, BenchmarkMode::Train),
            2 * (3 * 40_551_040 - stem)
        );
    }

    #[test]
    fn the_steps_asked_for_are_measured() {
        for mode in [BenchmarkMode::Train, BenchmarkMode::Infer] {
            let options = BenchmarkOptions {
                warmup: 1,
                steps: Some(3),
                device: Device::flex(),
            };
            let mut told = Vec::new();
            let measured = measure(&case(mode), &options, &mut |step| told.push(step)).unwrap();
            assert_eq!(told, [1, 2, 3, 4]);
            assert_eq!(measured.seconds.len(), 3);
            assert_eq!((measured.batch, measured.size), (2, [8, 8]));
            assert!(measured.images_per_second() > 0.0 && measured.gflops() > 0.0);
            let [fast, slow] = measured.quartile_seconds();
            assert!(fast <= measured.median_seconds() && measured.median_seconds() <= slow);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn peak_memory_is_known() {
        let peak = peak_memory_bytes().unwrap();
        assert!((1 << 20..1 << 45).contains(&peak), "{peak}");
    }
}
