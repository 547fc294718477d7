//! Densely connected networks (Huang et al. 2017, "Densely Connected Convolutional Networks"): each
//! layer reads the maps of all layers before it.

use super::resnet::Form;
use super::stem::STEM_POOL;
use super::variations::{Norm, Variable, drop_numbers};
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::{Activation, AveragePool, Axis, Convolution, Edge, InitialScale, Operation};
use crate::shape::Shape;

/// Width of a bottleneck for each channel that its layer adds (§3).
const BOTTLENECK: usize = 4;

/// Whether layers and transitions are narrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenseNetKind {
    /// DenseNet: a 3×3 convolution in each layer; transitions keep all channels.
    Plain,
    /// DenseNet-BC: a 1×1 convolution before each 3×3; transitions keep half of the channels.
    BottleneckCompression,
}

/// Everything that distinguishes one of these networks from another.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseNetSpec {
    /// Stem and names: torchvision's, or those of the CIFAR reference.
    pub form: Form,
    /// Layers and transitions.
    pub kind: DenseNetKind,
    /// Channels that each layer adds, `k` in the paper.
    pub growth: usize,
    /// Channels of the stem.
    pub stem_width: usize,
    /// Layers of each dense block; transitions between them halve the map.
    pub blocks: Vec<usize>,
    /// The norm before each convolution.
    pub norm: Norm,
    /// What follows norms.
    pub activation: Activation,
    /// Share of the numbers dropped of what each layer adds (§4.2).
    pub dropout: f32,
}

impl DenseNetSpec {
    /// The networks of Table 1, for ImageNet.
    pub fn imagenet(growth: usize, stem_width: usize, blocks: [usize; 4]) -> Self {
        Self {
            form: Form::ImageNet,
            kind: DenseNetKind::BottleneckCompression,
            growth,
            stem_width,
            blocks: blocks.to_vec(),
            norm: Norm::Batch,
            activation: Activation::Relu,
            dropout: 0.0,
        }
    }

    /// The CIFAR networks of §3: three blocks in `3n + 4` layers, or `6n + 4` with bottlenecks; `None`
    /// when the depth is not of that form.
    pub fn cifar(depth: usize, growth: usize, kind: DenseNetKind) -> Option<Self> {
        let (layers_of_each, stem_width) = match kind {
            DenseNetKind::Plain => (3, 16),
            DenseNetKind::BottleneckCompression => (6, 2 * growth),
        };
        let layers = depth.checked_sub(4)?;
        let blocks = layers / layers_of_each;
        let fits = layers.is_multiple_of(layers_of_each) && blocks > 0 && growth > 0;
        fits.then(|| Self {
            form: Form::Cifar,
            kind,
            blocks: vec![blocks; 3],
            ..Self::imagenet(growth, stem_width, [0; 4])
        })
    }

    pub(crate) fn variable(&mut self) -> Variable<'_> {
        Variable {
            norm: Some(&mut self.norm),
            activation: Some(&mut self.activation),
            dropout: Some(&mut self.dropout),
            ..Variable::default()
        }
    }

    /// Builds the graph.
    ///
    /// # Errors
    /// When the network cannot take such an image.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(name, input);
        let mut x = self.stem(&mut builder)?;
        for (number, &layers) in (1..).zip(&self.blocks) {
            for layer in 1..=layers {
                let path = format!("features.denseblock{number}.denselayer{layer}");
                x = self.layer(&mut builder, &path, x)?;
            }
            if number < self.blocks.len() {
                let path = format!("features.transition{number}");
                x = self.transition(&mut builder, &path, x)?;
            }
        }
        let norm = match self.form {
            Form::ImageNet => "features.norm5",
            Form::Cifar => "features.norm_final",
        };
        let x = self.normalised(&mut builder, norm.into(), "relu".into(), x)?;
        let x = builder.global_average_pool("avgpool", x)?;
        let logits = builder.linear("classifier", x, classes)?;
        Ok(builder.finish(logits))
    }

    fn stem(&self, builder: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let at = |part: &str| format!("features.{part}");
        let convolution = match self.form {
            Form::ImageNet => Convolution::square(self.stem_width, 7).stride(2),
            Form::Cifar => Convolution::square(self.stem_width, 3),
        };
        let x = builder.convolution(at("conv0"), builder.input(), convolution)?;
        match self.form {
            Form::Cifar => Ok(x),
            Form::ImageNet => {
                let x = self.normalised(builder, at("norm0"), at("relu0"), x)?;
                builder.max_pool(at("pool0"), x, STEM_POOL)
            }
        }
    }

    /// What the layer computes comes after what was there.
    fn layer(
        &self,
        builder: &mut GraphBuilder,
        path: &str,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        let convolution = Convolution::square(self.growth, 3);
        let convolutions = match self.kind {
            DenseNetKind::Plain => vec![convolution],
            DenseNetKind::BottleneckCompression => {
                vec![
                    Convolution::square(BOTTLENECK * self.growth, 1),
                    convolution,
                ]
            }
        };
        let mut y = x;
        for (number, convolution) in (1..).zip(convolutions) {
            let at = |part: &str| format!("{path}.{part}{number}");
            y = self.normalised(builder, at("norm"), at("relu"), y)?;
            y = builder.convolution(at("conv"), y, convolution)?;
        }
        let y = drop_numbers(builder, format!("{path}.dropout"), y, self.dropout)?;
        let name = format!("{path}.concat");
        builder.push(name, Operation::Concat(Axis::Channels), &[x, y])
    }

    fn transition(
        &self,
        builder: &mut GraphBuilder,
        path: &str,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        let channels = builder.shape_of(x).channels();
        let kept = match self.kind {
            DenseNetKind::Plain => channels,
            DenseNetKind::BottleneckCompression => channels / 2,
        };
        let at = |part: &str| format!("{path}.{part}");
        let x = self.normalised(builder, at("norm"), at("relu"), x)?;
        let x = builder.convolution(at("conv"), x, Convolution::square(kept, 1))?;
        let pool = Operation::AveragePool(AveragePool::halving(Edge::Drop));
        builder.push(at("pool"), pool, &[x])
    }

    /// Appends norm and activation.
    fn normalised(
        &self,
        builder: &mut GraphBuilder,
        norm: String,
        activation: String,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        let x = builder.push(norm, self.norm.operation(InitialScale::One), &[x])?;
        builder.push(activation, Operation::Activation(self.activation), &[x])
    }
}
