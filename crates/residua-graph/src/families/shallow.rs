//! Shallow residual networks, made to be trained fast: few convolutions, a max pool in each stage, and
//! short residual branches.

use super::variations::{Norm, Variable};
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::{Activation, Convolution, InitialScale, MaxPool, Operation};
use crate::shape::Shape;

/// Everything that distinguishes one of these networks from another.
#[derive(Debug, Clone, PartialEq)]
pub struct ShallowSpec {
    /// The convolution that reads the image.
    pub stem: Convolution,
    /// What follows it, in order.
    pub stages: Vec<ShallowStage>,
    /// Where the max pool of each stage is.
    pub pool: PoolPlace,
    /// What makes features of the last map.
    pub features: FeaturePool,
    /// What follows convolutions.
    pub norm: Norm,
    /// What follows norms.
    pub activation: Activation,
}

/// A convolution with a max pool, and a residual branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShallowStage {
    /// Channels.
    pub width: usize,
    /// Convolutions in the residual branch; 0 if there is none.
    pub branch: usize,
}

/// Where the max pool of a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolPlace {
    /// After norm and activation.
    Last,
    /// Between convolution and norm, which then have fewer pixels to work on.
    BeforeNorm,
}

/// What makes one number of each channel of the last feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeaturePool {
    /// The largest value.
    Max,
    /// The mean of all values.
    Average,
}

impl ShallowSpec {
    /// ResNet-9 (Page 2018, "How to Train Your ResNet", part 4).
    pub fn resnet9() -> Self {
        let stage = |width, branch| ShallowStage { width, branch };
        Self {
            stem: Convolution::square(64, 3),
            stages: vec![stage(128, 2), stage(256, 0), stage(512, 2)],
            pool: PoolPlace::Last,
            features: FeaturePool::Max,
            norm: Norm::Batch,
            activation: Activation::Relu,
        }
    }

    /// The stem and the place of the pools of Jordan 2024 ("94 % on CIFAR-10 in 3.29 Seconds on a Single
    /// GPU", §3), with residual branches, other widths, SiLU and a mean at the end: what
    /// `docs/reproduction.md` reports a search for.
    pub fn fast_resnet10() -> Self {
        let stage = |width, branch| ShallowStage { width, branch };
        Self {
            stem: Convolution {
                padding: [0; 2],
                bias: true,
                ..Convolution::square(24, 2)
            },
            stages: vec![stage(64, 1), stage(192, 2), stage(384, 2)],
            pool: PoolPlace::BeforeNorm,
            features: FeaturePool::Average,
            norm: Norm::Batch,
            activation: Activation::Silu,
        }
    }

    pub(crate) fn variable(&mut self) -> Variable<'_> {
        Variable {
            norm: Some(&mut self.norm),
            activation: Some(&mut self.activation),
            ..Variable::default()
        }
    }

    /// Builds the graph.
    ///
    /// # Errors
    /// When the network cannot take such an image.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(name, input);
        let image = builder.input();
        let mut x = builder.convolution("prep.conv", image, self.stem)?;
        if !self.stem.bias {
            x = self.norm(&mut builder, "prep.bn".into(), x)?;
        }
        x = self.activation(&mut builder, "prep.relu".into(), x)?;
        for (number, stage) in (1..).zip(&self.stages) {
            x = self.stage(&mut builder, &format!("layer{number}"), x, *stage)?;
        }
        x = self.features(&mut builder, x)?;
        let logits = builder.linear("linear", x, classes)?;
        Ok(builder.finish(logits))
    }

    fn features(&self, builder: &mut GraphBuilder, x: NodeId) -> Result<NodeId, GraphError> {
        match self.features {
            FeaturePool::Average => builder.global_average_pool("pool", x),
            FeaturePool::Max => {
                let whole_map = MaxPool {
                    kernel: builder.shape_of(x).spatial(),
                    stride: [1; 2],
                    padding: [0; 2],
                };
                let pooled = builder.max_pool("pool", x, whole_map)?;
                builder.push("flatten", Operation::Flatten, &[pooled])
            }
        }
    }

    fn stage(
        &self,
        builder: &mut GraphBuilder,
        path: &str,
        x: NodeId,
        stage: ShallowStage,
    ) -> Result<NodeId, GraphError> {
        let at = |part: &str| format!("{path}.{part}");
        let convolution = Convolution::square(stage.width, 3);
        let mut x = builder.convolution(at("conv"), x, convolution)?;
        if self.pool == PoolPlace::BeforeNorm {
            x = builder.max_pool(at("pool"), x, MaxPool::halving())?;
        }
        x = self.norm(builder, at("bn"), x)?;
        x = self.activation(builder, at("relu"), x)?;
        if self.pool == PoolPlace::Last {
            x = builder.max_pool(at("pool"), x, MaxPool::halving())?;
        }
        let mut branch = x;
        for number in 1..=stage.branch {
            let at = |part: &str| format!("{path}.residual.res{number}.{part}");
            branch = builder.convolution(at("conv"), branch, convolution)?;
            branch = self.norm(builder, at("bn"), branch)?;
            branch = self.activation(builder, at("relu"), branch)?;
        }
        match stage.branch {
            0 => Ok(x),
            _ => builder.add(at("residual.add"), branch, x),
        }
    }

    fn norm(
        &self,
        builder: &mut GraphBuilder,
        name: String,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        builder.push(name, self.norm.operation(InitialScale::One), &[x])
    }

    fn activation(
        &self,
        builder: &mut GraphBuilder,
        name: String,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        builder.push(name, Operation::Activation(self.activation), &[x])
    }
}
