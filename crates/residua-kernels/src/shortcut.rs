//! The parameter-free shortcut of He et al. 2015 (section 3.3, option A).
//!
//! Where a residual block changes resolution and width, the shortcut takes every `stride`-th pixel
//! of the input and fills the new channels with zeros.

use rayon::prelude::*;

use crate::{Element, ShapeError};

/// The sizes of a shortcut, checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortcutGeometry {
    batch: usize,
    input: [usize; 2],
    channels: usize,
    stride: usize,
    zeros: [usize; 2],
}

impl ShortcutGeometry {
    /// A shortcut from `[batch, H, W, channels]` that keeps every `stride`-th row and column and
    /// puts `zeros[0]` zero channels before and `zeros[1]` behind the input's.
    ///
    /// # Errors
    /// If a size or the stride is zero.
    pub fn new(
        batch: usize,
        input: [usize; 2],
        channels: usize,
        stride: usize,
        zeros: [usize; 2],
    ) -> Result<Self, ShapeError> {
        if [batch, input[0], input[1], channels, stride].contains(&0) {
            return Err(ShapeError::new(format!(
                "a shortcut of {batch} images of {} by {} pixels and {channels} channels with stride {stride}: \
                 every size must be at least 1",
                input[0], input[1],
            )));
        }
        Ok(Self {
            batch,
            input,
            channels,
            stride,
            zeros,
        })
    }

    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        self.input.map(|size| size.div_ceil(self.stride))
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.channels + self.zeros[0] + self.zeros[1]
    }

    /// Elements of the input `[N, H, W, C]`.
    pub fn input_length(&self) -> usize {
        self.batch * self.input[0] * self.input[1] * self.channels
    }

    /// Elements of the output `[N, H', W', C']`.
    pub fn output_length(&self) -> usize {
        self.batch * self.output()[0] * self.output()[1] * self.out_channels()
    }
}

/// Writes the shortcut of `input` `[N, H, W, C]` to `output` `[N, H', W', C']`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn forward<E: Element>(
    geometry: &ShortcutGeometry,
    input: &[E],
    output: &mut [E],
) -> Result<(), ShapeError> {
    ShapeError::check_length("input", input.len(), geometry.input_length())?;
    ShapeError::check_length("output", output.len(), geometry.output_length())?;
    let [height, width] = geometry.output();
    let channels = geometry.channels;
    let [before, _] = geometry.zeros;
    output
        .par_chunks_mut(width * geometry.out_channels())
        .enumerate()
        .for_each(|(index, line)| {
            let (image, row) = (index / height, index % height);
            let first =
                (image * geometry.input[0] + row * geometry.stride) * geometry.input[1] * channels;
            for (column, pixel) in line.chunks_exact_mut(geometry.out_channels()).enumerate() {
                let source = &input[first + column * geometry.stride * channels..][..channels];
                pixel[..before].fill(E::default());
                pixel[before..before + channels].copy_from_slice(source);
                pixel[before + channels..].fill(E::default());
            }
        });
    Ok(())
}

/// The gradient of [`forward`] with respect to its input.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn backward<E: Element>(
    geometry: &ShortcutGeometry,
    output_gradient: &[E],
    input_gradient: &mut [E],
) -> Result<(), ShapeError> {
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
    let [height, width] = geometry.output();
    let channels = geometry.channels;
    let stride = geometry.stride;
    input_gradient
        .par_chunks_mut(geometry.input[1] * channels)
        .enumerate()
        .for_each(|(index, line)| {
            let (image, row) = (index / geometry.input[0], index % geometry.input[0]);
            line.fill(E::default());
            if row % stride != 0 {
                return;
            }
            let first = (image * height + row / stride) * width * geometry.out_channels()
                + geometry.zeros[0];
            for (column, pixel) in line.chunks_exact_mut(channels).step_by(stride).enumerate() {
                pixel.copy_from_slice(
                    &output_gradient[first + column * geometry.out_channels()..][..channels],
                );
            }
        });
    Ok(())
}
