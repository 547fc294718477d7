//! Deep residual networks (He et al. 2015, "Deep Residual Learning for Image Recognition"), the
//! plain networks that the paper compares them with, and those that followed with blocks of the same
//! form: wider and grouped ones, other stems, and gates at the end of the branch.

use super::attention::Attention;
use super::selective_kernel;
use super::shortcut::{Shortcut, Way};
use super::stages::{Place, Stage, places, stages};
use super::stem::Stem;
use super::variations::{Variable, Variations};
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::{AveragePool, Convolution, Edge, Fan, Operation};
use crate::shape::Shape;

/// Whose parameter names a network uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// torchvision's and timm's (`downsample`, `fc`).
    ImageNet,
    /// Those of the CIFAR reference (`shortcut`, `linear`).
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
    /// A selective-kernel unit (Li et al. 2019, "Selective Kernel Networks") and a 3×3 convolution, as in
    /// timm's `skresnet18`.
    SelectiveKernel,
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
            Self::Basic | Self::SelectiveKernel => 1,
            Self::Bottleneck(_) => 4,
        }
    }
}

/// How a projection halves the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downsampling {
    /// By the stride of its convolution, which skips three of four pixels.
    Stride,
    /// By the mean of 2×2 pixels before the convolution: ResNet-D (He et al. 2019, "Bag of Tricks for
    /// Image Classification with Convolutional Neural Networks", §4.2).
    AveragePool,
}

/// Everything that distinguishes one residual network from another.
#[derive(Debug, Clone, PartialEq)]
pub struct ResNetSpec {
    /// Names.
    pub form: Form,
    /// What comes before the first block.
    pub stem: Stem,
    /// Channels of the stem.
    pub stem_width: usize,
    /// Residual branch.
    pub block: Block,
    /// What is added to it.
    pub shortcut: Shortcut,
    /// How projections halve the map.
    pub downsampling: Downsampling,
    /// The gate at the end of the branch.
    pub attention: Option<Attention>,
    /// Width and number of blocks of each stage; each stage after the first halves the map.
    pub stages: Vec<Stage>,
    /// What the start of the convolutions is measured by.
    pub fan: Fan,
    /// Norms, activations and regularisers.
    pub variations: Variations,
}

impl ResNetSpec {
    /// The networks of Table 1: four stages of 64 to 512 channels.
    pub fn four_stages(form: Form, block: Block, blocks: [usize; 4], shortcut: Shortcut) -> Self {
        Self {
            form,
            stem: match form {
                Form::ImageNet => Stem::SevenBySeven,
                Form::Cifar => Stem::Cifar,
            },
            stem_width: STEM_WIDTH,
            block,
            shortcut,
            downsampling: Downsampling::Stride,
            attention: None,
            stages: stages(&[64, 128, 256, 512], &blocks),
            fan: Fan::Out,
            variations: Variations::default(),
        }
    }

    /// The CIFAR networks of §4.2: 6n + 2 layers in three stages of 16, 32 and 64 channels, which start
    /// as those of Idelbayev 2018 ("Proper ResNet Implementation for CIFAR10/CIFAR100 in PyTorch"); `None`
    /// when the depth is not of that form.
    pub fn cifar_depth(depth: usize, shortcut: Shortcut) -> Option<Self> {
        let n = depth.checked_sub(2).filter(|layers| layers % 6 == 0)? / 6;
        let stages = stages(&[16, 32, 64], &[n; 3]);
        (n > 0).then(|| Self {
            fan: Fan::In,
            ..Self::cifar(Block::Basic, 16, stages, shortcut)
        })
    }

    /// ResNeXt-29 for CIFAR (Xie et al. 2017, §5.2): three stages of three bottlenecks.
    pub fn resnext29(paths: Paths) -> Self {
        let stages = stages(&[64, 128, 256], &[3; 3]);
        Self::cifar(
            Block::Bottleneck(paths),
            STEM_WIDTH,
            stages,
            Shortcut::Projection,
        )
    }

    fn cifar(block: Block, stem_width: usize, stages: Vec<Stage>, shortcut: Shortcut) -> Self {
        Self {
            stem_width,
            stages,
            ..Self::four_stages(Form::Cifar, block, [0; 4], shortcut)
        }
    }

    pub(crate) fn variable(&mut self) -> Variable<'_> {
        self.variations.variable(&mut self.shortcut)
    }

    /// Builds the graph.
    ///
    /// # Errors
    /// When the network cannot take such an image.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(name, input);
        let mut x = self
            .stem
            .append(&mut builder, &self.variations, self.stem_width)?;
        for place in places(&self.stages) {
            x = self.block(&mut builder, x, &place)?;
        }
        let x = builder.global_average_pool("avgpool", x)?;
        let head = match self.form {
            Form::ImageNet => "fc",
            Form::Cifar => "linear",
        };
        let logits = builder.linear(head, x, classes)?;
        Ok(builder.finish(logits).starting_by(self.fan))
    }

    fn block(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
    ) -> Result<NodeId, GraphError> {
        let path = format!("layer{}.{}", place.stage + 1, place.block);
        let mut y = match self.block {
            Block::Basic | Block::Bottleneck(_) => self.convolutions(builder, x, place, &path)?,
            Block::SelectiveKernel => self.selective_kernel(builder, x, place, &path)?,
        };
        if let Some(attention) = self.attention {
            y = attention.append(builder, &format!("{path}.se"), y)?;
        }
        let name = format!("{path}.drop_path");
        y = self
            .variations
            .stochastic_depth(builder, name, y, place.depth)?;
        if let Some(shortcut) = self.shortcut(builder, x, place, &path)? {
            y = builder.add(format!("{path}.add"), y, shortcut)?;
        }
        self.variations
            .activation(builder, format!("{path}.relu"), y)
    }

    /// The branch of a basic block or a bottleneck, up to its last norm.
    fn convolutions(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
        path: &str,
    ) -> Result<NodeId, GraphError> {
        let Place { width, stride, .. } = *place;
        let (first, last) = match self.block {
            Block::Bottleneck(paths) => {
                let inner = paths.channels(width);
                let grouped = Convolution {
                    groups: paths.count,
                    ..Convolution::square(inner, 3).stride(stride)
                };
                let wide = Convolution::square(self.out_channels(place), 1);
                (vec![Convolution::square(inner, 1), grouped], wide)
            }
            Block::Basic | Block::SelectiveKernel => {
                let convolution = Convolution::square(width, 3);
                (vec![convolution.stride(stride)], convolution)
            }
        };
        let variations = &self.variations;
        let mut y = x;
        for (number, convolution) in (1..).zip(&first) {
            y = builder.convolution(format!("{path}.conv{number}"), y, *convolution)?;
            y = variations.norm(builder, format!("{path}.bn{number}"), y)?;
            y = variations.activation(builder, format!("{path}.relu{number}"), y)?;
        }
        let number = first.len() + 1;
        y = variations.dropout(builder, format!("{path}.dropout"), y)?;
        y = builder.convolution(format!("{path}.conv{number}"), y, last)?;
        variations.last_norm(builder, format!("{path}.bn{number}"), y)
    }

    /// The branch of a selective-kernel block, up to its last norm.
    fn selective_kernel(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
        path: &str,
    ) -> Result<NodeId, GraphError> {
        let variations = &self.variations;
        let convolution = Convolution::square(place.width, 3);
        let strided = convolution.stride(place.stride);
        let unit = format!("{path}.conv1");
        let y = selective_kernel::append(builder, variations, &unit, x, strided)?;
        let y = variations.dropout(builder, format!("{path}.dropout"), y)?;
        let y = builder.convolution(format!("{path}.conv2.conv"), y, convolution)?;
        variations.last_norm(builder, format!("{path}.conv2.bn"), y)
    }

    fn out_channels(&self, place: &Place) -> usize {
        place.width * self.block.expansion()
    }

    fn shortcut(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
        path: &str,
    ) -> Result<Option<NodeId>, GraphError> {
        let out_channels = self.out_channels(place);
        let way = self
            .shortcut
            .way(builder.shape_of(x), out_channels, place.stride);
        match way {
            Way::Nothing => Ok(None),
            Way::Identity => Ok(Some(x)),
            Way::ZeroPad(shortcut) => builder
                .zero_pad_shortcut(format!("{path}.shortcut"), x, shortcut)
                .map(Some),
            Way::Projection(projection) => self.projection(builder, x, path, projection).map(Some),
        }
    }

    /// Numbered as torchvision's modules, or as timm's, where the pool comes first.
    fn projection(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        path: &str,
        projection: Convolution,
    ) -> Result<NodeId, GraphError> {
        let module = match self.form {
            Form::ImageNet => "downsample",
            Form::Cifar => "shortcut",
        };
        let at = |index: usize| format!("{path}.{module}.{index}");
        match self.downsampling {
            Downsampling::Stride => {
                let x = builder.convolution(at(0), x, projection)?;
                self.variations.norm(builder, at(1), x)
            }
            Downsampling::AveragePool => {
                let mut pooled = x;
                if projection.stride != [1, 1] {
                    let pool = Operation::AveragePool(AveragePool::halving(Edge::Keep));
                    pooled = builder.push(at(0), pool, &[x])?;
                }
                let x = builder.convolution(at(1), pooled, projection.stride(1))?;
                self.variations.norm(builder, at(2), x)
            }
        }
    }
}
