//! Gates at the end of a residual branch: what the whole map says about each channel, and in CBAM also
//! about each pixel. Names are timm's.

use crate::builder::GraphBuilder;
use crate::graph::{GraphError, NodeId};
use crate::operation::{
    Activation, Axis, ChannelConvolution, Convolution, MaxPool, Operation, Slice,
};

/// A gate on the channels of a residual branch, after its last norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Two layers on the means of all channels (Hu et al. 2018, "Squeeze-and-Excitation Networks", §3).
    SqueezeExcitation(Reduction),
    /// A convolution along the means of all channels (Wang et al. 2020, "ECA-Net", §3.3).
    EfficientChannel,
    /// Two layers on means and maxima, then a gate on pixels (Woo et al. 2018, "CBAM: Convolutional
    /// Block Attention Module", §3).
    Cbam(Reduction),
}

/// How narrow a gate is in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reduction {
    /// Channels of the map for each channel in the middle.
    pub ratio: usize,
    /// The middle is the nearest multiple of this, and at least this.
    pub divisor: usize,
}

impl Reduction {
    /// A sixteenth (Hu et al. 2018, §6.1 on the reduction ratio), rounded to a multiple of 8 as timm does.
    pub const ROUNDED: Self = Self {
        ratio: 16,
        divisor: 8,
    };
    /// A sixteenth, rounded, and at least one channel: timm's CBAM. Public implementations of
    /// squeeze and excitation for CIFAR divide by 16 as well (`se_resnet20` of moskomule/senet.pytorch),
    /// which is the same for the 16, 32 and 64 channels of those networks: 1, 2 and 4.
    pub const PLAIN: Self = Self {
        ratio: 16,
        divisor: 1,
    };

    /// Channels in the middle: timm's `make_divisible`.
    pub(super) fn channels(self, channels: usize) -> usize {
        let step = self.ratio * self.divisor;
        let steps = (2 * channels + step) / (2 * step);
        steps.max(1) * self.divisor
    }
}

impl Attention {
    /// Appends the gate and the product.
    pub(super) fn append(
        self,
        builder: &mut GraphBuilder,
        path: &str,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        match self {
            Self::SqueezeExcitation(reduction) => squeeze_excitation(builder, path, x, reduction),
            Self::EfficientChannel => efficient_channel(builder, path, x),
            Self::Cbam(reduction) => {
                let x = channel_gate(builder, &format!("{path}.channel"), x, reduction)?;
                pixel_gate(builder, &format!("{path}.spatial"), x)
            }
        }
    }
}

fn squeeze_excitation(
    builder: &mut GraphBuilder,
    path: &str,
    x: NodeId,
    reduction: Reduction,
) -> Result<NodeId, GraphError> {
    let channels = builder.shape_of(x).channels();
    let layer = |out_channels| Convolution {
        bias: true,
        ..Convolution::square(out_channels, 1)
    };
    let means = mean(builder, path, x)?;
    let narrow = layer(reduction.channels(channels));
    let gate = builder.convolution(format!("{path}.fc1"), means, narrow)?;
    let gate = builder.relu(format!("{path}.act"), gate)?;
    let gate = builder.convolution(format!("{path}.fc2"), gate, layer(channels))?;
    apply(builder, path, x, gate)
}

fn efficient_channel(
    builder: &mut GraphBuilder,
    path: &str,
    x: NodeId,
) -> Result<NodeId, GraphError> {
    let kernel = efficient_kernel(builder.shape_of(x).channels());
    let means = mean(builder, path, x)?;
    let operation = Operation::ChannelConvolution(ChannelConvolution { kernel });
    let gate = builder.push(format!("{path}.conv"), operation, &[means])?;
    apply(builder, path, x, gate)
}

/// `|log2(C) / 2 + 1 / 2|`, made odd (Wang et al. 2020, eq. 12), and at least 3 as in timm.
fn efficient_kernel(channels: usize) -> usize {
    let half = ((channels as f64).log2() + 1.0).abs() / 2.0;
    let whole = half as usize;
    (whole + usize::from(whole.is_multiple_of(2))).max(3)
}

/// Means and maxima pass through the same two layers, so they do it as two rows of one map.
fn channel_gate(
    builder: &mut GraphBuilder,
    path: &str,
    x: NodeId,
    reduction: Reduction,
) -> Result<NodeId, GraphError> {
    let channels = builder.shape_of(x).channels();
    let narrow = Convolution::square(reduction.channels(channels), 1);
    let wide = Convolution::square(channels, 1);
    let means = mean(builder, path, x)?;
    let whole_map = MaxPool {
        kernel: builder.shape_of(x).spatial(),
        stride: [1; 2],
        padding: [0; 2],
    };
    let maxima = builder.max_pool(format!("{path}.max"), x, whole_map)?;
    let both = Operation::Concat(Axis::Rows);
    let both = builder.push(format!("{path}.both"), both, &[means, maxima])?;
    let both = builder.convolution(format!("{path}.fc1"), both, narrow)?;
    let both = builder.relu(format!("{path}.act"), both)?;
    let both = builder.convolution(format!("{path}.fc2"), both, wide)?;
    let mut row = |name: &str, begin| {
        let slice = Operation::Slice(Slice {
            axis: Axis::Rows,
            begin,
            length: 1,
        });
        builder.push(format!("{path}.{name}"), slice, &[both])
    };
    let (of_means, of_maxima) = (row("of_mean", 0)?, row("of_max", 1)?);
    let gate = builder.add(format!("{path}.add"), of_means, of_maxima)?;
    apply(builder, path, x, gate)
}

fn pixel_gate(builder: &mut GraphBuilder, path: &str, x: NodeId) -> Result<NodeId, GraphError> {
    // Woo et al. 2018, §4.1: 7×7 is better than 3×3.
    let convolution = Convolution::square(1, 7);
    let summary = builder.push(format!("{path}.summary"), Operation::ChannelSummary, &[x])?;
    let gate = builder.convolution(format!("{path}.conv.conv"), summary, convolution)?;
    let gate = builder.batch_norm(format!("{path}.conv.bn"), gate)?;
    apply(builder, path, x, gate)
}

/// The mean of each channel, as a map of one pixel.
pub(super) fn mean(
    builder: &mut GraphBuilder,
    path: &str,
    x: NodeId,
) -> Result<NodeId, GraphError> {
    let pool = Operation::AdaptiveAveragePool([1, 1]);
    builder.push(format!("{path}.mean"), pool, &[x])
}

/// `x · sigmoid(gate)`.
fn apply(
    builder: &mut GraphBuilder,
    path: &str,
    x: NodeId,
    gate: NodeId,
) -> Result<NodeId, GraphError> {
    let sigmoid = Operation::Activation(Activation::Sigmoid);
    let gate = builder.push(format!("{path}.sigmoid"), sigmoid, &[gate])?;
    builder.push(format!("{path}.gate"), Operation::Gate, &[x, gate])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_as_narrow_as_timms() {
        // make_divisible(channels / 16, 8, round_limit=0), run with timm 1.0.31.
        let expected = [
            (16, 8),
            (64, 8),
            (128, 8),
            (256, 16),
            (320, 24),
            (2048, 128),
        ];
        for (channels, middle) in expected {
            assert_eq!(Reduction::ROUNDED.channels(channels), middle, "{channels}");
        }
        // The same with a divisor of 1, which rounds to the nearest.
        for (channels, middle) in [(8, 1), (16, 1), (24, 2), (32, 2), (64, 4), (2048, 128)] {
            assert_eq!(Reduction::PLAIN.channels(channels), middle, "{channels}");
        }
    }

    #[test]
    fn kernels_along_the_channels_grow_with_their_number() {
        // EcaModule(channels).conv.kernel_size of timm 1.0.31.
        let expected = [
            (1, 3),
            (16, 3),
            (64, 3),
            (128, 5),
            (256, 5),
            (512, 5),
            (2048, 7),
        ];
        for (channels, kernel) in expected {
            assert_eq!(efficient_kernel(channels), kernel, "{channels}");
        }
    }
}
