//! The reverse pass: the same steps from the last to the first.
//!
//! The gradient of a value is complete when all its readers have contributed. The last contribution
//! also finishes it: masks it by the rectifier and takes the sums of the normalisation behind it.
//! What the normalisation's own input receives is then known as factors, and the convolution before
//! it applies them while it reads.

mod single;

use std::sync::Arc;

use residua_graph::{NodeId, Operation, Step, StepKind};
use residua_kernels::convolution::fused;
use residua_kernels::feature_map::{
    GradientSums, MapViewMut, NormGradient, OutputGradient, finish,
};
use residua_kernels::{Buffer, BufferPool, Element, elementwise, reduce};

use crate::engine::Gradient;
use crate::forward::{Forward, Keep, Mode};
use crate::layout::{Layout, checked};
use crate::norm::NormFactors;
use crate::record::{SharedBuffer, Values};
use crate::segments::Segment;
use crate::stored::Held;
use crate::value::{NormValue, Reading, ShortcutValue, Value};
use crate::vectors::VectorPool;

/// A reverse pass in progress.
pub(crate) struct Backward<'a, E> {
    layout: &'a Layout,
    memory: Memory<'a>,
    state: &'a [&'a [f32]],
    values: Values<E>,
    gradients: Vec<NodeGradient<E>>,
    /// Of the tensors of the state.
    results: Vec<Option<Vec<f32>>>,
}

/// Where results are written.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    /// Gradients of values.
    pub(crate) maps: &'a BufferPool,
    /// Gradients of the state.
    pub(crate) vectors: &'a VectorPool,
}

/// What is known of the gradient of a node's value.
struct NodeGradient<E> {
    /// Contributions that are still to come.
    missing: usize,
    sum: Option<SumSoFar<E>>,
    /// Taken by the last contribution, for values that are normalisations.
    sums: Option<GradientSums>,
    /// For values that a normalisation alone reads: how to see `sum` through it.
    through: Option<Through<E>>,
    /// For projections: whether the addition has passed the gradient on already.
    passed_on: bool,
}

/// The contributions so far.
enum SumSoFar<E> {
    Map(SharedBuffer<E>),
    Vector(Buffer<f32>),
}

/// A normalisation between a value and the gradient at hand.
struct Through<E> {
    x: Held<E>,
    factors: Arc<NormFactors>,
}

impl<'a, E: Element> Backward<'a, E> {
    pub(crate) fn new(
        layout: &'a Layout,
        memory: Memory<'a>,
        state: &'a [&'a [f32]],
        values: Values<E>,
    ) -> Self {
        let gradient = |id| NodeGradient {
            missing: layout.reads(id),
            sum: None,
            sums: None,
            through: None,
            passed_on: false,
        };
        Self {
            layout,
            memory,
            state,
            values,
            gradients: layout.graph.ids().map(gradient).collect(),
            results: vec![None; state.len()],
        }
    }

    /// The gradients of all trained tensors, by way of these segments from the last to the first.
    pub(crate) fn run(mut self, logits_gradient: &[f32], segments: &[Segment]) -> Vec<Gradient> {
        let layout = self.layout;
        self.begin(logits_gradient);
        for segment in segments.iter().rev() {
            self.recompute(segment);
            for step in layout.steps[segment.steps.clone()].iter().rev() {
                self.step(step);
                // Nobody before this step reads its value.
                self.values.of_node[step.output.index()] = None;
                self.values.notes[step.output.index()] = None;
            }
        }
        let entries = crate::state_entries(&layout.graph).enumerate();
        let results = entries.zip(self.results);
        results
            .filter(|((_, entry), _)| entry.role.is_trainable())
            .map(|((index, entry), values)| Gradient {
                entry: index,
                // A parameter that the result does not depend on has a gradient of zero.
                values: values.unwrap_or_else(|| vec![0.0; entry.elements()]),
            })
            .collect()
    }

    /// Computes the values of a segment again of which the forward pass has kept the last only.
    fn recompute(&mut self, segment: &Segment) {
        if !segment.is_recomputed {
            return;
        }
        // All readers of the last one are done, and it comes again, unless it is the images.
        let last = self.layout.steps[segment.steps.end - 1].output;
        if self.layout.graph.node(last).operation != Operation::Input {
            self.values.of_node[last.index()] = None;
        }
        let placeholder = Values::new(self.values.batch, 0, self.values.randomness);
        let values = std::mem::replace(&mut self.values, placeholder);
        let mut forward = Forward::continuing(
            self.layout,
            self.memory.maps,
            self.state,
            Mode::Train,
            values,
        );
        forward.run(segment.steps.clone(), Keep::All);
        self.values = forward.values;
        // Its gradient was complete before it was known to be a normalisation.
        if self.gradients[last.index()].missing == 0 {
            self.complete(last);
        }
    }

    fn begin(&mut self, logits_gradient: &[f32]) {
        let output = self.layout.graph.output();
        let length = self.value(output).len();
        assert_eq!(
            logits_gradient.len(),
            length,
            "a gradient for each logit was expected"
        );
        if matches!(self.value(output), Value::Vector(_)) {
            let mut gradient = self.memory.maps.take(length);
            gradient.copy_from_slice(logits_gradient);
            self.add_vector(output, gradient);
        } else {
            let mut gradient = self.memory.maps.take::<E>(length);
            checked(residua_kernels::feature_map::convert(
                logits_gradient,
                &mut gradient,
            ));
            self.add_map(output, Arc::new(gradient));
        }
    }

    fn step(&mut self, step: &Step) {
        match step.kind {
            StepKind::Norm { norm, shortcut, .. } => self.norm(norm, shortcut, step.output),
            StepKind::Single => self.single(step),
        }
    }

    /// `gradients` of the result are finished: passes them on to the value, to the shortcut, and
    /// to the parameters.
    fn norm(&mut self, node: NodeId, shortcut: Option<NodeId>, output: NodeId) {
        let input = self.layout.graph.node(node).inputs[0];
        let slot = &mut self.gradients[output.index()];
        if slot.passed_on {
            return;
        }
        let (Some(SumSoFar::Map(gradient)), Some(sums)) = (slot.sum.take(), slot.sums.take())
        else {
            self.skip(input);
            shortcut.into_iter().for_each(|id| self.skip(id));
            return;
        };
        let value = match self.value(output) {
            Value::Norm(value) => Arc::clone(value),
            _ => unreachable!("the forward pass has left a normalisation here"),
        };
        let mut products = sums.products.iter();
        let own = products.next().expect("the norm's own sums come first");
        let factors = value.norm.factors(&sums.gradient, own);
        self.see_through(node, input, &gradient, &value, factors);
        match (&value.shortcut, shortcut) {
            (Some(ShortcutValue::Norm(projection)), Some(id)) => {
                let products = products.next().expect("the shortcut's sums come second");
                let factors = projection.norm.factors(&sums.gradient, products);
                self.gradients[id.index()].passed_on = true;
                let input = self.layout.graph.node(id).inputs[0];
                self.see_through(id, input, &gradient, projection, factors);
            }
            (Some(ShortcutValue::Map(_)), Some(id)) => self.add_map(id, gradient),
            _ => {}
        }
    }

    /// The gradient of what a normalisation reads, from that of its result.
    fn see_through(
        &mut self,
        norm: NodeId,
        input: NodeId,
        gradient: &SharedBuffer<E>,
        value: &NormValue<E>,
        mut factors: NormFactors,
    ) {
        self.set_result(norm, 0, std::mem::take(&mut factors.scale_gradient));
        self.set_result(norm, 1, std::mem::take(&mut factors.shift_gradient));
        let through = Through {
            x: value.x.hold(),
            factors: Arc::new(factors),
        };
        let is_convolution = matches!(
            self.layout.graph.node(input).operation,
            Operation::Convolution(_)
        );
        if is_convolution && self.layout.reads(input) == 1 {
            let slot = &mut self.gradients[input.index()];
            slot.missing = 0;
            slot.sum = Some(SumSoFar::Map(Arc::clone(gradient)));
            slot.through = Some(through);
            return;
        }
        let (channels, width) = (self.layout.channels(input), self.layout.width(input));
        let seen = output_gradient(gradient, Some(&through));
        let target = match self.gradients[input.index()].sum.take() {
            Some(SumSoFar::Map(sum)) => {
                let mut sum = self.exclusive(sum);
                checked(seen.add_to(channels, MapViewMut::apart(&mut sum, width)));
                sum
            }
            _ => {
                let mut target = self.memory.maps.take(gradient.len() / channels * width);
                checked(seen.evaluate(channels, MapViewMut::apart(&mut target, width)));
                target
            }
        };
        self.gradients[input.index()].sum = Some(SumSoFar::Map(Arc::new(target)));
        if self.contribute(input) {
            self.complete(input);
        }
    }

    fn convolution(&mut self, node: NodeId, input: NodeId, bias: bool) {
        let slot = &mut self.gradients[node.index()];
        let (Some(SumSoFar::Map(gradient)), through) = (slot.sum.take(), slot.through.take())
        else {
            return self.skip(input);
        };
        if bias {
            let mut sums = self.memory.vectors.take(self.layout.channels(node));
            match &through {
                // A normalisation takes out again what a bias adds.
                Some(_) => sums.fill(0.0),
                None => checked(reduce::channel_sums(&gradient, &mut sums)),
            }
            self.set_result(node, 1, sums);
        }
        let geometry = self.layout.convolution(node, self.values.batch);
        let weight = self.entry(node, 0);
        let mut weight_gradient = self.memory.vectors.take(weight.len());
        let value = self.value(input).clone();
        let reading = value.read();
        let source = reading.source();
        let seen = output_gradient(&gradient, through.as_ref());
        if self.layout.graph.node(input).operation == Operation::Input {
            let pass = fused::WeightGradientPass {
                source,
                gradient: seen,
                weight_gradient: &mut weight_gradient,
            };
            checked(fused::weight_gradient(&geometry, pass));
            self.set_result(node, 0, weight_gradient);
            return;
        }
        let (mut target, add_to_output) = match self.gradients[input.index()].sum.take() {
            Some(SumSoFar::Map(sum)) => (self.exclusive(sum), true),
            _ => (value.alike(self.memory.maps), false),
        };
        let last = self.contribute(input);
        let norms = match &reading {
            Reading::Norm(norm) if last => norm.norms(),
            _ => Vec::new(),
        };
        let finish = match &reading {
            Reading::Norm(norm) if last => Some(norm.finish(&norms)),
            _ => None,
        };
        let pass = fused::InputGradientPass {
            gradient: seen,
            weight,
            output: &mut target,
            add_to_output,
            finish,
        };
        let sums = checked(fused::gradients(
            &geometry,
            source,
            &mut weight_gradient,
            pass,
        ));
        self.set_result(node, 0, weight_gradient);
        let slot = &mut self.gradients[input.index()];
        slot.sums = sums;
        slot.sum = Some(SumSoFar::Map(Arc::new(target)));
    }

    /// Adds a contribution to the gradient of a node's value.
    fn add_map(&mut self, node: NodeId, contribution: SharedBuffer<E>) {
        let last = self.contribute(node);
        let sum = match self.gradients[node.index()].sum.take() {
            Some(SumSoFar::Map(sum)) => {
                let mut sum = self.exclusive(sum);
                checked(elementwise::add_assign(&mut sum, &contribution));
                Arc::new(sum)
            }
            _ => contribution,
        };
        self.gradients[node.index()].sum = Some(SumSoFar::Map(sum));
        if last {
            self.complete(node);
        }
    }

    /// Finishes the gradient of a normalisation's result in a pass of its own.
    fn complete(&mut self, node: NodeId) {
        let Some(Value::Norm(norm)) = self.values.of_node[node.index()].clone() else {
            return;
        };
        let Some(SumSoFar::Map(sum)) = self.gradients[node.index()].sum.take() else {
            return;
        };
        let mut sum = self.exclusive(sum);
        let reading = norm.read();
        let norms = reading.norms();
        let channels = self.layout.channels(node);
        let sums = checked(finish(&reading.finish(&norms), channels, &mut sum));
        let slot = &mut self.gradients[node.index()];
        slot.sums = Some(sums);
        slot.sum = Some(SumSoFar::Map(Arc::new(sum)));
    }

    fn add_vector(&mut self, node: NodeId, contribution: Buffer<f32>) {
        self.contribute(node);
        let slot = &mut self.gradients[node.index()];
        slot.sum = Some(SumSoFar::Vector(match slot.sum.take() {
            Some(SumSoFar::Vector(mut sum)) => {
                checked(elementwise::add_assign(&mut sum, &contribution));
                sum
            }
            _ => contribution,
        }));
    }

    /// Counts a contribution and says whether it is the last.
    fn contribute(&mut self, node: NodeId) -> bool {
        let missing = &mut self.gradients[node.index()].missing;
        *missing -= 1;
        *missing == 0
    }

    /// Counts a contribution of nothing.
    fn skip(&mut self, node: NodeId) {
        if self.contribute(node) {
            self.complete(node);
        }
    }

    /// A buffer that nobody else reads: this one, or a copy.
    fn exclusive(&self, shared: SharedBuffer<E>) -> Buffer<E> {
        Arc::try_unwrap(shared).unwrap_or_else(|shared| {
            let mut copy = self.memory.maps.take(shared.len());
            copy.copy_from_slice(&shared);
            copy
        })
    }

    fn set_result(&mut self, node: NodeId, index: usize, values: Vec<f32>) {
        self.results[self.layout.entry(node, index)] = Some(values);
    }

    fn value(&self, node: NodeId) -> &Value<E> {
        let value = self.values.of_node[node.index()].as_ref();
        value.expect("values are dropped only after their last reader's step")
    }

    fn map(&self, node: NodeId) -> SharedBuffer<E> {
        self.value(node)
            .map(self.layout.channels(node), self.memory.maps)
    }

    fn entry(&self, node: NodeId, index: usize) -> &'a [f32] {
        self.state[self.layout.entry(node, index)]
    }
}

fn output_gradient<'b, E: Element>(
    gradient: &'b [E],
    through: Option<&'b Through<E>>,
) -> OutputGradient<'b, E> {
    OutputGradient {
        gradient,
        norm: through.map(|through| NormGradient {
            values: through.x.view(),
            gradient_factor: &through.factors.gradient_factor,
            value_factor: &through.factors.value_factor,
            constant: &through.factors.constant,
        }),
    }
}
