//! The transform of windows, `Bᵀ d B`.

use std::ops::Range;

use super::layout::{SIDE, TILE, TileLayout, UnitShape};
use super::transforms;
use crate::simd::{Kernel, Simd};

/// Transforms the windows of a run of tile rows (counted over all images).
pub(super) struct WindowTransform<'a> {
    pub(super) shape: &'a UnitShape,
    pub(super) tile_rows: Range<usize>,
    /// The windows of all images.
    pub(super) window: &'a [f32],
    /// The transformed tiles of `tile_rows`.
    pub(super) transformed: &'a mut [f32],
}

impl Kernel for WindowTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            shape,
            tile_rows,
            window,
            transformed,
        } = self;
        let tiles = tile_rows.len() * shape.tile_columns();
        let layout = TileLayout::new(S::LANES, shape.in_channels, tiles);
        assert!(tile_rows.end <= shape.all_tile_rows(), "rows beyond images");
        assert!(window.len() == shape.window_length(), "window length");
        assert!(
            transformed.len() == layout.length(),
            "transformed window length"
        );
        let row_stride = shape.window_columns() * shape.in_channels;
        for (index, tile_row) in tile_rows.enumerate() {
            let (image, row) = (tile_row / shape.tile_rows(), tile_row % shape.tile_rows());
            let first_row = image * shape.window_rows() + TILE * row;
            for block in 0..layout.blocks {
                let channel = block * S::LANES;
                let first_tile = index * shape.tile_columns();
                let channels = (shape.in_channels - channel).min(S::LANES);
                // SAFETY: the row of tiles lies within the images, whose windows have the lengths
                // of `shape`, and its six window rows within those; the block within the channels;
                // the tiles within those of the layout. Both slices were checked.
                unsafe {
                    let strip = Strip {
                        source: window.as_ptr().add(first_row * row_stride + channel),
                        row_stride,
                        column_stride: shape.in_channels,
                        channels,
                        target: transformed
                            .as_mut_ptr()
                            .add(block * layout.block_stride() + first_tile * S::LANES),
                        position_stride: layout.position_stride(),
                        tiles: shape.tile_columns(),
                    };
                    if channels == S::LANES {
                        strip.transform::<S, true>(simd);
                    } else {
                        strip.transform::<S, false>(simd);
                    }
                }
            }
        }
    }
}

/// A vector of channels of a row of tiles.
struct Strip {
    source: *const f32,
    row_stride: usize,
    column_stride: usize,
    channels: usize,
    target: *mut f32,
    position_stride: usize,
    tiles: usize,
}

/// Which two rows of `Bᵀ d` a pass makes.
#[derive(Clone, Copy)]
struct RowPair {
    points: Points,
    rows: [usize; 2],
}

#[derive(Clone, Copy)]
enum Points {
    ZeroAndInfinity,
    Ones,
    Twos,
}

impl Strip {
    /// Three passes, each of two rows of positions: so the transform along the columns, which
    /// neighbouring tiles share, needs neither memory nor more registers than there are.
    ///
    /// # Safety
    /// The strip's window (six rows of `4 * tiles + 2` columns) must be readable at `source`, and
    /// its tiles writable at `target` for all positions. `FULL` only if there are
    /// [`Simd::LANES`] channels.
    #[inline(always)]
    unsafe fn transform<S: Simd, const FULL: bool>(&self, simd: S) {
        let pass = |points, rows| RowPair { points, rows };
        // SAFETY: the caller's promise.
        unsafe {
            self.pass::<S, FULL>(simd, pass(Points::ZeroAndInfinity, [0, 5]));
            self.pass::<S, FULL>(simd, pass(Points::Ones, [1, 2]));
            self.pass::<S, FULL>(simd, pass(Points::Twos, [3, 4]));
        }
    }

    /// # Safety
    /// As for [`Self::transform`].
    #[inline(always)]
    unsafe fn pass<S: Simd, const FULL: bool>(&self, simd: S, pair: RowPair) {
        // SAFETY: the caller promised the window, of which tile `t` has the columns `4 t` to `4 t +
        // 5`, and the tiles' positions.
        unsafe {
            let mut source = self.source;
            let mut target = self.target;
            let mut next = [
                self.column::<S, FULL>(simd, pair.points, source),
                self.column::<S, FULL>(simd, pair.points, source.add(self.column_stride)),
            ];
            for _ in 0..self.tiles {
                let mut columns = [next[0], next[1], next[0], next[0], next[0], next[0]];
                for (offset, column) in columns.iter_mut().enumerate().skip(2) {
                    let source = source.add(offset * self.column_stride);
                    *column = self.column::<S, FULL>(simd, pair.points, source);
                }
                for (index, row) in pair.rows.into_iter().enumerate() {
                    let line = [
                        columns[0][index],
                        columns[1][index],
                        columns[2][index],
                        columns[3][index],
                        columns[4][index],
                        columns[5][index],
                    ];
                    let row_target = target.add(row * SIDE * self.position_stride);
                    let line = transforms::window(simd, line);
                    for (position, vector) in line.into_iter().enumerate() {
                        simd.store(row_target.add(position * self.position_stride), vector);
                    }
                }
                next = [columns[4], columns[5]];
                source = source.add(TILE * self.column_stride);
                target = target.add(S::LANES);
            }
        }
    }

    /// Two rows of a column's transform.
    ///
    /// # Safety
    /// Six rows must be readable at `source`.
    #[inline(always)]
    unsafe fn column<S: Simd, const FULL: bool>(
        &self,
        simd: S,
        points: Points,
        source: *const f32,
    ) -> [S::Vector; 2] {
        let row = |row: usize| {
            // SAFETY: the caller's promise.
            unsafe {
                let source = source.add(row * self.row_stride);
                if FULL {
                    simd.load(source)
                } else {
                    simd.load_first(self.channels, source)
                }
            }
        };
        match points {
            Points::ZeroAndInfinity => {
                transforms::window_outer(simd, [row(0), row(1), row(2), row(3), row(4), row(5)])
            }
            Points::Ones => transforms::window_ones(simd, [row(1), row(2), row(3), row(4)]),
            Points::Twos => transforms::window_twos(simd, [row(1), row(2), row(3), row(4)]),
        }
    }
}
