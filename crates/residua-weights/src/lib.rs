//! Weight files and how they fit a network.
//!
//! A [`TensorFile`] is a list of named tensors with metadata. It is read from safetensors files and
//! from PyTorch checkpoints (`.pth`, `.pt`, `.th`, as saved since version 0.1.10, of which nothing is
//! executed; one that names something that weights do not need is refused), and written as
//! safetensors. [`fit`] finds the state of a network in
//! it, wherever a checkpoint nests it, and says what was applied, missing, unused or of the wrong
//! shape.
//!
//! ```
//! use residua_graph::catalog::{self, BuildOptions};
//! use residua_weights::{TensorFile, fit};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let graph = catalog::build("resnet20", &BuildOptions::default())?;
//! let file = TensorFile::default(); // or TensorFile::read(path)?
//! let fit = fit(&graph, &file);
//! assert!(!fit.report.is_complete());
//! assert_eq!(fit.report.missing[0].name, "conv1.weight");
//! # Ok(())
//! # }
//! ```

mod allowed_globals;
mod archive_directory;
mod catalog_fit;
mod element_type;
mod error;
mod fit;
mod legacy_names;
mod pickle_globals;
mod pickle_opcodes;
mod pickle_stack;
mod pytorch_format;
mod report;
mod safetensors_format;
mod tensor_file;

pub use catalog_fit::{fit_entry, fitting_models};
pub use element_type::ElementType;
pub use error::WeightsError;
pub use fit::{Fit, class_count, fit};
pub use report::{LoadReport, Missing, NotFinite, WrongShape};
pub use tensor_file::{NamedTensor, TensorFile, Values};
