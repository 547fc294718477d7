//! How a pass writes a map: to the caches, or past them.

use crate::element::VectorElement;
use crate::lines::LINE;
use crate::scratch::Scratch;
use crate::simd::Simd;

use super::lines::PIXELS;

/// How a pass writes a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// Who reads the map next finds some of it in cache.
    Cached,
    /// Past the caches, which do not hold the map anyway, and would first fetch each line that is
    /// overwritten.
    Streamed,
}

/// Maps that are larger are streamed; a third-level cache may hold smaller ones.
const CACHED_BYTES: usize = 32 * 1024 * 1024;

impl Stores {
    /// For a map that is written as a whole.
    pub(crate) fn of<E>(map: &[E]) -> Self {
        if size_of_val(map) > CACHED_BYTES {
            Self::Streamed
        } else {
            Self::Cached
        }
    }
}

/// Writes pixels of a map for a pass over [`super::Lines`].
pub(crate) struct MapWriter<'a, E: VectorElement> {
    target: &'a mut [E],
    channels: usize,
    /// A block of pixels on its way past the caches, which take whole lines only, while a pass works
    /// on some channels at a time.
    block: Option<Scratch<E>>,
}

impl<'a, E: VectorElement> MapWriter<'a, E> {
    /// Writes pixels of so many channels to `target`. They are streamed if each begins at a line of
    /// the caches.
    pub(crate) fn new(target: &'a mut [E], channels: usize, stores: Stores) -> Self {
        let in_lines = (channels * size_of::<E>()).is_multiple_of(LINE)
            && target.as_ptr().addr().is_multiple_of(LINE)
            && target.len().is_multiple_of(channels);
        let streams = stores == Stores::Streamed && in_lines;
        Self {
            target,
            channels,
            block: streams.then(|| Scratch::uninitialised(PIXELS * channels)),
        }
    }

    /// What the target holds.
    pub(crate) fn target(&self) -> &[E] {
        self.target
    }

    /// Writes one number.
    pub(crate) fn number(&mut self, index: usize, number: f32) {
        self.target[index] = E::from_f32(number);
    }

    /// Writes the vectors at `channel` of the pixels from `pixel` on.
    ///
    /// # Safety
    /// The target must have the pixels and the channels. If [`Self::end_block`] is called for them,
    /// all their channels must have been written by then.
    #[inline(always)]
    pub(crate) unsafe fn vectors<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        pixel: usize,
        channel: usize,
        vectors: &[S::Vector; COUNT],
    ) {
        const { assert!(COUNT <= PIXELS) };
        let first = match &mut self.block {
            Some(block) => block.as_mut_ptr(),
            // SAFETY: the caller promises the pixel.
            None => unsafe { self.target.as_mut_ptr().add(pixel * self.channels) },
        };
        for (index, &vector) in vectors.iter().enumerate() {
            // SAFETY: the block has as many pixels as a pass works on at once; the target has them by
            // the caller's promise.
            unsafe { E::store(simd, first.add(index * self.channels + channel), vector) };
        }
    }

    /// Ends the work on `count` pixels from `pixel` on.
    ///
    /// # Safety
    /// The target must have the pixels.
    #[inline(always)]
    pub(crate) unsafe fn end_block<S: Simd>(&mut self, simd: S, pixel: usize, count: usize) {
        let Some(block) = &self.block else { return };
        let words = count * self.channels / E::PER_WORD;
        assert!(count <= PIXELS && words.is_multiple_of(S::LANES));
        let source = block.as_ptr().cast::<f32>();
        // SAFETY: the caller promises the pixels, each of which consists of whole lines (`new`), so of
        // whole, aligned vectors. Words are moved as they are, whatever numbers are in them. Nothing
        // is read before `end`, which a pass calls when it is done.
        unsafe {
            let target = self
                .target
                .as_mut_ptr()
                .add(pixel * self.channels)
                .cast::<f32>();
            for index in (0..words).step_by(S::LANES) {
                simd.stream(target.add(index), simd.load(source.add(index)));
            }
        }
    }

    /// Ends the pass: what was written can be read.
    #[inline(always)]
    pub(crate) fn end<S: Simd>(&mut self, simd: S) {
        if self.block.is_some() {
            simd.end_streams();
        }
    }
}
