//! Smaller images at the beginning of a training: what is learned first can be seen in them too, and they
//! are computed faster.

use residua_core::preprocessing::Preprocessing;
use residua_core::setting::SettingError;
use residua_graph::Graph;
use residua_graph::catalog::CatalogError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::TrainError;

/// Epochs that show smaller images (progressive resizing: Howard's entry to DAWNBench, 2018; Tan and Le
/// 2021, "EfficientNetV2", §4, call it progressive learning). They are prepared as for a network of that size.
/// What is told in pixels, the padding of crops and the side of a cutout, is the same for all sizes.
/// Validation sees images of full size after every epoch.
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
    fn validate(&self, full: &Preprocessing) -> Result<(), SettingError> {
        if !(self.scale > 0.0 && self.scale < 1.0) {
            let expected = "more than 0 and less than 1";
            return Err(SettingError::value("scale", self.scale, expected));
        }
        let Preprocessing { height, width, .. } = self.preprocessing(full);
        if [height, width] == [full.height, full.width] {
            let expected = format!("less: it leaves images of {height}×{width} pixels as they are");
            return Err(SettingError::value("scale", self.scale, expected));
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
    /// which shows images at their full size. Stages for which that leaves no epoch are left out.
    pub fn stretched(stages: &[Self], factor: f64, epochs: u64) -> Vec<Self> {
        if stages.iter().any(|stage| stage.epochs == 0) {
            // A mistake, to be found as such.
            return stages.to_vec();
        }
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

/// Epochs of smaller images.
pub(crate) fn small_epochs(stages: &[SmallerImages]) -> u64 {
    let epochs = stages.iter().map(|stage| stage.epochs);
    epochs.fold(0, u64::saturating_add)
}

/// Whether the stages of a configuration go together with the rest of it, apart from the network.
pub(crate) fn check_stages(config: &TrainConfig) -> Result<(), SettingError> {
    let stages = &config.progressive_resizing;
    for (number, stage) in stages.iter().enumerate() {
        let valid = stage.validate(&config.preprocessing);
        valid.map_err(|error| within(number, error))?;
    }
    let Some(last) = stages.len().checked_sub(1) else {
        return Ok(());
    };
    let epochs = small_epochs(stages);
    if epochs >= config.epochs {
        let problem = format!(
            "is {}, which makes {epochs} of the run's {} in all; expected fewer, since a run ends with \
             images of full size",
            stages[last].epochs, config.epochs
        );
        return Err(within(last, SettingError::new("epochs", problem)));
    }
    if config.distillation.is_some() {
        let problem = "is set, and so is distillation, whose teacher sees images of one size; expected one \
                       of them (progressive_resizing=[] is none)";
        return Err(SettingError::new(KEY, problem.to_owned()));
    }
    Ok(())
}

/// Whether a network can see the smaller images with the parameters that it has for those of full size.
pub(crate) fn check_network(
    stages: &[SmallerImages],
    graph: &Graph,
    smaller: impl Fn(&SmallerImages) -> Result<Graph, CatalogError>,
) -> Result<(), SettingError> {
    for (number, stage) in stages.iter().enumerate() {
        let refuse = |reason: String| {
            let problem = format!(
                "is {}: {reason} (progressive_resizing=[] shows images of full size only)",
                stage.scale
            );
            within(number, SettingError::new("scale", problem))
        };
        let smaller = smaller(stage).map_err(|failure| refuse(failure.to_string()))?;
        if !graph.differs_in_size_only(&smaller) {
            let error = TrainError::OtherState {
                model: graph.name().to_owned(),
                input: smaller.input_shape(),
            };
            return Err(refuse(error.to_string()));
        }
    }
    Ok(())
}

const KEY: &str = "progressive_resizing";

/// An error of one of the stages.
fn within(stage: usize, error: SettingError) -> SettingError {
    error.within(&stage.to_string()).within(KEY)
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
        let mistaken = stages(&[(0.5, 0)]);
        assert_eq!(SmallerImages::stretched(&mistaken, 0.5, 4), mistaken);
    }
}
