//! Convolutions of every channel by itself, as many groups as channels.
//!
//! There is no matrix product in them: an output pixel is the sum of a few input pixels, each times a
//! weight for every channel, so the loop over channels is the vector loop. What a pass reads is
//! evaluated first, and what it writes is finished afterwards; both cost little beside memory.

use rayon::prelude::*;

use super::ConvolutionGeometry;
use super::fused::{ForwardPass, InputGradientPass, WeightGradientPass};
use crate::feature_map::{
    BatchMoments, GradientSums, OutputGradient, Source, evaluate, finish, measure,
};
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError, elementwise};

/// Whether a convolution is one of these.
pub(super) fn suits(geometry: &ConvolutionGeometry) -> bool {
    let spec = geometry.spec();
    spec.groups > 1 && [spec.in_channels, spec.out_channels] == [spec.groups; 2]
}

/// See [`super::fused::forward`], which has checked the pass.
pub(super) fn forward<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: ForwardPass<'_, E>,
) -> Result<Option<BatchMoments>, ShapeError> {
    let channels = geometry.spec().groups;
    let mut own = Vec::new();
    let values = match pass.keep {
        Some(keep) => {
            evaluate(&pass.source, channels, keep)?;
            &*keep
        }
        None => stored(geometry, &pass.source, &mut own)?,
    };
    let weights = by_tap(geometry, pass.weight);
    let walk = Walk::new(geometry, Direction::Forward);
    walk.run(values, &weights, pass.bias, pass.output);
    match pass.moments {
        true => measure((&*pass.output).into(), channels).map(Some),
        false => Ok(None),
    }
}

/// See [`super::fused::input_gradient`], which has checked the pass.
pub(super) fn input_gradient<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: InputGradientPass<'_, E>,
) -> Result<Option<GradientSums>, ShapeError> {
    let channels = geometry.spec().groups;
    let mut own = Vec::new();
    let gradient = stored_gradient(&pass.gradient, channels, &mut own)?;
    let weights = by_tap(geometry, pass.weight);
    let walk = Walk::new(geometry, Direction::InputGradient);
    if pass.add_to_output {
        let mut contribution = vec![E::default(); pass.output.len()];
        walk.run(gradient, &weights, None, &mut contribution);
        elementwise::add_assign(pass.output, &contribution)?;
    } else {
        walk.run(gradient, &weights, None, pass.output);
    }
    match &pass.finish {
        Some(rest) => finish(rest, channels, pass.output).map(Some),
        None => Ok(None),
    }
}

/// See [`super::fused::weight_gradient`], which has checked the pass.
pub(super) fn weight_gradient<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: WeightGradientPass<'_, E>,
) -> Result<(), ShapeError> {
    let (channels, taps) = (geometry.spec().groups, geometry.taps());
    let (mut own_values, mut own_gradient) = (Vec::new(), Vec::new());
    let values = stored(geometry, &pass.source, &mut own_values)?;
    let gradient = stored_gradient(&pass.gradient, channels, &mut own_gradient)?;
    let walk = Walk::new(geometry, Direction::Forward);
    let set = InstructionSet::current();
    let rows = geometry.output()[0];
    let parts: Vec<Vec<f64>> = { 0..geometry.spec().batch * rows.div_ceil(ROWS_PER_PART) }
        .into_par_iter()
        .map(|part| {
            let parts_per_image = rows.div_ceil(ROWS_PER_PART);
            let first = part % parts_per_image * ROWS_PER_PART;
            set.run(TapSums {
                walk: &walk,
                image: walk.image(values, part / parts_per_image),
                gradient: walk.target_image(gradient, part / parts_per_image),
                rows: first..(first + ROWS_PER_PART).min(rows),
            })
        })
        .collect();
    let mut totals = vec![0.0; taps * channels];
    for part in parts {
        for (total, sum) in totals.iter_mut().zip(part) {
            *total += sum;
        }
    }
    // PyTorch's order: channel by channel.
    for (channel, numbers) in pass.weight_gradient.chunks_exact_mut(taps).enumerate() {
        for (tap, number) in numbers.iter_mut().enumerate() {
            *number = totals[tap * channels + channel] as f32;
        }
    }
    Ok(())
}

/// Output rows in one task's work.
const ROWS_PER_PART: usize = 8;

/// The source, evaluated into `own` unless its numbers are stored already, without others between
/// them.
fn stored<'a, E: Element>(
    geometry: &ConvolutionGeometry,
    source: &Source<'a, E>,
    own: &'a mut Vec<E>,
) -> Result<&'a [E], ShapeError> {
    let channels = geometry.spec().groups;
    if let Some(numbers) = source.stored_numbers(channels) {
        return Ok(numbers);
    }
    own.resize(geometry.input_length(), E::default());
    evaluate(source, channels, own)?;
    Ok(own)
}

/// The gradient, evaluated into `own` unless it is stored already.
fn stored_gradient<'a, E: Element>(
    gradient: &OutputGradient<'a, E>,
    channels: usize,
    own: &'a mut Vec<E>,
) -> Result<&'a [E], ShapeError> {
    if gradient.norm.is_none() {
        return Ok(gradient.gradient);
    }
    own.resize(gradient.gradient.len(), E::default());
    gradient.evaluate(channels, (&mut own[..]).into())?;
    Ok(own)
}

/// The weights of `[channels, taps]` as `[taps, channels]`.
fn by_tap(geometry: &ConvolutionGeometry, weight: &[f32]) -> Vec<f32> {
    let taps = geometry.taps();
    let weights = (0..taps).flat_map(|tap| weight.iter().skip(tap).step_by(taps));
    weights.copied().collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    InputGradient,
}

/// Which pixels of a source a pixel of a target is made of.
struct Walk {
    channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    direction: Direction,
    source: [usize; 2],
    target: [usize; 2],
}

impl Walk {
    fn new(geometry: &ConvolutionGeometry, direction: Direction) -> Self {
        let spec = geometry.spec();
        let (source, target) = match direction {
            Direction::Forward => (spec.input, geometry.output()),
            Direction::InputGradient => (geometry.output(), spec.input),
        };
        Self {
            channels: spec.groups,
            kernel: spec.kernel,
            stride: spec.stride,
            padding: spec.padding,
            dilation: spec.dilation,
            direction,
            source,
            target,
        }
    }

    /// Along one axis, the place in the source that a tap takes to a place in the target.
    #[inline(always)]
    fn place(&self, axis: usize, target: usize, tap: usize) -> Option<usize> {
        let reach = tap * self.dilation[axis];
        let place = match self.direction {
            Direction::Forward => {
                (target * self.stride[axis] + reach).checked_sub(self.padding[axis])?
            }
            Direction::InputGradient => {
                let offset = (target + self.padding[axis]).checked_sub(reach)?;
                if !offset.is_multiple_of(self.stride[axis]) {
                    return None;
                }
                offset / self.stride[axis]
            }
        };
        (place < self.source[axis]).then_some(place)
    }

    /// Calls `each` with the source pixel and the number of each tap that reaches a target pixel.
    #[inline(always)]
    fn taps(&self, row: usize, column: usize, mut each: impl FnMut(usize, usize)) {
        for tap_row in 0..self.kernel[0] {
            let Some(source_row) = self.place(0, row, tap_row) else {
                continue;
            };
            for tap_column in 0..self.kernel[1] {
                if let Some(source_column) = self.place(1, column, tap_column) {
                    let pixel = source_row * self.source[1] + source_column;
                    each(pixel, tap_row * self.kernel[1] + tap_column);
                }
            }
        }
    }

    fn image<'a, E>(&self, values: &'a [E], image: usize) -> &'a [E] {
        let length = self.source[0] * self.source[1] * self.channels;
        &values[image * length..][..length]
    }

    fn target_image<'a, E>(&self, values: &'a [E], image: usize) -> &'a [E] {
        let length = self.target[0] * self.target[1] * self.channels;
        &values[image * length..][..length]
    }

    fn run<E: Element>(
        &self,
        values: &[E],
        weights: &[f32],
        bias: Option<&[f32]>,
        output: &mut [E],
    ) {
        let set = InstructionSet::current();
        let [rows, columns] = self.target;
        output
            .par_chunks_mut(columns * self.channels)
            .enumerate()
            .for_each(|(index, output)| {
                set.run(Line {
                    walk: self,
                    image: self.image(values, index / rows),
                    weights,
                    bias,
                    row: index % rows,
                    output,
                });
            });
    }
}

/// One row of one target image.
struct Line<'a, E> {
    walk: &'a Walk,
    image: &'a [E],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    row: usize,
    output: &'a mut [E],
}

impl<E: Element> Kernel for Line<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let (walk, channels) = (self.walk, self.walk.channels);
        let whole = channels / BLOCK * BLOCK;
        for (column, output) in self.output.chunks_exact_mut(channels).enumerate() {
            let (blocks, rest) = output.split_at_mut(whole);
            let (blocks, _) = blocks.as_chunks_mut::<BLOCK>();
            for (index, block) in blocks.iter_mut().enumerate() {
                let first = index * BLOCK;
                let mut sums = [0.0f32; BLOCK];
                if let Some(bias) = self.bias {
                    sums.copy_from_slice(&bias[first..][..BLOCK]);
                }
                walk.taps(self.row, column, |pixel, tap| {
                    let numbers = &self.image[pixel * channels + first..][..BLOCK];
                    let weights = &self.weights[tap * channels + first..][..BLOCK];
                    for index in 0..BLOCK {
                        sums[index] += numbers[index].to_f32() * weights[index];
                    }
                });
                for (number, sum) in block.iter_mut().zip(sums) {
                    *number = E::from_f32(sum);
                }
            }
            for (index, number) in rest.iter_mut().enumerate() {
                let channel = whole + index;
                let mut sum = self.bias.map_or(0.0, |bias| bias[channel]);
                walk.taps(self.row, column, |pixel, tap| {
                    let number = self.image[pixel * channels + channel].to_f32();
                    sum += number * self.weights[tap * channels + channel];
                });
                *number = E::from_f32(sum);
            }
        }
    }
}

/// Channels whose sums stay in registers.
const BLOCK: usize = 32;

/// The sums of products of each tap over some rows of one image, `[taps, channels]`.
struct TapSums<'a, E> {
    walk: &'a Walk,
    image: &'a [E],
    gradient: &'a [E],
    rows: std::ops::Range<usize>,
}

impl<E: Element> Kernel for TapSums<'_, E> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Vec<f64> {
        let (walk, channels) = (self.walk, self.walk.channels);
        let numbers = walk.kernel[0] * walk.kernel[1] * channels;
        let (mut totals, mut sums) = (vec![0.0f64; numbers], vec![0.0f32; numbers]);
        for target_row in self.rows {
            for column in 0..walk.target[1] {
                let pixel = (target_row * walk.target[1] + column) * channels;
                let gradient = &self.gradient[pixel..][..channels];
                walk.taps(target_row, column, |pixel, tap| {
                    let pixel = &self.image[pixel * channels..][..channels];
                    let sums = &mut sums[tap * channels..][..channels];
                    for ((sum, number), slope) in sums.iter_mut().zip(pixel).zip(gradient) {
                        *sum += number.to_f32() * slope.to_f32();
                    }
                });
            }
            // A row is summed in f32, the rows in f64.
            for (total, sum) in totals.iter_mut().zip(&mut sums) {
                *total += f64::from(*sum);
                *sum = 0.0;
            }
        }
        totals
    }
}
