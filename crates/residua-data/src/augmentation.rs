//! What training does to its images at random.

use serde::{Deserialize, Serialize};

/// The random part of a training pipeline. Evaluation has none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Which part of the image is taken.
    pub crop: RandomCrop,
    /// The probability that the image is mirrored left to right, 0 to 1.
    pub flip_probability: f64,
}

/// Which part of an image is taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RandomCrop {
    /// What evaluation takes.
    None,
    /// The image is brought to the input size as in evaluation, surrounded by `padding` black
    /// pixels on each side, and a random crop of the input size is taken.
    PadAndCrop {
        /// Pixels on each side.
        padding: usize,
    },
    /// A random rectangle of the image is scaled to the input size: the crop of Szegedy et al.
    /// 2015 ("Going deeper with convolutions" §6), with the search of torchvision's
    /// `RandomResizedCrop`.
    RandomResized {
        /// Smallest and largest share of the image's area, each more than 0 and at most 1.
        scale: [f64; 2],
        /// Smallest and largest width divided by height, drawn evenly on a logarithmic scale.
        ratio: [f64; 2],
    },
}

impl Augmentation {
    /// No randomness.
    pub const NONE: Self = Self {
        crop: RandomCrop::None,
        flip_probability: 0.0,
    };

    /// He et al. 2015 §4.2 for CIFAR-10: 4 pixels padded on each side, a random crop of the
    /// original size, a flip of every second image.
    pub const CIFAR: Self = Self {
        crop: RandomCrop::PadAndCrop { padding: 4 },
        flip_probability: 0.5,
    };

    /// The usual augmentation for ImageNet: random resized crops of 8 % to 100 % of the area
    /// with ratios from 3/4 to 4/3 (the ranges of Szegedy et al. 2015 §6), and flips.
    pub const IMAGENET: Self = Self {
        crop: RandomCrop::RandomResized {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
        },
        flip_probability: 0.5,
    };

    /// Says whether the values can be used.
    ///
    /// # Errors
    /// With a sentence that names the value and what was expected.
    pub fn validate(&self) -> Result<(), AugmentationError> {
        if !(0.0..=1.0).contains(&self.flip_probability) {
            return Err(AugmentationError::FlipProbability(self.flip_probability));
        }
        match self.crop {
            RandomCrop::None => Ok(()),
            RandomCrop::PadAndCrop { padding } if padding > MAX_PADDING => {
                Err(AugmentationError::Padding(padding))
            }
            RandomCrop::PadAndCrop { .. } => Ok(()),
            RandomCrop::RandomResized { scale, ratio } => {
                let [least, most] = scale;
                if !(least > 0.0 && least <= most && most <= 1.0) {
                    return Err(AugmentationError::Scale(least, most));
                }
                let [least, most] = ratio;
                if !(least > 0.0 && least <= most && most.is_finite()) {
                    return Err(AugmentationError::Ratio(least, most));
                }
                Ok(())
            }
        }
    }
}

/// More padding than any image here is wide.
const MAX_PADDING: usize = 65_535;

/// Why an augmentation cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentationError {
    /// Not a probability.
    #[error("the flip probability is {0}; expected 0 to 1")]
    FlipProbability(f64),
    /// An absurd padding.
    #[error("the padding is {0} pixels; expected at most {MAX_PADDING}")]
    Padding(usize),
    /// Not a range of shares of the area.
    #[error(
        "the scale of the random crop is {0} to {1}; expected shares above 0, at most 1, in ascending order"
    )]
    Scale(f64, f64),
    /// Not a range of ratios.
    #[error(
        "the ratio of the random crop is {0} to {1}; expected numbers above 0 in ascending order"
    )]
    Ratio(f64, f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_saved_form_does_not_change() {
        let text = serde_json::to_string(&Augmentation::CIFAR).unwrap();
        assert_eq!(
            text,
            r#"{"crop":{"rule":"pad-and-crop","padding":4},"flip_probability":0.5}"#
        );
        for augmentation in [
            Augmentation::NONE,
            Augmentation::CIFAR,
            Augmentation::IMAGENET,
        ] {
            let text = serde_json::to_string(&augmentation).unwrap();
            assert_eq!(
                serde_json::from_str::<Augmentation>(&text).unwrap(),
                augmentation
            );
            augmentation.validate().unwrap();
        }
    }

    #[test]
    fn bad_values_are_refused() {
        let message = |change: fn(&mut Augmentation)| {
            let mut augmentation = Augmentation::CIFAR;
            change(&mut augmentation);
            augmentation.validate().unwrap_err().to_string()
        };
        assert_eq!(
            message(|bad| bad.flip_probability = 1.5),
            "the flip probability is 1.5; expected 0 to 1"
        );
        assert_eq!(
            message(|bad| bad.crop = RandomCrop::RandomResized {
                scale: [0.5, 0.1],
                ratio: [1.0, 1.0],
            }),
            "the scale of the random crop is 0.5 to 0.1; expected shares above 0, at most 1, in \
             ascending order"
        );
        assert_eq!(
            message(|bad| bad.crop = RandomCrop::RandomResized {
                scale: [0.5, 1.0],
                ratio: [0.0, 1.0],
            }),
            "the ratio of the random crop is 0 to 1; expected numbers above 0 in ascending order"
        );
    }
}
