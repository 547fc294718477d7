//! How good predictions are.
//!
//! Metrics are fractions between 0 and 1, computed in 64-bit arithmetic from the logits of
//! each sample, so a summary does not depend on how the samples were batched.
//!
//! | question | where |
//! | --- | --- |
//! | How often is the first guess right, and which classes are confused? | [`Classification`] |
//! | Does a confidence of 0.8 mean four right out of five? | [`calibration`], [`temperature`] |
//! | Does a higher score mean a likelier class? | [`mod@ranking`] |
//! | How far could the figure be off for a different sample of images? | [`bootstrap`] |
//! | What if an image has several labels at once? | [`multilabel`] |
//! | All of this for one set of predictions, with the worst mistakes? | [`judgement`] |
//! | How soon was a run good, and how much do seeds differ? | [`convergence`] |
//!
//! The functions below these modules take [`Predictions`]: scores `[samples, classes]` that were
//! checked once. A figure that has no value (no samples, a class without positives) is `None`; NaN
//! and infinities in the input are a [`MetricError`] that names the place, and never come out.

mod classification;
mod error;
mod one_versus_rest;
mod predictions;

pub mod bootstrap;
pub mod calibration;
pub mod convergence;
pub mod judgement;
pub mod multilabel;
pub mod probabilities;
pub mod ranking;
pub mod temperature;

pub use classification::{Average, ClassScore, Classification, ClassificationSummary};
pub use error::MetricError;
pub use predictions::Predictions;

/// The natural logarithms of the softmax of `logits`, in 64-bit arithmetic.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
    let sum: f64 = logits.iter().map(|&x| (x as f64 - largest).exp()).sum();
    let log_sum = largest + sum.ln();
    logits.iter().map(|&x| x as f64 - log_sum).collect()
}

/// The classes from the most to the least likely; among equals the lower index comes first.
pub fn ranking(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order
}

/// The most likely class; among equals the lowest index. `None` without logits.
pub fn most_likely(logits: &[f32]) -> Option<usize> {
    let classes = 0..logits.len();
    classes.reduce(|best, class| {
        if logits[class] > logits[best] {
            class
        } else {
            best
        }
    })
}

/// Refuses logits of which one is NaN or infinite.
///
/// # Errors
/// [`MetricError::NotFinite`] with the first of them.
pub fn check_finite(logits: &[f32]) -> Result<(), MetricError> {
    match logits.iter().position(|logit| !logit.is_finite()) {
        None => Ok(()),
        Some(class) => Err(MetricError::NotFinite {
            class,
            value: logits[class],
        }),
    }
}

/// The number, or `None` where it is NaN or infinite.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The mean of the values that are defined; `None` where none is.
fn mean_of_defined(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values
        .flatten()
        .fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
