//! The transform of sums to result pixels, `Aᵀ m A`.

use std::ops::Range;

use super::layout::{SIDE, TILE, TileLayout, UnitShape};
use super::transforms;
use crate::simd::{Kernel, Simd};

/// Transforms the sums of a run of tile rows (counted over all images) to result pixels.
pub(super) struct ResultTransform<'a> {
    pub(super) shape: &'a UnitShape,
    pub(super) tile_rows: Range<usize>,
    /// The sums of `tile_rows`.
    pub(super) transformed: &'a [f32],
    /// The results of all images.
    pub(super) result: &'a mut [f32],
}

impl Kernel for ResultTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            shape,
            tile_rows,
            transformed,
            result,
        } = self;
        let tiles = tile_rows.len() * shape.tile_columns();
        let layout = TileLayout::new(S::LANES, shape.out_channels, tiles);
        assert!(tile_rows.end <= shape.all_tile_rows(), "rows beyond images");
        assert!(result.len() == shape.result_length(), "result length");
        assert!(
            transformed.len() == layout.length(),
            "transformed result length"
        );
        let row_stride = shape.columns * shape.out_channels;
        for (index, tile_row) in tile_rows.enumerate() {
            let (image, row) = (tile_row / shape.tile_rows(), tile_row % shape.tile_rows());
            let rows = (shape.rows - TILE * row).min(TILE);
            let first_row = image * shape.rows + TILE * row;
            for block in 0..layout.blocks {
                let channel = block * S::LANES;
                let channels = (shape.out_channels - channel).min(S::LANES);
                let first_tile = index * shape.tile_columns();
                for column in 0..shape.tile_columns() {
                    let columns = (shape.columns - TILE * column).min(TILE);
                    let first_pixel = first_row * shape.columns + TILE * column;
                    // SAFETY: the tile is one of the layout's; its `rows` and `columns` lie within
                    // the image and `channels` within the pixel. Both slices were checked.
                    unsafe {
                        let tile = Tile {
                            source: transformed.as_ptr().add(
                                block * layout.block_stride() + (first_tile + column) * S::LANES,
                            ),
                            position_stride: layout.position_stride(),
                            target: result
                                .as_mut_ptr()
                                .add(first_pixel * shape.out_channels + channel),
                            row_stride,
                            column_stride: shape.out_channels,
                        };
                        if rows == TILE && columns == TILE && channels == S::LANES {
                            tile.transform_whole(simd);
                        } else {
                            tile.transform_part(simd, rows, columns, channels);
                        }
                    }
                }
            }
        }
    }
}

/// A vector of channels of a tile.
struct Tile {
    source: *const f32,
    position_stride: usize,
    target: *mut f32,
    row_stride: usize,
    column_stride: usize,
}

impl Tile {
    /// The tile's pixels, with the columns transformed but not the rows: `[row][position]`.
    ///
    /// # Safety
    /// All positions must be readable at `source`.
    #[inline(always)]
    unsafe fn columns<S: Simd>(&self, simd: S) -> [[S::Vector; SIDE]; TILE] {
        let mut rows = [[simd.splat(0.0); SIDE]; TILE];
        for position in 0..SIDE {
            let mut column = [simd.splat(0.0); SIDE];
            for (row, vector) in column.iter_mut().enumerate() {
                let offset = (row * SIDE + position) * self.position_stride;
                // SAFETY: the caller's promise.
                *vector = unsafe { simd.load(self.source.add(offset)) };
            }
            for (row, vector) in rows.iter_mut().zip(transforms::result(simd, column)) {
                row[position] = vector;
            }
        }
        rows
    }

    /// # Safety
    /// All positions must be readable at `source`, and whole vectors of the tile's pixels writable
    /// at `target`.
    #[inline(always)]
    unsafe fn transform_whole<S: Simd>(&self, simd: S) {
        // SAFETY: the caller's promise.
        let rows = unsafe { self.columns(simd) };
        for (row, line) in rows.into_iter().enumerate() {
            let pixels = transforms::result(simd, line);
            for (column, pixel) in pixels.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe {
                    let offset = row * self.row_stride + column * self.column_stride;
                    simd.store(self.target.add(offset), pixel);
                }
            }
        }
    }

    /// # Safety
    /// All positions must be readable at `source`, and the first `channels` numbers of the first
    /// `columns` pixels of the first `rows` rows writable at `target`.
    #[inline(always)]
    unsafe fn transform_part<S: Simd>(
        &self,
        simd: S,
        rows: usize,
        columns: usize,
        channels: usize,
    ) {
        // SAFETY: the caller's promise.
        let lines = unsafe { self.columns(simd) };
        for (row, line) in lines.into_iter().enumerate().take(rows) {
            let pixels = transforms::result(simd, line);
            for (column, pixel) in pixels.into_iter().enumerate().take(columns) {
                // SAFETY: the caller's promise.
                unsafe {
                    let offset = row * self.row_stride + column * self.column_stride;
                    let target = self.target.add(offset);
                    if channels == S::LANES {
                        simd.store(target, pixel);
                    } else {
                        simd.store_first(channels, target, pixel);
                    }
                }
            }
        }
    }
}
