//! Batch normalisation (Ioffe and Szegedy 2015), fused with what follows it in a residual network.
//!
//! `y = activation((x − mean) / sqrt(variance + ε) · gamma + beta + residual)` for `x` `[..., C]`
//! and one mean, variance, gamma and beta per channel. Training takes one pass over `x` for the
//! statistics and one for the result; the backward pass takes one for the sums and one for the
//! gradient.

mod apply;
mod backward;
mod statistics;

pub use apply::{forward_inference, forward_train};
pub use backward::{Incoming, ParameterGradients, backward_inference, backward_train};
pub use statistics::{Statistics, statistics};

use crate::ShapeError;
use crate::reduce::check_channels;

/// The learned numbers of a normalisation layer.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// Scale of each channel.
    pub gamma: &'a [f32],
    /// Shift of each channel.
    pub beta: &'a [f32],
}

/// What follows the normalisation in the same pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// A tensor of the input's shape that is added before the activation.
    pub residual: Option<&'a [f32]>,
    /// The last step.
    pub activation: Activation,
}

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The number itself.
    #[default]
    Identity,
    /// Zero instead of negative numbers; NaN stays NaN.
    Relu,
}

/// Checks the slices that all passes share and returns the number of channels.
fn check_forward(
    input: &[f32],
    parameters: &Parameters<'_>,
    epilogue: &Epilogue<'_>,
    output: &[f32],
) -> Result<usize, ShapeError> {
    let channels = parameters.gamma.len();
    check_channels("input", input.len(), channels)?;
    ShapeError::check_length("beta", parameters.beta.len(), channels)?;
    ShapeError::check_length("output", output.len(), input.len())?;
    if let Some(residual) = epilogue.residual {
        ShapeError::check_length("residual", residual.len(), input.len())?;
    }
    Ok(channels)
}
