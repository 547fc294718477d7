//! What can be wrong with a spreadsheet of labels.

use thiserror::Error;

use super::MAX_FILE_BYTES;
use crate::dataset::SplitName;
use crate::label::NO_CLASS;

/// Why a line of a spreadsheet, or all of it, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// The file is larger than any list of images.
    #[error("the file has more than {MAX_FILE_BYTES} bytes; expected a list of image files")]
    FileTooLarge,

    /// The text is in another encoding.
    #[error("is not UTF-8; save the spreadsheet as \"CSV UTF-8\"")]
    NotUtf8,

    /// There is nothing in the file.
    #[error("the file is empty; expected a line with the names of the columns, such as path,label")]
    Empty,

    /// There are names of columns and nothing else.
    #[error("the file has names of columns only; expected a line for each image")]
    NoRows,

    /// A column that is needed does not exist.
    #[error("there is no column with {content}; expected {expected}, found {found}{hint}")]
    MissingColumn {
        /// What it should hold.
        content: &'static str,
        /// Its names.
        expected: String,
        /// The columns that are there, abbreviated.
        found: String,
        /// What may have been meant, to append.
        hint: String,
    },

    /// Two columns have the same name.
    #[error("there are two columns {name}; expected one")]
    RepeatedColumn {
        /// The name.
        name: String,
    },

    /// One column names a class of each image, and another any number of classes.
    #[error(
        "there is a column {one}, for one class of each image, and a column {several}, for any number \
         of them; expected one of the two"
    )]
    TwoLabelColumns {
        /// The name of the first.
        one: String,
        /// The name of the other.
        several: String,
    },

    /// The line cannot be divided into fields.
    #[error("cannot be divided into fields: {0}")]
    Malformed(String),

    /// The line has not as many fields as there are columns.
    #[error(
        "has {found} field{}; expected {expected}, one for each column (fields with delimiters in \
         them have to be quoted)",
        if *found == 1 { "" } else { "s" }
    )]
    Fields {
        /// Number of fields.
        found: usize,
        /// Number of columns.
        expected: usize,
    },

    /// There is no path.
    #[error("names no image file; fill the field, or remove the line")]
    EmptyPath,

    /// There is no label.
    #[error("has no label; fill the field, or remove the line")]
    EmptyLabel,

    /// A class is named twice in a field.
    #[error("names class \"{class}\" twice; expected each class of an image once")]
    RepeatedClass {
        /// The class.
        class: String,
    },

    /// There is nothing between, before or behind the signs that separate classes.
    #[error(
        "has an empty class in \"{found}\"; expected classes with | between them, or nothing for an \
         image that shows none"
    )]
    EmptyClass {
        /// The field.
        found: String,
    },

    /// An image shows none of the classes, and one of them.
    #[error("says {NO_CLASS} beside classes (\"{found}\"); expected either of them")]
    NoneAndClasses {
        /// The field.
        found: String,
    },

    /// The word for the split is none.
    #[error("\"{found}\" is no split; expected train, val, validation or test{hint}")]
    UnknownSplit {
        /// What was found.
        found: String,
        /// What may have been meant, to append.
        hint: String,
    },

    /// An image occurs twice with the same label.
    #[error("{image} is in line {first} already; remove one of the two")]
    Repeated {
        /// The path as it is in the line.
        image: String,
        /// The line in which it is first.
        first: usize,
    },

    /// An image occurs twice with different labels.
    #[error(
        "{image} is labelled \"{label}\", but \"{first_label}\" in line {first}; remove the wrong one"
    )]
    Contradiction {
        /// The path as it is in the line.
        image: String,
        /// Its label there.
        label: String,
        /// The line in which it is first.
        first: usize,
        /// Its label there.
        first_label: String,
    },

    /// Images of one group are in different splits.
    #[error(
        "group \"{group}\" is in the {split} split, but in the {first_split} split in line {first}; \
         results on images of groups that were trained on say nothing: put all of it into one split"
    )]
    DividedGroup {
        /// The group.
        group: String,
        /// The split of the line.
        split: SplitName,
        /// The line in which the group is first.
        first: usize,
        /// The split there.
        first_split: SplitName,
    },

    /// A class does not occur in training.
    #[error(
        "class \"{class}\" is not among the training classes ({known}); add training images of it or \
         remove its lines"
    )]
    UnknownClass {
        /// The class.
        class: String,
        /// The training classes, abbreviated.
        known: String,
    },
}
