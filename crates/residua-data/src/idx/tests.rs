use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use rand::RngExt;
use residua_core::seed::SeedStream;
use tempfile::tempdir;

use super::*;
use crate::dataset::DatasetOptions;
use crate::fraction::Fraction;
use crate::hold_out::HoldOut;
use crate::spec::DataSpec;

/// What is stored, where that does not matter.
const UNKNOWN: Stored = Stored::Plain(u64::MAX);

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn header(magic: u32, dimensions: &[u32]) -> Vec<u8> {
    let numbers = [&[magic], dimensions].concat();
    numbers.into_iter().flat_map(u32::to_be_bytes).collect()
}

/// `count` images of 3 × 2 pixels, all bytes different.
fn images(count: u32) -> Vec<u8> {
    let mut file = header(0x803, &[count, 3, 2]);
    file.extend((0..count * 6).map(|index| index as u8));
    file
}

fn labels(labels: &[u8]) -> Vec<u8> {
    let mut file = header(0x801, &[labels.len() as u32]);
    file.extend(labels);
    file
}

/// Six training and three test images of three classes.
fn files() -> [(&'static str, Vec<u8>); 4] {
    [
        ("train-images-idx3-ubyte", images(6)),
        ("train-labels-idx1-ubyte", labels(&[0, 2, 1, 0, 1, 2])),
        ("t10k-images-idx3-ubyte", images(3)),
        ("t10k-labels-idx1-ubyte", labels(&[2, 1, 0])),
    ]
}

fn write(folder: &Path) {
    for (name, bytes) in files() {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

fn open(folder: &Path) -> Result<Dataset, DataError> {
    let folder = folder.to_owned();
    Dataset::open(&DataSpec::Idx { folder }, &DatasetOptions::default())
}

fn refusal(folder: &Path) -> String {
    let message = open(folder).expect_err("accepted").to_string();
    message.replace(&folder.display().to_string(), "DIR")
}

#[test]
fn plain_compressed_and_dotted_names_are_the_same_data() {
    let plain = tempdir().unwrap();
    write(plain.path());
    let expected = open(plain.path()).unwrap();
    assert_eq!(expected.classes(), ["0", "1", "2"]);
    let (name, test) = expected.evaluation().unwrap();
    assert_eq!((name, test.len()), (SplitName::Test, 3));
    let train = expected.require(SplitName::Train).unwrap();
    assert_eq!(train.samples[4].label.class(), Some(1));
    let pixels = train.samples[4].pixels().unwrap();
    assert_eq!((pixels.height(), pixels.width()), (3, 2));
    assert_eq!(pixels.rgb()[..6], [24, 24, 24, 25, 25, 25]);
    let source = train.samples[4].source.to_string();
    assert!(source.ends_with("train-images-idx3-ubyte#4"), "{source}");

    let other = tempdir().unwrap();
    for (name, bytes) in files() {
        let (path, bytes) = match name.starts_with("train") {
            true => (format!("{name}.gz"), gz(&bytes)),
            false => (name.replace("-idx", ".idx"), bytes),
        };
        fs::write(other.path().join(path), bytes).unwrap();
    }
    fs::write(other.path().join("classes.txt"), "shirt\nshoe\n\nbag\n").unwrap();
    let dataset = open(other.path()).unwrap();
    assert_eq!(dataset.classes(), ["shirt", "shoe", "bag"]);
    for split in [SplitName::Train, SplitName::Test] {
        let fingerprint = |dataset: &Dataset| dataset.require(split).unwrap().fingerprint();
        assert_eq!(fingerprint(&dataset), fingerprint(&expected));
    }
}

#[test]
fn training_images_alone_are_enough_with_a_validation_fraction() {
    let root = tempdir().unwrap();
    write(root.path());
    fs::remove_file(root.path().join("t10k-images-idx3-ubyte")).unwrap();
    assert_eq!(
        refusal(root.path()),
        "DIR: t10k-images-idx3-ubyte is missing; expected it beside the other file of its split, \
         plain or as t10k-images-idx3-ubyte.gz"
    );
    fs::remove_file(root.path().join("t10k-labels-idx1-ubyte")).unwrap();
    assert_eq!(
        refusal(root.path()),
        "DIR: there is no test split; expected the files of the test images; or have a part of the \
         training images put aside with a validation fraction (--val-fraction 0.1)"
    );
    let options = DatasetOptions {
        hold_out: Some(HoldOut::Fraction(Fraction::new(0.5).unwrap())),
        ..DatasetOptions::default()
    };
    let folder = root.path().to_owned();
    let dataset = Dataset::open(&DataSpec::Idx { folder }, &options).unwrap();
    assert_eq!(dataset.evaluation().unwrap().1.class_counts(3), [1; 3]);
}

#[test]
fn every_damage_is_named() {
    let root = tempdir().unwrap();
    let path = root.path();
    assert!(refusal(path).starts_with(
        "DIR: none of the files of MNIST is there; expected train-images-idx3-ubyte,"
    ));
    let refused_with = |name: &str, bytes: &[u8]| {
        write(path);
        fs::write(path.join(name), bytes).unwrap();
        refusal(path)
    };
    let train_images = "train-images-idx3-ubyte";
    for (bytes, expected) in [
        (
            labels(&[0]),
            "DIR/train-images-idx3-ubyte: begins with 0x00000801; expected 0x00000803 (an IDX file \
             of unsigned bytes with 3 dimensions): are images and labels confused, or is it another \
             format?",
        ),
        (
            Vec::new(),
            "DIR/train-images-idx3-ubyte: begins with nothing; expected 0x00000803 (an IDX file of \
             unsigned bytes with 3 dimensions): are images and labels confused, or is it another \
             format?",
        ),
        (
            header(0x803, &[6, 3]),
            "DIR/train-images-idx3-ubyte: ends after 12 bytes; expected a header of 16 bytes: copy \
             or download it again",
        ),
        (
            images(6)[..51].to_vec(),
            "DIR/train-images-idx3-ubyte: is shorter than its dimensions say; expected 36 bytes \
             after the header: copy or download it again",
        ),
        (
            [images(6), vec![0]].concat(),
            "DIR/train-images-idx3-ubyte: is longer than its dimensions say; expected 36 bytes after \
             the header: the file is damaged, copy or download it again",
        ),
        (
            images(5),
            "DIR/train-images-idx3-ubyte: has 5 images, and DIR/train-labels-idx1-ubyte has 6 \
             labels; expected as many of both: are they files of one data set?",
        ),
        (
            header(0x803, &[6, 0, 2]),
            "DIR/train-images-idx3-ubyte: has the dimensions [6, 0, 2]; expected 1 to 16777216 \
             images, sides of 1 to 65535 pixels and at most 8 GiB: the file is damaged or no such \
             data",
        ),
    ] {
        assert_eq!(refused_with(train_images, &bytes), expected);
    }
    for dimensions in [
        [0, 28, 28],
        [6, 65_536, 2],
        [u32::MAX; 3],
        [200_000, 250, 250],
    ] {
        let message = refused_with(train_images, &header(0x803, &dimensions));
        assert!(message.contains("has the dimensions ["), "{message}");
    }
    fs::write(path.join(train_images), images(6)).unwrap();
    let train_labels = "train-labels-idx1-ubyte";
    assert_eq!(
        refused_with(train_labels, &labels(&[1; 6]))
            .replace(train_images, "")
            .as_str(),
        "DIR: found 1 class among the training images; expected at least 2"
    );
    write(path);
    assert_eq!(
        refused_with("t10k-labels-idx1-ubyte", &labels(&[0, 3, 1])),
        "DIR/t10k-labels-idx1-ubyte: image 1 (from 0) has label 3; expected 0 to 2 (the labels of \
         the training images)"
    );
    write(path);
    fs::write(path.join("classes.txt"), "one\ntwo\n").unwrap();
    assert_eq!(
        refusal(path),
        "DIR/train-labels-idx1-ubyte: image 1 (from 0) has label 2; expected 0 to 1 (the names in \
         DIR/classes.txt)"
    );
    fs::write(path.join("classes.txt"), "one\ntwo\none\n").unwrap();
    assert_eq!(
        refusal(path),
        "DIR/classes.txt: class \"one\" is named twice; expected every name once"
    );
}

#[test]
fn compressed_files_are_not_unpacked_beyond_their_header() {
    let parse_gz = |bytes: &[u8], stored: Stored| {
        let result = parse(MultiGzDecoder::new(bytes), Content::Images, stored, None);
        result.map(|values| values.bytes.len())
    };
    let bytes = gz(&images(6));
    assert!(matches!(
        parse_gz(&bytes, Stored::Deflated(bytes.len() as u64)),
        Ok(36)
    ));

    // Much more behind six images. The reader stops after one byte of it, and what it has buffered.
    let mut more = vec![0; 400_000];
    SeedStream::new(1).rng().fill(&mut more[..]);
    let bomb = gz(&[images(6), more].concat());
    let mut rest = &bomb[..];
    let result = parse(
        MultiGzDecoder::new(&mut rest),
        Content::Images,
        UNKNOWN,
        None,
    );
    assert!(matches!(
        result.map(|_| ()),
        Err(Failure::Problem(IdxProblem::Long { expected: 36 }))
    ));
    assert!(
        rest.len() > bomb.len() / 2,
        "{} of {}",
        rest.len(),
        bomb.len()
    );

    // A header that promises gigabytes is refused before memory is asked for.
    let liar = gz(&header(0x803, &[100_000, 200, 200]));
    let promised: Result<usize, _> = Err(Failure::Problem(IdxProblem::Short {
        expected: 4_000_000_000,
    }));
    let found = parse_gz(&liar, Stored::Deflated(liar.len() as u64));
    assert_eq!(format!("{found:?}"), format!("{promised:?}"));

    // One that keeps its promise, and is made for nothing but to fill memory.
    let zeros = gz(&[header(0x803, &[100, 1000, 1000]), vec![0; 100_000_000]].concat());
    let message = match parse_gz(&zeros, Stored::Deflated(zeros.len() as u64)) {
        Err(Failure::Problem(problem)) => problem.to_string(),
        other => panic!("{other:?}"),
    };
    let expected = format!(
        "would unpack to 100000000 bytes from {}, more than 128 times as many: ",
        zeros.len()
    );
    assert!(message.starts_with(&expected), "{message}");

    let cut = &bytes[..bytes.len() - 3];
    assert!(matches!(parse_gz(cut, UNKNOWN), Err(Failure::Io(_))));
    let trailing = [&bytes[..], b"more"].concat();
    assert!(matches!(parse_gz(&trailing, UNKNOWN), Err(Failure::Io(_))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        has_magic: bool,
        stored in 0_u64..300,
    ) {
        let stored = Stored::Plain(stored);
        for content in [Content::Images, Content::Labels] {
            if has_magic {
                bytes.splice(0..0, content.magic());
            }
            if let Ok(values) = parse(&bytes[..], content, stored, None) {
                prop_assert_eq!(values.bytes.len() as u64, values.shape.iter().product::<u64>());
            }
            let _ = parse(MultiGzDecoder::new(&bytes[..]), content, stored, None);
        }
    }

    #[test]
    fn damaged_files_never_panic(position in 0_usize..60, byte: u8, cut in 0_usize..80) {
        let file = images(6);
        let packed = gz(&file);
        for (mut bytes, is_packed) in [(file, false), (packed, true)] {
            let position = position % bytes.len();
            bytes[position] = byte;
            bytes.truncate(cut.max(1));
            let length = bytes.len() as u64;
            let bytes = &bytes[..];
            let values = match is_packed {
                true => {
                    let reader = MultiGzDecoder::new(bytes);
                    parse(reader, Content::Images, Stored::Deflated(length), None)
                }
                false => parse(bytes, Content::Images, Stored::Plain(length), None),
            };
            if let Ok(values) = values {
                prop_assert_eq!(values.bytes.len() as u64, values.shape.iter().product::<u64>());
            }
        }
    }
}
