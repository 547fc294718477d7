//! The fully connected layer: a pointwise convolution over the rows of a matrix.

use crate::ShapeError;
use crate::convolution::{self, ConvolutionGeometry, ConvolutionSpec};

/// The sizes of a linear layer, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearGeometry(ConvolutionGeometry);

impl LinearGeometry {
    /// A layer from `[rows, inputs]` to `[rows, outputs]`.
    ///
    /// # Errors
    /// If a size is zero or a matrix does not fit into memory.
    pub fn new(rows: usize, inputs: usize, outputs: usize) -> Result<Self, ShapeError> {
        ConvolutionGeometry::new(ConvolutionSpec {
            batch: rows,
            input: [1, 1],
            in_channels: inputs,
            out_channels: outputs,
            ..ConvolutionSpec::default()
        })
        .map(Self)
    }
}

/// `output = input · weightᵀ + bias` for `input` `[rows, inputs]` and `weight` `[outputs, inputs]`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn forward(
    geometry: &LinearGeometry,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    convolution::forward(&geometry.0, input, weight, bias, output)
}

/// `input_gradient = output_gradient · weight`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn input_gradient(
    geometry: &LinearGeometry,
    output_gradient: &[f32],
    weight: &[f32],
    input_gradient: &mut [f32],
) -> Result<(), ShapeError> {
    convolution::input_gradient(&geometry.0, output_gradient, weight, input_gradient)
}

/// `weight_gradient = output_gradientᵀ · input`; the bias gradient is
/// [`crate::reduce::channel_sums`].
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn weight_gradient(
    geometry: &LinearGeometry,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) -> Result<(), ShapeError> {
    convolution::weight_gradient(&geometry.0, input, output_gradient, weight_gradient)
}
