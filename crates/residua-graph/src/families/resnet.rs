//! Deep residual networks (He et al. 2015, "Deep Residual Learning for Image Recognition"), the
//! plain networks that the paper compares them with, and the wider and grouped ones that followed
//! with the same blocks: Wide ResNet-50-2 and ResNeXt.

use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::{Convolution, MaxPool, Operation, ZeroPadShortcut};
use crate::shape::Shape;

/// How the image enters the network, and whose parameter names it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 7×7 convolution of stride 2 and 3×3 max pool (Table 1); torchvision's names
    /// (`downsample`, `fc`).
    ImageNet,
    /// One 3×3 convolution (§4.2); the names of the CIFAR reference (`shortcut`, `linear`).
    Cifar,
}

/// The residual branch F(x).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Two 3×3 convolutions (Fig. 5 left).
    Basic,
    /// 1×1, 3×3, 1×1 convolutions, the last four times as wide (Fig. 5 right). The stride is
    /// on the 3×3 convolution, as in torchvision and unlike the paper, which has it on the
    /// first 1×1.
    Bottleneck(Paths),
}

/// How wide the 3×3 convolution of a bottleneck is, and into how many paths it is divided.
///
/// ResNeXt's cardinality (Xie et al. 2017, "Aggregated Residual Transformations for Deep Neural
/// Networks", §3); one path of twice the width is Wide ResNet-50-2 (Zagoruyko and Komodakis 2016).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths {
    /// Groups of the 3×3 convolution.
    pub count: usize,
    /// Channels of one group in a stage of width 64; more in proportion in wider ones.
    pub width: usize,
}

impl Paths {
    /// One path as wide as its stage.
    pub const ONE: Self = Self {
        count: 1,
        width: STEM_WIDTH,
    };

    /// Channels of the 3×3 convolution in a stage of this width, as torchvision counts them.
    fn channels(self, stage_width: usize) -> usize {
        stage_width * self.width / STEM_WIDTH * self.count
    }
}

/// Channels of the stem and of the first stage of the networks of Table 1.
const STEM_WIDTH: usize = 64;

impl Block {
    /// Channels that leave the block for each channel of its width.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck(_) => 4,
        }
    }
}

/// What is added to F(x) (§3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// Nothing: a plain network.
    None,
    /// Option A: x itself; where the shape changes, every second pixel and zero channels,
    /// half of them before and half after.
    ZeroPad,
    /// Option B: x itself; where the shape changes, a 1×1 convolution with batch norm.
    Projection,
}

/// Everything that distinguishes one residual network from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetSpec {
    /// Stem and names.
    pub form: Form,
    /// Residual branch.
    pub block: Block,
    /// What is added to it.
    pub shortcut: Shortcut,
    /// Channels of the stem.
    pub stem_width: usize,
    /// Width and number of blocks of each stage; each stage after the first halves the map.
    pub stages: Vec<Stage>,
}

/// A sequence of blocks of one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Channels of the 3×3 convolutions.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
}

impl ResNetSpec {
    /// The networks of Table 1: four stages of 64 to 512 channels.
    pub fn four_stages(form: Form, block: Block, blocks: [usize; 4], shortcut: Shortcut) -> Self {
        let widths = [64, 128, 256, 512];
        Self {
            form,
            block,
            shortcut,
            stem_width: STEM_WIDTH,
            stages: stages(&widths, &blocks),
        }
    }

    /// The CIFAR networks of §4.2: 6n + 2 layers in three stages of 16, 32 and 64 channels;
    /// `None` when the depth is not of that form.
    pub fn cifar_depth(depth: usize, shortcut: Shortcut) -> Option<Self> {
        let n = depth.checked_sub(2).filter(|layers| layers % 6 == 0)? / 6;
        (n > 0).then(|| Self {
            form: Form::Cifar,
            block: Block::Basic,
            shortcut,
            stem_width: 16,
            stages: stages(&[16, 32, 64], &[n; 3]),
        })
    }

    /// ResNeXt-29 for CIFAR (Xie et al. 2017, §5.2): three stages of three bottlenecks.
    pub fn resnext29(paths: Paths) -> Self {
        Self {
            form: Form::Cifar,
            block: Block::Bottleneck(paths),
            shortcut: Shortcut::Projection,
            stem_width: STEM_WIDTH,
            stages: stages(&[64, 128, 256], &[3; 3]),
        }
    }

    /// Builds the graph.
    ///
    /// # Errors
    /// When the network cannot take such an image.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(name, input);
        let mut x = self.stem(&mut builder)?;
        for (stage_index, stage) in self.stages.iter().enumerate() {
            for block_index in 0..stage.blocks {
                let place = Place {
                    name: format!("layer{}.{block_index}", stage_index + 1),
                    width: stage.width,
                    stride: if stage_index > 0 && block_index == 0 {
                        2
                    } else {
                        1
                    },
                };
                x = self.block(&mut builder, x, &place)?;
            }
        }
        let x = builder.global_average_pool("avgpool", x)?;
        let head = match self.form {
            Form::ImageNet => "fc",
            Form::Cifar => "linear",
        };
        let logits = builder.linear(head, x, classes)?;
        Ok(builder.finish(logits))
    }

    fn stem(&self, builder: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let convolution = match self.form {
            Form::ImageNet => Convolution::square(self.stem_width, 7).stride(2),
            Form::Cifar => Convolution::square(self.stem_width, 3),
        };
        let x = builder.convolution("conv1", builder.input(), convolution)?;
        let x = builder.batch_norm("bn1", x)?;
        let x = builder.relu("relu", x)?;
        match self.form {
            Form::Cifar => Ok(x),
            Form::ImageNet => {
                let pool = MaxPool {
                    kernel: [3; 2],
                    stride: [2; 2],
                    padding: [1; 2],
                };
                builder.max_pool("maxpool", x, pool)
            }
        }
    }

    fn block(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
    ) -> Result<NodeId, GraphError> {
        let Place { width, stride, .. } = *place;
        let out_channels = width * self.block.expansion();
        let convolutions = match self.block {
            Block::Basic => vec![
                Convolution::square(width, 3).stride(stride),
                Convolution::square(width, 3),
            ],
            Block::Bottleneck(paths) => {
                let inner = paths.channels(width);
                vec![
                    Convolution::square(inner, 1),
                    Convolution {
                        groups: paths.count,
                        ..Convolution::square(inner, 3).stride(stride)
                    },
                    Convolution::square(out_channels, 1),
                ]
            }
        };
        let mut y = x;
        for (index, convolution) in (1..).zip(&convolutions) {
            y = builder.convolution(place.at(&format!("conv{index}")), y, *convolution)?;
            y = builder.batch_norm(place.at(&format!("bn{index}")), y)?;
            if index < convolutions.len() {
                y = builder.relu(place.at(&format!("relu{index}")), y)?;
            }
        }
        if let Some(shortcut) = self.shortcut(builder, x, place, out_channels)? {
            y = builder.add(place.at("add"), y, shortcut)?;
        }
        builder.relu(place.at("relu"), y)
    }

    fn shortcut(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
        out_channels: usize,
    ) -> Result<Option<NodeId>, GraphError> {
        let in_channels = builder.shape_of(x).channels();
        let same_shape = place.stride == 1 && in_channels == out_channels;
        match self.shortcut {
            Shortcut::None => Ok(None),
            _ if same_shape => Ok(Some(x)),
            Shortcut::ZeroPad => {
                let added = out_channels.saturating_sub(in_channels);
                let operation = Operation::ZeroPadShortcut(ZeroPadShortcut {
                    stride: place.stride,
                    before: added / 2,
                    after: added - added / 2,
                });
                builder
                    .push(place.at("shortcut"), operation, &[x])
                    .map(Some)
            }
            Shortcut::Projection => {
                let path = place.at(match self.form {
                    Form::ImageNet => "downsample",
                    Form::Cifar => "shortcut",
                });
                let projection = Convolution::square(out_channels, 1).stride(place.stride);
                let projected = builder.convolution(format!("{path}.0"), x, projection)?;
                builder.batch_norm(format!("{path}.1"), projected).map(Some)
            }
        }
    }
}

/// Where a block stands in the network.
struct Place {
    name: String,
    width: usize,
    stride: usize,
}

impl Place {
    fn at(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}

pub(super) fn stages(widths: &[usize], blocks: &[usize]) -> Vec<Stage> {
    let pairs = widths.iter().zip(blocks);
    pairs
        .map(|(&width, &blocks)| Stage { width, blocks })
        .collect()
}
