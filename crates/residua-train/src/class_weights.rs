//! How much images of each class count in the loss.
//!
//! Where an image shows any number of classes, a class has two sides, and its weight is that of the
//! answers that should be yes; those that should be no count 1. That is `pos_weight` of PyTorch's
//! `BCEWithLogitsLoss`. (CheXNet, Rajpurkar et al. 2017, §2, weighs both sides by the share of the other,
//! which is the same ratio, times a number for each class that takes rare classes' losses down.)

use std::collections::BTreeMap;

use residua_core::setting::SettingError;
use residua_core::suggest;
use residua_core::task::Task;
use residua_data::Split;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much images of each class count in the loss.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClassWeights {
    /// All the same.
    #[default]
    Equal,
    /// The less, the more images a class has: every class counts as much as any other. The mean over
    /// all training images is 1, so that learning rates keep their meaning. Where an image shows any
    /// number of classes, yes and no count the same for each class: the weight is the number of images
    /// without it over that of images with it.
    Balanced,
    /// As given for each class by name; 1 for those that are not named.
    Given {
        /// Above 0 each.
        weights: BTreeMap<String, f32>,
    },
}

impl ClassWeights {
    /// The weight of each class, in the order of `classes`; nothing if all count the same.
    ///
    /// # Errors
    /// With a name that is no class.
    pub(crate) fn resolve(
        &self,
        classes: &[String],
        train: &Split,
    ) -> Result<Option<Vec<f32>>, SettingError> {
        match self {
            Self::Equal => Ok(None),
            Self::Balanced => Ok(Some(match train.task() {
                Task::SingleLabel => balanced(classes.len(), train),
                Task::MultiLabel => without_over_with(classes.len(), train),
            })),
            Self::Given { weights } => given(classes, weights).map(Some),
        }
    }

    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        let Self::Given { weights } = self else {
            return Ok(());
        };
        match { weights.iter() }.find(|(_, weight)| !(weight.is_finite() && **weight > 0.0)) {
            Some((class, weight)) => {
                let error = SettingError::value(class, weight, "a number above 0");
                Err(error.within("weights"))
            }
            None => Ok(()),
        }
    }
}

fn balanced(classes: usize, train: &Split) -> Vec<f32> {
    let counts = train.class_counts(classes);
    let occurring = counts.iter().filter(|count| **count > 0).count();
    let share = train.samples.len() as f64 / occurring.max(1) as f64;
    // A class without images has no weight either: nothing is multiplied by it.
    let weights = counts
        .iter()
        .map(|count| (share / (*count).max(1) as f64) as f32);
    weights.collect()
}

/// A class that all images have, or none, has no other side to be balanced with.
fn without_over_with(classes: usize, train: &Split) -> Vec<f32> {
    let counts = train.class_counts(classes).into_iter();
    let weight = |with: usize| match (train.len() - with, with) {
        (0, _) | (_, 0) => 1.0,
        (without, with) => without as f32 / with as f32,
    };
    counts.map(weight).collect()
}

/// The first few names.
fn list(classes: &[String]) -> String {
    const SHOWN: usize = 20;
    match classes.get(..SHOWN) {
        Some(first) if classes.len() > SHOWN => {
            format!("{} and {} more", first.join(", "), classes.len() - SHOWN)
        }
        _ => classes.join(", "),
    }
}

fn given(classes: &[String], weights: &BTreeMap<String, f32>) -> Result<Vec<f32>, SettingError> {
    if let Some(unknown) = weights.keys().find(|name| !classes.contains(name)) {
        let near = suggest::closest(unknown, classes.iter().map(String::as_str));
        let known = list(classes);
        let problem = match &suggest::did_you_mean(&near)[..] {
            "" => format!("is no class of the data. There are: {known}"),
            // It ends with a question mark.
            hint => format!("is no class of the data{hint} There are: {known}"),
        };
        return Err(SettingError::new(unknown, problem).within("weights"));
    }
    let of = |class: &String| weights.get(class).copied().unwrap_or(1.0);
    Ok(classes.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use residua_data::{Label, Sample, Source};

    use super::*;

    fn split(labels: &[u32]) -> Split {
        labelled(labels.iter().map(|label| Label::Class(*label)))
    }

    fn labelled(labels: impl Iterator<Item = Label>) -> Split {
        let sample = |label| Sample {
            id: 0,
            group: None,
            source: Source::File(PathBuf::new()),
            label,
        };
        Split {
            samples: labels.map(sample).collect(),
        }
    }

    fn names() -> Vec<String> {
        ["cat", "dog", "eel"].map(str::to_owned).to_vec()
    }

    #[test]
    fn balanced_classes_count_alike_and_an_image_counts_one_on_average() {
        let labels = [0, 0, 0, 0, 0, 0, 1, 1];
        let weights = ClassWeights::Balanced.resolve(&names(), &split(&labels));
        let weights = weights.unwrap().unwrap();
        assert!((6.0 * weights[0] - 2.0 * weights[1]).abs() < 1e-6);
        let sum: f32 = labels.iter().map(|label| weights[*label as usize]).sum();
        assert!((sum - 8.0).abs() < 1e-5, "{weights:?}");
    }

    #[test]
    fn yes_and_no_are_balanced_where_images_show_any_number_of_classes() {
        let sets: [&[u32]; 5] = [&[0, 1], &[0], &[], &[0], &[0]];
        let labels = sets.map(|set| Label::Classes(set.iter().copied().collect()));
        let split = labelled(labels.into_iter());
        let weights = ClassWeights::Balanced.resolve(&names(), &split);
        // Nobody shows the last one.
        assert_eq!(weights, Ok(Some(vec![0.25, 4.0, 1.0])));
    }

    #[test]
    fn given_weights_go_by_name() {
        let weights = |name: &str, weight| ClassWeights::Given {
            weights: BTreeMap::from([(name.to_owned(), weight)]),
        };
        let found = weights("dog", 3.0).resolve(&names(), &split(&[0, 1]));
        assert_eq!(found, Ok(Some(vec![1.0, 3.0, 1.0])));
        let error = weights("dogs", 3.0)
            .resolve(&names(), &split(&[]))
            .unwrap_err();
        let known = names().join(", ");
        assert_eq!(
            error.to_string(),
            format!("weights.dogs is no class of the data; did you mean 'dog'? There are: {known}")
        );
        let error = weights("dog", 0.0).validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "weights.dog is 0; expected a number above 0"
        );
    }
}
