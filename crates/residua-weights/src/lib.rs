//! Weight files and how they fit a network.
//!
//! A [`TensorFile`] is a list of named tensors with metadata, read from and written to the
//! safetensors format; names and shapes are those of PyTorch's `state_dict`. [`fit`] matches
//! it with a graph and says what was applied, missing, unused or of the wrong shape.
//!
//! ```
//! use residua_graph::catalog::{self, BuildOptions};
//! use residua_weights::{TensorFile, fit};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let graph = catalog::build("resnet20", &BuildOptions::default())?;
//! let file = TensorFile::default(); // or TensorFile::read(path)?
//! let report = fit(&graph, &file);
//! assert!(!report.is_complete());
//! assert_eq!(report.missing[0], "conv1.weight");
//! # Ok(())
//! # }
//! ```

mod error;
mod report;
mod tensor_file;

pub use error::WeightsError;
pub use report::{LoadReport, WrongShape, fit};
pub use tensor_file::{NamedTensor, TensorFile, Values};
