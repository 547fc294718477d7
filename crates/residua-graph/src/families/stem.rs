//! How the image enters a residual network.

use super::variations::Variations;
use crate::builder::GraphBuilder;
use crate::graph::{GraphError, NodeId};
use crate::operation::{Convolution, MaxPool};

/// The layers before the first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stem {
    /// One 3×3 convolution (He et al. 2015, §4.2).
    Cifar,
    /// A 7×7 convolution of stride 2 and a 3×3 max pool (He et al. 2015, Table 1).
    SevenBySeven,
    /// Three 3×3 convolutions, the first of stride 2, and a 3×3 max pool: ResNet-C (He et al. 2019,
    /// "Bag of Tricks for Image Classification with Convolutional Neural Networks", §4.2).
    Deep {
        /// Channels of the first two.
        widths: [usize; 2],
    },
}

/// The max pool of all stems for large images.
pub(super) const STEM_POOL: MaxPool = MaxPool {
    kernel: [3; 2],
    stride: [2; 2],
    padding: [1; 2],
};

impl Stem {
    /// Appends the stem; it ends with so many channels.
    pub(super) fn append(
        self,
        builder: &mut GraphBuilder,
        variations: &Variations,
        width: usize,
    ) -> Result<NodeId, GraphError> {
        let image = builder.input();
        let x = match self {
            Self::Cifar => builder.convolution("conv1", image, Convolution::square(width, 3))?,
            Self::SevenBySeven => {
                let convolution = Convolution::square(width, 7).stride(2);
                builder.convolution("conv1", image, convolution)?
            }
            Self::Deep { widths } => deep(builder, variations, widths, width)?,
        };
        let x = variations.norm(builder, "bn1".into(), x)?;
        let x = variations.activation(builder, "relu".into(), x)?;
        match self {
            Self::Cifar => Ok(x),
            Self::SevenBySeven | Self::Deep { .. } => builder.max_pool("maxpool", x, STEM_POOL),
        }
    }
}

/// Numbered as the modules of timm's `conv1`.
fn deep(
    builder: &mut GraphBuilder,
    variations: &Variations,
    widths: [usize; 2],
    width: usize,
) -> Result<NodeId, GraphError> {
    let mut x = builder.input();
    for (index, width) in widths.into_iter().enumerate() {
        let at = |part: usize| format!("conv1.{}", 3 * index + part);
        let stride = if index == 0 { 2 } else { 1 };
        let convolution = Convolution::square(width, 3).stride(stride);
        x = builder.convolution(at(0), x, convolution)?;
        x = variations.norm(builder, at(1), x)?;
        x = variations.activation(builder, at(2), x)?;
    }
    builder.convolution("conv1.6", x, Convolution::square(width, 3))
}
