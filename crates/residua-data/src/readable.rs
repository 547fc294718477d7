//! Finding the images that cannot be decoded before a run starts.
//!
//! Only decoding all of an image tells whether it can be decoded, so every file is. That
//! costs about as much as one epoch of loading, spread over all cores, and spares the
//! surprise of a run that meets its first bad file hours later.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Source, Split, SplitName};
use crate::error::DataError;
use crate::picture_reader::PictureReader;
use crate::pixels::Pixels;

/// The share of unreadable images that is allowed unless the user says otherwise.
pub const DEFAULT_MAX_UNREADABLE: f64 = 0.05;

/// How far a pass over all images has come. It is called from several threads, and not
/// always in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Images done.
    pub done: usize,
    /// Images in all.
    pub total: usize,
}

/// A callback that is told how far a pass has come.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// An image that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableImage {
    /// Its split.
    pub split: SplitName,
    /// Where it is.
    pub path: String,
    /// What the decoder said.
    pub reason: String,
}

/// Decodes all image files of a data set in parallel, removes those that cannot be decoded
/// and lists them. Images that are in memory already are not looked at. Pictures that `reader`
/// has in its cache were decoded before; the others are put there.
///
/// # Errors
/// [`DataError::TooManyUnreadable`] if their share is above `max_unreadable` (0 to 1), and
/// [`DataError::ClassUnreadable`] if a class loses all its training images, or a split all its
/// images.
pub fn quarantine_unreadable(
    dataset: &mut Dataset,
    max_unreadable: f64,
    reader: &PictureReader,
    on_progress: OnProgress<'_>,
) -> Result<Vec<UnreadableImage>, DataError> {
    let has_files = dataset.splits().any(|(_, split)| {
        let mut samples = split.samples.iter();
        samples.any(|sample| matches!(sample.source, Source::File(_)))
    });
    if !has_files {
        return Ok(Vec::new());
    }
    let images: usize = dataset.splits().map(|(_, split)| split.len()).sum();
    let done = AtomicUsize::new(0);
    let mut unreadable = Vec::new();
    let mut remaining = Vec::new();
    for (name, split) in dataset.splits() {
        let decoded = for_each_image(split, reader, &done, images, on_progress, |_| ());
        let mut kept = Split::default();
        for (sample, decoded) in split.samples.iter().zip(decoded) {
            match decoded {
                Ok(()) => kept.samples.push(sample.clone()),
                Err(reason) => unreadable.push(UnreadableImage {
                    split: name,
                    path: sample.source.to_string(),
                    reason,
                }),
            }
        }
        remaining.push((name, kept));
    }
    refuse_too_many(&unreadable, images, max_unreadable)?;
    for (name, kept) in remaining {
        if name == SplitName::Train || kept.is_empty() {
            refuse_lost_classes(dataset, name, &kept)?;
        }
        dataset.set_split(name, kept);
    }
    Ok(unreadable)
}

/// Calls `look` with every image of a split, in parallel, and returns the results in the
/// order of the samples; an image that cannot be decoded gives the decoder's reason.
pub(crate) fn for_each_image<T: Send>(
    split: &Split,
    reader: &PictureReader,
    done: &AtomicUsize,
    total: usize,
    on_progress: OnProgress<'_>,
    look: impl Fn(Pixels<'_>) -> T + Sync,
) -> Vec<Result<T, String>> {
    split
        .samples
        .par_iter()
        .map(|sample| {
            let result = reader
                .pixels(sample)
                .map(&look)
                .map_err(|error| match error {
                    DataError::Unreadable { reason, .. } => reason,
                    other => other.to_string(),
                });
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            on_progress(Progress { done, total });
            result
        })
        .collect()
}

/// Whether `unreadable` of `images` is more than the share that is allowed.
pub(crate) fn refuse_too_many(
    unreadable: &[UnreadableImage],
    images: usize,
    allowed: f64,
) -> Result<(), DataError> {
    match unreadable.first() {
        Some(first) if unreadable.len() as f64 > allowed * images as f64 => {
            Err(DataError::TooManyUnreadable {
                unreadable: unreadable.len(),
                images,
                allowed,
                first: format!("{}: {}", first.path, first.reason),
            })
        }
        _ => Ok(()),
    }
}

fn refuse_lost_classes(dataset: &Dataset, name: SplitName, kept: &Split) -> Result<(), DataError> {
    let classes = dataset.classes();
    let before = dataset.require(name)?.class_counts(classes.len());
    let after = kept.class_counts(classes.len());
    let lost = (0..classes.len()).find(|&label| before[label] > 0 && after[label] == 0);
    match lost {
        Some(label) => Err(DataError::ClassUnreadable {
            class: classes[label].clone(),
            split: name,
        }),
        None => Ok(()),
    }
}
