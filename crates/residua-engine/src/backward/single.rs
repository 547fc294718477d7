//! Steps that are one operation, convolutions and batch normalisations aside.

use std::sync::Arc;

use residua_graph::{Activation, Axis, NodeId, Operation, Step};
use residua_kernels::chunks::{add_chunks, copy_chunks};
use residua_kernels::dropout::DropRule;
use residua_kernels::{
    Buffer, Element, activation, attention, channel_convolution, channel_summary, dropout,
    elementwise, flatten, gate, group_norm, linear, path_softmax, pooling, reduce, shortcut,
};

use super::{Backward, SumSoFar};
use crate::dense_blocks::Position;
use crate::layout::{Part, checked, drop_rule, kernel_activation, pixels};
use crate::record::{Note, SharedBuffer};

impl<E: Element> Backward<'_, E> {
    pub(super) fn single(&mut self, step: &Step) {
        let node = step.output;
        let input = |index: usize| step.inputs[index];
        let operation = self.layout.graph.node(node).operation;
        match operation {
            Operation::Input => return,
            Operation::BatchNorm(_) => return self.norm(node, None, node),
            Operation::Convolution(settings) => {
                return self.convolution(node, input(0), settings.bias);
            }
            _ => {}
        }
        match self.gradients[node.index()].sum.take() {
            Some(SumSoFar::Map(gradient)) => self.single_map(step, operation, gradient),
            Some(SumSoFar::Vector(gradient)) => self.single_vector(step, operation, gradient),
            // The result does not depend on this node.
            None => step.inputs.iter().for_each(|id| self.skip(*id)),
        }
    }

    /// Passes on the gradient of a result that is a map.
    fn single_map(&mut self, step: &Step, operation: Operation, gradient: SharedBuffer<E>) {
        let (node, batch) = (step.output, self.values.batch);
        let layout = self.layout;
        let input = |index: usize| step.inputs[index];
        match operation {
            Operation::GroupNorm(_) => self.group_norm(node, input(0), &gradient),
            Operation::Activation(Activation::Relu) => {
                let result = self.map(node);
                self.pass_on(input(0), |target| {
                    checked(elementwise::relu_backward(&result, &gradient, target));
                });
            }
            Operation::Activation(activation) => {
                let source = self.map(input(0));
                let kind = kernel_activation(activation);
                self.pass_on(input(0), |target| {
                    checked(activation::backward(kind, &source, &gradient, target));
                });
            }
            Operation::Dropout(_) => {
                let rule = self.drop_rule(node);
                self.pass_on(input(0), |target| {
                    checked(dropout::apply(rule, &gradient, target));
                });
            }
            Operation::MaxPool(_) => self.max_pool(node, input(0), &gradient),
            Operation::AveragePool(_) | Operation::AdaptiveAveragePool(_) => {
                let geometry = layout.average_pool(node, batch);
                self.pass_on(input(0), |target| {
                    checked(pooling::average_backward(&geometry, &gradient, target));
                });
            }
            Operation::ChannelSummary => {
                let (source, channels) = (self.map(input(0)), layout.channels(input(0)));
                self.pass_on(input(0), |target| {
                    checked(channel_summary::backward(
                        channels, &source, &gradient, target,
                    ));
                });
            }
            Operation::ChannelConvolution(_) => {
                self.channel_convolution(node, input(0), &gradient);
            }
            Operation::PathSoftmax { paths } => {
                let (result, channels) = (self.map(node), layout.channels(node) / paths);
                self.pass_on(input(0), |target| {
                    checked(path_softmax::backward(
                        paths, channels, &result, &gradient, target,
                    ));
                });
            }
            Operation::SelfAttention(_) => self.self_attention(node, input(0), &gradient),
            Operation::ZeroPadShortcut(_) => {
                let geometry = layout.zero_pad(node, batch);
                self.pass_on(input(0), |target| {
                    checked(shortcut::backward(&geometry, &gradient, target));
                });
            }
            Operation::Slice(_) => self.slice(node, input(0), &gradient),
            Operation::Concat(axis) => self.concatenation(node, &step.inputs, axis, gradient),
            Operation::Add => {
                self.add_map(input(0), Arc::clone(&gradient));
                self.add_map(input(1), gradient);
            }
            Operation::Gate => self.gate(node, [input(0), input(1)], &gradient),
            Operation::Input
            | Operation::Convolution(_)
            | Operation::BatchNorm(_)
            | Operation::GlobalAveragePool
            | Operation::Flatten
            | Operation::Linear(_) => unreachable!("{} gives no map here", operation.kind()),
        }
    }

    /// Passes on the gradient of a result that is a vector.
    fn single_vector(&mut self, step: &Step, operation: Operation, gradient: Buffer<f32>) {
        let (node, layout) = (step.output, self.layout);
        let input = |index: usize| step.inputs[index];
        match operation {
            Operation::GlobalAveragePool => {
                let geometry = layout.average_pool(node, self.values.batch);
                self.pass_on(input(0), |target| {
                    checked(pooling::average_backward(&geometry, &gradient, target));
                });
            }
            Operation::Flatten => {
                let shape = layout.graph.shape_of(input(0));
                let (pixels, channels) = (pixels(shape), shape.channels());
                self.pass_on(input(0), |target| {
                    checked(flatten::backward(pixels, channels, &gradient, target));
                });
            }
            Operation::Activation(activation) => {
                let source = self.value(input(0)).vector();
                let kind = kernel_activation(activation);
                let mut target = self.memory.maps.take(gradient.len());
                checked(activation::backward(kind, &source, &gradient, &mut target));
                self.add_vector(input(0), target);
            }
            Operation::Dropout(_) => {
                let rule = self.drop_rule(node);
                let mut target = self.memory.maps.take(gradient.len());
                checked(dropout::apply(rule, &gradient, &mut target));
                self.add_vector(input(0), target);
            }
            Operation::Add => {
                let mut copy = self.memory.maps.take(gradient.len());
                copy.copy_from_slice(&gradient);
                self.add_vector(input(0), copy);
                self.add_vector(input(1), gradient);
            }
            Operation::Linear(_) => self.linear(node, input(0), &gradient),
            operation => unreachable!("the builder gives {} maps only", operation.kind()),
        }
    }

    /// Adds what `compute` writes to the gradient of a map.
    fn pass_on(&mut self, input: NodeId, compute: impl FnOnce(&mut [E])) {
        let mut target = self.value(input).alike(self.memory.maps);
        compute(&mut target);
        self.add_map(input, Arc::new(target));
    }

    fn drop_rule(&self, node: NodeId) -> DropRule {
        drop_rule(&self.layout.graph, node, self.values.randomness)
            .expect("only dropouts are asked for their rule")
    }

    fn max_pool(&mut self, node: NodeId, input: NodeId, gradient: &[E]) {
        let geometry = self.layout.max_pool(node, self.values.batch);
        let Some(Note::Positions(positions)) = self.values.notes[node.index()].take() else {
            unreachable!("the forward pass has left the positions")
        };
        self.pass_on(input, |target| {
            checked(pooling::max_backward(
                &geometry, &positions, gradient, target,
            ));
        });
    }

    fn group_norm(&mut self, node: NodeId, input: NodeId, gradient: &[E]) {
        let geometry = self.layout.group_norm(node, self.values.batch);
        let Some(Note::Groups(statistics)) = self.values.notes[node.index()].take() else {
            unreachable!("the forward pass has left the statistics")
        };
        let (source, scale) = (self.map(input), self.entry(node, 0));
        let mut scale_gradient = self.memory.vectors.take(scale.len());
        let mut shift_gradient = self.memory.vectors.take(scale.len());
        self.pass_on(input, |target| {
            checked(group_norm::backward(
                &geometry,
                &source,
                scale,
                &statistics,
                gradient,
                target,
                &mut scale_gradient,
                &mut shift_gradient,
            ));
        });
        self.set_result(node, 0, scale_gradient);
        self.set_result(node, 1, shift_gradient);
    }

    fn channel_convolution(&mut self, node: NodeId, input: NodeId, gradient: &[E]) {
        let (source, weight) = (self.map(input), self.entry(node, 0));
        let channels = self.layout.channels(node);
        let mut weight_gradient = self.memory.vectors.take(weight.len());
        self.pass_on(input, |target| {
            checked(channel_convolution::backward(
                channels,
                &source,
                weight,
                gradient,
                target,
                &mut weight_gradient,
            ));
        });
        self.set_result(node, 0, weight_gradient);
    }

    fn self_attention(&mut self, node: NodeId, input: NodeId, gradient: &[E]) {
        let geometry = self.layout.attention(node, self.values.batch);
        let source = self.map(input);
        let (height, width) = (self.entry(node, 0), self.entry(node, 1));
        let mut height_gradient = self.memory.vectors.take(height.len());
        let mut width_gradient = self.memory.vectors.take(width.len());
        self.pass_on(input, |target| {
            checked(attention::backward(
                &geometry,
                &source,
                height,
                width,
                gradient,
                target,
                &mut height_gradient,
                &mut width_gradient,
            ));
        });
        self.set_result(node, 0, height_gradient);
        self.set_result(node, 1, width_gradient);
    }

    fn concatenation(
        &mut self,
        node: NodeId,
        inputs: &[NodeId],
        axis: Axis,
        gradient: SharedBuffer<E>,
    ) {
        let mut parts = { inputs.iter().copied() }.zip(self.layout.parts(node, axis));
        let before = match self.layout.dense_blocks.position(node) {
            Some(Position::Middle | Position::Last) => parts.next(),
            Some(Position::First) | None => None,
        };
        for (input, part) in parts {
            self.part(input, part, &gradient);
        }
        if let Some((before, part)) = before {
            self.pass_on_prefix(before, part, gradient);
        }
    }

    /// What the concatenation before receives: the first channels of the same map.
    fn pass_on_prefix(&mut self, before: NodeId, part: Part, gradient: SharedBuffer<E>) {
        self.contribute(before);
        let sum = match self.gradients[before.index()].sum.take() {
            Some(SumSoFar::Map(contribution)) => {
                let mut sum = self.exclusive(gradient);
                let (chunks, count) = (part.whole, sum.len() / part.whole.pitch);
                checked(add_chunks(
                    &contribution,
                    chunks,
                    &mut sum,
                    chunks,
                    part.length,
                    count,
                ));
                Arc::new(sum)
            }
            _ => gradient,
        };
        self.gradients[before.index()].sum = Some(SumSoFar::Map(sum));
    }

    /// The gradient of one part of a concatenation.
    fn part(&mut self, input: NodeId, part: Part, gradient: &[E]) {
        let (whole, alone) = (part.whole, part.alone());
        let count = gradient.len() / whole.pitch;
        let mut target = self.memory.maps.take(count * part.length);
        checked(copy_chunks(
            gradient,
            whole,
            &mut target,
            alone,
            part.length,
            count,
        ));
        self.add_map(input, Arc::new(target));
    }

    /// The gradient of what a part was taken from, which is zero elsewhere.
    fn slice(&mut self, node: NodeId, input: NodeId, gradient: &[E]) {
        let part = self.layout.slice(node);
        self.pass_on(input, |target| {
            target.fill(E::default());
            let count = gradient.len() / part.length;
            let (whole, alone) = (part.whole, part.alone());
            checked(copy_chunks(
                gradient,
                alone,
                target,
                whole,
                part.length,
                count,
            ));
        });
    }

    fn gate(&mut self, node: NodeId, [map, gate]: [NodeId; 2], gradient: &[E]) {
        let geometry = self.layout.gate(node, self.values.batch);
        let (numbers, gates) = (self.map(map), self.map(gate));
        let mut map_gradient = self.memory.maps.take::<E>(numbers.len());
        let mut gate_gradient = self.memory.maps.take::<E>(gates.len());
        checked(gate::backward(
            &geometry,
            &numbers,
            &gates,
            gradient,
            &mut map_gradient,
            &mut gate_gradient,
        ));
        self.add_map(map, Arc::new(map_gradient));
        self.add_map(gate, Arc::new(gate_gradient));
    }

    fn linear(&mut self, node: NodeId, input: NodeId, gradient: &[f32]) {
        let geometry = self.layout.linear(node, self.values.batch);
        let source = self.value(input).vector();
        let weight = self.entry(node, 0);
        let mut weight_gradient = self.memory.vectors.take(weight.len());
        let mut bias_gradient = self.memory.vectors.take(self.layout.channels(node));
        let mut target = self.memory.maps.take(source.len());
        checked(linear::weight_gradient(
            &geometry,
            &source,
            gradient,
            &mut weight_gradient,
        ));
        checked(reduce::channel_sums(gradient, &mut bias_gradient));
        checked(linear::input_gradient(
            &geometry,
            gradient,
            weight,
            &mut target,
        ));
        self.set_result(node, 0, weight_gradient);
        self.set_result(node, 1, bias_gradient);
        self.add_vector(input, target);
    }
}
