//! The register tile of a correlation: a few pixels times a panel of target channels.
//!
//! A step broadcasts one source word of each pixel against the panel's weights of that step. All
//! sums are `f32` and stay in registers; each is accumulated in the order of the steps, so its bits do not depend
//! on how the work was cut.

use super::plan::{Pixel, Segment};
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::simd::{Kernel, Simd};

/// A panel's work on the pixels of a chunk.
pub(super) struct PanelWork<'a, P> {
    /// The unit's source, beginning at the group's first word.
    pub(super) source: &'a [P],
    pub(super) pixels: &'a [Pixel],
    pub(super) segments: &'a [Segment],
    /// Words `[step][vectors * lanes]` for the steps of the segments.
    pub(super) weights: &'a [P],
    /// What the sums begin with, `[vectors * lanes]`; without it they continue from the target.
    pub(super) initial: Option<&'a [f32]>,
    pub(super) vectors: usize,
    pub(super) channels: usize,
}

impl<P: VectorElement> PanelWork<'_, P> {
    /// Computes the panel. `target` is the address of the panel's first channel in the chunk's
    /// first pixel.
    ///
    /// # Panics
    /// If the tables reach beyond the source or the weights.
    ///
    /// # Safety
    /// For every pixel, `channels` numbers at `target + pixel.target` must be writable, and
    /// readable where the sums continue, and no other thread may access them meanwhile.
    pub(super) unsafe fn run(self, set: InstructionSet, target: *mut f32) {
        let furthest_pixel = self
            .pixels
            .iter()
            .map(|pixel| pixel.source)
            .max()
            .unwrap_or(0);
        let furthest_step = self
            .segments
            .iter()
            .map(|segment| segment.offset + segment.length)
            .max()
            .unwrap_or(0);
        if !self.pixels.is_empty() && furthest_step > 0 {
            assert!(
                furthest_pixel + furthest_step <= self.source.len() / P::PER_WORD,
                "pixel table beyond the source"
            );
        }
        set.run(CheckedPanelWork { work: self, target });
    }
}

/// Work whose tables were compared with its slices.
struct CheckedPanelWork<'a, P> {
    work: PanelWork<'a, P>,
    target: *mut f32,
}

impl<P: VectorElement> Kernel for CheckedPanelWork<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.work.vectors * S::LANES;
        let steps: usize = self
            .work
            .segments
            .iter()
            .map(|segment| segment.length)
            .sum();
        assert!(
            steps * width * P::PER_WORD <= self.work.weights.len(),
            "segments beyond the weights"
        );
        assert!(
            self.work
                .initial
                .is_none_or(|initial| initial.len() >= width),
            "initial sums are missing"
        );
        assert!(
            (width - S::LANES..=width).contains(&self.work.channels),
            "channels do not fill the vectors"
        );
        match self.work.vectors {
            1 => self.tiles::<S, 1>(simd),
            2 if S::PANEL_VECTORS >= 2 => self.tiles::<S, 2>(simd),
            3 if S::PANEL_VECTORS >= 3 => self.tiles::<S, 3>(simd),
            4 if S::PANEL_VECTORS >= 4 => self.tiles::<S, 4>(simd),
            vectors => unreachable!("a panel of {vectors} vectors is never planned"),
        }
    }
}

/// More pixels than this need more address registers than x86-64 has.
const MOST_PIXELS: usize = 8;

impl<P: VectorElement> CheckedPanelWork<'_, P> {
    #[inline(always)]
    fn tiles<S: Simd, const VECTORS: usize>(&self, simd: S) {
        let most = (S::ACCUMULATORS / VECTORS).min(MOST_PIXELS);
        let all = self.work.pixels.len();
        // Of nearly equal size: a tile of one pixel would read the weights for a few products only.
        let count = all.div_ceil(most);
        for index in 0..count {
            let pixels = &self.work.pixels[all * index / count..all * (index + 1) / count];
            match pixels.len() {
                1 => self.tile::<S, VECTORS, 1>(simd, pixels),
                2 => self.tile::<S, VECTORS, 2>(simd, pixels),
                3 => self.tile::<S, VECTORS, 3>(simd, pixels),
                4 => self.tile::<S, VECTORS, 4>(simd, pixels),
                5 => self.tile::<S, VECTORS, 5>(simd, pixels),
                6 => self.tile::<S, VECTORS, 6>(simd, pixels),
                7 => self.tile::<S, VECTORS, 7>(simd, pixels),
                _ => self.tile::<S, VECTORS, 8>(simd, pixels),
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const PIXELS: usize>(&self, simd: S, pixels: &[Pixel]) {
        assert!(pixels.len() == PIXELS);
        let last = VECTORS - 1;
        let last_lanes = self.work.channels - last * S::LANES;
        let mut sums = [[simd.splat(0.0); VECTORS]; PIXELS];
        for (pixel, sums) in pixels.iter().zip(&mut sums) {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `initial` holds all vectors (checked in `run`); the target's channels are
                // readable (promised to `PanelWork::run`), of which the last vector has
                // `last_lanes`.
                *sum = unsafe {
                    match self.work.initial {
                        Some(initial) => simd.load(initial.as_ptr().add(vector * S::LANES)),
                        None => {
                            let target = self.target.add(pixel.target + vector * S::LANES);
                            if vector == last {
                                simd.load_first(last_lanes, target)
                            } else {
                                simd.load(target)
                            }
                        }
                    }
                };
            }
        }
        let source = self.work.source.as_ptr().cast::<u32>();
        let mut weights = self.work.weights.as_ptr().cast::<f32>();
        for segment in self.work.segments {
            let mut sources = [std::ptr::null(); PIXELS];
            for (pixel, address) in pixels.iter().zip(&mut sources) {
                // SAFETY: pixel and segment lie within the source (checked in `PanelWork::run`).
                *address = unsafe { source.add(pixel.source + segment.offset) };
            }
            // SAFETY: `length` steps lie within the source and the weights (checked in both
            // `run`s).
            weights = unsafe {
                accumulate::<P, S, _, _>(simd, &sources, weights, segment.length, &mut sums)
            };
        }
        for (pixel, sums) in pixels.iter().zip(&sums) {
            for (vector, &sum) in sums.iter().enumerate() {
                // SAFETY: the target's channels are writable (promised to `PanelWork::run`), of
                // which the last vector has `last_lanes`.
                unsafe {
                    let target = self.target.add(pixel.target + vector * S::LANES);
                    if vector == last && last_lanes < S::LANES {
                        simd.store_first(last_lanes, target, sum);
                    } else {
                        simd.store(target, sum);
                    }
                }
            }
        }
    }
}

/// Adds `steps` products to every sum and returns where the next weights are.
///
/// # Safety
/// Each source must be readable for `steps` words, the weights for `steps * VECTORS` vectors.
#[inline(always)]
unsafe fn accumulate<P: VectorElement, S: Simd, const VECTORS: usize, const PIXELS: usize>(
    simd: S,
    sources: &[*const u32; PIXELS],
    mut weights: *const f32,
    steps: usize,
    sums: &mut [[S::Vector; VECTORS]; PIXELS],
) -> *const f32 {
    for step in 0..steps {
        let mut weight = [simd.splat(0.0); VECTORS];
        for (vector, weight) in weight.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            *weight = unsafe { simd.load(weights.add(vector * S::LANES)) };
        }
        for (source, sums) in sources.iter().zip(sums.iter_mut()) {
            // SAFETY: promised by the caller; bfloat16 numbers may lie at any even address.
            let word = simd.splat_word(unsafe { source.add(step).read_unaligned() });
            for (sum, &weight) in sums.iter_mut().zip(&weight) {
                *sum = P::multiply_words(simd, word, weight, *sum);
            }
        }
        // SAFETY: stays within or one past the weights.
        weights = unsafe { weights.add(VECTORS * S::LANES) };
    }
    weights
}
