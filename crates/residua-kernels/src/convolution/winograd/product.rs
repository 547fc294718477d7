//! The products of transformed windows and weights: a matrix product for every position.

use super::layout::{POSITIONS, TileLayout};
use super::weights::TransformedWeights;
use crate::simd::{Kernel, Simd};

/// Sums, over the channels of the source, of the products with the weights, of a number of tiles.
pub(super) struct Products<'a> {
    pub(super) weights: &'a TransformedWeights,
    pub(super) tiles: usize,
    pub(super) source: &'a [f32],
    pub(super) sums: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            weights,
            tiles,
            source,
            sums,
        } = self;
        let source_layout = TileLayout::new(S::LANES, weights.source_channels(), tiles);
        let sum_layout = TileLayout::new(S::LANES, weights.target_channels(), tiles);
        assert!(weights.set().lanes() == S::LANES, "weights of other lanes");
        assert!(source.len() == source_layout.length(), "source length");
        assert!(sums.len() == sum_layout.length(), "length of the sums");
        let channels = weights.source_channels();
        for position in 0..POSITIONS {
            for (index, panel) in weights.panels().iter().enumerate() {
                let width = panel.vectors * S::LANES;
                let numbers = weights.panel(index, position);
                assert!(numbers.len() == channels * width, "panel length");
                assert!(panel.first + width <= sum_layout.blocks * S::LANES);
                for first in (0..channels).step_by(CHUNK_CHANNELS) {
                    // SAFETY: the position lies within all three, the chunk within its channels,
                    // and the panel's vectors within the target channels; the lengths were checked.
                    unsafe {
                        let product = Product {
                            channels: (channels - first).min(CHUNK_CHANNELS),
                            tiles,
                            block_stride: source_layout.block_stride(),
                            source: source.as_ptr().add(
                                position * source_layout.position_stride()
                                    + first / S::LANES * source_layout.block_stride(),
                            ),
                            weights: numbers.as_ptr().add(first * width),
                            sums: sums.as_mut_ptr().add(
                                position * sum_layout.position_stride()
                                    + panel.first / S::LANES * source_layout.block_stride(),
                            ),
                            begin: first == 0,
                        };
                        match panel.vectors {
                            1 => product.run::<S, 1>(simd),
                            2 if S::PANEL_VECTORS >= 2 => product.run::<S, 2>(simd),
                            3 if S::PANEL_VECTORS >= 3 => product.run::<S, 3>(simd),
                            4 if S::PANEL_VECTORS >= 4 => product.run::<S, 4>(simd),
                            vectors => {
                                unreachable!("a panel of {vectors} vectors is never planned")
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Source channels, in whole blocks of every instruction set, whose weights of a panel stay in the
/// first-level cache while they meet all tiles.
const CHUNK_CHANNELS: usize = 128;

/// The product of one position, one panel and one chunk of channels.
struct Product {
    channels: usize,
    tiles: usize,
    /// Numbers from a block of channels to the next, of source and sums.
    block_stride: usize,
    /// `[block][tile][lane]`.
    source: *const f32,
    /// `[channel][vectors * lanes]`.
    weights: *const f32,
    /// `[vector][tile][lane]`.
    sums: *mut f32,
    /// Whether the sums begin with zero; otherwise they continue.
    begin: bool,
}

impl Product {
    /// # Safety
    /// The three must be readable, the sums writable, for all channels, tiles and vectors.
    #[inline(always)]
    unsafe fn run<S: Simd, const VECTORS: usize>(&self, simd: S) {
        let mut first = 0;
        // SAFETY: the register tiles cover `self.tiles` tiles, for which the caller promises.
        unsafe {
            if VECTORS <= 2 && S::ACCUMULATORS >= VECTORS * 12 {
                first = self.register_tiles::<S, VECTORS, 12>(simd, first);
            }
            if VECTORS <= 3 && S::ACCUMULATORS >= VECTORS * 8 {
                first = self.register_tiles::<S, VECTORS, 8>(simd, first);
            }
            if S::ACCUMULATORS >= VECTORS * 6 {
                first = self.register_tiles::<S, VECTORS, 6>(simd, first);
            }
            first = self.register_tiles::<S, VECTORS, 4>(simd, first);
            first = self.register_tiles::<S, VECTORS, 2>(simd, first);
            self.register_tiles::<S, VECTORS, 1>(simd, first);
        }
    }

    /// As many register tiles of `TILES` tiles as there are from `first` on; returns the first tile
    /// that is left.
    ///
    /// # Safety
    /// As for [`Self::run`].
    #[inline(always)]
    unsafe fn register_tiles<S: Simd, const VECTORS: usize, const TILES: usize>(
        &self,
        simd: S,
        mut first: usize,
    ) -> usize {
        while self.tiles - first >= TILES {
            // SAFETY: the caller's promise; the tiles exist.
            unsafe { self.register_tile::<S, VECTORS, TILES>(simd, first) };
            first += TILES;
        }
        first
    }

    /// `TILES` tiles from `first` on. A step broadcasts one source number of each tile against the
    /// panel's weights of a channel; each sum is accumulated in the order of the channels, so its
    /// bits do not depend on how the tiles were grouped.
    ///
    /// # Safety
    /// As for [`Self::run`], for these tiles.
    #[inline(always)]
    unsafe fn register_tile<S: Simd, const VECTORS: usize, const TILES: usize>(
        &self,
        simd: S,
        first: usize,
    ) {
        let mut sums = [[simd.splat(0.0); VECTORS]; TILES];
        // SAFETY: the caller's promise.
        unsafe {
            if !self.begin {
                for (tile, sums) in sums.iter_mut().enumerate() {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let offset = vector * self.block_stride + (first + tile) * S::LANES;
                        *sum = simd.load(self.sums.add(offset));
                    }
                }
            }
            let mut weights = self.weights;
            let mut source = self.source.add(first * S::LANES);
            let mut channels = self.channels;
            while channels > 0 {
                let block = channels.min(S::LANES);
                for channel in 0..block {
                    let mut weight = [simd.splat(0.0); VECTORS];
                    for (vector, weight) in weight.iter_mut().enumerate() {
                        *weight = simd.load(weights.add(vector * S::LANES));
                    }
                    for (tile, sums) in sums.iter_mut().enumerate() {
                        let number = simd.splat(*source.add(tile * S::LANES + channel));
                        for (sum, &weight) in sums.iter_mut().zip(&weight) {
                            *sum = simd.mul_add(number, weight, *sum);
                        }
                    }
                    weights = weights.add(VECTORS * S::LANES);
                }
                // May point beyond the source after the last block, where nothing is read.
                source = source.wrapping_add(self.block_stride);
                channels -= block;
            }
            for (tile, sums) in sums.iter().enumerate() {
                for (vector, &sum) in sums.iter().enumerate() {
                    let offset = vector * self.block_stride + (first + tile) * S::LANES;
                    simd.store(self.sums.add(offset), sum);
                }
            }
        }
    }
}
