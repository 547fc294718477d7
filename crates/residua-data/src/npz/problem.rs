//! What can be wrong with the arrays of a NumPy archive.

use thiserror::Error;

use crate::bounded::{MAX_BYTES, MAX_IMAGE_EXPANSION, MAX_IMAGES, MAX_INDICATORS, MAX_SIDE};
use crate::numbered::MAX_CLASSES;

/// Why a NumPy archive, or an array in it, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArrayProblem {
    /// No split is there.
    #[error(
        "holds no images; expected arrays train_images and train_labels, and the same with val and \
         test, found {found}"
    )]
    NoImages {
        /// The arrays that are there, abbreviated.
        found: String,
    },

    /// There are images without labels, or labels without images.
    #[error("there is {other} but no {array}; expected both")]
    Missing {
        /// The array that was expected.
        array: String,
        /// The other of its split.
        other: String,
    },

    /// The header of the array is none.
    #[error("the header of the array cannot be read: {0}; save it again with numpy.savez")]
    Header(String),

    /// The values of images are not bytes.
    #[error(
        "has the type {found}; expected uint8, or uint16: scale the images and save them with \
         astype(\"uint8\")"
    )]
    ImageType {
        /// The type as NumPy writes it.
        found: String,
    },

    /// The array is no sequence of images.
    #[error("has the shape {found:?}; expected [N, H, W], [N, H, W, 1] or [N, H, W, 3]")]
    ImageShape {
        /// The shape.
        found: Vec<u64>,
    },

    /// The values of labels are not integers.
    #[error("has the type {found}; expected integers: save it with astype(\"int64\")")]
    LabelType {
        /// The type as NumPy writes it.
        found: String,
    },

    /// There is neither one label for each image nor a row of them.
    #[error(
        "has the shape {found:?}; expected [N] or [N, 1], the number of one class for each image, or [N, \
         L], where a 1 says which of L classes an image shows"
    )]
    LabelShape {
        /// The shape.
        found: Vec<u64>,
    },

    /// The labels of two splits do not mean the same.
    #[error(
        "has the shape {found:?}, and {other} has {other_shape:?}; expected as many columns in the labels \
         of all splits"
    )]
    Columns {
        /// The shape.
        found: Vec<u64>,
        /// The array of labels that was read first.
        other: String,
        /// Its shape.
        other_shape: Vec<u64>,
    },

    /// There are more classes than any data set has.
    #[error(
        "has the shape {found:?}; expected at most {MAX_CLASSES} columns, one for each class, and \
         {MAX_INDICATORS} values"
    )]
    TooWide {
        /// The shape.
        found: Vec<u64>,
    },

    /// A value in a column of a class says neither that an image shows it nor that it does not.
    #[error(
        "image {image} has {value} in column {column} (both from 0); expected 1 where an image shows the \
         class of the column, and 0 where it does not"
    )]
    Indicator {
        /// The image, from 0.
        image: usize,
        /// The column, from 0.
        column: usize,
        /// The value.
        value: i128,
    },

    /// The last dimension varies most slowly.
    #[error("is stored in Fortran order; save it with numpy.ascontiguousarray")]
    FortranOrder,

    /// There are no images in a split.
    #[error("is empty; expected at least one image, or remove images and labels of the split")]
    Empty,

    /// There are more images than labels, or fewer.
    #[error("has {images} images, and there are {labels} labels; expected as many of both")]
    Counts {
        /// Number of images.
        images: u64,
        /// Number of labels.
        labels: u64,
    },

    /// A size that no data set has.
    #[error(
        "has the shape {found:?}; expected sides of 1 to {MAX_SIDE} pixels and at most {} GiB of 8-bit \
         images in the whole file",
        MAX_BYTES >> 30
    )]
    TooLarge {
        /// The shape.
        found: Vec<u64>,
    },

    /// More labels than any data set has.
    #[error("has {found} labels; expected at most {MAX_IMAGES}")]
    TooMany {
        /// Number of labels.
        found: u64,
    },

    /// The archive's size of the array is not that of its type and shape.
    #[error(
        "has {claimed} bytes as the archive says, but {expected} by its type and shape: the file is \
         damaged, or made to fill memory"
    )]
    Size {
        /// What the archive says.
        claimed: u64,
        /// What follows from type and shape.
        expected: u64,
    },

    /// The archive does not hold enough to unpack to the size of the array.
    #[error(
        "should have {expected} bytes, but what the file holds of it cannot unpack to more than \
         {most}: the file is damaged, or made to fill memory"
    )]
    Bomb {
        /// What follows from type and shape.
        expected: u64,
        /// What the stored bytes can unpack to.
        most: u64,
    },

    /// The images are compressed further than images can be.
    #[error(
        "would unpack to {expected} bytes from {held}, more than {MAX_IMAGE_EXPANSION} times as many: \
         images are not compressed so far, a file made to fill memory is; if it is yours, save it \
         uncompressed (numpy.savez)"
    )]
    Suspicious {
        /// The bytes of the images.
        expected: u64,
        /// What the file holds of them.
        held: u64,
    },

    /// There are not as many values as the shape says.
    #[error("has more or fewer values than its shape says; expected {expected} bytes of them")]
    Length {
        /// What follows from type and shape.
        expected: u64,
    },
}
