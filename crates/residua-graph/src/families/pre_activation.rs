//! Residual networks with norm and activation before each convolution: pre-activation ResNets (He et
//! al. 2016, "Identity Mappings in Deep Residual Networks") for CIFAR and ImageNet, and Wide ResNets
//! (Zagoruyko and Komodakis 2016, "Wide Residual Networks").
//!
//! Nothing stands on the way of the shortcut: the sum of a block is passed on as it is.

use super::resnet::Form;
use super::shortcut::{Shortcut, Way};
use super::stages::{Place, Stage, places, stages};
use super::stem::STEM_POOL;
use super::variations::{Variable, Variations};
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::{Convolution, Operation};
use crate::shape::Shape;

/// The residual branch F(x).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreActivationBlock {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions, the last four times as wide, the stride on the 3×3.
    Bottleneck,
}

/// Everything that distinguishes one of these networks from another.
#[derive(Debug, Clone, PartialEq)]
pub struct PreActivationSpec {
    /// Stem, head and names: those of the CIFAR reference, or of timm's `resnetv2`.
    pub form: Form,
    /// Channels of the stem.
    pub stem_width: usize,
    /// Residual branch.
    pub block: PreActivationBlock,
    /// What is added to it.
    pub shortcut: Shortcut,
    /// Width and number of blocks of each stage; each stage after the first halves the map.
    pub stages: Vec<Stage>,
    /// Norms, activations and regularisers.
    pub variations: Variations,
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

    /// The ImageNet networks: four stages of bottlenecks of 64 to 512 channels.
    pub fn imagenet(blocks: [usize; 4]) -> Self {
        Self {
            form: Form::ImageNet,
            stem_width: 64,
            block: PreActivationBlock::Bottleneck,
            shortcut: Shortcut::Projection,
            stages: stages(&[64, 128, 256, 512], &blocks),
            variations: Variations::default(),
        }
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
            form: Form::Cifar,
            stem_width: 16,
            block,
            shortcut: Shortcut::Projection,
            stages: stages(&[16, 32, 64].map(|width| width * widening), &[blocks; 3]),
            variations: Variations::default(),
        })
    }

    /// The branches end in a convolution, so there is no last norm.
    pub(crate) fn variable(&mut self) -> Variable<'_> {
        Variable {
            last_norm: None,
            ..self.variations.variable(&mut self.shortcut)
        }
    }

    /// Builds the graph.
    ///
    /// # Errors
    /// When the network cannot take such an image.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(name, input);
        let mut x = self.stem(&mut builder)?;
        for place in places(&self.stages) {
            x = self.block(&mut builder, x, &place)?;
        }
        let norm = match self.form {
            Form::Cifar => "bn",
            Form::ImageNet => "norm",
        };
        let x = self.variations.norm(&mut builder, norm.into(), x)?;
        let x = self.variations.activation(&mut builder, "relu".into(), x)?;
        let logits = self.head(&mut builder, x, classes)?;
        Ok(builder.finish(logits))
    }

    fn stem(&self, builder: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let image = builder.input();
        match self.form {
            Form::Cifar => {
                let convolution = Convolution::square(self.stem_width, 3);
                builder.convolution("conv1", image, convolution)
            }
            Form::ImageNet => {
                let convolution = Convolution::square(self.stem_width, 7).stride(2);
                let x = builder.convolution("stem.conv", image, convolution)?;
                builder.max_pool("stem.pool", x, STEM_POOL)
            }
        }
    }

    /// timm's head is a convolution on the pooled map.
    fn head(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        classes: usize,
    ) -> Result<NodeId, GraphError> {
        match self.form {
            Form::Cifar => {
                let x = builder.global_average_pool("avgpool", x)?;
                builder.linear("linear", x, classes)
            }
            Form::ImageNet => {
                let pool = Operation::AdaptiveAveragePool([1, 1]);
                let x = builder.push("head.global_pool", pool, &[x])?;
                let layer = Convolution {
                    bias: true,
                    ..Convolution::square(classes, 1)
                };
                let x = builder.convolution("head.fc", x, layer)?;
                builder.push("head.flatten", Operation::Flatten, &[x])
            }
        }
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

    /// Norm, activation, convolution, several times; then the sum. A shortcut that changes the shape
    /// reads what the first activation gives (He et al. 2016, §4.1), an identity the block's input.
    fn block(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
    ) -> Result<NodeId, GraphError> {
        let names = self.names(place);
        let Names { path, norm, .. } = &names;
        let variations = &self.variations;
        let convolutions = self.convolutions(place.width, place.stride);
        let (mut y, mut first_norm, mut first_activation) = (x, x, x);
        for (number, convolution) in (1..).zip(&convolutions) {
            let norm = variations.norm(builder, format!("{path}.{norm}{number}"), y)?;
            y = variations.activation(builder, format!("{path}.relu{number}"), norm)?;
            if number == 1 {
                (first_norm, first_activation) = (norm, y);
            }
            if number == convolutions.len() {
                y = variations.dropout(builder, format!("{path}.dropout"), y)?;
            }
            y = builder.convolution(format!("{path}.conv{number}"), y, *convolution)?;
        }
        let out_channels = builder.shape_of(y).channels();
        let name = format!("{path}.drop_path");
        y = variations.stochastic_depth(builder, name, y, place.depth)?;
        let way = self
            .shortcut
            .way(builder.shape_of(x), out_channels, place.stride);
        let shortcut = match way {
            Way::Nothing => return Ok(y),
            Way::Identity => x,
            Way::ZeroPad(shortcut) => {
                let name = format!("{path}.shortcut");
                builder.zero_pad_shortcut(name, first_activation, shortcut)?
            }
            Way::Projection(projection) => {
                let name = format!("{path}.{}", names.projection);
                let projected = builder.convolution(name, first_activation, projection)?;
                if names.projection_is_first {
                    builder.register_before(projected, first_norm);
                }
                projected
            }
        };
        builder.add(format!("{path}.add"), y, shortcut)
    }

    fn names(&self, place: &Place) -> Names {
        let Place { stage, block, .. } = place;
        match self.form {
            Form::Cifar => Names {
                path: format!("layer{}.{block}", stage + 1),
                norm: "bn",
                projection: "shortcut.0",
                projection_is_first: false,
            },
            Form::ImageNet => Names {
                path: format!("stages.{stage}.blocks.{block}"),
                norm: "norm",
                projection: "downsample.conv",
                projection_is_first: true,
            },
        }
    }
}

/// How the parts of a block are called.
struct Names {
    path: String,
    norm: &'static str,
    projection: &'static str,
    /// Whether the original registers the projection before everything else.
    projection_is_first: bool,
}
