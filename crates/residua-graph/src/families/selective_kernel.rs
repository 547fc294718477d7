//! The selective-kernel unit (Li et al. 2019, "Selective Kernel Networks", §3.1) in the form of timm:
//! each path reads its share of the channels.

use super::attention::{Reduction, mean};
use super::variations::Variations;
use crate::builder::GraphBuilder;
use crate::graph::{GraphError, NodeId};
use crate::operation::{Axis, Convolution, Operation, Slice};

/// A 3×3 convolution, and one of dilation 2 that sees 5×5 pixels.
const DILATIONS: [usize; 2] = [1, 2];

/// How narrow the layer is that chooses between the paths (timm's `skresnet18`).
const REDUCTION: Reduction = Reduction {
    ratio: 8,
    divisor: 16,
};

/// Appends the unit: two paths, and their sum weighted channel by channel.
pub(super) fn append(
    builder: &mut GraphBuilder,
    variations: &Variations,
    path: &str,
    x: NodeId,
    convolution: Convolution,
) -> Result<NodeId, GraphError> {
    let share = builder.shape_of(x).channels() / DILATIONS.len();
    let mut paths = Vec::with_capacity(DILATIONS.len());
    for (index, dilation) in DILATIONS.into_iter().enumerate() {
        let path = format!("{path}.paths.{index}");
        let own = slice(builder, format!("{path}.slice"), x, index * share, share)?;
        let dilated = Convolution {
            dilation: [dilation; 2],
            padding: [dilation; 2],
            ..convolution
        };
        paths.push(variations.convolution_unit(builder, &path, own, dilated)?);
    }
    weighted_sum(builder, &format!("{path}.attn"), &paths)
}

/// What all paths give together decides what each is worth.
fn weighted_sum(
    builder: &mut GraphBuilder,
    path: &str,
    paths: &[NodeId],
) -> Result<NodeId, GraphError> {
    let channels = builder.shape_of(paths[0]).channels();
    let sum = builder.add(format!("{path}.add"), paths[0], paths[1])?;
    let x = mean(builder, path, sum)?;
    let narrow = Convolution::square(REDUCTION.channels(channels), 1);
    let x = builder.convolution(format!("{path}.fc_reduce"), x, narrow)?;
    let x = builder.batch_norm(format!("{path}.bn"), x)?;
    let x = builder.relu(format!("{path}.act"), x)?;
    let wide = Convolution::square(channels * paths.len(), 1);
    let x = builder.convolution(format!("{path}.fc_select"), x, wide)?;
    let softmax = Operation::PathSoftmax { paths: paths.len() };
    let worths = builder.push(format!("{path}.softmax"), softmax, &[x])?;
    let mut weighted = Vec::with_capacity(paths.len());
    for (index, &way) in paths.iter().enumerate() {
        let name = format!("{path}.worth{index}");
        let worth = slice(builder, name, worths, index * channels, channels)?;
        let name = format!("{path}.gate{index}");
        weighted.push(builder.push(name, Operation::Gate, &[way, worth])?);
    }
    builder.add(format!("{path}.sum"), weighted[0], weighted[1])
}

fn slice(
    builder: &mut GraphBuilder,
    name: String,
    x: NodeId,
    begin: usize,
    length: usize,
) -> Result<NodeId, GraphError> {
    let operation = Operation::Slice(Slice {
        axis: Axis::Channels,
        begin,
        length,
    });
    builder.push(name, operation, &[x])
}
