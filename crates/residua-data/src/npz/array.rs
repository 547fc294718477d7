//! One array of an archive: its header, which `npyz` interprets, and its values.

use std::io::{self, Read};

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use super::Entry;
use super::indicators::Indicators;
use super::problem::ArrayProblem;
use crate::bounded::{MAX_IMAGES, MAX_INDICATORS, MAX_SIDE, Misfit, reserve, visit_exactly};
use crate::decode::MAX_PIXELS;
use crate::numbered::{MAX_CLASSES, NumberedLabels};
use crate::record_file::Colour;

/// Longer headers are refused, as NumPy does (`numpy.lib.format`, `_MAX_HEADER_SIZE`).
const MAX_HEADER_BYTES: usize = 10_000;

/// A header of numbers has a brace and a parenthesis. The parser tries each bracket in more than one
/// way, so that many of them, one in the other, would take it for ever.
const MAX_BRACKETS: usize = 4;

/// The largest 16-bit number divided by the largest of 8 bits.
const SIXTEEN_TO_EIGHT: u32 = 257;

/// Why an array could not be read.
#[derive(Debug)]
pub(super) enum Failure {
    Problem(ArrayProblem),
    Io(io::Error),
}

impl From<ArrayProblem> for Failure {
    fn from(problem: ArrayProblem) -> Self {
        Self::Problem(problem)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The images of a split.
pub(super) struct Images {
    /// Height and width.
    pub(super) size: [usize; 2],
    pub(super) colour: Colour,
    /// `[N, H, W, channels]`.
    pub(super) bytes: Vec<u8>,
}

/// The labels of a split.
pub(super) struct Labels {
    /// The shape of the array.
    pub(super) shape: Vec<u64>,
    pub(super) labels: NumberedLabels,
}

/// A type of integers.
#[derive(Clone, Copy)]
struct Integers {
    bytes: usize,
    is_signed: bool,
    is_big_endian: bool,
}

impl Integers {
    /// The number in as many bytes as the type has.
    fn decode(self, bytes: &[u8]) -> i128 {
        let digits: &mut dyn Iterator<Item = &u8> = match self.is_big_endian {
            true => &mut bytes.iter(),
            false => &mut bytes.iter().rev(),
        };
        let number = digits.fold(0, |number: i128, &byte| number << 8 | i128::from(byte));
        let bits = 8 * self.bytes;
        match self.is_signed && number >> (bits - 1) == 1 {
            true => number - (1 << bits),
            false => number,
        }
    }
}

/// A header, and how long it is.
struct Header {
    array: NpyHeader,
    bytes: u64,
}

/// Reads images, as many as there are labels, with at most `left` bytes.
pub(super) fn images(mut entry: Entry<'_>, labels: u64, left: u64) -> Result<Images, Failure> {
    let header = read_header(&mut entry)?;
    let array = &header.array;
    let kind = match integers(&array.dtype()) {
        Some(kind) if !kind.is_signed && kind.bytes <= 2 => kind,
        _ => {
            return Err(Failure::Problem(ArrayProblem::ImageType {
                found: type_name(&array.dtype()),
            }));
        }
    };
    let (count, size, colour) = match *array.shape() {
        [count, height, width] | [count, height, width, 1] => {
            (count, [height, width], Colour::Grey)
        }
        [count, height, width, 3] => (count, [height, width], Colour::Rgb),
        _ => {
            return Err(Failure::Problem(ArrayProblem::ImageShape {
                found: array.shape().to_vec(),
            }));
        }
    };
    if array.order() == Order::Fortran {
        return Err(ArrayProblem::FortranOrder.into());
    }
    if count == 0 {
        return Err(ArrayProblem::Empty.into());
    }
    if count != labels {
        return Err(Failure::Problem(ArrayProblem::Counts {
            images: count,
            labels,
        }));
    }
    let values = product(&[count, size[0], size[1], colour.channels() as u64]);
    let has_sound_sides = size.iter().all(|side| (1..=MAX_SIDE).contains(side))
        && size[0].saturating_mul(size[1]) <= MAX_PIXELS;
    let Some(values) = values.filter(|&values| has_sound_sides && values <= left) else {
        return Err(Failure::Problem(ArrayProblem::TooLarge {
            found: array.shape().to_vec(),
        }));
    };
    let mut bytes = Vec::new();
    let stored = check_size(&entry, &header, values, kind)?;
    if let Some(held) = entry.stored.suspicious_for_images(stored) {
        let expected = stored;
        return Err(ArrayProblem::Suspicious { expected, held }.into());
    }
    reserve(&mut bytes, values).map_err(|misfit| failure(misfit, stored))?;
    let visited = visit_exactly(entry.reader, stored, |part| match kind.bytes {
        1 => bytes.extend_from_slice(part),
        _ => bytes.extend(
            part.chunks_exact(2)
                .map(|pair| to_eight_bits(kind.decode(pair))),
        ),
    });
    visited.map_err(|misfit| failure(misfit, stored))?;
    Ok(Images {
        size: size.map(|side| side as usize),
        colour,
        bytes,
    })
}

/// Reads labels: with one column the numbers of classes as they are stored, with more of them the
/// classes that images show.
pub(super) fn labels(mut entry: Entry<'_>) -> Result<Labels, Failure> {
    let header = read_header(&mut entry)?;
    let array = &header.array;
    let Some(kind) = integers(&array.dtype()) else {
        return Err(Failure::Problem(ArrayProblem::LabelType {
            found: type_name(&array.dtype()),
        }));
    };
    let shape = array.shape().to_vec();
    let [count, columns] = rows_and_columns(&shape)?;
    // With one column, both orders are the same.
    if columns > 1 && array.order() == Order::Fortran {
        return Err(ArrayProblem::FortranOrder.into());
    }
    match count {
        0 => return Err(ArrayProblem::Empty.into()),
        1..=MAX_IMAGES => {}
        found => return Err(ArrayProblem::TooMany { found }.into()),
    }
    let values = product(&[count, columns]);
    let has_sound_width = columns <= MAX_CLASSES as u64;
    let Some(values) = values.filter(|&values| has_sound_width && values <= MAX_INDICATORS) else {
        return Err(ArrayProblem::TooWide { found: shape }.into());
    };
    let stored = check_size(&entry, &header, values, kind)?;
    let visit = |take: &mut dyn FnMut(i128)| {
        let visited = visit_exactly(entry.reader, stored, |part| {
            let values = part.chunks_exact(kind.bytes);
            values.for_each(|bytes| take(kind.decode(bytes)));
        });
        visited.map_err(|misfit| failure(misfit, stored))
    };
    let labels = match columns {
        1 => {
            let mut numbers = Vec::new();
            visit(&mut |value| numbers.push(value))?;
            NumberedLabels::One(numbers)
        }
        _ => {
            let mut indicators = Indicators::new(columns as usize);
            visit(&mut |value| indicators.push(value))?;
            indicators.labels()?
        }
    };
    Ok(Labels { shape, labels })
}

/// How many columns an array of labels has, by its header.
pub(super) fn label_columns(mut entry: Entry<'_>) -> Result<u64, Failure> {
    let header = read_header(&mut entry)?;
    let [_, columns] = rows_and_columns(header.array.shape())?;
    Ok(columns)
}

/// Images and labels of each, by the shape of an array of labels.
fn rows_and_columns(shape: &[u64]) -> Result<[u64; 2], ArrayProblem> {
    match *shape {
        [rows] => Ok([rows, 1]),
        [rows, columns] if columns > 0 => Ok([rows, columns]),
        _ => Err(ArrayProblem::LabelShape {
            found: shape.to_vec(),
        }),
    }
}

fn to_eight_bits(value: i128) -> u8 {
    ((value as u32 + SIXTEEN_TO_EIGHT / 2) / SIXTEEN_TO_EIGHT) as u8
}

/// The bytes of so many values, if the entry claims just these and can have them.
fn check_size(
    entry: &Entry<'_>,
    header: &Header,
    values: u64,
    kind: Integers,
) -> Result<u64, Failure> {
    // Far below 2^64: the number of values is bounded, and types have 8 bytes at most.
    let stored = values * kind.bytes as u64;
    let expected = header.bytes + stored;
    if entry.size != expected {
        return Err(Failure::Problem(ArrayProblem::Size {
            claimed: entry.size,
            expected,
        }));
    }
    let most = entry.stored.most();
    if most < expected {
        return Err(ArrayProblem::Bomb { expected, most }.into());
    }
    Ok(stored)
}

fn failure(misfit: Misfit, stored: u64) -> Failure {
    match misfit {
        Misfit::Short | Misfit::Long => Failure::Problem(ArrayProblem::Length { expected: stored }),
        Misfit::Io(error) => Failure::Io(error),
    }
}

/// Magic, version and length, then a dictionary in Python's notation (`numpy.lib.format`).
fn read_header(entry: &mut Entry<'_>) -> Result<Header, Failure> {
    const MAGIC: &[u8] = b"\x93NUMPY";
    let malformed = |reason: &str| Failure::Problem(ArrayProblem::Header(reason.to_owned()));
    let mut bytes = Vec::new();
    read_more(entry, &mut bytes, MAGIC.len() + 2)?;
    if !bytes.starts_with(MAGIC) {
        return Err(malformed("it does not begin as an npy file"));
    }
    let is_first_version = bytes[MAGIC.len()] == 1;
    let start = bytes.len();
    read_more(entry, &mut bytes, if is_first_version { 2 } else { 4 })?;
    let length = bytes[start..].iter().rev();
    let length = length.fold(0, |length: usize, &byte| length << 8 | usize::from(byte));
    if length > MAX_HEADER_BYTES {
        return Err(malformed("it is longer than NumPy itself would read"));
    }
    let text = bytes.len();
    read_more(entry, &mut bytes, length)?;
    let brackets = bytes[text..]
        .iter()
        .filter(|byte| b"([{".contains(byte))
        .count();
    if brackets > MAX_BRACKETS {
        return Err(malformed("it does not describe an array of plain numbers"));
    }
    let array =
        NpyHeader::from_reader(&bytes[..]).map_err(|error| malformed(&error.to_string()))?;
    Ok(Header {
        array,
        bytes: bytes.len() as u64,
    })
}

fn read_more(entry: &mut Entry<'_>, bytes: &mut Vec<u8>, count: usize) -> Result<(), Failure> {
    let read = (&mut entry.reader).take(count as u64).read_to_end(bytes)?;
    if read < count {
        return Err(Failure::Problem(ArrayProblem::Header(
            "it is cut off".to_owned(),
        )));
    }
    Ok(())
}

fn product(factors: &[u64]) -> Option<u64> {
    factors
        .iter()
        .try_fold(1_u64, |product, &factor| product.checked_mul(factor))
}

/// The type, if it is one of integers of 1, 2, 4 or 8 bytes.
fn integers(dtype: &DType) -> Option<Integers> {
    let DType::Plain(kind) = dtype else {
        return None;
    };
    let is_signed = match kind.type_char() {
        TypeChar::Uint => false,
        TypeChar::Int => true,
        _ => return None,
    };
    let bytes = kind
        .num_bytes()
        .filter(|bytes| [1, 2, 4, 8].contains(bytes))?;
    Some(Integers {
        bytes,
        is_signed,
        is_big_endian: kind.endianness() == Endianness::Big,
    })
}

/// The type as NumPy writes it.
fn type_name(dtype: &DType) -> String {
    match dtype {
        DType::Plain(kind) => kind.to_string(),
        other => other.descr(),
    }
}
