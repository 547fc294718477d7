//! How an arbitrary image becomes the input of a network.
//!
//! A [`Preprocessing`] is saved with every run and travels with weights, so that evaluation,
//! prediction, serving and exported models treat an image exactly as training did.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::setting::SettingError;

/// The means and standard deviations of the CIFAR-10 training images on the 0–1 scale: those
/// that nearly every published CIFAR-10 recipe uses. (They can be recomputed from the 50,000
/// images; the widespread alternative deviations 0.2023, 0.1994, 0.2010 are averages of
/// per-image deviations.)
const CIFAR10_MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
const CIFAR10_STD: [f32; 3] = [0.2470, 0.2435, 0.2616];

/// The channel statistics of ImageNet as fixed by torchvision's reference recipes, which
/// nearly all published weights expect.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// What is done to an image of any size before a network sees it, in this order: reduce (where
/// a shorter side is named), resize, centre crop, scale to 0–1, normalise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Height of the network's input in pixels.
    pub height: usize,
    /// Width of the network's input in pixels.
    pub width: usize,
    /// An image whose shorter side has more pixels is first reduced to this, keeping its aspect
    /// ratio; random crops are then taken from what is left. It bounds the work on large
    /// photographs, and lets them be kept in their reduced form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<usize>,
    /// How an image of another size gets there.
    pub resize: ResizeRule,
    /// The channel statistics that normalise the pixels; they also say how many channels
    /// there are.
    pub normalisation: Normalisation,
}

/// How an image gets to the size of the input. All resizing is bilinear with antialiasing (the
/// filter widens with the reduction), as Pillow does it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ResizeRule {
    /// Height and width are scaled separately to exactly the input size.
    Stretch,
    /// The image is scaled, keeping its aspect ratio, until it just covers the input size
    /// divided by `crop_fraction` (for a square input: until its shorter side has that
    /// length), and the centre is cut out.
    ///
    /// `crop_fraction` lies in 0.1 to 1; 0.875 with a 224-pixel input is the usual "resize to
    /// 256, crop 224" of ImageNet evaluation.
    #[schemars(extend("default" = Self::CoverAndCrop { crop_fraction: 0.875 }))]
    CoverAndCrop {
        /// Input size divided by the size that the image is scaled to cover.
        crop_fraction: f64,
    },
}

impl Preprocessing {
    /// 32×32 RGB with the statistics of CIFAR-10; larger images are scaled to cover.
    pub fn cifar10() -> Self {
        Self {
            height: 32,
            width: 32,
            shorter_side: None,
            resize: ResizeRule::CoverAndCrop { crop_fraction: 1.0 },
            normalisation: Normalisation::cifar10(),
        }
    }

    /// 224×224 RGB, shorter side 256, with the statistics of ImageNet: the evaluation of
    /// He et al. 2015 §3.4 (10-crop aside) and of torchvision.
    pub fn imagenet() -> Self {
        Self {
            height: 224,
            width: 224,
            shorter_side: None,
            resize: ResizeRule::CoverAndCrop {
                crop_fraction: 0.875,
            },
            normalisation: Normalisation::imagenet(),
        }
    }

    /// The longer side of what an image is scaled to cover: a [`shorter_side`](Self::shorter_side)
    /// below it would throw away what the input then has to make up.
    pub fn covered_side(&self) -> usize {
        let side = self.height.max(self.width);
        match self.resize {
            ResizeRule::Stretch => side,
            ResizeRule::CoverAndCrop { crop_fraction } => {
                ((side as f64 / crop_fraction) as usize).max(side)
            }
        }
    }

    /// Channels of the input: 3 (RGB) or 1 (grey).
    pub fn channels(&self) -> usize {
        self.normalisation.mean.len()
    }

    /// Says whether the values can be used.
    ///
    /// # Errors
    /// If a side is 0 or longer than 65,535 pixels, or the crop fraction lies outside 0.1 to 1.
    pub fn validate(&self) -> Result<(), SettingError> {
        for (name, value) in [("height", self.height), ("width", self.width)] {
            if value == 0 || value > MAX_SIDE {
                let expected = format!("1 to {MAX_SIDE} pixels");
                return Err(SettingError::value(name, value, expected));
            }
        }
        if let Some(pixels) = self.shorter_side
            && !(1..=MAX_SIDE).contains(&pixels)
        {
            let expected = format!("1 to {MAX_SIDE} pixels");
            return Err(SettingError::value("shorter_side", pixels, expected));
        }
        match self.resize {
            ResizeRule::CoverAndCrop { crop_fraction }
                if !(LEAST_CROP_FRACTION..=1.0).contains(&crop_fraction) =>
            {
                let expected = format!("{LEAST_CROP_FRACTION} to 1 (0.875 crops 224 from 256)");
                let error = SettingError::value("crop_fraction", crop_fraction, expected);
                Err(error.within("resize"))
            }
            _ => Ok(()),
        }
    }
}

/// A smaller centre than this shows next to nothing of an image, and would have to be cut out
/// of an enormous enlargement.
const LEAST_CROP_FRACTION: f64 = 0.1;

/// The longest side of an input. No network here comes near it; it keeps areas within 32 bits.
const MAX_SIDE: usize = 65_535;

/// Channel statistics on the 0–1 scale: a pixel value `p` of 0–255 in channel `c` becomes
/// `(p / 255 - mean[c]) / std[c]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "UncheckedNormalisation")]
pub struct Normalisation {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalisation {
    /// Normalisation with one mean and one standard deviation per channel.
    ///
    /// # Errors
    /// Unless both have the same length, 1 or 3, and all are finite with positive deviations.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self, NormalisationError> {
        if mean.len() != std.len() || !matches!(mean.len(), 1 | 3) {
            return Err(NormalisationError::Channels {
                mean: mean.len(),
                std: std.len(),
            });
        }
        for (channel, (&mean, &std)) in mean.iter().zip(&std).enumerate() {
            if !mean.is_finite() || !std.is_finite() || std <= 0.0 {
                return Err(NormalisationError::Statistics { channel, mean, std });
            }
        }
        Ok(Self { mean, std })
    }

    /// The statistics of the CIFAR-10 training images.
    pub fn cifar10() -> Self {
        Self {
            mean: CIFAR10_MEAN.to_vec(),
            std: CIFAR10_STD.to_vec(),
        }
    }

    /// The statistics of ImageNet in torchvision's reference recipes.
    pub fn imagenet() -> Self {
        Self {
            mean: IMAGENET_MEAN.to_vec(),
            std: IMAGENET_STD.to_vec(),
        }
    }

    /// From the scale `[0, 1]` to `[-1, 1]`: what some networks are trained with in place of statistics.
    pub fn halves() -> Self {
        Self {
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
        }
    }

    /// For one channel: the means of means and deviations.
    pub fn grey(&self) -> Self {
        let mean = |numbers: &[f32]| vec![numbers.iter().sum::<f32>() / numbers.len() as f32];
        Self {
            mean: mean(&self.mean),
            std: mean(&self.std),
        }
    }

    /// The mean of every channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of every channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }
}

/// What a file says before it is checked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UncheckedNormalisation {
    /// The mean of each channel, 1 or 3.
    mean: Vec<f32>,
    /// The standard deviation of each channel.
    std: Vec<f32>,
}

impl TryFrom<UncheckedNormalisation> for Normalisation {
    type Error = NormalisationError;

    fn try_from(values: UncheckedNormalisation) -> Result<Self, Self::Error> {
        Self::new(values.mean, values.std)
    }
}

/// Why channel statistics cannot normalise anything.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum NormalisationError {
    /// Means and deviations do not describe the same 1 or 3 channels.
    #[error("{mean} channel means and {std} standard deviations; expected 1 or 3 of each")]
    Channels {
        /// How many means were given.
        mean: usize,
        /// How many standard deviations were given.
        std: usize,
    },
    /// A mean or deviation that cannot normalise anything.
    #[error(
        "channel {channel} has mean {mean} and standard deviation {std}; \
         expected finite numbers and a deviation above 0"
    )]
    Statistics {
        /// The channel, from 0.
        channel: usize,
        /// Its mean.
        mean: f32,
        /// Its standard deviation.
        std: f32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_preprocessing_reads_back() {
        for preprocessing in [Preprocessing::cifar10(), Preprocessing::imagenet()] {
            let text = serde_json::to_string(&preprocessing).unwrap();
            assert_eq!(
                serde_json::from_str::<Preprocessing>(&text).unwrap(),
                preprocessing
            );
            assert_eq!(preprocessing.channels(), 3);
            preprocessing.validate().unwrap();
        }
    }

    #[test]
    fn a_shorter_side_is_saved_where_there_is_one() {
        let reducing = Preprocessing {
            shorter_side: Some(256),
            ..Preprocessing::cifar10()
        };
        let text = serde_json::to_string(&reducing).unwrap();
        assert!(text.contains(r#""shorter_side":256"#), "{text}");
        assert_eq!(
            serde_json::from_str::<Preprocessing>(&text).unwrap(),
            reducing
        );
    }

    #[test]
    fn the_saved_form_does_not_change() {
        assert_eq!(
            serde_json::to_string(&Preprocessing::imagenet()).unwrap(),
            r#"{"height":224,"width":224,"resize":{"rule":"cover-and-crop","crop_fraction":0.875},"normalisation":{"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}}"#
        );
    }

    #[test]
    fn what_is_covered_is_what_the_crop_is_cut_from() {
        let mut preprocessing = Preprocessing::imagenet();
        assert_eq!(preprocessing.covered_side(), 256);
        preprocessing.height = 112;
        assert_eq!(preprocessing.covered_side(), 256);
        preprocessing.resize = ResizeRule::Stretch;
        assert_eq!(preprocessing.covered_side(), 224);
        assert_eq!(Preprocessing::cifar10().covered_side(), 32);
    }

    #[test]
    fn bad_values_are_refused() {
        let mut flat = Preprocessing::cifar10();
        flat.height = 0;
        assert_eq!(
            flat.validate().unwrap_err().to_string(),
            "height is 0; expected 1 to 65535 pixels"
        );
        let mut vanishing = Preprocessing::cifar10();
        vanishing.shorter_side = Some(0);
        assert_eq!(
            vanishing.validate().unwrap_err().to_string(),
            "shorter_side is 0; expected 1 to 65535 pixels"
        );
        let mut grown = Preprocessing::cifar10();
        grown.resize = ResizeRule::CoverAndCrop { crop_fraction: 1.5 };
        assert_eq!(
            grown.validate().unwrap_err().to_string(),
            "resize.crop_fraction is 1.5; expected 0.1 to 1 (0.875 crops 224 from 256)"
        );
        let message = |mean, std| Normalisation::new(mean, std).unwrap_err().to_string();
        assert_eq!(
            message(vec![0.5; 3], vec![0.5]),
            "3 channel means and 1 standard deviations; expected 1 or 3 of each"
        );
        assert_eq!(
            message(vec![0.5], vec![0.0]),
            "channel 0 has mean 0.5 and standard deviation 0; \
             expected finite numbers and a deviation above 0"
        );
        let text = r#"{"mean": [0.5, 0.5], "std": [0.5, 0.5]}"#;
        let error = serde_json::from_str::<Normalisation>(text).unwrap_err();
        assert!(
            error.to_string().contains("expected 1 or 3 of each"),
            "{error}"
        );
    }
}
