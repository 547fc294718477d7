//! What can be known of a graph before it runs: who reads what, where state lies, which sizes
//! operations have.

use residua_core::seed::SeedStream;
use residua_graph::{
    Activation, Axis, DropUnit, Edge, Graph, NodeId, Operation, Shape, StateEntry, StateRole, Step,
    StepKind, fuse,
};
use residua_kernels::ShapeError;
use residua_kernels::activation::Activation as KernelActivation;
use residua_kernels::attention::AttentionGeometry;
use residua_kernels::chunks::Chunks;
use residua_kernels::convolution::{ConvolutionGeometry, ConvolutionSpec};
use residua_kernels::dropout::DropRule;
use residua_kernels::gate::{Gate, GateGeometry};
use residua_kernels::group_norm::GroupNormGeometry;
use residua_kernels::linear::LinearGeometry;
use residua_kernels::pooling::{AverageGeometry, MaxGeometry, PoolingSpec};
use residua_kernels::shortcut::ShortcutGeometry;

use crate::dense_blocks::DenseBlocks;

/// The tensors of a graph's state that an engine reads: all but the batch counts, node by node.
pub fn state_entries(graph: &Graph) -> impl Iterator<Item = StateEntry> {
    let state = graph.ids().flat_map(|id| graph.state_of(id));
    state.filter(|entry| entry.role != StateRole::BatchCount)
}

/// A graph, analysed.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) graph: Graph,
    pub(crate) steps: Vec<Step>,
    /// First state entry of each node.
    first_entry: Vec<usize>,
    /// Steps that read each node's value, in their order.
    readers: Vec<Vec<usize>>,
    pub(crate) dense_blocks: DenseBlocks,
}

impl Layout {
    pub(crate) fn new(graph: &Graph) -> Self {
        let steps = fuse(graph, &[]);
        let mut readers = vec![Vec::new(); graph.nodes().len()];
        for (index, step) in steps.iter().enumerate() {
            for input in &step.inputs {
                readers[input.index()].push(index);
            }
        }
        let mut first_entry = Vec::new();
        let mut entries = 0;
        for id in graph.ids() {
            first_entry.push(entries);
            let state = graph.state_of(id).into_iter();
            entries += state
                .filter(|entry| entry.role != StateRole::BatchCount)
                .count();
        }
        Self {
            graph: graph.clone(),
            dense_blocks: DenseBlocks::new(graph, &steps, &readers),
            steps,
            first_entry,
            readers,
        }
    }

    pub(crate) fn entry(&self, node: NodeId, index: usize) -> usize {
        self.first_entry[node.index()] + index
    }

    /// How many steps read a value, the caller counted for the result.
    pub(crate) fn reads(&self, node: NodeId) -> usize {
        self.readers[node.index()].len() + usize::from(node == self.graph.output())
    }

    /// The step that reads a value, if it is the only one.
    fn only_reader(&self, node: NodeId) -> Option<&Step> {
        match self.readers[node.index()][..] {
            [only] if node != self.graph.output() => Some(&self.steps[only]),
            _ => None,
        }
    }

    /// Whether the only reader is a convolution, which can compute the value while it reads.
    pub(crate) fn feeds_one_convolution(&self, node: NodeId) -> bool {
        self.only_reader(node)
            .is_some_and(|step| self.convolution_of(step).is_some())
    }

    /// Whether the only reader is a normalisation that adds the value as its shortcut.
    pub(crate) fn is_only_a_shortcut(&self, node: NodeId) -> bool {
        let reader = self.only_reader(node).map(|step| step.kind);
        matches!(reader, Some(StepKind::Norm { shortcut: Some(shortcut), .. }) if shortcut == node)
    }

    /// Whether a normalisation will ask for the moments of a value, or for those of a concatenation
    /// that the value is a part of.
    pub(crate) fn needs_moments(&self, node: NodeId) -> bool {
        let readers = self.readers[node.index()].iter();
        { readers }.any(|&reader| {
            let step = &self.steps[reader];
            match step.kind {
                StepKind::Norm { norm, .. } => self.graph.node(norm).inputs[0] == node,
                StepKind::Single => match self.graph.node(step.output).operation {
                    Operation::BatchNorm(_) => true,
                    Operation::Concat(Axis::Channels) => self.needs_moments(step.output),
                    _ => false,
                },
            }
        })
    }

    /// Whether the first reader is a convolution that reads every pixel, so that it can keep the
    /// value for the others while it computes it.
    pub(crate) fn first_reader_keeps(&self, node: NodeId) -> bool {
        let first = self.readers[node.index()].first();
        first.is_some_and(|&first| {
            let convolution = self.convolution_of(&self.steps[first]);
            convolution.is_some_and(|id| self.reads_every_pixel(id))
        })
    }

    /// Whether no reverse pass needs a value: a convolution's does without what it has computed, a
    /// concatenation's without what it has copied.
    pub(crate) fn is_only_copied(&self, node: NodeId) -> bool {
        let operation = |node| self.graph.node(node).operation;
        let mut readers = self.readers[node.index()].iter();
        matches!(operation(node), Operation::Convolution(_))
            && readers
                .all(|&reader| matches!(operation(self.steps[reader].output), Operation::Concat(_)))
    }

    fn reads_every_pixel(&self, convolution: NodeId) -> bool {
        match self.graph.node(convolution).operation {
            Operation::Convolution(settings) => {
                settings.stride == [1, 1]
                    && self.graph.input_shape_of(convolution).spatial()
                        == self.graph.shape_of(convolution).spatial()
            }
            _ => false,
        }
    }

    fn convolution_of(&self, step: &Step) -> Option<NodeId> {
        let is_convolution = step.kind == StepKind::Single
            && matches!(
                self.graph.node(step.output).operation,
                Operation::Convolution(_)
            );
        is_convolution.then_some(step.output)
    }

    /// Channels of a node's value.
    pub(crate) fn channels(&self, node: NodeId) -> usize {
        self.graph.shape_of(node).channels()
    }

    /// Channels of the map that holds a node's value, and of the one that holds its gradient.
    pub(crate) fn width(&self, node: NodeId) -> usize {
        let width = self.dense_blocks.width(node);
        width.unwrap_or_else(|| self.channels(node))
    }

    pub(crate) fn convolution(&self, node: NodeId, batch: usize) -> ConvolutionGeometry {
        let Operation::Convolution(settings) = self.graph.node(node).operation else {
            unreachable!("only convolutions are asked for their geometry")
        };
        let input = self.graph.input_shape_of(node);
        checked(ConvolutionGeometry::new(ConvolutionSpec {
            batch,
            input: input.spatial(),
            in_channels: input.channels(),
            out_channels: settings.out_channels,
            kernel: settings.kernel,
            stride: settings.stride,
            padding: settings.padding,
            dilation: settings.dilation,
            groups: settings.groups,
        }))
    }

    pub(crate) fn max_pool(&self, node: NodeId, batch: usize) -> MaxGeometry {
        let Operation::MaxPool(settings) = self.graph.node(node).operation else {
            unreachable!("only max pools are asked for their geometry")
        };
        let input = self.graph.input_shape_of(node);
        checked(MaxGeometry::new(PoolingSpec {
            batch,
            input: input.spatial(),
            channels: input.channels(),
            kernel: settings.kernel,
            stride: settings.stride,
            padding: settings.padding,
            ..PoolingSpec::default()
        }))
    }

    pub(crate) fn average_pool(&self, node: NodeId, batch: usize) -> AverageGeometry {
        let input = self.graph.input_shape_of(node);
        let adaptive =
            |output| AverageGeometry::adaptive(batch, input.spatial(), input.channels(), output);
        checked(match self.graph.node(node).operation {
            Operation::GlobalAveragePool => adaptive([1, 1]),
            Operation::AdaptiveAveragePool(output) => adaptive(output),
            Operation::AveragePool(settings) => AverageGeometry::sliding(
                &PoolingSpec {
                    batch,
                    input: input.spatial(),
                    channels: input.channels(),
                    kernel: settings.kernel,
                    stride: settings.stride,
                    ceil_mode: settings.edge == Edge::Keep,
                    ..PoolingSpec::default()
                },
                false,
            ),
            _ => unreachable!("only average pools are asked for their geometry"),
        })
    }

    pub(crate) fn gate(&self, node: NodeId, batch: usize) -> GateGeometry {
        let inputs = &self.graph.node(node).inputs;
        let [map, gate] = [
            self.graph.shape_of(inputs[0]),
            self.graph.shape_of(inputs[1]),
        ];
        let [height, width] = map.spatial();
        let kind = if gate.spatial() == [1, 1] && gate.channels() == map.channels() {
            Gate::Channels
        } else {
            Gate::Pixels
        };
        checked(GateGeometry::new(
            kind,
            batch,
            height * width,
            map.channels(),
        ))
    }

    pub(crate) fn group_norm(&self, node: NodeId, batch: usize) -> GroupNormGeometry {
        let Operation::GroupNorm(settings) = self.graph.node(node).operation else {
            unreachable!("only group norms are asked for their geometry")
        };
        let input = self.graph.input_shape_of(node);
        checked(GroupNormGeometry::new(
            batch,
            pixels(input),
            input.channels(),
            settings.groups,
        ))
    }

    pub(crate) fn attention(&self, node: NodeId, batch: usize) -> AttentionGeometry {
        let Operation::SelfAttention(settings) = self.graph.node(node).operation else {
            unreachable!("only attentions are asked for their geometry")
        };
        let input = self.graph.input_shape_of(node);
        checked(AttentionGeometry::new(
            batch,
            input.spatial(),
            settings.heads,
            input.channels() / 3 / settings.heads,
        ))
    }

    /// Where the parts of a concatenation lie in it: for each input how many numbers are contiguous, and
    /// where in the whole.
    pub(crate) fn parts(&self, node: NodeId, axis: Axis) -> Vec<Part> {
        let whole = self.graph.shape_of(node);
        let mut offset = 0;
        let inputs = self.graph.node(node).inputs.iter();
        inputs
            .map(|input| {
                let shape = self.graph.shape_of(*input);
                let (length, pitch) = match axis {
                    Axis::Channels => (shape.channels(), self.width(node)),
                    Axis::Rows => (shape.elements(), whole.elements()),
                };
                let part = Part {
                    length,
                    whole: Chunks { offset, pitch },
                };
                offset += length;
                part
            })
            .collect()
    }

    /// The part that a slice takes of its input.
    pub(crate) fn slice(&self, node: NodeId) -> Part {
        let Operation::Slice(slice) = self.graph.node(node).operation else {
            unreachable!("only slices are asked for their part")
        };
        let whole = self.graph.input_shape_of(node);
        let line = whole.elements() / whole.spatial()[0];
        match slice.axis {
            Axis::Channels => Part {
                length: slice.length,
                whole: Chunks {
                    offset: slice.begin,
                    pitch: whole.channels(),
                },
            },
            Axis::Rows => Part {
                length: slice.length * line,
                whole: Chunks {
                    offset: slice.begin * line,
                    pitch: whole.elements(),
                },
            },
        }
    }

    pub(crate) fn zero_pad(&self, node: NodeId, batch: usize) -> ShortcutGeometry {
        let Operation::ZeroPadShortcut(settings) = self.graph.node(node).operation else {
            unreachable!("only zero-pad shortcuts are asked for their geometry")
        };
        let input = self.graph.input_shape_of(node);
        checked(ShortcutGeometry::new(
            batch,
            input.spatial(),
            input.channels(),
            settings.stride,
            [settings.before, settings.after],
        ))
    }

    pub(crate) fn linear(&self, node: NodeId, batch: usize) -> LinearGeometry {
        let [input, output] = [self.graph.input_shape_of(node), self.graph.shape_of(node)];
        checked(LinearGeometry::new(
            batch,
            input.channels(),
            output.channels(),
        ))
    }
}

/// Some numbers out of every so many of a map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Numbers that lie together.
    pub(crate) length: usize,
    /// Where they lie in the whole.
    pub(crate) whole: Chunks,
}

impl Part {
    /// Where they lie when they are alone.
    pub(crate) fn alone(self) -> Chunks {
        Chunks {
            offset: 0,
            pitch: self.length,
        }
    }
}

/// What a dropout drops in the pass with this randomness; `None` for another operation.
pub fn drop_rule(graph: &Graph, node: NodeId, randomness: SeedStream) -> Option<DropRule> {
    let named = graph.node(node);
    let Operation::Dropout(settings) = named.operation else {
        return None;
    };
    Some(DropRule {
        seed: randomness.child(&named.name).number(),
        rate: settings.rate,
        run: match settings.unit {
            DropUnit::Number => 1,
            DropUnit::Sample => named.shape.elements(),
        },
    })
}

/// The kernels' name of an activation.
pub fn kernel_activation(activation: Activation) -> KernelActivation {
    match activation {
        Activation::Relu => KernelActivation::Relu,
        Activation::LeakyRelu => KernelActivation::LeakyRelu,
        Activation::Sigmoid => KernelActivation::Sigmoid,
        Activation::Silu => KernelActivation::Silu,
        Activation::Gelu => KernelActivation::Gelu,
    }
}

/// Pixels of a map.
pub(crate) fn pixels(shape: Shape) -> usize {
    shape.spatial().iter().product()
}

/// Shapes were checked when the graph was built, and the caller's slices at the engine's door; what
/// is wrong now is a bug.
pub(crate) fn checked<T>(result: Result<T, ShapeError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
