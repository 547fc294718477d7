//! Max pooling.

use rayon::prelude::*;

use super::PoolingSpec;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// The position of a maximum over padding alone.
pub const NO_POSITION: u32 = u32::MAX;

/// The sizes of a max pooling, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxGeometry {
    spec: PoolingSpec,
    output: [usize; 2],
}

impl MaxGeometry {
    /// Checks `spec` and derives the output size.
    ///
    /// # Errors
    /// If a size is zero, the padding is more than half of the kernel, or the kernel does not fit.
    pub fn new(spec: PoolingSpec) -> Result<Self, ShapeError> {
        let output = spec.output()?;
        Ok(Self { spec, output })
    }

    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        self.output
    }

    /// Elements of the input `[N, H, W, C]`.
    pub fn input_length(&self) -> usize {
        self.spec.batch * self.spec.input[0] * self.spec.input[1] * self.spec.channels
    }

    /// Elements of the output `[N, H', W', C]`.
    pub fn output_length(&self) -> usize {
        self.spec.batch * self.output[0] * self.output[1] * self.spec.channels
    }

    /// Input coordinates of the window at output coordinate `position`.
    fn window(&self, axis: usize, position: usize) -> impl Iterator<Item = usize> + Clone {
        let PoolingSpec {
            input,
            kernel,
            stride,
            padding,
            dilation,
            ..
        } = &self.spec;
        let (input, padding, dilation) = (input[axis], padding[axis], dilation[axis]);
        let first = position * stride[axis];
        (0..kernel[axis])
            .map(move |element| first + element * dilation)
            .filter(move |&padded| padded >= padding && padded - padding < input)
            .map(move |padded| padded - padding)
    }
}

/// Writes the largest number of each window to `output` `[N, H', W', C]` and where it was, as `row
/// * W + column` of the input image, to `positions` of the same shape.
///
/// A window that dilation makes miss the image altogether gives −∞ and [`NO_POSITION`]. Of equal
/// numbers the first in row-major order wins. NaN wins over all numbers, and of several the last.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn max_forward<E: Element>(
    geometry: &MaxGeometry,
    input: &[E],
    output: &mut [E],
    positions: &mut [u32],
) -> Result<(), ShapeError> {
    ShapeError::check_length("input", input.len(), geometry.input_length())?;
    ShapeError::check_length("output", output.len(), geometry.output_length())?;
    ShapeError::check_length("positions", positions.len(), geometry.output_length())?;
    let set = InstructionSet::current();
    let line_length = geometry.output[1] * geometry.spec.channels;
    let image_length = geometry.spec.input[0] * geometry.spec.input[1] * geometry.spec.channels;
    let lines = output
        .par_chunks_mut(line_length)
        .zip(positions.par_chunks_mut(line_length));
    lines.enumerate().for_each(|(index, (output, positions))| {
        let (image, row) = (index / geometry.output[0], index % geometry.output[0]);
        let image = &input[image * image_length..][..image_length];
        set.run(MaxLine {
            geometry,
            image,
            row,
            output,
            positions,
        });
    });
    Ok(())
}

/// One row of one output image.
struct MaxLine<'a, E> {
    geometry: &'a MaxGeometry,
    image: &'a [E],
    row: usize,
    output: &'a mut [E],
    positions: &'a mut [u32],
}

impl<E: Element> Kernel for MaxLine<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let PoolingSpec {
            channels,
            input: [_, width],
            ..
        } = self.geometry.spec;
        let rows = self.geometry.window(0, self.row);
        let pixels = self
            .output
            .chunks_exact_mut(channels)
            .zip(self.positions.chunks_exact_mut(channels));
        for (column, (best, positions)) in pixels.enumerate() {
            let columns = self.geometry.window(1, column);
            let mut window = rows
                .clone()
                .flat_map(|row| columns.clone().map(move |column| row * width + column));
            match window.next() {
                Some(first) => {
                    best.copy_from_slice(&self.image[first * channels..][..channels]);
                    positions.fill(first as u32);
                }
                None => {
                    best.fill(E::from_f32(f32::NEG_INFINITY));
                    positions.fill(NO_POSITION);
                }
            }
            for pixel in window {
                let numbers = &self.image[pixel * channels..][..channels];
                for ((best, position), &number) in
                    best.iter_mut().zip(positions.iter_mut()).zip(numbers)
                {
                    let wins = number.to_f32() > best.to_f32() || number.to_f32().is_nan();
                    *best = if wins { number } else { *best };
                    *position = if wins { pixel as u32 } else { *position };
                }
            }
        }
    }
}

/// The gradient of [`max_forward`]: each output gradient goes to the position that won.
///
/// # Errors
/// If a slice's length differs from the geometry's or a position is outside of the image.
pub fn max_backward<E: Element>(
    geometry: &MaxGeometry,
    positions: &[u32],
    output_gradient: &[E],
    input_gradient: &mut [E],
) -> Result<(), ShapeError> {
    ShapeError::check_length("positions", positions.len(), geometry.output_length())?;
    ShapeError::check_length(
        "output gradient",
        output_gradient.len(),
        geometry.output_length(),
    )?;
    ShapeError::check_length(
        "input gradient",
        input_gradient.len(),
        geometry.input_length(),
    )?;
    let channels = geometry.spec.channels;
    let pixels = geometry.spec.input[0] * geometry.spec.input[1];
    let output_length = geometry.output[0] * geometry.output[1] * channels;
    input_gradient
        .par_chunks_mut(pixels * channels)
        .enumerate()
        .try_for_each(|(image, input_gradient)| {
            input_gradient.fill(E::default());
            let range = image * output_length..(image + 1) * output_length;
            let gradients = output_gradient[range.clone()].chunks_exact(channels);
            for (gradients, positions) in gradients.zip(positions[range].chunks_exact(channels)) {
                for (channel, (&gradient, &position)) in gradients.iter().zip(positions).enumerate()
                {
                    if position == NO_POSITION {
                        continue;
                    }
                    let target = input_gradient
                        .get_mut(position as usize * channels + channel)
                        .ok_or_else(|| {
                            ShapeError::new(format!(
                                "position {position} is outside of an image of {pixels} pixels"
                            ))
                        })?;
                    *target = E::from_f32(target.to_f32() + gradient.to_f32());
                }
            }
            Ok(())
        })
}
