//! What a node computes, the parameters it owns, and what it costs.

mod settings;
mod shapes;
mod state;

pub use settings::{
    Activation, AveragePool, Axis, BatchNorm, ChannelConvolution, Convolution, DropUnit, Dropout,
    Edge, Fan, GroupNorm, InitialScale, Linear, MaxPool, SelfAttention, Slice, ZeroPadShortcut,
};
pub use state::{Initial, StateRole, StateSpec};

use crate::shape::Shape;

/// What a node computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// The image.
    Input,
    /// See [`Convolution`].
    Convolution(Convolution),
    /// See [`BatchNorm`].
    BatchNorm(BatchNorm),
    /// See [`GroupNorm`].
    GroupNorm(GroupNorm),
    /// See [`Activation`].
    Activation(Activation),
    /// See [`Dropout`].
    Dropout(Dropout),
    /// See [`MaxPool`].
    MaxPool(MaxPool),
    /// See [`AveragePool`].
    AveragePool(AveragePool),
    /// The mean of windows that divide the map into so many rows and columns; they overlap where a
    /// size does not divide, as PyTorch's.
    AdaptiveAveragePool([usize; 2]),
    /// The mean over all pixels: a map becomes a vector.
    GlobalAveragePool,
    /// All numbers as a vector, channel by channel (PyTorch's order).
    Flatten,
    /// Two channels: the mean over all channels, and the largest (Woo et al. 2018, "CBAM", §3).
    ChannelSummary,
    /// See [`ChannelConvolution`].
    ChannelConvolution(ChannelConvolution),
    /// Softmax over the paths, for each channel of a path; the paths lie one after the other (Li et al.
    /// 2019, "Selective Kernel Networks", §3.1).
    PathSoftmax {
        /// How many there are.
        paths: usize,
    },
    /// See [`SelfAttention`].
    SelfAttention(SelfAttention),
    /// See [`ZeroPadShortcut`].
    ZeroPadShortcut(ZeroPadShortcut),
    /// See [`Slice`].
    Slice(Slice),
    /// Several maps joined into one.
    Concat(Axis),
    /// The sum of two equal shapes: `F(x) + x`.
    Add,
    /// A map times a gate: a number for each channel (a map of one pixel), or for each pixel (a map of
    /// one channel).
    Gate,
    /// See [`Linear`].
    Linear(Linear),
}

impl Operation {
    /// `max(x, 0)`.
    pub const RELU: Self = Self::Activation(Activation::Relu);

    /// A short word for tables and drawings.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Convolution(_) => "convolution",
            Self::BatchNorm(_) => "batch norm",
            Self::GroupNorm(_) => "group norm",
            Self::Activation(activation) => activation.name(),
            Self::Dropout(dropout) => match dropout.unit {
                DropUnit::Number => "dropout",
                DropUnit::Sample => "stochastic depth",
            },
            Self::MaxPool(_) => "max pool",
            Self::AveragePool(_) => "average pool",
            Self::AdaptiveAveragePool(_) => "adaptive average pool",
            Self::GlobalAveragePool => "global average pool",
            Self::Flatten => "flatten",
            Self::ChannelSummary => "channel mean and max",
            Self::ChannelConvolution(_) => "channel convolution",
            Self::PathSoftmax { .. } => "softmax over paths",
            Self::SelfAttention(_) => "self-attention",
            Self::ZeroPadShortcut(_) => "zero-pad shortcut",
            Self::Slice(_) => "slice",
            Self::Concat(_) => "concatenate",
            Self::Add => "add",
            Self::Gate => "gate",
            Self::Linear(_) => "linear",
        }
    }

    /// How many nodes it reads; `None` for any number.
    pub fn arity(&self) -> Option<usize> {
        match self {
            Self::Input => Some(0),
            Self::Add | Self::Gate => Some(2),
            Self::Concat(_) => None,
            _ => Some(1),
        }
    }

    /// The tensors it owns, in PyTorch's order, for an input of this shape.
    ///
    /// Convolutions start as their [`Fan`] says, linear layers uniform
    /// within ±1 / √fan-in, which is PyTorch's default. A 1×1 convolution of a single pixel with bias is a
    /// linear layer by another name, of few outputs where it ends a network, and starts like one.
    pub fn state(&self, input: Shape) -> Vec<StateSpec> {
        let entry = |name, shape: &[usize], role, initial| StateSpec {
            name,
            shape: shape.to_vec(),
            role,
            initial,
        };
        let in_channels = input.channels();
        let linear_start = Initial::Uniform(1.0 / (in_channels as f32).sqrt());
        let norm = |initial: InitialScale| {
            let scale = Initial::Constant(match initial {
                InitialScale::One => 1.0,
                InitialScale::Zero => 0.0,
            });
            let shift = Initial::Constant(0.0);
            vec![
                entry("weight", &[in_channels], StateRole::NormScale, scale),
                entry("bias", &[in_channels], StateRole::NormShift, shift),
            ]
        };
        match *self {
            Self::Convolution(c) => {
                let [height, width] = c.kernel;
                let weight = [c.out_channels, in_channels / c.groups, height, width];
                let channels = match c.fan {
                    Fan::In => in_channels / c.groups,
                    Fan::Out => c.out_channels,
                };
                let fan = (channels * height * width) as f32;
                let is_linear = c.bias && c.kernel == [1, 1] && input.spatial() == [1, 1];
                let start = if is_linear {
                    linear_start
                } else {
                    Initial::Normal((2.0 / fan).sqrt())
                };
                let mut state = vec![entry("weight", &weight, StateRole::Weight, start)];
                if c.bias {
                    let (shape, zero) = ([c.out_channels], Initial::Constant(0.0));
                    state.push(entry("bias", &shape, StateRole::Bias, zero));
                }
                state
            }
            Self::BatchNorm(settings) => {
                let mut state = norm(settings.initial_scale);
                let (zero, one) = (Initial::Constant(0.0), Initial::Constant(1.0));
                let (mean, variance) = (StateRole::RunningMean, StateRole::RunningVariance);
                state.push(entry("running_mean", &[in_channels], mean, zero));
                state.push(entry("running_var", &[in_channels], variance, one));
                state.push(entry(
                    "num_batches_tracked",
                    &[],
                    StateRole::BatchCount,
                    zero,
                ));
                state
            }
            Self::GroupNorm(settings) => norm(settings.initial_scale),
            Self::Linear(Linear { out_features }) => {
                let weight = [out_features, in_channels];
                vec![
                    entry("weight", &weight, StateRole::Weight, linear_start),
                    entry(
                        "bias",
                        &[out_features],
                        StateRole::Bias,
                        Initial::Constant(0.0),
                    ),
                ]
            }
            Self::ChannelConvolution(ChannelConvolution { kernel }) => {
                let bound = Initial::Uniform(1.0 / (kernel as f32).sqrt());
                vec![entry("weight", &[1, 1, kernel], StateRole::Weight, bound)]
            }
            Self::SelfAttention(SelfAttention { heads }) => {
                let [height, width] = input.spatial();
                let features = in_channels / 3 / heads;
                let start = Initial::Normal((features as f32).powf(-0.5));
                let table = |name, size: usize| {
                    let shape = [2 * size - 1, features];
                    entry(name, &shape, StateRole::RelativePosition, start)
                };
                vec![
                    table("pos_embed.height_rel", height),
                    table("pos_embed.width_rel", width),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// Multiply-accumulates for one sample. Convolutions and linear layers count; biases,
    /// norms, activations, pooling, additions and the products of attention do not.
    pub fn macs(&self, input: Shape, output: Shape) -> u64 {
        match self {
            Self::Convolution(c) => {
                let taps = c.kernel[0] * c.kernel[1] * input.channels() / c.groups;
                (output.elements() * taps) as u64
            }
            Self::ChannelConvolution(c) => (output.elements() * c.kernel) as u64,
            Self::Linear(_) => (input.elements() * output.elements()) as u64,
            _ => 0,
        }
    }
}

impl Activation {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::LeakyRelu => "leaky relu",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
        }
    }
}
