//! Holes in images.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draw::{below, between};
use crate::resize::Rectangle;

/// Which part of a normalised image is erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Erasing {
    /// None.
    #[default]
    None,
    /// A rectangle of random size, shape and place (Zhong et al. 2017, "Random Erasing Data
    /// Augmentation", algorithm 1), with the search of torchvision and timm: it lies within the
    /// image and is lower and narrower than it; an image for which ten attempts find no such
    /// rectangle keeps all of its pixels.
    Random {
        /// The share of the images that lose something, 0 to 1.
        probability: f64,
        /// Smallest and largest share of the image's area; 0.02 to 0.4 unless set (that of
        /// their experiments).
        #[serde(default = "default_area")]
        area: [f64; 2],
        /// Smallest and largest height divided by width, drawn evenly on a logarithmic scale;
        /// 0.3 to 1 / 0.3 unless set (theirs).
        #[serde(default = "default_ratio")]
        ratio: [f64; 2],
        /// What is there afterwards.
        #[serde(default)]
        fill: ErasingFill,
    },
    /// A square of every image (DeVries and Taylor 2017, "Improved Regularization of
    /// Convolutional Neural Networks with Cutout" §3): its centre is any pixel, so it may reach
    /// over the border; what is in the image becomes 0, the mean colour.
    Cutout {
        /// Length of a side in pixels, at least 1; theirs is 16 for CIFAR-10.
        size: usize,
    },
}

/// What an erased rectangle is filled with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErasingFill {
    /// 0 after normalisation, which is the mean colour.
    #[default]
    Mean,
    /// Standard normal numbers, one for each pixel and channel.
    Noise,
}

fn default_area() -> [f64; 2] {
    [0.02, 0.4]
}

fn default_ratio() -> [f64; 2] {
    [0.3, 1.0 / 0.3]
}

/// How often torchvision and timm try to find a rectangle.
const ATTEMPTS: usize = 10;

/// More than any image here is wide.
const MOST_SIZE: usize = 65_535;

impl Erasing {
    /// Whether nothing is erased.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn validate(&self) -> Result<(), SettingError> {
        match *self {
            Self::None => Ok(()),
            Self::Random {
                probability,
                area,
                ratio,
                ..
            } => {
                super::check_probability("probability", probability)?;
                super::check_areas("area", area)?;
                super::check_ratios("ratio", ratio)
            }
            Self::Cutout { size } if !(1..=MOST_SIZE).contains(&size) => {
                let expected = format!("1 to {MOST_SIZE} pixels");
                Err(SettingError::value("size", size, expected))
            }
            Self::Cutout { .. } => Ok(()),
        }
    }

    /// Erases in a normalised image, `[height, width, channels]`.
    pub(crate) fn apply(
        &self,
        image: &mut [f32],
        [height, width, channels]: [usize; 3],
        rng: &mut impl Rng,
    ) {
        let hole = match *self {
            Self::None => None,
            Self::Random {
                probability,
                area,
                ratio,
                ..
            } => rng
                .random_bool(probability)
                .then(|| rectangle([height, width], area, ratio, rng))
                .flatten(),
            Self::Cutout { size } => Some(square([height, width], size, rng)),
        };
        let Some(hole) = hole else { return };
        for row in hole.top..hole.top + hole.height {
            let start = (row * width + hole.left) * channels;
            let pixels = &mut image[start..start + hole.width * channels];
            match self {
                Self::Random {
                    fill: ErasingFill::Noise,
                    ..
                } => pixels.fill_with(|| rng.sample(StandardNormal)),
                _ => pixels.fill(0.0),
            }
        }
    }
}

fn rectangle(
    image: [usize; 2],
    area: [f64; 2],
    ratio: [f64; 2],
    rng: &mut impl Rng,
) -> Option<Rectangle> {
    let mut attempt = || {
        let share = between(area, rng);
        sides(image, share, between(ratio.map(f64::ln), rng).exp())
    };
    let [height, width] = (0..ATTEMPTS).find_map(|_| attempt())?;
    Some(Rectangle {
        top: below(image[0] - height + 1, rng),
        left: below(image[1] - width + 1, rng),
        height,
        width,
    })
}

/// Height and width of a share of an image's area, if both are less than the image's; `ratio` is
/// height divided by width.
pub(super) fn sides(image: [usize; 2], share: f64, ratio: f64) -> Option<[usize; 2]> {
    let area = share * (image[0] as f64 * image[1] as f64);
    let sides = [area * ratio, area / ratio].map(|square| square.sqrt().round_ties_even() as usize);
    (sides[0] < image[0] && sides[1] < image[1]).then_some(sides)
}

/// The part that lies in the image of a square with any pixel as its centre.
fn square([height, width]: [usize; 2], size: usize, rng: &mut impl Rng) -> Rectangle {
    let mut part = |length: usize| {
        let centre = below(length, rng);
        let start = centre.saturating_sub(size / 2);
        let end = (centre + size - size / 2).min(length);
        (start, end - start)
    };
    let (top, height) = part(height);
    let (left, width) = part(width);
    Rectangle {
        top,
        left,
        height,
        width,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use residua_core::seed::SeedStream;

    use super::*;

    const SHAPE: [usize; 3] = [20, 30, 3];

    fn erased(erasing: Erasing, seed: u64) -> Vec<f32> {
        let mut image = vec![7.0; SHAPE.iter().product()];
        erasing.apply(&mut image, SHAPE, &mut SeedStream::new(seed).rng());
        image
    }

    /// `[top, left, height, width]` of what is no longer 7, which must be a whole rectangle.
    fn hole(image: &[f32]) -> Option<[usize; 4]> {
        let [_, width, channels] = SHAPE;
        let gone: Vec<usize> = (0..image.len())
            .filter(|&index| image[index] != 7.0)
            .collect();
        let pixels = || gone.iter().map(|index| index / channels);
        let top = pixels().next()? / width;
        let bottom = pixels().next_back()? / width;
        let left = pixels().map(|pixel| pixel % width).min()?;
        let right = pixels().map(|pixel| pixel % width).max()?;
        let size = [bottom - top + 1, right - left + 1];
        assert_eq!(gone.len(), size[0] * size[1] * channels);
        Some([top, left, size[0], size[1]])
    }

    fn random(probability: f64, fill: ErasingFill) -> Erasing {
        Erasing::Random {
            probability,
            area: default_area(),
            ratio: default_ratio(),
            fill,
        }
    }

    proptest! {
        #[test]
        fn a_random_hole_has_an_area_and_a_ratio_in_range(
            seed: u64,
            least in 0.05_f64..0.5,
            most in 0.5_f64..0.9,
        ) {
            let erasing = Erasing::Random {
                probability: 1.0,
                area: [least, most],
                ratio: [0.5, 2.0],
                fill: ErasingFill::Mean,
            };
            if let Some([_, _, height, width]) = hole(&erased(erasing, seed)) {
                let [height, width] = [height as f64, width as f64];
                // Each side may be off by half a pixel.
                prop_assert!((height + 0.5) * (width + 0.5) / 600.0 >= least);
                prop_assert!((height - 0.5) * (width - 0.5) / 600.0 <= most);
                prop_assert!((height + 0.5) / (width - 0.5) >= 0.5);
                prop_assert!((height - 0.5) / (width + 0.5) <= 2.0);
            }
        }

        #[test]
        fn a_cutout_is_a_square_cut_off_at_the_border_only(seed: u64, size in 1_usize..80) {
            let [top, left, height, width] =
                hole(&erased(Erasing::Cutout { size }, seed)).expect("a centre lies in the image");
            prop_assert!(height <= size && width <= size);
            prop_assert!(height == size || top == 0 || top + height == SHAPE[0]);
            prop_assert!(width == size || left == 0 || left + width == SHAPE[1]);
        }
    }

    #[test]
    fn cutouts_reach_over_every_border_and_have_every_centre() {
        let holes = (0..4_000).map(|seed| hole(&erased(Erasing::Cutout { size: 1 }, seed)));
        let mut seen = std::collections::BTreeSet::new();
        for found in holes {
            let [top, left, ..] = found.unwrap();
            seen.insert((top, left));
        }
        // 600 pixels, each missed by 4,000 draws with a probability of one in 790.
        assert!(seen.len() > 590, "{}", seen.len());
        let cut = (0..100)
            .filter_map(|seed| hole(&erased(Erasing::Cutout { size: 10 }, seed)))
            .filter(|&[.., height, width]| height * width < 100)
            .count();
        assert!(cut > 50, "{cut}");
    }

    #[test]
    fn the_probability_and_the_fill_are_kept_to() {
        let holes = (0..1_000)
            .filter_map(|seed| hole(&erased(random(0.25, ErasingFill::Mean), seed)))
            .count();
        assert!((200..=300).contains(&holes), "{holes}");

        let filled = |fill| {
            let images = (0..200).flat_map(|seed| erased(random(1.0, fill), seed));
            images.filter(|&value| value != 7.0).collect::<Vec<f32>>()
        };
        assert!(filled(ErasingFill::Mean).iter().all(|&value| value == 0.0));
        let noise = filled(ErasingFill::Noise);
        let count = noise.len() as f64;
        let mean = noise.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let squares = noise.iter().map(|&value| f64::from(value).powi(2));
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((squares.sum::<f64>() / count - 1.0).abs() < 0.03);
    }

    #[test]
    fn what_is_not_set_is_the_papers() {
        let read = serde_json::from_str::<Erasing>(r#"{"rule":"random","probability":0.5}"#);
        assert_eq!(read.unwrap(), random(0.5, ErasingFill::Mean));
        let text = serde_json::to_string(&Erasing::Cutout { size: 16 }).unwrap();
        assert_eq!(text, r#"{"rule":"cutout","size":16}"#);
        let text = r#"{"rule":"random","probability":0.5,"fill":"noise"}"#;
        let read = serde_json::from_str::<Erasing>(text).unwrap();
        assert_eq!(read, random(0.5, ErasingFill::Noise));
    }
}
