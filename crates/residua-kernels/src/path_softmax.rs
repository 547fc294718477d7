//! The softmax over paths that selective kernels choose by (Li et al. 2019): each channel of each
//! image has one number per path.

use rayon::prelude::*;

use crate::activation::functions::exp;
use crate::reduce::check_channels;
use crate::rows::larger;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 16 * 1024;

/// `output[n, p, c] = e^input[n, p, c] / Σ_q e^input[n, q, c]`, both `[N, paths · C]` with the
/// channels of a path together.
///
/// # Errors
/// If a size is zero or the lengths do not fit together.
pub fn forward<E: Element>(
    paths: usize,
    channels: usize,
    input: &[E],
    output: &mut [E],
) -> Result<(), ShapeError> {
    let part = part_length(paths, channels, input.len())?;
    ShapeError::check_length("output", output.len(), input.len())?;
    let set = InstructionSet::current();
    output
        .par_chunks_mut(part)
        .zip(input.par_chunks(part))
        .for_each(|(output, input)| {
            set.run(Forward {
                channels,
                image_length: paths * channels,
                input,
                output,
            });
        });
    Ok(())
}

/// The gradient of [`forward`] from its output: `output · (output_gradient − Σ_q output_gradient[q] ·
/// output[q])`.
///
/// # Errors
/// If a size is zero or the lengths do not fit together.
pub fn backward<E: Element>(
    paths: usize,
    channels: usize,
    output: &[E],
    output_gradient: &[E],
    input_gradient: &mut [E],
) -> Result<(), ShapeError> {
    let part = part_length(paths, channels, output.len())?;
    ShapeError::check_length("output gradient", output_gradient.len(), output.len())?;
    ShapeError::check_length("input gradient", input_gradient.len(), output.len())?;
    let set = InstructionSet::current();
    let inputs = output
        .par_chunks(part)
        .zip(output_gradient.par_chunks(part));
    input_gradient.par_chunks_mut(part).zip(inputs).for_each(
        |(input_gradient, (output, output_gradient))| {
            set.run(Backward {
                channels,
                image_length: paths * channels,
                output,
                output_gradient,
                input_gradient,
            });
        },
    );
    Ok(())
}

/// Checks the sizes and returns the length of a part, a whole number of images.
fn part_length(paths: usize, channels: usize, length: usize) -> Result<usize, ShapeError> {
    let image_length = paths.checked_mul(channels).ok_or_else(|| {
        ShapeError::new(format!("{paths} paths of {channels} channels are too many"))
    })?;
    check_channels("softmax over paths", length, image_length)?;
    Ok((PART_NUMBERS / image_length).max(1) * image_length)
}

struct Forward<'a, E> {
    channels: usize,
    image_length: usize,
    input: &'a [E],
    output: &'a mut [E],
}

impl<E: Element> Kernel for Forward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let channels = self.channels;
        let mut largest = vec![0.0f32; channels];
        let mut sums = vec![0.0f32; channels];
        let mut exponentials = vec![0.0f32; self.image_length];
        let images = self.input.chunks_exact(self.image_length);
        for (output, input) in self.output.chunks_exact_mut(self.image_length).zip(images) {
            largest.fill(f32::NEG_INFINITY);
            for path in input.chunks_exact(channels) {
                for (largest, &number) in largest.iter_mut().zip(path) {
                    *largest = larger(*largest, number.to_f32());
                }
            }
            sums.fill(0.0);
            let targets = exponentials.chunks_exact_mut(channels);
            for (target, path) in targets.zip(input.chunks_exact(channels)) {
                let numbers = path.iter().zip(&largest).zip(&mut sums);
                for (target, ((&number, &largest), sum)) in target.iter_mut().zip(numbers) {
                    *target = exp(number.to_f32() - largest);
                    *sum += *target;
                }
            }
            for sum in &mut sums {
                *sum = 1.0 / *sum;
            }
            let paths = exponentials.chunks_exact(channels);
            for (output, path) in output.chunks_exact_mut(channels).zip(paths) {
                for ((output, &exponential), &share) in output.iter_mut().zip(path).zip(&sums) {
                    *output = E::from_f32(exponential * share);
                }
            }
        }
    }
}

struct Backward<'a, E> {
    channels: usize,
    image_length: usize,
    output: &'a [E],
    output_gradient: &'a [E],
    input_gradient: &'a mut [E],
}

impl<E: Element> Kernel for Backward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let channels = self.channels;
        let mut products = vec![0.0f32; channels];
        let images = self
            .output
            .chunks_exact(self.image_length)
            .zip(self.output_gradient.chunks_exact(self.image_length));
        let targets = self.input_gradient.chunks_exact_mut(self.image_length);
        for (target, (output, gradient)) in targets.zip(images) {
            products.fill(0.0);
            for (output, gradient) in output
                .chunks_exact(channels)
                .zip(gradient.chunks_exact(channels))
            {
                for ((product, &output), &gradient) in products.iter_mut().zip(output).zip(gradient)
                {
                    *product += output.to_f32() * gradient.to_f32();
                }
            }
            let paths = output
                .chunks_exact(channels)
                .zip(gradient.chunks_exact(channels));
            for (target, (output, gradient)) in target.chunks_exact_mut(channels).zip(paths) {
                let numbers = output.iter().zip(gradient).zip(&products);
                for (target, ((&output, &gradient), &product)) in target.iter_mut().zip(numbers) {
                    *target = E::from_f32(output.to_f32() * (gradient.to_f32() - product));
                }
            }
        }
    }
}
