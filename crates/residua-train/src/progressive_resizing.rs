//! Smaller images at the beginning of a training: what is learned first can be seen in them too, and they
//! are computed faster.

use residua_core::preprocessing::Preprocessing;
use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Epochs that show smaller images (progressive resizing: Howard's entry to DAWNBench, 2018; Tan and Le
/// 2021, "EfficientNetV2", §4, call it progressive learning). Images are prepared as for a network of
/// that size; crops are padded by as many pixels as elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmallerImages {
    /// Their height and width as a share of those of the other epochs, rounded to whole pixels.
    pub scale: f64,
    /// How many epochs.
    pub epochs: u64,
}

impl SmallerImages {
    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        if !(self.scale > 0.0 && self.scale < 1.0) {
            return Err(SettingError::value(
                "scale",
                self.scale,
                "more than 0 and less than 1",
            ));
        }
        match self.epochs {
            0 => Err(SettingError::value("epochs", 0, "at least 1")),
            _ => Ok(()),
        }
    }

    /// What makes images that small of those that `preprocessing` makes images of.
    pub(crate) fn preprocessing(&self, preprocessing: &Preprocessing) -> Preprocessing {
        let smaller = |side: usize| ((side as f64 * self.scale).round() as usize).max(1);
        Preprocessing {
            height: smaller(preprocessing.height),
            width: smaller(preprocessing.width),
            ..preprocessing.clone()
        }
    }

    /// The stages of a run that is `factor` times as long and then has `epochs` epochs, at least the last of
    /// which shows images at their full size.
    pub fn stretched(stages: &[Self], factor: f64, epochs: u64) -> Vec<Self> {
        let (mut end, mut begin) = (0.0, 0);
        let moved = stages.iter().map(|stage| {
            end += stage.epochs as f64;
            let until = ((end * factor).round() as u64).min(epochs.saturating_sub(1));
            let moved = Self {
                epochs: until - begin,
                ..*stage
            };
            begin = until;
            moved
        });
        moved.filter(|stage| stage.epochs > 0).collect()
    }
}

/// Which of the stages an epoch belongs to, counted from 0; none if its images have their full size.
pub(crate) fn stage_of(stages: &[SmallerImages], epoch: u64) -> Option<usize> {
    let mut end = 0_u64;
    stages.iter().position(|stage| {
        end = end.saturating_add(stage.epochs);
        epoch < end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(stages: &[(f64, u64)]) -> Vec<SmallerImages> {
        let stage = |&(scale, epochs)| SmallerImages { scale, epochs };
        stages.iter().map(stage).collect()
    }

    #[test]
    fn stages_follow_one_another() {
        let stages = stages(&[(0.5, 2), (0.75, 1)]);
        let found: Vec<_> = (0..5).map(|epoch| stage_of(&stages, epoch)).collect();
        assert_eq!(found, [Some(0), Some(0), Some(1), None, None]);
        let sizes = stages.iter().map(|stage| {
            let smaller = stage.preprocessing(&Preprocessing::cifar10());
            [smaller.height, smaller.width]
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [[16, 16], [24, 24]]);
    }

    #[test]
    fn stages_move_with_the_length_of_the_run() {
        let of_nine = stages(&[(0.5, 2), (0.75, 2)]);
        let run = |epochs| SmallerImages::stretched(&of_nine, epochs as f64 / 9.0, epochs);
        assert_eq!(run(9), of_nine);
        assert_eq!(run(18), stages(&[(0.5, 4), (0.75, 4)]));
        assert_eq!(run(2), stages(&[(0.75, 1)]));
        assert_eq!(run(1), []);
    }
}
