//! Which images an epoch shows.

use residua_core::setting::SettingError;
use residua_data::{Augmentation, Order};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_weights::ClassWeights;
use crate::config::TrainConfig;

/// Which training images an epoch shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Sampling {
    /// Each once, in another order in every epoch.
    #[default]
    Shuffled,
    /// As many as there are, but every class as often as any other: images of rare classes several
    /// times, of frequent ones a part, the rest of which the next epochs show. Where images show any
    /// number of classes, every combination of them counts as a class.
    Balanced,
}

impl From<Sampling> for Order {
    fn from(sampling: Sampling) -> Self {
        match sampling {
            Sampling::Shuffled => Self::Shuffled,
            Sampling::Balanced => Self::Balanced,
        }
    }
}

/// Whether settings of what an epoch shows go together, or which do not and why.
pub(crate) fn check_showings(config: &TrainConfig) -> Result<(), SettingError> {
    let TrainConfig {
        repeats,
        batch_size,
        ..
    } = *config;
    if repeats > batch_size {
        let problem = format!(
            "is {repeats}, more than the batch_size of {batch_size}: whole batches would show one image"
        );
        return Err(SettingError::new("repeats", problem));
    }
    if repeats > 1 && config.augmentation == Augmentation::NONE {
        let problem = format!(
            "is {repeats}, but the augmentation changes nothing at random: an image would be shown \
             {repeats} times as it is; augment it (--augment), or leave repeats out"
        );
        return Err(SettingError::new("repeats", problem));
    }
    if config.sampling == Sampling::Balanced && config.class_weights == ClassWeights::Balanced {
        let problem = "is balanced and class_weights too: images of rare classes would be shown more often \
                       and count more each time; take one of both";
        return Err(SettingError::new("sampling", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use residua_data::DataSpec;

    use super::*;

    fn refusal(change: impl FnOnce(&mut TrainConfig)) -> Option<String> {
        let mut config = TrainConfig::for_data(DataSpec::Builtin);
        change(&mut config);
        check_showings(&config).err().map(|error| error.to_string())
    }

    #[test]
    fn settings_that_do_not_go_together_say_why() {
        let one_image = refusal(|config| config.repeats = 33).unwrap();
        assert!(one_image.starts_with("repeats is 33, more than the batch_size of 32"));
        let the_same = refusal(|config| {
            config.repeats = 2;
            config.augmentation = Augmentation::NONE;
        });
        let the_same = the_same.unwrap();
        assert!(the_same.starts_with("repeats is 2, but the augmentation changes nothing"));
        let twice = refusal(|config| {
            config.sampling = Sampling::Balanced;
            config.class_weights = ClassWeights::Balanced;
        });
        let twice = twice.unwrap();
        assert!(twice.starts_with("sampling is balanced and class_weights too"));
    }

    #[test]
    fn all_others_do() {
        let repeated = |config: &mut TrainConfig| config.repeats = 4;
        assert_eq!(refusal(repeated), None);
        let both = |config: &mut TrainConfig| {
            config.repeats = 32;
            config.sampling = Sampling::Balanced;
        };
        assert_eq!(refusal(both), None);
        let weighted = |config: &mut TrainConfig| config.class_weights = ClassWeights::Balanced;
        assert_eq!(refusal(weighted), None);
    }
}
