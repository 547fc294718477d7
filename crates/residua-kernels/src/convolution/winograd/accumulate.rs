//! The products of transformed windows and gradients, summed over tiles: the weight gradient's
//! matrix product for every position.

use std::ops::Range;

use super::gradient::GradientTransform;
use super::layout::{POSITIONS, TileLayout, UnitShape};
use super::window::WindowTransform;
use crate::InstructionSet;
use crate::convolution::units::Sums;
use crate::simd::{Kernel, Simd};

/// Numbers that [`transform_window`] writes.
pub(crate) fn transformed_window_length(set: InstructionSet, shape: &UnitShape) -> usize {
    TileLayout::new(set.lanes(), shape.in_channels, shape.tiles()).length()
}

/// Numbers that [`transform_gradient`] writes.
pub(crate) fn transformed_gradient_length(set: InstructionSet, shape: &UnitShape) -> usize {
    TileLayout::new(set.lanes(), shape.out_channels, shape.tiles()).length()
}

/// Transforms the windows of a unit for [`accumulate`].
///
/// # Panics
/// If a length differs from the shape's.
pub(crate) fn transform_window(
    set: InstructionSet,
    shape: &UnitShape,
    window: &[f32],
    transformed: &mut [f32],
) {
    set.run(WindowTransform {
        shape,
        tile_rows: 0..shape.all_tile_rows(),
        window,
        transformed,
    });
}

/// Transforms the result gradients `[image][row][column][out channel]` of a unit for
/// [`accumulate`].
///
/// # Panics
/// If a length differs from the shape's.
pub(crate) fn transform_gradient(
    set: InstructionSet,
    shape: &UnitShape,
    gradient: &[f32],
    transformed: &mut [f32],
) {
    set.run(GradientTransform {
        shape,
        gradient,
        transformed,
    });
}

/// A unit's operands, transformed for the same instruction set.
#[derive(Clone, Copy)]
pub(crate) struct TransformedUnit<'a> {
    pub(crate) tiles: usize,
    pub(crate) window: &'a [f32],
    pub(crate) gradient: &'a [f32],
}

/// The layout of sums, `[position][block of output channels][input channel][lane]`: a register tile
/// reads and writes neighbouring lines.
pub(super) fn sums_layout(lanes: usize, in_channels: usize, out_channels: usize) -> TileLayout {
    TileLayout::new(lanes, out_channels, in_channels)
}

/// Numbers in the sums of a position.
pub(crate) fn sums_position_length(
    set: InstructionSet,
    in_channels: usize,
    out_channels: usize,
) -> usize {
    sums_layout(set.lanes(), in_channels, out_channels).position_stride()
}

/// Numbers in the sums of all positions.
pub(crate) fn sums_length(set: InstructionSet, in_channels: usize, out_channels: usize) -> usize {
    sums_layout(set.lanes(), in_channels, out_channels).length()
}

/// Adds to `sums`, of [`sums_position_length`] for each of `positions` alone, the products of the
/// units, by ascending tiles, or begins them.
///
/// The sums are read and written once for all units, whose operands are read at least once for each
/// register tile: so the units together should have many tiles (128 or more for wide layers), and
/// fit into a cache.
///
/// # Panics
/// If a length differs from what the channels and tiles require.
pub(crate) fn accumulate(
    set: InstructionSet,
    in_channels: usize,
    out_channels: usize,
    positions: Range<usize>,
    units: &[TransformedUnit<'_>],
    sums: &mut [f32],
    state: Sums,
) {
    set.run(Accumulation {
        in_channels,
        out_channels,
        positions,
        units,
        sums,
        state,
    });
}

struct Accumulation<'a> {
    in_channels: usize,
    out_channels: usize,
    positions: Range<usize>,
    units: &'a [TransformedUnit<'a>],
    sums: &'a mut [f32],
    state: Sums,
}

impl Kernel for Accumulation<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let layout = sums_layout(S::LANES, self.in_channels, self.out_channels);
        let stride = layout.position_stride();
        assert!(self.positions.end <= POSITIONS, "positions");
        assert!(
            self.sums.len() == self.positions.len() * stride,
            "length of the sums"
        );
        for unit in self.units {
            let length = |channels| TileLayout::new(S::LANES, channels, unit.tiles).length();
            assert!(
                unit.window.len() == length(self.in_channels),
                "transformed window length"
            );
            assert!(
                unit.gradient.len() == length(self.out_channels),
                "transformed gradient length"
            );
        }
        let vectors = layout.blocks;
        for (index, position) in self.positions.clone().enumerate() {
            let mut vector = 0;
            while vector < vectors {
                let wide = vectors - vector >= 2;
                for first in (0..self.in_channels).step_by(S::LANES) {
                    let rows = (self.in_channels - first).min(S::LANES);
                    let offset = index * stride + vector * layout.block_stride() + first * S::LANES;
                    // SAFETY: the rows and vectors lie within the sums, whose length was checked.
                    unsafe {
                        let panel = Panel {
                            units: self.units,
                            in_channels: self.in_channels,
                            out_channels: self.out_channels,
                            position,
                            in_block: first / S::LANES,
                            out_block: vector,
                            sums: self.sums.as_mut_ptr().add(offset),
                            block_stride: layout.block_stride(),
                            state: self.state,
                        };
                        if wide {
                            panel.run_wide(simd, rows);
                        } else {
                            panel.run_narrow(simd, rows);
                        }
                    }
                }
                vector += if wide { 2 } else { 1 };
            }
        }
    }
}

/// The products of a block of input channels and one or two blocks of output channels.
struct Panel<'a> {
    /// Of checked lengths.
    units: &'a [TransformedUnit<'a>],
    in_channels: usize,
    out_channels: usize,
    position: usize,
    in_block: usize,
    out_block: usize,
    sums: *mut f32,
    block_stride: usize,
    state: Sums,
}

impl Panel<'_> {
    /// Two vectors, half a block of rows at once.
    ///
    /// # Safety
    /// `rows` rows (at most a block) of two vectors must be readable and writable at `sums`, all
    /// units' lengths right for the channels, and the position and blocks within them.
    #[inline(always)]
    unsafe fn run_wide<S: Simd>(&self, simd: S, rows: usize) {
        let mut row = 0;
        // SAFETY: the caller's promise; the tiles cover the rows.
        unsafe {
            while rows - row >= 8 && S::ACCUMULATORS >= 16 {
                self.register_tile::<S, 2, 8>(simd, row);
                row += 8;
            }
            while rows - row >= 4 {
                self.register_tile::<S, 2, 4>(simd, row);
                row += 4;
            }
            while rows - row >= 2 {
                self.register_tile::<S, 2, 2>(simd, row);
                row += 2;
            }
            if rows > row {
                self.register_tile::<S, 2, 1>(simd, row);
            }
        }
    }

    /// One vector, all rows of a block at once if there are as many.
    ///
    /// # Safety
    /// As for [`Self::run_wide`], with one vector.
    #[inline(always)]
    unsafe fn run_narrow<S: Simd>(&self, simd: S, rows: usize) {
        let mut row = 0;
        // SAFETY: the caller's promise; the tiles cover the rows.
        unsafe {
            while rows - row >= 16 && S::ACCUMULATORS >= 16 {
                self.register_tile::<S, 1, 16>(simd, row);
                row += 16;
            }
            while rows - row >= 8 {
                self.register_tile::<S, 1, 8>(simd, row);
                row += 8;
            }
            while rows - row >= 4 {
                self.register_tile::<S, 1, 4>(simd, row);
                row += 4;
            }
            while rows - row >= 2 {
                self.register_tile::<S, 1, 2>(simd, row);
                row += 2;
            }
            if rows > row {
                self.register_tile::<S, 1, 1>(simd, row);
            }
        }
    }

    /// Adds the products of all units' tiles, in their order, to `ROWS` rows from `row` on.
    ///
    /// # Safety
    /// As for [`Self::run_wide`], with `VECTORS` vectors and these rows.
    #[inline(always)]
    unsafe fn register_tile<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &self,
        simd: S,
        row: usize,
    ) {
        let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
        // SAFETY: the caller promises the rows of sums, and that a unit's operands have the lengths
        // of their layouts, of which these are existing positions, blocks, tiles and lanes.
        unsafe {
            let target = self.sums.add(row * S::LANES);
            // The sums that are wanted next, usually; they may come from memory.
            for next in ROWS..2 * ROWS {
                for vector in 0..VECTORS {
                    let offset = vector * self.block_stride + next * S::LANES;
                    simd.prefetch(target.wrapping_add(offset));
                }
            }
            if self.state == Sums::Continue {
                for (row, sums) in sums.iter_mut().enumerate() {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.load(target.add(vector * self.block_stride + row * S::LANES));
                    }
                }
            }
            for unit in self.units {
                let layout = |channels| TileLayout::new(S::LANES, channels, unit.tiles);
                let stride = layout(self.in_channels).block_stride();
                let operand = |numbers: &[f32], channels, block| {
                    let position = self.position * layout(channels).position_stride();
                    numbers.as_ptr().add(position + block * stride)
                };
                let window = operand(unit.window, self.in_channels, self.in_block).add(row);
                let gradient = operand(unit.gradient, self.out_channels, self.out_block);
                for tile in 0..unit.tiles {
                    let mut vectors = [simd.splat(0.0); VECTORS];
                    for (vector, numbers) in vectors.iter_mut().enumerate() {
                        let offset = vector * stride + tile * S::LANES;
                        *numbers = simd.load(gradient.add(offset));
                    }
                    let window = window.add(tile * S::LANES);
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let number = simd.splat(*window.add(row));
                        for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                            *sum = simd.mul_add(number, vector, *sum);
                        }
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                for (vector, &sum) in sums.iter().enumerate() {
                    simd.store(target.add(vector * self.block_stride + row * S::LANES), sum);
                }
            }
        }
    }
}
