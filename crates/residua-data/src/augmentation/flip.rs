//! Mirror images.

use rand::{Rng, RngExt};
use residua_core::seed::SeedStream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When an image is mirrored left to right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flip {
    /// At random each time, with the probability that the augmentation names.
    #[default]
    Random,
    /// Every second time that it is shown, whatever the probability; in the first epoch a random
    /// half of the images is (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU"
    /// §3.6). Two epochs in a row show an image both ways, where chance shows it twice the same
    /// way in every second pair.
    Alternating,
}

impl Flip {
    /// Whether this is what there was before there was a choice.
    pub fn is_random(&self) -> bool {
        *self == Self::Random
    }

    /// Whether the image is mirrored when shown for the `turn`-th time, from 0; `image` is its
    /// own in all epochs, `rng` this time's.
    pub(crate) fn is_mirrored(
        self,
        probability: f64,
        image: SeedStream,
        turn: u64,
        rng: &mut impl Rng,
    ) -> bool {
        match self {
            // Drawn only where it can matter, so that evaluation needs no randomness.
            Self::Random => probability > 0.0 && rng.random_bool(probability),
            Self::Alternating => image.rng().random_bool(0.5) ^ (turn % 2 == 1),
        }
    }
}
