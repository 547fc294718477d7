//! Forward convolutions and input gradients: transform, 36 matrix products, transform back.

use super::transforms::{transform_input, transform_output};
use super::weights::TransformedWeights;
use super::{POSITIONS, REACH, TilePlace, UnitShape};
use crate::InstructionSet;
use crate::convolution::pack::Panel;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};

/// Convolves a unit's window `[image][row][column][in channel]` into `result`
/// `[image][row][column][out channel]`.
///
/// # Panics
/// If a length differs from the shape's, or the weights are of other channels or another set.
pub(in crate::convolution) fn correlate(
    set: InstructionSet,
    shape: &UnitShape,
    weights: &TransformedWeights,
    bias: Option<&[f32]>,
    window: &[f32],
    result: &mut [f32],
) {
    assert!(window.len() >= shape.window_length(), "window too short");
    assert_eq!(result.len(), shape.result_length(), "result");
    assert_eq!(
        (weights.source_channels, weights.target_channels),
        (shape.in_channels, shape.out_channels),
        "weights of other channels"
    );
    assert_eq!(weights.lanes, set.lanes(), "weights packed for another set");
    let tiles = shape.tiles();
    let source_stride = shape.in_channels.next_multiple_of(weights.lanes);
    let mut transformed = Scratch::uninitialised(POSITIONS * tiles * source_stride);
    transform_window(set, shape, window, source_stride, &mut transformed);
    let mut products = Scratch::uninitialised(POSITIONS * tiles * weights.padded_channels);
    multiply(
        set,
        tiles,
        source_stride,
        weights,
        &transformed,
        &mut products,
    );
    set.run(TransformBack {
        shape,
        padded_channels: weights.padded_channels,
        products: &products,
        bias,
        result,
    });
}

/// Transforms all tiles of a window to `[position][tile][stride]`; the numbers between the channels
/// and the stride are zeros.
///
/// # Panics
/// If a length is too short.
pub(super) fn transform_window(
    set: InstructionSet,
    shape: &UnitShape,
    window: &[f32],
    stride: usize,
    transformed: &mut [f32],
) {
    assert!(window.len() >= shape.window_length(), "window too short");
    assert!(
        stride >= shape.in_channels.next_multiple_of(set.lanes()),
        "stride"
    );
    assert_eq!(
        transformed.len(),
        POSITIONS * shape.tiles() * stride,
        "transformed tiles"
    );
    set.run(TransformWindow {
        shape,
        window,
        stride,
        transformed,
    });
}

struct TransformWindow<'a> {
    shape: &'a UnitShape,
    window: &'a [f32],
    stride: usize,
    transformed: &'a mut [f32],
}

impl Kernel for TransformWindow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.shape.in_channels;
        let row_stride = self.shape.window_columns() * channels;
        let position_stride = self.shape.tiles() * self.stride;
        let transformed = self.transformed.as_mut_ptr();
        let zero = simd.splat(0.0);
        for tile in 0..self.shape.tiles() {
            let first = self.shape.place(tile).window_pixel * channels;
            for channel in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - channel);
                let mut numbers = [[zero; REACH]; REACH];
                for (row, numbers) in numbers.iter_mut().enumerate() {
                    for (column, number) in numbers.iter_mut().enumerate() {
                        let offset = first + row * row_stride + column * channels + channel;
                        // SAFETY: the tile's 6×6 pixels lie within the window, whose length was
                        // checked, and `count` channels of each are there.
                        *number = unsafe {
                            let source = self.window.as_ptr().add(offset);
                            if count == S::LANES {
                                simd.load(source)
                            } else {
                                simd.load_first(count, source)
                            }
                        };
                    }
                }
                let positions = transform_input(simd, &numbers);
                let target = tile * self.stride + channel;
                for (position, &number) in positions.as_flattened().iter().enumerate() {
                    // SAFETY: tile and channel lie within the transformed tiles, whose length was
                    // checked; the stride has room for whole vectors.
                    unsafe {
                        simd.store(transformed.add(position * position_stride + target), number);
                    }
                }
            }
        }
    }
}

/// The matrix products of all positions: `[position][tile][source stride]` to
/// `[position][tile][padded channels]`.
pub(super) fn multiply(
    set: InstructionSet,
    tiles: usize,
    source_stride: usize,
    weights: &TransformedWeights,
    transformed: &[f32],
    products: &mut [f32],
) {
    set.run(Multiply {
        tiles,
        source_stride,
        weights,
        transformed,
        products,
    });
}

/// Tiles that a register tile of one vector of channels holds.
const MOST_ROWS: usize = 12;

/// The matrix products of all positions.
struct Multiply<'a> {
    tiles: usize,
    source_stride: usize,
    weights: &'a TransformedWeights,
    transformed: &'a [f32],
    products: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for position in 0..POSITIONS {
            for panel in &self.weights.panels {
                match panel.vectors {
                    1 => self.panel::<S, 1>(simd, position, panel),
                    2 if S::PANEL_VECTORS >= 2 => self.panel::<S, 2>(simd, position, panel),
                    3 if S::PANEL_VECTORS >= 3 => self.panel::<S, 3>(simd, position, panel),
                    4 if S::PANEL_VECTORS >= 4 => self.panel::<S, 4>(simd, position, panel),
                    vectors => unreachable!("a panel of {vectors} vectors is never planned"),
                }
            }
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn panel<S: Simd, const VECTORS: usize>(&mut self, simd: S, position: usize, panel: &Panel) {
        let most = (S::ACCUMULATORS / VECTORS).min(MOST_ROWS);
        let weights = self.weights.panel(position, panel);
        // Groups of nearly equal size.
        let groups = self.tiles.div_ceil(most);
        for group in 0..groups {
            let first = self.tiles * group / groups;
            let rows = self.tiles * (group + 1) / groups - first;
            let product = Product {
                first: position * self.tiles + first,
                channel: panel.first,
                weights,
            };
            match rows {
                1 => self.rows::<S, VECTORS, 1>(simd, product),
                2 => self.rows::<S, VECTORS, 2>(simd, product),
                3 => self.rows::<S, VECTORS, 3>(simd, product),
                4 => self.rows::<S, VECTORS, 4>(simd, product),
                5 => self.rows::<S, VECTORS, 5>(simd, product),
                6 => self.rows::<S, VECTORS, 6>(simd, product),
                7 => self.rows::<S, VECTORS, 7>(simd, product),
                8 => self.rows::<S, VECTORS, 8>(simd, product),
                9 => self.rows::<S, VECTORS, 9>(simd, product),
                10 => self.rows::<S, VECTORS, 10>(simd, product),
                11 => self.rows::<S, VECTORS, 11>(simd, product),
                _ => self.rows::<S, VECTORS, 12>(simd, product),
            }
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        product: Product<'_>,
    ) {
        let channels = self.weights.source_channels;
        let stride = self.source_stride;
        let source = &self.transformed[product.first * stride..][..ROWS * stride];
        let weights = &product.weights[..channels * VECTORS * S::LANES];
        let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
        for channel in 0..channels {
            let mut weight = [simd.splat(0.0); VECTORS];
            for (vector, weight) in weight.iter_mut().enumerate() {
                let offset = (channel * VECTORS + vector) * S::LANES;
                // SAFETY: within the weights, which were cut to all channels.
                *weight = unsafe { simd.load(weights.as_ptr().add(offset)) };
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: within the source, which was cut to these rows; a channel is below the
                // stride.
                let number = simd.splat(unsafe { *source.as_ptr().add(row * stride + channel) });
                for (sum, &weight) in sums.iter_mut().zip(&weight) {
                    *sum = simd.mul_add(number, weight, *sum);
                }
            }
        }
        let padded = self.weights.padded_channels;
        let target = &mut self.products[product.first * padded..][..ROWS * padded];
        assert!(
            product.channel + VECTORS * S::LANES <= padded,
            "panel beyond the channels"
        );
        for (row, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                let offset = row * padded + product.channel + vector * S::LANES;
                // SAFETY: within the target's rows, of which the panel is a part (just checked).
                unsafe { simd.store(target.as_mut_ptr().add(offset), sum) };
            }
        }
    }
}

/// Some rows of a position's product.
struct Product<'a> {
    /// The first row, counted over all positions.
    first: usize,
    /// The panel's first channel.
    channel: usize,
    weights: &'a [f32],
}

struct TransformBack<'a> {
    shape: &'a UnitShape,
    padded_channels: usize,
    products: &'a [f32],
    bias: Option<&'a [f32]>,
    result: &'a mut [f32],
}

impl Kernel for TransformBack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let shape = self.shape;
        for tile in 0..shape.tiles() {
            for channel in (0..shape.out_channels).step_by(S::LANES) {
                self.tile(simd, tile, shape.place(tile), channel);
            }
        }
    }
}

impl TransformBack<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&mut self, simd: S, tile: usize, place: TilePlace, channel: usize) {
        let channels = self.shape.out_channels;
        let count = S::LANES.min(channels - channel);
        let position_stride = self.shape.tiles() * self.padded_channels;
        let offset = tile * self.padded_channels + channel;
        assert!(
            (POSITIONS - 1) * position_stride + offset + S::LANES <= self.products.len(),
            "tile beyond the products"
        );
        let mut positions = [[simd.splat(0.0); REACH]; REACH];
        for (position, number) in positions.as_flattened_mut().iter_mut().enumerate() {
            let offset = position * position_stride + offset;
            // SAFETY: just checked for the last position.
            *number = unsafe { simd.load(self.products.as_ptr().add(offset)) };
        }
        let mut outputs = transform_output(simd, &positions);
        if let Some(bias) = self.bias {
            // SAFETY: the slice has `count` numbers.
            let bias = unsafe { simd.load_first(count, bias[channel..][..count].as_ptr()) };
            for output in outputs.as_flattened_mut() {
                *output = simd.add(*output, bias);
            }
        }
        let row_stride = self.shape.columns * channels;
        let first = place.first_pixel * channels + channel;
        let last = first + (place.rows - 1) * row_stride + (place.columns - 1) * channels + count;
        assert!(last <= self.result.len(), "tile beyond the result");
        let result = self.result.as_mut_ptr();
        if place.is_complete() && count == S::LANES {
            for (row, outputs) in outputs.iter().enumerate() {
                for (column, &output) in outputs.iter().enumerate() {
                    // SAFETY: up to the last vector just checked.
                    unsafe {
                        simd.store(
                            result.add(first + row * row_stride + column * channels),
                            output,
                        );
                    }
                }
            }
            return;
        }
        for (row, outputs) in outputs.iter().enumerate().take(place.rows) {
            for (column, &output) in outputs.iter().enumerate().take(place.columns) {
                // SAFETY: up to the last vector just checked.
                unsafe {
                    let target = result.add(first + row * row_stride + column * channels);
                    simd.store_first(count, target, output);
                }
            }
        }
    }
}
