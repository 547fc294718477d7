//! Two-dimensional convolution and its gradients.
//!
//! Images are `[N, H, W, C]`, weights `[out, in / groups, kernel height, kernel width]` as PyTorch
//! stores them. Every size is supported by the same code: any stride, padding, dilation and number
//! of groups. No patch matrix is made: register tiles read the image in place, or a zero-bordered
//! copy of the part at hand.
//!
//! The gradient of a bias is [`crate::reduce::channel_sums`] of the output gradient.

mod correlate;
mod correlation;
mod geometry;
mod pack;
mod plan;
mod tile;
mod weight_gradient;
mod winograd;

pub use geometry::{ConvolutionGeometry, ConvolutionSpec};

use crate::ShapeError;
use correlation::Correlation;

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
    ShapeError::check_length("input", input.len(), geometry.input_length())?;
    ShapeError::check_length("weight", weight.len(), geometry.weight_length())?;
    ShapeError::check_length("output", output.len(), geometry.output_length())?;
    if let Some(bias) = bias {
        ShapeError::check_length("bias", bias.len(), geometry.spec().out_channels)?;
    }
    correlate::correlate(Correlation::forward(geometry), input, weight, bias, output);
    Ok(())
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
    ShapeError::check_length(
        "output gradient",
        output_gradient.len(),
        geometry.output_length(),
    )?;
    ShapeError::check_length("weight", weight.len(), geometry.weight_length())?;
    ShapeError::check_length(
        "input gradient",
        input_gradient.len(),
        geometry.input_length(),
    )?;
    correlate::correlate(
        Correlation::input_gradient(geometry),
        output_gradient,
        weight,
        None,
        input_gradient,
    );
    Ok(())
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
    ShapeError::check_length("input", input.len(), geometry.input_length())?;
    ShapeError::check_length(
        "output gradient",
        output_gradient.len(),
        geometry.output_length(),
    )?;
    ShapeError::check_length(
        "weight gradient",
        weight_gradient.len(),
        geometry.weight_length(),
    )?;
    weight_gradient::weight_gradient(geometry, input, output_gradient, weight_gradient);
    Ok(())
}
