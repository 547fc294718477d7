//! Minimal filtering F(4×4, 3×3) for convolutions of stride 1 (Winograd 1980; Lavin and Gray 2015,
//! arXiv 1509.09308, section 4.3, with the points 0, ±1, ±2 and ∞).
//!
//! A tile of 4×4 outputs is computed from 6×6 inputs with 36 products per pair of channels instead
//! of 144: `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. Summed over channels, each of the 36 *positions* of the
//! transformed tiles is a matrix product of its own. The weight gradient is the transpose of that
//! map: `∂g = Gᵀ [Σ (Bᵀ d B) ⊙ (A ∂Y Aᵀ)] G`.
//!
//! Rounding errors are about ten times those of the direct sum, because the transforms add numbers
//! of different size; they remain around 1e-6 of the largest result.

mod correlate;
mod gradient;
mod transforms;
mod weights;

pub(super) use correlate::correlate;
pub(super) use gradient::{ProductPlan, TransformedTiles};
pub(super) use weights::{Direction, TransformedWeights};

/// Rows and columns of outputs in a tile.
pub(super) const TILE: usize = 4;
/// Rows and columns of inputs that a tile reads.
const REACH: usize = TILE + 2;
/// Positions of a transformed tile.
pub(super) const POSITIONS: usize = REACH * REACH;

/// Sizes of a unit of work. Its tiles are counted by image, row, column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnitShape {
    pub(super) images: usize,
    /// Rows of target pixels in each image.
    pub(super) rows: usize,
    /// Columns of target pixels.
    pub(super) columns: usize,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
}

impl UnitShape {
    pub(super) fn tile_rows(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    pub(super) fn tile_columns(&self) -> usize {
        self.columns.div_ceil(TILE)
    }

    /// Tiles of all images.
    pub(super) fn tiles(&self) -> usize {
        self.images * self.tile_rows() * self.tile_columns()
    }

    /// Rows of a window, which has zeros where it reaches beyond the image.
    pub(super) fn window_rows(&self) -> usize {
        TILE * self.tile_rows() + 2
    }

    /// Columns of a window.
    pub(super) fn window_columns(&self) -> usize {
        TILE * self.tile_columns() + 2
    }

    /// Numbers of a window, `[image][row][column][in channel]`.
    pub(super) fn window_length(&self) -> usize {
        self.images * self.window_rows() * self.window_columns() * self.in_channels
    }

    /// Numbers of a result, `[image][row][column][out channel]`.
    pub(super) fn result_length(&self) -> usize {
        self.images * self.rows * self.columns * self.out_channels
    }

    /// Where a tile's inputs and outputs are.
    #[inline(always)]
    fn place(&self, tile: usize) -> TilePlace {
        let (line, tile_column) = (tile / self.tile_columns(), tile % self.tile_columns());
        let (image, tile_row) = (line / self.tile_rows(), line % self.tile_rows());
        let (row, column) = (tile_row * TILE, tile_column * TILE);
        TilePlace {
            window_pixel: (image * self.window_rows() + row) * self.window_columns() + column,
            first_pixel: (image * self.rows + row) * self.columns + column,
            rows: TILE.min(self.rows - row),
            columns: TILE.min(self.columns - column),
        }
    }
}

/// Where a tile lies: at the edge its outputs may be incomplete.
#[derive(Clone, Copy, Debug)]
struct TilePlace {
    /// The first input, counted within the window.
    window_pixel: usize,
    /// The first output, counted within the result.
    first_pixel: usize,
    rows: usize,
    columns: usize,
}

impl TilePlace {
    #[inline(always)]
    fn is_complete(&self) -> bool {
        self.rows == TILE && self.columns == TILE
    }
}

/// Tiles in a unit, so that its transformed tiles stay in the second-level cache (1 MiB), and the
/// weights, which are fetched again for each unit, are worth it.
pub(super) fn tiles_per_unit(in_channels: usize, out_channels: usize) -> usize {
    /// 640 KiB.
    const NUMBERS: usize = 160 * 1024;
    (NUMBERS / (POSITIONS * (in_channels + out_channels))).clamp(32, 64)
}

#[cfg(test)]
mod tests;
