//! The loop that all passes over feature maps share.

use crate::simd::Simd;

/// Pixels that are worked on together, so that the numbers of a channel are fetched once for all.
pub(super) const PIXELS: usize = 8;

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
    // SAFETY: the caller's promise.
    unsafe {
        if pass.has_gaps() {
            run_blocks::<S, true>(simd, pass, pixels, channels);
        } else {
            run_blocks::<S, false>(simd, pass, pixels, channels);
        }
    }
}

/// # Safety
/// As for [`run_lines`].
#[inline(always)]
unsafe fn run_blocks<S: Simd, const HAS_GAPS: bool>(
    simd: S,
    pass: &mut impl Lines,
    pixels: usize,
    channels: usize,
) {
    let in_blocks = pixels - pixels % PIXELS;
    for pixel in (0..in_blocks).step_by(PIXELS) {
        // SAFETY: the caller's promise.
        unsafe { run_block::<S, PIXELS, HAS_GAPS>(simd, pass, pixel, channels) };
    }
    for pixel in in_blocks..pixels {
        // SAFETY: the caller's promise.
        unsafe { run_block::<S, 1, HAS_GAPS>(simd, pass, pixel, channels) };
    }
}

/// Works on all channels of `COUNT` pixels.
///
/// # Safety
/// As for [`run_lines`].
#[inline(always)]
unsafe fn run_block<S: Simd, const COUNT: usize, const HAS_GAPS: bool>(
    simd: S,
    pass: &mut impl Lines,
    pixel: usize,
    channels: usize,
) {
    let in_vectors = channels - channels % S::LANES;
    for channel in (0..in_vectors).step_by(S::LANES) {
        if HAS_GAPS {
            pass.prefetch::<S, COUNT>(simd, pixel + AHEAD, channel);
        }
        // SAFETY: the caller's promise.
        unsafe { pass.vectors::<S, COUNT>(simd, pixel, channel) };
    }
    if in_vectors < channels {
        if HAS_GAPS {
            pass.prefetch::<S, COUNT>(simd, pixel + AHEAD, in_vectors);
        }
        // What does not fill a vector, while the lines that the vectors have touched are in cache.
        for pixel in pixel..pixel + COUNT {
            for channel in in_vectors..channels {
                // SAFETY: the caller's promise.
                unsafe { pass.number(pixel, channel) };
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { pass.end_block(simd, pixel, COUNT) };
}
