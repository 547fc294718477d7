//! The formats of `torch.save`: a pickle that describes tensors, and their values beside it.
//!
//! `pytorch_reader` interprets the pickle without executing anything of it. Before that, all pickles
//! of a file are searched for what they name, and a file is refused that names anything but what
//! checkpoints need ([`crate::allowed_globals`]): it could harm those who open it with other tools.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use pytorch_reader::{DType, MAX_PICKLE_SIZE, PickleValue, PytorchError, PytorchReader};
use zip::result::ZipError;
use zip::{ZipArchive, ZipReadOptions};

use crate::allowed_globals::is_allowed;
use crate::archive_directory::directory;
use crate::element_type::ElementType;
use crate::error::WeightsError;
use crate::pickle_globals::{PickleProblem, Pickles};
use crate::tensor_file::{NamedTensor, TensorFile, is_printable, unprintable};

/// Bytes that all tensors of a small file may have together.
const ALWAYS_ALLOWED: u64 = 64 << 20;
/// Bytes that tensors may have for each byte of a file. Tensors may share their values, so that they
/// can have more than the file; but a view that repeats one number has no bound.
const ALLOWED_FOR_EACH_BYTE: u64 = 16;

/// Pickles at the beginning of a file of PyTorch 0.1.10 to 1.5 (`torch/serialization.py`,
/// `_legacy_save`): magic number, version, system, the object, and the keys of its storages.
const PICKLES_OF_LEGACY_FILE: usize = 5;

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<TensorFile, WeightsError> {
    let malformed = |failure: PytorchError| malformed(path, failure.to_string());
    check_pickles(path)?;
    let content = PytorchReader::read_pickle_data(path, None).map_err(malformed)?;
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
    let said = message.to_lowercase();
    let is_cut_off = ["eocd", "beyond the end", "unexpected end", "failed to fill"]
        .iter()
        .any(|words| said.contains(words));
    if is_cut_off {
        message += ". The file seems to be cut off; fetch it again";
    }
    WeightsError::Malformed {
        path: path.to_owned(),
        format: "PyTorch checkpoint",
        message,
    }
}

/// Refuses a file whose pickles name what no checkpoint needs, before anything interprets them.
fn check_pickles(path: &Path) -> Result<(), WeightsError> {
    let failed = |source| WeightsError::Io {
        path: path.to_owned(),
        source,
    };
    let mut input = BufReader::new(File::open(path).map_err(failed)?);
    if input.fill_buf().map_err(failed)?.starts_with(b"PK") {
        return check_archive(path, input);
    }
    let refused = |problem| refused(path, "", problem);
    let mut pickles = Pickles::new(input);
    pickles.check(is_allowed).map_err(refused)?;
    // A pickle alone, of settings for instance.
    if pickles.is_at_end().map_err(refused)? {
        return Ok(());
    }
    for _ in 1..PICKLES_OF_LEGACY_FILE {
        pickles.check(is_allowed).map_err(refused)?;
    }
    Ok(())
}

/// Does so for an archive. Refuses also one of which readers could see different entries, or with names
/// that lead out of it, or with an entry that is larger than the file, as only a compressed one can
/// be: `torch.save` does not compress.
fn check_archive(path: &Path, mut input: BufReader<File>) -> Result<(), WeightsError> {
    let malformed = |message: String| malformed(path, message);
    let invalid = |failure: ZipError| malformed(format!("zip archive error: {failure}"));
    let failed = |source| WeightsError::Io {
        path: path.to_owned(),
        source,
    };
    let length = input.get_ref().metadata().map_err(failed)?.len();
    let stated = directory(&mut input).map_err(failed)?;
    let mut archive = ZipArchive::new(input).map_err(invalid)?;
    let start = archive.central_directory_start();
    let Some(stated) = stated.filter(|stated| archive.offset() == 0 && stated.start == start)
    else {
        let message = "its end does not say clearly where the directory of the archive is";
        return Err(malformed(message.to_owned()));
    };
    // The archive knows one entry of each name.
    if stated.entries != archive.len() as u64 {
        let message = "two of its entries have the same name";
        return Err(malformed(message.to_owned()));
    }
    let mut of_pickles = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(invalid)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.enclosed_name().is_none() {
            return Err(malformed(format!("its entry {name:?} lies outside of it")));
        }
        let size = entry.size();
        if size > length {
            let message = "one of its entries is larger than the file";
            return Err(malformed(message.to_owned()));
        }
        // Which of several pickles is loaded depends on who reads, as does the case of names.
        let is_pickle = |name: &str| name.to_ascii_lowercase().ends_with(".pkl");
        let is_pickle = is_pickle(&name) || entry.name().is_ok_and(|name| is_pickle(&name));
        drop(entry);
        if !is_pickle {
            continue;
        }
        // Entries can share their bytes.
        of_pickles = of_pickles.saturating_add(size);
        if of_pickles > length || size > MAX_PICKLE_SIZE {
            let message = "its pickles are together larger than the file, or one is too large";
            return Err(malformed(message.to_owned()));
        }
        // Not every reader minds a wrong sum, so that it must not keep this one from looking.
        let options = ZipReadOptions::new().ignore_crc32(true);
        let entry = { archive.by_index_with_options(index, options) }.map_err(invalid)?;
        Pickles::new(BufReader::new(entry.take(size)))
            .check(is_allowed)
            .map_err(|problem| refused(path, &format!(" {name:?}"), problem))?;
    }
    Ok(())
}

/// The error for a pickle that is refused.
fn refused(path: &Path, entry: &str, problem: PickleProblem) -> WeightsError {
    match problem {
        PickleProblem::Global(called) => WeightsError::ForbiddenCall {
            path: path.to_owned(),
            called,
        },
        // What the operating system refuses says nothing about the file.
        PickleProblem::Io(source) if source.raw_os_error().is_some() => WeightsError::Io {
            path: path.to_owned(),
            source,
        },
        problem => malformed(path, format!("in its pickle{entry}: {problem}")),
    }
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
