//! Images whose classes are numbers, or columns: what sources of arrays have in common.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use residua_core::task::Task;
use thiserror::Error;

use crate::class_names;
use crate::dataset::{Dataset, Purpose, RecordFile, Sample, Source, Split, SplitName, abbreviated};
use crate::error::DataError;
use crate::label::{ClassSet, Label, is_ambiguous};

/// A label above this is no class of any data set, and names for all below it would fill memory.
pub(crate) const MAX_CLASSES: i128 = 65_536;

/// What the images of a split are labelled with.
pub(crate) enum NumberedLabels {
    /// Each is of the class with this number, as it was found: there need not be such a class.
    One(Vec<i128>),
    /// Each shows any number of the classes.
    Several {
        /// How many classes there are: one more than the highest in `sets` at least.
        classes: usize,
        sets: Vec<ClassSet>,
    },
}

impl NumberedLabels {
    /// For how many images there are labels.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::One(numbers) => numbers.len(),
            Self::Several { sets, .. } => sets.len(),
        }
    }

    /// How many numbers there are for each image.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Several { classes, .. } => *classes,
        }
    }

    fn task(&self) -> Task {
        match self {
            Self::One(_) => Task::SingleLabel,
            Self::Several { .. } => Task::MultiLabel,
        }
    }

    /// The highest number of a class that there is.
    fn highest(&self) -> Option<i128> {
        match self {
            Self::One(numbers) => numbers.iter().copied().max(),
            Self::Several { classes, .. } => Some(*classes as i128 - 1),
        }
    }

    /// The numbers of classes that occur.
    fn occurring(&self) -> BTreeSet<i128> {
        let mut occurring = BTreeSet::new();
        // One after the other: to be collected, they would all be in memory at once.
        match self {
            Self::One(numbers) => occurring.extend(numbers),
            Self::Several { sets, .. } => {
                let classes = sets.iter().flat_map(ClassSet::classes);
                occurring.extend(classes.map(|&class| i128::from(class)));
            }
        }
        occurring
    }
}

/// The images of a split and their labels, as many of one as of the other.
pub(crate) struct NumberedSplit {
    pub(crate) name: SplitName,
    pub(crate) images: RecordFile,
    /// Where the labels come from, for messages.
    pub(crate) labels_path: PathBuf,
    pub(crate) labels: NumberedLabels,
}

/// A number that is no class.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("image {record} (from 0) has label {label}; expected 0 to {most} ({limit})")]
pub struct LabelProblem {
    /// The image, from 0.
    pub record: usize,
    /// The label found.
    pub label: i128,
    /// The highest label that is a class.
    pub most: i128,
    /// What this bound comes from.
    pub limit: LabelLimit,
}

/// What a label may not exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelLimit {
    /// The highest label of the training images.
    Training,
    /// The number of names in this file.
    Names(PathBuf),
    /// The most classes that a data set may have.
    Most,
}

impl fmt::Display for LabelLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Training => formatter.write_str("the labels of the training images"),
            Self::Names(path) => write!(formatter, "the names in {}", path.display()),
            Self::Most => formatter.write_str("more classes are not supported"),
        }
    }
}

/// Puts the splits into `dataset`, with the names in `names_file` for its classes, if it exists,
/// and their numbers otherwise. The labels of all splits have as many columns.
pub(crate) fn assemble(
    dataset: &mut Dataset,
    splits: Vec<NumberedSplit>,
    names_file: &Path,
    purpose: Purpose,
    problems: &mut Vec<DataError>,
) {
    let names = names(names_file, &splits, problems);
    let (classes, limit) = match &names {
        Some(names) => (names.len() as i128, LabelLimit::Names(names_file.into())),
        None => numbers(&splits),
    };
    if let (Some(train), Purpose::Training) = (training(&splits), purpose) {
        let found = train.labels.occurring().len();
        problems.extend(dataset.too_few_classes(train.labels.task(), found));
    }
    dataset.rename_classes(names.unwrap_or_else(|| {
        let numbers = 0..classes;
        numbers.map(|label| label.to_string()).collect()
    }));
    problems.extend(unknown_classes(dataset.classes(), &splits));
    for split in splits {
        let name = split.name;
        match labelled(split, classes, &limit) {
            Ok(split) => dataset.set_split(name, split),
            Err(problem) => problems.push(problem),
        }
    }
}

fn training(splits: &[NumberedSplit]) -> Option<&NumberedSplit> {
    splits.iter().find(|split| split.name == SplitName::Train)
}

/// The names in a file, if it exists and they can be those of the classes.
fn names(
    file: &Path,
    splits: &[NumberedSplit],
    problems: &mut Vec<DataError>,
) -> Option<Vec<String>> {
    if !file.is_file() {
        return None;
    }
    let names = class_names::read(file).and_then(|names| fitting(names, file, splits));
    names.map_err(|problem| problems.push(problem)).ok()
}

/// The names, if there is one for each column. For numbers there may be more names than occur.
fn fitting(
    names: Vec<String>,
    file: &Path,
    splits: &[NumberedSplit],
) -> Result<Vec<String>, DataError> {
    let columns = splits.first().and_then(|split| match &split.labels {
        NumberedLabels::One(_) => None,
        NumberedLabels::Several { classes, .. } => Some(*classes),
    });
    if names.is_empty() || columns.is_some_and(|columns| columns != names.len()) {
        return Err(DataError::ClassNames {
            path: file.to_owned(),
            expected: numbers(splits).0 as usize,
            found: names.len(),
        });
    }
    match names.iter().find(|name| is_ambiguous(name)) {
        Some(name) if columns.is_some() => Err(DataError::AmbiguousClassName {
            path: file.to_owned(),
            class: name.clone(),
        }),
        _ => Ok(names),
    }
}

/// How many classes there are: one more than the highest label in training; of all splits where
/// there is no training split.
fn numbers(splits: &[NumberedSplit]) -> (i128, LabelLimit) {
    let highest = match training(splits) {
        Some(train) => train.labels.highest(),
        None => { splits.iter() }
            .filter_map(|split| split.labels.highest())
            .max(),
    };
    let classes = highest.unwrap_or(0).saturating_add(1).max(1);
    match classes {
        ..=MAX_CLASSES => (classes, LabelLimit::Training),
        _ => (MAX_CLASSES, LabelLimit::Most),
    }
}

/// The classes that some image of a split shows, but no training image. Where each image is of one
/// class, the highest number in training is the limit, and nothing is asked of those below it.
fn unknown_classes(names: &[String], splits: &[NumberedSplit]) -> Vec<DataError> {
    let Some(train) = training(splits).filter(|train| train.labels.task() == Task::MultiLabel)
    else {
        return Vec::new();
    };
    let known = train.labels.occurring();
    if known.is_empty() {
        // There is nothing to compare with; where it matters, that is a problem of its own.
        return Vec::new();
    }
    let name = |class: &i128| names[*class as usize].clone();
    let known_names = abbreviated(&known.iter().map(name).collect::<Vec<_>>());
    let mut unknown = Vec::new();
    for split in splits {
        let occurring = split.labels.occurring();
        unknown.extend(
            occurring
                .difference(&known)
                .map(|class| DataError::UnknownClass {
                    path: split.labels_path.clone(),
                    class: name(class),
                    known: known_names.clone(),
                    removal: "remove its column from the labels of all splits",
                }),
        );
    }
    unknown
}

fn labelled(split: NumberedSplit, classes: i128, limit: &LabelLimit) -> Result<Split, DataError> {
    let labels: Vec<Label> = match split.labels {
        NumberedLabels::Several { sets, .. } => sets.into_iter().map(Label::Classes).collect(),
        NumberedLabels::One(numbers) => {
            let labels = numbers.into_iter().enumerate().map(|(record, label)| {
                if (0..classes).contains(&label) {
                    return Ok(Label::Class(label as u32));
                }
                Err(DataError::Label {
                    path: split.labels_path.clone(),
                    problem: Box::new(LabelProblem {
                        record,
                        label,
                        most: classes - 1,
                        limit: limit.clone(),
                    }),
                })
            });
            labels.collect::<Result<_, _>>()?
        }
    };
    let file = Arc::new(split.images);
    let samples = labels
        .into_iter()
        .enumerate()
        .map(|(record, label)| Sample {
            id: record as u64,
            label,
            group: None,
            source: Source::Record {
                file: Arc::clone(&file),
                record,
            },
        });
    Ok(Split {
        samples: samples.collect(),
    })
}
