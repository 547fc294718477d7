//! From a decoded image to the numbers that a network reads.

use rand::RngExt;
use residua_core::preprocessing::{Normalisation, Preprocessing, ResizeRule};
use residua_core::seed::SeedStream;
use residua_core::setting::SettingError;
use thiserror::Error;

use crate::augmentation::canvas::Canvas;
use crate::augmentation::{Augmentation, RandomCrop};
use crate::geometry::{Geometry, cover, random_resized};
use crate::pixels::{Pixels, luma};
use crate::reduction::{reduced, scaled};
use crate::resize::Rectangle;

/// A pipeline from an image of any size to `[height, width, channels]` normalised numbers.
///
/// Training and evaluation are two values of this type. They share their [`Preprocessing`];
/// training adds an [`Augmentation`].
#[derive(Debug, Clone)]
pub struct Transform {
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    lookup: Lookup,
}

/// One occasion on which training shows an image: all that its augmentation depends on.
///
/// A [`SeedStream`] alone stands for the first occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Showing {
    /// Where the randomness of this occasion comes from.
    pub seed: SeedStream,
    /// Where that comes from which stays the same in all epochs.
    pub image_seed: SeedStream,
    /// How often the image was shown before: the number that alternating flips go by.
    pub turn: u64,
}

impl From<SeedStream> for Showing {
    fn from(seed: SeedStream) -> Self {
        Self {
            seed,
            image_seed: seed.child("flip"),
            turn: 0,
        }
    }
}

/// Why an image cannot be transformed, or a pipeline not be built.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum TransformError {
    /// The preprocessing or the augmentation cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The scaled image would be too large to hold.
    #[error("cannot scale {height} × {width} pixels to {scaled_height} × {scaled_width}")]
    Scale {
        /// Height of the image.
        height: usize,
        /// Width of the image.
        width: usize,
        /// Height that it should get.
        scaled_height: usize,
        /// Width that it should get.
        scaled_width: usize,
    },
    /// The place for the result has another size than the result.
    #[error("the output has room for {found} numbers; expected {expected}")]
    Output {
        /// Height × width × channels.
        expected: usize,
        /// Length of the slice given.
        found: usize,
    },
}

impl Transform {
    /// The pipeline that evaluates, predicts and serves: nothing in it is random.
    ///
    /// # Errors
    /// If a value of the preprocessing is out of range.
    pub fn evaluation(preprocessing: &Preprocessing) -> Result<Self, TransformError> {
        Self::training(preprocessing, Augmentation::NONE)
    }

    /// The pipeline that trains.
    ///
    /// # Errors
    /// If a value of the preprocessing or of the augmentation is out of range.
    pub fn training(
        preprocessing: &Preprocessing,
        augmentation: Augmentation,
    ) -> Result<Self, TransformError> {
        preprocessing
            .validate()
            .map_err(|error| error.within("preprocessing"))?;
        augmentation
            .validate()
            .map_err(|error| error.within("augmentation"))?;
        Ok(Self {
            preprocessing: preprocessing.clone(),
            augmentation,
            lookup: Lookup::new(&preprocessing.normalisation),
        })
    }

    /// The preprocessing it was built from.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The augmentation it was built from; [`Augmentation::NONE`] for evaluation.
    pub fn augmentation(&self) -> Augmentation {
        self.augmentation
    }

    /// `[height, width, channels]` of the result.
    pub fn shape(&self) -> [usize; 3] {
        let preprocessing = &self.preprocessing;
        [
            preprocessing.height,
            preprocessing.width,
            preprocessing.channels(),
        ]
    }

    /// Transforms one image; `[height, width, channels]`.
    ///
    /// Randomness comes from `showing` (which may be a [`SeedStream`]) alone; evaluation does not
    /// look at it.
    ///
    /// # Errors
    /// [`TransformError::Scale`] for shapes that would need gigabytes.
    pub fn apply(
        &self,
        image: &Pixels<'_>,
        showing: impl Into<Showing>,
    ) -> Result<Vec<f32>, TransformError> {
        let mut output = vec![0.0; self.shape().iter().product()];
        self.apply_into(image, showing, &mut output)?;
        Ok(output)
    }

    /// Transforms one image into `output`, `[height, width, channels]`.
    ///
    /// # Errors
    /// As [`Transform::apply`], and [`TransformError::Output`] if `output` has another length.
    pub fn apply_into(
        &self,
        image: &Pixels<'_>,
        showing: impl Into<Showing>,
        output: &mut [f32],
    ) -> Result<(), TransformError> {
        let showing = showing.into();
        let expected = self.shape().iter().product();
        if output.len() != expected {
            return Err(TransformError::Output {
                expected,
                found: output.len(),
            });
        }
        let reduced = match self.preprocessing.shorter_side {
            Some(shorter_side) => reduced(image, shorter_side)?,
            None => None,
        };
        self.apply_reduced(reduced.as_ref().unwrap_or(image), showing, output)
    }

    fn apply_reduced(
        &self,
        image: &Pixels<'_>,
        showing: Showing,
        output: &mut [f32],
    ) -> Result<(), TransformError> {
        let geometry = self.geometry([image.height(), image.width()], showing);
        let whole = Rectangle::whole(image.height(), image.width());
        if geometry.area == whole && geometry.scaled == [image.height(), image.width()] {
            self.render(image, &geometry, showing.seed, output);
            return Ok(());
        }
        let scaled = scaled(image, geometry.area, geometry.scaled)?;
        self.render(&scaled, &geometry, showing.seed, output);
        Ok(())
    }

    /// Decides where every pixel of the result comes from in an image of `[height, width]`.
    fn geometry(&self, image: [usize; 2], showing: Showing) -> Geometry {
        let rng = &mut showing.seed.rng();
        let input = [self.preprocessing.height, self.preprocessing.width];
        let mut geometry = match (self.augmentation.crop, self.preprocessing.resize) {
            (RandomCrop::RandomResized { scale, ratio }, _) => {
                Geometry::stretch(random_resized(image, scale, ratio, rng), input)
            }
            (_, ResizeRule::Stretch) => {
                Geometry::stretch(Rectangle::whole(image[0], image[1]), input)
            }
            (_, ResizeRule::CoverAndCrop { crop_fraction }) => cover(image, input, crop_fraction),
        };
        if let RandomCrop::PadAndCrop {
            padding,
            surroundings,
        } = self.augmentation.crop
        {
            let mut offset =
                || rng.random_range(0..=2 * padding as u32) as isize - padding as isize;
            geometry.shift = [offset(), offset()];
            geometry.surroundings = surroundings;
        }
        geometry.mirrored = self.augmentation.flip.is_mirrored(
            self.augmentation.flip_probability,
            showing.image_seed,
            showing.turn,
            rng,
        );
        geometry
    }

    /// Reads the window of the scaled image, and does what remains to be done to it.
    fn render(
        &self,
        scaled: &Pixels<'_>,
        geometry: &Geometry,
        seed: SeedStream,
        output: &mut [f32],
    ) {
        let [height, width, channels] = self.shape();
        if self.augmentation.changes_pixels() {
            let canvas = self.painted(scaled, geometry, seed);
            self.normalise(|index| canvas.pixel(index), output);
        } else {
            for (row, target) in output.chunks_exact_mut(width * channels).enumerate() {
                self.normalise(geometry.row(scaled, row), target);
            }
        }
        let erasing = self.augmentation.erasing;
        if !erasing.is_none() {
            let rng = &mut seed.child("erasing").rng();
            erasing.apply(output, [height, width, channels], rng);
        }
    }

    /// The window of the scaled image, changed by the policy and in its colours.
    fn painted(&self, scaled: &Pixels<'_>, geometry: &Geometry, seed: SeedStream) -> Canvas {
        let [height, width, _] = self.shape();
        let mut rgb = Vec::with_capacity(height * width * 3);
        for row in 0..height {
            rgb.extend((0..width).flat_map(geometry.row(scaled, row)));
        }
        let mut canvas = Canvas::new(width, rgb);
        let policy = self.augmentation.policy;
        policy.apply(&mut canvas, &mut seed.child("policy").rng());
        if let Some(jitter) = self.augmentation.colour_jitter {
            jitter.apply(&mut canvas, &mut seed.child("colour jitter").rng());
        }
        canvas
    }

    /// Normalises pixels that are found by their index in the output.
    fn normalise(&self, pixel: impl Fn(usize) -> [u8; 3], output: &mut [f32]) {
        match &self.lookup {
            Lookup::Rgb(table) => {
                for (index, target) in output.chunks_exact_mut(3).enumerate() {
                    let [red, green, blue] = pixel(index);
                    target[0] = table[0][usize::from(red)];
                    target[1] = table[1][usize::from(green)];
                    target[2] = table[2][usize::from(blue)];
                }
            }
            Lookup::Grey(table) => {
                for (index, target) in output.iter_mut().enumerate() {
                    *target = table[usize::from(luma(pixel(index)))];
                }
            }
        }
    }
}

/// The normalised value of each of the 256 values of a channel.
#[derive(Debug, Clone)]
enum Lookup {
    Rgb(Box<[[f32; 256]; 3]>),
    Grey(Box<[f32; 256]>),
}

impl Lookup {
    fn new(normalisation: &Normalisation) -> Self {
        let table = |channel: usize| {
            let mean = normalisation.mean()[channel];
            let std = normalisation.std()[channel];
            std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std)
        };
        match normalisation.mean().len() {
            1 => Self::Grey(Box::new(table(0))),
            _ => Self::Rgb(Box::new([table(0), table(1), table(2)])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augmentation::Surroundings;

    fn gradient(height: usize, width: usize) -> Pixels<'static> {
        let rgb: Vec<u8> = (0..height * width * 3)
            .map(|index| (index * 7 % 251) as u8)
            .collect();
        Pixels::new(height, width, rgb).unwrap()
    }

    /// Mean 0 and deviation 1/255: the result is the pixel value itself.
    fn plain(height: usize, width: usize) -> Preprocessing {
        Preprocessing {
            height,
            width,
            shorter_side: None,
            resize: ResizeRule::CoverAndCrop { crop_fraction: 1.0 },
            normalisation: Normalisation::new(vec![0.0; 3], vec![1.0 / 255.0; 3]).unwrap(),
        }
    }

    fn rounded(values: &[f32]) -> Vec<u8> {
        values.iter().map(|value| value.round() as u8).collect()
    }

    #[test]
    fn evaluation_normalises_and_nothing_else() {
        let image = gradient(32, 32);
        let transform = Transform::evaluation(&Preprocessing::cifar10()).unwrap();
        let values = transform.apply(&image, SeedStream::new(0)).unwrap();
        let normalisation = Normalisation::cifar10();
        for (index, (&value, &pixel)) in values.iter().zip(image.rgb()).enumerate() {
            let (mean, std) = (
                normalisation.mean()[index % 3],
                normalisation.std()[index % 3],
            );
            assert_eq!(value, (f32::from(pixel) / 255.0 - mean) / std);
        }
    }

    #[test]
    fn a_flip_of_a_flip_is_the_image() {
        let image = gradient(6, 5);
        let flip = Augmentation {
            flip_probability: 1.0,
            ..Augmentation::NONE
        };
        let transform = Transform::training(&plain(6, 5), flip).unwrap();
        let once = rounded(&transform.apply(&image, SeedStream::new(0)).unwrap());
        assert_ne!(once, image.rgb());
        assert_eq!(once[..3], image.rgb()[4 * 3..5 * 3]);
        let once = Pixels::new(6, 5, once).unwrap();
        let twice = transform.apply(&once, SeedStream::new(0)).unwrap();
        assert_eq!(rounded(&twice), image.rgb());
    }

    fn padded_by_2(surroundings: Surroundings) -> Augmentation {
        Augmentation {
            crop: RandomCrop::PadAndCrop {
                padding: 2,
                surroundings,
            },
            ..Augmentation::NONE
        }
    }

    #[test]
    fn pad_and_crop_shifts_and_fills_with_black() {
        let image = Pixels::new(8, 8, vec![200; 8 * 8 * 3]).unwrap();
        let crop = padded_by_2(Surroundings::Black);
        let transform = Transform::training(&plain(8, 8), crop).unwrap();
        let mut seen = std::collections::BTreeMap::new();
        for sample in 0..2_000 {
            let seed = SeedStream::new(5).child_index(sample);
            let values = rounded(&transform.apply(&image, seed).unwrap());
            let bright = values.iter().filter(|&&value| value == 200).count() / 3;
            let black = values.iter().filter(|&&value| value == 0).count() / 3;
            assert_eq!(bright + black, 64);
            *seen.entry(bright).or_insert(0) += 1;
        }
        // Offsets -2 to 2 leave 6, 7, 8, 7, 6 rows, and as many columns.
        let sizes: Vec<usize> = seen.keys().copied().collect();
        assert_eq!(sizes, [36, 42, 48, 49, 56, 64]);
        // One pair of 25 leaves all of the image.
        assert!((40..=120).contains(&seen[&64]), "{}", seen[&64]);
    }

    #[test]
    fn pad_and_crop_shows_the_image_reflected() {
        // What numpy.pad(image, 2, mode="reflect") holds in rows and columns.
        const ROWS: [usize; 7] = [2, 1, 0, 1, 2, 1, 0];
        const COLUMNS: [usize; 9] = [2, 1, 0, 1, 2, 3, 4, 3, 2];
        let image = gradient(3, 5);
        let crop = padded_by_2(Surroundings::Reflection);
        let transform = Transform::training(&plain(3, 5), crop).unwrap();
        let crop_at = |top: usize, left: usize| -> Vec<u8> {
            let places = ROWS[top..top + 3].iter().flat_map(|row| {
                COLUMNS[left..left + 5]
                    .iter()
                    .map(move |column| (row, column))
            });
            places
                .flat_map(|(row, column)| image.rgb()[(row * 5 + column) * 3..][..3].to_vec())
                .collect()
        };
        let mut expected: Vec<Vec<u8>> = (0..5)
            .flat_map(|top| (0..5).map(move |left| (top, left)))
            .map(|(top, left)| crop_at(top, left))
            .collect();
        let crops = (0..1_000).map(|sample| SeedStream::new(8).child_index(sample));
        let mut seen: Vec<Vec<u8>> = crops
            .map(|seed| rounded(&transform.apply(&image, seed).unwrap()))
            .collect();
        for crops in [&mut expected, &mut seen] {
            crops.sort_unstable();
            crops.dedup();
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn half_of_the_images_are_flipped() {
        let image = gradient(4, 4);
        let flip = Augmentation {
            flip_probability: 0.5,
            ..Augmentation::NONE
        };
        let transform = Transform::training(&plain(4, 4), flip).unwrap();
        let flipped = (0..1_000)
            .map(|sample| SeedStream::new(1).child_index(sample))
            .filter(|&seed| rounded(&transform.apply(&image, seed).unwrap()) != image.rgb())
            .count();
        assert!((420..=580).contains(&flipped), "{flipped}");
    }

    #[test]
    fn grey_is_pillows_brightness() {
        let preprocessing = Preprocessing {
            normalisation: Normalisation::new(vec![0.0], vec![1.0 / 255.0]).unwrap(),
            ..plain(1, 3)
        };
        let image = Pixels::new(1, 3, vec![255, 0, 0, 0, 255, 0, 90, 90, 90]).unwrap();
        let transform = Transform::evaluation(&preprocessing).unwrap();
        assert_eq!(transform.shape(), [1, 3, 1]);
        let values = transform.apply(&image, SeedStream::new(0)).unwrap();
        assert_eq!(rounded(&values), [76, 150, 90]);
    }

    #[test]
    fn one_pixel_and_a_long_strip_become_inputs_too() {
        for (height, width) in [(1, 1), (1, 5_000), (5_000, 1), (3, 700)] {
            for augmentation in [
                Augmentation::NONE,
                Augmentation::IMAGENET,
                Augmentation::CIFAR,
            ] {
                let transform = Transform::training(&Preprocessing::cifar10(), augmentation);
                let values = transform
                    .unwrap()
                    .apply(&gradient(height, width), SeedStream::new(3));
                assert_eq!(values.unwrap().len(), 32 * 32 * 3);
            }
        }
    }

    #[test]
    fn a_wrong_output_is_refused() {
        let transform = Transform::evaluation(&plain(2, 2)).unwrap();
        let error = transform
            .apply_into(&gradient(2, 2), SeedStream::new(0), &mut [0.0; 11])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the output has room for 11 numbers; expected 12"
        );
    }
}
