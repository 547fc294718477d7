//! Everything that can be wrong with a data set.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::dataset::SplitName;
use crate::idx::IdxProblem;
use crate::label::{NO_CLASS, SEPARATOR};
use crate::npz::ArrayProblem;
use crate::numbered::LabelProblem;
use crate::spreadsheet::LineProblem;

/// Why data cannot be used: where, what was expected there, and how to mend it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A data folder is missing or is a file.
    #[error("{}: expected a folder, found {found}", path.display())]
    NotAFolder {
        /// The path that was named.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },

    /// A file of CIFAR-10 is missing.
    #[error(
        "{}: {file} is missing; expected it there or in cifar-10-batches-bin, plain or as \
         {file}.xz, or inside cifar-10-binary.tar.gz (the \"binary version\" of CIFAR-10, not \
         the Python one)",
        folder.display()
    )]
    MissingFile {
        /// The folder that was searched.
        folder: PathBuf,
        /// The file that was expected.
        file: String,
    },

    /// A record file does not hold a whole number of records.
    #[error(
        "{}: found {bytes} bytes; expected a whole number of records of {record_bytes} bytes, at \
         least one (an official file has 10000, 30730000 bytes): the file is truncated or \
         damaged, copy or download it again",
        path.display()
    )]
    TruncatedRecords {
        /// The file.
        path: PathBuf,
        /// Its length after decompression.
        bytes: usize,
        /// The length of one record.
        record_bytes: usize,
    },

    /// A record file is larger than any real one.
    #[error(
        "{}: more than {limit} bytes after decompression; expected at most {} records",
        path.display(), limit / crate::cifar::RECORD_BYTES as u64
    )]
    TooManyRecords {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },

    /// A record's label names no class.
    #[error(
        "{}: record {record} (from 0) has label {label}; expected 0 to {} (the file is damaged \
         or not in the CIFAR-10 binary layout)",
        path.display(), classes - 1
    )]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// The record, from 0.
        record: usize,
        /// The label found.
        label: u8,
        /// How many classes there are.
        classes: usize,
    },

    /// An xz or tar.gz file cannot be unpacked.
    #[error(
        "{}: cannot be unpacked: {reason}; the file is damaged or incomplete, copy or download \
         it again",
        path.display()
    )]
    Archive {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },

    /// The file of class names does not name the classes.
    #[error(
        "{}: {found} class names; expected {expected}, one a line (delete the file to use the \
         known names)",
        path.display()
    )]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// How many names were expected.
        expected: usize,
        /// How many are there.
        found: usize,
    },

    /// A class folder has no images.
    #[error(
        "{}: no images; expected at least one (jpg, jpeg, png, webp, bmp, gif), or remove the \
         folder",
        path.display()
    )]
    EmptyClass {
        /// The class folder.
        path: PathBuf,
    },

    /// A class of an evaluation split does not exist in training.
    #[error(
        "{}: class \"{class}\" is not among the training classes ({known}); add training images \
         of it or {removal}",
        path.display()
    )]
    UnknownClass {
        /// The class folder, or the labels, in which it was found.
        path: PathBuf,
        /// The class.
        class: String,
        /// The training classes, abbreviated.
        known: String,
        /// How to be rid of it.
        removal: &'static str,
    },

    /// A network that is to be evaluated does not know a class of the data.
    #[error(
        "{}: class \"{class}\" is not one of those that the network knows ({known}); give the data \
         without it, or a network that was trained on it",
        path.display()
    )]
    ClassUnknownToNetwork {
        /// The data.
        path: PathBuf,
        /// The class.
        class: String,
        /// The network's classes, abbreviated.
        known: String,
    },

    /// Nothing can be told apart.
    #[error(
        "{}: found {found} class folder{}; expected at least 2, one folder of images per class",
        path.display(), if *found == 1 { "" } else { "s" }
    )]
    TooFewClasses {
        /// The folder of class folders.
        path: PathBuf,
        /// How many were found.
        found: usize,
    },

    /// A folder without any images.
    #[error(
        "{}: no images (jpg, jpeg, png, webp, bmp, gif); expected train/CLASS/* and \
         val/CLASS/*, or CLASS/*",
        path.display()
    )]
    NoImages {
        /// The folder.
        path: PathBuf,
    },

    /// A split that is needed does not exist.
    #[error("{}: there is no {split} split; {remedy}", path.display())]
    MissingSplit {
        /// The data.
        path: PathBuf,
        /// The missing split.
        split: SplitName,
        /// What to do.
        remedy: &'static str,
    },

    /// Images were to be put aside as a split that is there already.
    #[error("{}: there is a {split} split already; {advice}", path.display())]
    SplitExists {
        /// The data.
        path: PathBuf,
        /// The split.
        split: SplitName,
        /// What to do.
        advice: String,
    },

    /// A class has too few images to be divided.
    #[error(
        "{}: class \"{class}\" has {images} image{}; expected at least 2, to put one aside for \
         validation",
        path.display(), if *images == 1 { "" } else { "s" }
    )]
    ClassTooSmall {
        /// The data.
        path: PathBuf,
        /// The class.
        class: String,
        /// Its number of training images.
        images: usize,
    },

    /// All images of a class belong together, so that it cannot be divided.
    #[error(
        "{}: all {images} images of class \"{class}\" are of one group; expected at least 2 groups, \
         to put one aside for validation",
        path.display()
    )]
    ClassOfOneGroup {
        /// The data.
        path: PathBuf,
        /// The class.
        class: String,
        /// Its number of training images.
        images: usize,
    },

    /// A class has too few images, or groups of them, to have one in each fold.
    #[error(
        "{}: class \"{class}\" has {found} {kind}{}; expected at least {folds}, one for each fold; use \
         fewer folds, or add images of it",
        path.display(), if *found == 1 { "" } else { "s" }
    )]
    ClassSmallerThanFolds {
        /// The data.
        path: PathBuf,
        /// The class.
        class: String,
        /// How many it has.
        found: usize,
        /// Of what: "image", or "group" where images belong together.
        kind: &'static str,
        /// How many folds there should be.
        folds: u32,
    },

    /// Groups of several classes stand in each other's way.
    #[error(
        "{}: the groups with images of class \"{class}\" cannot be divided into {folds} folds so that it \
         is in more than one of them; use another number of folds, or another seed",
        path.display()
    )]
    ClassInOneFold {
        /// The data.
        path: PathBuf,
        /// The class.
        class: String,
        /// How many folds there should be.
        folds: u32,
    },

    /// Nothing can be told apart, in data without class folders.
    #[error(
        "{}: found {found} class{} among the training images; expected at least 2",
        path.display(), if *found == 1 { "" } else { "es" }
    )]
    TooFewLabels {
        /// The file or folder.
        path: PathBuf,
        /// How many different labels the training images have.
        found: usize,
    },

    /// Nothing can be told of images, in data where each shows any number of classes.
    #[error("{}: none of the training images shows any class; {remedy}", path.display())]
    NoClassShown {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },

    /// A file of class names has the same name twice.
    #[error("{}: class \"{class}\" is named twice; expected every name once", path.display())]
    RepeatedClassName {
        /// The file.
        path: PathBuf,
        /// The name.
        class: String,
    },

    /// A class, of those of which an image may show any number, is called as no class can be.
    #[error(
        "{}: class \"{class}\" would be misread in the list of the classes of an image, where {SEPARATOR} \
         stands between classes and {NO_CLASS} for none of them; rename it",
        path.display()
    )]
    AmbiguousClassName {
        /// The file of class names.
        path: PathBuf,
        /// The name.
        class: String,
    },

    /// A number that should be a label is no class.
    #[error("{}: {problem}", path.display())]
    Label {
        /// The labels.
        path: PathBuf,
        /// What is wrong.
        problem: Box<LabelProblem>,
    },

    /// A line of a spreadsheet of labels cannot be used.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The spreadsheet.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: Box<LineProblem>,
    },

    /// Many lines of a spreadsheet cannot be used; those before are described.
    #[error("{}: {more} more lines cannot be used", path.display())]
    MoreLines {
        /// The spreadsheet.
        path: PathBuf,
        /// How many are not described.
        more: usize,
    },

    /// A spreadsheet lists images that do not exist.
    #[error(
        "{}: {count} of the images listed {} missing, expected in {}: {examples}",
        path.display(), if *count == 1 { "is" } else { "are" }, folder.display()
    )]
    MissingImages {
        /// The spreadsheet.
        path: PathBuf,
        /// Its folder, which the paths start from.
        folder: PathBuf,
        /// How many are missing.
        count: usize,
        /// The first of them with their lines.
        examples: String,
    },

    /// An npz file, or an array in it, is not what it should be.
    #[error("{}: {problem}", path.display())]
    Array {
        /// The file, with the name of the array behind it where one is meant.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<ArrayProblem>,
    },

    /// A file of the MNIST family is not what it should be.
    #[error("{}: {problem}", path.display())]
    Idx {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<IdxProblem>,
    },

    /// An image cannot be decoded.
    #[error("{}: unreadable image: {reason}", path.display())]
    Unreadable {
        /// The image file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },

    /// Too many images cannot be decoded.
    #[error(
        "{unreadable} of {images} images are unreadable, more than the allowed share of \
         {allowed}; mend or remove them, or raise the share. The first: {first}"
    )]
    TooManyUnreadable {
        /// How many cannot be decoded.
        unreadable: usize,
        /// How many there are.
        images: usize,
        /// The share that is allowed, 0 to 1.
        allowed: f64,
        /// The first of them with its reason.
        first: String,
    },

    /// After quarantine, a class has no images left for training.
    #[error(
        "class \"{class}\": none of its images in the {split} split can be decoded; mend the \
         files or remove the class"
    )]
    ClassUnreadable {
        /// The class.
        class: String,
        /// The split.
        split: SplitName,
    },

    /// A spreadsheet cannot list something.
    #[error("{name}: a spreadsheet cannot list it: {reason}")]
    Unlistable {
        /// An image, a class or a group.
        name: String,
        /// Why not, and what to do.
        reason: &'static str,
    },

    /// A file could not be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A worker thread failed in a way that no input should cause.
    #[error("{sample}: a worker failed on this sample: {reason}; this is a bug, please report it")]
    WorkerFailed {
        /// Where the sample comes from.
        sample: String,
        /// The message of the panic.
        reason: String,
    },
}

impl DataError {
    /// Whether the cause lies in the data (or in how they were named), so that the user can
    /// mend it. True for all but [`DataError::WorkerFailed`] and [`DataError::Write`].
    pub fn is_bad_data(&self) -> bool {
        !matches!(self, Self::WorkerFailed { .. } | Self::Write { .. })
    }

    /// Whether the data would do if no images had to be held out of them, or others.
    pub fn concerns_hold_out(&self) -> bool {
        matches!(
            self,
            Self::SplitExists { .. }
                | Self::ClassTooSmall { .. }
                | Self::ClassOfOneGroup { .. }
                | Self::ClassSmallerThanFolds { .. }
                | Self::ClassInOneFold { .. }
        )
    }

    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }
}
