//! The formats of `torch.save`: a pickle that describes tensors, and their values beside it.
//!
//! `pytorch_reader` interprets the pickle without executing anything of it. What a program would be
//! asked to call is refused here all the same: a file that asks for it was made to harm those who
//! open it with other tools.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader};

use crate::element_type::ElementType;
use crate::error::WeightsError;
use crate::tensor_file::{NamedTensor, TensorFile};

/// Bytes that all tensors of a small file may have together.
const ALWAYS_ALLOWED: u64 = 64 << 20;
/// Bytes that tensors may have for each byte of a file. Tensors may share their values, so that they
/// can have more than the file; but a view that repeats one number has no bound.
const ALLOWED_FOR_EACH_BYTE: u64 = 16;

/// Python modules whose functions run programs, import code or reach the system. Models need none.
const FORBIDDEN_MODULES: [&str; 18] = [
    "_posixsubprocess",
    "asyncio",
    "code",
    "commands",
    "ctypes",
    "importlib",
    "marshal",
    "nt",
    "os",
    "pickle",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "webbrowser",
];
/// Functions of Python's builtins that do so.
const FORBIDDEN_BUILTINS: [&str; 8] = [
    "__import__",
    "compile",
    "eval",
    "exec",
    "getattr",
    "globals",
    "open",
    "setattr",
];

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<TensorFile, WeightsError> {
    let malformed = |failure: PytorchError| malformed(path, failure.to_string());
    let content = PytorchReader::read_pickle_data(path, None).map_err(malformed)?;
    if let Some(called) = forbidden_call(&content) {
        return Err(WeightsError::ForbiddenCall {
            path: path.to_owned(),
            called: called.to_owned(),
        });
    }
    let reader = PytorchReader::new(path).map_err(malformed)?;
    check_size(path, &reader)?;
    let mut names = BTreeMap::new();
    for (name, tensor) in reader.tensors() {
        names.insert(name, tensor);
    }
    let mut tensors = Vec::with_capacity(names.len());
    for (name, tensor) in names {
        let stored_as =
            element_type(tensor.dtype()).ok_or_else(|| WeightsError::UnsupportedType {
                path: path.to_owned(),
                name: name.clone(),
                dtype: format!("{:?}", tensor.dtype()).to_lowercase(),
            })?;
        // The error says which tensor.
        let data =
            { tensor.read() }.map_err(|failure| self::malformed(path, failure.to_string()))?;
        tensors.push(NamedTensor::decode(
            path,
            name,
            tensor.shape(),
            stored_as,
            &data,
        )?);
    }
    Ok(TensorFile {
        metadata: BTreeMap::new(),
        tensors,
    })
}

fn malformed(path: &Path, message: String) -> WeightsError {
    WeightsError::Malformed {
        path: path.to_owned(),
        format: "PyTorch checkpoint",
        message,
    }
}

/// Refuses tensors that would take far more memory than the file has bytes.
fn check_size(path: &Path, reader: &PytorchReader) -> Result<(), WeightsError> {
    let metadata = fs::metadata(path).map_err(|source| WeightsError::Io {
        path: path.to_owned(),
        source,
    })?;
    let sizes = reader.tensors().values().map(|t| t.byte_len() as u64);
    let total = sizes.fold(0, u64::saturating_add);
    let allowed = metadata.len().saturating_mul(ALLOWED_FOR_EACH_BYTE);
    if total <= allowed.max(ALWAYS_ALLOWED) {
        return Ok(());
    }
    let message = format!(
        "its tensors would take {total} bytes, and the file has {}",
        metadata.len()
    );
    Err(malformed(path, message))
}

/// The first function that the content asks for and that no model needs.
fn forbidden_call(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => is_forbidden(name).then_some(name),
        PickleValue::List(items) => items.iter().find_map(forbidden_call),
        PickleValue::Dict(items) => items.values().find_map(forbidden_call),
        _ => None,
    }
}

fn is_forbidden(name: &str) -> bool {
    let (module, function) = name.split_once('.').unwrap_or((name, ""));
    match module {
        "builtins" | "__builtin__" => FORBIDDEN_BUILTINS.contains(&function),
        _ => FORBIDDEN_MODULES.contains(&module),
    }
}

fn element_type(dtype: DType) -> Option<ElementType> {
    Some(match dtype {
        DType::F64 => ElementType::F64,
        DType::F32 => ElementType::F32,
        DType::F16 => ElementType::F16,
        DType::BF16 => ElementType::Bf16,
        DType::I64 => ElementType::I64,
        DType::I32 => ElementType::I32,
        DType::I16 => ElementType::I16,
        DType::I8 => ElementType::I8,
        DType::U8 => ElementType::U8,
        DType::Bool => ElementType::Bool,
        DType::U64 | DType::U32 | DType::U16 => return None,
    })
}
