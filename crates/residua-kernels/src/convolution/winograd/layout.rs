//! Where the numbers of a unit and of its transformed tiles lie.

/// Target pixels along the side of a tile.
pub(crate) const TILE: usize = 4;
/// Source pixels along the side of a tile's window, and positions along that of its transform.
pub(super) const SIDE: usize = 6;
/// Positions of a transformed tile.
pub(crate) const POSITIONS: usize = SIDE * SIDE;
/// Taps of the kernel.
pub(super) const TAPS: usize = 9;
/// Numbers in a cache line.
const LINE: usize = 16;

/// Sizes of a unit of work: some images, or bands of images, of equal size.
///
/// A target image is cut into tiles of 4 × 4 pixels; the last tile of a row or column may hang over
/// its edge. Tiles are counted by rows, all images together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitShape {
    pub(crate) images: usize,
    /// Rows of target pixels in an image.
    pub(crate) rows: usize,
    /// Columns of target pixels.
    pub(crate) columns: usize,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
}

impl UnitShape {
    /// Rows of tiles in an image.
    pub(crate) fn tile_rows(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    /// Columns of tiles in an image.
    pub(crate) fn tile_columns(&self) -> usize {
        self.columns.div_ceil(TILE)
    }

    /// Tiles of all images.
    pub(crate) fn tiles(&self) -> usize {
        self.all_tile_rows() * self.tile_columns()
    }

    /// Rows of tiles of all images.
    pub(super) fn all_tile_rows(&self) -> usize {
        self.images * self.tile_rows()
    }

    /// Rows of an image's window: the tiles and a border of one pixel.
    pub(crate) fn window_rows(&self) -> usize {
        TILE * self.tile_rows() + 2
    }

    /// Columns of an image's window.
    pub(crate) fn window_columns(&self) -> usize {
        TILE * self.tile_columns() + 2
    }

    /// Numbers in the windows of all images.
    pub(crate) fn window_length(&self) -> usize {
        self.images * self.window_rows() * self.window_columns() * self.in_channels
    }

    /// Numbers in the target pixels of all images.
    pub(crate) fn result_length(&self) -> usize {
        self.images * self.rows * self.columns * self.out_channels
    }
}

/// The layout of transformed tiles: `[position][block of channels][tile][lane]`.
///
/// A block is a vector of channels, so that a transform writes whole vectors, and a product finds
/// the same channel of neighbouring tiles at constant distances. Channels that do not exist are
/// zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileLayout {
    pub(super) tiles: usize,
    pub(super) blocks: usize,
    lanes: usize,
}

impl TileLayout {
    pub(super) fn new(lanes: usize, channels: usize, tiles: usize) -> Self {
        Self {
            tiles,
            blocks: channels.div_ceil(lanes),
            lanes,
        }
    }

    /// Numbers from a block to the next.
    ///
    /// An odd number of vectors, and from a position to the next an odd number of cache lines: what
    /// is touched in turn, all positions or blocks of a tile, would compete for the same few places
    /// of the first-level cache if their distance were a multiple of a power of two.
    pub(super) fn block_stride(&self) -> usize {
        (self.tiles | 1) * self.lanes
    }

    /// Numbers from a position to the next.
    pub(super) fn position_stride(&self) -> usize {
        odd_lines(self.blocks * self.block_stride())
    }

    /// Numbers in all positions.
    pub(super) fn length(&self) -> usize {
        POSITIONS * self.position_stride()
    }
}

/// `length` rounded up to an odd number of cache lines.
pub(super) fn odd_lines(length: usize) -> usize {
    (length.div_ceil(LINE) | 1) * LINE
}
