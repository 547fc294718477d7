//! The formats of `torch.save`: a pickle that describes tensors, and their values beside it.
//!
//! `pytorch_reader` interprets the pickle without executing anything of it. A file with a value that
//! Python would compute by running a program is refused all the same: it was made to harm those who
//! open it with other tools. (Calls whose results the file throws away are not seen, and not run.)

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader};
use zip::ZipArchive;

use crate::element_type::ElementType;
use crate::error::WeightsError;
use crate::tensor_file::{NamedTensor, TensorFile, is_printable, unprintable};

/// Bytes that all tensors of a small file may have together.
const ALWAYS_ALLOWED: u64 = 64 << 20;
/// Bytes that tensors may have for each byte of a file. Tensors may share their values, so that they
/// can have more than the file; but a view that repeats one number has no bound.
const ALLOWED_FOR_EACH_BYTE: u64 = 16;

/// Python modules whose functions run programs, import code or reach the system. Models need none.
const FORBIDDEN_MODULES: [&str; 35] = [
    "_pickle",
    "_posixsubprocess",
    "asyncio",
    "bdb",
    "cloudpickle",
    "code",
    "codeop",
    "concurrent",
    "ctypes",
    "dill",
    "http",
    "importlib",
    "io",
    "marshal",
    "multiprocessing",
    "nt",
    "operator",
    "os",
    "pdb",
    "pickle",
    "pip",
    "posix",
    "pty",
    "requests",
    "runpy",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "threading",
    "timeit",
    "urllib",
    "venv",
    "webbrowser",
];
/// Functions of Python's builtins that do so.
const FORBIDDEN_BUILTINS: [&str; 11] = [
    "__import__",
    "breakpoint",
    "compile",
    "delattr",
    "eval",
    "exec",
    "getattr",
    "globals",
    "input",
    "open",
    "setattr",
];

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<TensorFile, WeightsError> {
    let malformed = |failure: PytorchError| malformed(path, failure.to_string());
    check_description(path)?;
    let content = PytorchReader::read_pickle_data(path, None).map_err(malformed)?;
    if let Some(called) = forbidden_call(&content) {
        return Err(WeightsError::ForbiddenCall {
            path: path.to_owned(),
            called: called.to_owned(),
        });
    }
    check_names(path, &content)?;
    drop(content);
    let reader = PytorchReader::new(path).map_err(malformed)?;
    check_size(path, &reader)?;
    let mut names = BTreeMap::new();
    for (name, tensor) in reader.tensors() {
        names.insert(name, tensor);
    }
    let mut tensors = Vec::with_capacity(names.len());
    for (name, tensor) in names {
        let stored_as = element_type(tensor.dtype());
        // The error says which tensor.
        let data =
            { tensor.read() }.map_err(|failure| self::malformed(path, failure.to_string()))?;
        tensors.push(NamedTensor::decode(name, tensor.shape(), stored_as, &data));
    }
    Ok(TensorFile {
        path: path.to_owned(),
        metadata: BTreeMap::new(),
        tensors,
    })
}

fn malformed(path: &Path, mut message: String) -> WeightsError {
    // What the parsers say of a file whose end is missing.
    let is_cut_off = ["EOCD", "beyond the end", "unexpected end", "failed to fill"]
        .iter()
        .any(|words| message.contains(words));
    if is_cut_off {
        message += ". The file seems to be cut off; fetch it again";
    }
    WeightsError::Malformed {
        path: path.to_owned(),
        format: "PyTorch checkpoint",
        message,
    }
}

/// Refuses a zip archive with names that are ambiguous or lead out of it, or whose description of the
/// tensors is larger than the file, as only a compressed one can be: `torch.save` does not compress.
fn check_description(path: &Path) -> Result<(), WeightsError> {
    let failed = |source| WeightsError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    // What is no archive has its description as it is.
    let Ok(mut archive) = ZipArchive::new(BufReader::new(file)) else {
        return Ok(());
    };
    // The archive knows one entry of each name.
    if announced_entries(path)?.is_some_and(|count| count != archive.len()) {
        let message = "two of its entries have the same name";
        return Err(malformed(path, message.to_owned()));
    }
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index);
        let entry = entry.map_err(|failure| malformed(path, failure.to_string()))?;
        if entry.enclosed_name().is_none() {
            let name = String::from_utf8_lossy(entry.name_raw());
            return Err(malformed(
                path,
                format!("its entry {name:?} lies outside of it"),
            ));
        }
        if entry.size() > length {
            let message = "one of its entries is larger than the file";
            return Err(malformed(path, message.to_owned()));
        }
    }
    Ok(())
}

/// How many entries a zip archive says that it has (APPNOTE.TXT 4.3.16, the end of the central
/// directory); nothing where that is in another place.
fn announced_entries(path: &Path) -> Result<Option<usize>, WeightsError> {
    /// Of the record, and of the longest comment behind it.
    const RECORD: usize = 22;
    const LONGEST_COMMENT: u64 = 0xffff;
    let failed = |source| WeightsError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let begin = length.saturating_sub(RECORD as u64 + LONGEST_COMMENT);
    file.seek(SeekFrom::Start(begin)).map_err(failed)?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).map_err(failed)?;
    let mut records = end.windows(RECORD).rev();
    let record = records.find(|record| record.starts_with(b"PK\x05\x06"));
    let count = record.map(|record| u16::from_le_bytes([record[10], record[11]]));
    // The largest number refers to the record of 64-bit archives.
    Ok(count.filter(|count| *count != u16::MAX).map(usize::from))
}

/// Refuses two tensors of one name, of which nobody could say which is meant.
fn check_names(path: &Path, content: &PickleValue) -> Result<(), WeightsError> {
    fn walk(value: &PickleValue, name: String, names: &mut HashSet<String>) -> Option<String> {
        let under = |key: &str| match name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        };
        match value {
            PickleValue::Dict(items) => items
                .iter()
                .find_map(|(key, value)| walk(value, under(key), names)),
            PickleValue::List(items) => { items.iter().enumerate() }
                .find_map(|(index, value)| walk(value, under(&index.to_string()), names)),
            PickleValue::Unsupported(kind) if kind == "torch.Tensor" => {
                (!names.insert(name.clone())).then_some(name)
            }
            _ => None,
        }
    }
    let mut names = HashSet::new();
    if let Some(name) = walk(content, String::new(), &mut names) {
        return Err(malformed(path, format!("two tensors are named '{name}'")));
    }
    match names.iter().find(|name| !is_printable(name)) {
        None => Ok(()),
        Some(name) => Err(malformed(path, unprintable(name))),
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
    // The root of the module, since everything below is as dangerous.
    let (module, function) = name.split_once('.').unwrap_or((name, ""));
    match module {
        "builtins" | "__builtin__" => FORBIDDEN_BUILTINS.contains(&function),
        _ => FORBIDDEN_MODULES.contains(&module),
    }
}

fn element_type(dtype: DType) -> ElementType {
    match dtype {
        DType::F64 => ElementType::F64,
        DType::F32 => ElementType::F32,
        DType::F16 => ElementType::F16,
        DType::BF16 => ElementType::Bf16,
        DType::I64 => ElementType::I64,
        DType::I32 => ElementType::I32,
        DType::I16 => ElementType::I16,
        DType::I8 => ElementType::I8,
        DType::U64 => ElementType::U64,
        DType::U32 => ElementType::U32,
        DType::U16 => ElementType::U16,
        DType::U8 => ElementType::U8,
        DType::Bool => ElementType::Bool,
    }
}
