//! Which pixels of an image become which pixels of the input.

use rand::Rng;

use crate::augmentation::Surroundings;
use crate::draw::{below, between};
use crate::pixels::Pixels;
use crate::resize::Rectangle;

/// An image more elongated than this is cut to it before scaling: its ends would be cropped
/// away anyway, and scaling them could need gigabytes.
const MAX_ASPECT_RATIO: usize = 16;

/// How often torchvision's `RandomResizedCrop` tries before it takes the middle.
const RANDOM_CROP_ATTEMPTS: usize = 10;

/// The path of an image to the input: `area` is cut out and scaled to `scaled`; of that,
/// `window` remains, which has the size of the input; it is shifted, and mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) area: Rectangle,
    pub(crate) scaled: [usize; 2],
    pub(crate) window: Rectangle,
    /// Rows and columns by which the view moves down and right over the window.
    pub(crate) shift: [isize; 2],
    /// What it sees outside.
    pub(crate) surroundings: Surroundings,
    pub(crate) mirrored: bool,
}

impl Geometry {
    /// `area` is scaled to exactly the size of the input.
    pub(crate) fn stretch(area: Rectangle, input: [usize; 2]) -> Self {
        Self {
            area,
            scaled: input,
            window: Rectangle::whole(input[0], input[1]),
            shift: [0, 0],
            surroundings: Surroundings::Black,
            mirrored: false,
        }
    }

    /// The pixels of row `row` of the input by their column, given the scaled image.
    pub(crate) fn row(&self, scaled: &Pixels<'_>, row: usize) -> impl Fn(usize) -> [u8; 3] {
        let source = self.source_row(row).map(|row| {
            let start = (row * scaled.width() + self.window.left) * 3;
            &scaled.rgb()[start..start + self.window.width * 3]
        });
        move |column| self.source_pixel(source, column)
    }

    /// The row of the scaled image that becomes row `row` of the input, if there is one.
    fn source_row(&self, row: usize) -> Option<usize> {
        let row = row as isize + self.shift[0];
        let row = self.surroundings.seen_at(row, self.window.height)?;
        Some(self.window.top + row)
    }

    /// The colour that becomes column `column` of the input, given the pixels of the window
    /// in that row.
    fn source_pixel(&self, row: Option<&[u8]>, column: usize) -> [u8; 3] {
        let column = if self.mirrored {
            self.window.width - 1 - column
        } else {
            column
        };
        let column = column as isize + self.shift[1];
        let pixel = row.zip(self.surroundings.seen_at(column, self.window.width));
        match pixel.and_then(|(row, column)| row.get(column * 3..column * 3 + 3)) {
            Some(pixel) => [pixel[0], pixel[1], pixel[2]],
            None => [0; 3],
        }
    }
}

/// The image is scaled to just cover the input divided by `crop_fraction`; the longer side is
/// rounded down, and the crop centred, as torchvision does both.
pub(crate) fn cover(image: [usize; 2], input: [usize; 2], crop_fraction: f64) -> Geometry {
    let [height, width] = image;
    let area_size = [
        height.min(width * MAX_ASPECT_RATIO),
        width.min(height * MAX_ASPECT_RATIO),
    ];
    let area = Rectangle::centred(image, area_size);
    let to_cover = input.map(|side| ((side as f64 / crop_fraction) as usize).max(side));
    let scaled = if to_cover[0] * area.width >= to_cover[1] * area.height {
        [to_cover[0], to_cover[0] * area.width / area.height]
    } else {
        [to_cover[1] * area.height / area.width, to_cover[1]]
    };
    Geometry {
        area,
        scaled,
        window: Rectangle::centred(scaled, input),
        shift: [0, 0],
        surroundings: Surroundings::Black,
        mirrored: false,
    }
}

/// A random rectangle whose share of the image's area lies in `scale` and whose width divided
/// by height lies in `ratio`, up to rounding. If ten attempts do not fit into the image, the
/// largest rectangle in its middle with a ratio in the range.
pub(crate) fn random_resized(
    [height, width]: [usize; 2],
    scale: [f64; 2],
    ratio: [f64; 2],
    rng: &mut impl Rng,
) -> Rectangle {
    let area = height as f64 * width as f64;
    for _ in 0..RANDOM_CROP_ATTEMPTS {
        let crop_area = area * between(scale, rng);
        let crop_ratio = between(ratio.map(f64::ln), rng).exp();
        let crop_width = (crop_area * crop_ratio).sqrt().round() as usize;
        let crop_height = (crop_area / crop_ratio).sqrt().round() as usize;
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            return Rectangle {
                top: below(height - crop_height + 1, rng),
                left: below(width - crop_width + 1, rng),
                height: crop_height,
                width: crop_width,
            };
        }
    }
    let [narrowest, widest] = ratio;
    let image_ratio = width as f64 / height as f64;
    let size = if image_ratio < narrowest {
        let crop_height = (width as f64 / narrowest).round() as usize;
        [crop_height.clamp(1, height), width]
    } else if image_ratio > widest {
        let crop_width = (height as f64 * widest).round() as usize;
        [height, crop_width.clamp(1, width)]
    } else {
        [height, width]
    };
    Rectangle::centred([height, width], size)
}

#[cfg(test)]
mod tests {
    use residua_core::seed::SeedStream;

    use super::*;

    #[test]
    fn imagenet_evaluation_scales_the_shorter_side_to_256() {
        let geometry = cover([300, 400], [224, 224], 0.875);
        assert_eq!(geometry.scaled, [256, 341]);
        assert_eq!(
            geometry.window,
            Rectangle {
                top: 16,
                left: 58,
                height: 224,
                width: 224
            }
        );
    }

    #[test]
    fn an_image_of_the_input_size_is_left_alone() {
        let geometry = cover([32, 32], [32, 32], 1.0);
        assert_eq!(
            geometry,
            Geometry::stretch(Rectangle::whole(32, 32), [32, 32])
        );
    }

    proptest::proptest! {
        #[test]
        fn a_cover_always_contains_the_input(
            height in 1_usize..3_000, width in 1_usize..3_000,
            input_height in 1_usize..300, input_width in 1_usize..300,
            crop_fraction in 0.3_f64..=1.0,
        ) {
            let input = [input_height, input_width];
            let geometry = cover([height, width], input, crop_fraction);
            let Geometry { area, scaled, window, .. } = geometry;
            assert!(area.top + area.height <= height && area.left + area.width <= width);
            assert!(window.top + window.height <= scaled[0]);
            assert!(window.left + window.width <= scaled[1]);
            assert_eq!([window.height, window.width], input);
        }

        #[test]
        fn random_crops_lie_in_the_image(
            height in 1_usize..500, width in 1_usize..500, seed: u64,
        ) {
            let scale = [0.08, 1.0];
            let ratio = [3.0 / 4.0, 4.0 / 3.0];
            let mut rng = SeedStream::new(seed).rng();
            let crop = random_resized([height, width], scale, ratio, &mut rng);
            assert!(crop.height >= 1 && crop.width >= 1);
            assert!(crop.top + crop.height <= height && crop.left + crop.width <= width);
        }
    }

    #[test]
    fn random_crops_fill_their_ranges() {
        let mut shares = Vec::new();
        let mut ratios = Vec::new();
        for seed in 0..2_000 {
            let crop = random_resized(
                [400, 400],
                [0.08, 1.0],
                [3.0 / 4.0, 4.0 / 3.0],
                &mut SeedStream::new(seed).rng(),
            );
            shares.push((crop.height * crop.width) as f64 / 160_000.0);
            ratios.push(crop.width as f64 / crop.height as f64);
        }
        let range = |values: &[f64]| {
            let least = values.iter().copied().fold(f64::MAX, f64::min);
            let most = values.iter().copied().fold(f64::MIN, f64::max);
            (least, most)
        };
        let (least, most) = range(&shares);
        assert!((0.078..0.1).contains(&least) && most <= 1.0 && most > 0.95);
        let (least, most) = range(&ratios);
        assert!((0.74..0.77).contains(&least) && (1.30..1.35).contains(&most));
    }
}
