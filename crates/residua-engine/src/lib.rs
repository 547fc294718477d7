//! A network on the CPU: the forward and reverse passes of a whole graph on `residua-kernels`.
//!
//! An [`Engine`] interprets a graph with two things that a tape of single operations cannot do. It
//! never stores what lies between a convolution and the next one (a normalisation, an addition, a
//! rectifier): the next convolution computes it while it reads, and the reverse pass does so again.
//! And it keeps its memory: every buffer of a step is used again in the next.
//!
//! ```
//! use residua_engine::{
//!     Engine, GradientCheckpointing, Precision, SeedStream, TrainingSettings,
//! };
//! use residua_graph::catalog::{self, BuildOptions};
//!
//! let graph = catalog::build("resnet20", &BuildOptions::default())?;
//! // One slice for each tensor of the state but the batch counts, node by node.
//! let state: Vec<Vec<f32>> = residua_engine::state_entries(&graph)
//!     .map(|entry| vec![0.01; entry.elements()])
//!     .collect();
//! let state: Vec<&[f32]> = state.iter().map(Vec::as_slice).collect();
//! let engine = Engine::new(&graph);
//!
//! let images = vec![0.5; 2 * 32 * 32 * 3];
//! let settings = TrainingSettings {
//!     precision: Precision::F32,
//!     checkpointing: GradientCheckpointing::Off,
//!     randomness: SeedStream::new(0),
//! };
//! let pass = engine.train_forward(settings, &images, 2, &state);
//! assert_eq!(pass.logits.len(), 2 * 10);
//! let gradients = engine.backward(pass.record, &vec![0.1; 2 * 10], &state);
//! assert_eq!(gradients[0].values.len(), 16 * 3 * 3 * 3);
//! # Ok::<(), residua_graph::catalog::CatalogError>(())
//! ```
//!
//! # Precision
//! Parameters, sums, statistics and logits are always `f32`. With [`Precision::Bf16`] feature maps
//! and their gradients are stored in bfloat16, and convolutions multiply bfloat16 numbers where the
//! machine does that faster.
//!
//! # Reproducibility
//! The same call gives the same bits for any number of threads.

mod backward;
mod dense_blocks;
mod engine;
mod forward;
mod layout;
mod norm;
mod record;
mod segments;
mod stored;
mod value;
mod vectors;

pub use engine::{Engine, ForwardPass, Gradient, NormStatistics, TrainingSettings};
pub use layout::{drop_rule, kernel_activation, state_entries};
pub use record::Record;
pub use residua_core::checkpointing::GradientCheckpointing;
pub use residua_core::precision::Precision;
pub use residua_core::seed::SeedStream;
