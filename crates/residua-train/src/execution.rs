//! Running a graph: one walk over its fused steps.

use burn::tensor::{Tensor, s};
use residua_core::seed::SeedStream;
use residua_engine::{drop_rule, kernel_activation};
use residua_graph::{Axis, BatchNorm, Edge, Graph, NodeId, Operation, Step, StepKind};
use residua_ops::{
    AveragePoolOptions, ConvolutionOptions, MaxPoolOptions, NormOptions, OperationSet,
    ZeroPadOptions, activation, adaptive_average_pool, average_pool, channel_convolution,
    channel_summary, dropout, flatten, gate, group_norm, path_softmax, self_attention,
};

use crate::network::Network;

/// Statistics of one batch at one normalisation.
#[derive(Debug)]
pub(crate) struct NormStatistics {
    pub(crate) node: NodeId,
    pub(crate) mean: Tensor<1>,
    pub(crate) variance: Tensor<1>,
    /// Values that went into each mean.
    pub(crate) count: f64,
    pub(crate) momentum: f32,
}

/// What a run gives.
pub(crate) struct Outcome {
    pub(crate) logits: Tensor<2>,
    pub(crate) statistics: Vec<NormStatistics>,
}

/// The value of a node.
#[derive(Clone)]
pub(crate) enum Value {
    /// `[N, H, W, C]`.
    Map(Tensor<4>),
    /// `[N, C]`.
    Vector(Tensor<2>),
}

impl Value {
    /// `[elements]`, off the tape.
    pub(crate) fn flat(&self) -> Tensor<1> {
        match self {
            Self::Map(map) => map.clone().inner().flatten(0, 3),
            Self::Vector(vector) => vector.clone().inner().flatten(0, 1),
        }
    }
}

/// Which statistics normalise, and what dropouts drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Running statistics; nothing is dropped.
    Evaluation,
    /// Those of the batch.
    Training {
        /// Of dropouts: each node derives its own.
        randomness: SeedStream,
        /// The last node that computes as in evaluation.
        frozen: Option<NodeId>,
    },
}

/// Called with each step's result; what it returns is passed on.
pub(crate) type Pass<'a> = &'a mut dyn FnMut(NodeId, Value) -> Value;

/// One forward pass of a network.
pub(crate) struct Execution<'a> {
    network: &'a Network,
    /// Of the network, for the images.
    graph: &'a Graph,
    images: Tensor<4>,
    steps: &'a [Step],
    values: &'a [Tensor<1>],
    mode: Mode,
    operations: OperationSet,
    results: Vec<Option<Value>>,
    /// Steps that still have to read each result.
    readers: Vec<usize>,
    statistics: Vec<NormStatistics>,
}

impl<'a> Execution<'a> {
    /// A pass of images, `[N, H, W, C]`, with these values in place of the network's own (they may be on
    /// the tape).
    pub(crate) fn new(
        network: &'a Network,
        values: &'a [Tensor<1>],
        mode: Mode,
        images: Tensor<4>,
    ) -> Self {
        let graph = network.graph_for(images.dims());
        let nodes = graph.nodes().len();
        Self {
            network,
            graph,
            images,
            steps: network.steps(),
            values,
            mode,
            operations: network.operations(),
            results: vec![None; nodes],
            readers: vec![0; nodes],
            statistics: Vec::new(),
        }
    }

    /// By way of other steps of the same graph.
    pub(crate) fn along(self, steps: &'a [Step]) -> Self {
        Self { steps, ..self }
    }

    pub(crate) fn run(mut self, pass: Pass<'_>) -> Outcome {
        for step in self.steps {
            for input in &step.inputs {
                self.readers[input.index()] += 1;
            }
        }
        let output = self.graph.output();
        self.readers[output.index()] += 1;
        for step in self.steps {
            let value = match step.kind {
                StepKind::Single => match self.graph.node(step.output).operation {
                    Operation::Input => Value::Map(self.images.clone()),
                    Operation::BatchNorm(norm) => self.norm(step.output, norm, None, false),
                    operation => self.single(step.output, operation),
                },
                StepKind::Norm {
                    norm,
                    shortcut,
                    relu,
                } => match self.graph.node(norm).operation {
                    Operation::BatchNorm(settings) => self.norm(norm, settings, shortcut, relu),
                    ref other => unreachable!("the fusion pass called a {} a norm", other.kind()),
                },
            };
            self.results[step.output.index()] = Some(pass(step.output, value));
        }
        Outcome {
            logits: self.vector(output),
            statistics: self.statistics,
        }
    }

    fn single(&mut self, node: NodeId, operation: Operation) -> Value {
        let graph = self.graph;
        let input = |index: usize| graph.node(node).inputs[index];
        match operation {
            Operation::Convolution(settings) => {
                let options = ConvolutionOptions {
                    stride: settings.stride,
                    padding: settings.padding,
                    dilation: settings.dilation,
                    groups: settings.groups,
                };
                let x = self.map(input(0));
                let mut y = (self.operations.convolution)(x, self.weight(node), options);
                if settings.bias {
                    let bias = self.state(node, 1);
                    y = y + bias.reshape([1, 1, 1, settings.out_channels]);
                }
                Value::Map(y)
            }
            Operation::GroupNorm(settings) => Value::Map(group_norm(
                self.map(input(0)),
                self.state(node, 0),
                self.state(node, 1),
                settings.groups,
                settings.epsilon,
            )),
            Operation::Activation(kind) => match self.take(input(0)) {
                Value::Map(x) => Value::Map(activation(x, kernel_activation(kind))),
                Value::Vector(x) => Value::Vector(activation(x, kernel_activation(kind))),
            },
            Operation::Dropout(_) => self.dropout(node, input(0)),
            Operation::MaxPool(settings) => Value::Map((self.operations.max_pool)(
                self.map(input(0)),
                MaxPoolOptions {
                    kernel: settings.kernel,
                    stride: settings.stride,
                    padding: settings.padding,
                },
            )),
            Operation::AveragePool(settings) => Value::Map(average_pool(
                self.map(input(0)),
                AveragePoolOptions {
                    kernel: settings.kernel,
                    stride: settings.stride,
                    keep_edges: settings.edge == Edge::Keep,
                },
            )),
            Operation::AdaptiveAveragePool(size) => {
                Value::Map(adaptive_average_pool(self.map(input(0)), size))
            }
            Operation::GlobalAveragePool => {
                Value::Vector((self.operations.global_average_pool)(self.map(input(0))))
            }
            Operation::Flatten => Value::Vector(flatten(self.map(input(0)))),
            Operation::ChannelSummary => Value::Map(channel_summary(self.map(input(0)))),
            Operation::ChannelConvolution(_) => {
                let x = self.map(input(0));
                Value::Map(channel_convolution(x, self.state(node, 0)))
            }
            Operation::PathSoftmax { paths } => Value::Map(path_softmax(self.map(input(0)), paths)),
            Operation::SelfAttention(settings) => {
                let qkv = self.map(input(0));
                let [height, width] = [0, 1].map(|index| self.table(node, index));
                Value::Map(self_attention(qkv, height, width, settings.heads))
            }
            Operation::ZeroPadShortcut(settings) => {
                Value::Map((self.operations.zero_pad_shortcut)(
                    self.map(input(0)),
                    ZeroPadOptions {
                        stride: settings.stride,
                        before: settings.before,
                        after: settings.after,
                    },
                ))
            }
            Operation::Slice(slice) => {
                let x = self.map(input(0));
                let part = slice.begin..slice.begin + slice.length;
                Value::Map(match slice.axis {
                    Axis::Rows => x.slice(s![.., part]),
                    Axis::Channels => x.slice(s![.., .., .., part]),
                })
            }
            Operation::Concat(axis) => {
                let inputs = graph.node(node).inputs.clone();
                let maps = inputs.into_iter().map(|id| self.map(id)).collect();
                Value::Map(Tensor::cat(
                    maps,
                    match axis {
                        Axis::Rows => 1,
                        Axis::Channels => 3,
                    },
                ))
            }
            Operation::Gate => {
                let x = self.map(input(0));
                Value::Map(gate(x, self.map(input(1))))
            }
            Operation::Add => match (self.take(input(0)), self.take(input(1))) {
                (Value::Map(a), Value::Map(b)) => Value::Map(a + b),
                (Value::Vector(a), Value::Vector(b)) => Value::Vector(a + b),
                _ => unreachable!("the builder adds equal shapes only"),
            },
            Operation::Linear(settings) => {
                let x = self.vector(input(0));
                let [_, in_features] = x.dims();
                let weight = self.state(node, 0);
                let weight = weight.reshape([settings.out_features, in_features]);
                Value::Vector((self.operations.linear)(x, weight, self.state(node, 1)))
            }
            Operation::Input | Operation::BatchNorm(_) => {
                unreachable!("inputs and norms are executed elsewhere")
            }
        }
    }

    fn dropout(&mut self, node: NodeId, input: NodeId) -> Value {
        let value = self.take(input);
        let Some(randomness) = self.training_randomness(node) else {
            return value;
        };
        let rule = drop_rule(self.graph, node, randomness)
            .expect("only dropouts are asked for their rule");
        match value {
            Value::Map(x) => Value::Map(dropout(x, rule)),
            Value::Vector(x) => Value::Vector(dropout(x, rule)),
        }
    }

    fn norm(
        &mut self,
        node: NodeId,
        settings: BatchNorm,
        shortcut: Option<NodeId>,
        relu: bool,
    ) -> Value {
        let x = self.map(self.graph.node(node).inputs[0]);
        let shortcut = shortcut.map(|id| self.map(id));
        let (scale, shift) = (self.state(node, 0), self.state(node, 1));
        if self.training_randomness(node).is_none() {
            let variance = self.state(node, 3).add_scalar(settings.epsilon);
            let scale = scale / variance.sqrt();
            let shift = shift - self.state(node, 2) * scale.clone();
            return Value::Map((self.operations.channel_affine)(
                x, scale, shift, shortcut, relu,
            ));
        }
        let [batch, height, width, _] = x.dims();
        let options = NormOptions {
            epsilon: settings.epsilon,
            relu,
        };
        let output = (self.operations.batch_norm)(x, scale, shift, shortcut, options);
        self.statistics.push(NormStatistics {
            node,
            mean: output.mean.inner(),
            variance: output.variance.inner(),
            count: (batch * height * width) as f64,
            momentum: settings.momentum,
        });
        Value::Map(output.y)
    }

    /// What a dropout drops, unless the node computes as in evaluation.
    fn training_randomness(&self, node: NodeId) -> Option<SeedStream> {
        match self.mode {
            Mode::Evaluation => None,
            Mode::Training { randomness, frozen } => frozen
                .is_none_or(|frozen| node > frozen)
                .then_some(randomness),
        }
    }

    /// The value of a node, released when nobody else will read it.
    fn take(&mut self, node: NodeId) -> Value {
        let readers = &mut self.readers[node.index()];
        *readers -= 1;
        let slot = &mut self.results[node.index()];
        let value = if *readers == 0 {
            slot.take()
        } else {
            slot.clone()
        };
        value.expect("a step reads only what earlier steps have produced")
    }

    fn map(&mut self, node: NodeId) -> Tensor<4> {
        match self.take(node) {
            Value::Map(map) => map,
            Value::Vector(_) => unreachable!("the builder has checked that this is a map"),
        }
    }

    fn vector(&mut self, node: NodeId) -> Tensor<2> {
        match self.take(node) {
            Value::Vector(vector) => vector,
            Value::Map(_) => unreachable!("the builder has checked that this is a vector"),
        }
    }

    fn state(&self, node: NodeId, index: usize) -> Tensor<1> {
        self.values[self.network.first_entry(node) + index].clone()
    }

    /// A tensor of two axes.
    fn table(&self, node: NodeId, index: usize) -> Tensor<2> {
        let entry = &self.network.entries()[self.network.first_entry(node) + index];
        self.state(node, index)
            .reshape([entry.shape[0], entry.shape[1]])
    }

    fn weight(&self, node: NodeId) -> Tensor<4> {
        let entry = &self.network.entries()[self.network.first_entry(node)];
        let shape: [usize; 4] = std::array::from_fn(|axis| entry.shape[axis]);
        self.state(node, 0).reshape(shape)
    }
}
