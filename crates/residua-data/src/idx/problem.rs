//! What can be wrong with a file of the MNIST family.

use std::path::PathBuf;

use thiserror::Error;

use crate::bounded::{MAX_BYTES, MAX_IMAGE_EXPANSION, MAX_IMAGES, MAX_SIDE};

/// Why a file of the MNIST family, or a folder of them, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdxProblem {
    /// None of the files is there.
    #[error(
        "none of the files of MNIST is there; expected train-images-idx3-ubyte, \
         train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or with \
         the ending .gz"
    )]
    NoFiles,

    /// There are images without labels, or labels without images.
    #[error(
        "{file} is missing; expected it beside the other file of its split, plain or as {file}.gz"
    )]
    MissingFile {
        /// The file that was expected.
        file: String,
    },

    /// The file does not begin as it should.
    #[error(
        "begins with {}; expected {} (an IDX file of unsigned bytes with {} dimension{}): \
         are images and labels confused, or is it another format?",
        bytes(found), bytes(expected), expected[3], if expected[3] == 1 { "" } else { "s" }
    )]
    Magic {
        /// The first bytes, at most 4.
        found: Vec<u8>,
        /// What they should be.
        expected: [u8; 4],
    },

    /// The file ends within its header.
    #[error(
        "ends after {found} bytes; expected a header of {expected} bytes: copy or download it again"
    )]
    Header {
        /// The length of the file.
        found: usize,
        /// The length of its header.
        expected: usize,
    },

    /// Dimensions that no data set has.
    #[error(
        "has the dimensions {found:?}; expected 1 to {MAX_IMAGES} images, sides of 1 to {MAX_SIDE} \
         pixels and at most {} GiB: the file is damaged or no such data",
        MAX_BYTES >> 30
    )]
    Dimensions {
        /// Number, and for images height and width.
        found: Vec<u64>,
    },

    /// There are fewer values than the dimensions say.
    #[error(
        "is shorter than its dimensions say; expected {expected} bytes after the header: copy or \
         download it again"
    )]
    Short {
        /// The number of values.
        expected: u64,
    },

    /// There are more values than the dimensions say.
    #[error(
        "is longer than its dimensions say; expected {expected} bytes after the header: the file is \
         damaged, copy or download it again"
    )]
    Long {
        /// The number of values.
        expected: u64,
    },

    /// The images are compressed further than images can be.
    #[error(
        "would unpack to {expected} bytes from {held}, more than {MAX_IMAGE_EXPANSION} times as many: \
         images are not compressed so far, a file made to fill memory is; if it is yours, unpack it \
         first (gunzip)"
    )]
    Suspicious {
        /// The bytes of the images.
        expected: u64,
        /// What the file holds of them.
        held: u64,
    },

    /// There are more images than labels, or fewer.
    #[error(
        "has {images} images, and {} has {labels} labels; expected as many of both: are they files \
         of one data set?",
        labels_file.display()
    )]
    Counts {
        /// Images in this file.
        images: u64,
        /// Labels in the other.
        labels: u64,
        /// The file of labels.
        labels_file: PathBuf,
    },
}

/// Bytes as they are written in the description of the format.
fn bytes(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("0x{digits}")
}
