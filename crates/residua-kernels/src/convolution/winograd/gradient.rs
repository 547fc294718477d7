//! The transform of result gradients, `A y Aᵀ`.

use super::layout::{SIDE, TILE, TileLayout, UnitShape};
use super::transforms;
use crate::simd::{Kernel, Simd};

/// Transforms the result gradients of a unit.
pub(super) struct GradientTransform<'a> {
    pub(super) shape: &'a UnitShape,
    pub(super) gradient: &'a [f32],
    pub(super) transformed: &'a mut [f32],
}

impl Kernel for GradientTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            shape,
            gradient,
            transformed,
        } = self;
        let layout = TileLayout::new(S::LANES, shape.out_channels, shape.tiles());
        assert!(gradient.len() == shape.result_length(), "gradient length");
        assert!(
            transformed.len() == layout.length(),
            "transformed gradient length"
        );
        let row_stride = shape.columns * shape.out_channels;
        for tile_row in 0..shape.all_tile_rows() {
            let (image, row) = (tile_row / shape.tile_rows(), tile_row % shape.tile_rows());
            let rows = (shape.rows - TILE * row).min(TILE);
            let first_row = image * shape.rows + TILE * row;
            for block in 0..layout.blocks {
                let channel = block * S::LANES;
                let channels = (shape.out_channels - channel).min(S::LANES);
                let first_tile = tile_row * shape.tile_columns();
                for column in 0..shape.tile_columns() {
                    let columns = (shape.columns - TILE * column).min(TILE);
                    let first_pixel = first_row * shape.columns + TILE * column;
                    // SAFETY: the tile is one of the layout's; its `rows` and `columns` lie within
                    // the image and `channels` within the pixel. Both slices were checked.
                    unsafe {
                        let tile = Tile {
                            source: gradient
                                .as_ptr()
                                .add(first_pixel * shape.out_channels + channel),
                            row_stride,
                            column_stride: shape.out_channels,
                            target: transformed.as_mut_ptr().add(
                                block * layout.block_stride() + (first_tile + column) * S::LANES,
                            ),
                            position_stride: layout.position_stride(),
                        };
                        if rows == TILE && columns == TILE && channels == S::LANES {
                            tile.transform(simd, tile.whole_pixels(simd));
                        } else {
                            tile.transform(simd, tile.part_pixels(simd, rows, columns, channels));
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
    row_stride: usize,
    column_stride: usize,
    target: *mut f32,
    position_stride: usize,
}

impl Tile {
    /// # Safety
    /// Whole vectors of the tile's pixels must be readable at `source`.
    #[inline(always)]
    unsafe fn whole_pixels<S: Simd>(&self, simd: S) -> [[S::Vector; TILE]; TILE] {
        let mut pixels = [[simd.splat(0.0); TILE]; TILE];
        for (row, line) in pixels.iter_mut().enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                let offset = row * self.row_stride + column * self.column_stride;
                // SAFETY: the caller's promise.
                *pixel = unsafe { simd.load(self.source.add(offset)) };
            }
        }
        pixels
    }

    /// The pixels that exist, the others as zero.
    ///
    /// # Safety
    /// The first `channels` numbers of the first `columns` pixels of the first `rows` rows must be
    /// readable at `source`.
    #[inline(always)]
    unsafe fn part_pixels<S: Simd>(
        &self,
        simd: S,
        rows: usize,
        columns: usize,
        channels: usize,
    ) -> [[S::Vector; TILE]; TILE] {
        let mut pixels = [[simd.splat(0.0); TILE]; TILE];
        for (row, line) in pixels.iter_mut().enumerate().take(rows) {
            for (column, pixel) in line.iter_mut().enumerate().take(columns) {
                let offset = row * self.row_stride + column * self.column_stride;
                // SAFETY: the caller's promise.
                *pixel = unsafe { simd.load_first(channels, self.source.add(offset)) };
            }
        }
        pixels
    }

    /// # Safety
    /// All positions must be writable at `target`.
    #[inline(always)]
    unsafe fn transform<S: Simd>(&self, simd: S, pixels: [[S::Vector; TILE]; TILE]) {
        let mut columns = [[simd.splat(0.0); TILE]; SIDE];
        for column in 0..TILE {
            let pixels = [
                pixels[0][column],
                pixels[1][column],
                pixels[2][column],
                pixels[3][column],
            ];
            let vectors = transforms::gradient(simd, pixels);
            for (line, vector) in columns.iter_mut().zip(vectors) {
                line[column] = vector;
            }
        }
        for (row, line) in columns.into_iter().enumerate() {
            let line = transforms::gradient(simd, line);
            for (column, vector) in line.into_iter().enumerate() {
                let position = row * SIDE + column;
                // SAFETY: the caller's promise.
                unsafe { simd.store(self.target.add(position * self.position_stride), vector) };
            }
        }
    }
}
