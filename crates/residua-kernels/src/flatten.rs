//! A feature map as a vector in PyTorch's order.

use rayon::prelude::*;

use crate::{Element, ShapeError};

/// Writes each image of `input` `[N, pixels, channels]` to `output` `[N, channels, pixels]`: the
/// order in which the weights of a linear layer behind it were trained elsewhere.
///
/// # Errors
/// If a size is zero or a length does not fit.
pub fn forward<E: Element>(
    pixels: usize,
    channels: usize,
    input: &[E],
    output: &mut [f32],
) -> Result<(), ShapeError> {
    check(pixels, channels, input.len(), output.len())?;
    let image = pixels * channels;
    let images = output.par_chunks_mut(image).zip(input.par_chunks(image));
    images.for_each(|(output, input)| {
        for (channel, line) in output.chunks_exact_mut(pixels).enumerate() {
            for (number, pixel) in line.iter_mut().zip(input.chunks_exact(channels)) {
                *number = pixel[channel].to_f32();
            }
        }
    });
    Ok(())
}

/// The gradient of [`forward`]: back into the order of the map.
///
/// # Errors
/// If a size is zero or a length does not fit.
pub fn backward<E: Element>(
    pixels: usize,
    channels: usize,
    output_gradient: &[f32],
    input_gradient: &mut [E],
) -> Result<(), ShapeError> {
    check(
        pixels,
        channels,
        input_gradient.len(),
        output_gradient.len(),
    )?;
    let image = pixels * channels;
    let images = input_gradient
        .par_chunks_mut(image)
        .zip(output_gradient.par_chunks(image));
    images.for_each(|(input, output)| {
        for (pixel, numbers) in input.chunks_exact_mut(channels).enumerate() {
            for (number, line) in numbers.iter_mut().zip(output.chunks_exact(pixels)) {
                *number = E::from_f32(line[pixel]);
            }
        }
    });
    Ok(())
}

fn check(pixels: usize, channels: usize, map: usize, vector: usize) -> Result<(), ShapeError> {
    ShapeError::check_length("vector", vector, map)?;
    let image = pixels.checked_mul(channels).filter(|image| *image > 0);
    if image.is_some_and(|image| map.is_multiple_of(image)) {
        return Ok(());
    }
    Err(ShapeError::new(format!(
        "{map} elements are not a number of images of {pixels} pixels and {channels} channels"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_come_first_and_find_their_way_back() {
        // Two images of two pixels and three channels, numbered by image, pixel, channel.
        let map: Vec<f32> = [0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112]
            .map(|number| number as f32)
            .to_vec();
        let mut vector = vec![0.0; 12];
        forward(2, 3, &map, &mut vector).unwrap();
        assert_eq!(
            vector,
            [
                0.0, 10.0, 1.0, 11.0, 2.0, 12.0, 100.0, 110.0, 101.0, 111.0, 102.0, 112.0
            ]
        );
        let mut back = vec![0.0; 12];
        backward(2, 3, &vector, &mut back).unwrap();
        assert_eq!(back, map);
    }

    #[test]
    fn lengths_are_checked() {
        assert!(forward::<f32>(2, 3, &[0.0; 6], &mut [0.0; 5]).is_err());
        assert!(forward::<f32>(2, 3, &[0.0; 7], &mut [0.0; 7]).is_err());
        assert!(backward::<f32>(0, 3, &[], &mut []).is_err());
    }
}
