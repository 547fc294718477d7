//! A map on the image that it explains.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use image::{Rgb, RgbImage, imageops};
use npyz::WriterBuilder;
use residua::core::preprocessing::Preprocessing;
use residua::train::explain::HeatMap;

/// Height or width that a picture has at least, so that small images can be looked at.
const LEAST_SIZE: usize = 256;
/// Share of the colour where the map is largest.
const STRONGEST: f32 = 0.6;

/// The image as the network sees it, in its own colours, with the map over it. `image` is
/// `[H, W, C]`, normalised.
pub(crate) fn draw(image: &[f32], preprocessing: &Preprocessing, map: &HeatMap) -> RgbImage {
    let mut picture = enlarged(image, preprocessing, LEAST_SIZE);
    let (drawn_width, drawn_height) = picture.dimensions();
    let map = map.normalised();
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let row = (y as f32 + 0.5) / drawn_height as f32;
        let column = (x as f32 + 0.5) / drawn_width as f32;
        let value = interpolated(&map, row, column);
        let weight = STRONGEST * value;
        for (channel, colour) in pixel.0.iter_mut().zip(turbo(value)) {
            let mixed = f32::from(*channel) * (1.0 - weight) + colour * 255.0 * weight;
            *channel = mixed.round() as u8;
        }
    }
    picture
}

/// The image as the network sees it, in its own colours, each pixel as large a square as it takes for
/// the picture to have `least_size` pixels in height and width. `image` is `[H, W, C]`, normalised.
pub(crate) fn enlarged(
    image: &[f32],
    preprocessing: &Preprocessing,
    least_size: usize,
) -> RgbImage {
    let (height, width) = (preprocessing.height, preprocessing.width);
    let scale = least_size.div_ceil(height.min(width).max(1)).max(1);
    let size = ((width * scale) as u32, (height * scale) as u32);
    let seen = colours(image, preprocessing);
    imageops::resize(&seen, size.0, size.1, imageops::FilterType::Nearest)
}

/// The map as a NumPy file of 32-bit numbers, `[height, width]`.
pub(crate) fn write_map(path: &Path, map: &HeatMap) -> io::Result<()> {
    let file = BufWriter::new(File::create(path)?);
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[map.height as u64, map.width as u64])
        .writer(file)
        .begin_nd()?;
    writer.extend(map.values.iter().copied())?;
    writer.finish()
}

/// Undoes the normalisation.
fn colours(image: &[f32], preprocessing: &Preprocessing) -> RgbImage {
    let normalisation = &preprocessing.normalisation;
    let channels = preprocessing.channels();
    let (height, width) = (preprocessing.height as u32, preprocessing.width as u32);
    RgbImage::from_fn(width, height, |x, y| {
        let first = (y * width + x) as usize * channels;
        Rgb([0, 1, 2].map(|channel| {
            // One channel is grey.
            let channel = channel.min(channels - 1);
            let (mean, std) = (normalisation.mean()[channel], normalisation.std()[channel]);
            ((image[first + channel] * std + mean) * 255.0)
                .round()
                .clamp(0.0, 255.0) as u8
        }))
    })
}

/// The map at a place given as shares of height and width, bilinearly, the values being those of the
/// centres of its cells (as PyTorch's `align_corners=False`).
fn interpolated(map: &HeatMap, row: f32, column: f32) -> f32 {
    let along = |place: f32, size: usize| {
        let place = (place * size as f32 - 0.5).clamp(0.0, (size - 1) as f32);
        let first = place.floor() as usize;
        (first, (first + 1).min(size - 1), place - place.floor())
    };
    let (top, bottom, down) = along(row, map.height);
    let (left, right, across) = along(column, map.width);
    let at = |row: usize, column: usize| map.values[row * map.width + column];
    let upper = at(top, left) * (1.0 - across) + at(top, right) * across;
    let lower = at(bottom, left) * (1.0 - across) + at(bottom, right) * across;
    upper * (1.0 - down) + lower * down
}

/// The colour map Turbo (Mikhailov 2019, "Turbo, An Improved Rainbow Colormap for Visualization") in
/// its published approximation by polynomials; from 0, dark blue, to 1, dark red.
fn turbo(value: f32) -> [f32; 3] {
    const RED: [f32; 6] = [
        0.135_721_4,
        4.615_392_6,
        -42.660_323,
        132.131_08,
        -152.942_4,
        59.286_38,
    ];
    const GREEN: [f32; 6] = [
        0.091_402_61,
        2.194_188_4,
        4.842_966_6,
        -14.185_033,
        4.277_298_6,
        2.829_566,
    ];
    const BLUE: [f32; 6] = [
        0.106_673_3,
        12.641_946,
        -60.582_047,
        110.362_77,
        -89.903_11,
        27.348_25,
    ];
    [RED, GREEN, BLUE].map(|coefficients| {
        let powers = coefficients.iter().rev();
        let colour = powers.fold(0.0, |sum, coefficient| sum * value + coefficient);
        colour.clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_meets_the_centres_and_stays_at_the_edges() {
        let map = HeatMap {
            height: 1,
            width: 2,
            values: vec![0.0, 1.0],
        };
        assert_eq!(interpolated(&map, 0.5, 0.25), 0.0);
        assert_eq!(interpolated(&map, 0.5, 0.5), 0.5);
        assert_eq!(interpolated(&map, 0.0, 1.0), 1.0);
    }

    #[test]
    fn the_colours_go_from_blue_to_red() {
        let [red, _, blue] = turbo(0.1);
        assert!(blue > red);
        let [red, green, blue] = turbo(0.95);
        assert!(red > green && red > blue);
    }
}
