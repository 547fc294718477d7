//! The register tile of a weight gradient: a few steps (tap and source channel) times a few vectors
//! of output channels, summed over pixel words.
//!
//! A pixel word broadcasts its source words of these steps against its output gradients. The sums
//! of a stretch of pixel words stay in registers until it ends; they begin the partial sums or are added
//! to them.

use std::ops::Range;

use super::gradient_plan::{Extent, GradientPlan, StepTile};
use super::pack::Panel;
use super::units::Sums;
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::parallel::DisjointWriter;
use crate::simd::{Kernel, Simd};

/// Pixel words that are multiplied before a tile's sums go back to memory: many, because the sums of
/// a wide layer are far away. Their gradients, 32 KiB, stream from the second-level cache.
const TILE_WORDS: usize = 256;

/// A unit's operands, as [`GradientPlan::pack_source`] and [`GradientPlan::pack_gradients`] left
/// them.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitOperands<'a, P> {
    pub(super) extent: Extent,
    pub(super) source: &'a [P],
    pub(super) gradients: &'a [P],
}

impl GradientPlan {
    /// Adds a unit's products to the partial sums `[group][panel][step][vectors * lanes]`, or begins
    /// them, for the `panels` (counted over all groups) and the `tiles`, which together may be a part of
    /// them all.
    ///
    /// # Panics
    /// If an operand has not the length that the plan gives it for its extent, there are no pixels, the
    /// sums are fewer than [`Self::sums_length`], or a range is beyond the plan.
    ///
    /// # Safety
    /// No other thread may access the sums of the same panel and tile meanwhile.
    pub(super) unsafe fn accumulate<P: VectorElement>(
        &self,
        set: InstructionSet,
        operands: UnitOperands<'_, P>,
        panels: Range<usize>,
        tiles: Range<usize>,
        sums: &DisjointWriter<'_>,
        state: Sums,
    ) {
        let UnitOperands {
            extent,
            source,
            gradients,
        } = operands;
        assert_eq!(
            source.len(),
            self.source_length::<P>(extent),
            "packed source"
        );
        assert_eq!(
            gradients.len(),
            self.gradients_length::<P>(extent),
            "packed gradients"
        );
        let columns = self.column_count(extent);
        let positions = &self.positions[..self.word_count(extent)];
        assert!(!positions.is_empty(), "no pixels to begin sums with");
        let furthest = positions.iter().max().copied().unwrap_or(0);
        let tiles = &self.tiles[tiles];
        for tile in tiles {
            // All channels of a pixel word's column and what a tile that spans taps adds to them.
            let last = (furthest + tile.shift) * tile.block.channels + tile.offset + tile.steps;
            assert!(
                last <= columns * tile.block.channels,
                "tile beyond the source"
            );
            assert!(
                tile.step + tile.steps <= self.steps(),
                "tile beyond the sums"
            );
        }
        for index in panels {
            let group = index / self.panels.len();
            assert!(group < self.groups, "more panels than planned");
            let panel = &self.panels[index % self.panels.len()];
            let width = panel.vectors * self.lanes;
            let first = group * self.padded_channels() + panel.first;
            let words = positions.len();
            let gradients =
                &gradients[first * words * P::PER_WORD..][..words * width * P::PER_WORD];
            // SAFETY: `at` checks the sums of all the panel's steps, of which the tiles are a part;
            // the caller promises that no other thread has these.
            let sums = unsafe { sums.at(first * self.steps(), self.steps() * width) };
            set.run(PanelTiles {
                source: &source[group * self.channels * columns * P::PER_WORD..],
                gradients,
                positions,
                columns,
                tiles,
                panel,
                sums,
                state,
            });
        }
    }
}

/// One panel's share, with everything checked by [`GradientPlan::accumulate`].
struct PanelTiles<'a, P> {
    /// The group's packed words.
    source: &'a [P],
    /// The panel's words.
    gradients: &'a [P],
    positions: &'a [usize],
    columns: usize,
    tiles: &'a [StepTile],
    panel: &'a Panel,
    sums: *mut f32,
    state: Sums,
}

impl<P: VectorElement> Kernel for PanelTiles<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.panel.vectors {
            1 => self.all_tiles::<S, 1>(simd),
            2 => self.all_tiles::<S, 2>(simd),
            vectors => unreachable!("a panel of {vectors} vectors is never planned"),
        }
    }
}

impl<P: VectorElement> PanelTiles<'_, P> {
    #[inline(always)]
    fn all_tiles<S: Simd, const VECTORS: usize>(&self, simd: S) {
        let all = self.positions.len();
        let count = all.div_ceil(TILE_WORDS);
        for index in 0..count {
            let first = all * index / count;
            let positions = &self.positions[first..all * (index + 1) / count];
            let gradients = &self.gradients[first * VECTORS * S::LANES * P::PER_WORD..]
                [..positions.len() * VECTORS * S::LANES * P::PER_WORD];
            let state = if index == 0 {
                self.state
            } else {
                Sums::Continue
            };
            for tile in self.tiles {
                match tile.steps {
                    1 => self.tile::<S, VECTORS, 1>(simd, tile, positions, gradients, state),
                    2 => self.tile::<S, VECTORS, 2>(simd, tile, positions, gradients, state),
                    3 => self.tile::<S, VECTORS, 3>(simd, tile, positions, gradients, state),
                    4 => self.tile::<S, VECTORS, 4>(simd, tile, positions, gradients, state),
                    5 => self.tile::<S, VECTORS, 5>(simd, tile, positions, gradients, state),
                    6 => self.tile::<S, VECTORS, 6>(simd, tile, positions, gradients, state),
                    7 => self.tile::<S, VECTORS, 7>(simd, tile, positions, gradients, state),
                    8 => self.tile::<S, VECTORS, 8>(simd, tile, positions, gradients, state),
                    9 => self.tile::<S, VECTORS, 9>(simd, tile, positions, gradients, state),
                    10 => self.tile::<S, VECTORS, 10>(simd, tile, positions, gradients, state),
                    11 => self.tile::<S, VECTORS, 11>(simd, tile, positions, gradients, state),
                    12 => self.tile::<S, VECTORS, 12>(simd, tile, positions, gradients, state),
                    steps => unreachable!("a tile of {steps} steps is never planned"),
                }
            }
        }
    }

    /// Adds the products of the pixel words to `STEPS` rows of sums, or begins them.
    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const STEPS: usize>(
        &self,
        simd: S,
        tile: &StepTile,
        positions: &[usize],
        gradients: &[P],
        state: Sums,
    ) {
        let pitch = tile.block.channels;
        let first = tile.block.first * self.columns + tile.shift * pitch + tile.offset;
        // SAFETY: the block's columns begin within the source; the panel's sums have the rows of
        // the tile (both checked in `accumulate`).
        let (source, target) = unsafe {
            (
                self.source.as_ptr().cast::<u32>().add(first),
                self.sums.add(tile.step * VECTORS * S::LANES),
            )
        };
        for line in 0..STEPS * VECTORS {
            simd.prefetch(target.wrapping_add(line * S::LANES));
        }
        let mut sums = [[simd.splat(0.0); VECTORS]; STEPS];
        let mut gradient = gradients.as_ptr().cast::<f32>();
        for &position in positions {
            let mut vectors = [simd.splat(0.0); VECTORS];
            for (vector, words) in vectors.iter_mut().enumerate() {
                // SAFETY: every position has its line of gradients (`all_tiles` cuts them so).
                *words = unsafe { simd.load(gradient.add(vector * S::LANES)) };
            }
            // SAFETY: stays within or one past the gradients; the position's steps lie within the
            // source (checked in `accumulate`).
            let source = unsafe {
                gradient = gradient.add(VECTORS * S::LANES);
                source.add(position * pitch)
            };
            for (step, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let word = simd.splat_word(unsafe { source.add(step).read_unaligned() });
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = P::multiply_words(simd, word, vector, *sum);
                }
            }
        }
        for (step, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                // SAFETY: the panel's sums have the rows of the tile (checked in `accumulate`), and
                // its caller promises that they are this thread's.
                unsafe {
                    let target = target.add((step * VECTORS + vector) * S::LANES);
                    let sum = match state {
                        Sums::Begin => sum,
                        Sums::Continue => simd.add(simd.load(target), sum),
                    };
                    simd.store(target, sum);
                }
            }
        }
    }
}
