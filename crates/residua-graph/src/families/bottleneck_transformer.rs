//! Bottleneck transformers (Srinivas et al. 2021, "Bottleneck Transformers for Visual Recognition"):
//! residual networks whose last bottlenecks attend to all pixels instead of convolving 3×3. Names are
//! timm's.

use super::shortcut::{Shortcut, Way};
use super::stages::{Place, Stage, places};
use super::stem::STEM_POOL;
use super::variations::{Variable, Variations};
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::{AveragePool, Convolution, Edge, Operation, SelfAttention};
use crate::shape::Shape;

/// Channels that leave a block for each channel of its width.
const EXPANSION: usize = 4;
/// Attentions beside each other (Srinivas et al. 2021, Fig. 4).
const HEADS: usize = 4;

/// A sequence of blocks of one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionStage {
    /// Channels of the 3×3 convolutions and of the attentions.
    pub width: usize,
    /// Number of blocks with a 3×3 convolution, which come first.
    pub convolutions: usize,
    /// Number of blocks with an attention.
    pub attentions: usize,
}

/// Everything that distinguishes one of these networks from another.
#[derive(Debug, Clone, PartialEq)]
pub struct BottleneckTransformerSpec {
    /// Channels of the three 3×3 convolutions of the stem.
    pub stem_widths: [usize; 3],
    /// The blocks; each stage after the first halves the map.
    pub stages: Vec<AttentionStage>,
    /// What is added to the residual branch.
    pub shortcut: Shortcut,
    /// Norms, activations and regularisers.
    pub variations: Variations,
}

impl BottleneckTransformerSpec {
    /// timm's `botnet26t_256`: ResNet-26-T with attention in the last block of its third stage and in
    /// all of the fourth.
    pub fn botnet26t() -> Self {
        let stage = |width, convolutions, attentions| AttentionStage {
            width,
            convolutions,
            attentions,
        };
        Self {
            stem_widths: [24, 32, 64],
            stages: vec![
                stage(64, 2, 0),
                stage(128, 2, 0),
                stage(256, 1, 1),
                stage(512, 0, 2),
            ],
            shortcut: Shortcut::Projection,
            variations: Variations::default(),
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
        let mut x = self.stem(&mut builder)?;
        let stages: Vec<Stage> = { self.stages.iter() }
            .map(|stage| Stage {
                width: stage.width,
                blocks: stage.convolutions + stage.attentions,
            })
            .collect();
        for place in places(&stages) {
            x = self.block(&mut builder, x, &place)?;
        }
        let x = builder.global_average_pool("head.global_pool", x)?;
        let logits = builder.linear("head.fc", x, classes)?;
        Ok(builder.finish(logits))
    }

    fn stem(&self, builder: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let mut x = builder.input();
        for (number, width) in (1..).zip(self.stem_widths) {
            let stride = if number == 1 { 2 } else { 1 };
            let convolution = Convolution::square(width, 3).stride(stride);
            let path = format!("stem.conv{number}");
            x = self
                .variations
                .convolution_unit(builder, &path, x, convolution)?;
        }
        builder.max_pool("stem.pool", x, STEM_POOL)
    }

    /// The shortcut comes first, as in timm.
    fn block(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
    ) -> Result<NodeId, GraphError> {
        let variations = &self.variations;
        let path = format!("stages.{}.{}", place.stage, place.block);
        let shortcut = self.shortcut(builder, x, place, &path)?;
        let narrow = Convolution::square(place.width, 1);
        let name = format!("{path}.conv1_1x1");
        let y = variations.convolution_unit(builder, &name, x, narrow)?;
        let y = if place.block < self.stages[place.stage].convolutions {
            let convolution = Convolution::square(place.width, 3).stride(place.stride);
            let name = format!("{path}.conv2_kxk");
            variations.convolution_unit(builder, &name, y, convolution)?
        } else {
            self.attention(builder, y, place, &path)?
        };
        let y = variations.dropout(builder, format!("{path}.dropout"), y)?;
        let wide = Convolution::square(EXPANSION * place.width, 1);
        let y = builder.convolution(format!("{path}.conv3_1x1.conv"), y, wide)?;
        let y = variations.last_norm(builder, format!("{path}.conv3_1x1.bn"), y)?;
        let name = format!("{path}.drop_path");
        let mut y = variations.stochastic_depth(builder, name, y, place.depth)?;
        if let Some(shortcut) = shortcut {
            y = builder.add(format!("{path}.add"), y, shortcut)?;
        }
        variations.activation(builder, format!("{path}.act"), y)
    }

    fn shortcut(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
        path: &str,
    ) -> Result<Option<NodeId>, GraphError> {
        let out_channels = EXPANSION * place.width;
        let way = self
            .shortcut
            .way(builder.shape_of(x), out_channels, place.stride);
        let path = format!("{path}.shortcut");
        match way {
            Way::Nothing => Ok(None),
            Way::Identity => Ok(Some(x)),
            Way::ZeroPad(shortcut) => builder.zero_pad_shortcut(path, x, shortcut).map(Some),
            Way::Projection(projection) => {
                let x = builder.convolution(format!("{path}.conv"), x, projection)?;
                self.variations
                    .norm(builder, format!("{path}.bn"), x)
                    .map(Some)
            }
        }
    }

    /// Attention has no stride; a pool halves its result.
    fn attention(
        &self,
        builder: &mut GraphBuilder,
        x: NodeId,
        place: &Place,
        path: &str,
    ) -> Result<NodeId, GraphError> {
        let qkv = Convolution::square(3 * place.width, 1);
        let y = builder.convolution(format!("{path}.self_attn.qkv"), x, qkv)?;
        let attention = Operation::SelfAttention(SelfAttention { heads: HEADS });
        let mut y = builder.push(format!("{path}.self_attn"), attention, &[y])?;
        if place.stride == 2 {
            let pool = Operation::AveragePool(AveragePool::halving(Edge::Drop));
            y = builder.push(format!("{path}.self_attn.pool"), pool, &[y])?;
        }
        let y = self
            .variations
            .norm(builder, format!("{path}.post_attn"), y)?;
        self.variations
            .activation(builder, format!("{path}.post_attn.act"), y)
    }
}
