//! Direct sums in f64, and the calls in one piece.

use super::super::*;
use crate::InstructionSet;
use crate::convolution::units::Sums;

/// Pseudo-random numbers in [-1, 1), the same for the same seed.
pub(super) fn numbers(seed: u64, length: usize) -> Vec<f32> {
    let mut state = seed
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(0xD1B5_4A32_D192_ED03);
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Small integers, as many as `length`, from `-bound` to `bound`.
pub(super) fn integers(seed: u64, length: usize, bound: f32) -> Vec<f32> {
    numbers(seed, length)
        .into_iter()
        .map(|number| (number * (bound + 0.5)).round().clamp(-bound, bound))
        .collect()
}

/// Calls `product(window index, tap index, result index)` for every product of a unit; the tap
/// index is that of `[out, in, 3, 3]`.
pub(super) fn for_each_product(shape: &UnitShape, mut product: impl FnMut(usize, usize, usize)) {
    for image in 0..shape.images {
        for row in 0..shape.rows {
            for column in 0..shape.columns {
                let pixel = (image * shape.rows + row) * shape.columns + column;
                for tap in 0..9 {
                    let window_row = image * shape.window_rows() + row + tap / 3;
                    let window = window_row * shape.window_columns() + column + tap % 3;
                    for out in 0..shape.out_channels {
                        for channel in 0..shape.in_channels {
                            product(
                                window * shape.in_channels + channel,
                                (out * shape.in_channels + channel) * 9 + tap,
                                pixel * shape.out_channels + out,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// A sum in f64 together with the sum of the magnitudes.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) value: f64,
    pub(super) magnitude: f64,
}

impl Sum {
    fn add(&mut self, left: f32, right: f32) {
        let product = f64::from(left) * f64::from(right);
        self.value += product;
        self.magnitude += product.abs();
    }
}

/// The result of [`correlate`] from forward weights.
pub(super) fn direct_result(shape: &UnitShape, window: &[f32], weight: &[f32]) -> Vec<Sum> {
    let mut result = vec![Sum::default(); shape.result_length()];
    for_each_product(shape, |source, tap, target| {
        result[target].add(window[source], weight[tap]);
    });
    result
}

/// The weight gradient.
pub(super) fn direct_gradient(shape: &UnitShape, window: &[f32], gradient: &[f32]) -> Vec<Sum> {
    let mut result = vec![Sum::default(); shape.out_channels * shape.in_channels * 9];
    for_each_product(shape, |source, tap, target| {
        result[tap].add(window[source], gradient[target]);
    });
    result
}

/// The forward weights `[out, in, 3, 3]` of which the input gradient's are `weight`, that is, with
/// the taps reversed and the channels exchanged.
pub(super) fn exchanged(weight: &[f32], out_channels: usize, in_channels: usize) -> Vec<f32> {
    let mut exchanged = vec![0.0; weight.len()];
    for out in 0..out_channels {
        for channel in 0..in_channels {
            for tap in 0..9 {
                exchanged[(channel * out_channels + out) * 9 + 8 - tap] =
                    weight[(out * in_channels + channel) * 9 + tap];
            }
        }
    }
    exchanged
}

/// Transforms, accumulates in `calls` calls for ranges of positions, and finishes.
pub(super) fn whole_weight_gradient(
    set: InstructionSet,
    shape: &UnitShape,
    units: &[(UnitShape, &[f32], &[f32])],
    calls: usize,
) -> Vec<f32> {
    let operands: Vec<_> = units
        .iter()
        .map(|(shape, window, gradient)| {
            let mut windows = vec![f32::NAN; transformed_window_length(set, shape)];
            let mut gradients = vec![f32::NAN; transformed_gradient_length(set, shape)];
            transform_window(set, shape, window, &mut windows);
            transform_gradient(set, shape, gradient, &mut gradients);
            (shape.tiles(), windows, gradients)
        })
        .collect();
    let operands: Vec<_> = operands
        .iter()
        .map(|(tiles, window, gradient)| TransformedUnit {
            tiles: *tiles,
            window,
            gradient,
        })
        .collect();
    let (inputs, outputs) = (shape.in_channels, shape.out_channels);
    let mut sums = vec![f32::NAN; sums_length(set, inputs, outputs)];
    let position = sums.len() / 36;
    for call in 0..calls {
        let positions = 36 * call / calls..36 * (call + 1) / calls;
        let sums = &mut sums[positions.start * position..positions.end * position];
        accumulate(
            set,
            inputs,
            outputs,
            positions,
            &operands,
            sums,
            Sums::Begin,
        );
    }
    let mut gradient = vec![f32::NAN; outputs * inputs * 9];
    let block = set.lanes() * inputs * 9;
    for (index, rows) in gradient.chunks_mut(block).enumerate() {
        let first = index * set.lanes();
        finish_weight_gradient(set, inputs, outputs, &[&sums], first, rows);
    }
    gradient
}
