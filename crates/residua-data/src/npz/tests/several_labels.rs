//! Labels with a column for each class.

use residua_core::task::Task;

use super::*;
use crate::label::{Label, Labels};

/// The labels of each split, of three classes.
type Rows<'a> = [(&'a str, &'a [[u8; 3]])];

const LABELS: [(&str, &[[u8; 3]]); 3] = [
    ("train", &[[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]),
    ("val", &[[0, 0, 0], [1, 0, 0]]),
    ("test", &[[0, 1, 1]]),
];

/// Grey images of 2 × 3 pixels with these labels.
fn arrays_with(labels: &Rows<'_>) -> Vec<(String, Vec<u8>)> {
    let arrays = labels.iter().flat_map(|(split, rows)| {
        let count = rows.len() as u64;
        let values: Vec<u8> = (0..count as u8 * 6).collect();
        let labels = npy(&[count, 3], rows.as_flattened());
        [
            (format!("{split}_images"), npy(&[count, 2, 3], &values)),
            (format!("{split}_labels"), labels),
        ]
    });
    arrays.collect()
}

/// What is wrong with these labels of the training images.
fn refusal_of_training_labels(array: Vec<u8>) -> String {
    let message = refusal(&replaced_in(arrays_with(&LABELS), "train_labels", array));
    let place = "DIR/x.npz/train_labels: ";
    message.strip_prefix(place).unwrap_or(&message).to_owned()
}

fn labels(dataset: &Dataset, split: SplitName) -> Vec<String> {
    let samples = dataset.require(split).unwrap().samples.iter();
    samples
        .map(|sample| sample.label.named(dataset.classes()))
        .collect()
}

#[test]
fn ones_are_the_classes_of_an_image() {
    let rows = LABELS[0].1.as_flattened();
    let big_endian = "{'descr': '>i2', 'fortran_order': False, 'shape': (4, 3), }\n";
    let pairs = rows
        .iter()
        .flat_map(|&value| i16::from(value).to_be_bytes());
    for array in [
        npy(&[4, 3], rows),
        npy(
            &[4, 3],
            &{ rows.iter() }
                .map(|&value| value as i8)
                .collect::<Vec<_>>(),
        ),
        npy(
            &[4, 3],
            &{ rows.iter() }
                .map(|&value| i64::from(value))
                .collect::<Vec<_>>(),
        ),
        npy(
            &[4, 3],
            &{ rows.iter() }
                .map(|&value| u64::from(value))
                .collect::<Vec<_>>(),
        ),
        with_header(big_endian, &pairs.clone().collect::<Vec<_>>()),
    ] {
        let dataset = open(&replaced_in(arrays_with(&LABELS), "train_labels", array)).unwrap();
        assert_eq!(dataset.task(), Task::MultiLabel);
        assert_eq!(dataset.classes(), ["0", "1", "2"]);
        assert_eq!(
            labels(&dataset, SplitName::Train),
            ["0|2", "No Finding", "1", "0|1|2"]
        );
        assert_eq!(labels(&dataset, SplitName::Validation), ["No Finding", "0"]);
        assert_eq!(labels(&dataset, SplitName::Test), ["1|2"]);
        let train = dataset.require(SplitName::Train).unwrap();
        assert_eq!(train.class_counts(3), [2, 2, 2]);
        // One class of an image is still any number of them.
        assert!(
            train
                .samples
                .iter()
                .all(|sample| sample.label.class().is_none())
        );
    }
}

#[test]
fn rows_may_be_longer_than_what_is_read_at_once() {
    let (images, columns) = (2_000_usize, 97_usize);
    let is_shown = |image: usize, column: usize| (image * 31 + column * 7) % 11 < 3;
    let values: Vec<u8> = (0..images * columns)
        .map(|place| is_shown(place / columns, place % columns).into())
        .collect();
    let mut arrays = Vec::new();
    for split in ["train", "val"] {
        let shape = [images as u64, 1, 1];
        arrays.push((format!("{split}_images"), npy(&shape, &vec![0_u8; images])));
        let shape = [images as u64, columns as u64];
        arrays.push((format!("{split}_labels"), npy(&shape, &values)));
    }
    let dataset = open(&arrays).unwrap();
    let samples = &dataset.require(SplitName::Train).unwrap().samples;
    assert_eq!(samples.len(), images);
    for (image, sample) in samples.iter().enumerate() {
        let expected = (0..columns).filter(|&column| is_shown(image, column));
        let expected = expected.map(|column| column as u32).collect();
        assert_eq!(sample.label, Label::Classes(expected), "{image}");
    }
}

#[test]
fn the_shape_of_the_first_labels_tells_the_task() {
    let root = tempdir().unwrap();
    let file = root.path().join("x.npz");
    let task = |arrays: &[(String, Vec<u8>)]| {
        fs::write(&file, archive(arrays, CompressionMethod::Deflated)).unwrap();
        DataSpec::Npz { file: file.clone() }.task()
    };
    assert_eq!(task(&arrays_with(&LABELS)), Task::MultiLabel);
    assert_eq!(task(&arrays_with(&LABELS[2..])), Task::MultiLabel);
    assert_eq!(task(&arrays()), Task::SingleLabel);
    assert_eq!(
        task(&replaced("train_labels", npy(&[6], &[0_u8; 6]))),
        Task::SingleLabel
    );
    assert_eq!(task(&[]), Task::SingleLabel);
    let damaged = replaced_in(arrays_with(&LABELS), "train_labels", b"none".to_vec());
    assert_eq!(task(&damaged), Task::MultiLabel);
    fs::write(&file, "no archive").unwrap();
    assert_eq!(DataSpec::Npz { file }.task(), Task::SingleLabel);
    let file = root.path().join("gone.npz");
    assert_eq!(DataSpec::Npz { file }.task(), Task::SingleLabel);
}

#[test]
fn every_column_has_a_name() {
    let root = tempdir().unwrap();
    let file = root.path().join("x.npz");
    let bytes = archive(&arrays_with(&LABELS), CompressionMethod::Stored);
    fs::write(&file, bytes).unwrap();
    let open = |names: &str| {
        fs::write(root.path().join("x.classes.txt"), names).unwrap();
        let file = file.clone();
        let opened = Dataset::open(&DataSpec::Npz { file }, &DatasetOptions::default());
        let root = root.path().display().to_string();
        opened.map_err(|error| {
            assert!(error.is_bad_data());
            error.to_string().replace(&root, "DIR")
        })
    };
    let dataset = open("Mass\nEffusion\nPleural thickening\n").unwrap();
    assert_eq!(
        dataset.classes(),
        ["Mass", "Effusion", "Pleural thickening"]
    );
    assert_eq!(
        labels(&dataset, SplitName::Train),
        [
            "Mass|Pleural thickening",
            "No Finding",
            "Effusion",
            "Mass|Effusion|Pleural thickening"
        ]
    );
    for (names, found) in [("", 0), ("Mass\nEffusion\n", 2), ("a\nb\nc\nd\n", 4)] {
        assert_eq!(
            open(names).unwrap_err(),
            format!(
                "DIR/x.classes.txt: {found} class names; expected 3, one a line (delete the file to use \
                 the known names)"
            )
        );
    }
    for name in ["no finding", "Mass|Nodule"] {
        assert_eq!(
            open(&format!("Effusion\n{name}\nMass\n")).unwrap_err(),
            format!(
                "DIR/x.classes.txt: class \"{name}\" would be misread in the list of the classes of an \
                 image, where | stands between classes and No Finding for none of them; rename it"
            )
        );
    }
}

#[test]
fn every_mistake_in_columns_is_named() {
    let empty = |order: &str, shape: &str| {
        let header =
            format!("{{'descr': '|u1', 'fortran_order': {order}, 'shape': ({shape}), }}\n");
        with_header(&header, &[])
    };
    let expected_values = "(both from 0); expected 1 where an image shows the class of the column, and 0 \
                           where it does not";
    let bounds = "expected at most 65536 columns, one for each class, and 268435456 values";
    for (array, expected) in [
        (
            npy(&[4, 3], &[0_u8, 1, 0, 1, 1, 1, 0, 0, 2, 7, 0, 0]),
            format!("image 2 has 2 in column 2 {expected_values}"),
        ),
        (
            npy(&[4, 3], &[0_i64, 1, 0, 1, -1, 1, 0, 0, 1, 1, 0, 0]),
            format!("image 1 has -1 in column 1 {expected_values}"),
        ),
        (
            npy(&[4, 3], &[1.0_f32; 12]),
            "has the type <f4; expected integers: save it with astype(\"int64\")".to_owned(),
        ),
        (
            empty("True", "4, 3"),
            "is stored in Fortran order; save it with numpy.ascontiguousarray".to_owned(),
        ),
        (
            empty("False", "0, 3"),
            "is empty; expected at least one image, or remove images and labels of the split"
                .to_owned(),
        ),
        (
            empty("False", "4, 65537"),
            format!("has the shape [4, 65537]; {bounds}"),
        ),
        (
            empty("False", "16777216, 17"),
            format!("has the shape [16777216, 17]; {bounds}"),
        ),
        (
            empty("False", "16777217, 3"),
            "has 16777217 labels; expected at most 16777216".to_owned(),
        ),
        (
            npy(&[5, 3], &[1_u8; 15]),
            "DIR/x.npz/train_images: has 4 images, and there are 5 labels; expected as many of both"
                .to_owned(),
        ),
    ] {
        assert_eq!(refusal_of_training_labels(array), expected);
    }
}

#[test]
fn labels_of_all_splits_have_one_form() {
    for (array, shape) in [
        (npy(&[2], &[0_u8, 1]), "[2]"),
        (npy(&[2, 1], &[0_u8, 1]), "[2, 1]"),
        (npy(&[2, 2], &[0_u8, 1, 1, 1]), "[2, 2]"),
    ] {
        assert_eq!(
            refusal(&replaced_in(arrays_with(&LABELS), "val_labels", array)),
            format!(
                "DIR/x.npz/val_labels: has the shape {shape}, and train_labels has [4, 3]; expected as \
                 many columns in the labels of all splits"
            )
        );
    }
    assert_eq!(
        refusal(&replaced("test_labels", npy(&[3, 2], &[0_u8; 6]))),
        "DIR/x.npz/test_labels: has the shape [3, 2], and train_labels has [6, 1]; expected as many \
         columns in the labels of all splits"
    );
}

#[test]
fn what_claims_more_labels_than_it_holds_is_refused() {
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 60000), }\n";
    let array = with_header(header, &[]);
    let (length, expected) = (array.len(), array.len() as u32 + 240_000);
    assert_eq!(
        refusal_of_training_labels(array.clone()),
        format!(
            "has {length} bytes as the archive says, but {expected} by its type and shape: the file is \
             damaged, or made to fill memory"
        )
    );
    // The directory agrees with the shape.
    let arrays = replaced_in(arrays_with(&LABELS), "train_labels", array);
    let mut bytes = archive(&arrays, CompressionMethod::Deflated);
    let record = directory_record(&bytes, "train_labels");
    bytes[record + 24..record + 28].copy_from_slice(&expected.to_le_bytes());
    let message = open_with(&bytes, &DatasetOptions::default()).unwrap_err();
    let expected = format!(
        "DIR/x.npz/train_labels: should have {expected} bytes, but what the file holds of it cannot \
         unpack to more than "
    );
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn training_images_show_every_class_that_others_show() {
    assert_eq!(
        refusal(&arrays_with(&[("train", &[[0; 3]; 2]), LABELS[1]])),
        "DIR/x.npz: none of the training images shows any class; expected a 1 in the array train_labels \
         for each class that an image shows"
    );
    let lacking = [("train", &[[1, 1, 0], [0; 3]][..]), LABELS[1], LABELS[2]];
    assert_eq!(
        refusal(&arrays_with(&lacking)),
        "DIR/x.npz/test_labels: class \"2\" is not among the training classes (0, 1); add training images \
         of it or remove its column from the labels of all splits"
    );
    // A class that no image shows harms nobody, and one class can be asked about alone.
    let one = [("train", &[[0, 1, 0], [0; 3]][..]), ("val", &[[0, 1, 0]])];
    let dataset = open(&arrays_with(&one)).unwrap();
    assert_eq!(dataset.classes().len(), 3);
    // Of a network that was trained elsewhere nothing is known.
    let bytes = archive(
        &arrays_with(&[("test", &[[0; 3]])]),
        CompressionMethod::Stored,
    );
    let evaluation = DatasetOptions {
        purpose: Purpose::Evaluation,
        ..DatasetOptions::default()
    };
    let dataset = open_with(&bytes, &evaluation).unwrap();
    assert_eq!(
        (dataset.task(), dataset.classes().len()),
        (Task::MultiLabel, 3)
    );
}

#[test]
fn a_part_of_the_training_images_may_be_put_aside() {
    let rows = [[1, 0, 1], [0, 0, 0], [0, 1, 0]].repeat(4);
    let bytes = archive(&arrays_with(&[("train", &rows)]), CompressionMethod::Stored);
    let held_out = DatasetOptions {
        hold_out: Some(HoldOut::Fraction(Fraction::new(0.25).unwrap())),
        ..DatasetOptions::default()
    };
    let dataset = open_with(&bytes, &held_out).unwrap();
    let mut aside = labels(&dataset, SplitName::Validation);
    aside.sort();
    assert_eq!(aside, ["0|2", "1", "No Finding"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn matrices_read_back(
        (rows, columns, shown) in (1_usize..9, 2_usize..40).prop_flat_map(|(rows, columns)| {
            let shown = proptest::collection::vec(any::<bool>(), rows * columns);
            (Just(rows), Just(columns), shown)
        }),
        is_wide: bool,
    ) {
        let shape = [rows as u64, columns as u64];
        let labels = match is_wide {
            true => npy(&shape, &shown.iter().map(|&shown| i64::from(shown)).collect::<Vec<_>>()),
            false => npy(&shape, &shown.iter().map(|&shown| u8::from(shown)).collect::<Vec<_>>()),
        };
        let arrays = [
            ("test_images".to_owned(), npy(&[rows as u64, 1, 1], &vec![0_u8; rows])),
            ("test_labels".to_owned(), labels),
        ];
        let options = DatasetOptions {
            purpose: Purpose::Evaluation,
            ..DatasetOptions::default()
        };
        let dataset = open_with(&archive(&arrays, CompressionMethod::Deflated), &options).unwrap();
        let samples = &dataset.require(SplitName::Test).unwrap().samples;
        let labels = Labels::of(samples.iter().map(|sample| &sample.label));
        prop_assert_eq!(labels.task(), Task::MultiLabel);
        prop_assert_eq!(labels.truth(columns), shown);
        prop_assert_eq!(dataset.classes().len(), columns);
    }
}
