//! What training does to its images at random.
//!
//! In this order: the image is cropped and brought to the input size, mirrored, changed by a
//! policy and in its colours as 8-bit pixels, normalised, erased in part; at last the images of a
//! batch are mixed.

pub(crate) mod canvas;
mod colour_jitter;
mod erasing;
mod flip;
#[cfg(test)]
mod golden;
mod mix;
mod operation;
mod policy;

use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use colour_jitter::ColourJitter;
pub use erasing::{Erasing, ErasingFill};
pub use flip::Flip;
pub use mix::{Mix, Mixture};
pub use policy::Policy;

/// The random part of a training pipeline. Evaluation has none.
///
/// All but the crop and the flip probability may be missing in a configuration, which then does
/// without them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Which part of the image is taken.
    pub crop: RandomCrop,
    /// The probability that the image is mirrored left to right, 0 to 1.
    pub flip_probability: f64,
    /// When the image is mirrored; with [`Flip::Alternating`] the probability has no say.
    #[serde(default, skip_serializing_if = "Flip::is_random")]
    pub flip: Flip,
    /// Operations on 8-bit pixels.
    #[serde(default, skip_serializing_if = "Policy::is_none")]
    pub policy: Policy,
    /// Changes of the colours, after those of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour_jitter: Option<ColourJitter>,
    /// What is erased of the normalised image.
    #[serde(default, skip_serializing_if = "Erasing::is_none")]
    pub erasing: Erasing,
    /// How the images of a batch are mixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
}

/// Which part of an image is taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RandomCrop {
    /// What evaluation takes.
    None,
    /// The image is brought to the input size as in evaluation, surrounded by `padding` pixels on
    /// each side, and a random crop of the input size is taken.
    #[schemars(extend("default" = Augmentation::CIFAR.crop))]
    PadAndCrop {
        /// Pixels on each side.
        padding: usize,
        /// What they show.
        #[serde(default, skip_serializing_if = "Surroundings::is_black")]
        surroundings: Surroundings,
    },
    /// A random rectangle of the image is scaled to the input size: the crop of Szegedy et al.
    /// 2015 ("Going deeper with convolutions" §6), with the search of torchvision's
    /// `RandomResizedCrop`.
    #[schemars(extend("default" = Augmentation::IMAGENET.crop))]
    RandomResized {
        /// Smallest and largest share of the image's area, each more than 0 and at most 1.
        scale: [f64; 2],
        /// Smallest and largest width divided by height, drawn evenly on a logarithmic scale.
        ratio: [f64; 2],
    },
}

/// What surrounds an image that is padded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Surroundings {
    /// Nothing: black pixels.
    #[default]
    Black,
    /// The image once more, reflected at its outermost pixels, which are not repeated (Zagoruyko and
    /// Komodakis 2016, "Wide Residual Networks", §3). The network then sees no edges that are not in
    /// the images.
    Reflection,
}

impl Surroundings {
    fn is_black(&self) -> bool {
        *self == Self::Black
    }

    /// The place from 0 to `size - 1` whose pixel is seen at `place`, which may lie outside.
    pub(crate) fn seen_at(self, place: isize, size: usize) -> Option<usize> {
        let inside = |place: &usize| *place < size;
        match self {
            Self::Black => usize::try_from(place).ok().filter(inside),
            Self::Reflection => {
                let last = size.checked_sub(1)?;
                let period = (2 * last).max(1);
                let place = place.rem_euclid(period as isize) as usize;
                Some(place.min(period - place))
            }
        }
    }
}

impl Augmentation {
    /// No randomness.
    pub const NONE: Self = Self {
        crop: RandomCrop::None,
        flip_probability: 0.0,
        flip: Flip::Random,
        policy: Policy::None,
        colour_jitter: None,
        erasing: Erasing::None,
        mix: None,
    };

    /// He et al. 2015 §4.2 for CIFAR-10: 4 pixels padded on each side, a random crop of the
    /// original size, a flip of every second image.
    pub const CIFAR: Self = Self {
        crop: RandomCrop::PadAndCrop {
            padding: 4,
            surroundings: Surroundings::Black,
        },
        flip_probability: 0.5,
        ..Self::NONE
    };

    /// The usual augmentation for ImageNet: random resized crops of 8 % to 100 % of the area
    /// with ratios from 3/4 to 4/3 (the ranges of Szegedy et al. 2015 §6), and flips.
    pub const IMAGENET: Self = Self {
        crop: RandomCrop::RandomResized {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
        },
        flip_probability: 0.5,
        ..Self::NONE
    };

    /// Says whether the values can be used.
    ///
    /// # Errors
    /// With the key, the value and what was expected.
    pub fn validate(&self) -> Result<(), SettingError> {
        check_probability("flip_probability", self.flip_probability)?;
        let within = |section| move |error: SettingError| error.within(section);
        self.crop.validate().map_err(within("crop"))?;
        self.policy.validate().map_err(within("policy"))?;
        if let Some(jitter) = self.colour_jitter {
            jitter.validate().map_err(within("colour_jitter"))?;
        }
        self.erasing.validate().map_err(within("erasing"))?;
        self.mix
            .map_or(Ok(()), |mix| mix.validate().map_err(within("mix")))
    }

    /// Whether images are changed as 8-bit pixels, beyond moving them.
    pub(crate) fn changes_pixels(&self) -> bool {
        !self.policy.is_none() || self.colour_jitter.is_some()
    }
}

impl RandomCrop {
    fn validate(&self) -> Result<(), SettingError> {
        match *self {
            RandomCrop::None => Ok(()),
            RandomCrop::PadAndCrop { padding, .. } if padding > MAX_PADDING => {
                let expected = format!("at most {MAX_PADDING} pixels");
                Err(SettingError::value("padding", padding, expected))
            }
            RandomCrop::PadAndCrop { .. } => Ok(()),
            RandomCrop::RandomResized { scale, ratio } => {
                check_areas("scale", scale)?;
                check_ratios("ratio", ratio)
            }
        }
    }
}

/// More padding than any image here is wide.
const MAX_PADDING: usize = 65_535;

fn check_probability(key: &str, value: f64) -> Result<(), SettingError> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(SettingError::value(key, value, "0 to 1")),
    }
}

/// Smallest and largest share of an area.
fn check_areas(key: &str, [least, most]: [f64; 2]) -> Result<(), SettingError> {
    if least > 0.0 && least <= most && most <= 1.0 {
        return Ok(());
    }
    let expected = "shares above 0, at most 1, in ascending order";
    Err(SettingError::value(
        key,
        format!("{least} to {most}"),
        expected,
    ))
}

/// Smallest and largest ratio of two sides.
fn check_ratios(key: &str, [least, most]: [f64; 2]) -> Result<(), SettingError> {
    if least > 0.0 && least <= most && most.is_finite() {
        return Ok(());
    }
    let expected = "numbers above 0 in ascending order";
    Err(SettingError::value(
        key,
        format!("{least} to {most}"),
        expected,
    ))
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
    fn surroundings_repeat_no_pixel_or_show_none() {
        let seen = |surroundings: Surroundings, size| -> Vec<Option<usize>> {
            (-3..6)
                .map(|place| surroundings.seen_at(place, size))
                .collect()
        };
        // What numpy.pad([0, 1, 2], 3, mode="reflect") gives.
        let reflected = [1, 2, 1, 0, 1, 2, 1, 0, 1].map(Some);
        assert_eq!(seen(Surroundings::Reflection, 3), reflected);
        assert_eq!(seen(Surroundings::Reflection, 1), [Some(0); 9]);
        let black = [-1, -1, -1, 0, 1, 2, -1, -1, -1].map(|place| usize::try_from(place).ok());
        assert_eq!(seen(Surroundings::Black, 3), black);
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
            "flip_probability is 1.5; expected 0 to 1"
        );
        assert_eq!(
            message(|bad| bad.crop = RandomCrop::RandomResized {
                scale: [0.5, 0.1],
                ratio: [1.0, 1.0],
            }),
            "crop.scale is 0.5 to 0.1; expected shares above 0, at most 1, in \
             ascending order"
        );
        assert_eq!(
            message(|bad| bad.crop = RandomCrop::RandomResized {
                scale: [0.5, 1.0],
                ratio: [0.0, 1.0],
            }),
            "crop.ratio is 0 to 1; expected numbers above 0 in ascending order"
        );
    }

    /// All that there is, with values that hardly anybody uses.
    fn everything() -> Augmentation {
        Augmentation {
            flip: Flip::Alternating,
            policy: Policy::TrivialAugmentWide,
            colour_jitter: Some(ColourJitter {
                brightness: 0.4,
                ..ColourJitter::default()
            }),
            erasing: Erasing::Cutout { size: 8 },
            mix: Some(Mix {
                mixup_alpha: 0.2,
                ..Mix::default()
            }),
            ..Augmentation::CIFAR
        }
    }

    #[test]
    fn what_is_new_reads_back_and_may_be_missing() {
        everything().validate().unwrap();
        let text = serde_json::to_string(&everything()).unwrap();
        assert!(
            text.contains(r#""flip":"alternating","policy":{"rule":"trivial-augment-wide"}"#),
            "{text}"
        );
        let read = serde_json::from_str::<Augmentation>(&text).unwrap();
        assert_eq!(read, everything());

        let text = r#"{"crop":{"rule":"none"},"flip_probability":0,
            "colour_jitter":{"hue":0.1},"mix":{"cutmix_alpha":1}}"#;
        let read = serde_json::from_str::<Augmentation>(text).unwrap();
        assert_eq!(read.colour_jitter.map(|jitter| jitter.hue), Some(0.1));
        let mix = read.mix.unwrap();
        assert_eq!((mix.cutmix_alpha, mix.switch_probability), (1.0, 0.5));
        assert!(read.policy.is_none() && read.erasing.is_none() && read.flip.is_random());

        for text in [
            r#"{"crop":{"rule":"none"},"flip_probability":0,"cutmix":1}"#,
            r#"{"crop":{"rule":"none"},"flip_probability":0,"mix":{"alpha":1}}"#,
            r#"{"crop":{"rule":"none"},"flip_probability":0,"colour_jitter":{"tint":1}}"#,
            r#"{"crop":{"rule":"none"},"flip_probability":0,"flip":"always"}"#,
        ] {
            assert!(
                serde_json::from_str::<Augmentation>(text).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn every_new_value_is_checked() {
        let message = |change: fn(&mut Augmentation)| {
            let mut augmentation = everything();
            change(&mut augmentation);
            augmentation.validate().unwrap_err().to_string()
        };
        let rand_augment = |operations, magnitude, magnitude_deviation| Policy::RandAugment {
            operations,
            magnitude,
            magnitude_deviation,
        };
        for (policy, expected) in [
            (
                rand_augment(0, 9, 0.5),
                "policy.operations is 0; expected 1 to 16",
            ),
            (
                rand_augment(2, 31, 0.5),
                "policy.magnitude is 31; expected 0 to 30",
            ),
            (
                rand_augment(2, 9, f64::NAN),
                "policy.magnitude_deviation is NaN; expected 0 to 30",
            ),
        ] {
            let augmentation = Augmentation {
                policy,
                ..everything()
            };
            assert_eq!(augmentation.validate().unwrap_err().to_string(), expected);
        }
        for (found, expected) in [
            (
                message(|bad| {
                    bad.colour_jitter = Some(ColourJitter {
                        contrast: -0.1,
                        ..ColourJitter::default()
                    });
                }),
                "colour_jitter.contrast is -0.1; expected a finite number, 0 or more",
            ),
            (
                message(|bad| {
                    bad.colour_jitter = Some(ColourJitter {
                        hue: 0.6,
                        ..ColourJitter::default()
                    });
                }),
                "colour_jitter.hue is 0.6; expected 0 to 0.5",
            ),
            (
                message(|bad| bad.erasing = Erasing::Cutout { size: 0 }),
                "erasing.size is 0; expected 1 to 65535 pixels",
            ),
            (
                message(|bad| bad.mix = Some(Mix::default())),
                "mix has mixup_alpha and cutmix_alpha both at 0; expected at least one above 0, or \
                 no mix at all",
            ),
            (
                message(|bad| {
                    bad.mix = Some(Mix {
                        cutmix_alpha: -1.0,
                        ..Mix::default()
                    });
                }),
                "mix.cutmix_alpha is -1; expected 0.001 to 1000, or 0 to leave it out",
            ),
            (
                message(|bad| {
                    bad.mix = Some(Mix {
                        mixup_alpha: 1.0,
                        switch_probability: 2.0,
                        ..Mix::default()
                    });
                }),
                "mix.switch_probability is 2; expected 0 to 1",
            ),
            (
                message(|bad| {
                    bad.mix = Some(Mix {
                        mixup_alpha: 1.0,
                        probability: -1.0,
                        ..Mix::default()
                    });
                }),
                "mix.probability is -1; expected 0 to 1",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_values_of_random_erasing_are_checked() {
        let message = |probability, area, ratio| {
            let augmentation = Augmentation {
                erasing: Erasing::Random {
                    probability,
                    area,
                    ratio,
                    fill: ErasingFill::Mean,
                },
                ..Augmentation::NONE
            };
            augmentation.validate().unwrap_err().to_string()
        };
        assert_eq!(
            message(1.5, [0.1, 0.2], [0.5, 2.0]),
            "erasing.probability is 1.5; expected 0 to 1"
        );
        assert_eq!(
            message(0.5, [0.1, 1.2], [0.5, 2.0]),
            "erasing.area is 0.1 to 1.2; expected shares above 0, at most 1, in ascending order"
        );
        assert_eq!(
            message(0.5, [0.1, 0.2], [2.0, 0.5]),
            "erasing.ratio is 2 to 0.5; expected numbers above 0 in ascending order"
        );
    }
}
