//! The safetensors format: a header in JSON, then the values.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::element_type::ElementType;
use crate::error::WeightsError;
use crate::tensor_file::{NamedTensor, TensorFile, Values, is_printable, unprintable};

/// Reads the content of a file; `path` is for messages only.
pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<TensorFile, WeightsError> {
    let malformed = |failure: SafeTensorError| malformed(path, &failure);
    let (header_length, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    check_names(&bytes[8..][..header_length], path)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let content = SafeTensors::deserialize(bytes).map_err(malformed)?;
    let mut tensors = Vec::with_capacity(content.len());
    for (name, view) in content.iter() {
        let stored_as =
            element_type(view.dtype()).ok_or_else(|| WeightsError::UnsupportedType {
                path: path.to_owned(),
                name: name.to_owned(),
                dtype: format!("{:?}", view.dtype()).to_lowercase(),
            })?;
        let tensor = NamedTensor::decode(name, view.shape(), stored_as, view.data());
        tensors.push(tensor);
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(TensorFile {
        path: path.to_owned(),
        metadata: metadata.into_iter().collect(),
        tensors,
    })
}

/// Refuses two tensors of one name, of which nobody could say which is meant.
fn check_names(header: &[u8], path: &Path) -> Result<(), WeightsError> {
    /// The keys of an object, in their order.
    struct Keys(Vec<String>);

    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collector;

            impl<'de> Visitor<'de> for Collector {
                type Value = Keys;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, IgnoredAny)) = map.next_entry()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }

            deserializer.deserialize_map(Collector)
        }
    }

    let refused = |message: String| WeightsError::Malformed {
        path: path.to_owned(),
        format: "safetensors file",
        message,
    };
    let Keys(mut keys) =
        serde_json::from_slice(header).map_err(|failure| refused(failure.to_string()))?;
    if let Some(name) = keys.iter().find(|name| !is_printable(name)) {
        return Err(refused(unprintable(name)));
    }
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(refused(format!("two tensors are named '{}'", pair[0]))),
    }
}

/// The content of a file; `path` is for messages only.
pub(crate) fn encode(file: &TensorFile, path: &Path) -> Result<Vec<u8>, WeightsError> {
    let malformed = |failure: SafeTensorError| malformed(path, &failure);
    let encoded: Vec<Vec<u8>> = file.tensors.iter().map(|t| to_bytes(&t.values)).collect();
    let mut views = Vec::with_capacity(encoded.len());
    for (tensor, bytes) in file.tensors.iter().zip(&encoded) {
        let dtype = match tensor.values {
            Values::Float(_) => Dtype::F32,
            Values::Integer(_) => Dtype::I64,
        };
        let view = TensorView::new(dtype, tensor.shape.clone(), bytes).map_err(malformed)?;
        views.push((tensor.name.as_str(), view));
    }
    let metadata: HashMap<String, String> = file.metadata.clone().into_iter().collect();
    safetensors::serialize(views, Some(metadata)).map_err(malformed)
}

fn malformed(path: &Path, failure: &SafeTensorError) -> WeightsError {
    WeightsError::Malformed {
        path: path.to_owned(),
        format: "safetensors file",
        message: match failure {
            SafeTensorError::MetadataIncompleteBuffer => {
                format!(
                    "{failure}. The file seems to be cut off, or longer than it was; fetch it again"
                )
            }
            failure => failure.to_string(),
        },
    }
}

fn to_bytes(values: &Values) -> Vec<u8> {
    match values {
        Values::Float(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Values::Integer(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn element_type(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F64 => ElementType::F64,
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U64 => ElementType::U64,
        Dtype::U32 => ElementType::U32,
        Dtype::U16 => ElementType::U16,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use half::bf16;
    use proptest::prelude::*;

    fn example() -> TensorFile {
        TensorFile {
            path: PathBuf::new(),
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
        let read = TensorFile::read(&path).unwrap();
        assert_eq!(read.path, path);
        assert_eq!(read.tensors, example().tensors);
        assert_eq!(read.metadata, example().metadata);
    }

    #[test]
    fn half_precision_becomes_single() {
        let data: Vec<u8> = [1.5f32, -2.0]
            .iter()
            .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
            .collect();
        let view = TensorView::new(Dtype::BF16, vec![2], &data).unwrap();
        let bytes = safetensors::serialize([("x", view)], None).unwrap();
        let file = decode(&bytes, Path::new("x")).unwrap();
        assert_eq!(file.tensors[0].values, Values::Float(vec![1.5, -2.0]));
        assert_eq!(file.tensors[0].stored_as, ElementType::Bf16);
    }

    #[test]
    fn a_header_beyond_the_file_is_refused() {
        let mut bytes = (1u64 << 60).to_le_bytes().to_vec();
        bytes.extend(b"{\"a\":1}");
        let message = decode(&bytes, Path::new("x")).unwrap_err().to_string();
        assert!(
            message.starts_with("x: not a valid safetensors file: "),
            "{message}"
        );
    }

    #[test]
    fn two_tensors_of_one_name_are_refused() {
        let one = r#""a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
        let header = format!("{{{one},{one}}}");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.push(7);
        let message = decode(&bytes, Path::new("x")).unwrap_err().to_string();
        assert!(message.ends_with("two tensors are named 'a'"), "{message}");
    }

    #[test]
    fn a_name_that_would_colour_the_terminal_is_refused() {
        let file = TensorFile {
            tensors: vec![NamedTensor::float("a\u{1b}[31mred", &[1], vec![0.0])],
            ..TensorFile::default()
        };
        let bytes = encode(&file, Path::new("x")).unwrap();
        let message = decode(&bytes, Path::new("x")).unwrap_err().to_string();
        assert!(message.contains("control characters"), "{message}");
        assert!(!message.contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, Path::new("x"));
        }

        #[test]
        fn damaged_files_never_panic(position in 0usize..200, value: u8) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("w");
            example().write(&path).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let position = position % bytes.len();
            bytes[position] = value;
            let _ = decode(&bytes, Path::new("x"));
            let _ = decode(&bytes[..position], Path::new("x"));
        }
    }
}
