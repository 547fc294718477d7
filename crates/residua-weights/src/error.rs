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
    #[error("{}: not a valid {format}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format that it seems to have.
        format: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The file is in another format.
    #[error(
        "{}: {found}; expected a safetensors file or a PyTorch checkpoint (.pth, .pt, .th)",
        path.display()
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        found: &'static str,
    },
    /// The pickle of a checkpoint names a function or class that is not known to be harmless.
    #[error(
        "{}: asks Python to call or make {called}, which is not known to be harmless. Nothing of it was \
         run: Residua never executes what a checkpoint asks for, and refuses such a file since it could \
         harm whoever opens it with other tools. If you trust it, load it where it was made and save \
         the weights alone, with torch.save(model.state_dict(), FILE) or as safetensors",
        path.display()
    )]
    ForbiddenCall {
        /// The file.
        path: PathBuf,
        /// The module and name of the function or class.
        called: String,
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
}
