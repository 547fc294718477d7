//! An image between, or beyond, itself and a degenerate form of itself (Haeberli and Voorhies
//! 1994, "Image Processing By Interpolation and Extrapolation").

use crate::augmentation::canvas::Canvas;
use crate::pixels::luma;

/// What lies `factor` of the way from one value to another; truncated and clipped, in 32-bit
/// numbers, as Pillow does it.
fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    let (degenerate, value) = (f32::from(degenerate), f32::from(value));
    (degenerate + factor * (value - degenerate)) as u8
}

pub(super) fn brightness(canvas: &mut Canvas, factor: f32) {
    towards_one_value(canvas, 0, factor);
}

pub(super) fn contrast(canvas: &mut Canvas, factor: f32) {
    let count = (canvas.rgb().len() / 3) as u64;
    let sum: u64 = canvas.pixels().map(|pixel| u64::from(luma(pixel))).sum();
    // Half a level up is what rounds, as in Pillow.
    let mean = (2 * sum + count) / (2 * count);
    towards_one_value(canvas, mean as u8, factor);
}

fn towards_one_value(canvas: &mut Canvas, degenerate: u8, factor: f32) {
    let table: [u8; 256] = std::array::from_fn(|value| blend(degenerate, value as u8, factor));
    canvas.map(|pixel| pixel.map(|value| table[usize::from(value)]));
}

pub(super) fn colour(canvas: &mut Canvas, factor: f32) {
    canvas.map(|pixel| {
        let grey = luma(pixel);
        pixel.map(|value| blend(grey, value, factor))
    });
}

/// The smoothed image has in each channel the mean of a pixel and its neighbours with the pixel
/// counted five times (Pillow's `SMOOTH`); it keeps the outermost pixels.
pub(super) fn sharpness(canvas: &mut Canvas, factor: f32) {
    let [height, width] = canvas.size();
    let stride = width * 3;
    canvas.redraw(|source, target| {
        target.copy_from_slice(source);
        for row in 1..height.saturating_sub(1) {
            let start = row * stride;
            for index in start + 3..(start + stride).saturating_sub(3) {
                let three = |centre: usize| {
                    [centre - 3, centre, centre + 3]
                        .map(|index| u32::from(source[index]))
                        .iter()
                        .sum::<u32>()
                };
                let sum = three(index - stride) + three(index) + three(index + stride);
                let sum = sum + 4 * u32::from(source[index]);
                let smooth = (2 * sum + 13) / 26;
                target[index] = blend(smooth as u8, source[index], factor);
            }
        }
    });
}
