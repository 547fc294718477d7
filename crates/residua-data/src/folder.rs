//! Image files, one folder per class.
//!
//! Two layouts are understood: `DIR/train/CLASS/*` with `val` (or `validation`) and `test`
//! beside `train`, and `DIR/CLASS/*`. Classes and files are sorted by name, so that nothing
//! depends on the order in which a file system lists them. Hidden files are ignored, images
//! may lie in folders below their class folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Inspection, Purpose, Sample, Source, Split, SplitName, abbreviated};
use crate::decode::{has_image_extension, is_hidden, list_images};
use crate::error::DataError;
use crate::layout::Layout;

/// One class folder with its images.
struct ClassFolder {
    name: String,
    path: PathBuf,
    images: Vec<PathBuf>,
}

/// Lists all images in `folder` and everything that is wrong with how they are arranged.
pub(crate) fn inspect(folder: &Path, purpose: Purpose) -> Inspection {
    let mut problems = Vec::new();
    let dataset = match require_folder(folder) {
        Ok(()) => list(folder, purpose, &mut problems),
        Err(problem) => {
            problems.push(problem);
            Dataset::new(folder, Vec::new(), Layout::Folders)
        }
    };
    Inspection { dataset, problems }
}

/// Tells a missing folder from a file in its place.
pub(crate) fn require_folder(path: &Path) -> Result<(), DataError> {
    let found = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => "a file",
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "nothing",
        Err(source) => {
            return Err(DataError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    Err(DataError::NotAFolder {
        path: path.to_owned(),
        found,
    })
}

fn list(folder: &Path, purpose: Purpose, problems: &mut Vec<DataError>) -> Dataset {
    let split_folders = split_folders(folder);
    let parts: Vec<(SplitName, PathBuf)> = match (split_folders.is_empty(), purpose) {
        (false, _) => split_folders,
        (true, Purpose::Training) => vec![(SplitName::Train, folder.to_owned())],
        (true, Purpose::Evaluation) => vec![(SplitName::Test, folder.to_owned())],
    };
    let mut listed = Vec::new();
    for (name, path) in parts {
        match class_folders(&path) {
            Ok(classes) => listed.push((name, path, classes)),
            Err(problem) => problems.push(problem),
        }
    }
    let class_names = class_names(&listed);
    let mut dataset = Dataset::new(folder, class_names.clone(), Layout::Folders);
    if purpose == Purpose::Evaluation {
        dataset.evaluate_on_test_without_validation();
    }
    for (name, path, classes) in listed {
        let needs_two = purpose == Purpose::Training && name == SplitName::Train;
        problems.extend(arrangement_problems(&path, &classes, needs_two));
        let split = collect(classes, &class_names, problems);
        if !split.is_empty() {
            dataset.set_split(name, split);
        }
    }
    dataset
}

/// The split folders that exist. `val` and `validation` mean the same; the first one counts.
fn split_folders(folder: &Path) -> Vec<(SplitName, PathBuf)> {
    let existing = |name: &str| {
        let path = folder.join(name);
        path.is_dir().then_some(path)
    };
    [
        (SplitName::Train, existing("train")),
        (
            SplitName::Validation,
            existing("val").or_else(|| existing("validation")),
        ),
        (SplitName::Test, existing("test")),
    ]
    .into_iter()
    .filter_map(|(name, path)| Some((name, path?)))
    .collect()
}

fn class_folders(folder: &Path) -> Result<Vec<ClassFolder>, DataError> {
    let mut classes = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::read(folder))? {
        let entry = entry.map_err(DataError::read(folder))?;
        let path = entry.path();
        if !path.is_dir() || is_hidden(&entry.file_name()) {
            continue;
        }
        let mut images = list_images(&path)?;
        images.retain(|image| has_image_extension(image));
        classes.push(ClassFolder {
            name: entry.file_name().to_string_lossy().into_owned(),
            images,
            path,
        });
    }
    classes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(classes)
}

/// The classes of the training split; of all splits together where there is none.
fn class_names(listed: &[(SplitName, PathBuf, Vec<ClassFolder>)]) -> Vec<String> {
    let train = listed.iter().find(|(name, ..)| *name == SplitName::Train);
    let mut names: Vec<String> = match train {
        Some((_, _, classes)) => classes.iter().map(|class| class.name.clone()).collect(),
        None => listed
            .iter()
            .flat_map(|(_, _, classes)| classes)
            .map(|class| class.name.clone())
            .collect(),
    };
    names.sort();
    names.dedup();
    names
}

fn arrangement_problems(folder: &Path, classes: &[ClassFolder], needs_two: bool) -> Vec<DataError> {
    if classes.iter().all(|class| class.images.is_empty()) {
        return vec![DataError::NoImages {
            path: folder.to_owned(),
        }];
    }
    let mut problems = Vec::new();
    if needs_two && classes.len() < 2 {
        problems.push(DataError::TooFewClasses {
            path: folder.to_owned(),
            found: classes.len(),
        });
    }
    let empty = classes.iter().filter(|class| class.images.is_empty());
    problems.extend(empty.map(|class| DataError::EmptyClass {
        path: class.path.clone(),
    }));
    problems
}

fn collect(
    classes: Vec<ClassFolder>,
    class_names: &[String],
    problems: &mut Vec<DataError>,
) -> Split {
    let mut split = Split::default();
    for class in classes {
        let Ok(label) = class_names.binary_search(&class.name) else {
            problems.push(DataError::UnknownClass {
                path: class.path,
                class: class.name,
                known: abbreviated(class_names),
                removal: "remove the folder",
            });
            continue;
        };
        for image in class.images {
            split.samples.push(Sample {
                id: split.samples.len() as u64,
                label: (label as u32).into(),
                group: None,
                source: Source::File(image),
            });
        }
    }
    split
}
