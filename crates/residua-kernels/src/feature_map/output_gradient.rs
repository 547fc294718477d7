//! The gradient of a convolution's output, seen through the normalisation that follows it.

use std::ops::Range;

use rayon::prelude::*;

use super::source::load_block;
use super::view::{Pixels, prefetch_pixels};
use super::{Lines, MapView, MapViewMut, run_lines};
use crate::Element;
use crate::element::{VectorElement, copy_numbers};
use crate::reduce::check_channels;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// The backward pass of a batch normalisation as a map of its operands, once its sums are known:
/// `gradient_factor · gradient + value_factor · value + constant` for each channel.
#[derive(Clone, Copy, Debug)]
pub struct NormGradient<'a, E> {
    /// What the normalisation read, `[..., C]`.
    pub values: MapView<'a, E>,
    /// `gamma · inverse deviation`.
    pub gradient_factor: &'a [f32],
    /// Factor of the values.
    pub value_factor: &'a [f32],
    /// What is added.
    pub constant: &'a [f32],
}

/// A gradient with respect to a convolution's output.
#[derive(Clone, Copy, Debug)]
pub struct OutputGradient<'a, E> {
    /// `[..., K]`: with respect to the normalisation's result if there is one, otherwise to the
    /// output itself.
    pub gradient: &'a [E],
    /// The normalisation between the output and `gradient`.
    pub norm: Option<NormGradient<'a, E>>,
}

impl<'a, E: Element> OutputGradient<'a, E> {
    /// The gradient as it is stored.
    pub fn stored(gradient: &'a [E]) -> Self {
        Self {
            gradient,
            norm: None,
        }
    }

    /// Checks that all parts fit a map of `length` numbers in `channels` channels.
    ///
    /// # Errors
    /// If one does not.
    pub(crate) fn check(&self, length: usize, channels: usize) -> Result<(), ShapeError> {
        ShapeError::check_length("output gradient", self.gradient.len(), length)?;
        if let Some(norm) = &self.norm {
            norm.values.check("values of the norm", length, channels)?;
        }
        self.check_factors(channels)
    }

    fn check_factors(&self, channels: usize) -> Result<(), ShapeError> {
        if let Some(norm) = &self.norm {
            for factors in [norm.gradient_factor, norm.value_factor, norm.constant] {
                ShapeError::check_length("factors of the norm", factors.len(), channels)?;
            }
        }
        Ok(())
    }

    /// Writes the whole gradient, `[pixels, channels]`, to `target`.
    ///
    /// # Errors
    /// If lengths do not fit.
    pub fn evaluate(&self, channels: usize, target: MapViewMut<'_, E>) -> Result<(), ShapeError> {
        self.write(channels, target, Write::Replace)
    }

    /// Adds the whole gradient, `[pixels, channels]`, to `target`.
    ///
    /// # Errors
    /// If lengths do not fit.
    pub fn add_to(&self, channels: usize, target: MapViewMut<'_, E>) -> Result<(), ShapeError> {
        self.write(channels, target, Write::Add)
    }

    fn write(
        &self,
        channels: usize,
        target: MapViewMut<'_, E>,
        write: Write,
    ) -> Result<(), ShapeError> {
        let length = self.gradient.len();
        check_channels("output gradient", length, channels)?;
        self.check(length, channels)?;
        target.check("target", length, channels)?;
        let set = InstructionSet::current();
        let pixels = length / channels;
        let (target, stride) = target.into_pixels(pixels, channels);
        let pixels_per_part = (PART_NUMBERS / channels).max(1);
        target
            .par_chunks_mut(pixels_per_part * stride)
            .enumerate()
            .for_each(|(part, target)| {
                let first = part * pixels_per_part;
                let part = first..(first + pixels_per_part).min(pixels);
                self.write_pixels(set, channels, part, target, stride, write);
            });
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
        self.write_pixels(set, channels, pixels, target, stride, Write::Replace);
    }

    fn write_pixels<P: VectorElement>(
        &self,
        set: InstructionSet,
        channels: usize,
        pixels: Range<usize>,
        target: &mut [P],
        stride: usize,
        write: Write,
    ) {
        let count = pixels.len();
        if count == 0 {
            return;
        }
        assert!(
            stride >= channels && (count - 1) * stride + channels <= target.len(),
            "pixels outside of the target"
        );
        self.check_factors(channels)
            .expect("a gradient was checked before it is read");
        set.run(Load {
            gradient: self,
            pixels,
            channels,
            target,
            stride,
            write,
        });
    }
}

/// What becomes of the numbers that are in a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Replace,
    Add,
}

/// Numbers in one task's work.
const PART_NUMBERS: usize = 32 * 1024;

struct Load<'a, 's, E, P> {
    gradient: &'a OutputGradient<'s, E>,
    pixels: Range<usize>,
    channels: usize,
    target: &'a mut [P],
    stride: usize,
    write: Write,
}

impl<E: Element, P: VectorElement> Kernel for Load<'_, '_, E, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (count, channels) = (self.pixels.len(), self.channels);
        let OutputGradient { gradient, norm } = *self.gradient;
        let gradient = MapView::from(gradient).pixels(self.pixels.clone(), channels);
        if let Some(numbers) = gradient.contiguous()
            && self.write == Write::Replace
            && norm.is_none()
            && self.stride == channels
        {
            return copy_numbers(simd, numbers, self.target);
        }
        let mut pass = LoadPass::<E, P> {
            gradient,
            norm: norm.map(|norm| (norm.values.pixels(self.pixels, channels), norm)),
            target: self.target.as_mut_ptr(),
            stride: self.stride,
            adds_to_gaps: self.write == Write::Add && self.stride > channels,
            write: self.write,
        };
        // SAFETY: the maps were cut to these pixels, the factors have all channels, and the target
        // has room for the pixels at that stride (all in `write_pixels`).
        unsafe { run_lines(simd, &mut pass, count, channels) };
    }
}

struct LoadPass<'a, E, P> {
    gradient: Pixels<'a, E>,
    norm: Option<(Pixels<'a, E>, NormGradient<'a, E>)>,
    target: *mut P,
    stride: usize,
    /// Whether the target is read too, and numbers of others lie between its pixels.
    adds_to_gaps: bool,
    write: Write,
}

impl<E: Element, P: VectorElement> Lines for LoadPass<'_, E, P> {
    #[inline(always)]
    fn has_gaps(&self) -> bool {
        let norm = self.norm.as_ref();
        self.adds_to_gaps || norm.is_some_and(|(values, _)| values.has_gaps())
    }

    #[inline(always)]
    fn prefetch<S: Simd, const COUNT: usize>(&self, simd: S, pixel: usize, channel: usize) {
        if let Some((values, _)) = &self.norm {
            values.prefetch::<S, COUNT>(simd, pixel, channel);
        }
        if self.adds_to_gaps {
            let target = self.target.cast_const();
            prefetch_pixels::<S, P, COUNT>(simd, target, self.stride, pixel, channel);
        }
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
            let mut numbers: [_; COUNT] = load_block(simd, &self.gradient, pixel, channel);
            if let Some((values, norm)) = &self.norm {
                let values: [_; COUNT] = load_block(simd, values, pixel, channel);
                let gradient_factor = simd.load(norm.gradient_factor.as_ptr().add(channel));
                let value_factor = simd.load(norm.value_factor.as_ptr().add(channel));
                let constant = simd.load(norm.constant.as_ptr().add(channel));
                for (number, value) in numbers.iter_mut().zip(values) {
                    let rest = simd.mul_add(value, value_factor, constant);
                    *number = simd.mul_add(*number, gradient_factor, rest);
                }
            }
            for (index, mut number) in numbers.into_iter().enumerate() {
                let offset = (pixel + index) * self.stride + channel;
                let target = self.target.add(offset);
                if self.write == Write::Add {
                    number = simd.add(P::load(simd, target), number);
                }
                P::store(simd, target, number);
            }
        }
    }

    #[inline(always)]
    unsafe fn number(&mut self, pixel: usize, channel: usize) {
        // SAFETY: the caller of `run_lines` promised the pixels and channels in all parts.
        unsafe {
            let mut number = (*self.gradient.at(pixel, channel)).to_f32();
            if let Some((values, norm)) = &self.norm {
                let value = (*values.at(pixel, channel)).to_f32();
                let rest = value * norm.value_factor[channel] + norm.constant[channel];
                number = number * norm.gradient_factor[channel] + rest;
            }
            let target = self.target.add(pixel * self.stride + channel);
            if self.write == Write::Add {
                number += (*target).to_f32();
            }
            *target = P::from_f32(number);
        }
    }
}
