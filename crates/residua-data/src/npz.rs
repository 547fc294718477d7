//! Arrays of images in a NumPy archive, as MedMNIST has them (Yang et al. 2023, "MedMNIST v2").
//!
//! `train_images`, `val_images` and `test_images` are `[N, H, W]` or `[N, H, W, 1]` of brightness or
//! `[N, H, W, 3]` of colour, `train_labels`, `val_labels` and `test_labels` are `[N]` or `[N, 1]`, the
//! number of the class of each image; or `[N, L]` with a column for each of L classes, 2 or more, for
//! images that show any number of them (as in ChestMNIST): 1 where an image shows the class, 0 where it
//! does not. The labels of all splits have the same form. A split may be missing, but not half of it.
//!
//! Images are bytes (`uint8`), or 16-bit numbers without sign (`uint16`), which are divided by 257
//! and rounded, so that 0 to 65,535 become 0 to 255: pictures that use a part of that range only
//! (12 bits, say) should be scaled before they are saved. Labels are integers of any size from 0.
//! Arrays are stored row by row (C order). Classes are called `0`, `1`, and so on, unless a file beside
//! the archive, `bloodmnist.classes.txt` for `bloodmnist.npz`, has one name a line: where labels have
//! several columns, one for each of them.
//!
//! The archive is read from its central directory. How large an array is follows from its type and
//! shape; an entry that claims or holds anything else is refused, before memory is asked for where
//! that is possible, and so are large images that are compressed further than images can be. Checksums
//! are compared.

mod array;
mod indicators;
mod problem;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use residua_core::task::Task;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::bounded::{MAX_BYTES, Stored};
use crate::dataset::{Dataset, Inspection, Purpose, RecordFile, SplitName};
use crate::error::DataError;
use crate::layout::Layout;
use crate::numbered::{NumberedSplit, assemble};

pub use problem::ArrayProblem;

/// The splits and how the names of their arrays begin.
const SPLITS: [(SplitName, &str); 3] = [
    (SplitName::Train, "train"),
    (SplitName::Validation, "val"),
    (SplitName::Test, "test"),
];

/// Reads all that can be read of the data set in `file`.
pub(crate) fn inspect(file: &Path, purpose: Purpose) -> Inspection {
    let mut dataset = Dataset::new(file, Vec::new(), Layout::Arrays);
    if purpose == Purpose::Evaluation {
        dataset.evaluate_on_test_without_validation();
    }
    let mut problems = Vec::new();
    let mut splits = Vec::new();
    match File::open(file) {
        Ok(opened) => {
            match Archive::new(file, BufReader::new(opened)) {
                Ok(mut archive) => archive.read_splits(&mut splits, &mut problems),
                Err(problem) => problems.push(problem),
            };
        }
        Err(source) => problems.push(DataError::read(file)(source)),
    }
    let names_file = file.with_extension("classes.txt");
    assemble(&mut dataset, splits, &names_file, purpose, &mut problems);
    Inspection { dataset, problems }
}

/// The task that the labels tell by their shape; that of single labels where nothing can be read.
pub(crate) fn task(file: &Path) -> Task {
    let opened = File::open(file).ok();
    let archive = opened.and_then(|opened| Archive::new(file, BufReader::new(opened)).ok());
    let columns = archive.and_then(|mut archive| archive.label_columns());
    match columns {
        Some(2..) => Task::MultiLabel,
        _ => Task::SingleLabel,
    }
}

/// An open archive.
struct Archive<'a, R> {
    path: &'a Path,
    /// Bytes of the file.
    length: u64,
    zip: ZipArchive<R>,
    /// How many bytes further images may have.
    left: u64,
    /// The labels that were read first.
    first_labels: Option<FirstLabels>,
}

/// What the labels of all splits have to agree with.
struct FirstLabels {
    array: String,
    shape: Vec<u64>,
    columns: usize,
}

impl<'a, R: Read + Seek> Archive<'a, R> {
    fn new(path: &'a Path, mut reader: R) -> Result<Self, DataError> {
        Ok(Self {
            path,
            length: reader
                .seek(SeekFrom::End(0))
                .map_err(DataError::read(path))?,
            zip: ZipArchive::new(reader).map_err(|error| describe(path, error))?,
            left: MAX_BYTES,
            first_labels: None,
        })
    }

    /// Reads the splits that the archive has.
    fn read_splits(&mut self, splits: &mut Vec<NumberedSplit>, problems: &mut Vec<DataError>) {
        let mut has_any = false;
        for (name, prefix) in SPLITS {
            let names = ["images", "labels"].map(|kind| format!("{prefix}_{kind}"));
            let entries =
                [0, 1].map(|kind| self.zip.index_for_name(&format!("{}.npy", names[kind])));
            has_any |= entries != [None; 2];
            let result = match entries {
                [None, None] => continue,
                [Some(images), Some(labels)] => self.read_split(name, &names, [images, labels]),
                [None, Some(_)] => Err(self.missing(&names[0], &names[1])),
                [Some(_), None] => Err(self.missing(&names[1], &names[0])),
            };
            match result {
                Ok(split) => splits.push(split),
                Err(problem) => problems.push(problem),
            }
        }
        if !has_any {
            problems.push(DataError::Array {
                path: self.path.to_owned(),
                problem: Box::new(ArrayProblem::NoImages {
                    found: self.names(),
                }),
            });
        }
    }

    fn missing(&self, array: &str, other: &str) -> DataError {
        DataError::Array {
            path: self.path.to_owned(),
            problem: Box::new(ArrayProblem::Missing {
                array: array.to_owned(),
                other: other.to_owned(),
            }),
        }
    }

    /// The names of the first arrays, for a message.
    fn names(&self) -> String {
        let names = self.zip.file_names().filter_map(Result::ok);
        let names = names.map(|name| name.trim_end_matches(".npy").to_owned());
        let names: Vec<String> = names.collect();
        match names.is_empty() {
            true => "nothing".to_owned(),
            false => crate::dataset::abbreviated(&names),
        }
    }

    /// Reads the entries with the images and labels of a split.
    fn read_split(
        &mut self,
        name: SplitName,
        [images_name, labels_name]: &[String; 2],
        [images, labels]: [usize; 2],
    ) -> Result<NumberedSplit, DataError> {
        let images_path = self.path.join(images_name);
        let labels_path = self.path.join(labels_name);
        // The labels are small; that there are as many of both is known before the images are read.
        let array::Labels { shape, labels } =
            self.read(&labels_path, labels, |entry, _| array::labels(entry))?;
        self.require_agreement(labels_name, shape, labels.columns())?;
        let images = self.read(&images_path, images, |entry, left| {
            array::images(entry, labels.count() as u64, left)
        })?;
        self.left = self.left.saturating_sub(images.bytes.len() as u64);
        Ok(NumberedSplit {
            name,
            images: RecordFile::new(images_path, images.size, images.colour, images.bytes),
            labels_path,
            labels,
        })
    }

    /// Refuses labels with another number of columns than the first.
    fn require_agreement(
        &mut self,
        array: &str,
        shape: Vec<u64>,
        columns: usize,
    ) -> Result<(), DataError> {
        match &self.first_labels {
            Some(first) if first.columns != columns => Err(DataError::Array {
                path: self.path.join(array),
                problem: Box::new(ArrayProblem::Columns {
                    found: shape,
                    other: first.array.clone(),
                    other_shape: first.shape.clone(),
                }),
            }),
            Some(_) => Ok(()),
            None => {
                self.first_labels = Some(FirstLabels {
                    array: array.to_owned(),
                    shape,
                    columns,
                });
                Ok(())
            }
        }
    }

    /// The number of columns of the first labels that there are, if their header can be read.
    fn label_columns(&mut self) -> Option<u64> {
        SPLITS.iter().find_map(|(_, prefix)| {
            let name = format!("{prefix}_labels");
            let index = self.zip.index_for_name(&format!("{name}.npy"))?;
            let path = self.path.join(name);
            let columns = self.read(&path, index, |entry, _| array::label_columns(entry));
            columns.ok()
        })
    }

    fn read<T>(
        &mut self,
        path: &Path,
        index: usize,
        read: impl FnOnce(Entry<'_>, u64) -> Result<T, array::Failure>,
    ) -> Result<T, DataError> {
        let (left, length) = (self.left, self.length);
        let mut file = { self.zip.by_index(index) }.map_err(|error| describe(path, error))?;
        // The archive could claim this, too.
        let stored = file.compressed_size().min(length);
        let stored = match file.compression() {
            CompressionMethod::Stored => Stored::Plain(stored),
            _ => Stored::Deflated(stored),
        };
        let entry = Entry {
            size: file.size(),
            stored,
            reader: &mut file,
        };
        read(entry, left).map_err(|failure| match failure {
            array::Failure::Problem(problem) => DataError::Array {
                path: path.to_owned(),
                problem: Box::new(problem),
            },
            array::Failure::Io(error) => DataError::Archive {
                path: path.to_owned(),
                reason: error.to_string(),
            },
        })
    }
}

/// An entry of the archive.
struct Entry<'a> {
    /// The bytes that it claims to have, unpacked.
    size: u64,
    /// What the file holds of it.
    stored: Stored,
    reader: &'a mut dyn Read,
}

fn describe(path: &Path, error: ZipError) -> DataError {
    match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => DataError::read(path)(error),
        error => DataError::Archive {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
