//! Images whose classes are numbers: what sources of arrays have in common.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::class_names;
use crate::dataset::{Dataset, Purpose, RecordFile, Sample, Source, Split, SplitName};
use crate::error::DataError;

/// A label above this is no class of any data set, and names for all below it would fill memory.
const MAX_CLASSES: i128 = 65_536;

/// The images of a split and the numbers of their classes, as many of one as of the other.
pub(crate) struct NumberedSplit {
    pub(crate) name: SplitName,
    pub(crate) images: RecordFile,
    /// Where the labels come from, for messages.
    pub(crate) labels_path: PathBuf,
    pub(crate) labels: Vec<i128>,
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
/// and their numbers otherwise.
pub(crate) fn assemble(
    dataset: &mut Dataset,
    splits: Vec<NumberedSplit>,
    names_file: &Path,
    purpose: Purpose,
    problems: &mut Vec<DataError>,
) {
    let names = match names_file.is_file().then(|| class_names::read(names_file)) {
        Some(Ok(names)) if names.is_empty() => {
            problems.push(DataError::ClassNames {
                path: names_file.to_owned(),
                expected: numbers(&splits).0 as usize,
                found: 0,
            });
            None
        }
        Some(Ok(names)) => Some(names),
        Some(Err(problem)) => {
            problems.push(problem);
            None
        }
        None => None,
    };
    let (classes, limit) = match &names {
        Some(names) => (names.len() as i128, LabelLimit::Names(names_file.into())),
        None => numbers(&splits),
    };
    let train = splits.iter().find(|split| split.name == SplitName::Train);
    let different = train.map(|train| train.labels.iter().collect::<BTreeSet<_>>().len());
    if let (Some(found @ ..2), Purpose::Training) = (different, purpose) {
        problems.push(DataError::TooFewLabels {
            path: dataset.root().to_owned(),
            found,
        });
    }
    dataset.rename_classes(names.unwrap_or_else(|| {
        let numbers = 0..classes;
        numbers.map(|label| label.to_string()).collect()
    }));
    for split in splits {
        let name = split.name;
        match labelled(split, classes, &limit) {
            Ok(split) => dataset.set_split(name, split),
            Err(problem) => problems.push(problem),
        }
    }
}

/// How many classes there are: one more than the highest label in training; of all splits where
/// there is no training split.
fn numbers(splits: &[NumberedSplit]) -> (i128, LabelLimit) {
    let train = splits.iter().find(|split| split.name == SplitName::Train);
    let labels = |split: &NumberedSplit| split.labels.iter().copied().max();
    let highest = match train {
        Some(train) => labels(train),
        None => splits.iter().filter_map(labels).max(),
    };
    let classes = highest.unwrap_or(0).saturating_add(1).max(1);
    match classes {
        ..=MAX_CLASSES => (classes, LabelLimit::Training),
        _ => (MAX_CLASSES, LabelLimit::Most),
    }
}

fn labelled(split: NumberedSplit, classes: i128, limit: &LabelLimit) -> Result<Split, DataError> {
    let file = Arc::new(split.images);
    let samples = split.labels.iter().enumerate().map(|(record, &label)| {
        if !(0..classes).contains(&label) {
            return Err(DataError::Label {
                path: split.labels_path.clone(),
                problem: Box::new(LabelProblem {
                    record,
                    label,
                    most: classes - 1,
                    limit: limit.clone(),
                }),
            });
        }
        Ok(Sample {
            id: record as u64,
            label: (label as u32).into(),
            group: None,
            source: Source::Record {
                file: Arc::clone(&file),
                record,
            },
        })
    });
    let samples = samples.collect::<Result<_, _>>()?;
    Ok(Split { samples })
}
