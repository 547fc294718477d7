//! Image files that a spreadsheet lists with their labels (CSV, RFC 4180).
//!
//! The first line names the columns, in any order and case; others than these are ignored:
//!
//! | column | content |
//! | --- | --- |
//! | `path` (or else `image`, or `file`) | an image file, from the folder of the spreadsheet |
//! | `label` (or else `class`) | its class |
//! | `labels` (or else `finding labels`), in place of it | all the classes that it shows, with `\|` between them; nothing, or `No Finding`, for an image that shows none |
//! | `split` | if there is such a column: `train`, `val` (or `validation`) or `test` |
//! | `group` | if there is such a column: what the image belongs to (a patient, a series), or nothing |
//!
//! Fields are separated by commas, semicolons or tabs, whichever separates the names of these
//! columns, and may be quoted. The text is UTF-8. Lines without any content are ignored.
//!
//! The classes are those of the training images, sorted. Nothing but `|` separates the classes of an
//! image: commas and semicolons occur in names, and spaces all the more.
//!
//! Without a column of splits all images are for training, or for testing where nothing is to be
//! trained, as with a folder of class folders. Images of one group have to be in one split, and stay together when a part of the
//! training images is put aside: pictures of one patient in training and validation would make a
//! network look better than it is.

mod columns;
mod problem;
mod rows;
mod writing;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use residua_core::task::Task;

use crate::dataset::{Dataset, Inspection, Purpose, Sample, Source, Split, SplitName, abbreviated};
use crate::error::DataError;
use crate::label::{ClassSet, Label};
use crate::layout::Layout;

pub use problem::LineProblem;
use rows::{Row, Rows};
pub use writing::write;

/// Larger files are not read: a thousand bytes for each of a million images.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// How many bad lines, and missing images, are described one by one.
const MAX_DESCRIBED: usize = 10;

/// Lists all images in `file` and everything that is wrong with it.
pub(crate) fn inspect(file: &Path, purpose: Purpose) -> Inspection {
    let mut problems = Vec::new();
    let mut dataset = Dataset::new(file, Vec::new(), Layout::Rows);
    if purpose == Purpose::Evaluation {
        dataset.evaluate_on_test_without_validation();
    }
    match read(file) {
        Ok(text) => list(file, &text, purpose, &mut dataset, &mut problems),
        Err(problem) => problems.push(problem),
    }
    Inspection { dataset, problems }
}

/// The task that the first line of a file tells; that of single labels where nothing can be read.
pub(crate) fn task(file: &Path) -> Task {
    /// Longer lines of names are not looked through.
    const LONGEST: u64 = 1 << 16;
    let Ok(file) = File::open(file) else {
        return Task::default();
    };
    let mut bytes = Vec::new();
    if file.take(LONGEST).read_to_end(&mut bytes).is_err() {
        return Task::default();
    }
    let text = bytes.strip_prefix("\u{feff}".as_bytes());
    let bytes = text.unwrap_or(&bytes).trim_ascii_start();
    let end = bytes.iter().position(|byte| b"\r\n".contains(byte));
    rows::task(&String::from_utf8_lossy(
        &bytes[..end.unwrap_or(bytes.len())],
    ))
}

/// A problem and its line, from 1.
type BadLine = (usize, LineProblem);

fn read(path: &Path) -> Result<String, DataError> {
    let file = File::open(path).map_err(DataError::read(path))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(DataError::read(path))?;
    let at_line = |line, problem| DataError::Line {
        path: path.to_owned(),
        line,
        problem: Box::new(problem),
    };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(at_line(1, LineProblem::FileTooLarge));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = rows::count_line_ends(sound) + 1;
        at_line(line, LineProblem::NotUtf8)
    })
}

/// Fills `dataset` with what `text`, the content of the spreadsheet `file`, lists.
fn list(
    file: &Path,
    text: &str,
    purpose: Purpose,
    dataset: &mut Dataset,
    problems: &mut Vec<DataError>,
) {
    let default_split = match purpose {
        Purpose::Training => SplitName::Train,
        Purpose::Evaluation => SplitName::Test,
    };
    let mut bad = Vec::new();
    let Rows { task, mut rows } = rows::parse(text, default_split, &mut bad);
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    remove_repetitions(folder, &mut rows, &mut bad);
    bad.extend(divided_groups(&rows));
    let classes = classes(&rows);
    bad.extend(unknown_classes(&rows, &classes));
    if rows.is_empty() && bad.is_empty() {
        bad.push((1, LineProblem::NoRows));
    }
    if bad.is_empty() && purpose == Purpose::Training {
        problems.extend(dataset.too_few_classes(task, classes.len()));
    }
    describe_lines(file, bad, problems);
    let is_missing = |row: &Row| !folder.join(&row.path).is_file();
    let missing: Vec<Row> = rows.extract_if(.., |row| is_missing(row)).collect();
    problems.extend(missing_images(file, folder, &missing));
    collect(folder, Rows { task, rows }, classes, dataset);
}

/// The same path for `a/b.png`, `./a//b.png` and `a/c/../b.png`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        let is_below = matches!(plain.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::ParentDir if is_below => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Keeps the first line of each image.
fn remove_repetitions(folder: &Path, rows: &mut Vec<Row>, bad: &mut Vec<BadLine>) {
    let mut first_of = HashMap::<PathBuf, (usize, String, Vec<String>)>::new();
    rows.retain(|row| {
        let path = plain(&folder.join(&row.path));
        let Some((line, label, classes)) = first_of.get(&path) else {
            first_of.insert(path, (row.line, row.label.clone(), row.classes.clone()));
            return true;
        };
        let problem = match *classes == row.classes {
            true => LineProblem::Repeated {
                image: row.path.clone(),
                first: *line,
            },
            false => LineProblem::Contradiction {
                image: row.path.clone(),
                label: row.label.clone(),
                first: *line,
                first_label: label.clone(),
            },
        };
        bad.push((row.line, problem));
        false
    });
}

/// The first line of each group that has it in another split than the first of all.
fn divided_groups(rows: &[Row]) -> Vec<BadLine> {
    let mut first_of = HashMap::new();
    let mut divided = BTreeSet::new();
    let mut bad = Vec::new();
    for row in rows {
        let Some(group) = &row.group else { continue };
        let (line, split) = *first_of.entry(group).or_insert((row.line, row.split));
        if split != row.split && divided.insert(group) {
            let problem = LineProblem::DividedGroup {
                group: group.clone(),
                split: row.split,
                first: line,
                first_split: split,
            };
            bad.push((row.line, problem));
        }
    }
    bad
}

/// The classes of the training images; of all images where none are for training.
fn classes(rows: &[Row]) -> Vec<String> {
    let has_training = rows.iter().any(|row| row.split == SplitName::Train);
    let of_training = |row: &&Row| !has_training || row.split == SplitName::Train;
    let classes = rows.iter().filter(of_training).flat_map(|row| &row.classes);
    classes
        .collect::<BTreeSet<_>>()
        .into_iter()
        .cloned()
        .collect()
}

/// The first line of each class that does not occur in training.
fn unknown_classes(rows: &[Row], classes: &[String]) -> Vec<BadLine> {
    let mut unknown = BTreeSet::new();
    let mut bad = Vec::new();
    for row in rows {
        for class in &row.classes {
            if classes.binary_search(class).is_err() && unknown.insert(class) {
                let problem = LineProblem::UnknownClass {
                    class: class.clone(),
                    known: abbreviated(classes),
                };
                bad.push((row.line, problem));
            }
        }
    }
    bad
}

fn describe_lines(file: &Path, mut bad: Vec<BadLine>, problems: &mut Vec<DataError>) {
    bad.sort_by_key(|(line, _)| *line);
    let more = bad.len().saturating_sub(MAX_DESCRIBED);
    bad.truncate(MAX_DESCRIBED);
    problems.extend(bad.into_iter().map(|(line, problem)| DataError::Line {
        path: file.to_owned(),
        line,
        problem: Box::new(problem),
    }));
    if more > 0 {
        problems.push(DataError::MoreLines {
            path: file.to_owned(),
            more,
        });
    }
}

fn missing_images(file: &Path, folder: &Path, missing: &[Row]) -> Option<DataError> {
    if missing.is_empty() {
        return None;
    }
    let described = missing.iter().take(MAX_DESCRIBED);
    let mut examples: Vec<String> = described
        .map(|row| format!("{} (line {})", row.path, row.line))
        .collect();
    if missing.len() > MAX_DESCRIBED {
        examples.push("…".to_owned());
    }
    Some(DataError::MissingImages {
        path: file.to_owned(),
        folder: folder.to_owned(),
        count: missing.len(),
        examples: examples.join(", "),
    })
}

fn collect(folder: &Path, listed: Rows, classes: Vec<String>, dataset: &mut Dataset) {
    let mut splits = [(); 3].map(|()| Split::default());
    let mut groups = HashMap::new();
    let mut group_names = Vec::new();
    for row in listed.rows {
        let Some(label) = label(&row, listed.task, &classes) else {
            continue;
        };
        let group = row.group.map(|name| {
            *groups.entry(name.clone()).or_insert_with(|| {
                group_names.push(name);
                group_names.len() as u32 - 1
            })
        });
        let split = &mut splits[row.split as usize];
        split.samples.push(Sample {
            id: split.samples.len() as u64,
            label,
            group,
            source: Source::File(folder.join(row.path)),
        });
    }
    dataset.rename_classes(classes);
    dataset.name_groups(group_names);
    for (name, split) in SplitName::ALL.into_iter().zip(splits) {
        if !split.is_empty() {
            dataset.set_split(name, split);
        }
    }
}

/// `None` for a class that training does not know, which is a problem of its own.
fn label(row: &Row, task: Task, classes: &[String]) -> Option<Label> {
    let number = |class: &String| Some(classes.binary_search(class).ok()? as u32);
    match (task, row.classes.as_slice()) {
        (Task::SingleLabel, [class]) => number(class).map(Label::Class),
        (_, several) => {
            let set: Option<ClassSet> = several.iter().map(number).collect();
            set.map(Label::Classes)
        }
    }
}

#[cfg(test)]
mod tests;
