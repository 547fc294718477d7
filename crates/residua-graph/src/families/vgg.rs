//! VGG (Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
//! Recognition"), with or without batch norm, and its common form for CIFAR.

use super::resnet::Form;
use super::variations::{Norm, Variable, drop_numbers};
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError, NodeId};
use crate::operation::{Activation, Convolution, InitialScale, MaxPool, Operation};
use crate::shape::Shape;

/// Channels of the five stages (Table 1).
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];
/// Values of the first two fully connected layers (Table 1).
const HIDDEN: usize = 4096;
/// The map that the fully connected layers read in torchvision, whatever the image.
const POOLED: [usize; 2] = [7, 7];

/// Everything that distinguishes one of these networks from another.
#[derive(Debug, Clone, PartialEq)]
pub struct VggSpec {
    /// The head: three fully connected layers on a map of 7×7 pixels as in torchvision, or, for CIFAR,
    /// a single one on the pixel that is left.
    pub form: Form,
    /// 3×3 convolutions of each stage; a max pool follows.
    pub convolutions: [usize; 5],
    /// The norm after each convolution.
    pub norm: Option<Norm>,
    /// What follows convolutions and hidden layers.
    pub activation: Activation,
    /// Share of numbers dropped after each hidden layer; for CIFAR, before the only layer.
    pub dropout: f32,
}

impl VggSpec {
    /// The configurations A, B, D and E of Table 1, which have 11, 13, 16 and 19 layers; `None` for
    /// other depths.
    pub fn depth(depth: usize, form: Form, norm: Option<Norm>) -> Option<Self> {
        let convolutions = match depth {
            11 => [1, 1, 2, 2, 2],
            13 => [2, 2, 2, 2, 2],
            16 => [2, 2, 3, 3, 3],
            19 => [2, 2, 4, 4, 4],
            _ => return None,
        };
        Some(Self {
            form,
            convolutions,
            norm,
            activation: Activation::Relu,
            dropout: match form {
                // §3.1.
                Form::ImageNet => 0.5,
                Form::Cifar => 0.0,
            },
        })
    }

    pub(crate) fn variable(&mut self) -> Variable<'_> {
        Variable {
            norm: self.norm.as_mut(),
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
        let x = self.features(&mut builder)?;
        let logits = match self.form {
            Form::ImageNet => {
                let pool = Operation::AdaptiveAveragePool(POOLED);
                let x = builder.push("avgpool", pool, &[x])?;
                let x = builder.push("flatten", Operation::Flatten, &[x])?;
                self.hidden_layers(&mut builder, x, classes)?
            }
            Form::Cifar => {
                let x = builder.push("flatten", Operation::Flatten, &[x])?;
                let x = drop_numbers(&mut builder, "dropout".into(), x, self.dropout)?;
                builder.linear("classifier", x, classes)?
            }
        };
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
        for (width, convolutions) in WIDTHS.into_iter().zip(self.convolutions) {
            for _ in 0..convolutions {
                let convolution = Convolution {
                    bias: true,
                    ..Convolution::square(width, 3)
                };
                x = builder.convolution(name(), x, convolution)?;
                if let Some(norm) = self.norm {
                    x = builder.push(name(), norm.operation(InitialScale::One), &[x])?;
                }
                x = builder.push(name(), Operation::Activation(self.activation), &[x])?;
            }
            x = builder.max_pool(name(), x, MaxPool::halving())?;
        }
        Ok(x)
    }

    fn hidden_layers(
        &self,
        builder: &mut GraphBuilder,
        mut x: NodeId,
        classes: usize,
    ) -> Result<NodeId, GraphError> {
        for layer in 0..2 {
            let at = |part: usize| format!("classifier.{}", 3 * layer + part);
            x = builder.linear(at(0), x, HIDDEN)?;
            x = builder.push(at(1), Operation::Activation(self.activation), &[x])?;
            x = drop_numbers(builder, at(2), x, self.dropout)?;
        }
        builder.linear("classifier.6", x, classes)
    }
}
