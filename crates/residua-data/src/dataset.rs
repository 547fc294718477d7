//! Classes, splits and samples.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use residua_core::seed::SeedStream;
use residua_core::task::Task;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::builtin;
use crate::cifar;
use crate::decode::decode_file;
use crate::error::DataError;
use crate::folder;
use crate::hold_out::{HoldOut, Indivisible};
use crate::idx;
use crate::label::Label;
use crate::layout::Layout;
use crate::npz;
use crate::pixels::Pixels;
use crate::spec::DataSpec;
use crate::spreadsheet;

pub use crate::record_file::RecordFile;

/// The part that a set of samples plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// What the network learns from.
    Train,
    /// What is evaluated during training.
    Validation,
    /// What is kept for the end.
    Test,
}

impl SplitName {
    /// All splits in their usual order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];
}

impl fmt::Display for SplitName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// Where the pixels of a sample are.
#[derive(Clone)]
pub enum Source {
    /// In an image file.
    File(PathBuf),
    /// In a record of a file that was read into memory.
    Record {
        /// The file.
        file: Arc<RecordFile>,
        /// The record, from 0.
        record: usize,
    },
}

/// Prints the path of a file, and `file#record` for a record.
impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Record { file, record } => {
                write!(formatter, "{}#{record}", file.path().display())
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// One labelled image.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What random augmentation is addressed by. It stays with the sample when others are
    /// quarantined or put aside.
    pub id: u64,
    /// Its class, or the classes that it shows, as indices into [`Dataset::classes`].
    pub label: Label,
    /// What it belongs to (a patient, a series of pictures) where the data say so: images of one
    /// group are never divided between training and validation.
    pub group: Option<u32>,
    /// Where its pixels are.
    pub source: Source,
}

impl Sample {
    /// The decoded image.
    ///
    /// # Errors
    /// [`DataError::Unreadable`] if it is in a file that cannot be decoded.
    pub fn pixels(&self) -> Result<Pixels<'_>, DataError> {
        match &self.source {
            Source::File(path) => decode_file(path),
            Source::Record { file, record } => {
                file.pixels(*record).ok_or_else(|| DataError::Unreadable {
                    path: file.path().to_owned(),
                    reason: format!("there is no record {record}"),
                })
            }
        }
    }
}

/// The samples of one split, in a fixed order.
#[derive(Debug, Clone, Default)]
pub struct Split {
    /// The samples.
    pub samples: Vec<Sample>,
}

impl Split {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Identifies the images of the split: their number, order, labels, names and sizes in
    /// bytes, and the pixels of those in memory. Files are not read, and where they lie does
    /// not matter, so a data set may move.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for sample in &self.samples {
            if let Label::Classes(set) = &sample.label {
                // So that a class cannot pass from one image to the next unnoticed.
                hash.update(&(set.classes().len() as u64).to_le_bytes());
            }
            for class in sample.label.classes() {
                hash.update(&class.to_le_bytes());
            }
            match &sample.source {
                Source::File(path) => {
                    let size = std::fs::metadata(path).map_or(0, |file| file.len());
                    hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
                    hash.update(&size.to_le_bytes());
                }
                Source::Record { file, record } => {
                    if let Some(pixels) = file.pixels(*record) {
                        hash.update(pixels.rgb());
                    }
                }
            }
        }
        hash.digest() ^ self.samples.len() as u64
    }

    /// What is asked about the images: what the label of the first says.
    pub fn task(&self) -> Task {
        let first = self.samples.first();
        first.map_or(Task::default(), |sample| sample.label.task())
    }

    /// Number of samples of each of `classes` classes. A sample that shows several counts for each of
    /// them.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for sample in &self.samples {
            for class in sample.label.classes() {
                if let Some(count) = counts.get_mut(*class as usize) {
                    *count += 1;
                }
            }
        }
        counts
    }
}

/// What the data are opened for, which decides what they must contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// A training split and one to evaluate on must exist.
    #[default]
    Training,
    /// Whatever splits exist are enough. A folder of class folders is one test split, as is a
    /// spreadsheet without a column of splits, and one class alone will do.
    Evaluation,
}

/// How data are opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct DatasetOptions {
    /// What the data are for.
    pub purpose: Purpose,
    /// The part of the training images to put aside as the validation split.
    pub hold_out: Option<HoldOut>,
    /// The seed that chooses those images (and nothing else).
    pub seed: u64,
}

/// Images with their classes, divided into splits.
///
/// Image files are listed but not decoded when a data set is opened; see
/// [`quarantine_unreadable`](crate::readable::quarantine_unreadable). CIFAR-10 is read into
/// memory (184 MB for all 60,000 images), and so are npz and IDX files (at most 8 GiB).
///
/// # Which split is evaluated during training
/// The validation split where there is one: the folder `val` (or `validation`), what a
/// spreadsheet or an npz file calls so, or the part that
/// [`DatasetOptions::hold_out`] puts aside. `builtin`, `cifar10` and `idx` have no
/// validation split of their own and are evaluated on the official test images, as the papers
/// do; [`Dataset::evaluation`] knows this. Training on a folder, a spreadsheet or an npz file
/// never falls back to the test split; opened for [`Purpose::Evaluation`] it does.
#[derive(Debug, Clone)]
pub struct Dataset {
    classes: Vec<String>,
    root: PathBuf,
    layout: Layout,
    splits: [Option<Arc<Split>>; 3],
    groups: Vec<String>,
    /// The split that is evaluated where there is no validation split.
    evaluation_fallback: SplitName,
}

impl Dataset {
    /// Opens the data that `spec` names.
    ///
    /// # Errors
    /// The first thing that is wrong with them; [`check`](crate::check::check) lists all.
    pub fn open(spec: &DataSpec, options: &DatasetOptions) -> Result<Self, DataError> {
        // A part of the training images can only be put aside where they are read.
        let purpose = match options.hold_out {
            Some(_) => Purpose::Training,
            None => options.purpose,
        };
        let mut dataset = Inspection::of(spec, purpose).sound()?;
        if let Some(part) = options.hold_out {
            dataset.put_aside(SplitName::Validation, part, options.seed)?;
        }
        if purpose == Purpose::Training {
            dataset.require(SplitName::Train)?;
            dataset.evaluation()?;
        }
        Ok(dataset)
    }

    /// Opens data whose training images are to be divided ([`Dataset::put_aside`]): there need not be
    /// anything to evaluate on.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn open_undivided(spec: &DataSpec) -> Result<Self, DataError> {
        let dataset = Inspection::of(spec, Purpose::Training).sound()?;
        dataset.require(SplitName::Train)?;
        Ok(dataset)
    }

    pub(crate) fn new(root: impl Into<PathBuf>, classes: Vec<String>, layout: Layout) -> Self {
        Self {
            classes,
            root: root.into(),
            layout,
            splits: [None, None, None],
            groups: Vec::new(),
            evaluation_fallback: SplitName::Validation,
        }
    }

    /// What is asked about its images.
    pub fn task(&self) -> Task {
        let first = self.splits().find(|(_, split)| !split.is_empty());
        first.map_or(Task::default(), |(_, split)| split.task())
    }

    /// The names of the classes; a label has indices into them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The names of the groups; a [group](Sample::group) is an index into them.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The split with this name, if there is one.
    pub fn split(&self, name: SplitName) -> Option<&Arc<Split>> {
        self.splits[name as usize].as_ref()
    }

    /// All splits that exist, in the order of [`SplitName::ALL`].
    pub fn splits(&self) -> impl Iterator<Item = (SplitName, &Arc<Split>)> {
        SplitName::ALL
            .into_iter()
            .filter_map(|name| Some((name, self.split(name)?)))
    }

    /// The split with this name.
    ///
    /// # Errors
    /// [`DataError::MissingSplit`].
    pub fn require(&self, name: SplitName) -> Result<&Arc<Split>, DataError> {
        self.split(name).ok_or_else(|| DataError::MissingSplit {
            path: self.root.clone(),
            split: name,
            remedy: self.layout.expected(name),
        })
    }

    /// The split that is evaluated during training, with its name (see [`Dataset`]).
    ///
    /// # Errors
    /// [`DataError::MissingSplit`] if there is none.
    pub fn evaluation(&self) -> Result<(SplitName, &Arc<Split>), DataError> {
        let name = match self.split(SplitName::Validation) {
            Some(_) => SplitName::Validation,
            None => self.evaluation_fallback,
        };
        Ok((name, self.require(name)?))
    }

    /// These data without their other splits, when only one is needed.
    ///
    /// # Errors
    /// [`DataError::MissingSplit`].
    pub fn only(&self, name: SplitName) -> Result<Self, DataError> {
        let mut dataset = Self::new(&self.root, self.classes.clone(), self.layout);
        dataset.groups.clone_from(&self.groups);
        dataset.splits[name as usize] = Some(Arc::clone(self.require(name)?));
        Ok(dataset)
    }

    /// The same data with the labels of a model that knows these classes, found by name.
    ///
    /// # Errors
    /// [`DataError::ClassUnknownToNetwork`] if the model lacks a class of the data.
    pub fn with_classes(&self, classes: &[String]) -> Result<Self, DataError> {
        let mut labels = Vec::with_capacity(self.classes.len());
        for class in &self.classes {
            let label = classes.iter().position(|known| known == class);
            labels.push(label.ok_or_else(|| DataError::ClassUnknownToNetwork {
                path: self.root.clone(),
                class: class.clone(),
                known: abbreviated(classes),
            })? as u32);
        }
        let mut dataset = Self::new(&self.root, classes.to_vec(), self.layout);
        dataset.evaluation_fallback = self.evaluation_fallback;
        dataset.groups.clone_from(&self.groups);
        for (name, split) in self.splits() {
            let mut samples = split.samples.clone();
            for sample in &mut samples {
                sample.label = sample.label.renumbered(&labels);
            }
            dataset.set_split(name, Split { samples });
        }
        Ok(dataset)
    }

    /// What is wrong with training images that have so many different classes, if anything. Of images
    /// that may show any number of classes, one class can be asked about alone.
    pub(crate) fn too_few_classes(&self, task: Task, found: usize) -> Option<DataError> {
        let path = self.root.clone();
        match (task, found) {
            (Task::MultiLabel, 0) => Some(DataError::NoClassShown {
                path,
                remedy: self.layout.expected_classes(),
            }),
            (Task::SingleLabel, ..2) => Some(DataError::TooFewLabels { path, found }),
            _ => None,
        }
    }

    pub(crate) fn set_split(&mut self, name: SplitName, split: Split) {
        self.splits[name as usize] = Some(Arc::new(split));
    }

    pub(crate) fn rename_classes(&mut self, classes: Vec<String>) {
        self.classes = classes;
    }

    pub(crate) fn name_groups(&mut self, groups: Vec<String>) {
        self.groups = groups;
    }

    /// Makes [`Dataset::evaluation`] fall back to the test split.
    pub(crate) fn evaluate_on_test_without_validation(&mut self) {
        self.evaluation_fallback = SplitName::Test;
    }

    /// Puts a part of the training images aside as the split `name`. Which ones depends on the seed, the
    /// name and the data alone.
    ///
    /// # Errors
    /// When there is such a split already, or none for training, or a class cannot be divided.
    pub fn put_aside(
        &mut self,
        name: SplitName,
        part: HoldOut,
        seed: u64,
    ) -> Result<(), DataError> {
        if self.split(name).is_some() {
            return Err(DataError::SplitExists {
                path: self.root.clone(),
                split: name,
                advice: part.advice(name, self.layout.removal()),
            });
        }
        let train = Arc::clone(self.require(SplitName::Train)?);
        let seed = SeedStream::new(seed).child(&format!("{name} split"));
        let divided = part.divide(&train.samples, self.classes.len(), seed);
        let (train, aside) = divided.map_err(|class| self.indivisible(class))?;
        self.set_split(SplitName::Train, train);
        self.set_split(name, aside);
        Ok(())
    }

    fn indivisible(&self, class: Indivisible) -> DataError {
        let path = self.root.clone();
        match class {
            Indivisible::OneSample { label } => DataError::ClassTooSmall {
                path,
                class: self.classes[label].clone(),
                images: 1,
            },
            Indivisible::OneGroup { label, samples } => DataError::ClassOfOneGroup {
                path,
                class: self.classes[label].clone(),
                images: samples,
            },
            Indivisible::FewerThanFolds {
                label,
                found,
                are_groups,
                folds,
            } => DataError::ClassSmallerThanFolds {
                path,
                class: self.classes[label].clone(),
                found,
                kind: if are_groups { "group" } else { "image" },
                folds,
            },
            Indivisible::InOneFold { label, folds } => DataError::ClassInOneFold {
                path,
                class: self.classes[label].clone(),
                folds,
            },
        }
    }
}

/// What was found, sound or not: the basis both of [`Dataset::open`], which refuses any
/// problem, and of the data check, which reports all of them.
pub(crate) struct Inspection {
    pub(crate) dataset: Dataset,
    pub(crate) problems: Vec<DataError>,
}

impl Inspection {
    /// The data, unless something is wrong with them.
    fn sound(self) -> Result<Dataset, DataError> {
        match self.problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(self.dataset),
        }
    }

    pub(crate) fn of(spec: &DataSpec, purpose: Purpose) -> Self {
        match spec {
            DataSpec::Builtin => builtin::inspect(),
            DataSpec::Cifar10 { folder } => cifar::inspect(folder, purpose),
            DataSpec::Folder { folder } => folder::inspect(folder, purpose),
            DataSpec::Csv { file } => spreadsheet::inspect(file, purpose),
            DataSpec::Npz { file } => npz::inspect(file, purpose),
            DataSpec::Idx { folder } => idx::inspect(folder, purpose),
        }
    }
}

/// The first names of a list, for a message.
pub(crate) fn abbreviated(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
