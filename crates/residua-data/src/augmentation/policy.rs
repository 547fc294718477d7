//! Policies: which operations change an image, and how far.

mod space;
mod sub_policies;

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::canvas::Canvas;
use crate::draw::below;
pub(super) use space::{Kind, Space};
pub(super) use sub_policies::CIFAR;

/// Which operations on 8-bit pixels change an image at random.
///
/// Operations and magnitudes are those of torchvision's policies on Pillow images, bit for bit:
/// pixels are moved to the nearest place, and what comes from outside the image is black.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Policy {
    /// No operation.
    #[default]
    None,
    /// A fixed number of operations of one magnitude, each any of 14 (Cubuk et al. 2019,
    /// "RandAugment: Practical automated data augmentation with a reduced search space" §3), in
    /// either direction where there are two.
    #[schemars(extend("default" = Self::rand_augment()))]
    RandAugment {
        /// How many operations follow one another, 1 to 16 (N of the paper).
        operations: usize,
        /// How far each goes, 0 to 30 (M of the paper): the last changes the most.
        magnitude: usize,
        /// Standard deviation of the magnitude from operation to operation, 0 to 30. The
        /// magnitude drawn is rounded to a whole one of 0 to 30. (The paper has none; timm's
        /// recipes use 0.5.)
        #[serde(default)]
        magnitude_deviation: f64,
    },
    /// One operation of any of 31 magnitudes, from wider ranges (Müller and Hutter 2021,
    /// "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation" §3, with the
    /// augmentation space that they call Wide).
    TrivialAugmentWide,
    /// One of the 25 pairs of operations that Cubuk et al. 2018 ("AutoAugment: Learning
    /// Augmentation Policies from Data", table 7 of the appendix) found for CIFAR-10.
    AutoAugmentCifar,
}

/// More operations than this leave nothing of an image.
const MOST_OPERATIONS: usize = 16;

/// The last of the 31 magnitudes.
const MOST_MAGNITUDE: usize = 30;

impl Policy {
    /// RandAugment with the numbers of the paper for ImageNet (its table 9), and torchvision's.
    pub const fn rand_augment() -> Self {
        Self::RandAugment {
            operations: 2,
            magnitude: 9,
            magnitude_deviation: 0.0,
        }
    }

    /// Whether no image is changed.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn validate(&self) -> Result<(), SettingError> {
        let Self::RandAugment {
            operations,
            magnitude,
            magnitude_deviation,
        } = *self
        else {
            return Ok(());
        };
        let refuse = |key, value: f64, expected| Err(SettingError::value(key, value, expected));
        if !(1..=MOST_OPERATIONS).contains(&operations) {
            return refuse("operations", operations as f64, "1 to 16");
        }
        if magnitude > MOST_MAGNITUDE {
            return refuse("magnitude", magnitude as f64, "0 to 30");
        }
        if !(0.0..=MOST_MAGNITUDE as f64).contains(&magnitude_deviation) {
            return refuse("magnitude_deviation", magnitude_deviation, "0 to 30");
        }
        Ok(())
    }

    pub(crate) fn apply(&self, canvas: &mut Canvas, rng: &mut impl Rng) {
        match *self {
            Self::None => (),
            Self::RandAugment {
                operations,
                magnitude,
                magnitude_deviation,
            } => {
                for _ in 0..operations {
                    let bin = around(magnitude, magnitude_deviation, rng);
                    Space::RAND_AUGMENT.apply_any(bin, canvas, rng);
                }
            }
            Self::TrivialAugmentWide => {
                let bin = below(MOST_MAGNITUDE + 1, rng);
                Space::TRIVIAL_AUGMENT_WIDE.apply_any(bin, canvas, rng);
            }
            Self::AutoAugmentCifar => {
                for step in CIFAR[below(CIFAR.len(), rng)] {
                    if rng.random_bool(step.probability) {
                        let is_reversed = rng.random_bool(0.5);
                        Space::AUTO_AUGMENT
                            .operation(step.kind, step.bin, is_reversed, canvas.size())
                            .apply(canvas);
                    }
                }
            }
        }
    }
}

impl Space {
    /// Any of the 14 kinds, in either direction.
    fn apply_any(&self, bin: usize, canvas: &mut Canvas, rng: &mut impl Rng) {
        let kind = Kind::ALL[below(Kind::ALL.len(), rng)];
        let is_reversed = rng.random_bool(0.5);
        self.operation(kind, bin, is_reversed, canvas.size())
            .apply(canvas);
    }
}

/// A whole magnitude, normally distributed about `magnitude`.
fn around(magnitude: usize, deviation: f64, rng: &mut impl Rng) -> usize {
    if deviation == 0.0 {
        return magnitude;
    }
    let drawn = magnitude as f64 + deviation * rng.sample::<f64, _>(StandardNormal);
    drawn.round().clamp(0.0, MOST_MAGNITUDE as f64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use residua_core::seed::SeedStream;

    use super::*;

    fn canvas() -> Canvas {
        let bytes = (0..32 * 32 * 3_u32).map(|index| (index * 37 % 239) as u8);
        Canvas::new(32, bytes.collect())
    }

    fn results(policy: Policy, seeds: u64) -> Vec<Vec<u8>> {
        let one = |seed| {
            let mut canvas = canvas();
            policy.apply(&mut canvas, &mut SeedStream::new(seed).rng());
            canvas.rgb().to_vec()
        };
        (0..seeds).map(one).collect()
    }

    const RAND_AUGMENT: Policy = Policy::RandAugment {
        operations: 2,
        magnitude: 9,
        magnitude_deviation: 0.5,
    };

    #[test]
    fn policies_depend_on_the_seed_alone_and_vary_with_it() {
        for (policy, least) in [
            (RAND_AUGMENT, 200),
            (Policy::TrivialAugmentWide, 200),
            (Policy::AutoAugmentCifar, 60),
        ] {
            let found = results(policy, 400);
            assert_eq!(found, results(policy, 400));
            let different: BTreeSet<_> = found.into_iter().collect();
            assert!(different.len() > least, "{policy:?}: {}", different.len());
        }
        let untouched = results(Policy::None, 3);
        assert!(untouched.iter().all(|rgb| rgb == canvas().rgb()));
    }

    #[test]
    fn a_deviation_spreads_the_magnitude_within_its_bounds() {
        let mut rng = SeedStream::new(3).rng();
        let drawn: Vec<usize> = (0..4_000).map(|_| around(9, 2.0, &mut rng)).collect();
        let mean = drawn.iter().sum::<usize>() as f64 / 4_000.0;
        let squares = drawn.iter().map(|&bin| (bin as f64 - mean).powi(2));
        let deviation = (squares.sum::<f64>() / 4_000.0).sqrt();
        assert!((mean - 9.0).abs() < 0.15, "{mean}");
        // Rounding to whole numbers adds a twelfth to the variance.
        assert!((deviation - 2.02).abs() < 0.1, "{deviation}");
        let wild: BTreeSet<usize> = (0..4_000).map(|_| around(15, 30.0, &mut rng)).collect();
        assert_eq!(wild, (0..=30).collect());
        assert!((0..100).all(|_| around(9, 0.0, &mut rng) == 9));
    }

    #[test]
    fn the_saved_form_does_not_change() {
        for (policy, text) in [
            (Policy::None, r#"{"rule":"none"}"#),
            (
                RAND_AUGMENT,
                r#"{"rule":"rand-augment","operations":2,"magnitude":9,"magnitude_deviation":0.5}"#,
            ),
            (
                Policy::TrivialAugmentWide,
                r#"{"rule":"trivial-augment-wide"}"#,
            ),
            (Policy::AutoAugmentCifar, r#"{"rule":"auto-augment-cifar"}"#),
        ] {
            assert_eq!(serde_json::to_string(&policy).unwrap(), text);
            assert_eq!(serde_json::from_str::<Policy>(text).unwrap(), policy);
        }
        let shorter = r#"{"rule":"rand-augment","operations":1,"magnitude":5}"#;
        let expected = Policy::RandAugment {
            operations: 1,
            magnitude: 5,
            magnitude_deviation: 0.0,
        };
        assert_eq!(serde_json::from_str::<Policy>(shorter).unwrap(), expected);
        let unknown = r#"{"rule":"rand-augment","operations":1,"magnitude":5,"bins":31}"#;
        assert!(serde_json::from_str::<Policy>(unknown).is_err());
    }
}
