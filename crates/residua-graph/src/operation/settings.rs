//! The settings of operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A two-dimensional convolution (cross-correlation, as everywhere in the field).
///
/// The weight has PyTorch's shape `[out, in / groups, kernel height, kernel width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Channels produced.
    pub out_channels: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step between outputs.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Distance between kernel taps.
    pub dilation: [usize; 2],
    /// Independent groups of channels.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// What the start of the weight is measured by.
    pub fan: Fan,
}

/// The start of a convolution's weight is normal with variance 2 / fan (He et al. 2015, "Delving Deep into
/// Rectifiers"), and either fan serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fan {
    /// The weights that make one output: values keep their size on the way forward (eq. 10).
    In,
    /// The weights that read one input, of all groups together as PyTorch counts: gradients keep their
    /// size on the way back (eq. 14). torchvision's residual networks start like this.
    Out,
}

impl Convolution {
    /// A square kernel with "same" padding for odd sizes, stride 1, no bias: the form that
    /// precedes a batch normalisation.
    pub fn square(out_channels: usize, kernel: usize) -> Self {
        Self {
            out_channels,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups: 1,
            bias: false,
            fan: Fan::Out,
        }
    }

    /// The same convolution with this stride in both directions.
    pub fn stride(self, stride: usize) -> Self {
        Self {
            stride: [stride; 2],
            ..self
        }
    }
}

/// Batch normalisation (Ioffe and Szegedy 2015, Algorithm 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of the new batch in the running statistics, as PyTorch counts it.
    pub momentum: f32,
    /// Where the scale γ starts.
    pub initial_scale: InitialScale,
}

impl Default for BatchNorm {
    /// PyTorch's defaults, with which all public weights were trained.
    fn default() -> Self {
        Self {
            epsilon: 1e-5,
            momentum: 0.1,
            initial_scale: InitialScale::One,
        }
    }
}

/// The largest value of each window; the border is padded with minus infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Padding on each side.
    pub padding: [usize; 2],
}

impl MaxPool {
    /// Windows of two by two pixels that do not overlap.
    pub fn halving() -> Self {
        Self {
            kernel: [2; 2],
            stride: [2; 2],
            padding: [0; 2],
        }
    }
}

/// The parameter-free shortcut of He et al. 2015, §3.3 option A: every `stride`-th pixel,
/// with zero channels added before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZeroPadShortcut {
    /// Step between the pixels kept.
    pub stride: usize,
    /// Zero channels before the existing ones.
    pub before: usize,
    /// Zero channels after them.
    pub after: usize,
}

/// A fully connected layer with bias; the weight has PyTorch's shape `[out, in]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Values produced.
    pub out_features: usize,
}

/// A function of single numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `x` where positive, `0.01 x` elsewhere.
    LeakyRelu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x · sigmoid(x)`, also called swish.
    Silu,
    /// `x · Φ(x)` with the distribution function of the normal distribution, not its approximation.
    Gelu,
}

/// The mean of each window, without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AveragePool {
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// What becomes of pixels at the far edges that do not fill a window.
    pub edge: Edge,
}

impl AveragePool {
    /// Windows of two by two pixels that do not overlap.
    pub fn halving(edge: Edge) -> Self {
        Self {
            kernel: [2; 2],
            stride: [2; 2],
            edge,
        }
    }
}

/// What becomes of pixels at the far edges that do not fill a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// They are left out.
    Drop,
    /// They form a smaller window (PyTorch's `ceil_mode` without counting padding).
    Keep,
}

/// The axis along which maps are joined or cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Rows of pixels.
    Rows,
    /// Channels.
    Channels,
}

/// A part of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Along which axis.
    pub axis: Axis,
    /// Position of the first row or channel.
    pub begin: usize,
    /// Number of rows or channels.
    pub length: usize,
}

/// Random zeros in training, the others scaled up to the same mean; nothing in evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// What is dropped at once.
    pub unit: DropUnit,
    /// The share that is dropped, in `[0, 1)`.
    pub rate: f32,
}

/// What a [`Dropout`] drops at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropUnit {
    /// A number (Srivastava et al. 2014).
    Number,
    /// The whole value of a sample: stochastic depth (Huang et al. 2016).
    Sample,
}

/// Normalisation over the pixels and channels of each of some groups of channels, sample by sample
/// (Wu and He 2018, "Group Normalization").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNorm {
    /// Groups of channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Where the scale γ starts.
    pub initial_scale: InitialScale,
}

/// Where the scale γ of a normalisation starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitialScale {
    /// The normalised value itself.
    #[default]
    One,
    /// Nothing: the last norm of a residual branch, so that the block starts as the identity (Goyal et
    /// al. 2017, "Accurate, Large Minibatch SGD", §5.1).
    Zero,
}

/// A convolution along the channels of one pixel, with zeros at the ends (efficient channel attention,
/// Wang et al. 2020, §3.3); the weight has PyTorch's shape `[1, 1, kernel]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelConvolution {
    /// Channels that one sees, an odd number.
    pub kernel: usize,
}

/// Attention of all pixels to all pixels, with relative positions (Bello et al. 2019; Srinivas et al.
/// 2021, "Bottleneck Transformers", §3).
///
/// Reads queries, keys and values as the thirds of its input's channels, head by head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelfAttention {
    /// Attentions beside each other, each with its share of the channels.
    pub heads: usize,
}
