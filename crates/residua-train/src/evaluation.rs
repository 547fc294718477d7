//! Evaluation and prediction: images in, logits out, off the tape.

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use residua_core::metrics::{
    Classification, ClassificationSummary, MetricError, check_finite, log_softmax, ranking,
};
use residua_data::{HostBatch, Loader};

use crate::error::TrainError;
use crate::network::{Network, host_values};

/// How good a network is on a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// All figures.
    pub summary: ClassificationSummary,
    /// What they are made of.
    pub outputs: SampleLogits,
    /// Seconds it took, loading included.
    pub seconds: f64,
}

/// What a network says of each sample of a split.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleLogits {
    /// `[N, classes]`.
    pub logits: Vec<f32>,
    /// The true classes, `[N]`.
    pub labels: Vec<u32>,
    /// Places in the split, `[N]`.
    pub samples: Vec<usize>,
}

/// Evaluates a network on all samples of a loader. `on_progress` is told how many images are
/// done.
///
/// # Errors
/// When an image cannot be read or the network's output is not finite.
pub fn evaluate(
    network: &Network,
    loader: &Loader,
    on_progress: &mut dyn FnMut(u64),
) -> Result<Evaluation, TrainError> {
    let started = Instant::now();
    let classes = network.graph().output_shape().channels();
    let mut results = Classification::new(classes);
    let mut outputs = SampleLogits::default();
    for batch in loader.epoch(0) {
        let batch = batch?;
        let labels = batch.labels.clone();
        let samples = batch.samples.clone();
        let logits = logits(network, batch);
        for ((row, label), sample) in logits.chunks(classes).zip(&labels).zip(&samples) {
            results
                .record(row, *label as usize)
                .map_err(|source| TrainError::Metric {
                    sample: loader.split().samples[*sample].source.to_string(),
                    source,
                })?;
        }
        outputs.logits.extend(logits);
        outputs.labels.extend(labels);
        outputs.samples.extend(samples);
        on_progress(results.images());
    }
    Ok(Evaluation {
        summary: results.summary(),
        outputs,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// A class and how probable the network holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedClass {
    /// Index of the class.
    pub class: usize,
    /// Softmax of its logit.
    pub probability: f64,
}

/// The `top` most probable classes of each image, most probable first; an error for an image
/// whose logits are not finite.
///
/// # Shapes
/// `images`: N images of `[H, W, C]`, one after the other, prepared for the network; N may be 0.
pub fn rank_classes(
    network: &Network,
    images: Vec<f32>,
    top: usize,
) -> Vec<Result<Vec<RankedClass>, MetricError>> {
    if images.is_empty() {
        return Vec::new();
    }
    let logits = host_values(&network.evaluate(image_tensor(network, images)));
    let classes = network.graph().output_shape().channels();
    let rank = |row: &[f32]| {
        check_finite(row)?;
        let probabilities = log_softmax(row);
        let best = ranking(row).into_iter().take(top);
        Ok(best
            .map(|class| RankedClass {
                class,
                probability: probabilities[class].exp(),
            })
            .collect())
    };
    logits.chunks(classes).map(rank).collect()
}

/// Prepared images on the network's device.
///
/// # Shapes
/// `images`: N images of `[H, W, C]`, one after the other; result `[N, H, W, C]`.
pub fn image_tensor(network: &Network, images: Vec<f32>) -> Tensor<4> {
    let shape = network.graph().input_shape();
    let ([height, width], channels) = (shape.spatial(), shape.channels());
    let count = images.len() / shape.elements();
    let data = TensorData::new(images, [count, height, width, channels]);
    Tensor::from_data(data, network.device())
}

fn logits(network: &Network, batch: HostBatch) -> Vec<f32> {
    host_values(&network.evaluate(images(network, batch)))
}

/// The images of a batch on the network's device, `[N, H, W, C]`.
pub(crate) fn images(network: &Network, batch: HostBatch) -> Tensor<4> {
    Tensor::from_data(TensorData::new(batch.images, batch.shape), network.device())
}
