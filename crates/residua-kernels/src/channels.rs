//! Working on `[..., C]` tensors channel by channel, at the speed of memory for any number of
//! channels.
//!
//! Pixels of few channels would leave vectors half empty. So several pixels are taken as one row of
//! at least [`LEAST_WIDTH`] numbers, and whatever belongs to channels is repeated to that width.

use std::ops::Range;

/// Numbers in a row at least, unless the tensor is smaller: four vectors of AVX-512.
const LEAST_WIDTH: usize = 64;
/// Numbers in a block that reductions sum in f32: 16 KiB, half of a first-level cache.
const BLOCK_NUMBERS: usize = 4096;
/// Rows in a block at least, so that the f64 sums between blocks stay cheap for wide tensors.
const BLOCK_ROWS: usize = 8;
/// Numbers in a part, the work of one task.
const PART_NUMBERS: usize = 64 * 1024;

/// The cutting of a tensor into rows, blocks and parts; it depends on the sizes only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelRows {
    pub(crate) channels: usize,
    /// Numbers in a row, a multiple of the channels.
    pub(crate) width: usize,
}

impl ChannelRows {
    pub(crate) fn new(channels: usize) -> Self {
        Self {
            channels,
            width: channels * (LEAST_WIDTH / channels).max(1),
        }
    }

    /// Numbers in a block; a whole number of rows.
    pub(crate) fn block(self) -> usize {
        self.width * (BLOCK_NUMBERS / self.width).max(BLOCK_ROWS)
    }

    /// Numbers in a part; a whole number of blocks.
    pub(crate) fn part(self) -> usize {
        self.block() * (PART_NUMBERS / self.block()).max(1)
    }

    /// The range of each part of a tensor of that length.
    pub(crate) fn parts(self, length: usize) -> Vec<Range<usize>> {
        (0..length)
            .step_by(self.part())
            .map(|begin| begin..(begin + self.part()).min(length))
            .collect()
    }

    /// One number per channel, repeated to a row.
    pub(crate) fn widen(self, values: &[f32]) -> Vec<f32> {
        values.iter().copied().cycle().take(self.width).collect()
    }

    /// Sums of rows, summed to channels.
    pub(crate) fn narrow(self, row: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        for pixel in row.chunks_exact(self.channels) {
            for (sum, &number) in sums.iter_mut().zip(pixel) {
                *sum += number;
            }
        }
        sums
    }
}
