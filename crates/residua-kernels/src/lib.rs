//! The arithmetic of residual networks on the CPU: plain functions on plain slices of `f32` or, for
//! feature maps, bfloat16.
//!
//! Tensors are `[N, H, W, C]` and contiguous; convolution weights are `[out, in / groups, kernel
//! height, kernel width]`, as PyTorch stores them. A *geometry* holds the sizes of an operation;
//! making one checks them, and the functions that take it check the lengths of their slices against
//! it and return a [`ShapeError`] that names the numbers.
//!
//! ```
//! use residua_kernels::batch_norm::{self, Activation, Epilogue, Parameters};
//! use residua_kernels::convolution::{self, ConvolutionGeometry, ConvolutionSpec};
//!
//! // A 3×3 convolution from 3 to 16 channels on two images of 32 by 32 pixels, then normalisation and ReLU.
//! let geometry = ConvolutionGeometry::new(ConvolutionSpec {
//!     batch: 2,
//!     input: [32, 32],
//!     in_channels: 3,
//!     out_channels: 16,
//!     kernel: [3, 3],
//!     padding: [1, 1],
//!     ..ConvolutionSpec::default()
//! })?;
//! let images = vec![0.5; geometry.input_length()];
//! let weight = vec![0.1; geometry.weight_length()];
//! let mut features = vec![0.0; geometry.output_length()];
//! convolution::forward(&geometry, &images, &weight, None, &mut features)?;
//!
//! let parameters = Parameters { gamma: &[1.0; 16], beta: &[0.0; 16] };
//! let epilogue = Epilogue { activation: Activation::Relu, residual: None };
//! let mut activations = vec![0.0; features.len()];
//! let statistics = batch_norm::forward_train(&features, &parameters, 1e-5, &epilogue, &mut activations)?;
//! assert_eq!(statistics.count, 2 * 32 * 32);
//! # Ok::<(), residua_kernels::ShapeError>(())
//! ```
//!
//! # Speed
//! The best vector instructions of the machine are found when the program runs, so no compiler flag is
//! needed: AVX-512F with or without BF16 dot products, AVX2 with FMA, or loops over four numbers that
//! the compiler turns into whatever the target always has. On AArch64 that is NEON; nobody has run or
//! measured it there. Work is spread over the current [rayon] pool.
//!
//! # Reproducibility
//! The same call gives the same bits for any number of threads: what is summed together, and in
//! which order, depends on the sizes alone. Different instruction sets round differently.

// Vector intrinsics, unaligned loads, memory that changes its type and writes of several threads to
// one slice need it. Every block says why it is sound.
#![allow(unsafe_code)]

// The helpers of the integration tests serve the tests of the parts, too.
#[cfg(test)]
extern crate self as residua_kernels;

pub mod activation;
pub mod attention;
pub mod batch_norm;
mod buffer;
pub mod channel_convolution;
pub mod channel_summary;
mod channels;
pub mod chunks;
pub mod convolution;
pub mod dropout;
mod element;
pub mod elementwise;
mod error;
pub mod feature_map;
pub mod flatten;
pub mod gate;
pub mod group_norm;
mod image_parts;
mod instruction_set;
pub mod linear;
mod lines;
pub mod optimiser;
mod parallel;
pub mod path_softmax;
pub mod pooling;
pub mod reduce;
mod rows;
mod scratch;
pub mod shortcut;
mod simd;

pub use buffer::{Buffer, BufferPool};
pub use element::Element;
pub use error::ShapeError;
pub use instruction_set::{InstructionSet, with_instruction_set};
