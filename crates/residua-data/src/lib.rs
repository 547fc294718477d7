//! From files to checked, split, decoded and augmented batches.
//!
//! A data set is named by a [`DataSpec`], opened as a [`Dataset`] with its classes and splits,
//! and read in batches by a [`Loader`], which decodes and augments on worker threads ahead of
//! its consumer. The whole path is deterministic: a batch depends on the seed, the epoch and
//! its index, not on threads or file systems.
//!
//! ```
//! use std::num::NonZeroUsize;
//!
//! use residua_core::preprocessing::Preprocessing;
//! use residua_core::seed::SeedStream;
//! use residua_data::{
//!     Augmentation, DataSpec, Dataset, DatasetOptions, Loader, LoaderOptions, SplitName, Transform,
//! };
//!
//! let spec: DataSpec = "builtin".parse()?;
//! let dataset = Dataset::open(&spec, &DatasetOptions::default())?;
//! let train = dataset.require(SplitName::Train)?.clone();
//! let transform = Transform::training(&Preprocessing::cifar10(), Augmentation::CIFAR)?;
//! let batch_size = NonZeroUsize::new(128).ok_or("a batch needs images")?;
//! let options = LoaderOptions::training(batch_size, SeedStream::new(42));
//! let loader = Loader::new(train, transform, options);
//! for batch in loader.epoch(0) {
//!     let batch = batch?;
//!     assert_eq!(batch.shape, [128, 32, 32, 3]);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Image files are listed when a data set is opened, but not decoded.
//! [`quarantine_unreadable`] decodes all of them once, puts aside those that are damaged and
//! says which; [`check`](check::check) tells everything there is to know about a data set
//! before it is trained on: counts, sizes, damaged files, duplicates, leakage.
//!
//! An image is of one class, or shows any number of them ([`label`]); a data set has images of one kind.
//!
//! The order of things: [`spec`] → [`dataset`] ([`cifar`], [`builtin`], folders,
//! [`spreadsheet`], [`npz`], [`idx`]) → [`readable`] → [`transform`] ([`augmentation`]) →
//! [`loader`]. Large photographs can be kept reduced in a [`picture_cache`]. What a network gets
//! can be looked at as a [`mod@contact_sheet`].

pub mod augmentation;
mod bounded;
pub mod builtin;
pub mod check;
pub mod cifar;
mod class_names;
pub mod contact_sheet;
pub mod dataset;
pub mod decode;
mod draw;
pub mod error;
mod fold;
mod folder;
pub mod fraction;
mod geometry;
mod hold_out;
pub mod idx;
mod jpeg;
pub mod label;
mod layout;
pub mod loader;
pub mod npz;
mod numbered;
mod panics;
pub mod picture_cache;
mod picture_reader;
pub mod pixels;
pub mod readable;
mod record_file;
mod reduction;
pub mod resize;
pub mod spec;
pub mod spreadsheet;
pub mod transform;

pub use augmentation::{
    Augmentation, ColourJitter, Erasing, ErasingFill, Flip, Mix, Mixture, Policy, RandomCrop,
    Surroundings,
};
pub use check::{DataReport, check};
pub use contact_sheet::{ContactSheetError, contact_sheet};
pub use dataset::{Dataset, DatasetOptions, Purpose, Sample, Source, Split, SplitName};
pub use decode::{decode_bytes, decode_file, list_images};
pub use error::DataError;
pub use fold::{Fold, FoldError};
pub use fraction::Fraction;
pub use hold_out::HoldOut;
pub use idx::IdxProblem;
pub use label::{ClassSet, Label, Labels};
pub use loader::{EpochBatches, HostBatch, LastBatch, Loader, LoaderOptions, Order};
pub use npz::ArrayProblem;
pub use numbered::{LabelLimit, LabelProblem};
pub use picture_cache::{CacheError, CacheUsage, PictureCache};
pub use picture_reader::PictureReader;
pub use pixels::Pixels;
pub use readable::{DEFAULT_MAX_UNREADABLE, Progress, UnreadableImage, quarantine_unreadable};
pub use spec::DataSpec;
pub use spreadsheet::LineProblem;
pub use transform::{Showing, Transform, TransformError};
