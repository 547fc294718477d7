//! A convolution over the channel axis of `[N, C]` with one small kernel, by which ECA lets
//! neighbouring channels interact (Wang et al. 2020).

use rayon::prelude::*;

use crate::reduce::{add_in_order, check_channels};
use crate::rows::dot;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 16 * 1024;

/// `output[n, c] = Σ_j weight[j] · input[n, c + j − k / 2]` for `weight` `[k]`, with zeros beyond the
/// first and the last channel.
///
/// # Errors
/// If `k` is even, there are no channels, or the lengths do not fit together.
pub fn forward<E: Element>(
    channels: usize,
    input: &[E],
    weight: &[f32],
    output: &mut [E],
) -> Result<(), ShapeError> {
    check_channels("input", input.len(), channels)?;
    check_weight(weight)?;
    ShapeError::check_length("output", output.len(), input.len())?;
    correlate(channels, input, weight, output);
    Ok(())
}

/// The gradients of [`forward`]: `input_gradient` `[N, C]` and `weight_gradient` `[k]`.
///
/// # Errors
/// If `k` is even, there are no channels, or the lengths do not fit together.
pub fn backward<E: Element>(
    channels: usize,
    input: &[E],
    weight: &[f32],
    output_gradient: &[E],
    input_gradient: &mut [E],
    weight_gradient: &mut [f32],
) -> Result<(), ShapeError> {
    check_channels("input", input.len(), channels)?;
    check_weight(weight)?;
    ShapeError::check_length("output gradient", output_gradient.len(), input.len())?;
    ShapeError::check_length("input gradient", input_gradient.len(), input.len())?;
    ShapeError::check_length("weight gradient", weight_gradient.len(), weight.len())?;
    // Every number reaches the outputs through the taps in reverse.
    let reversed: Vec<f32> = weight.iter().rev().copied().collect();
    correlate(channels, output_gradient, &reversed, input_gradient);

    let set = InstructionSet::current();
    let part = part_length(channels);
    let parts: Vec<Vec<f64>> = input
        .par_chunks(part)
        .zip(output_gradient.par_chunks(part))
        .map(|(input, output_gradient)| {
            set.run(WeightGradient {
                channels,
                taps: weight.len(),
                input,
                output_gradient,
            })
        })
        .collect();
    let totals = add_in_order(parts, weight.len());
    for (gradient, total) in weight_gradient.iter_mut().zip(totals) {
        *gradient = total as f32;
    }
    Ok(())
}

fn check_weight(weight: &[f32]) -> Result<(), ShapeError> {
    if weight.len() % 2 == 1 {
        return Ok(());
    }
    Err(ShapeError::new(format!(
        "a convolution over channels needs an odd number of taps, not {}",
        weight.len()
    )))
}

fn part_length(channels: usize) -> usize {
    (PART_NUMBERS / channels).max(1) * channels
}

fn correlate<E: Element>(channels: usize, input: &[E], weight: &[f32], output: &mut [E]) {
    let set = InstructionSet::current();
    let part = part_length(channels);
    output
        .par_chunks_mut(part)
        .zip(input.par_chunks(part))
        .for_each(|(output, input)| {
            set.run(Correlate {
                channels,
                input,
                weight,
                output,
            });
        });
}

/// One row with zeros before and behind it, so that no tap needs to look at borders.
struct PaddedRow {
    numbers: Vec<f32>,
    padding: usize,
}

impl PaddedRow {
    fn new(channels: usize, taps: usize) -> Self {
        Self {
            numbers: vec![0.0; channels + taps - 1],
            padding: taps / 2,
        }
    }

    #[inline(always)]
    fn load<E: Element>(&mut self, row: &[E]) {
        for (target, &number) in self.numbers[self.padding..].iter_mut().zip(row) {
            *target = number.to_f32();
        }
    }
}

struct Correlate<'a, E> {
    channels: usize,
    input: &'a [E],
    weight: &'a [f32],
    output: &'a mut [E],
}

impl<E: Element> Kernel for Correlate<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let mut padded = PaddedRow::new(self.channels, self.weight.len());
        let mut sums = vec![0.0f32; self.channels];
        let rows = self.input.chunks_exact(self.channels);
        for (output, row) in self.output.chunks_exact_mut(self.channels).zip(rows) {
            padded.load(row);
            sums.fill(0.0);
            for (tap, &weight) in self.weight.iter().enumerate() {
                for (sum, &number) in sums.iter_mut().zip(&padded.numbers[tap..]) {
                    *sum += weight * number;
                }
            }
            for (output, &sum) in output.iter_mut().zip(&sums) {
                *output = E::from_f32(sum);
            }
        }
    }
}

struct WeightGradient<'a, E> {
    channels: usize,
    taps: usize,
    input: &'a [E],
    output_gradient: &'a [E],
}

impl<E: Element> Kernel for WeightGradient<'_, E> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Vec<f64> {
        let mut padded = PaddedRow::new(self.channels, self.taps);
        let mut totals = vec![0.0; self.taps];
        let gradients = self.output_gradient.chunks_exact(self.channels);
        for (row, gradient) in self.input.chunks_exact(self.channels).zip(gradients) {
            padded.load(row);
            for (tap, total) in totals.iter_mut().enumerate() {
                let numbers = &padded.numbers[tap..tap + self.channels];
                *total += f64::from(dot(numbers, gradient));
            }
        }
        totals
    }
}
