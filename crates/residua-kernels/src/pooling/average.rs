//! Average pooling: sliding windows, adaptive windows, and the whole image.

use rayon::prelude::*;

use super::{PoolingSpec, check_tensor};
use crate::element::copy_numbers;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// The sizes of an average pooling, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AverageGeometry {
    batch: usize,
    input: [usize; 2],
    channels: usize,
    /// Windows of the rows and of the columns.
    windows: [Vec<Window>; 2],
}

/// Input coordinates that are averaged along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    begin: usize,
    end: usize,
    /// The number of coordinates to divide by, padding included where it counts.
    divisor: usize,
}

impl AverageGeometry {
    /// Windows that slide over the input. With `count_include_pad` the zeros of the padding are
    /// averaged too (but not what `ceil_mode` adds beyond them).
    ///
    /// # Errors
    /// If a size is zero, the padding is more than half of the kernel, the kernel does not fit, or
    /// there is a dilation.
    pub fn sliding(spec: &PoolingSpec, count_include_pad: bool) -> Result<Self, ShapeError> {
        let output = spec.output()?;
        if spec.dilation != [1, 1] {
            return Err(ShapeError::new(format!(
                "average pooling has no dilation, but it is {:?}",
                spec.dilation
            )));
        }
        let windows = [0, 1].map(|axis| {
            let (input, padding) = (spec.input[axis], spec.padding[axis]);
            let window = |position: usize| {
                let first = position * spec.stride[axis];
                let last = (first + spec.kernel[axis]).min(input + 2 * padding);
                let begin = first.saturating_sub(padding);
                let end = last.saturating_sub(padding).min(input);
                Window {
                    begin,
                    end,
                    divisor: if count_include_pad {
                        last - first
                    } else {
                        end - begin
                    },
                }
            };
            (0..output[axis]).map(window).collect()
        });
        Ok(Self {
            batch: spec.batch,
            input: spec.input,
            channels: spec.channels,
            windows,
        })
    }

    /// Windows that divide the input into `output` rows and columns: window `i` of `n` over length
    /// `l` covers `floor(i · l / n)` to `ceil((i + 1) · l / n)`.
    ///
    /// # Errors
    /// If a size is zero.
    pub fn adaptive(
        batch: usize,
        input: [usize; 2],
        channels: usize,
        output: [usize; 2],
    ) -> Result<Self, ShapeError> {
        check_tensor(batch, input, channels)?;
        check_tensor(batch, output, channels)?;
        let windows = [0, 1].map(|axis| {
            let window = |position: usize| {
                let begin = position * input[axis] / output[axis];
                let end = ((position + 1) * input[axis]).div_ceil(output[axis]);
                Window {
                    begin,
                    end,
                    divisor: end - begin,
                }
            };
            (0..output[axis]).map(window).collect()
        });
        Ok(Self {
            batch,
            input,
            channels,
            windows,
        })
    }

    /// One window: the whole image.
    ///
    /// # Errors
    /// If a size is zero.
    pub fn global(batch: usize, input: [usize; 2], channels: usize) -> Result<Self, ShapeError> {
        Self::adaptive(batch, input, channels, [1, 1])
    }

    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        [self.windows[0].len(), self.windows[1].len()]
    }

    /// Elements of the input `[N, H, W, C]`.
    pub fn input_length(&self) -> usize {
        self.batch * self.input[0] * self.input[1] * self.channels
    }

    /// Elements of the output `[N, H', W', C]`.
    pub fn output_length(&self) -> usize {
        self.batch * self.output()[0] * self.output()[1] * self.channels
    }

    fn check<I, O>(&self, input: &[I], output: &[O]) -> Result<(), ShapeError> {
        ShapeError::check_length("input", input.len(), self.input_length())?;
        ShapeError::check_length("output", output.len(), self.output_length())
    }
}

/// Writes the average of each window, summed in f32, to `output` `[N, H', W', C]`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn average_forward<I: Element, O: Element>(
    geometry: &AverageGeometry,
    input: &[I],
    output: &mut [O],
) -> Result<(), ShapeError> {
    geometry.check(input, output)?;
    let set = InstructionSet::current();
    let [height, width] = geometry.output();
    let image_length = geometry.input[0] * geometry.input[1] * geometry.channels;
    output
        .par_chunks_mut(width * geometry.channels)
        .enumerate()
        .for_each(|(index, output)| {
            let image = &input[index / height * image_length..][..image_length];
            set.run(AverageLine {
                geometry,
                image,
                rows: geometry.windows[0][index % height],
                output,
            });
        });
    Ok(())
}

/// One row of one output image.
struct AverageLine<'a, I, O> {
    geometry: &'a AverageGeometry,
    image: &'a [I],
    rows: Window,
    output: &'a mut [O],
}

impl<I: Element, O: Element> Kernel for AverageLine<'_, I, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let channels = self.geometry.channels;
        let mut sums = Scratch::<f32>::uninitialised(channels);
        for (output, columns) in self
            .output
            .chunks_exact_mut(channels)
            .zip(&self.geometry.windows[1])
        {
            sums.fill(0.0);
            for row in self.rows.begin..self.rows.end {
                let line = &self.image[row * self.geometry.input[1] * channels..];
                for pixel in
                    line[columns.begin * channels..columns.end * channels].chunks_exact(channels)
                {
                    for (sum, &number) in sums.iter_mut().zip(pixel) {
                        *sum += number.to_f32();
                    }
                }
            }
            let divisor = (self.rows.divisor * columns.divisor) as f32;
            for (output, &sum) in output.iter_mut().zip(sums.iter()) {
                *output = O::from_f32(sum / divisor);
            }
        }
    }
}

/// The gradient of [`average_forward`]: each output gradient is spread evenly over its window. Where
/// windows overlap, their shares are summed in f32.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn average_backward<O: Element, I: Element>(
    geometry: &AverageGeometry,
    output_gradient: &[O],
    input_gradient: &mut [I],
) -> Result<(), ShapeError> {
    geometry.check(input_gradient, output_gradient)?;
    let set = InstructionSet::current();
    let [height, width] = geometry.output();
    let image_length = geometry.input[0] * geometry.input[1] * geometry.channels;
    let output_length = height * width * geometry.channels;
    let images = input_gradient
        .par_chunks_mut(image_length)
        .zip(output_gradient.par_chunks(output_length));
    images.for_each(|(input_gradient, output_gradient)| {
        set.run(SpreadImage {
            geometry,
            output_gradient,
            input_gradient,
        });
    });
    Ok(())
}

/// The gradient of one image.
struct SpreadImage<'a, O, I> {
    geometry: &'a AverageGeometry,
    output_gradient: &'a [O],
    input_gradient: &'a mut [I],
}

impl<O: Element, I: Element> Kernel for SpreadImage<'_, O, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.geometry.channels;
        let line_length = self.geometry.input[1] * channels;
        let output_line_length = self.geometry.windows[1].len() * channels;
        let mut sums = Scratch::<f32>::uninitialised(line_length);
        let lines = self.input_gradient.chunks_exact_mut(line_length);
        for (row, line) in lines.enumerate() {
            sums.fill(0.0);
            let gradients = self.output_gradient.chunks_exact(output_line_length);
            for (rows, gradients) in self.geometry.windows[0].iter().zip(gradients) {
                if !(rows.begin..rows.end).contains(&row) {
                    continue;
                }
                let gradients = gradients.chunks_exact(channels);
                for (columns, gradient) in self.geometry.windows[1].iter().zip(gradients) {
                    let share = 1.0 / (rows.divisor * columns.divisor) as f32;
                    let pixels = sums[columns.begin * channels..columns.end * channels]
                        .chunks_exact_mut(channels);
                    for pixel in pixels {
                        for (sum, &gradient) in pixel.iter_mut().zip(gradient) {
                            *sum += gradient.to_f32() * share;
                        }
                    }
                }
            }
            copy_numbers(simd, &sums, line);
        }
    }
}
