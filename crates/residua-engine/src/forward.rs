//! The forward pass: one walk over the fused steps.

mod single;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use residua_core::seed::SeedStream;
use residua_graph::{BatchNorm, NodeId, Operation, StepKind};
use residua_kernels::convolution::fused;
use residua_kernels::feature_map::{BatchMoments, MapView, measure};
use residua_kernels::{Buffer, BufferPool, Element};

use crate::engine::NormStatistics;
use crate::layout::{Layout, checked};
use crate::norm::NormState;
use crate::record::Values;
use crate::stored::Stored;
use crate::value::{NormValue, ShortcutValue, Value};

/// Which statistics normalise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Those of the batch.
    Train,
    /// The running ones.
    Infer,
}

/// Which values outlive their last reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All that a reverse pass needs.
    All,
    None,
}

/// What a pass is told besides the images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassSpec {
    pub(crate) batch: usize,
    pub(crate) mode: Mode,
    /// Of dropouts.
    pub(crate) randomness: SeedStream,
}

/// A forward pass in progress.
pub(crate) struct Forward<'a, E> {
    layout: &'a Layout,
    pool: &'a BufferPool,
    state: &'a [&'a [f32]],
    mode: Mode,
    pub(crate) values: Values<E>,
    /// Moments of values that normalisations read.
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
        spec: PassSpec,
    ) -> Self {
        let nodes = layout.graph.nodes().len();
        let values = Values::new(spec.batch, nodes, spec.randomness);
        Self::continuing(layout, pool, state, spec.mode, values)
    }

    /// A pass that goes on from the values of an earlier one.
    pub(crate) fn continuing(
        layout: &'a Layout,
        pool: &'a BufferPool,
        state: &'a [&'a [f32]],
        mode: Mode,
        values: Values<E>,
    ) -> Self {
        Self {
            layout,
            pool,
            state,
            mode,
            values,
            moments: (0..layout.graph.nodes().len()).map(|_| None).collect(),
            reads: layout.graph.ids().map(|id| layout.reads(id)).collect(),
            statistics: Vec::new(),
        }
    }

    /// Stores the images as the value of the input.
    pub(crate) fn begin(&mut self, images: &[f32]) {
        let mut map = self.buffer(images.len());
        checked(residua_kernels::feature_map::convert(images, &mut map));
        self.values.of_node[0] = Some(Value::whole(map));
    }

    /// Runs some of the steps.
    pub(crate) fn run(&mut self, steps: Range<usize>, keep: Keep) {
        let layout = self.layout;
        for step in &layout.steps[steps] {
            let value = match step.kind {
                StepKind::Single => match layout.graph.node(step.output).operation {
                    Operation::Input => continue,
                    operation => self.single(step, operation),
                },
                StepKind::Norm {
                    norm,
                    shortcut,
                    relu,
                } => self.norm(norm, shortcut, relu, step.output),
            };
            self.values.of_node[step.output.index()] = Some(value);
            for input in &step.inputs {
                self.release(*input, keep);
            }
        }
    }

    /// Keeps the value of a node after its last reader, and as a map of its own: what it would be
    /// computed from may go.
    pub(crate) fn pin(&mut self, node: NodeId) {
        self.reads[node.index()] += 1;
        if let Value::Norm(_) = self.value(node) {
            let stored = Value::Map(self.stored(node));
            self.values.of_node[node.index()] = Some(stored);
        }
    }

    /// The result, when all steps have been run.
    pub(crate) fn logits(&self) -> Vec<f32> {
        let output = self.layout.graph.output();
        match self.value(output) {
            Value::Vector(vector) => vector.to_vec(),
            map => {
                let map = map.map(self.layout.channels(output), self.pool);
                map.iter().map(|number| number.to_f32()).collect()
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
        let reading = value.read();
        let pass = fused::ForwardPass {
            source: reading.source(),
            weight: self.entry(node, 0),
            bias: bias.then(|| self.entry(node, 1)),
            output: &mut output,
            keep: kept.as_deref_mut(),
            moments: self.mode == Mode::Train && self.layout.needs_moments(node),
        };
        self.moments[node.index()] = checked(fused::forward(&geometry, pass));
        if let (Some(norm), Some(kept)) = (keep, kept) {
            norm.stored.get_or_init(|| Arc::new(kept));
        }
        Value::whole(output)
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
        let x = self.stored(input);
        let norm = self.norm_state(node, input, settings, x.hold().view());
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
        x: MapView<'_, E>,
    ) -> NormState {
        let (scale, shift) = (self.entry(node, 0), self.entry(node, 1));
        if self.mode == Mode::Infer {
            let (mean, variance) = (self.entry(node, 2), self.entry(node, 3));
            return NormState::of_running(mean, variance, scale, shift, settings.epsilon);
        }
        let moments = self.moments_of(input, x);
        let narrow = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect();
        self.statistics.push(NormStatistics {
            node,
            count: moments.count,
            mean: narrow(&moments.mean),
            variance: narrow(&moments.variance),
        });
        NormState::of_batch(&moments, scale, shift, settings.epsilon)
    }

    /// The moments of a value, which whoever computed it may have taken.
    fn moments_of(&mut self, node: NodeId, value: MapView<'_, E>) -> BatchMoments {
        let channels = self.layout.channels(node);
        let moments = &mut self.moments[node.index()];
        moments
            .get_or_insert_with(|| checked(measure(value, channels)))
            .clone()
    }

    fn value(&self, node: NodeId) -> &Value<E> {
        let value = self.values.of_node[node.index()].as_ref();
        value.expect("a step reads only what earlier steps have produced")
    }

    fn stored(&self, node: NodeId) -> Stored<E> {
        { self.value(node) }.stored(self.layout.channels(node), self.pool)
    }

    fn map(&self, node: NodeId) -> Arc<Buffer<E>> {
        self.value(node).map(self.layout.channels(node), self.pool)
    }

    fn is_read_again(&self, node: NodeId) -> bool {
        self.reads[node.index()] > 1
    }

    /// Counts a read; after the last one the value may go.
    fn release(&mut self, node: NodeId, keep: Keep) {
        let reads = &mut self.reads[node.index()];
        *reads -= 1;
        if *reads == 0 && (keep == Keep::None || self.layout.is_only_copied(node)) {
            self.values.of_node[node.index()] = None;
            self.values.notes[node.index()] = None;
        }
    }

    fn buffer(&self, length: usize) -> Buffer<E> {
        self.pool.take(length)
    }

    fn entry(&self, node: NodeId, index: usize) -> &'a [f32] {
        self.state[self.layout.entry(node, index)]
    }
}
