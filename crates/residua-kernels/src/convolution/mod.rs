//! Two-dimensional convolution and its gradients.
//!
//! Images are `[N, H, W, C]`, weights `[out, in / groups, kernel height, kernel width]` as PyTorch
//! stores them. Every size is supported: any stride, padding, dilation and number of groups. No patch
//! matrix is made: register tiles read a zero-bordered copy of the part of the image at hand, 3×3
//! kernels of stride 1 go through Winograd's minimal filtering, and convolutions of every channel by
//! itself have loops of their own.
//!
//! The gradient of a bias is [`crate::reduce::channel_sums`] of the output gradient.

mod correlation;
mod depthwise;
mod direct;
pub mod fused;
mod geometry;
mod gradient_operands;
mod gradient_plan;
mod gradient_sums;
mod gradient_tile;
mod pack;
mod plan;
mod pointwise;
#[cfg(test)]
mod tests;
mod tile;
mod units;
mod window;
mod winograd;
mod winograd_units;

pub use geometry::{ConvolutionGeometry, ConvolutionSpec};

use crate::ShapeError;
use crate::feature_map::{OutputGradient, Source};

/// Convolves `input` `[N, H, W, C]` into `output` `[N, H', W', K]`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn forward(
    geometry: &ConvolutionGeometry,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    let pass = fused::ForwardPass {
        source: Source::stored(input),
        weight,
        bias,
        output,
        keep: None,
        moments: false,
    };
    fused::forward(geometry, pass).map(|_| ())
}

/// The gradient with respect to the input, `[N, H, W, C]`, from that of the output, `[N, H', W',
/// K]`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn input_gradient(
    geometry: &ConvolutionGeometry,
    output_gradient: &[f32],
    weight: &[f32],
    input_gradient: &mut [f32],
) -> Result<(), ShapeError> {
    let pass = fused::InputGradientPass {
        gradient: OutputGradient::stored(output_gradient),
        weight,
        output: input_gradient,
        add_to_output: false,
        finish: None,
    };
    fused::input_gradient(geometry, pass).map(|_| ())
}

/// The gradient with respect to the weight, in its layout, from the input and the output gradient.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn weight_gradient(
    geometry: &ConvolutionGeometry,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) -> Result<(), ShapeError> {
    let pass = fused::WeightGradientPass {
        source: Source::stored(input),
        gradient: OutputGradient::stored(output_gradient),
        weight_gradient,
    };
    fused::weight_gradient(geometry, pass)
}
