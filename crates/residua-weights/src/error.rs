//! What can be wrong with a weight file.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a weight file could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The content is not what the format prescribes.
    #[error("{}: not a valid safetensors file: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The file is in another format.
    #[error(
        "{}: {found} cannot be read; expected a safetensors file. In Python, \
         `safetensors.torch.save_file(state_dict, \"weights.safetensors\")` converts it",
        path.display()
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        found: &'static str,
    },
    /// A tensor has a type that no network here uses.
    #[error("{}: tensor '{name}' has type {dtype}; expected f32, f16, bf16, f64 or an integer", path.display())]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A weight is NaN or infinite.
    #[error("{}: tensor '{name}' contains {value} at position {position}; the file is damaged or its training diverged", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// Place of the first such value.
        position: usize,
        /// The value.
        value: f32,
    },
}
