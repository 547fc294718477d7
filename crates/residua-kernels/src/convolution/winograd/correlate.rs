//! A unit's result from its windows.

use std::ops::Range;

use super::layout::{POSITIONS, TileLayout, UnitShape};
use super::product::Products;
use super::result::ResultTransform;
use super::weights::TransformedWeights;
use super::window::WindowTransform;
use crate::scratch::Scratch;

/// Numbers of transformed windows and sums that a strip may have, so that they stay in the
/// second-level cache between the three steps.
const STRIP_NUMBERS: usize = 96 * 1024;
/// Transformed weights, in numbers, that stay in the second-level cache beside a strip.
const CACHED_WEIGHTS: usize = 160 * 1024;
/// Tiles that a strip should have at least, because it reads all weights.
const LEAST_TILES: usize = 32;
/// Tiles that a strip should have at least where the weights come from memory.
const LEAST_TILES_OF_WIDE_LAYER: usize = 128;

/// Computes the result pixels of a unit.
///
/// `window` `[image][window row][window column][in channel]` is zero where it lies outside of the
/// image; `result` `[image][row][column][out channel]` is overwritten. For
/// [`Direction::InputGradient`](super::Direction) the channels of `shape` are those of this
/// correlation: its `in_channels` are the layer's output channels.
///
/// # Panics
/// If a length or the weights' channels differ from the shape's.
pub(crate) fn correlate(
    shape: &UnitShape,
    weights: &TransformedWeights,
    window: &[f32],
    result: &mut [f32],
) {
    let strip = Strips::new(shape, weights);
    let mut scratch = strip.scratch();
    for rows in strip.ranges() {
        strip.transform_window(rows.clone(), window, &mut scratch);
        strip.multiply(rows.clone(), weights, &mut scratch);
        strip.transform_result(rows, &scratch, result);
    }
}

/// Cuts a unit into strips of tile rows, counted over all images.
pub(super) struct Strips<'a> {
    shape: &'a UnitShape,
    set: crate::InstructionSet,
    rows: usize,
}

/// The transformed windows and the sums of a strip.
pub(super) struct StripScratch {
    source: Scratch,
    sums: Scratch,
}

impl<'a> Strips<'a> {
    pub(super) fn new(shape: &'a UnitShape, weights: &TransformedWeights) -> Self {
        assert!(
            weights.source_channels() == shape.in_channels
                && weights.target_channels() == shape.out_channels,
            "weights of other channels"
        );
        let tiles = strip_tiles(shape.in_channels, shape.out_channels);
        let rows = tiles.div_ceil(shape.tile_columns().max(1));
        // Nearly equal strips.
        let count = shape.all_tile_rows().div_ceil(rows).max(1);
        Self {
            shape,
            set: weights.set(),
            rows: shape.all_tile_rows().div_ceil(count).max(1),
        }
    }

    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.shape.all_tile_rows();
        (0..end)
            .step_by(self.rows)
            .map(move |first| first..(first + self.rows).min(end))
    }

    fn layouts(&self, rows: usize) -> (TileLayout, TileLayout) {
        let tiles = rows * self.shape.tile_columns();
        let layout = |channels| TileLayout::new(self.set.lanes(), channels, tiles);
        (
            layout(self.shape.in_channels),
            layout(self.shape.out_channels),
        )
    }

    pub(super) fn scratch(&self) -> StripScratch {
        let (source, sums) = self.layouts(self.rows.min(self.shape.all_tile_rows()));
        StripScratch {
            source: Scratch::uninitialised(source.length()),
            sums: Scratch::uninitialised(sums.length()),
        }
    }

    pub(super) fn transform_window(
        &self,
        tile_rows: Range<usize>,
        window: &[f32],
        scratch: &mut StripScratch,
    ) {
        let (source, _) = self.layouts(tile_rows.len());
        self.set.run(WindowTransform {
            shape: self.shape,
            tile_rows,
            window,
            transformed: &mut scratch.source[..source.length()],
        });
    }

    pub(super) fn multiply(
        &self,
        tile_rows: Range<usize>,
        weights: &TransformedWeights,
        scratch: &mut StripScratch,
    ) {
        let (source, sums) = self.layouts(tile_rows.len());
        self.set.run(Products {
            weights,
            tiles: tile_rows.len() * self.shape.tile_columns(),
            source: &scratch.source[..source.length()],
            sums: &mut scratch.sums[..sums.length()],
        });
    }

    pub(super) fn transform_result(
        &self,
        tile_rows: Range<usize>,
        scratch: &StripScratch,
        result: &mut [f32],
    ) {
        let (_, sums) = self.layouts(tile_rows.len());
        self.set.run(ResultTransform {
            shape: self.shape,
            tile_rows,
            transformed: &scratch.sums[..sums.length()],
            result,
        });
    }
}

/// The number of tiles in a strip that suits the channels.
fn strip_tiles(in_channels: usize, out_channels: usize) -> usize {
    let least = if POSITIONS * in_channels * out_channels > CACHED_WEIGHTS {
        LEAST_TILES_OF_WIDE_LAYER
    } else {
        LEAST_TILES
    };
    let tile_numbers = POSITIONS * (in_channels + out_channels);
    (STRIP_NUMBERS / tile_numbers.max(1)).max(least)
}

/// The number of tiles that a unit of these channels should have, or a few times as many.
pub(crate) fn tiles_per_unit(in_channels: usize, out_channels: usize) -> usize {
    strip_tiles(in_channels, out_channels)
}
