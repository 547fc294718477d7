//! CIFAR-10 in its official binary layout (Krizhevsky 2009, "Learning multiple layers of
//! features from tiny images"; the layout is described on the data set's page).
//!
//! A record is one label byte and 3,072 bytes of pixels: a red, a green and a blue plane of
//! 32×32, row after row. Official files have 10,000 records; any whole number of records is
//! accepted, so that subsets can be used.

mod archive;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::class_names;
use crate::dataset::{Dataset, Inspection, Purpose, RecordFile, Sample, Source, Split, SplitName};
use crate::error::DataError;
use crate::layout::Layout;
use crate::record_file::Colour;

pub(crate) use archive::unpack_xz;
use archive::{Place, places, read_all};

/// Height and width of the images in pixels.
pub const SIDE: usize = 32;

/// Bytes of one colour plane.
const PLANE: usize = SIDE * SIDE;

/// Bytes of one record: the label and three planes.
pub const RECORD_BYTES: usize = 1 + 3 * PLANE;

/// The ten classes in the order of their labels.
pub const CLASS_NAMES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// The files of each split.
const TRAIN_FILES: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];
const TEST_FILE: &str = "test_batch.bin";
const CLASS_NAMES_FILE: &str = "batches.meta.txt";

/// Labels and images of one record file.
pub struct Records {
    /// One label of 0–9 per record.
    pub labels: Vec<u8>,
    /// `[records, 32, 32, 3]`.
    pub rgb: Vec<u8>,
}

/// Reads the records in `bytes`, the content of the file `path`.
///
/// # Errors
/// [`DataError::TruncatedRecords`] unless there is a whole number of records, at least one;
/// [`DataError::LabelOutOfRange`] with the first record whose label is above 9.
pub fn parse_records(path: &Path, bytes: &[u8]) -> Result<Records, DataError> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD_BYTES) {
        return Err(DataError::TruncatedRecords {
            path: path.to_owned(),
            bytes: bytes.len(),
            record_bytes: RECORD_BYTES,
        });
    }
    let count = bytes.len() / RECORD_BYTES;
    let mut records = Records {
        labels: Vec::with_capacity(count),
        rgb: vec![0; count * 3 * PLANE],
    };
    let images = records.rgb.chunks_exact_mut(3 * PLANE);
    for ((index, record), image) in bytes.chunks_exact(RECORD_BYTES).enumerate().zip(images) {
        let (label, planes) = (record[0], &record[1..]);
        if usize::from(label) >= CLASS_NAMES.len() {
            return Err(DataError::LabelOutOfRange {
                path: path.to_owned(),
                record: index,
                label,
                classes: CLASS_NAMES.len(),
            });
        }
        records.labels.push(label);
        interleave(planes, image);
    }
    Ok(records)
}

/// `[3, 32, 32]` to `[32, 32, 3]`.
fn interleave(planes: &[u8], image: &mut [u8]) {
    let (red, rest) = planes.split_at(PLANE);
    let (green, blue) = rest.split_at(PLANE);
    let planes = red.iter().zip(green).zip(blue);
    for (pixel, ((&red, &green), &blue)) in image.chunks_exact_mut(3).zip(planes) {
        pixel.copy_from_slice(&[red, green, blue]);
    }
}

/// Appends the records of one file to a split.
pub(crate) fn append(split: &mut Split, path: PathBuf, records: Records) {
    let file = Arc::new(RecordFile::new(path, [SIDE; 2], Colour::Rgb, records.rgb));
    let first_id = split.samples.len();
    let samples = records.labels.into_iter().enumerate();
    split.samples.extend(samples.map(|(record, label)| Sample {
        id: (first_id + record) as u64,
        label: u32::from(label).into(),
        group: None,
        source: Source::Record {
            file: Arc::clone(&file),
            record,
        },
    }));
}

/// Reads all that can be read of the data set in `folder`.
pub(crate) fn inspect(folder: &Path, purpose: Purpose) -> Inspection {
    let mut dataset = Dataset::new(
        folder,
        CLASS_NAMES.map(String::from).to_vec(),
        Layout::Files,
    );
    dataset.evaluate_on_test_without_validation();
    if let Err(problem) = crate::folder::require_folder(folder) {
        return Inspection {
            dataset,
            problems: vec![problem],
        };
    }
    let mut problems = Vec::new();
    let wanted: Vec<&str> = match purpose {
        Purpose::Training => TRAIN_FILES.into_iter().chain([TEST_FILE]).collect(),
        Purpose::Evaluation => vec![TEST_FILE],
    };
    let mut train = Split::default();
    let mut test = Split::default();
    for (name, result) in wanted.iter().zip(read_record_files(folder, &wanted)) {
        let split = match *name {
            TEST_FILE => &mut test,
            _ => &mut train,
        };
        match result {
            Ok((path, records)) => append(split, path, records),
            Err(problem) => problems.push(problem),
        }
    }
    for (name, split) in [(SplitName::Train, train), (SplitName::Test, test)] {
        if !split.is_empty() {
            dataset.set_split(name, split);
        }
    }
    match read_class_names(folder) {
        Ok(Some(names)) => dataset.rename_classes(names),
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    Inspection { dataset, problems }
}

/// Finds, unpacks and parses the files in parallel; the results are in the order of `names`.
fn read_record_files(folder: &Path, names: &[&str]) -> Vec<Result<(PathBuf, Records), DataError>> {
    let mut contents = read_all(folder, names);
    contents
        .par_drain(..)
        .map(|content| {
            let (path, bytes) = content?.unpack()?;
            let records = parse_records(&path, &bytes)?;
            Ok((path, records))
        })
        .collect()
}

/// The names in `batches.meta.txt`, if the file is there. It is looked for beside the record
/// files, not in the archive, whose names are the known ones.
fn read_class_names(folder: &Path) -> Result<Option<Vec<String>>, DataError> {
    let place = places(folder, CLASS_NAMES_FILE).find_map(|place| match place {
        Place::Plain(path) => Some(path),
        Place::Xz(_) => None,
    });
    let Some(path) = place else {
        return Ok(None);
    };
    let names = class_names::read(&path)?;
    if names.len() != CLASS_NAMES.len() {
        return Err(DataError::ClassNames {
            path,
            expected: CLASS_NAMES.len(),
            found: names.len(),
        });
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels() {
        let mut record = vec![7];
        for plane in 0..3_u8 {
            record.extend((0..PLANE).map(|index| (index as u8).wrapping_mul(3) ^ (plane * 64)));
        }
        let records = parse_records(Path::new("x.bin"), &record).unwrap();
        assert_eq!(records.labels, [7]);
        for (index, pixel) in records.rgb.chunks_exact(3).enumerate() {
            let red = (index as u8).wrapping_mul(3);
            assert_eq!(pixel, [red, red ^ 64, red ^ 128]);
        }
    }

    #[test]
    fn bad_files_are_described() {
        let message = |bytes: &[u8]| match parse_records(Path::new("x.bin"), bytes) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            message(&vec![0; 2 * RECORD_BYTES - 1]),
            "x.bin: found 6145 bytes; expected a whole number of records of 3073 bytes, at least \
             one (an official file has 10000, 30730000 bytes): the file is truncated or damaged, \
             copy or download it again"
        );
        assert!(message(&[]).starts_with("x.bin: found 0 bytes; expected"));
        let mut bytes = vec![9; 3 * RECORD_BYTES];
        bytes[RECORD_BYTES] = 10;
        assert_eq!(
            message(&bytes),
            "x.bin: record 1 (from 0) has label 10; expected 0 to 9 (the file is damaged or not \
             in the CIFAR-10 binary layout)"
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..8_000), cut: bool) {
            let whole = bytes.len() / RECORD_BYTES * RECORD_BYTES;
            let bytes = if cut { &bytes[..whole] } else { &bytes[..] };
            if let Ok(records) = parse_records(Path::new("x.bin"), bytes) {
                assert_eq!(records.rgb.len(), records.labels.len() * 3 * PLANE);
                assert!(records.labels.iter().all(|&label| label < 10));
            }
        }
    }
}
