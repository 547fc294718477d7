//! What to do about a split, in the words of the source.

use crate::dataset::SplitName;

/// How the splits of a data set are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Folders of class folders.
    Folders,
    /// Rows of a spreadsheet.
    Rows,
    /// Arrays of an npz file.
    Arrays,
    /// Files of fixed names.
    Files,
}

impl Layout {
    /// What is expected where a split is missing that is needed.
    pub(crate) fn expected(self, split: SplitName) -> &'static str {
        match (self, split) {
            (Self::Folders, SplitName::Train) => "expected a folder train, or class folders",
            (Self::Folders, SplitName::Validation) => {
                "add a folder val, or have a part of the training images put aside with a \
                 validation fraction (--val-fraction 0.1)"
            }
            (Self::Folders, SplitName::Test) => "expected a folder test",
            (Self::Rows, SplitName::Train) => {
                "expected lines with train in the column split, or no such column"
            }
            (Self::Rows, SplitName::Validation) => {
                "add lines with val in a column split, or have a part of the training images put \
                 aside with a validation fraction (--val-fraction 0.1)"
            }
            (Self::Rows, SplitName::Test) => "expected lines with test in the column split",
            (Self::Arrays, SplitName::Train) => "expected arrays train_images and train_labels",
            (Self::Arrays, SplitName::Validation) => {
                "add arrays val_images and val_labels, or have a part of the training images put \
                 aside with a validation fraction (--val-fraction 0.1)"
            }
            (Self::Arrays, SplitName::Test) => "expected arrays test_images and test_labels",
            (Self::Files, SplitName::Train) => "expected the files of the training images",
            (Self::Files, SplitName::Validation) => {
                "have a part of the training images put aside with a validation fraction \
                 (--val-fraction 0.1)"
            }
            (Self::Files, SplitName::Test) => {
                "expected the files of the test images; or have a part of the training images put \
                 aside with a validation fraction (--val-fraction 0.1)"
            }
        }
    }

    /// What is expected where images may show any number of classes and none shows any.
    pub(crate) fn expected_classes(self) -> &'static str {
        match self {
            Self::Rows => "expected classes in the column labels, with | between them",
            Self::Arrays => {
                "expected a 1 in the array train_labels for each class that an image shows"
            }
            Self::Folders | Self::Files => "expected at least one class",
        }
    }

    /// How to be rid of a validation split.
    pub(crate) fn removal(self) -> &'static str {
        match self {
            Self::Folders => "remove the folder",
            Self::Rows => "remove its lines",
            Self::Arrays => "remove val_images and val_labels",
            Self::Files => "remove its files",
        }
    }
}
