//! What a node computes, the parameters it owns, and what it costs.

use crate::shape::Shape;

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
}

impl Default for BatchNorm {
    /// PyTorch's defaults, with which all public weights were trained.
    fn default() -> Self {
        Self {
            epsilon: 1e-5,
            momentum: 0.1,
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

/// What a node computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// The image.
    Input,
    /// See [`Convolution`].
    Convolution(Convolution),
    /// See [`BatchNorm`].
    BatchNorm(BatchNorm),
    /// `max(x, 0)`.
    Relu,
    /// See [`MaxPool`].
    MaxPool(MaxPool),
    /// The mean over all pixels: a map becomes a vector.
    GlobalAveragePool,
    /// See [`ZeroPadShortcut`].
    ZeroPadShortcut(ZeroPadShortcut),
    /// The sum of two equal shapes: `F(x) + x`.
    Add,
    /// See [`Linear`].
    Linear(Linear),
}

/// What a tensor of a network's state is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateRole {
    /// Weight of a convolution or a linear layer; trained.
    Weight,
    /// Bias of a convolution or a linear layer; trained.
    Bias,
    /// Scale γ of a normalisation; trained.
    NormScale,
    /// Shift β of a normalisation; trained.
    NormShift,
    /// Running mean of a batch normalisation; not trained.
    RunningMean,
    /// Running (unbiased) variance of a batch normalisation; not trained.
    RunningVariance,
    /// How many batches the running statistics have seen (PyTorch's `num_batches_tracked`).
    BatchCount,
}

impl StateRole {
    /// Whether gradients update it.
    pub fn is_trainable(self) -> bool {
        matches!(
            self,
            Self::Weight | Self::Bias | Self::NormScale | Self::NormShift
        )
    }

    /// Whether it belongs to a normalisation or is a bias: what many recipes exempt from
    /// weight decay.
    pub fn is_norm_or_bias(self) -> bool {
        !matches!(self, Self::Weight)
    }
}

/// A tensor that an operation owns, named relative to its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSpec {
    /// PyTorch's local name, `weight` for instance.
    pub name: &'static str,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: StateRole,
}

impl Operation {
    /// A short word for tables and drawings.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Convolution(_) => "convolution",
            Self::BatchNorm(_) => "batch norm",
            Self::Relu => "relu",
            Self::MaxPool(_) => "max pool",
            Self::GlobalAveragePool => "global average pool",
            Self::ZeroPadShortcut(_) => "zero-pad shortcut",
            Self::Add => "add",
            Self::Linear(_) => "linear",
        }
    }

    /// How many nodes it reads.
    pub fn arity(&self) -> usize {
        match self {
            Self::Input => 0,
            Self::Add => 2,
            _ => 1,
        }
    }

    /// The shape it produces from these inputs, or why it cannot.
    pub(crate) fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match (self, inputs) {
            (Self::Convolution(convolution), &[input]) => convolution.output_shape(input),
            (Self::BatchNorm(_) | Self::Relu, &[input]) => Ok(input),
            (Self::MaxPool(pool), &[input]) => {
                let [height, width] = windows(
                    map_of(input)?,
                    pool.kernel,
                    pool.stride,
                    pool.padding,
                    [1, 1],
                )?;
                Ok(Shape::map(height, width, input.channels()))
            }
            (Self::GlobalAveragePool, &[input]) => {
                map_of(input)?;
                Ok(Shape::vector(input.channels()))
            }
            (Self::ZeroPadShortcut(shortcut), &[input]) => {
                let [height, width] = map_of(input)?;
                if shortcut.stride == 0 {
                    return Err("the stride is 0".into());
                }
                let channels = shortcut.before + input.channels() + shortcut.after;
                let kept = |size: usize| size.div_ceil(shortcut.stride);
                Ok(Shape::map(kept(height), kept(width), channels))
            }
            (Self::Add, &[left, right]) if left == right => Ok(left),
            (Self::Add, &[left, right]) => Err(format!("cannot add {left} and {right}")),
            (Self::Linear(linear), &[Shape::Vector { .. }]) => {
                Ok(Shape::vector(linear.out_features))
            }
            (Self::Linear(_), &[input]) => Err(format!("needs a vector, and got {input}")),
            _ => Err(format!(
                "reads {} inputs, and got {}",
                self.arity(),
                inputs.len()
            )),
        }
    }

    /// The tensors it owns, in PyTorch's order, for an input of this many channels.
    pub fn state(&self, in_channels: usize) -> Vec<StateSpec> {
        let entry = |name, shape: &[usize], role| StateSpec {
            name,
            shape: shape.to_vec(),
            role,
        };
        match *self {
            Self::Convolution(c) => {
                let [height, width] = c.kernel;
                let weight = [c.out_channels, in_channels / c.groups, height, width];
                let mut state = vec![entry("weight", &weight, StateRole::Weight)];
                if c.bias {
                    state.push(entry("bias", &[c.out_channels], StateRole::Bias));
                }
                state
            }
            Self::BatchNorm(_) => vec![
                entry("weight", &[in_channels], StateRole::NormScale),
                entry("bias", &[in_channels], StateRole::NormShift),
                entry("running_mean", &[in_channels], StateRole::RunningMean),
                entry("running_var", &[in_channels], StateRole::RunningVariance),
                entry("num_batches_tracked", &[], StateRole::BatchCount),
            ],
            Self::Linear(Linear { out_features }) => vec![
                entry("weight", &[out_features, in_channels], StateRole::Weight),
                entry("bias", &[out_features], StateRole::Bias),
            ],
            Self::Input
            | Self::Relu
            | Self::MaxPool(_)
            | Self::GlobalAveragePool
            | Self::ZeroPadShortcut(_)
            | Self::Add => Vec::new(),
        }
    }

    /// Multiply-accumulates for one sample. Convolutions and linear layers count; biases,
    /// norms, activations, pooling and additions do not.
    pub fn macs(&self, input: Shape, output: Shape) -> u64 {
        match self {
            Self::Convolution(c) => {
                let taps = c.kernel[0] * c.kernel[1] * input.channels() / c.groups;
                (output.elements() * taps) as u64
            }
            Self::Linear(_) => (input.elements() * output.elements()) as u64,
            _ => 0,
        }
    }
}

impl Convolution {
    fn output_shape(&self, input: Shape) -> Result<Shape, String> {
        let size = map_of(input)?;
        let divides = |channels: usize| self.groups > 0 && channels.is_multiple_of(self.groups);
        if !divides(input.channels()) || !divides(self.out_channels) {
            return Err(format!(
                "{} groups do not divide {} input and {} output channels",
                self.groups,
                input.channels(),
                self.out_channels
            ));
        }
        let [height, width] = windows(size, self.kernel, self.stride, self.padding, self.dilation)?;
        Ok(Shape::map(height, width, self.out_channels))
    }
}

fn map_of(shape: Shape) -> Result<[usize; 2], String> {
    match shape {
        Shape::Map { height, width, .. } => Ok([height, width]),
        Shape::Vector { .. } => Err(format!("needs a feature map, and got a vector of {shape}")),
    }
}

/// How many windows fit in each direction.
fn windows(
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
) -> Result<[usize; 2], String> {
    let mut count = [0; 2];
    for axis in 0..2 {
        if kernel[axis] == 0 || stride[axis] == 0 || dilation[axis] == 0 {
            return Err("kernel, stride and dilation must be at least 1".into());
        }
        let padded = size[axis] + 2 * padding[axis];
        let reach = dilation[axis] * (kernel[axis] - 1) + 1;
        if padded < reach {
            return Err(format!(
                "a window of {reach} does not fit into {} pixels padded to {padded}; \
                 use a larger input",
                size[axis]
            ));
        }
        count[axis] = (padded - reach) / stride[axis] + 1;
    }
    Ok(count)
}
