//! The forward pass: one walk over the fused steps.

use std::sync::{Arc, OnceLock};

use residua_graph::{BatchNorm, NodeId, Operation, Step, StepKind};
use residua_kernels::convolution::fused;
use residua_kernels::feature_map::{BatchMoments, measure};
use residua_kernels::{Buffer, BufferPool, Element, elementwise, linear, pooling, shortcut};

use crate::engine::NormStatistics;
use crate::layout::{Layout, checked};
use crate::norm::NormState;
use crate::record::Values;
use crate::value::{NormValue, ShortcutValue, Value};

/// Which statistics normalise, and whether values are kept for a reverse pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Train,
    Infer,
}

/// A forward pass in progress.
pub(crate) struct Forward<'a, E> {
    layout: &'a Layout,
    pool: &'a BufferPool,
    state: &'a [&'a [f32]],
    mode: Mode,
    pub(crate) values: Values<E>,
    /// Moments that convolutions took of their outputs.
    moments: Vec<Option<BatchMoments>>,
    /// Reads of each value that are still to come.
    reads: Vec<usize>,
    pub(crate) statistics: Vec<NormStatistics>,
}

impl<'a, E: Element> Forward<'a, E> {
    pub(crate) fn new(
        layout: &'a Layout,
        pool: &'a BufferPool,
        state: &'a [&'a [f32]],
        batch: usize,
        mode: Mode,
    ) -> Self {
        let nodes = layout.graph.nodes().len();
        Self {
            layout,
            pool,
            state,
            mode,
            values: Values::new(batch, nodes),
            moments: (0..nodes).map(|_| None).collect(),
            reads: layout.graph.ids().map(|id| layout.reads(id)).collect(),
            statistics: Vec::new(),
        }
    }

    /// The logits.
    pub(crate) fn run(&mut self, images: &[f32]) -> Vec<f32> {
        let layout = self.layout;
        for step in &layout.steps {
            let value = match step.kind {
                StepKind::Single => self.single(step, images),
                StepKind::Norm {
                    norm,
                    shortcut,
                    relu,
                } => self.norm(norm, shortcut, relu, step.output),
            };
            self.values.of_node[step.output.index()] = Some(value);
            for input in &step.inputs {
                self.release(*input);
            }
        }
        let output = layout.graph.output();
        match self.value(output) {
            Value::Vector(vector) => vector.to_vec(),
            map => {
                let map = map.map(layout.channels(output), self.pool);
                map.iter().map(|number| number.to_f32()).collect()
            }
        }
    }

    fn single(&mut self, step: &Step, images: &[f32]) -> Value<E> {
        let (node, batch) = (step.output, self.values.batch);
        let layout = self.layout;
        let input = |index: usize| step.inputs[index];
        match layout.graph.node(node).operation {
            Operation::Input => {
                let mut map = self.buffer(images.len());
                checked(residua_kernels::feature_map::convert(images, &mut map));
                Value::Map(Arc::new(map))
            }
            Operation::Convolution(settings) => self.convolution(node, input(0), settings.bias),
            Operation::BatchNorm(_) => self.norm(node, None, false, node),
            Operation::Relu => self.relu(input(0)),
            Operation::MaxPool(_) => {
                let geometry = layout.max_pool(node, batch);
                let source = self.map(input(0));
                let mut target = self.buffer(geometry.output_length());
                let mut positions = vec![0; target.len()];
                checked(pooling::max_forward(
                    &geometry,
                    &source,
                    &mut target,
                    &mut positions,
                ));
                self.values.positions[node.index()] = Some(Arc::new(positions));
                Value::Map(Arc::new(target))
            }
            Operation::GlobalAveragePool => {
                let geometry = layout.global_pool(node, batch);
                let source = self.map(input(0));
                let mut target = self.pool.take(geometry.output_length());
                checked(pooling::average_forward(&geometry, &source, &mut target));
                Value::Vector(Arc::new(target))
            }
            Operation::ZeroPadShortcut(_) => {
                let geometry = layout.zero_pad(node, batch);
                let source = self.map(input(0));
                let mut target = self.buffer(geometry.output_length());
                checked(shortcut::forward(&geometry, &source, &mut target));
                Value::Map(Arc::new(target))
            }
            Operation::Add => self.add(input(0), input(1)),
            Operation::Linear(_) => {
                let geometry = layout.linear(node, batch);
                let source = self.value(input(0)).vector();
                let mut target = self.pool.take(batch * layout.channels(node));
                let (weight, bias) = (self.entry(node, 0), self.entry(node, 1));
                checked(linear::forward(
                    &geometry,
                    &source,
                    weight,
                    Some(bias),
                    &mut target,
                ));
                Value::Vector(Arc::new(target))
            }
        }
    }

    fn convolution(&mut self, node: NodeId, input: NodeId, bias: bool) -> Value<E> {
        let geometry = self.layout.convolution(node, self.values.batch);
        let value = self.value(input).clone();
        let keep = match &value {
            Value::Norm(norm) if norm.stored.get().is_none() && self.is_read_again(input) => {
                Some(norm)
            }
            _ => None,
        };
        let mut kept = keep.map(|norm| self.buffer(norm.x.len()));
        let mut output = self.buffer(geometry.output_length());
        let pass = fused::ForwardPass {
            source: value.source(),
            weight: self.entry(node, 0),
            bias: bias.then(|| self.entry(node, 1)),
            output: &mut output,
            keep: kept.as_deref_mut(),
            moments: self.mode == Mode::Train && self.layout.feeds_one_norm(node),
        };
        self.moments[node.index()] = checked(fused::forward(&geometry, pass));
        if let (Some(norm), Some(kept)) = (keep, kept) {
            norm.stored.get_or_init(|| Arc::new(kept));
        }
        Value::Map(Arc::new(output))
    }

    fn norm(
        &mut self,
        node: NodeId,
        added: Option<NodeId>,
        relu: bool,
        output: NodeId,
    ) -> Value<E> {
        let Operation::BatchNorm(settings) = self.layout.graph.node(node).operation else {
            unreachable!("the fusion pass calls batch normalisations norms")
        };
        let input = self.layout.graph.node(node).inputs[0];
        let x = self.map(input);
        let norm = self.norm_state(node, input, settings, &x);
        let shortcut = added.map(|added| match self.value(added) {
            Value::Norm(norm) if self.is_bare_projection(added, norm) => {
                ShortcutValue::Norm(Arc::clone(norm))
            }
            other => ShortcutValue::Map(other.map(self.layout.channels(added), self.pool)),
        });
        let value = NormValue {
            x,
            norm,
            shortcut,
            relu,
            stored: OnceLock::new(),
        };
        let readers_compute = self.layout.feeds_one_convolution(output)
            || self.layout.is_only_a_shortcut(output)
            || self.layout.first_reader_keeps(output);
        if !readers_compute {
            value.store(self.layout.channels(output), self.pool);
        }
        Value::Norm(Arc::new(value))
    }

    /// Whether a shortcut is a normalisation alone, which the addition can compute.
    fn is_bare_projection(&self, node: NodeId, norm: &NormValue<E>) -> bool {
        norm.stored.get().is_none()
            && !norm.relu
            && norm.shortcut.is_none()
            && self.layout.is_only_a_shortcut(node)
    }

    fn norm_state(
        &mut self,
        node: NodeId,
        input: NodeId,
        settings: BatchNorm,
        x: &Buffer<E>,
    ) -> NormState {
        let (scale, shift) = (self.entry(node, 0), self.entry(node, 1));
        if self.mode == Mode::Infer {
            let (mean, variance) = (self.entry(node, 2), self.entry(node, 3));
            return NormState::of_running(mean, variance, scale, shift, settings.epsilon);
        }
        let moments = self.moments[input.index()]
            .take()
            .unwrap_or_else(|| checked(measure(x, scale.len())));
        let narrow = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect();
        self.statistics.push(NormStatistics {
            node,
            count: moments.count,
            mean: narrow(&moments.mean),
            variance: narrow(&moments.variance),
        });
        NormState::of_batch(&moments, scale, shift, settings.epsilon)
    }

    fn relu(&mut self, input: NodeId) -> Value<E> {
        match self.value(input).clone() {
            Value::Vector(source) => {
                let mut target = self.pool.take(source.len());
                checked(elementwise::relu(&source, &mut target));
                Value::Vector(Arc::new(target))
            }
            value => {
                let source = value.map(self.layout.channels(input), self.pool);
                let mut target = self.buffer(source.len());
                checked(elementwise::relu(&source, &mut target));
                Value::Map(Arc::new(target))
            }
        }
    }

    fn add(&mut self, left: NodeId, right: NodeId) -> Value<E> {
        match (self.value(left).clone(), self.value(right).clone()) {
            (Value::Vector(left), Value::Vector(right)) => {
                let mut target = self.pool.take(left.len());
                checked(elementwise::add(&left, &right, &mut target));
                Value::Vector(Arc::new(target))
            }
            _ => {
                let (left, right) = (self.map(left), self.map(right));
                let mut target = self.buffer(left.len());
                checked(elementwise::add(&left, &right, &mut target));
                Value::Map(Arc::new(target))
            }
        }
    }

    fn value(&self, node: NodeId) -> &Value<E> {
        let value = self.values.of_node[node.index()].as_ref();
        value.expect("a step reads only what earlier steps have produced")
    }

    fn map(&self, node: NodeId) -> Arc<Buffer<E>> {
        self.value(node).map(self.layout.channels(node), self.pool)
    }

    fn is_read_again(&self, node: NodeId) -> bool {
        self.reads[node.index()] > 1
    }

    /// Counts a read; in inference the value goes when it was the last.
    fn release(&mut self, node: NodeId) {
        let reads = &mut self.reads[node.index()];
        *reads -= 1;
        if *reads == 0 && self.mode == Mode::Infer {
            self.values.of_node[node.index()] = None;
            self.values.positions[node.index()] = None;
        }
    }

    fn buffer(&self, length: usize) -> Buffer<E> {
        self.pool.take(length)
    }

    fn entry(&self, node: NodeId, index: usize) -> &'a [f32] {
        self.state[self.layout.entry(node, index)]
    }
}
