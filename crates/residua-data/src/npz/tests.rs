mod several_labels;

use std::fs;
use std::io::{Cursor, Write};

use npyz::WriterBuilder;
use proptest::prelude::*;
use tempfile::tempdir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::bounded::MAX_IMAGES;
use crate::dataset::DatasetOptions;
use crate::fraction::Fraction;
use crate::hold_out::HoldOut;
use crate::spec::DataSpec;

/// An array as an npy file.
fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    bytes
}

/// A header of any kind, with what follows it.
fn with_header(header: &str, values: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn archive(arrays: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in arrays {
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Grey images of 2 × 3 pixels with values in turn: 6 for training, 3 for each other split; three
/// classes.
fn arrays() -> Vec<(String, Vec<u8>)> {
    let mut arrays = Vec::new();
    for (split, count) in [("train", 6_u64), ("val", 3), ("test", 3)] {
        let values: Vec<u8> = (0..count as u8 * 6).collect();
        let labels: Vec<u8> = (0..count as u8).map(|label| label % 3).collect();
        arrays.push((format!("{split}_images"), npy(&[count, 2, 3], &values)));
        arrays.push((format!("{split}_labels"), npy(&[count, 1], &labels)));
    }
    arrays
}

fn replaced(name: &str, array: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    replaced_in(arrays(), name, array)
}

fn replaced_in(
    mut arrays: Vec<(String, Vec<u8>)>,
    name: &str,
    array: Vec<u8>,
) -> Vec<(String, Vec<u8>)> {
    for (of, bytes) in &mut arrays {
        if of == name {
            *bytes = array.clone();
        }
    }
    arrays
}

fn open_with(bytes: &[u8], options: &DatasetOptions) -> Result<Dataset, String> {
    let root = tempdir().unwrap();
    let file = root.path().join("x.npz");
    fs::write(&file, bytes).unwrap();
    Dataset::open(&DataSpec::Npz { file }, options).map_err(|error| {
        assert!(error.is_bad_data());
        let root = root.path().display().to_string();
        error.to_string().replace(&root, "DIR")
    })
}

fn open(arrays: &[(String, Vec<u8>)]) -> Result<Dataset, String> {
    let bytes = archive(arrays, CompressionMethod::Deflated);
    open_with(&bytes, &DatasetOptions::default())
}

fn refusal(arrays: &[(String, Vec<u8>)]) -> String {
    open(arrays).expect_err("accepted")
}

/// The decoded images of the training split, one after the other, and its labels.
fn training(dataset: &Dataset) -> (Vec<u8>, Vec<u32>) {
    let samples = &dataset.require(SplitName::Train).unwrap().samples;
    let rgb = { samples.iter() }.flat_map(|sample| sample.pixels().unwrap().rgb().to_vec());
    (
        rgb.collect(),
        samples
            .iter()
            .map(|sample| sample.label.classes()[0])
            .collect(),
    )
}

#[test]
fn stored_and_compressed_archives_are_the_same_data() {
    let dataset = open(&arrays()).unwrap();
    assert_eq!(dataset.classes(), ["0", "1", "2"]);
    let sizes = SplitName::ALL.map(|split| dataset.require(split).unwrap().len());
    assert_eq!(sizes, [6, 3, 3]);
    assert_eq!(dataset.evaluation().unwrap().0, SplitName::Validation);
    let (rgb, labels) = training(&dataset);
    let expected: Vec<u8> = (0..36).flat_map(|value| [value; 3]).collect();
    assert_eq!(rgb, expected);
    assert_eq!(labels, [0, 1, 2, 0, 1, 2]);
    let sample = &dataset.require(SplitName::Test).unwrap().samples[2];
    assert!(sample.source.to_string().ends_with("x.npz/test_images#2"));

    let stored = archive(&arrays(), CompressionMethod::Stored);
    let stored = open_with(&stored, &DatasetOptions::default()).unwrap();
    for split in SplitName::ALL {
        let fingerprint = |dataset: &Dataset| dataset.require(split).unwrap().fingerprint();
        assert_eq!(fingerprint(&stored), fingerprint(&dataset));
    }
    let mut changed: Vec<u8> = (0..36).collect();
    changed[20] += 1;
    let changed = open(&replaced("train_images", npy(&[6, 2, 3], &changed))).unwrap();
    let fingerprint = |dataset: &Dataset| dataset.require(SplitName::Train).unwrap().fingerprint();
    assert_ne!(fingerprint(&changed), fingerprint(&dataset));
}

#[test]
fn every_form_of_images_is_read() {
    let (grey, _) = training(&open(&arrays()).unwrap());
    let values: Vec<u8> = (0..36).collect();
    let column = open(&replaced("train_images", npy(&[6, 2, 3, 1], &values))).unwrap();
    assert_eq!(training(&column).0, grey);

    let rgb: Vec<u8> = (0..108).collect();
    let colour = open(&replaced("train_images", npy(&[6, 2, 3, 3], &rgb))).unwrap();
    assert_eq!(training(&colour).0, rgb);

    // To the nearest: 257 n ± 128 become n, and 65,407 is the first to become 255.
    let mut wide: Vec<u16> = (0..17)
        .flat_map(|n| [4_000 * n + 77, 257 * n + 128])
        .collect();
    wide.extend([65_406, 65_407]);
    let expected: Vec<u8> = { wide.iter() }
        .flat_map(|&value| [(f64::from(value) / 257.0).round() as u8; 3])
        .collect();
    assert_eq!(expected[102..], [254, 254, 254, 255, 255, 255]);
    for order in ['<', '>'] {
        let header =
            format!("{{'descr': '{order}u2', 'fortran_order': False, 'shape': (6, 2, 3), }}\n");
        let bytes = wide.iter().flat_map(|value| match order {
            '<' => value.to_le_bytes(),
            _ => value.to_be_bytes(),
        });
        let array = with_header(&header, &bytes.collect::<Vec<_>>());
        let (found, _) = training(&open(&replaced("train_images", array)).unwrap());
        assert_eq!(found, expected, "{order}");
    }
}

#[test]
fn labels_may_be_any_integers() {
    let labels = [2_i32, 1, 0, 0, 1, 2];
    for array in [
        npy(&[6], &labels.map(|label| label as u8)),
        npy(&[6, 1], &labels.map(|label| label as i8)),
        npy(&[6], &labels.map(|label| label as u16)),
        npy(&[6], &labels),
        npy(&[6, 1], &labels.map(i64::from)),
        npy(&[6], &labels.map(|label| label as u64)),
        with_header(
            "{'descr': '>i8', 'fortran_order': True, 'shape': (6, 1), }\n",
            &labels.map(i64::from).map(i64::to_be_bytes).concat(),
        ),
    ] {
        let dataset = open(&replaced("train_labels", array)).unwrap();
        assert_eq!(training(&dataset).1, [2, 1, 0, 0, 1, 2]);
    }
}

#[test]
fn classes_have_the_names_of_a_neighbour_file() {
    let root = tempdir().unwrap();
    let file = root.path().join("x.npz");
    fs::write(&file, archive(&arrays(), CompressionMethod::Stored)).unwrap();
    let open = |names: &str| {
        fs::write(root.path().join("x.classes.txt"), names).unwrap();
        let file = file.clone();
        let opened = Dataset::open(&DataSpec::Npz { file }, &DatasetOptions::default());
        let root = root.path().display().to_string();
        opened.map_err(|error| error.to_string().replace(&root, "DIR"))
    };
    let dataset = open("normal\r\nbacterial pneumonia\r\nviral\r\n").unwrap();
    assert_eq!(
        dataset.classes(),
        ["normal", "bacterial pneumonia", "viral"]
    );
    assert_eq!(
        open("normal\nill\n").unwrap_err(),
        "DIR/x.npz/train_labels: image 2 (from 0) has label 2; expected 0 to 1 (the names in \
         DIR/x.classes.txt)"
    );
    assert_eq!(
        open("\n").unwrap_err(),
        "DIR/x.classes.txt: 0 class names; expected 3, one a line (delete the file to use the known \
         names)"
    );
}

#[test]
fn splits_may_be_missing_where_they_are_not_needed() {
    let without = |prefix: &str| -> Vec<_> {
        let arrays = arrays().into_iter();
        arrays
            .filter(|(name, _)| !name.starts_with(prefix))
            .collect()
    };
    assert_eq!(
        refusal(&without("val")),
        "DIR/x.npz: there is no validation split; add arrays val_images and val_labels, or have a \
         part of the training images put aside with a validation fraction (--val-fraction 0.1)"
    );
    assert_eq!(
        refusal(&without("train")),
        "DIR/x.npz: there is no train split; expected arrays train_images and train_labels"
    );
    let bytes = archive(&without("val"), CompressionMethod::Deflated);
    let held_out = DatasetOptions {
        hold_out: Some(HoldOut::Fraction(Fraction::new(0.5).unwrap())),
        ..DatasetOptions::default()
    };
    let dataset = open_with(&bytes, &held_out).unwrap();
    assert_eq!(dataset.evaluation().unwrap().1.class_counts(3), [1; 3]);
    let evaluation = DatasetOptions {
        purpose: Purpose::Evaluation,
        ..DatasetOptions::default()
    };
    let arrays: Vec<_> = { arrays().into_iter() }
        .filter(|(name, _)| name.starts_with("test"))
        .collect();
    let bytes = archive(&arrays, CompressionMethod::Deflated);
    let dataset = open_with(&bytes, &evaluation).unwrap();
    assert_eq!(dataset.evaluation().unwrap().0, SplitName::Test);
}

#[test]
fn every_mistake_is_named_with_its_array() {
    let other: Vec<_> = vec![
        ("images".to_owned(), npy(&[1], &[1_u8])),
        ("y".to_owned(), vec![]),
    ];
    assert_eq!(
        refusal(&other),
        "DIR/x.npz: holds no images; expected arrays train_images and train_labels, and the same with \
         val and test, found images, y"
    );
    let halved: Vec<_> = { arrays().into_iter() }
        .filter(|(name, _)| name != "val_labels")
        .collect();
    assert_eq!(
        refusal(&halved),
        "DIR/x.npz: there is val_images but no val_labels; expected both"
    );
    let images = |shape: &[u64]| npy(shape, &vec![0_u8; shape.iter().product::<u64>() as usize]);
    let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (6, 2, 3), }\n";
    let huge = "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 60000, 60000), }\n";
    for (array, expected) in [
        (
            npy(&[6, 2, 3], &[0.5_f32; 36]),
            "has the type <f4; expected uint8, or uint16: scale the images and save them with \
             astype(\"uint8\")",
        ),
        (
            npy(&[6, 2, 3], &[5_i16; 36]),
            "has the type <i2; expected uint8, or uint16: scale the images and save them with \
             astype(\"uint8\")",
        ),
        (
            images(&[6, 6]),
            "has the shape [6, 6]; expected [N, H, W], [N, H, W, 1] or [N, H, W, 3]",
        ),
        (
            images(&[6, 2, 3, 4]),
            "has the shape [6, 2, 3, 4]; expected [N, H, W], [N, H, W, 1] or [N, H, W, 3]",
        ),
        (
            with_header(fortran, &[0; 36]),
            "is stored in Fortran order; save it with numpy.ascontiguousarray",
        ),
        (
            images(&[0, 2, 3]),
            "is empty; expected at least one image, or remove images and labels of the split",
        ),
        (
            images(&[7, 2, 3]),
            "has 7 images, and there are 6 labels; expected as many of both",
        ),
        (
            images(&[6, 0, 3]),
            "has the shape [6, 0, 3]; expected sides of 1 to 65535 pixels and at most 8 GiB of 8-bit \
             images in the whole file",
        ),
        (
            with_header(huge, &[]),
            "has the shape [6, 60000, 60000]; expected sides of 1 to 65535 pixels and at most 8 GiB \
             of 8-bit images in the whole file",
        ),
        (
            images(&[6, 2, 3])[..150].to_vec(),
            "has 150 bytes as the archive says, but 164 by its type and shape: the file is damaged, or \
             made to fill memory",
        ),
        (
            [images(&[6, 2, 3]), vec![0]].concat(),
            "has 165 bytes as the archive says, but 164 by its type and shape: the file is damaged, or \
             made to fill memory",
        ),
        (
            b"no array at all".to_vec(),
            "the header of the array cannot be read: it does not begin as an npy file; save it again \
             with numpy.savez",
        ),
        (
            with_header(&"(".repeat(9_000), &[]),
            "the header of the array cannot be read: it does not describe an array of plain numbers; \
             save it again with numpy.savez",
        ),
        (
            with_header(&" ".repeat(10_001), &[]),
            "the header of the array cannot be read: it is longer than NumPy itself would read; save \
             it again with numpy.savez",
        ),
        (
            with_header("{'descr': '|u1'", &[])[..12].to_vec(),
            "the header of the array cannot be read: it is cut off; save it again with numpy.savez",
        ),
    ] {
        let message = refusal(&replaced("train_images", array));
        assert_eq!(message, format!("DIR/x.npz/train_images: {expected}"));
    }
    for (array, expected) in [
        (
            npy(&[6], &[0.0_f64; 6]),
            "has the type <f8; expected integers: save it with astype(\"int64\")",
        ),
        (
            npy(&[6, 1, 2], &[0_u8; 12]),
            "has the shape [6, 1, 2]; expected [N] or [N, 1], the number of one class for each image, or \
             [N, L], where a 1 says which of L classes an image shows",
        ),
        (
            npy(&[6, 0], &[0_u8; 0]),
            "has the shape [6, 0]; expected [N] or [N, 1], the number of one class for each image, or \
             [N, L], where a 1 says which of L classes an image shows",
        ),
        (
            npy(&[6], &[0_i64, 1, -1, 0, 0, 0]),
            "image 2 (from 0) has label -1; expected 0 to 1 (the labels of the training images)",
        ),
        (
            npy(&[6], &[0_i64, 1, 1 << 40, 0, 0, 0]),
            "image 2 (from 0) has label 1099511627776; expected 0 to 65535 (more classes are not \
             supported)",
        ),
    ] {
        let message = refusal(&replaced("train_labels", array));
        assert_eq!(message, format!("DIR/x.npz/train_labels: {expected}"));
    }
    assert_eq!(
        refusal(&replaced("test_labels", npy(&[3], &[0_i8, 3, 1]))),
        "DIR/x.npz/test_labels: image 1 (from 0) has label 3; expected 0 to 2 (the labels of the \
         training images)"
    );
    assert_eq!(
        refusal(&replaced("train_labels", npy(&[6], &[1_u8; 6]))),
        "DIR/x.npz: found 1 class among the training images; expected at least 2"
    );
    let many = format!(
        "{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}\n",
        MAX_IMAGES + 1
    );
    assert_eq!(
        refusal(&replaced("train_labels", with_header(&many, &[]))),
        "DIR/x.npz/train_labels: has 16777217 labels; expected at most 16777216"
    );
}

#[test]
fn other_files_are_refused() {
    let none = DataSpec::Npz {
        file: "none/x.npz".into(),
    };
    let message = Dataset::open(&none, &DatasetOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("none/x.npz: cannot be read: "),
        "{message}"
    );
    let message = open_with(b"no archive", &DatasetOptions::default()).unwrap_err();
    assert!(
        message.starts_with("DIR/x.npz: cannot be unpacked: "),
        "{message}"
    );
}

/// Where the record of an entry in the central directory begins (APPNOTE.TXT 4.3.12): its sizes are
/// 20 and 24 bytes further, its name 46.
fn directory_record(bytes: &[u8], name: &str) -> usize {
    let name = format!("{name}.npy");
    let places = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, four)| four == b"PK\x01\x02");
    places
        .map(|(place, _)| place)
        .find(|place| bytes[place + 46..].starts_with(name.as_bytes()))
        .unwrap()
}

#[test]
fn large_images_out_of_a_small_file_are_refused_unless_they_are_stored_as_they_are() {
    // Six images of 70 MB in all, as header, directory and content agree.
    let zeros = npy(&[6, 3400, 3400], &vec![0_u8; 6 * 3400 * 3400]);
    let arrays = replaced("train_images", zeros);
    let packed = archive(&arrays, CompressionMethod::Deflated);
    let message = open_with(&packed, &DatasetOptions::default()).unwrap_err();
    let expected = "DIR/x.npz/train_images: would unpack to 69360000 bytes from ";
    assert!(message.starts_with(expected), "{message}");
    assert!(
        message.ends_with("save it uncompressed (numpy.savez)"),
        "{message}"
    );
    let plain = archive(&arrays, CompressionMethod::Stored);
    open_with(&plain, &DatasetOptions::default()).unwrap();
}

#[test]
fn what_claims_or_holds_more_than_its_shape_is_refused() {
    // 600 MB by header and directory alike, in a hundred bytes.
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 10000, 10000), }\n";
    let array = with_header(header, &[]);
    let claimed = array.len() as u32 + 600_000_000;
    let mut bytes = archive(
        &replaced("train_images", array),
        CompressionMethod::Deflated,
    );
    let record = directory_record(&bytes, "train_images");
    bytes[record + 24..record + 28].copy_from_slice(&claimed.to_le_bytes());
    let message = open_with(&bytes, &DatasetOptions::default()).unwrap_err();
    let expected = format!(
        "DIR/x.npz/train_images: should have {claimed} bytes, but what the file holds of it cannot \
         unpack to more than "
    );
    assert!(message.starts_with(&expected), "{message}");

    // The directory agrees with the shape, but more comes out.
    let mut array = npy(&[6, 2, 3], &[7_u8; 36]);
    let honest = array.len() as u32;
    array.extend(vec![0; 4 << 20]);
    let mut bytes = archive(
        &replaced("train_images", array),
        CompressionMethod::Deflated,
    );
    let record = directory_record(&bytes, "train_images");
    bytes[record + 24..record + 28].copy_from_slice(&honest.to_le_bytes());
    let message = open_with(&bytes, &DatasetOptions::default()).unwrap_err();
    assert!(
        message.starts_with("DIR/x.npz/train_images: cannot be unpacked: File is larger"),
        "{message}"
    );
}

#[test]
fn a_flipped_bit_is_noticed() {
    let mut bytes = archive(&arrays(), CompressionMethod::Stored);
    let values: Vec<u8> = (0..36).collect();
    let place = bytes
        .windows(36)
        .position(|window| window == values)
        .unwrap();
    bytes[place + 9] ^= 4;
    let message = open_with(&bytes, &DatasetOptions::default()).unwrap_err();
    assert!(
        message.starts_with("DIR/x.npz/train_images: cannot be unpacked: "),
        "{message}"
    );
}

proptest! {
    #[test]
    fn arbitrary_arrays_never_panic(
        text in "[\\{\\}\\(\\)\\[\\]'\", :a-z0-9<>|u-]{0,80}",
        values in proptest::collection::vec(any::<u8>(), 0..50),
        is_plausible: bool,
    ) {
        let header = match is_plausible {
            true => format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({text}), }}"),
            false => text,
        };
        let array = with_header(&header, &values);
        for name in ["train_images", "train_labels"] {
            let bytes = archive(&replaced(name, array.clone()), CompressionMethod::Stored);
            read_all(&bytes);
        }
    }

    #[test]
    fn damaged_archives_never_panic(
        position in 0_usize..4_000,
        byte: u8,
        cut in 0_usize..8_000,
        is_compressed: bool,
    ) {
        let method = match is_compressed {
            true => CompressionMethod::Deflated,
            false => CompressionMethod::Stored,
        };
        let mut bytes = archive(&arrays(), method);
        let position = position % bytes.len();
        bytes[position] = byte;
        bytes.truncate(cut);
        read_all(&bytes);
    }
}

fn read_all(bytes: &[u8]) {
    let (mut splits, mut problems) = (Vec::new(), Vec::new());
    match Archive::new(Path::new("x.npz"), Cursor::new(bytes)) {
        Ok(mut archive) => archive.read_splits(&mut splits, &mut problems),
        Err(problem) => problems.push(problem),
    }
    for split in &splits {
        let count = split.labels.count();
        assert!(split.images.pixels(count - 1).is_some() && split.images.pixels(count).is_none());
    }
    assert!(!splits.is_empty() || !problems.is_empty());
}
