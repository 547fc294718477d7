//! Named tensors in memory, and the formats that they come from.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use residua_core::atomic_file;

use crate::element_type::ElementType;
use crate::error::WeightsError;
use crate::{pytorch_format, safetensors_format};

/// The values of a tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Floating-point values; narrower and wider types are converted when read.
    Float(Vec<f32>),
    /// Integers, such as PyTorch's `num_batches_tracked`.
    Integer(Vec<i64>),
}

/// A tensor with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// PyTorch's `state_dict` key.
    pub name: String,
    /// Its dimensions; empty for a single number.
    pub shape: Vec<usize>,
    /// How the file stores its values.
    pub stored_as: ElementType,
    /// Its values.
    pub values: Values,
}

/// Named tensors and metadata.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorFile {
    /// Where it was read from; empty for one that was made in memory.
    pub path: PathBuf,
    /// Free text by key; Residua keeps its records here.
    pub metadata: BTreeMap<String, String>,
    /// The tensors.
    pub tensors: Vec<NamedTensor>,
}

/// The bytes of a file that formats are told by: the header of a tar archive (POSIX.1-2017, pax,
/// "ustar Interchange Format").
const TELLING: usize = 512;
/// Where a tar archive says that it is one, and where its header has the sum of its bytes.
const TAR_MARK: usize = 257;
const TAR_SUM: Range<usize> = 148..156;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Safetensors,
    PyTorch,
}

impl Format {
    /// Tells a format by the beginning of a file; otherwise what it seems to be.
    fn of(beginning: &[u8]) -> Result<Self, &'static str> {
        match beginning {
            [b'P', b'K', 3, 4, ..] => Ok(Self::PyTorch),
            [0x89, b'H', b'D', b'F', ..] => Err("an HDF5 file"),
            // The length of a header in JSON, and the header.
            [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Self::Safetensors),
            // Before the pickles, since the names in a tar archive can begin like one, and PyTorch
            // reads such a file as an archive.
            _ if is_tar(beginning) => {
                Err("a tar archive; a newer PyTorch (0.1.10 or later) can save it again")
            }
            [b'P', b'K', 5, 6, ..] => Ok(Self::PyTorch),
            [0x80, 0..=5, ..] | [b'c' | b'(' | b'L' | b'}' | b']', ..] => Ok(Self::PyTorch),
            [] => Err("an empty file"),
            [b'<', ..] => Err("a web page"),
            _ if beginning.starts_with(b"version https://git-lfs") => {
                Err("a pointer of Git LFS to a file that was not fetched")
            }
            _ => Err("an unknown format"),
        }
    }
}

/// Whether a file begins with the header of a tar archive. Old ones have no mark, only the sum of the
/// header's bytes, in which those of the sum itself count as spaces.
fn is_tar(beginning: &[u8]) -> bool {
    if { beginning.get(TAR_MARK..) }.is_some_and(|rest| rest.starts_with(b"ustar")) {
        return true;
    }
    let (Some(header), Some(field)) = (beginning.get(..TELLING), beginning.get(TAR_SUM)) else {
        return false;
    };
    // Octal digits up to a zero, or binary behind a byte that says so, as Python reads them.
    let number = match field {
        [0x80, binary @ ..] => { binary.iter() }.fold(0, |sum, byte| (sum << 8) | i64::from(*byte)),
        _ => { field.iter().take_while(|byte| **byte != 0) }
            .filter(|byte| matches!(byte, b'0'..=b'7'))
            .fold(0, |sum, digit| (sum << 3) | i64::from(digit - b'0')),
    };
    // Some archivers took bytes for signed.
    let unsigned = |byte: u8| i64::from(byte);
    let signed = |byte: u8| i64::from(byte.cast_signed());
    let spaces = TAR_SUM.len() as i64 * i64::from(b' ');
    let sum = |value: fn(u8) -> i64| {
        let of = |bytes: &[u8]| bytes.iter().map(|byte| value(*byte)).sum::<i64>();
        of(header) - of(field) + spaces
    };
    number == sum(unsigned) || number == sum(signed)
}

impl TensorFile {
    /// Reads a weight file: safetensors, or a format of `torch.save` since PyTorch 0.1.10. Which of
    /// them it is follows from its content. Nothing in a file is ever executed.
    ///
    /// Tensors have the names under which the file has them, `state_dict.module.conv1.weight` for
    /// instance; [`crate::fit`] finds those of a network among them.
    ///
    /// # Errors
    /// When it cannot be read, is of no such format, is damaged, or is a checkpoint that names functions
    /// or classes that are not known to be harmless.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let failed = |source: io::Error| WeightsError::Io {
            path: path.to_owned(),
            source,
        };
        let mut beginning = Vec::new();
        let mut file = File::open(path).map_err(failed)?;
        file.by_ref()
            .take(TELLING as u64)
            .read_to_end(&mut beginning)
            .map_err(failed)?;
        let format = Format::of(&beginning).map_err(|found| WeightsError::OtherFormat {
            path: path.to_owned(),
            found,
        })?;
        match format {
            Format::PyTorch => pytorch_format::read(path),
            Format::Safetensors => {
                let bytes = fs::read(path).map_err(failed)?;
                safetensors_format::decode(&bytes, path)
            }
        }
    }

    /// Reads the content of a safetensors file; `path` is for messages only.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub fn from_safetensors(bytes: &[u8], path: &Path) -> Result<Self, WeightsError> {
        safetensors_format::decode(bytes, path)
    }

    /// Writes a safetensors file atomically, values as `f32` and `i64`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), WeightsError> {
        let bytes = safetensors_format::encode(self, path)?;
        atomic_file::replace_with(path, &bytes).map_err(|source| WeightsError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// The tensors by name.
    pub fn by_name(&self) -> HashMap<&str, &NamedTensor> {
        let tensors = self.tensors.iter();
        tensors
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect()
    }
}

/// Whether a name has no characters that would do something to a terminal.
pub(crate) fn is_printable(name: &str) -> bool {
    !name.chars().any(char::is_control)
}

/// Why a name is refused.
pub(crate) fn unprintable(name: &str) -> String {
    format!("the name {name:?} of a tensor has control characters")
}

impl NamedTensor {
    /// A tensor of floating-point values.
    pub fn float(name: impl Into<String>, shape: &[usize], values: Vec<f32>) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            stored_as: ElementType::F32,
            values: Values::Float(values),
        }
    }

    /// A single integer.
    pub fn integer(name: impl Into<String>, value: i64) -> Self {
        Self {
            name: name.into(),
            shape: Vec::new(),
            stored_as: ElementType::I64,
            values: Values::Integer(vec![value]),
        }
    }

    /// A tensor of a file, from its little-endian bytes, of which there are as many as its shape
    /// and type need.
    pub(crate) fn decode(name: &str, shape: &[usize], stored_as: ElementType, data: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            stored_as,
            values: stored_as.decode(data),
        }
    }

    /// Place and value of the first number that is NaN or infinite.
    pub fn first_non_finite(&self) -> Option<(usize, f32)> {
        let Values::Float(values) = &self.values else {
            return None;
        };
        let mut numbers = values.iter().copied().enumerate();
        numbers.find(|(_, value)| !value.is_finite())
    }

    /// Number of values.
    pub fn elements(&self) -> usize {
        match &self.values {
            Values::Float(values) => values.len(),
            Values::Integer(values) => values.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pth");
        fs::write(&path, bytes).unwrap();
        TensorFile::read(&path).unwrap_err().to_string()
    }

    #[test]
    fn formats_are_told_by_their_content() {
        assert!(message(b"").contains("an empty file"));
        assert!(message(b"\x89HDF\r\n\x1a\n").contains("an HDF5 file"));
        assert!(message(b"import torch").contains("an unknown format"));
        assert!(message(b"PK\x03\x04rest").contains("not a valid PyTorch checkpoint"));
        assert!(message(b"\x80\x02rest").contains("not a valid PyTorch checkpoint"));
        assert!(message(b"\x08\0\0\0\0\0\0\0{").contains("not a valid safetensors file"));
    }

    #[test]
    fn an_archive_whose_first_name_begins_like_a_pickle_is_no_pickle() {
        let mut archive = vec![0; TELLING];
        archive[..7].copy_from_slice(b"\x80\x02N.pkl");
        assert!(!is_tar(&archive));
        archive[TAR_MARK..][..5].copy_from_slice(b"ustar");
        assert!(message(&archive).contains("a tar archive"));
        archive[TAR_MARK..][..5].fill(0);
        // The bytes of the name, and eight spaces.
        let sum: u32 = 0x80 + 2 + 0x4e + 0x2e + 0x70 + 0x6b + 0x6c + 8 * 0x20;
        archive[TAR_SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(message(&archive).contains("a tar archive"));
        archive[TAR_SUM].copy_from_slice(&(sum as u64 | 0x80 << 56).to_be_bytes());
        assert!(message(&archive).contains("a tar archive"));
        let signed = sum - 0x100;
        archive[TAR_SUM].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
        assert!(message(&archive).contains("a tar archive"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = TensorFile::read(Path::new("no/such.pth")).unwrap_err();
        assert!(missing.to_string().starts_with("no/such.pth: "));
    }
}
