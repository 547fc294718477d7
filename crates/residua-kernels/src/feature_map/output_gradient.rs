//! The gradient of a convolution's output, seen through the normalisation that follows it.

use std::ops::Range;

use rayon::prelude::*;

use super::source::load_block;
use super::{Lines, run_lines};
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
    pub values: &'a [E],
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
            ShapeError::check_length("values of the norm", norm.values.len(), length)?;
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
    pub fn evaluate(&self, channels: usize, target: &mut [E]) -> Result<(), ShapeError> {
        self.write(channels, target, Write::Replace)
    }

    /// Adds the whole gradient, `[pixels, channels]`, to `target`.
    ///
    /// # Errors
    /// If lengths do not fit.
    pub fn add_to(&self, channels: usize, target: &mut [E]) -> Result<(), ShapeError> {
        self.write(channels, target, Write::Add)
    }

    fn write(&self, channels: usize, target: &mut [E], write: Write) -> Result<(), ShapeError> {
        check_channels("target", target.len(), channels)?;
        self.check(target.len(), channels)?;
        let set = InstructionSet::current();
        let pixels_per_part = (PART_NUMBERS / channels).max(1);
        target
            .par_chunks_mut(pixels_per_part * channels)
            .enumerate()
            .for_each(|(part, target)| {
                let first = part * pixels_per_part;
                let pixels = first..first + target.len() / channels;
                set.run(Load {
                    source: self,
                    channels,
                    pixels,
                    target,
                    stride: channels,
                    write,
                });
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
        let count = pixels.len();
        if count == 0 {
            return;
        }
        assert!(
            pixels.end * channels <= self.gradient.len(),
            "pixels outside of the gradient"
        );
        assert!(
            stride >= channels && (count - 1) * stride + channels <= target.len(),
            "pixels outside of the target"
        );
        self.check(self.gradient.len(), channels)
            .expect("a gradient was checked before it is read");
        set.run(Load {
            source: self,
            channels,
            pixels,
            target,
            stride,
            write: Write::Replace,
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
    source: &'a OutputGradient<'s, E>,
    channels: usize,
    pixels: Range<usize>,
    target: &'a mut [P],
    stride: usize,
    write: Write,
}

impl<E: Element, P: VectorElement> Kernel for Load<'_, '_, E, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let begin = self.pixels.start * self.channels;
        let length = self.pixels.len() * self.channels;
        let gradient = &self.source.gradient[begin..begin + length];
        let replaces = self.write == Write::Replace;
        if replaces && self.source.norm.is_none() && self.stride == self.channels {
            return copy_numbers(simd, gradient, self.target);
        }
        let (pixels, channels) = (self.pixels.len(), self.channels);
        let mut pass = LoadPass::<E, P> {
            gradient: gradient.as_ptr(),
            norm: self.source.norm.map(|norm| NormGradient {
                values: &norm.values[begin..begin + length],
                ..norm
            }),
            target: self.target.as_mut_ptr(),
            channels,
            stride: self.stride,
            write: self.write,
        };
        // SAFETY: the slices were cut to these pixels, the factors have all channels (checked by
        // `load`), and the target has room for the pixels at that stride (also checked there).
        unsafe { run_lines(simd, &mut pass, pixels, channels) };
    }
}

struct LoadPass<'a, E, P> {
    gradient: *const E,
    norm: Option<NormGradient<'a, E>>,
    target: *mut P,
    channels: usize,
    stride: usize,
    write: Write,
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
                self.gradient,
                self.channels,
                pixel,
                channel,
                &mut numbers,
            );
            if let Some(norm) = &self.norm {
                let mut values = [simd.splat(0.0); COUNT];
                let source = norm.values.as_ptr();
                load_block(simd, source, self.channels, pixel, channel, &mut values);
                let gradient_factor = simd.load(norm.gradient_factor.as_ptr().add(channel));
                let value_factor = simd.load(norm.value_factor.as_ptr().add(channel));
                let constant = simd.load(norm.constant.as_ptr().add(channel));
                for (number, value) in numbers.iter_mut().zip(values) {
                    let rest = simd.mul_add(value, value_factor, constant);
                    *number = simd.mul_add(*number, gradient_factor, rest);
                }
            }
            for (index, mut number) in numbers.into_iter().enumerate() {
                let target = self.target.add((pixel + index) * self.stride + channel);
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
            let index = pixel * self.channels + channel;
            let mut number = (*self.gradient.add(index)).to_f32();
            if let Some(norm) = &self.norm {
                let rest = norm.values[index].to_f32() * norm.value_factor[channel]
                    + norm.constant[channel];
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
