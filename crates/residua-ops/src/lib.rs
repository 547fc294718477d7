//! Differentiable operations of residual networks on Burn tensors.
//!
//! Burn computes, differentiates and moves between devices; this crate adds the operations
//! that a residual network spends its time in, in the layout and the grouping that make them
//! fast: tensors are `[N, H, W, C]`, and a batch normalisation takes the addition of the
//! shortcut and the rectifier with it.
//!
//! Each operation is a method of [`VisionBackend`], an extension of Burn's backends. Its
//! default body ([`mod@reference`]) is made of Burn's own operations: it serves the GPUs and is
//! what the tests compare with. On the CPU the methods call the kernels of `residua-kernels`.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use residua_ops::{ConvolutionOptions, convolution};
//!
//! let device = Device::flex().autodiff();
//! let images = Tensor::<4>::random([2, 8, 8, 3], Distribution::Default, &device);
//! let weight = Tensor::<4>::random([16, 3, 3, 3], Distribution::Default, &device).require_grad();
//! let options = ConvolutionOptions { padding: [1, 1], ..ConvolutionOptions::default() };
//! let features = convolution(images, weight.clone(), options);
//! assert_eq!(features.dims(), [2, 8, 8, 16]);
//! let gradients = features.sum().backward();
//! assert_eq!(weight.grad(&gradients).map(|gradient| gradient.dims()), Some([16, 3, 3, 3]));
//! ```
//!
//! Shapes are checked where a network is built (`residua-graph`). Calling an operation with
//! shapes that do not fit is a programming error and panics, as Burn's own operations do.

mod autodiff;
mod backend;
mod composed;
mod flex;
mod functions;
mod host;
mod host_steps;
mod operation_set;
mod options;
pub mod reference;

pub use backend::VisionBackend;
pub use composed::{
    activation, adaptive_average_pool, average_pool, channel_convolution, channel_summary, dropout,
    flatten, gate, group_norm, path_softmax, self_attention,
};
pub use functions::{
    BatchNormOutput, adam_w_step, batch_norm, channel_affine, convolution, global_average_pool,
    linear, max_pool, sgd_step, zero_pad_shortcut,
};
pub use host::{HostValues, is_host};
pub use host_steps::{lamb_step, muon_step, rms_prop_step};
pub use operation_set::OperationSet;
pub use options::{
    AveragePoolOptions, ConvolutionOptions, MaxPoolOptions, NormOptions, ZeroPadOptions,
};
/// Functions of single numbers.
pub use residua_kernels::InstructionSet;
pub use residua_kernels::activation::Activation;
/// What a dropout drops.
pub use residua_kernels::dropout::DropRule;
/// The rules of the optimiser steps.
pub use residua_kernels::optimiser::{
    AdamW, DecayForm, Lamb, Muon, MuonScale, RmsProp, RmsPropForm, Sgd, TrustBound,
};
