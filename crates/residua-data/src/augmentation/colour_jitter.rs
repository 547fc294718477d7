//! Other brightness, contrast, saturation and hue.

use rand::Rng;
use rand::seq::SliceRandom;
use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::canvas::Canvas;
use super::operation::Operation;
use crate::draw::between;

/// How far the colours of an image are changed at random, in random order: torchvision's
/// `ColorJitter` on Pillow images, after Howard 2013 ("Some Improvements on Deep Convolutional
/// Neural Network Based Image Classification").
///
/// What is 0 is left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColourJitter {
    /// The brightness is multiplied by a factor of `1 - brightness` (at least 0) to
    /// `1 + brightness`.
    pub brightness: f64,
    /// The same for the distance of all values from the mean grey value.
    pub contrast: f64,
    /// The same for the distance of each pixel from its grey value.
    pub saturation: f64,
    /// Hues move by up to this share of the colour circle in either direction, 0 to 0.5.
    pub hue: f64,
}

/// The most that torchvision's hue may move: half the circle reaches every hue.
const MOST_HUE: f64 = 0.5;

impl ColourJitter {
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        for (key, value) in [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                let expected = "a finite number, 0 or more";
                return Err(SettingError::value(key, value, expected));
            }
        }
        if !(0.0..=MOST_HUE).contains(&self.hue) {
            return Err(SettingError::value("hue", self.hue, "0 to 0.5"));
        }
        Ok(())
    }

    pub(crate) fn apply(&self, canvas: &mut Canvas, rng: &mut impl Rng) {
        for operation in self.draw(rng) {
            operation.apply(canvas);
        }
    }

    fn draw(&self, rng: &mut impl Rng) -> [Operation; 4] {
        let mut factor =
            |strength: f64| between([(1.0 - strength).max(0.0), 1.0 + strength], rng) as f32;
        let unless_zero = |strength: f64, operation| match strength {
            0.0 => Operation::Identity,
            _ => operation,
        };
        let mut operations = [
            unless_zero(
                self.brightness,
                Operation::Brightness(factor(self.brightness)),
            ),
            unless_zero(self.contrast, Operation::Contrast(factor(self.contrast))),
            unless_zero(self.saturation, Operation::Colour(factor(self.saturation))),
            unless_zero(
                self.hue,
                shifted_hue(between([-self.hue, self.hue], rng) as f32),
            ),
        ];
        operations.shuffle(rng);
        operations
    }
}

/// A share of the colour circle in whole steps of 8-bit hues, towards 0.
pub(super) fn shifted_hue(share: f32) -> Operation {
    Operation::ShiftHue((f64::from(share) * 255.0) as i32 as u8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use residua_core::seed::SeedStream;

    use super::*;

    proptest! {
        #[test]
        fn factors_lie_in_their_ranges(strength in 0.01_f64..3.0, seed: u64) {
            let jitter = ColourJitter {
                brightness: strength,
                contrast: strength,
                saturation: strength,
                hue: strength / 6.0,
            };
            let range = ((1.0 - strength).max(0.0) as f32)..=(1.0 + strength) as f32;
            let steps = (strength / 6.0 * 255.0) as i32;
            for operation in jitter.draw(&mut SeedStream::new(seed).rng()) {
                match operation {
                    Operation::Brightness(factor)
                    | Operation::Contrast(factor)
                    | Operation::Colour(factor) => prop_assert!(range.contains(&factor)),
                    Operation::ShiftHue(shift) => {
                        prop_assert!(i32::from(shift as i8).abs() <= steps.max(0));
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }

    #[test]
    fn what_is_zero_is_left_alone_and_the_order_varies() {
        let jitter = ColourJitter {
            contrast: 0.4,
            hue: 0.1,
            ..ColourJitter::default()
        };
        let orders: BTreeSet<String> = (0..200)
            .map(|seed| {
                let drawn = jitter.draw(&mut SeedStream::new(seed).rng());
                let names = drawn.map(|operation| match operation {
                    Operation::Identity => "-",
                    Operation::Contrast(_) => "c",
                    Operation::ShiftHue(_) => "h",
                    _ => "?",
                });
                names.concat().replace('-', "")
            })
            .collect();
        assert_eq!(orders, BTreeSet::from(["ch".to_owned(), "hc".to_owned()]));
    }
}
