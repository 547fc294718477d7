//! What a data check found, in a form to print or to keep.

use residua_core::task::Task;
use serde::{Deserialize, Serialize};

use crate::dataset::SplitName;
use crate::readable::UnreadableImage;

/// The value of [`DataReport::schema`].
pub const SCHEMA: &str = "residua.data-check/1";

/// What was found in a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// The data, as they were named.
    pub data: String,
    /// What is asked about an image.
    #[serde(default)]
    pub task: Task,
    /// The names of the classes in the order of their labels.
    pub classes: Vec<String>,
    /// The splits that exist.
    pub splits: Vec<SplitReport>,
    /// The images that cannot be decoded.
    pub unreadable: Vec<UnreadableImage>,
    /// Groups of equal images within one split.
    pub duplicates: Vec<Duplicate>,
    /// Pairs of equal images in different splits.
    pub leakage: Vec<Leakage>,
    /// What would stop training, each with where it is and how to mend it.
    pub problems: Vec<String>,
    /// What would not stop training, but is worth knowing.
    pub warnings: Vec<String>,
}

impl DataReport {
    /// Whether training could start.
    pub fn is_usable(&self) -> bool {
        self.problems.is_empty()
    }

    /// Groups of duplicates, and leaking pairs, whose images do not all have the same class.
    pub fn label_conflicts(&self) -> usize {
        let in_split = self.duplicates.iter().filter(|duplicate| {
            let mut classes = duplicate.images.iter().map(|image| &image.class);
            let first = classes.next();
            classes.any(|class| Some(class) != first)
        });
        let between = self
            .leakage
            .iter()
            .filter(|pair| pair.first.class != pair.second.class);
        in_split.count() + between.count()
    }
}

/// What was found in one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitReport {
    /// The split.
    pub split: SplitName,
    /// Its number of images, unreadable ones included.
    pub images: usize,
    /// The images of each class, in the order of the labels.
    pub classes: Vec<ClassCount>,
    /// How many classes an image shows, where that may be any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cardinality: Option<Cardinality>,
    /// The sizes of the images that can be decoded; `None` if there are none.
    pub sizes: Option<ImageSizes>,
}

/// How many classes the images of a split show.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cardinality {
    /// Images that show none.
    pub none: usize,
    /// On average (the label cardinality).
    pub mean: f64,
    /// At most.
    pub most: usize,
}

/// The number of images of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// The class.
    pub class: String,
    /// Its images.
    pub images: usize,
}

/// The sizes of many images, each as `[height, width]` in pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSizes {
    /// The smallest height and the smallest width (not necessarily of one image).
    pub smallest: [usize; 2],
    /// The median height and the median width.
    pub median: [usize; 2],
    /// The largest height and the largest width.
    pub largest: [usize; 2],
    /// The size that most images have.
    pub commonest: SizeCount,
    /// How many different sizes there are.
    pub different: usize,
}

/// The number of images of a size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeCount {
    /// `[height, width]` in pixels.
    pub size: [usize; 2],
    /// The images that have it.
    pub images: usize,
}

/// An image of the data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReference {
    /// Its split.
    pub split: SplitName,
    /// Where it comes from: the path, or `file#record`.
    pub source: String,
    /// Its class; where an image shows any number of them, all of them with `|` between, or
    /// `No Finding`.
    pub class: String,
}

/// Equal images within one split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// Two or more.
    pub images: Vec<ImageReference>,
}

/// Equal images in two splits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leakage {
    /// The one in the earlier split (training before validation before test).
    pub first: ImageReference,
    /// The one in the later split.
    pub second: ImageReference,
}
