//! MNIST and the data sets in its form (Fashion-MNIST, KMNIST): the IDX format, which is described
//! on the page of MNIST (LeCun, Cortes and Burges 1998).
//!
//! A folder holds `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` with the training
//! images, and `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte` with the test images; each
//! plain or with the ending `.gz`, and also with a dot before `idx`. A file has a magic number (two
//! zeros, 8 for bytes, the number of dimensions), the dimensions as big-endian 32-bit numbers, and
//! the values: images are `[N, H, W]` of brightness, labels `[N]`.
//!
//! Classes are called `0`, `1`, and so on, unless the folder has a file `classes.txt` with one name
//! a line. There is no validation split, so that the test images are evaluated during training, as
//! the papers do, unless a part of the training images is put aside.

mod problem;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::bounded::{MAX_BYTES, MAX_IMAGES, MAX_SIDE, Misfit, Stored, read_exactly};
use crate::dataset::{Dataset, Inspection, Purpose, RecordFile, SplitName};
use crate::error::DataError;
use crate::layout::Layout;
use crate::numbered::{NumberedLabels, NumberedSplit, assemble};
use crate::record_file::Colour;

pub use problem::IdxProblem;

/// The file of class names, if there is one.
const CLASS_NAMES_FILE: &str = "classes.txt";

/// The splits and how the names of their files begin.
const SPLITS: [(SplitName, &str); 2] = [(SplitName::Train, "train"), (SplitName::Test, "t10k")];

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Images,
    Labels,
}

impl Content {
    /// The name of the file, with `-` or `.` before the format.
    fn file_name(self, split: &str, separator: char) -> String {
        match self {
            Self::Images => format!("{split}-images{separator}idx3-ubyte"),
            Self::Labels => format!("{split}-labels{separator}idx1-ubyte"),
        }
    }

    /// Zeros, the type of the values (8 is a byte without sign) and the number of dimensions.
    fn magic(self) -> [u8; 4] {
        [0, 0, 8, self.dimensions() as u8]
    }

    fn dimensions(self) -> usize {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }
}

/// A file as it was found.
struct Place {
    path: PathBuf,
    is_compressed: bool,
}

/// Dimensions and values of a file.
struct Values {
    /// As many as the content has; the others are 1.
    shape: [u64; 3],
    bytes: Vec<u8>,
}

/// Reads all that can be read of the data set in `folder`.
pub(crate) fn inspect(folder: &Path, purpose: Purpose) -> Inspection {
    let mut dataset = Dataset::new(folder, Vec::new(), Layout::Files);
    dataset.evaluate_on_test_without_validation();
    let mut problems = Vec::new();
    let mut splits = Vec::new();
    match crate::folder::require_folder(folder) {
        Ok(()) => read_splits(folder, &mut splits, &mut problems),
        Err(problem) => problems.push(problem),
    }
    if problems.is_empty() && splits.is_empty() {
        problems.push(DataError::Idx {
            path: folder.to_owned(),
            problem: Box::new(IdxProblem::NoFiles),
        });
    }
    let names_file = folder.join(CLASS_NAMES_FILE);
    assemble(&mut dataset, splits, &names_file, purpose, &mut problems);
    Inspection { dataset, problems }
}

fn read_splits(folder: &Path, splits: &mut Vec<NumberedSplit>, problems: &mut Vec<DataError>) {
    for (name, prefix) in SPLITS {
        let images = find(folder, prefix, Content::Images);
        let labels = find(folder, prefix, Content::Labels);
        let missing = |content: Content| DataError::Idx {
            path: folder.to_owned(),
            problem: Box::new(IdxProblem::MissingFile {
                file: content.file_name(prefix, '-'),
            }),
        };
        match (images, labels) {
            (None, None) => {}
            (None, Some(_)) => problems.push(missing(Content::Images)),
            (Some(_), None) => problems.push(missing(Content::Labels)),
            (Some(images), Some(labels)) => match read_split(name, &images, &labels) {
                Ok(split) => splits.push(split),
                Err(problem) => problems.push(problem),
            },
        }
    }
}

fn find(folder: &Path, split: &str, content: Content) -> Option<Place> {
    let names = ['-', '.'].map(|separator| content.file_name(split, separator));
    names.into_iter().find_map(|name| {
        let plain = Place {
            path: folder.join(&name),
            is_compressed: false,
        };
        let compressed = Place {
            path: folder.join(format!("{name}.gz")),
            is_compressed: true,
        };
        [plain, compressed]
            .into_iter()
            .find(|place| place.path.is_file())
    })
}

fn read_split(name: SplitName, images: &Place, labels: &Place) -> Result<NumberedSplit, DataError> {
    // The labels are small; that there are as many of both is known before the images are read.
    let label_values = read(labels, Content::Labels, None)?;
    let count = Count {
        expected: label_values.shape[0],
        of: &labels.path,
    };
    let image_values = read(images, Content::Images, Some(count))?;
    let [_, height, width] = image_values.shape;
    let size = [height as usize, width as usize];
    Ok(NumberedSplit {
        name,
        images: RecordFile::new(images.path.clone(), size, Colour::Grey, image_values.bytes),
        labels_path: labels.path.clone(),
        labels: NumberedLabels::One(label_values.bytes.into_iter().map(i128::from).collect()),
    })
}

/// How many values there should be, and in which file there are as many.
#[derive(Clone, Copy)]
struct Count<'a> {
    expected: u64,
    of: &'a Path,
}

fn read(place: &Place, content: Content, count: Option<Count<'_>>) -> Result<Values, DataError> {
    let path = &place.path;
    let file = File::open(path).map_err(DataError::read(path))?;
    let length = file.metadata().map_err(DataError::read(path))?.len();
    let reader = BufReader::new(file);
    let values = match place.is_compressed {
        false => parse(reader, content, Stored::Plain(length), count),
        true => {
            let reader = MultiGzDecoder::new(reader);
            parse(reader, content, Stored::Deflated(length), count)
        }
    };
    values.map_err(|failure| match failure {
        Failure::Problem(problem) => DataError::Idx {
            path: path.clone(),
            problem: Box::new(problem),
        },
        Failure::Io(source) if !place.is_compressed => DataError::Read {
            path: path.clone(),
            source,
        },
        Failure::Io(error) => DataError::Archive {
            path: path.clone(),
            reason: error.to_string(),
        },
    })
}

#[derive(Debug)]
enum Failure {
    Problem(IdxProblem),
    Io(io::Error),
}

impl From<IdxProblem> for Failure {
    fn from(problem: IdxProblem) -> Self {
        Self::Problem(problem)
    }
}

/// Reads a file, of which so much is stored.
fn parse(
    mut reader: impl Read,
    content: Content,
    stored: Stored,
    count: Option<Count<'_>>,
) -> Result<Values, Failure> {
    let shape = read_header(&mut reader, content)?;
    if let Some(count) = count.filter(|count| count.expected != shape[0]) {
        return Err(Failure::Problem(IdxProblem::Counts {
            images: shape[0],
            labels: count.expected,
            labels_file: count.of.to_owned(),
        }));
    }
    let bytes = shape.iter().product();
    let header = 4 + 4 * content.dimensions() as u64;
    if bytes > stored.most().saturating_sub(header) {
        return Err(Failure::Problem(IdxProblem::Short { expected: bytes }));
    }
    if let Some(held) = stored.suspicious_for_images(bytes)
        && content == Content::Images
    {
        let expected = bytes;
        return Err(IdxProblem::Suspicious { expected, held }.into());
    }
    let bytes = read_exactly(reader, bytes).map_err(|misfit| match misfit {
        Misfit::Short => Failure::Problem(IdxProblem::Short { expected: bytes }),
        Misfit::Long => Failure::Problem(IdxProblem::Long { expected: bytes }),
        Misfit::Io(error) => Failure::Io(error),
    })?;
    Ok(Values { shape, bytes })
}

/// Reads and checks the dimensions. Their product is within [`MAX_BYTES`].
fn read_header(mut reader: impl Read, content: Content) -> Result<[u64; 3], Failure> {
    let mut header = Vec::new();
    let length = 4 + 4 * content.dimensions();
    let read = { reader.by_ref().take(length as u64) }.read_to_end(&mut header);
    read.map_err(Failure::Io)?;
    let magic = content.magic();
    let numbers = match header.split_first_chunk::<4>() {
        Some((found, numbers)) if *found == magic => numbers,
        _ => {
            return Err(Failure::Problem(IdxProblem::Magic {
                found: header.into_iter().take(4).collect(),
                expected: magic,
            }));
        }
    };
    if header.len() < length {
        return Err(Failure::Problem(IdxProblem::Header {
            found: header.len(),
            expected: length,
        }));
    }
    let mut shape = [1; 3];
    for (dimension, number) in shape.iter_mut().zip(numbers.chunks_exact(4)) {
        *dimension = number
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    }
    let [count, height, width] = shape;
    let has_sound_sides = [height, width]
        .iter()
        .all(|side| (1..=MAX_SIDE).contains(side));
    let has_sound_count = (1..=MAX_IMAGES).contains(&count);
    // So the product is below 2^56.
    if !has_sound_count || !has_sound_sides || count * height * width > MAX_BYTES {
        return Err(Failure::Problem(IdxProblem::Dimensions {
            found: shape[..content.dimensions()].to_vec(),
        }));
    }
    Ok(shape)
}

#[cfg(test)]
mod tests;
