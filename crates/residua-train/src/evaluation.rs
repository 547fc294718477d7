//! Evaluation and prediction: images in, logits out, off the tape.

mod views;

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use residua_core::metrics::judgement::{JudgedImages, Judgement};
use residua_core::metrics::probabilities::softmax;
use residua_core::metrics::{
    Classification, ClassificationSummary, MetricError, check_finite, ranking,
};
use residua_data::{HostBatch, Loader, Split};

use crate::error::TrainError;
use crate::network::{Network, host_values};

use views::View;

pub use views::Views;

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

impl Evaluation {
    /// How far the figures can be trusted, and the most confident mistakes.
    ///
    /// `classes` are the names in the order of the labels, and `split` the images that were evaluated.
    ///
    /// # Errors
    /// When a label names no class.
    pub fn judge(
        &self,
        classes: &[String],
        split: &Split,
        most_mistakes: usize,
    ) -> Result<Judgement, TrainError> {
        let SampleLogits {
            logits,
            labels,
            samples,
        } = &self.outputs;
        let judged = JudgedImages {
            classes,
            logits,
            labels,
        };
        let image = |index: usize| split.samples[samples[index]].source.to_string();
        Judgement::new(judged, image, most_mistakes).map_err(|source| TrainError::Metric {
            sample: "the evaluated images".to_owned(),
            source,
        })
    }
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

/// Evaluates a network on all samples of a loader; the logits of an image are the means over its
/// views. `on_progress` is told how many images are done.
///
/// # Errors
/// When an image cannot be read or the network's output is not finite.
pub fn evaluate(
    network: &Network,
    loader: &Loader,
    views: Views,
    on_progress: &mut dyn FnMut(u64),
) -> Result<Evaluation, TrainError> {
    let started = Instant::now();
    let classes = network.graph().output_shape().channels();
    let mut results = Classification::new(classes);
    let mut outputs = SampleLogits::default();
    let views = views.list();
    for batch in loader.epoch(0) {
        let batch = batch?;
        let logits = mean_logits(network, &batch, &views);
        let HostBatch {
            labels, samples, ..
        } = batch;
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
/// whose logits are not finite. Logits are divided by `temperature` first (1 leaves them as they are;
/// [`residua_core::metrics::temperature`]).
///
/// # Shapes
/// `images`: N images of `[H, W, C]`, one after the other, prepared for the network; N may be 0.
pub fn rank_classes(
    network: &Network,
    images: Vec<f32>,
    top: usize,
    temperature: f64,
) -> Vec<Result<Vec<RankedClass>, MetricError>> {
    if images.is_empty() {
        return Vec::new();
    }
    let logits = host_values(&network.evaluate(image_tensor(network, images)));
    let classes = network.graph().output_shape().channels();
    let rank = |row: &[f32]| {
        check_finite(row)?;
        let probabilities = softmax(row, temperature)?;
        let best = ranking(row).into_iter().take(top);
        Ok(best
            .map(|class| RankedClass {
                class,
                probability: probabilities[class],
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

/// The means over all views.
fn mean_logits(network: &Network, batch: &HostBatch, views: &[View]) -> Vec<f32> {
    let mut sums: Vec<f64> = Vec::new();
    for view in views {
        let seen = logits(network, view.of(batch));
        sums.resize(seen.len(), 0.0);
        for (sum, logit) in sums.iter_mut().zip(seen) {
            *sum += f64::from(logit);
        }
    }
    let count = views.len() as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// The images of a batch on the network's device, `[N, H, W, C]`.
pub(crate) fn images(network: &Network, batch: HostBatch) -> Tensor<4> {
    Tensor::from_data(TensorData::new(batch.images, batch.shape), network.device())
}
