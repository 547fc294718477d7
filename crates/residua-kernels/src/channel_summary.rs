//! What the channels of each pixel have in common: their mean and the largest of them, the two maps
//! that the spatial gate of CBAM convolves (Woo et al. 2018, section 3).

use rayon::prelude::*;

use crate::reduce::check_channels;
use crate::rows::{maximum, position, sum};
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 64 * 1024;

/// Writes the mean and the largest of the `channels` channels of each pixel of `input` `[N, H, W,
/// C]` to `output` `[N, H, W, 2]`. NaN is larger than all numbers.
///
/// # Errors
/// If there are no channels or the lengths do not fit together.
pub fn forward<E: Element>(
    channels: usize,
    input: &[E],
    output: &mut [E],
) -> Result<(), ShapeError> {
    check_channels("input", input.len(), channels)?;
    ShapeError::check_length("output", output.len(), input.len() / channels * 2)?;
    let set = InstructionSet::current();
    let pixels = pixels_per_part(channels);
    output
        .par_chunks_mut(pixels * 2)
        .zip(input.par_chunks(pixels * channels))
        .for_each(|(output, input)| {
            set.run(Summarise {
                channels,
                input,
                output,
            });
        });
    Ok(())
}

/// The gradient of [`forward`]: that of the mean is spread evenly over the channels, and that of the
/// maximum goes to the first of the largest channels.
///
/// # Errors
/// If there are no channels or the lengths do not fit together.
pub fn backward<E: Element>(
    channels: usize,
    input: &[E],
    output_gradient: &[E],
    input_gradient: &mut [E],
) -> Result<(), ShapeError> {
    check_channels("input", input.len(), channels)?;
    ShapeError::check_length(
        "output gradient",
        output_gradient.len(),
        input.len() / channels * 2,
    )?;
    ShapeError::check_length("input gradient", input_gradient.len(), input.len())?;
    let set = InstructionSet::current();
    let pixels = pixels_per_part(channels);
    let inputs = input
        .par_chunks(pixels * channels)
        .zip(output_gradient.par_chunks(pixels * 2));
    input_gradient
        .par_chunks_mut(pixels * channels)
        .zip(inputs)
        .for_each(|(input_gradient, (input, output_gradient))| {
            set.run(Spread {
                channels,
                input,
                output_gradient,
                input_gradient,
            });
        });
    Ok(())
}

fn pixels_per_part(channels: usize) -> usize {
    (PART_NUMBERS / channels).max(1)
}

struct Summarise<'a, E> {
    channels: usize,
    input: &'a [E],
    output: &'a mut [E],
}

impl<E: Element> Kernel for Summarise<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let share = 1.0 / self.channels as f32;
        let pixels = self.input.chunks_exact(self.channels);
        for (output, pixel) in self.output.chunks_exact_mut(2).zip(pixels) {
            output[0] = E::from_f32(sum(pixel) * share);
            output[1] = E::from_f32(maximum(pixel));
        }
    }
}

struct Spread<'a, E> {
    channels: usize,
    input: &'a [E],
    output_gradient: &'a [E],
    input_gradient: &'a mut [E],
}

impl<E: Element> Kernel for Spread<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let share = 1.0 / self.channels as f32;
        let pixels = self
            .input
            .chunks_exact(self.channels)
            .zip(self.output_gradient.chunks_exact(2));
        let targets = self.input_gradient.chunks_exact_mut(self.channels);
        for (target, (pixel, gradient)) in targets.zip(pixels) {
            let of_mean = gradient[0].to_f32() * share;
            target.fill(E::from_f32(of_mean));
            // Every pixel has a largest channel.
            if let Some(channel) = position(pixel, maximum(pixel)) {
                target[channel] = E::from_f32(of_mean + gradient[1].to_f32());
            }
        }
    }
}
