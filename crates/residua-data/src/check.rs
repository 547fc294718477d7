//! Everything worth knowing about a data set before training on it.

mod report;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicUsize;

use residua_core::task::Task;
use xxhash_rust::xxh3::Xxh3;

pub use report::{
    Cardinality, ClassCount, DataReport, Duplicate, ImageReference, ImageSizes, Leakage, SCHEMA,
    SizeCount, SplitReport,
};

use crate::dataset::{Dataset, Inspection, Purpose, Split, SplitName};
use crate::error::DataError;
use crate::picture_reader::PictureReader;
use crate::pixels::Pixels;
use crate::readable::{OnProgress, UnreadableImage, for_each_image, refuse_too_many};
use crate::spec::DataSpec;

/// A class with fewer than this share of the images of the largest class gets a warning.
const IMBALANCE: f64 = 0.1;

/// How data are checked.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// The share of unreadable images above which training would refuse to start, 0 to 1.
    pub max_unreadable: f64,
    /// Whether a validation fraction will be given, so that a folder without a validation
    /// split is no problem.
    pub has_validation_fraction: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            max_unreadable: crate::readable::DEFAULT_MAX_UNREADABLE,
            has_validation_fraction: false,
        }
    }
}

/// Looks at every image of a data set and reports all that was found.
///
/// It does not fail: what would stop training is listed in [`DataReport::problems`], and the
/// rest is reported as far as it can be read. Duplicates are images with the same size and the
/// same decoded pixels, compared by a 128-bit hash, whatever their file format.
pub fn check(spec: &DataSpec, options: &CheckOptions, on_progress: OnProgress<'_>) -> DataReport {
    let Inspection { dataset, problems } = Inspection::of(spec, Purpose::Training);
    let mut problems: Vec<String> = problems.iter().map(DataError::to_string).collect();
    problems.extend(missing_splits(&dataset, options, problems.is_empty()));

    let total = dataset.splits().map(|(_, split)| split.len()).sum();
    let done = AtomicUsize::new(0);
    let mut images = Vec::new();
    let mut splits = Vec::new();
    let mut unreadable = Vec::new();
    for (name, split) in dataset.splits() {
        let looks = for_each_image(
            split,
            &PictureReader::default(),
            &done,
            total,
            on_progress,
            Fingerprint::of,
        );
        let first = images.len();
        for (sample, look) in split.samples.iter().zip(looks) {
            let source = sample.source.to_string();
            match look {
                Ok(fingerprint) => images.push(CheckedImage {
                    fingerprint,
                    reference: ImageReference {
                        split: name,
                        source,
                        class: sample.label.named(dataset.classes()),
                    },
                }),
                Err(reason) => unreadable.push(UnreadableImage {
                    split: name,
                    path: source,
                    reason,
                }),
            }
        }
        splits.push(describe_split(&dataset, name, split, &images[first..]));
    }
    let too_many = refuse_too_many(&unreadable, total, options.max_unreadable);
    problems.extend(too_many.err().map(|error| error.to_string()));

    let (duplicates, leakage) = find_repetitions(&images);
    let mut report = DataReport {
        schema: SCHEMA.to_owned(),
        data: spec.to_string(),
        task: dataset.task(),
        classes: dataset.classes().to_vec(),
        splits,
        unreadable,
        duplicates,
        leakage,
        problems,
        warnings: Vec::new(),
    };
    report.warnings = warnings(&report);
    report
}

/// A missing split is worth saying only where nothing else explains it.
fn missing_splits(dataset: &Dataset, options: &CheckOptions, is_sound: bool) -> Option<String> {
    if !is_sound || options.has_validation_fraction {
        return None;
    }
    let missing = dataset.require(SplitName::Train).err();
    let missing = missing.or_else(|| dataset.evaluation().err());
    missing.map(|error| error.to_string())
}

/// What identifies the pixels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Fingerprint {
    height: usize,
    width: usize,
    hash: u128,
}

impl Fingerprint {
    fn of(pixels: Pixels<'_>) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(pixels.rgb());
        Self {
            height: pixels.height(),
            width: pixels.width(),
            hash: hasher.digest128(),
        }
    }
}

struct CheckedImage {
    fingerprint: Fingerprint,
    reference: ImageReference,
}

fn describe_split(
    dataset: &Dataset,
    name: SplitName,
    split: &Split,
    images: &[CheckedImage],
) -> SplitReport {
    let counts = split.class_counts(dataset.classes().len());
    let classes = dataset.classes().iter().zip(counts);
    SplitReport {
        split: name,
        images: split.len(),
        classes: classes
            .map(|(class, images)| ClassCount {
                class: class.clone(),
                images,
            })
            .collect(),
        cardinality: cardinality(split),
        sizes: sizes(images),
    }
}

/// `None` where each image has one class.
fn cardinality(split: &Split) -> Option<Cardinality> {
    let counts = || {
        split
            .samples
            .iter()
            .map(|sample| sample.label.classes().len())
    };
    (split.task() == Task::MultiLabel).then(|| Cardinality {
        none: counts().filter(|count| *count == 0).count(),
        mean: counts().sum::<usize>() as f64 / split.len().max(1) as f64,
        most: counts().max().unwrap_or(0),
    })
}

fn sizes(images: &[CheckedImage]) -> Option<ImageSizes> {
    let mut heights: Vec<usize> = images
        .iter()
        .map(|image| image.fingerprint.height)
        .collect();
    let mut widths: Vec<usize> = images.iter().map(|image| image.fingerprint.width).collect();
    heights.sort_unstable();
    widths.sort_unstable();
    let mut counts = BTreeMap::new();
    for image in images {
        let size = (image.fingerprint.height, image.fingerprint.width);
        *counts.entry(size).or_insert(0) += 1;
    }
    let (&(height, width), &commonest) = counts.iter().max_by_key(|&(_, &count)| count)?;
    Some(ImageSizes {
        smallest: [*heights.first()?, *widths.first()?],
        median: [heights[heights.len() / 2], widths[widths.len() / 2]],
        largest: [*heights.last()?, *widths.last()?],
        commonest: SizeCount {
            size: [height, width],
            images: commonest,
        },
        different: counts.len(),
    })
}

/// Groups equal images. Within a split they are duplicates; a group that touches two splits
/// is leakage.
fn find_repetitions(images: &[CheckedImage]) -> (Vec<Duplicate>, Vec<Leakage>) {
    let mut groups: HashMap<Fingerprint, Vec<usize>> = HashMap::new();
    for (index, image) in images.iter().enumerate() {
        groups.entry(image.fingerprint).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups
        .into_values()
        .filter(|group| group.len() > 1)
        .collect();
    groups.sort_unstable();

    let mut duplicates = Vec::new();
    let mut leakage = Vec::new();
    for group in &groups {
        let references = group.iter().map(|&index| images[index].reference.clone());
        for split in SplitName::ALL {
            let same: Vec<_> = references
                .clone()
                .filter(|reference| reference.split == split)
                .collect();
            if same.len() > 1 {
                duplicates.push(Duplicate { images: same });
            }
        }
        // Images are in the order of the splits, so the first is in the earliest.
        let first = &images[group[0]].reference;
        leakage.extend(
            references
                .clone()
                .filter(|reference| reference.split != first.split)
                .map(|second| Leakage {
                    first: first.clone(),
                    second,
                }),
        );
    }
    (duplicates, leakage)
}

fn warnings(report: &DataReport) -> Vec<String> {
    let mut warnings = Vec::new();
    for split in &report.splits {
        warnings.extend(imbalance(split));
        warnings.extend(absent_classes(split));
    }
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let unreadable = report.unreadable.len();
    if unreadable > 0 {
        warnings.push(format!(
            "{unreadable} unreadable image{} would be left out of training",
            plural(unreadable)
        ));
    }
    let leaks = report.leakage.len();
    if leaks > 0 {
        warnings.push(format!(
            "{leaks} image{} of one split also in another: results on them say nothing",
            if leaks == 1 { " is" } else { "s are" }
        ));
    }
    let duplicates = report.duplicates.len();
    if duplicates > 0 {
        warnings.push(format!(
            "{duplicates} image{} more than once in the same split",
            if duplicates == 1 {
                " occurs"
            } else {
                "s occur"
            }
        ));
    }
    let conflicts = report.label_conflicts();
    if conflicts > 0 {
        warnings.push(format!(
            "{conflicts} image{} with different classes: at most one label can be right",
            if conflicts == 1 { " occurs" } else { "s occur" }
        ));
    }
    warnings
}

fn imbalance(split: &SplitReport) -> Option<String> {
    let present = split.classes.iter().filter(|class| class.images > 0);
    let smallest = present.clone().min_by_key(|class| class.images)?;
    let largest = present.max_by_key(|class| class.images)?;
    let is_uneven = (smallest.images as f64) < IMBALANCE * largest.images as f64;
    is_uneven.then(|| {
        format!(
            "the classes of the {} split are very uneven: {} has {} images, {} has {}",
            split.split, largest.class, largest.images, smallest.class, smallest.images
        )
    })
}

fn absent_classes(split: &SplitReport) -> Option<String> {
    let absent: Vec<String> = split
        .classes
        .iter()
        .filter(|class| class.images == 0)
        .map(|class| class.class.clone())
        .collect();
    (!absent.is_empty()).then(|| {
        format!(
            "the {} split has no images of {}",
            split.split,
            crate::dataset::abbreviated(&absent)
        )
    })
}
