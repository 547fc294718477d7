//! Named tensors in a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use residua_core::atomic_file;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::WeightsError;

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
    /// Its values.
    pub values: Values,
}

/// Named tensors and metadata.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorFile {
    /// Free text by key; Residua keeps its records here.
    pub metadata: BTreeMap<String, String>,
    /// The tensors.
    pub tensors: Vec<NamedTensor>,
}

impl TensorFile {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// When it cannot be read, is not a safetensors file, or holds NaN or infinity.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = fs::read(path).map_err(|source| WeightsError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads the content of a safetensors file; `path` is for messages only.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, WeightsError> {
        if let Some(found) = other_format(bytes) {
            return Err(WeightsError::OtherFormat {
                path: path.to_owned(),
                found,
            });
        }
        let malformed = |failure: safetensors::SafeTensorError| WeightsError::Malformed {
            path: path.to_owned(),
            message: failure.to_string(),
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let content = SafeTensors::deserialize(bytes).map_err(malformed)?;
        let mut tensors = Vec::with_capacity(content.len());
        for (name, view) in content.iter() {
            tensors.push(NamedTensor {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                values: convert(path, name, &view)?,
            });
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            metadata: metadata.into_iter().collect(),
            tensors,
        })
    }

    /// Writes a safetensors file atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), WeightsError> {
        let encoded: Vec<Vec<u8>> = self.tensors.iter().map(NamedTensor::to_bytes).collect();
        let mut views = Vec::with_capacity(encoded.len());
        let malformed = |failure: safetensors::SafeTensorError| WeightsError::Malformed {
            path: path.to_owned(),
            message: failure.to_string(),
        };
        for (tensor, bytes) in self.tensors.iter().zip(&encoded) {
            let dtype = match tensor.values {
                Values::Float(_) => Dtype::F32,
                Values::Integer(_) => Dtype::I64,
            };
            let view = TensorView::new(dtype, tensor.shape.clone(), bytes).map_err(malformed)?;
            views.push((tensor.name.as_str(), view));
        }
        let metadata: HashMap<String, String> = self.metadata.clone().into_iter().collect();
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(malformed)?;
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

impl NamedTensor {
    /// A tensor of floating-point values.
    pub fn float(name: impl Into<String>, shape: &[usize], values: Vec<f32>) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            values: Values::Float(values),
        }
    }

    /// A single integer.
    pub fn integer(name: impl Into<String>, value: i64) -> Self {
        Self {
            name: name.into(),
            shape: Vec::new(),
            values: Values::Integer(vec![value]),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match &self.values {
            Values::Float(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Values::Integer(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}

/// Recognises what people are likely to pass instead.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => Some("a zip archive (PyTorch's .pth format)"),
        [0x80, 2..=5, ..] => Some("a pickle (PyTorch's old .pth format)"),
        [0x89, b'H', b'D', b'F', ..] => Some("an HDF5 file"),
        _ => None,
    }
}

fn convert(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Values, WeightsError> {
    let data = view.data();
    let floats = match view.dtype() {
        Dtype::F32 => each(data, f32::from_le_bytes),
        Dtype::F16 => each(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => each(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        Dtype::F64 => each(data, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::I64 => return Ok(Values::Integer(each(data, i64::from_le_bytes))),
        Dtype::I32 => {
            return Ok(Values::Integer(each(data, |bytes| {
                i32::from_le_bytes(bytes).into()
            })));
        }
        other => {
            return Err(WeightsError::UnsupportedType {
                path: path.to_owned(),
                name: name.to_owned(),
                dtype: format!("{other:?}").to_lowercase(),
            });
        }
    };
    match floats.iter().position(|value| !value.is_finite()) {
        None => Ok(Values::Float(floats)),
        Some(position) => Err(WeightsError::NotFinite {
            path: path.to_owned(),
            name: name.to_owned(),
            position,
            value: floats[position],
        }),
    }
}

/// Decodes little-endian values; the format guarantees a whole number of them.
fn each<const BYTES: usize, T>(data: &[u8], decode: impl Fn([u8; BYTES]) -> T) -> Vec<T> {
    let (values, _) = data.as_chunks::<BYTES>();
    values.iter().map(|bytes| decode(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> TensorFile {
        TensorFile {
            metadata: BTreeMap::from([("residua".to_owned(), "{}".to_owned())]),
            tensors: vec![
                NamedTensor::float("a.weight", &[2, 1], vec![1.5, -0.25]),
                NamedTensor::integer("b.num_batches_tracked", 7),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        example().write(&path).unwrap();
        assert_eq!(TensorFile::read(&path).unwrap(), example());
    }

    #[test]
    fn half_precision_becomes_single() {
        let data: Vec<u8> = [1.5f32, -2.0]
            .iter()
            .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
            .collect();
        let view = TensorView::new(Dtype::BF16, vec![2], &data).unwrap();
        let bytes = safetensors::serialize([("x", view)], None).unwrap();
        let file = TensorFile::from_bytes(&bytes, Path::new("x")).unwrap();
        assert_eq!(file.tensors[0].values, Values::Float(vec![1.5, -2.0]));
    }

    #[test]
    fn other_formats_are_recognised() {
        let message = |bytes: &[u8]| {
            let error = TensorFile::from_bytes(bytes, Path::new("model.pth")).unwrap_err();
            error.to_string()
        };
        assert!(message(b"PK\x03\x04rest").starts_with("model.pth: a zip archive (PyTorch's"));
        assert!(message(b"\x80\x02rest").starts_with("model.pth: a pickle"));
        assert!(message(b"").starts_with("model.pth: not a valid safetensors file"));
    }

    #[test]
    fn not_a_number_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let file = TensorFile {
            tensors: vec![NamedTensor::float("w", &[3], vec![0.0, f32::NAN, 1.0])],
            ..TensorFile::default()
        };
        file.write(&path).unwrap();
        let message = TensorFile::read(&path).unwrap_err().to_string();
        assert!(
            message.contains("tensor 'w' contains NaN at position 1"),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = TensorFile::from_bytes(&bytes, Path::new("x"));
        }

        #[test]
        fn damaged_files_never_panic(position in 0usize..200, value: u8) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("w");
            example().write(&path).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let position = position % bytes.len();
            bytes[position] = value;
            let _ = TensorFile::from_bytes(&bytes, Path::new("x"));
            let _ = TensorFile::from_bytes(&bytes[..position], Path::new("x"));
        }
    }
}
