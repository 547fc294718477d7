//! Weight gradients: transform both operands, 36 matrix products summed over tiles, transform back.

use rayon::prelude::*;

use super::correlate::transform_window;
use super::transforms::{transform_gradient, transform_weight_gradient};
use super::weights::MOST_LANES;
use super::{POSITIONS, REACH, TILE, TilePlace, UnitShape};
use crate::InstructionSet;
use crate::convolution::pack::{Panel, panels};
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};

/// Vectors of output channels in a register tile.
const TILE_VECTORS: usize = 2;
/// Input channels in a register tile at most.
const MOST_STEPS: usize = 12;

/// The layout of the sums, `[position][panel][in channel][vectors * lanes]`.
pub(in crate::convolution) struct ProductPlan {
    in_channels: usize,
    out_channels: usize,
    /// From one tile of the transformed window to the next.
    source_stride: usize,
    padded_channels: usize,
    panels: Vec<Panel>,
    lanes: usize,
}

/// Both operands of a unit.
pub(in crate::convolution) struct TransformedTiles {
    tiles: usize,
    /// `[position][tile][source stride]`.
    window: Scratch,
    /// `[position][tile][padded channels]`.
    gradient: Scratch,
}

impl ProductPlan {
    pub(in crate::convolution) fn new(in_channels: usize, out_channels: usize) -> Self {
        let set = InstructionSet::current();
        let lanes = set.lanes();
        Self {
            in_channels,
            out_channels,
            source_stride: in_channels.next_multiple_of(lanes),
            padded_channels: out_channels.next_multiple_of(lanes),
            panels: panels(out_channels, lanes, TILE_VECTORS),
            lanes,
        }
    }

    fn position_length(&self) -> usize {
        self.in_channels * self.padded_channels
    }

    /// Numbers of the sums.
    pub(in crate::convolution) fn sums_length(&self) -> usize {
        POSITIONS * self.position_length()
    }

    /// Transforms a unit's window and its output gradients `[image][row][column][out channel]`.
    ///
    /// # Panics
    /// If a length differs from the shape's.
    pub(in crate::convolution) fn transform(
        &self,
        set: InstructionSet,
        shape: &UnitShape,
        window: &[f32],
        gradients: &[f32],
    ) -> TransformedTiles {
        assert_eq!(gradients.len(), shape.result_length(), "output gradients");
        assert_eq!(self.lanes, set.lanes(), "planned for another set");
        let tiles = shape.tiles();
        let mut operands = TransformedTiles {
            tiles,
            window: Scratch::uninitialised(POSITIONS * tiles * self.source_stride),
            gradient: Scratch::uninitialised(POSITIONS * tiles * self.padded_channels),
        };
        transform_window(set, shape, window, self.source_stride, &mut operands.window);
        set.run(TransformGradients {
            shape,
            padded_channels: self.padded_channels,
            gradients,
            transformed: &mut operands.gradient,
        });
        operands
    }

    /// Adds the products of a unit's tiles to the sums of the positions that belong to the share.
    ///
    /// # Safety
    /// No other thread may access the same share of the sums meanwhile.
    pub(in crate::convolution) unsafe fn add(
        &self,
        set: InstructionSet,
        operands: &TransformedTiles,
        share: usize,
        shares: usize,
        sums: &DisjointWriter<'_>,
    ) {
        // Positions and, where there are more shares, panels.
        let units = POSITIONS * self.panels.len();
        for unit in units * share / shares..units * (share + 1) / shares {
            let (position, panel) = (unit / self.panels.len(), unit % self.panels.len());
            let panel = &self.panels[panel];
            let width = panel.vectors * self.lanes;
            let first = position * self.position_length() + panel.first * self.in_channels;
            // SAFETY: units of different shares have different sums, and the caller promises that
            // nobody else has this share.
            let sums = unsafe { sums.slice(first, self.in_channels * width) };
            set.run(AddProducts {
                plan: self,
                operands,
                position,
                panel,
                sums,
            });
        }
    }

    /// Adds the parts in their order and transforms them to PyTorch's `[out, in, 3, 3]`.
    ///
    /// # Panics
    /// If a length is wrong, or there is no part.
    pub(in crate::convolution) fn finish(&self, parts: &[&[f32]], weight_gradient: &mut [f32]) {
        let length = self.out_channels * self.in_channels * 9;
        assert_eq!(weight_gradient.len(), length, "weight gradient");
        assert!(!parts.is_empty(), "no partial sums");
        for part in parts {
            assert_eq!(part.len(), self.sums_length(), "partial sums");
        }
        let set = InstructionSet::current();
        assert_eq!(self.lanes, set.lanes(), "planned for another set");
        let rows = self.in_channels * 9;
        // A vector of output channels at a time.
        weight_gradient
            .par_chunks_mut(self.lanes * rows)
            .enumerate()
            .for_each(|(vector, target)| {
                set.run(Finish {
                    plan: self,
                    parts,
                    first: vector * self.lanes,
                    target,
                });
            });
    }
}

struct TransformGradients<'a> {
    shape: &'a UnitShape,
    padded_channels: usize,
    gradients: &'a [f32],
    transformed: &'a mut [f32],
}

impl Kernel for TransformGradients<'_> {
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

impl TransformGradients<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&mut self, simd: S, tile: usize, place: TilePlace, channel: usize) {
        let channels = self.shape.out_channels;
        let count = S::LANES.min(channels - channel);
        let row_stride = self.shape.columns * channels;
        let first = place.first_pixel * channels + channel;
        let last = first + (place.rows - 1) * row_stride + (place.columns - 1) * channels + count;
        assert!(last <= self.gradients.len(), "tile beyond the gradients");
        let complete = place.is_complete() && count == S::LANES;
        let mut outputs = [[simd.splat(0.0); TILE]; TILE];
        for (row, outputs) in outputs.iter_mut().enumerate().take(place.rows) {
            for (column, output) in outputs.iter_mut().enumerate().take(place.columns) {
                let offset = first + row * row_stride + column * channels;
                // SAFETY: up to the last vector just checked.
                *output = unsafe {
                    let source = self.gradients.as_ptr().add(offset);
                    if complete {
                        simd.load(source)
                    } else {
                        simd.load_first(count, source)
                    }
                };
            }
        }
        let positions = transform_gradient(simd, &outputs);
        let position_stride = self.shape.tiles() * self.padded_channels;
        let target = tile * self.padded_channels + channel;
        assert!(
            (POSITIONS - 1) * position_stride + target + S::LANES <= self.transformed.len(),
            "tile beyond the transformed gradients"
        );
        let transformed = self.transformed.as_mut_ptr();
        for (position, &number) in positions.as_flattened().iter().enumerate() {
            // SAFETY: just checked for the last position.
            unsafe { simd.store(transformed.add(position * position_stride + target), number) };
        }
    }
}

/// A position's products of one panel.
struct AddProducts<'a> {
    plan: &'a ProductPlan,
    operands: &'a TransformedTiles,
    position: usize,
    panel: &'a Panel,
    /// `[in channel][vectors * lanes]`.
    sums: &'a mut [f32],
}

impl Kernel for AddProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        match self.panel.vectors {
            1 => self.steps::<S, 1>(simd),
            2 => self.steps::<S, 2>(simd),
            vectors => unreachable!("a panel of {vectors} vectors is never planned"),
        }
    }
}

impl AddProducts<'_> {
    #[inline(always)]
    fn steps<S: Simd, const VECTORS: usize>(&mut self, simd: S) {
        let channels = self.plan.in_channels;
        let most = (S::ACCUMULATORS / VECTORS).min(MOST_STEPS);
        let count = channels.div_ceil(most);
        for index in 0..count {
            let first = channels * index / count;
            let steps = channels * (index + 1) / count - first;
            match steps {
                1 => self.block::<S, VECTORS, 1>(simd, first),
                2 => self.block::<S, VECTORS, 2>(simd, first),
                3 => self.block::<S, VECTORS, 3>(simd, first),
                4 => self.block::<S, VECTORS, 4>(simd, first),
                5 => self.block::<S, VECTORS, 5>(simd, first),
                6 => self.block::<S, VECTORS, 6>(simd, first),
                7 => self.block::<S, VECTORS, 7>(simd, first),
                8 => self.block::<S, VECTORS, 8>(simd, first),
                9 => self.block::<S, VECTORS, 9>(simd, first),
                10 => self.block::<S, VECTORS, 10>(simd, first),
                11 => self.block::<S, VECTORS, 11>(simd, first),
                _ => self.block::<S, VECTORS, 12>(simd, first),
            }
        }
    }

    #[inline(always)]
    fn block<S: Simd, const VECTORS: usize, const STEPS: usize>(&mut self, simd: S, first: usize) {
        let (tiles, width) = (self.operands.tiles, VECTORS * S::LANES);
        let (stride, padded) = (self.plan.source_stride, self.plan.padded_channels);
        let source = &self.operands.window[self.position * tiles * stride..][..tiles * stride];
        let gradient = &self.operands.gradient[self.position * tiles * padded..][..tiles * padded];
        assert!(first + STEPS <= stride, "channels beyond the stride");
        assert!(
            self.panel.first + width <= padded,
            "panel beyond the channels"
        );
        let sums_of_block = &mut self.sums[first * width..][..STEPS * width];
        let mut sums = [[simd.splat(0.0); VECTORS]; STEPS];
        for tile in 0..tiles {
            let mut gradients = [simd.splat(0.0); VECTORS];
            for (vector, number) in gradients.iter_mut().enumerate() {
                let offset = tile * padded + self.panel.first + vector * S::LANES;
                // SAFETY: within the tile's line, of which the panel is a part (checked above).
                *number = unsafe { simd.load(gradient.as_ptr().add(offset)) };
            }
            for (step, sums) in sums.iter_mut().enumerate() {
                // SAFETY: within the tile's line, which has all channels of the block.
                let number = unsafe { *source.as_ptr().add(tile * stride + first + step) };
                let number = simd.splat(number);
                for (sum, &gradient) in sums.iter_mut().zip(&gradients) {
                    *sum = simd.mul_add(number, gradient, *sum);
                }
            }
        }
        for (step, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                // SAFETY: within the block's sums.
                unsafe {
                    let target = sums_of_block
                        .as_mut_ptr()
                        .add(step * width + vector * S::LANES);
                    simd.store(target, simd.add(simd.load(target), sum));
                }
            }
        }
    }
}

/// The end of a vector of output channels.
struct Finish<'a> {
    plan: &'a ProductPlan,
    parts: &'a [&'a [f32]],
    /// The first output channel.
    first: usize,
    /// `[out channel][in channel][9]`.
    target: &'a mut [f32],
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let plan = self.plan;
        let rows = plan.in_channels * 9;
        let panel = plan
            .panels
            .iter()
            .find(|panel| {
                (panel.first..panel.first + panel.vectors * S::LANES).contains(&self.first)
            })
            .expect("every channel is in a panel");
        let width = panel.vectors * S::LANES;
        let base = panel.first * plan.in_channels + self.first - panel.first;
        for input in 0..plan.in_channels {
            let offset = base + input * width;
            let mut positions = [[simd.splat(0.0); REACH]; REACH];
            for (position, number) in positions.as_flattened_mut().iter_mut().enumerate() {
                let begin = position * plan.position_length() + offset;
                for part in self.parts {
                    let numbers = &part[begin..][..S::LANES];
                    // SAFETY: a vector's numbers.
                    *number = simd.add(*number, unsafe { simd.load(numbers.as_ptr()) });
                }
            }
            let kernel = transform_weight_gradient(simd, &positions);
            let mut lanes = [[0.0f32; MOST_LANES]; 9];
            for (tap, lanes) in lanes.iter_mut().enumerate() {
                // SAFETY: the array has at least a vector's numbers.
                unsafe { simd.store(lanes.as_mut_ptr(), kernel[tap / 3][tap % 3]) };
            }
            for (lane, row) in self.target.chunks_exact_mut(rows).enumerate() {
                let kernel = &mut row[input * 9..][..9];
                for (number, lanes) in kernel.iter_mut().zip(&lanes) {
                    *number = lanes[lane];
                }
            }
        }
    }
}
