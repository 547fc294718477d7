//! Evaluation and prediction: images in, logits out, off the tape.

mod views;

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use residua_core::metrics::judgement::{JudgedImages, Judgement};
use residua_core::metrics::multilabel::{LabelledImages, MultilabelEvaluation, MultilabelScores};
use residua_core::metrics::probabilities::{sigmoid, softmax};
use residua_core::metrics::{
    Classification, ClassificationSummary, MetricError, check_finite, ranking,
};
use residua_core::task::Measure;
use residua_data::{HostBatch, Labels, Loader, Split};

use crate::error::TrainError;
use crate::network::{Network, host_values};

use views::View;

pub use views::Views;

/// How good a network is on a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// All figures that need nothing else.
    pub summary: Summary,
    /// What they are made of.
    pub outputs: SampleLogits,
    /// Seconds it took, loading included.
    pub seconds: f64,
}

/// The figures of an evaluation, by what was asked about the images.
#[derive(Debug, Clone, PartialEq)]
pub enum Summary {
    /// Which class each image is of.
    SingleLabel(ClassificationSummary),
    /// Which classes each image shows.
    MultiLabel(MultilabelScores),
}

impl Summary {
    /// Number of images.
    pub fn images(&self) -> u64 {
        match self {
            Self::SingleLabel(summary) => summary.images,
            Self::MultiLabel(scores) => scores.images,
        }
    }

    /// Mean loss: cross entropy, or the binary one.
    pub fn loss(&self) -> f64 {
        match self {
            Self::SingleLabel(summary) => summary.loss,
            Self::MultiLabel(scores) => scores.loss,
        }
    }

    /// Share of the images that were recognised, or of the answers about classes that are right.
    pub fn accuracy(&self) -> f64 {
        match self {
            Self::SingleLabel(summary) => summary.accuracy,
            Self::MultiLabel(scores) => scores.accuracy,
        }
    }

    /// The mean area under the ROC curve, where images show any number of classes.
    pub fn roc_auc(&self) -> Option<f64> {
        match self {
            Self::SingleLabel(_) => None,
            Self::MultiLabel(scores) => Some(scores.score()),
        }
    }

    /// What [`Summary::score`] gives.
    pub fn measure(&self) -> Measure {
        match self {
            Self::SingleLabel(_) => Measure::Accuracy,
            Self::MultiLabel(_) => Measure::RocAuc,
        }
    }

    /// The figure by which networks are compared.
    pub fn score(&self) -> f64 {
        self.roc_auc().unwrap_or(self.accuracy())
    }
}

impl Evaluation {
    /// For each class the threshold with the highest F1 on these images.
    ///
    /// # Errors
    /// When a logit is not finite.
    pub fn best_thresholds(&self, classes: usize) -> Result<Vec<f32>, TrainError> {
        let truth = self.outputs.labels.truth(classes);
        let images = self.labelled(&truth, classes);
        images.best_thresholds().map_err(of_all_images)
    }

    /// Everything about images that show any number of classes, each predicted from its threshold on.
    ///
    /// # Errors
    /// When there is not a threshold for each class, or a logit is not finite.
    pub fn judge_labels(&self, thresholds: &[f32]) -> Result<MultilabelEvaluation, TrainError> {
        let truth = self.outputs.labels.truth(thresholds.len());
        let images = self.labelled(&truth, thresholds.len());
        images.evaluate(thresholds).map_err(of_all_images)
    }

    fn labelled<'a>(&'a self, truth: &'a [bool], classes: usize) -> LabelledImages<'a> {
        LabelledImages {
            logits: &self.outputs.logits,
            truth,
            classes,
        }
    }

    /// How far the figures can be trusted, and the most confident mistakes, where images have one class
    /// each.
    ///
    /// `classes` are the names in the order of the labels, and `split` the images that were evaluated.
    ///
    /// # Errors
    /// When a label names no class, or images show several.
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
        let Labels::Classes(labels) = labels else {
            return Err(TrainError::Config(
                "the images show any number of classes; expected one class for each image"
                    .to_owned(),
            ));
        };
        let judged = JudgedImages {
            classes,
            logits,
            labels,
        };
        let image = |index: usize| split.samples[samples[index]].source.to_string();
        Judgement::new(judged, image, most_mistakes).map_err(of_all_images)
    }
}

fn of_all_images(source: MetricError) -> TrainError {
    TrainError::Metric {
        sample: "the evaluated images".to_owned(),
        source,
    }
}

/// What a network says of each sample of a split.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleLogits {
    /// `[N, classes]`.
    pub logits: Vec<f32>,
    /// The true classes, N.
    pub labels: Labels,
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
    let (mut all_logits, mut samples) = (Vec::new(), Vec::new());
    let views = views.list();
    for batch in loader.epoch(0) {
        let batch = batch?;
        let logits = mean_logits(network, &batch, &views);
        for (row, sample) in logits.chunks(classes).zip(&batch.samples) {
            check_finite(row).map_err(|source| TrainError::Metric {
                sample: loader.split().samples[*sample].source.to_string(),
                source,
            })?;
        }
        all_logits.extend(logits);
        samples.extend(batch.samples);
        on_progress(samples.len() as u64);
    }
    let of_split = &loader.split().samples;
    let outputs = SampleLogits {
        logits: all_logits,
        labels: Labels::of(
            samples
                .iter()
                .map(|sample: &usize| &of_split[*sample].label),
        ),
        samples,
    };
    Ok(Evaluation {
        summary: summarise(&outputs, classes).map_err(of_all_images)?,
        outputs,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn summarise(outputs: &SampleLogits, classes: usize) -> Result<Summary, MetricError> {
    let Labels::Classes(labels) = &outputs.labels else {
        return Ok(Summary::MultiLabel(MultilabelScores::new(
            LabelledImages {
                logits: &outputs.logits,
                truth: &outputs.labels.truth(classes),
                classes,
            },
        )?));
    };
    let mut results = Classification::new(classes);
    for (row, label) in outputs.logits.chunks(classes).zip(labels) {
        results.record(row, *label as usize)?;
    }
    Ok(Summary::SingleLabel(results.summary()))
}

/// A class and how probable the network holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedClass {
    /// Index of the class.
    pub class: usize,
    /// Softmax of its logit, or the sigmoid where an image shows any number of classes.
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

/// The probability of each class of each image, where an image shows any number of them: the sigmoid of
/// its logit; an error for an image whose logits are not finite.
///
/// # Shapes
/// `images`: N images of `[H, W, C]`, one after the other, prepared for the network; N may be 0.
pub fn class_probabilities(
    network: &Network,
    images: Vec<f32>,
) -> Vec<Result<Vec<f32>, MetricError>> {
    if images.is_empty() {
        return Vec::new();
    }
    let logits = host_values(&network.evaluate(image_tensor(network, images)));
    let of = |row: &[f32]| {
        check_finite(row)?;
        Ok(row.iter().map(|logit| sigmoid(*logit) as f32).collect())
    };
    let classes = network.graph().output_shape().channels();
    logits.chunks(classes).map(of).collect()
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
