//! Where the pixels of samples come from.

use residua_core::preprocessing::Preprocessing;

use crate::dataset::{Sample, Source};
use crate::error::DataError;
use crate::picture_cache::PictureCache;
use crate::pixels::Pixels;

/// Reads the pixels of samples: from their files and records, or from a cache of reduced pictures.
///
/// What a [`Transform`](crate::Transform) makes of them is the same bits either way.
#[derive(Debug, Clone, Default)]
pub struct PictureReader {
    reduced: Option<(PictureCache, usize)>,
}

impl PictureReader {
    /// Reads image files through a cache, if there is one and the preprocessing reduces pictures.
    pub fn new(preprocessing: &Preprocessing, cache: Option<PictureCache>) -> Self {
        Self {
            reduced: cache.zip(preprocessing.shorter_side),
        }
    }

    /// The decoded image, reduced already where it comes through the cache.
    ///
    /// # Errors
    /// [`DataError::Unreadable`] if it is in a file that cannot be decoded.
    pub fn pixels<'a>(&self, sample: &'a Sample) -> Result<Pixels<'a>, DataError> {
        match (&sample.source, &self.reduced) {
            (Source::File(path), Some((cache, shorter_side))) => cache.pixels(path, *shorter_side),
            _ => sample.pixels(),
        }
    }

    /// What the user of its cache should know ([`PictureCache::take_warning`]).
    pub fn take_warning(&self) -> Option<String> {
        self.reduced.as_ref()?.0.take_warning()
    }
}
