//! AlexNet in torchvision's form (Krizhevsky 2014, "One weird trick for parallelizing convolutional
//! neural networks", which has one path where Krizhevsky et al. 2012 have two), and its common form for
//! CIFAR.

use super::resnet::Form;
use super::variations::{Variable, drop_numbers};
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::{Activation, Convolution, MaxPool, Operation};
use crate::shape::Shape;

/// Channels of the five convolutions.
const WIDTHS: [usize; 5] = [64, 192, 384, 256, 256];
/// Values of the first two fully connected layers.
const HIDDEN: usize = 4096;
/// The map that the fully connected layers read in torchvision, whatever the image.
const POOLED: [usize; 2] = [6, 6];

/// Everything that distinguishes one of these networks from another.
#[derive(Debug, Clone, PartialEq)]
pub struct AlexNetSpec {
    /// torchvision's, or the one that public repositories share for 32×32 pixels (`AlexNet.py` of
    /// icpm/pytorch-cifar10 for instance): five convolutions of 3×3 with the same channels, the
    /// first of stride 2, pools of 2×2, and the fully connected layers on the 2×2 pixels that are left.
    pub form: Form,
    /// What follows convolutions and hidden layers.
    pub activation: Activation,
    /// Share of numbers dropped before each hidden layer.
    pub dropout: f32,
}

impl AlexNetSpec {
    /// The network as published.
    pub fn new(form: Form) -> Self {
        Self {
            form,
            activation: Activation::Relu,
            // Krizhevsky et al. 2012, §4.2.
            dropout: 0.5,
        }
    }

    pub(crate) fn variable(&mut self) -> Variable<'_> {
        Variable {
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
        let mut x = self.features(&mut builder)?;
        if self.form == Form::ImageNet {
            let pool = Operation::AdaptiveAveragePool(POOLED);
            x = builder.push("avgpool", pool, &[x])?;
        }
        let x = builder.push("flatten", Operation::Flatten, &[x])?;
        let logits = self.classifier(&mut builder, x, classes)?;
        Ok(builder.finish(logits))
    }

    /// Numbered as torchvision's modules.
    fn features(&self, builder: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let mut next = 0;
        let mut name = || {
            next += 1;
            format!("features.{}", next - 1)
        };
        let mut x = builder.input();
        for (index, convolution) in self.convolutions().into_iter().enumerate() {
            x = builder.convolution(name(), x, convolution)?;
            x = builder.push(name(), Operation::Activation(self.activation), &[x])?;
            // After the first two and the last (Krizhevsky et al. 2012, §3.5).
            if matches!(index, 0 | 1 | 4) {
                x = builder.max_pool(name(), x, self.pool())?;
            }
        }
        Ok(x)
    }

    fn convolutions(&self) -> [Convolution; 5] {
        let mut convolutions = WIDTHS.map(|width| Convolution {
            bias: true,
            ..Convolution::square(width, 3)
        });
        let [first, second, ..] = &mut convolutions;
        match self.form {
            Form::ImageNet => {
                first.kernel = [11; 2];
                first.stride = [4; 2];
                first.padding = [2; 2];
                second.kernel = [5; 2];
                second.padding = [2; 2];
            }
            Form::Cifar => first.stride = [2; 2],
        }
        convolutions
    }

    fn pool(&self) -> MaxPool {
        match self.form {
            // They overlap (Krizhevsky et al. 2012, §3.4).
            Form::ImageNet => MaxPool {
                kernel: [3; 2],
                ..MaxPool::halving()
            },
            Form::Cifar => MaxPool::halving(),
        }
    }

    fn classifier(
        &self,
        builder: &mut GraphBuilder,
        mut x: NodeId,
        classes: usize,
    ) -> Result<NodeId, GraphError> {
        for layer in 0..2 {
            let at = |part: usize| format!("classifier.{}", 3 * layer + part);
            x = drop_numbers(builder, at(0), x, self.dropout)?;
            x = builder.linear(at(1), x, HIDDEN)?;
            x = builder.push(at(2), Operation::Activation(self.activation), &[x])?;
        }
        builder.linear("classifier.6", x, classes)
    }
}
