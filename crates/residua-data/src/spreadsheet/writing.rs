//! A data set as a spreadsheet.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{self, Path, PathBuf};

use residua_core::atomic_file;
use residua_core::task::Task;

use crate::dataset::{Dataset, Sample, Source, SplitName};
use crate::error::DataError;

/// Lists all images of a data set in a spreadsheet that reads as the same data set (`csv:FILE`), with
/// the columns `path`, `label` (`labels` where images show any number of classes), `split` and, where
/// there are groups, `group`. Paths start from the
/// folder of `file`. A file that is there is replaced.
///
/// # Errors
/// [`DataError::Unlistable`] when images are no files, or a name is no UTF-8 text or begins or ends with
/// a space; [`DataError::Write`] when the file cannot be written.
pub fn write(dataset: &Dataset, file: &Path) -> Result<(), DataError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let rows = rows(dataset, folder)?;
    let has_groups = rows.iter().any(|row| row.group.is_some());
    let label = match dataset.task() {
        Task::SingleLabel => "label",
        Task::MultiLabel => "labels",
    };
    let columns = ["path", label, "split", "group"];
    let columns = &columns[..if has_groups { 4 } else { 3 }];
    atomic_file::replace(file, |writer| write_rows(writer, &rows, columns)).map_err(|source| {
        DataError::Write {
            path: file.to_owned(),
            source,
        }
    })
}

/// A line of the spreadsheet.
struct WrittenRow<'a> {
    path: String,
    label: String,
    split: &'static str,
    group: Option<&'a str>,
}

fn write_rows(
    writer: &mut impl Write,
    rows: &[WrittenRow<'_>],
    columns: &[&str],
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(columns)?;
    for row in rows {
        let fields = [
            row.path.as_str(),
            row.label.as_str(),
            row.split,
            row.group.unwrap_or_default(),
        ];
        csv.write_record(&fields[..columns.len()])?;
    }
    csv.flush()
}

fn rows<'a>(dataset: &'a Dataset, folder: &Path) -> Result<Vec<WrittenRow<'a>>, DataError> {
    let mut places = Places::from(folder);
    let mut rows = Vec::new();
    for (name, split) in dataset.splits() {
        let word = match name {
            SplitName::Train => "train",
            SplitName::Validation => "val",
            SplitName::Test => "test",
        };
        for sample in &split.samples {
            let group = { sample.group }
                .and_then(|group| dataset.groups().get(group as usize))
                .map(String::as_str);
            let label = sample.label.named(dataset.classes());
            kept(&label)?;
            rows.push(WrittenRow {
                path: places.path_of(sample)?,
                label,
                split: word,
                group: group.map(kept).transpose()?,
            });
        }
    }
    Ok(rows)
}

/// The text, if a reader of the spreadsheet will find it as it is.
fn kept(text: &str) -> Result<&str, DataError> {
    if text.trim() == text {
        return Ok(text);
    }
    Err(DataError::Unlistable {
        name: format!("\"{text}\""),
        reason: "it begins or ends with a space, which would be lost; rename it",
    })
}

/// Where image files are, seen from a folder.
struct Places {
    folder: PathBuf,
    /// Folders of images that were looked up.
    known: HashMap<PathBuf, PathBuf>,
}

impl Places {
    fn from(folder: &Path) -> Self {
        Self {
            folder: resolved(folder),
            known: HashMap::new(),
        }
    }

    fn path_of(&mut self, sample: &Sample) -> Result<String, DataError> {
        let refused = |reason| DataError::Unlistable {
            name: sample.source.to_string(),
            reason,
        };
        let Source::File(file) = &sample.source else {
            return Err(refused("it is not a file of its own"));
        };
        let parent = file.parent().unwrap_or(Path::new("."));
        if !self.known.contains_key(parent) {
            self.known.insert(parent.to_owned(), resolved(parent));
        }
        let place = match (self.known.get(parent), file.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => file.clone(),
        };
        let path = relative(&self.folder, &place);
        let path = path.ok_or_else(|| refused("its path is not UTF-8 text; rename it"))?;
        kept(&path)?;
        Ok(path)
    }
}

/// The path without links, so that going up leads where the names say. What does not exist yet is taken
/// as it is.
fn resolved(path: &Path) -> PathBuf {
    let path = path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.ancestors().find_map(|ancestor| {
        let rest = path.strip_prefix(ancestor).ok()?;
        Some(ancestor.canonicalize().ok()?.join(rest))
    });
    real.unwrap_or(path)
}

/// The path of a file from a folder, with `/` between names; `None` unless it is text. Both are
/// absolute.
fn relative(folder: &Path, file: &Path) -> Option<String> {
    let mut base = folder.components().peekable();
    let mut target = file.components().peekable();
    if base.peek() != target.peek() {
        // On another drive.
        return file.to_str().map(str::to_owned);
    }
    while base.peek().is_some() && base.peek() == target.peek() {
        base.next();
        target.next();
    }
    let up = base.map(|_| Some(".."));
    let down = target.map(|component| component.as_os_str().to_str());
    let names: Option<Vec<&str>> = up.chain(down).collect();
    Some(names?.join("/"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;
    use crate::dataset::DatasetOptions;
    use crate::fold::Fold;
    use crate::fraction::Fraction;
    use crate::hold_out::HoldOut;
    use crate::spec::DataSpec;

    fn class(folder: &Path, count: usize) {
        fs::create_dir_all(folder).unwrap();
        for index in 0..count {
            // It is listed, not read.
            fs::write(folder.join(format!("{index}.png")), "").unwrap();
        }
    }

    /// File names, labels, groups of each split.
    fn content(dataset: &Dataset) -> Vec<(SplitName, PathBuf, String, Option<String>)> {
        let mut found = Vec::new();
        for (name, split) in dataset.splits() {
            for sample in &split.samples {
                let Source::File(file) = &sample.source else {
                    panic!("no file");
                };
                let group = sample
                    .group
                    .map(|group| dataset.groups()[group as usize].clone());
                let label = sample.label.named(dataset.classes());
                found.push((name, file.canonicalize().unwrap(), label, group));
            }
        }
        found
    }

    #[test]
    fn a_folder_reads_back_from_anywhere() {
        let root = tempdir().unwrap();
        class(&root.path().join("photos/red, \"dark\""), 6);
        class(&root.path().join("photos/blue/below"), 4);
        let folder = root.path().join("photos");
        let mut dataset = Dataset::open_undivided(&DataSpec::Folder { folder }).unwrap();
        let (test, fold) = (Fraction::new(0.25).unwrap(), Fold::new(2, 3).unwrap());
        dataset
            .put_aside(SplitName::Test, HoldOut::Fraction(test), 1)
            .unwrap();
        dataset
            .put_aside(SplitName::Validation, HoldOut::Fold(fold), 1)
            .unwrap();
        for place in [".", "photos", "photos/blue", "lists/new"] {
            let file = root.path().join(place).join("labels.csv");
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            write(&dataset, &file).unwrap();
            assert!(!fs::read_to_string(&file).unwrap().contains("group"));
            let spec = DataSpec::Csv { file: file.clone() };
            let read = Dataset::open(&spec, &DatasetOptions::default()).unwrap();
            assert_eq!(content(&read), content(&dataset), "{place}");
            fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn groups_keep_their_names() {
        let root = tempdir().unwrap();
        class(root.path(), 6);
        let file = root.path().join("in.csv");
        let rows = "path,label,group\n0.png,a,p 1\n1.png,a,\n2.png,b,p 2\n3.png,b,p 1\n4.png,b,\n5.png,a,\n";
        fs::write(&file, rows).unwrap();
        let mut dataset = Dataset::open_undivided(&DataSpec::Csv { file }).unwrap();
        let half = HoldOut::Fraction(Fraction::new(0.5).unwrap());
        dataset.put_aside(SplitName::Validation, half, 0).unwrap();
        let file = root.path().join("out.csv");
        write(&dataset, &file).unwrap();
        let read = Dataset::open(&DataSpec::Csv { file }, &DatasetOptions::default()).unwrap();
        assert_eq!(content(&read), content(&dataset));
        let groups = content(&read).into_iter().filter_map(|(.., group)| group);
        assert_eq!(groups.filter(|group| group == "p 1").count(), 2);
    }

    #[test]
    fn what_a_spreadsheet_would_lose_is_refused() {
        let builtin = Dataset::open_undivided(&DataSpec::Builtin).unwrap();
        let root = tempdir().unwrap();
        let file = root.path().join("labels.csv");
        let message = write(&builtin, &file).unwrap_err().to_string();
        assert!(
            message.contains("#0: a spreadsheet cannot list it: it is not a file of its own"),
            "{message}"
        );
        class(&root.path().join("photos/red "), 2);
        class(&root.path().join("photos/blue"), 2);
        let folder = root.path().join("photos");
        let dataset = Dataset::open_undivided(&DataSpec::Folder { folder }).unwrap();
        let message = write(&dataset, &file).unwrap_err().to_string();
        assert!(message.starts_with("\"red \": a spreadsheet"), "{message}");
        assert!(!file.exists());
    }
}
