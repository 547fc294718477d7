//! What a convolution reads: stored numbers, or a normalisation, addition and rectifier of them.

use std::ops::Range;

use rayon::prelude::*;

use super::{Lines, run_lines};
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
    pub values: &'a [E],
    /// The shortcut's own normalisation.
    pub affine: Option<Affine<'a>>,
}

/// The feature map `max(scale · values + shift + shortcut, 0)`, of which every part but the values
/// may be absent.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, E> {
    /// `[..., C]`.
    pub values: &'a [E],
    /// The normalisation.
    pub affine: Option<Affine<'a>>,
    /// What is added to it.
    pub shortcut: Option<Shortcut<'a, E>>,
    /// Whether negative results become zero.
    pub rectified: bool,
}

impl<'a, E: Element> Source<'a, E> {
    /// The stored numbers themselves.
    pub fn stored(values: &'a [E]) -> Self {
        Self {
            values,
            affine: None,
            shortcut: None,
            rectified: false,
        }
    }

    /// Checks that all parts fit a map of `length` numbers in `channels` channels.
    ///
    /// # Errors
    /// If one does not.
    pub(crate) fn check(&self, length: usize, channels: usize) -> Result<(), ShapeError> {
        ShapeError::check_length("source", self.values.len(), length)?;
        let affine = self.affine.iter();
        let mut affines: Vec<_> = affine.collect();
        if let Some(shortcut) = &self.shortcut {
            ShapeError::check_length("shortcut", shortcut.values.len(), length)?;
            affines.extend(shortcut.affine.iter());
        }
        for affine in affines {
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
            pixels.end * channels <= self.values.len(),
            "pixels outside of the source"
        );
        assert!(
            stride >= channels && (count - 1) * stride + channels <= target.len(),
            "pixels outside of the target"
        );
        self.check(self.values.len(), channels)
            .expect("a source was checked before it is read");
        set.run(Load {
            source: self,
            channels,
            pixels,
            target,
            stride,
        });
    }
}

impl<E: Element> Source<'_, E> {
    /// The vector at `offset`, before the rectifier.
    ///
    /// # Safety
    /// It must exist, and `channel` be its first channel.
    #[inline(always)]
    pub(super) unsafe fn before_rectifier<S: Simd>(
        &self,
        simd: S,
        offset: usize,
        channel: usize,
    ) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            let mut number = [E::load(simd, self.values.as_ptr().add(offset))];
            apply_affine(simd, self.affine, channel, &mut number);
            if let Some(shortcut) = &self.shortcut {
                let mut added = [E::load(simd, shortcut.values.as_ptr().add(offset))];
                apply_affine(simd, shortcut.affine, channel, &mut added);
                number[0] = simd.add(number[0], added[0]);
            }
            number[0]
        }
    }

    /// The number at `index`, before the rectifier.
    #[inline(always)]
    pub(super) fn number_before_rectifier(&self, index: usize, channel: usize) -> f32 {
        let at = |affine: Option<Affine<'_>>, number: f32| match affine {
            Some(affine) => number * affine.scale[channel] + affine.shift[channel],
            None => number,
        };
        let number = at(self.affine, self.values[index].to_f32());
        let added =
            |shortcut: &Shortcut<'_, E>| at(shortcut.affine, shortcut.values[index].to_f32());
        number + self.shortcut.as_ref().map_or(0.0, added)
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
    channels: usize,
    pixels: Range<usize>,
    target: &'a mut [P],
    stride: usize,
}

impl<E: Element, P: VectorElement> Kernel for Load<'_, '_, E, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let begin = self.pixels.start * self.channels;
        let length = self.pixels.len() * self.channels;
        let values = &self.source.values[begin..begin + length];
        let source = self.source;
        let is_stored = source.affine.is_none() && source.shortcut.is_none() && !source.rectified;
        if is_stored && self.stride == self.channels {
            return copy_numbers(simd, values, self.target);
        }
        let (pixels, channels) = (self.pixels.len(), self.channels);
        let mut pass = LoadPass::<E, P> {
            values: values.as_ptr(),
            affine: source.affine,
            shortcut: source.shortcut.map(|shortcut| {
                let values = shortcut.values[begin..begin + length].as_ptr();
                (values, shortcut.affine)
            }),
            rectified: source.rectified,
            target: self.target.as_mut_ptr(),
            channels,
            stride: self.stride,
        };
        // SAFETY: the slices were cut to these pixels, scale and shift have all channels (checked by
        // `load`), and the target has room for the pixels at that stride (also checked there).
        unsafe { run_lines(simd, &mut pass, pixels, channels) };
    }
}

struct LoadPass<'a, E, P> {
    values: *const E,
    affine: Option<Affine<'a>>,
    shortcut: Option<(*const E, Option<Affine<'a>>)>,
    rectified: bool,
    target: *mut P,
    channels: usize,
    stride: usize,
}

impl<E: Element, P: VectorElement> Lines for LoadPass<'_, E, P> {
    #[inline(always)]
    unsafe fn vectors<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        pixel: usize,
        channel: usize,
    ) {
        // SAFETY: the caller of `run_lines` promised the pixels and channels in all parts.
        unsafe {
            let mut numbers = [simd.splat(0.0); COUNT];
            load_block(
                simd,
                self.values,
                self.channels,
                pixel,
                channel,
                &mut numbers,
            );
            apply_affine(simd, self.affine, channel, &mut numbers);
            if let Some((values, affine)) = self.shortcut {
                let mut added = [simd.splat(0.0); COUNT];
                load_block(simd, values, self.channels, pixel, channel, &mut added);
                apply_affine(simd, affine, channel, &mut added);
                for (number, added) in numbers.iter_mut().zip(added) {
                    *number = simd.add(*number, added);
                }
            }
            for (index, number) in numbers.into_iter().enumerate() {
                let number = if self.rectified {
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
        let at = |affine: Option<Affine<'_>>, number: f32| match affine {
            Some(affine) => number * affine.scale[channel] + affine.shift[channel],
            None => number,
        };
        // SAFETY: the caller of `run_lines` promised the pixels and channels in all parts.
        unsafe {
            let index = pixel * self.channels + channel;
            let mut number = at(self.affine, (*self.values.add(index)).to_f32());
            if let Some((values, affine)) = self.shortcut {
                number += at(affine, (*values.add(index)).to_f32());
            }
            if self.rectified && number < 0.0 {
                number = 0.0;
            }
            *self.target.add(pixel * self.stride + channel) = P::from_f32(number);
        }
    }
}

/// Reads a vector of `COUNT` pixels that lie `channels` numbers apart.
///
/// # Safety
/// They must exist.
#[inline(always)]
pub(super) unsafe fn load_block<S: Simd, E: Element, const COUNT: usize>(
    simd: S,
    values: *const E,
    channels: usize,
    pixel: usize,
    channel: usize,
    numbers: &mut [S::Vector; COUNT],
) {
    for (index, number) in numbers.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *number = unsafe { E::load(simd, values.add((pixel + index) * channels + channel)) };
    }
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
