//! The loop that all passes over feature maps share.

use std::ops::Range;

use crate::simd::Simd;

/// Pixels that are worked on together, so that the numbers of a channel are fetched once for all.
pub(super) const PIXELS: usize = 8;

/// Pixels whose channels stay in cache until all have been worked on.
const GROUP: usize = 4 * PIXELS;

/// Pixels between the one that is worked on and the one that is fetched meanwhile.
const AHEAD: usize = 2 * PIXELS;

/// A pass over pixels, channel by channel.
pub(crate) trait Lines {
    /// Whether numbers that the pass does not touch lie between its pixels. The machine foresees
    /// neither where the next one lies nor where it ends, so that it has to be fetched ahead.
    #[inline(always)]
    fn has_gaps(&self) -> bool {
        false
    }

    /// Fetches what the pass will read at `channel` of `COUNT` pixels from `pixel` on, which need not
    /// exist.
    #[inline(always)]
    fn prefetch<S: Simd, const COUNT: usize>(&self, _simd: S, _pixel: usize, _channel: usize) {}

    /// Works on the vector of channels at `channel`, of `COUNT` pixels from `pixel` on.
    ///
    /// # Safety
    /// The pixels and channels must exist in every slice of the pass.
    unsafe fn vectors<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        pixel: usize,
        channel: usize,
    );

    /// Ends the work on the vectors of `count` pixels from `pixel` on.
    ///
    /// # Safety
    /// The pixels must exist in every slice of the pass.
    #[inline(always)]
    unsafe fn end_block<S: Simd>(&mut self, _simd: S, _pixel: usize, _count: usize) {}

    /// Works on one channel of a pixel: what does not fill a vector.
    ///
    /// # Safety
    /// The pixel and the channel must exist in every slice of the pass.
    unsafe fn number(&mut self, pixel: usize, channel: usize);
}

/// Runs a pass over `pixels` of `channels`.
///
/// # Safety
/// As for [`Lines::vectors`], for all of them.
#[inline(always)]
pub(crate) unsafe fn run_lines<S: Simd>(
    simd: S,
    pass: &mut impl Lines,
    pixels: usize,
    channels: usize,
) {
    let in_vectors = channels - channels % S::LANES;
    // What does not fill a vector follows while the lines that the vectors have touched are in cache.
    let group = if in_vectors < channels {
        GROUP
    } else {
        pixels.max(1)
    };
    for first in (0..pixels).step_by(group) {
        let group = first..(first + group).min(pixels);
        // SAFETY: the caller's promise.
        unsafe {
            if pass.has_gaps() {
                run_vectors::<S, true>(simd, pass, group.clone(), in_vectors);
            } else {
                run_vectors::<S, false>(simd, pass, group.clone(), in_vectors);
            }
        }
        for pixel in group {
            for channel in in_vectors..channels {
                // SAFETY: the caller's promise.
                unsafe { pass.number(pixel, channel) };
            }
        }
    }
}

/// Works on the vectors of some pixels.
///
/// # Safety
/// As for [`Lines::vectors`], for all of them.
#[inline(always)]
unsafe fn run_vectors<S: Simd, const HAS_GAPS: bool>(
    simd: S,
    pass: &mut impl Lines,
    pixels: Range<usize>,
    channels: usize,
) {
    let in_blocks = pixels.end - pixels.len() % PIXELS;
    for pixel in (pixels.start..in_blocks).step_by(PIXELS) {
        for channel in (0..channels).step_by(S::LANES) {
            if HAS_GAPS {
                pass.prefetch::<S, PIXELS>(simd, pixel + AHEAD, channel);
            }
            // SAFETY: the caller's promise.
            unsafe { pass.vectors::<S, PIXELS>(simd, pixel, channel) };
        }
        // SAFETY: the caller's promise.
        unsafe { pass.end_block(simd, pixel, PIXELS) };
    }
    for pixel in in_blocks..pixels.end {
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe { pass.vectors::<S, 1>(simd, pixel, channel) };
        }
        // SAFETY: the caller's promise.
        unsafe { pass.end_block(simd, pixel, 1) };
    }
}
