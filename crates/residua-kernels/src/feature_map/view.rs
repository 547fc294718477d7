//! Maps in memory: contiguous, or the first channels of wider ones.

use std::ops::Range;

use crate::ShapeError;
use crate::reduce::check_channels;
use crate::simd::Simd;

/// A stored map of which a pass reads the first channels of every pixel: all of them, or those that
/// a wider map begins with. How many channels that are is said where it is read.
#[derive(Clone, Copy, Debug)]
pub struct MapView<'a, E> {
    values: &'a [E],
    distance: Distance,
}

/// A stored map of which a pass writes the first channels of every pixel; see [`MapView`].
#[derive(Debug)]
pub struct MapViewMut<'a, E> {
    values: &'a mut [E],
    distance: Distance,
}

/// Some pixels of a map.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pixels<'a, E> {
    numbers: &'a [E],
    /// Numbers from the beginning of one to that of the next.
    pitch: usize,
    /// Whether other numbers lie between them.
    has_gaps: bool,
}

/// From the beginning of one pixel to that of the next.
#[derive(Clone, Copy, Debug)]
enum Distance {
    /// As many numbers as there are channels.
    Channels,
    /// The channels of a wider map.
    Numbers(usize),
}

impl<'a, E> MapView<'a, E> {
    /// The first channels of pixels that begin `pitch` numbers apart. Nothing needs to follow those
    /// of the last pixel.
    pub fn apart(values: &'a [E], pitch: usize) -> Self {
        let distance = Distance::Numbers(pitch);
        Self { values, distance }
    }

    /// Checks that there are exactly the pixels of a map of `length` numbers in `channels` channels
    /// or, where other numbers may lie between them, at least these.
    ///
    /// # Errors
    /// If there are not.
    pub(crate) fn check(
        &self,
        name: &str,
        length: usize,
        channels: usize,
    ) -> Result<(), ShapeError> {
        self.distance
            .check(name, self.values.len(), length, channels)
    }

    /// How many pixels there are.
    ///
    /// # Errors
    /// If one is not whole.
    pub(super) fn count(&self, name: &str, channels: usize) -> Result<usize, ShapeError> {
        let length = self.values.len();
        let numbers = match self.distance {
            Distance::Channels => length,
            Distance::Numbers(pitch) => length.div_ceil(pitch.max(1)).saturating_mul(channels),
        };
        check_channels(name, numbers, channels)?;
        self.check(name, numbers, channels)?;
        Ok(numbers / channels)
    }

    /// All numbers, if the pixels follow each other.
    pub(crate) fn contiguous(&self, channels: usize) -> Option<&'a [E]> {
        (self.distance.numbers(channels) == channels).then_some(self.values)
    }

    /// The numbers from the first of those pixels to the last of them.
    ///
    /// # Panics
    /// If a pixel does not exist.
    #[inline(always)]
    pub(super) fn pixels(&self, pixels: Range<usize>, channels: usize) -> Pixels<'a, E> {
        let range = { self.distance }.range(self.values.len(), pixels, channels);
        let pitch = self.distance.numbers(channels);
        Pixels {
            numbers: &self.values[range],
            pitch,
            has_gaps: pitch > channels,
        }
    }
}

impl<E> Pixels<'_, E> {
    /// The address of a number.
    ///
    /// # Safety
    /// The pixel and the channel must be among those that were asked for.
    #[inline(always)]
    pub(super) unsafe fn at(&self, pixel: usize, channel: usize) -> *const E {
        // SAFETY: the numbers reach from the first to the last of the pixels (`MapView::pixels`).
        unsafe { self.numbers.as_ptr().add(pixel * self.pitch + channel) }
    }

    /// The numbers, if they follow each other.
    #[inline(always)]
    pub(super) fn contiguous(&self) -> Option<&[E]> {
        (!self.has_gaps).then_some(self.numbers)
    }

    /// Whether other numbers lie between the pixels.
    #[inline(always)]
    pub(super) fn has_gaps(&self) -> bool {
        self.has_gaps
    }

    /// Fetches the numbers at `channel` of `COUNT` pixels, which need not exist, if there are gaps.
    #[inline(always)]
    pub(super) fn prefetch<S: Simd, const COUNT: usize>(
        &self,
        simd: S,
        pixel: usize,
        channel: usize,
    ) {
        if self.has_gaps {
            let first = self.numbers.as_ptr();
            prefetch_pixels::<S, E, COUNT>(simd, first, self.pitch, pixel, channel);
        }
    }
}

/// Fetches the numbers at `channel` of `COUNT` pixels that lie `pitch` numbers apart. They need not
/// exist.
#[inline(always)]
pub(super) fn prefetch_pixels<S: Simd, E, const COUNT: usize>(
    simd: S,
    first: *const E,
    pitch: usize,
    pixel: usize,
    channel: usize,
) {
    for pixel in pixel..pixel + COUNT {
        simd.prefetch(first.wrapping_add(pixel * pitch + channel).cast());
    }
}

impl<'a, E> From<&'a [E]> for MapView<'a, E> {
    /// A map whose pixels follow each other.
    fn from(values: &'a [E]) -> Self {
        let distance = Distance::Channels;
        Self { values, distance }
    }
}

impl<'a, E> MapViewMut<'a, E> {
    /// The first channels of pixels that begin `pitch` numbers apart. Nothing needs to follow those
    /// of the last pixel.
    pub fn apart(values: &'a mut [E], pitch: usize) -> Self {
        let distance = Distance::Numbers(pitch);
        Self { values, distance }
    }

    /// As [`MapView::check`].
    ///
    /// # Errors
    /// If there are not the pixels.
    pub(crate) fn check(
        &self,
        name: &str,
        length: usize,
        channels: usize,
    ) -> Result<(), ShapeError> {
        self.distance
            .check(name, self.values.len(), length, channels)
    }

    /// The numbers from the first pixel to the last of `count`, and the distance of pixels.
    ///
    /// # Panics
    /// If there are fewer.
    pub(super) fn into_pixels(self, count: usize, channels: usize) -> (&'a mut [E], usize) {
        let range = { self.distance }.range(self.values.len(), 0..count, channels);
        (&mut self.values[range], self.distance.numbers(channels))
    }
}

impl<'a, E> From<&'a mut [E]> for MapViewMut<'a, E> {
    /// A map whose pixels follow each other.
    fn from(values: &'a mut [E]) -> Self {
        let distance = Distance::Channels;
        Self { values, distance }
    }
}

impl Distance {
    fn numbers(self, channels: usize) -> usize {
        match self {
            Self::Channels => channels,
            Self::Numbers(pitch) => pitch,
        }
    }

    /// Numbers from the first of so many pixels to the last, if that can be counted.
    fn extent(self, pixels: usize, channels: usize) -> Option<usize> {
        match pixels.checked_sub(1) {
            Some(others) => { others.checked_mul(self.numbers(channels)) }?.checked_add(channels),
            None => Some(0),
        }
    }

    /// Where pixels lie among the numbers of a map.
    ///
    /// # Panics
    /// If one does not exist or they overlap.
    #[inline]
    fn range(self, available: usize, pixels: Range<usize>, channels: usize) -> Range<usize> {
        let pitch = self.numbers(channels);
        assert!(pitch >= channels, "pixels overlap");
        let end = self.extent(pixels.end, channels);
        let end = { end.filter(|end| *end <= available) }.expect("pixels lie within their map");
        if pixels.is_empty() {
            return 0..0;
        }
        pixels.start * pitch..end
    }

    fn check(
        self,
        name: &str,
        available: usize,
        length: usize,
        channels: usize,
    ) -> Result<(), ShapeError> {
        let Self::Numbers(pitch) = self else {
            return ShapeError::check_length(name, available, length);
        };
        if pitch < channels {
            return Err(ShapeError::new(format!(
                "pixels of {name} with {channels} channels overlap at a distance of {pitch}"
            )));
        }
        let pixels = length.checked_div(channels).unwrap_or(0);
        match self.extent(pixels, channels) {
            Some(extent) if extent <= available => Ok(()),
            _ => Err(ShapeError::new(format!(
                "{name} has {available} elements, too few for {pixels} pixels of {channels} channels \
                 at a distance of {pitch}"
            ))),
        }
    }
}
