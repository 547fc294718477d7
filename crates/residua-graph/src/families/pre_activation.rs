//! Residual networks with norm and rectifier before each convolution, for CIFAR: pre-activation
//! ResNets (He et al. 2016, "Identity Mappings in Deep Residual Networks") and Wide ResNets
//! (Zagoruyko and Komodakis 2016, "Wide Residual Networks").
//!
//! Nothing stands on the way of the shortcut: the sum of a block is passed on as it is. Names are
//! those of the CIFAR reference.

use super::resnet::{Stage, stages};
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::Convolution;
use crate::shape::Shape;

/// Channels of the stem.
const STEM_WIDTH: usize = 16;

/// The residual branch F(x).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreActivationBlock {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions, the last four times as wide, the stride on the 3×3.
    Bottleneck,
}

/// Everything that distinguishes one of these networks from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreActivationSpec {
    /// Residual branch.
    pub block: PreActivationBlock,
    /// Width and number of blocks of each stage; each stage after the first halves the map.
    pub stages: Vec<Stage>,
}

impl PreActivationSpec {
    /// The networks of He et al. 2016: `6n + 2` layers of basic blocks or `9n + 2` of bottlenecks, in
    /// three stages of 16, 32 and 64 channels; `None` when the depth is not of that form.
    pub fn resnet(depth: usize, block: PreActivationBlock) -> Option<Self> {
        let layers = match block {
            PreActivationBlock::Basic => 6,
            PreActivationBlock::Bottleneck => 9,
        };
        Self::three_stages(depth.checked_sub(2)?, layers, block, 1)
    }

    /// WRN-depth-widening (Zagoruyko and Komodakis 2016, Table 1): `6n + 4` layers of basic blocks,
    /// `widening` times as wide; `None` when the depth is not of that form.
    pub fn wide(depth: usize, widening: usize) -> Option<Self> {
        let layers = depth.checked_sub(4)?;
        Self::three_stages(layers, 6, PreActivationBlock::Basic, widening)
    }

    fn three_stages(
        layers: usize,
        layers_of_each: usize,
        block: PreActivationBlock,
        widening: usize,
    ) -> Option<Self> {
        let blocks = layers / layers_of_each;
        let fits = layers.is_multiple_of(layers_of_each) && blocks > 0 && widening > 0;
        fits.then(|| Self {
            block,
            stages: stages(&[16, 32, 64].map(|width| width * widening), &[blocks; 3]),
        })
    }

    /// Builds the graph.
    ///
    /// # Errors
    /// When the network cannot take such an image.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(name, input);
        let stem = Convolution::square(STEM_WIDTH, 3);
        let mut x = builder.convolution("conv1", builder.input(), stem)?;
        for (stage_index, stage) in self.stages.iter().enumerate() {
            for block_index in 0..stage.blocks {
                let halves = stage_index > 0 && block_index == 0;
                let stride = if halves { 2 } else { 1 };
                let path = format!("layer{}.{block_index}", stage_index + 1);
                x = self.block(
                    &mut builder,
                    x,
                    &path,
                    self.convolutions(stage.width, stride),
                )?;
            }
        }
        let x = builder.batch_norm("bn", x)?;
        let x = builder.relu("relu", x)?;
        let x = builder.global_average_pool("avgpool", x)?;
        let logits = builder.linear("linear", x, classes)?;
        Ok(builder.finish(logits))
    }

    fn convolutions(&self, width: usize, stride: usize) -> Vec<Convolution> {
        match self.block {
            PreActivationBlock::Basic => vec![
                Convolution::square(width, 3).stride(stride),
                Convolution::square(width, 3),
            ],
            PreActivationBlock::Bottleneck => vec![
                Convolution::square(width, 1),
                Convolution::square(width, 3).stride(stride),
                Convolution::square(4 * width, 1),
            ],
        }
    }

    /// Norm, rectifier, convolution, several times; then the sum. A projection reads what the first
    /// rectifier gives (He et al. 2016, §4.1), an identity the block's input.
    fn block(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        path: &str,
        convolutions: Vec<Convolution>,
    ) -> Result<NodeId, GraphError> {
        let (mut y, mut first_activation) = (x, x);
        for (index, convolution) in (1..).zip(&convolutions) {
            y = builder.batch_norm(format!("{path}.bn{index}"), y)?;
            y = builder.relu(format!("{path}.relu{index}"), y)?;
            if index == 1 {
                first_activation = y;
            }
            y = builder.convolution(format!("{path}.conv{index}"), y, *convolution)?;
        }
        let (before, after) = (builder.shape_of(x), builder.shape_of(y));
        let shortcut = if before == after {
            x
        } else {
            let stride = convolutions.iter().map(|c| c.stride[0]).product();
            let projection = Convolution::square(after.channels(), 1).stride(stride);
            builder.convolution(format!("{path}.shortcut.0"), first_activation, projection)?
        };
        builder.add(format!("{path}.add"), y, shortcut)
    }
}
