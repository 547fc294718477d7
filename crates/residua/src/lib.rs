//! Image recognition with deep residual networks: the whole of Residua as one library.
//!
//! The command line is `residua`; this crate re-exports what it is made of:
//!
//! - [`graph`]: networks as data, the catalog of named networks
//! - [`data`]: image folders and CIFAR files to augmented batches
//! - [`train`]: training, evaluation, prediction and measurement
//! - [`engine`]: whole networks on the CPU, without Burn
//! - [`weights`]: weight files and how they fit a network
//! - [`ops`]: the differentiable operations
//! - [`report`]: charts, tables and pages about runs
//! - [`watch`]: runs while they go on: a dashboard, a list, TensorBoard files
//! - [`core`]: metrics, preprocessing, the run folder
//!
//! ```
//! use residua::graph::catalog::{self, BuildOptions};
//!
//! let graph = catalog::build("resnet56", &BuildOptions::default())?;
//! println!("{} parameters", graph.trainable_parameters());
//! # Ok::<(), residua::graph::catalog::CatalogError>(())
//! ```

pub use residua_core as core;
pub use residua_data as data;
pub use residua_engine as engine;
pub use residua_graph as graph;
pub use residua_ops as ops;
pub use residua_report as report;
pub use residua_train as train;
pub use residua_watch as watch;
pub use residua_weights as weights;
