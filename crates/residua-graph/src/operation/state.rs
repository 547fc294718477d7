//! The tensors that operations own.

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
    /// Vectors for the distances between pixels, `[distances, features]`; trained.
    RelativePosition,
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
            Self::Weight | Self::Bias | Self::NormScale | Self::NormShift | Self::RelativePosition
        )
    }

    /// Whether it belongs to a normalisation or is a bias: what many recipes exempt from
    /// weight decay.
    pub fn is_norm_or_bias(self) -> bool {
        !matches!(self, Self::Weight | Self::RelativePosition)
    }
}

/// The values that training starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// All the same.
    Constant(f32),
    /// Normal with this standard deviation around zero.
    Normal(f32),
    /// Uniform between `-bound` and `bound`.
    Uniform(f32),
}

/// A tensor that an operation owns, named relative to its node.
#[derive(Debug, Clone, PartialEq)]
pub struct StateSpec {
    /// PyTorch's local name, `weight` for instance.
    pub name: &'static str,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: StateRole,
    /// Where training starts.
    pub initial: Initial,
}
