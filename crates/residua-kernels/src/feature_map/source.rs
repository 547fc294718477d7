//! What a convolution reads: stored numbers, or a normalisation, addition and rectifier of them.

use std::ops::Range;

use rayon::prelude::*;

use super::view::Pixels;
use super::{Lines, MapView, run_lines};
use crate::Element;
use crate::element::{VectorElement, copy_numbers};
use crate::reduce::check_channels;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// `scale · x + shift` with one pair of numbers per channel: what a normalisation comes down to
/// when its statistics are known.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Factor of each channel.
    pub scale: &'a [f32],
    /// Added to each channel.
    pub shift: &'a [f32],
}

/// What is added to a [`Source`] before its rectifier.
#[derive(Clone, Copy, Debug)]
pub struct Shortcut<'a, E> {
    /// `[..., C]`.
    pub values: MapView<'a, E>,
    /// The shortcut's own normalisation.
    pub affine: Option<Affine<'a>>,
}

/// The feature map `max(scale · values + shift + shortcut, 0)`, of which every part but the values
/// may be absent.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, E> {
    /// `[..., C]`.
    pub values: MapView<'a, E>,
    /// The normalisation.
    pub affine: Option<Affine<'a>>,
    /// What is added to it.
    pub shortcut: Option<Shortcut<'a, E>>,
    /// Whether negative results become zero.
    pub rectified: bool,
}

impl<'a, E: Element> Source<'a, E> {
    /// The stored numbers themselves.
    pub fn stored(values: impl Into<MapView<'a, E>>) -> Self {
        Self {
            values: values.into(),
            affine: None,
            shortcut: None,
            rectified: false,
        }
    }

    /// The map as it is stored, if it is and its pixels follow each other.
    pub(crate) fn stored_numbers(&self, channels: usize) -> Option<&'a [E]> {
        let is_stored = self.affine.is_none() && self.shortcut.is_none() && !self.rectified;
        { self.values.contiguous(channels) }.filter(|_| is_stored)
    }

    /// Checks that all parts fit a map of `length` numbers in `channels` channels.
    ///
    /// # Errors
    /// If one does not.
    pub(crate) fn check(&self, length: usize, channels: usize) -> Result<(), ShapeError> {
        self.values.check("source", length, channels)?;
        if let Some(shortcut) = &self.shortcut {
            shortcut.values.check("shortcut", length, channels)?;
        }
        self.check_affines(channels)
    }

    fn check_affines(&self, channels: usize) -> Result<(), ShapeError> {
        let shortcut = self.shortcut.as_ref();
        let affines = [self.affine, shortcut.and_then(|shortcut| shortcut.affine)];
        for affine in affines.into_iter().flatten() {
            ShapeError::check_length("scale", affine.scale.len(), channels)?;
            ShapeError::check_length("shift", affine.shift.len(), channels)?;
        }
        Ok(())
    }

    /// Writes the pixels of that range to `target`, whose pixels lie `stride` numbers apart.
    ///
    /// # Panics
    /// If a pixel or the target does not exist.
    pub(crate) fn load<P: VectorElement>(
        &self,
        set: InstructionSet,
        channels: usize,
        pixels: Range<usize>,
        target: &mut [P],
        stride: usize,
    ) {
        let count = pixels.len();
        if count == 0 {
            return;
        }
        assert!(
            stride >= channels && (count - 1) * stride + channels <= target.len(),
            "pixels outside of the target"
        );
        self.check_affines(channels)
            .expect("a source was checked before it is read");
        set.run(Load {
            source: self,
            pixels,
            channels,
            target,
            stride,
        });
    }

    /// Some of the pixels.
    ///
    /// # Panics
    /// If one does not exist.
    #[inline(always)]
    pub(super) fn pixels(&self, pixels: Range<usize>, channels: usize) -> SourcePixels<'a, E> {
        SourcePixels {
            values: self.values.pixels(pixels.clone(), channels),
            affine: self.affine,
            shortcut: self.shortcut.map(|shortcut| {
                let values = shortcut.values.pixels(pixels, channels);
                (values, shortcut.affine)
            }),
            rectified: self.rectified,
        }
    }
}

/// Some pixels of a source.
pub(super) struct SourcePixels<'a, E> {
    values: Pixels<'a, E>,
    affine: Option<Affine<'a>>,
    shortcut: Option<(Pixels<'a, E>, Option<Affine<'a>>)>,
    rectified: bool,
}

impl<E: Element> SourcePixels<'_, E> {
    /// The pixels as they are stored, if they are and follow each other.
    #[inline(always)]
    fn stored_numbers(&self) -> Option<&[E]> {
        let is_stored = self.affine.is_none() && self.shortcut.is_none() && !self.rectified;
        { self.values.contiguous() }.filter(|_| is_stored)
    }

    /// Whether other numbers lie between the pixels of a map.
    #[inline(always)]
    pub(super) fn has_gaps(&self) -> bool {
        let shortcut = self.shortcut.as_ref();
        self.values.has_gaps() || shortcut.is_some_and(|(values, _)| values.has_gaps())
    }

    /// As [`Pixels::prefetch`].
    #[inline(always)]
    pub(super) fn prefetch<S: Simd, const COUNT: usize>(
        &self,
        simd: S,
        pixel: usize,
        channel: usize,
    ) {
        self.values.prefetch::<S, COUNT>(simd, pixel, channel);
        if let Some((values, _)) = &self.shortcut {
            values.prefetch::<S, COUNT>(simd, pixel, channel);
        }
    }

    /// The vectors at `channel` of `COUNT` pixels, before the rectifier.
    ///
    /// # Safety
    /// The pixels and channels must be among those that were asked for.
    #[inline(always)]
    pub(super) unsafe fn vectors<S: Simd, const COUNT: usize>(
        &self,
        simd: S,
        pixel: usize,
        channel: usize,
    ) -> [S::Vector; COUNT] {
        // SAFETY: the caller's promise; scales and shifts have all channels (`Source::pixels`).
        unsafe {
            let mut numbers = load_block(simd, &self.values, pixel, channel);
            apply_affine(simd, self.affine, channel, &mut numbers);
            if let Some((values, affine)) = &self.shortcut {
                let mut added: [_; COUNT] = load_block(simd, values, pixel, channel);
                apply_affine(simd, *affine, channel, &mut added);
                for (number, added) in numbers.iter_mut().zip(added) {
                    *number = simd.add(*number, added);
                }
            }
            numbers
        }
    }

    /// One number, before the rectifier.
    ///
    /// # Safety
    /// As for [`Self::vectors`].
    #[inline(always)]
    pub(super) unsafe fn number(&self, pixel: usize, channel: usize) -> f32 {
        let at = |affine: Option<Affine<'_>>, number: f32| match affine {
            Some(affine) => number * affine.scale[channel] + affine.shift[channel],
            None => number,
        };
        // SAFETY: the caller's promise.
        unsafe {
            let mut sum = at(self.affine, (*self.values.at(pixel, channel)).to_f32());
            if let Some((values, affine)) = &self.shortcut {
                sum += at(*affine, (*values.at(pixel, channel)).to_f32());
            }
            sum
        }
    }
}

/// Writes the whole map, `[pixels, channels]`, to `target`.
///
/// # Errors
/// If lengths do not fit.
pub fn evaluate<E: Element>(
    source: &Source<'_, E>,
    channels: usize,
    target: &mut [E],
) -> Result<(), ShapeError> {
    check_channels("target", target.len(), channels)?;
    source.check(target.len(), channels)?;
    let set = InstructionSet::current();
    let pixels_per_part = (PART_NUMBERS / channels).max(1);
    target
        .par_chunks_mut(pixels_per_part * channels)
        .enumerate()
        .for_each(|(part, target)| {
            let first = part * pixels_per_part;
            let pixels = first..first + target.len() / channels;
            source.load(set, channels, pixels, target, channels);
        });
    Ok(())
}

/// Copies pixels that lie `stride` numbers apart to `target`, `[pixels, channels]`.
///
/// # Panics
/// If there are fewer pixels than the target has.
pub(crate) fn copy_pixels<P: VectorElement, E: VectorElement>(
    set: InstructionSet,
    channels: usize,
    pixels: &[P],
    stride: usize,
    target: &mut [E],
) {
    set.run(CopyPixels {
        channels,
        pixels,
        stride,
        target,
    });
}

struct CopyPixels<'a, P, E> {
    channels: usize,
    pixels: &'a [P],
    stride: usize,
    target: &'a mut [E],
}

impl<P: VectorElement, E: VectorElement> Kernel for CopyPixels<'_, P, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.stride == self.channels {
            assert!(self.pixels.len() >= self.target.len(), "too few pixels");
            return copy_numbers(simd, self.pixels, self.target);
        }
        let targets = self.target.chunks_exact_mut(self.channels);
        for (index, target) in targets.enumerate() {
            let pixel = &self.pixels[index * self.stride..][..self.channels];
            copy_numbers(simd, pixel, target);
        }
    }
}

/// Rounds numbers to another format.
///
/// # Errors
/// If the lengths differ.
pub fn convert<E: Element, P: Element>(numbers: &[E], target: &mut [P]) -> Result<(), ShapeError> {
    ShapeError::check_length("target", target.len(), numbers.len())?;
    let set = InstructionSet::current();
    let source = Source::stored(numbers);
    target
        .par_chunks_mut(PART_NUMBERS)
        .enumerate()
        .for_each(|(part, target)| {
            let first = part * PART_NUMBERS;
            source.load(set, 1, first..first + target.len(), target, 1);
        });
    Ok(())
}

/// Numbers in one task's work.
const PART_NUMBERS: usize = 32 * 1024;

struct Load<'a, 's, E, P> {
    source: &'a Source<'s, E>,
    pixels: Range<usize>,
    channels: usize,
    target: &'a mut [P],
    stride: usize,
}

impl<E: Element, P: VectorElement> Kernel for Load<'_, '_, E, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (count, channels) = (self.pixels.len(), self.channels);
        let source = self.source.pixels(self.pixels, channels);
        if let Some(numbers) = source.stored_numbers()
            && self.stride == channels
        {
            return copy_numbers(simd, numbers, self.target);
        }
        let mut pass = LoadPass::<E, P> {
            source,
            target: self.target.as_mut_ptr(),
            stride: self.stride,
        };
        // SAFETY: the source was cut to these pixels, and the target has room for them at that
        // stride (both in `load`).
        unsafe { run_lines(simd, &mut pass, count, channels) };
    }
}

struct LoadPass<'a, E, P> {
    source: SourcePixels<'a, E>,
    target: *mut P,
    stride: usize,
}

impl<E: Element, P: VectorElement> Lines for LoadPass<'_, E, P> {
    #[inline(always)]
    fn has_gaps(&self) -> bool {
        self.source.has_gaps()
    }

    #[inline(always)]
    fn prefetch<S: Simd, const COUNT: usize>(&self, simd: S, pixel: usize, channel: usize) {
        self.source.prefetch::<S, COUNT>(simd, pixel, channel);
    }

    #[inline(always)]
    unsafe fn vectors<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        pixel: usize,
        channel: usize,
    ) {
        // SAFETY: the caller of `run_lines` promised the pixels and channels in all parts.
        unsafe {
            let numbers: [_; COUNT] = self.source.vectors(simd, pixel, channel);
            for (index, number) in numbers.into_iter().enumerate() {
                let number = if self.source.rectified {
                    simd.rectify(number)
                } else {
                    number
                };
                let offset = (pixel + index) * self.stride + channel;
                P::store(simd, self.target.add(offset), number);
            }
        }
    }

    #[inline(always)]
    unsafe fn number(&mut self, pixel: usize, channel: usize) {
        // SAFETY: the caller of `run_lines` promised the pixels and channels in all parts.
        unsafe {
            let mut number = self.source.number(pixel, channel);
            if self.source.rectified && number < 0.0 {
                number = 0.0;
            }
            *self.target.add(pixel * self.stride + channel) = P::from_f32(number);
        }
    }
}

/// Reads the vectors at `channel` of `COUNT` pixels.
///
/// # Safety
/// They must exist.
#[inline(always)]
pub(super) unsafe fn load_block<S: Simd, E: Element, const COUNT: usize>(
    simd: S,
    values: &Pixels<'_, E>,
    pixel: usize,
    channel: usize,
) -> [S::Vector; COUNT] {
    let mut numbers = [simd.splat(0.0); COUNT];
    for (index, number) in numbers.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *number = unsafe { E::load(simd, values.at(pixel + index, channel)) };
    }
    numbers
}

/// Applies the vector of scales and shifts at `channel`.
///
/// # Safety
/// They must exist.
#[inline(always)]
unsafe fn apply_affine<S: Simd, const COUNT: usize>(
    simd: S,
    affine: Option<Affine<'_>>,
    channel: usize,
    numbers: &mut [S::Vector; COUNT],
) {
    let Some(affine) = affine else { return };
    // SAFETY: the caller's promise.
    let (scale, shift) = unsafe {
        (
            simd.load(affine.scale.as_ptr().add(channel)),
            simd.load(affine.shift.as_ptr().add(channel)),
        )
    };
    for number in numbers {
        *number = simd.mul_add(*number, scale, shift);
    }
}
