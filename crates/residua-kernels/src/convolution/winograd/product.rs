//! The products of transformed windows and weights: a matrix product for every position.

use super::layout::{POSITIONS, TileLayout};
use super::weights::{TransformedWeights, position_stride};
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
        for position in 0..POSITIONS {
            for (panel, numbers) in weights.panels() {
                let width = panel.vectors * S::LANES;
                let stride = position_stride(weights.source_channels(), width);
                assert!(numbers.len() == POSITIONS * stride, "panel length");
                assert!(panel.first + width <= sum_layout.blocks * S::LANES);
                // SAFETY: the position lies within all three, and the panel's vectors within the
                // target channels; the lengths were checked.
                unsafe {
                    let product = Product {
                        channels: weights.source_channels(),
                        tiles,
                        source: source
                            .as_ptr()
                            .add(position * source_layout.position_stride()),
                        weights: numbers.as_ptr().add(position * stride),
                        sums: sums
                            .as_mut_ptr()
                            .add(position * sum_layout.position_stride() + panel.first * tiles),
                    };
                    match panel.vectors {
                        1 => product.run::<S, 1>(simd),
                        2 if S::PANEL_VECTORS >= 2 => product.run::<S, 2>(simd),
                        3 if S::PANEL_VECTORS >= 3 => product.run::<S, 3>(simd),
                        4 if S::PANEL_VECTORS >= 4 => product.run::<S, 4>(simd),
                        vectors => unreachable!("a panel of {vectors} vectors is never planned"),
                    }
                }
            }
        }
    }
}

/// The product of one position and one panel.
struct Product {
    channels: usize,
    tiles: usize,
    /// `[block][tile][lane]`.
    source: *const f32,
    /// `[channel][vectors * lanes]`.
    weights: *const f32,
    /// `[vector][tile][lane]`.
    sums: *mut f32,
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
                while self.tiles - first >= 12 {
                    self.register_tile::<S, VECTORS, 12>(simd, first);
                    first += 12;
                }
            }
            if VECTORS <= 3 && S::ACCUMULATORS >= VECTORS * 8 {
                while self.tiles - first >= 8 {
                    self.register_tile::<S, VECTORS, 8>(simd, first);
                    first += 8;
                }
            }
            if S::ACCUMULATORS >= VECTORS * 6 {
                while self.tiles - first >= 6 {
                    self.register_tile::<S, VECTORS, 6>(simd, first);
                    first += 6;
                }
            }
            while self.tiles - first >= 4 {
                self.register_tile::<S, VECTORS, 4>(simd, first);
                first += 4;
            }
            match self.tiles - first {
                0 => {}
                1 => self.register_tile::<S, VECTORS, 1>(simd, first),
                2 => self.register_tile::<S, VECTORS, 2>(simd, first),
                _ => self.register_tile::<S, VECTORS, 3>(simd, first),
            }
        }
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
                source = source.wrapping_add(self.tiles * S::LANES);
                channels -= block;
            }
            for (tile, sums) in sums.iter().enumerate() {
                for (vector, &sum) in sums.iter().enumerate() {
                    let offset = (vector * self.tiles + first + tile) * S::LANES;
                    simd.store(self.sums.add(offset), sum);
                }
            }
        }
    }
}
