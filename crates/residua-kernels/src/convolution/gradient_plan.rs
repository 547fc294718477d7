//! The tables of a weight gradient: which source words meet which output gradients in which sums.
//!
//! The inner product runs over *pixel words*: a target pixel in `f32`, two in `bf16`. A kernel of
//! several taps pairs the pixels of two images, if units have an even number of them, and otherwise
//! neighbours in a row, the last one perhaps with nothing. A single tap knows neither rows nor
//! images: it pairs the pixels of a whole unit.

use super::ConvolutionGeometry;
use super::pack::{Panel, panels};

/// Where a unit's window keeps its pixels, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowLayout {
    /// Output pixels in a row: one if every pixel of a pointwise convolution is its own image.
    pub(super) output_columns: usize,
    /// From one image of the unit to the next.
    pub(super) image_stride: usize,
    /// From one row to the next.
    pub(super) row_stride: usize,
    /// From one pixel to the next.
    pub(super) pixel_stride: usize,
    /// From one group's first channel to the next one's.
    pub(super) group_stride: usize,
}

/// What a unit computes: whole images, or some rows of one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) images: usize,
    /// Rows of output pixels.
    pub(super) rows: usize,
}

/// The numbers of a word: their pixels' offsets, [`NOTHING`] where there is no second.
pub(super) type Pair = [usize; 2];

/// In place of a pixel that does not exist, and counts as zero.
pub(super) const NOTHING: usize = usize::MAX;

/// Columns of the packed source whose pixels are equally far apart in the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnRun {
    /// Window offsets of the first column's numbers.
    pub(super) pair: Pair,
    pub(super) columns: usize,
    /// From one column to the next.
    pub(super) pitch: usize,
}

/// Source channels of a group that lie next to each other in the packed source.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChannelBlock {
    pub(super) first: usize,
    pub(super) channels: usize,
}

/// Consecutive steps (tap and source channel) that a register tile sums together.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepTile {
    pub(super) block: ChannelBlock,
    /// Columns of the packed source from a pixel word's first tap to the tile's.
    pub(super) shift: usize,
    /// Words from there to the tile's first step.
    pub(super) offset: usize,
    /// The first step, counted `[tap][source channel]`.
    pub(super) step: usize,
    pub(super) steps: usize,
}

/// The tables for units of one size; smaller units use the first part of each.
pub(super) struct GradientPlan {
    pub(super) groups: usize,
    /// Source channels of a group.
    pub(super) channels: usize,
    pub(super) taps: usize,
    pub(super) window: WindowLayout,
    pub(super) lanes: usize,
    /// Output channels of a group.
    pub(super) panels: Vec<Panel>,
    pub(super) blocks: Vec<ChannelBlock>,
    /// In the order of the blocks.
    pub(super) tiles: Vec<StepTile>,
    /// The columns of the packed source.
    pub(super) runs: Vec<ColumnRun>,
    /// The pixels of each pixel word, counted within the unit.
    pub(super) pixels: Vec<Pair>,
    /// The column of each pixel word's first tap.
    pub(super) positions: Vec<usize>,
    numbers_per_word: usize,
    output_columns: usize,
    /// Where there are several taps.
    grid: Option<Grid>,
}

/// Vectors of output channels in a tile.
pub(super) const TILE_VECTORS: usize = 2;
/// Steps in a tile at most.
pub(super) const TILE_STEPS: usize = 12;
/// Channels up to which all of a group stay together, so that a tile may span taps.
const WHOLE_CHANNELS: usize = 32;

/// The packed source of several taps: only the window's rows and columns that some tap meets.
#[derive(Clone, Copy, Debug)]
struct Grid {
    /// Window rows and columns from one to the next.
    step: [usize; 2],
    /// Window rows from the first tap to the last.
    row_reach: usize,
    row_stride: usize,
    columns: usize,
    /// Images whose pixels share words.
    images_per_word: usize,
    /// Neighbouring output pixels of a row that share a word.
    pixels_per_word: usize,
}

impl Grid {
    fn rows(&self, output_rows: usize) -> usize {
        ((output_rows - 1) * self.row_stride + self.row_reach) / self.step[0] + 1
    }
}

impl GradientPlan {
    /// Plans units of `extent`, whose windows begin at the first tap of their first pixel.
    /// `most_accumulators` is what a register tile may hold.
    pub(super) fn new(
        geometry: &ConvolutionGeometry,
        numbers_per_word: usize,
        window: WindowLayout,
        extent: Extent,
        lanes: usize,
        most_accumulators: usize,
    ) -> Self {
        let spec = geometry.spec();
        let panels = panels(geometry.group_out_channels(), lanes, TILE_VECTORS);
        let vectors = panels.iter().map(|panel| panel.vectors).max().unwrap_or(1);
        let most_steps = (most_accumulators / vectors).min(TILE_STEPS);
        let channels = geometry.group_in_channels();
        let mut plan = Self {
            groups: spec.groups,
            channels,
            taps: geometry.taps(),
            window,
            lanes,
            panels,
            blocks: channel_blocks(channels, most_steps),
            tiles: Vec::new(),
            runs: Vec::new(),
            pixels: Vec::new(),
            positions: Vec::new(),
            numbers_per_word,
            output_columns: window.output_columns,
            grid: None,
        };
        if geometry.taps() == 1 {
            plan.list_pixels(geometry, extent);
        } else {
            plan.list_rows(geometry, extent);
        }
        plan.list_tiles(geometry, most_steps);
        plan
    }

    /// Numbers of a group's partial sums: `[panel][step][vectors * lanes]`.
    pub(super) fn group_sums(&self) -> usize {
        let vectors: usize = self.panels.iter().map(|panel| panel.vectors).sum();
        self.steps() * vectors * self.lanes
    }

    /// Numbers of the partial sums of all groups.
    pub(super) fn sums_length(&self) -> usize {
        self.groups * self.group_sums()
    }

    /// Products per pixel and output channel.
    pub(super) fn steps(&self) -> usize {
        self.taps * self.channels
    }

    /// Columns of the packed source that a unit has.
    pub(super) fn column_count(&self, extent: Extent) -> usize {
        match &self.grid {
            Some(grid) => {
                let images = extent.images.div_ceil(grid.images_per_word);
                images * grid.rows(extent.rows) * grid.columns
            }
            None => self.word_count(extent),
        }
    }

    /// Pixel words that a unit has.
    pub(super) fn word_count(&self, extent: Extent) -> usize {
        match &self.grid {
            Some(grid) => {
                let rows = extent.images.div_ceil(grid.images_per_word) * extent.rows;
                rows * self.output_columns.div_ceil(grid.pixels_per_word)
            }
            None => self.pixel_count(extent).div_ceil(self.numbers_per_word),
        }
    }

    /// Of `count` columns or pixel words of a unit, those that have the pixels that the plan lists:
    /// the last pixel or image of an odd unit lacks its partner, though a larger unit's has it.
    pub(super) fn complete(&self, extent: Extent, count: usize) -> usize {
        match &self.grid {
            Some(grid) => {
                let images = extent.images.div_ceil(grid.images_per_word);
                count / images * (extent.images / grid.images_per_word)
            }
            None if self
                .pixel_count(extent)
                .is_multiple_of(self.numbers_per_word) =>
            {
                count
            }
            None => count - 1,
        }
    }

    /// Output pixels that a unit has.
    pub(super) fn pixel_count(&self, extent: Extent) -> usize {
        extent.images * extent.rows * self.output_columns
    }

    /// A single tap: the source is packed by output pixel.
    fn list_pixels(&mut self, geometry: &ConvolutionGeometry, extent: Extent) {
        let stride = geometry.spec().stride;
        let mut offsets = Vec::with_capacity(self.pixel_count(extent));
        for image in 0..extent.images {
            for row in 0..extent.rows {
                for column in 0..self.output_columns {
                    offsets.push(
                        image * self.window.image_stride
                            + row * stride[0] * self.window.row_stride
                            + column * stride[1] * self.window.pixel_stride,
                    );
                }
            }
        }
        for first in (0..offsets.len()).step_by(self.numbers_per_word) {
            let second = first + self.numbers_per_word - 1;
            let paired = second > first && second < offsets.len();
            let pair = |second| [first, if paired { second } else { NOTHING }];
            self.pixels.push(pair(second));
            let offset = offsets.get(second).copied().unwrap_or(NOTHING);
            self.push_column([offsets[first], pair(offset)[1]]);
            self.positions.push(first / self.numbers_per_word);
        }
    }

    /// Several taps: the source is packed by window column, of which taps share most.
    fn list_rows(&mut self, geometry: &ConvolutionGeometry, extent: Extent) {
        let spec = geometry.spec();
        let reach = [0, 1].map(|axis| (spec.kernel[axis] - 1) * spec.dilation[axis]);
        let pairs_images = self.numbers_per_word == 2 && extent.images.is_multiple_of(2);
        let [images_per_word, pixels_per_word] = match pairs_images {
            true => [2, 1],
            false => [1, self.numbers_per_word],
        };
        let word_stride = pixels_per_word * spec.stride[1];
        let words = self.output_columns.div_ceil(pixels_per_word);
        // A kernel of one element on an axis meets only multiples of the stride.
        let step = [spec.stride[0], word_stride];
        let step = [0, 1].map(|axis| match spec.kernel[axis] {
            1 => step[axis],
            _ => greatest_common_divisor(step[axis], spec.dilation[axis]),
        });
        let grid = Grid {
            step,
            row_reach: reach[0],
            row_stride: spec.stride[0],
            columns: ((words - 1) * word_stride + reach[1]) / step[1] + 1,
            images_per_word,
            pixels_per_word,
        };
        let window_columns = (self.output_columns - 1) * spec.stride[1] + reach[1] + 1;
        for image in (0..extent.images).step_by(images_per_word) {
            for row in 0..grid.rows(extent.rows) {
                let line =
                    image * self.window.image_stride + row * step[0] * self.window.row_stride;
                for column in 0..grid.columns {
                    let first = line + column * step[1] * self.window.pixel_stride;
                    let neighbour = column * step[1] + spec.stride[1];
                    let second = if pairs_images {
                        first + self.window.image_stride
                    } else if pixels_per_word == 2 && neighbour < window_columns {
                        line + neighbour * self.window.pixel_stride
                    } else {
                        NOTHING
                    };
                    self.push_column([first, second]);
                }
            }
            for row in 0..extent.rows {
                let line = image / images_per_word * grid.rows(extent.rows)
                    + row * spec.stride[0] / step[0];
                for word in 0..words {
                    let column = word * pixels_per_word;
                    let pixel = (image * extent.rows + row) * self.output_columns + column;
                    let second = if pairs_images {
                        pixel + extent.rows * self.output_columns
                    } else if pixels_per_word == 2 && column + 1 < self.output_columns {
                        pixel + 1
                    } else {
                        NOTHING
                    };
                    self.pixels.push([pixel, second]);
                    self.positions
                        .push(line * grid.columns + word * word_stride / step[1]);
                }
            }
        }
        self.grid = Some(grid);
    }

    /// Appends a column of the packed source, to the last run if it continues that.
    fn push_column(&mut self, pair: Pair) {
        if let Some(run) = self.runs.last_mut() {
            let pitch = if run.columns == 1 {
                pair[0] - run.pair[0]
            } else {
                run.pitch
            };
            let expected = run.pair.map(|offset| match offset {
                NOTHING => NOTHING,
                offset => offset + run.columns * pitch,
            });
            if pair == expected {
                run.pitch = pitch;
                run.columns += 1;
                return;
            }
        }
        self.runs.push(ColumnRun {
            pair,
            columns: 1,
            pitch: 0,
        });
    }

    fn list_tiles(&mut self, geometry: &ConvolutionGeometry, most_steps: usize) {
        let spec = geometry.spec();
        let [kernel_rows, kernel_columns] = spec.kernel;
        let shift = |row: usize, column: usize| match &self.grid {
            Some(grid) => {
                row * spec.dilation[0] / grid.step[0] * grid.columns
                    + column * spec.dilation[1] / grid.step[1]
            }
            None => 0,
        };
        let joined =
            self.blocks.len() == 1 && (kernel_columns == 1 || shift(0, 1) == shift(0, 0) + 1);
        for &block in &self.blocks {
            for row in 0..kernel_rows {
                for column in (0..kernel_columns).step_by(if joined { kernel_columns } else { 1 }) {
                    let taps = if joined { kernel_columns } else { 1 };
                    let first = (row * kernel_columns + column) * self.channels + block.first;
                    for (begin, steps) in cut(taps * block.channels, most_steps) {
                        self.tiles.push(StepTile {
                            block,
                            shift: shift(row, column),
                            offset: begin,
                            step: first + begin,
                            steps,
                        });
                    }
                }
            }
        }
    }
}

/// Channels that stay together in the packed source.
fn channel_blocks(channels: usize, most_steps: usize) -> Vec<ChannelBlock> {
    let most = if channels <= WHOLE_CHANNELS {
        channels
    } else {
        most_steps
    };
    cut(channels, most)
        .map(|(first, channels)| ChannelBlock { first, channels })
        .collect()
}

/// Cuts a length into parts of nearly equal size, at most `most`: their beginnings and lengths.
fn cut(length: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = length.div_ceil(most);
    (0..count).map(move |index| {
        let begin = length * index / count;
        (begin, length * (index + 1) / count - begin)
    })
}

fn greatest_common_divisor(mut left: usize, mut right: usize) -> usize {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}
