//! The loop that all passes over feature maps share.

use crate::simd::Simd;

/// Pixels that are worked on together, so that the numbers of a channel are fetched once for all.
pub(super) const PIXELS: usize = 8;

/// A pass over pixels, channel by channel.
pub(crate) trait Lines {
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
    let in_blocks = pixels - pixels % PIXELS;
    for pixel in (0..in_blocks).step_by(PIXELS) {
        for channel in (0..in_vectors).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe { pass.vectors::<S, PIXELS>(simd, pixel, channel) };
        }
        // SAFETY: the caller's promise.
        unsafe { pass.end_block(simd, pixel, PIXELS) };
    }
    for pixel in in_blocks..pixels {
        for channel in (0..in_vectors).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe { pass.vectors::<S, 1>(simd, pixel, channel) };
        }
        // SAFETY: the caller's promise.
        unsafe { pass.end_block(simd, pixel, 1) };
    }
    if in_vectors < channels {
        for pixel in 0..pixels {
            for channel in in_vectors..channels {
                // SAFETY: the caller's promise.
                unsafe { pass.number(pixel, channel) };
            }
        }
    }
}
