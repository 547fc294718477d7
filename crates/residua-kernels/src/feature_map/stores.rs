//! Whether a map is written to the caches or past them.

use crate::lines::LINE;
use crate::simd::Simd;

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
const CACHED_BYTES: usize = 16 * 1024 * 1024;

impl Stores {
    /// For a map that is written as a whole.
    pub(crate) fn of<E>(map: &[E]) -> Self {
        if size_of_val(map) > CACHED_BYTES {
            Self::Streamed
        } else {
            Self::Cached
        }
    }

    /// Whether to stream pixels of so many channels from `target` on: only vectors that are whole
    /// lines, because the halves of a line would be written at different times.
    #[inline(always)]
    pub(crate) fn are_streams<S: Simd, E>(self, target: *const E, channels: usize) -> bool {
        self == Self::Streamed
            && S::LANES * size_of::<E>() == LINE
            && channels.is_multiple_of(S::LANES)
            && target.addr().is_multiple_of(LINE)
    }
}
