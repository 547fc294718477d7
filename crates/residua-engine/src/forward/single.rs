//! Steps that are one operation, convolutions and batch normalisations aside.

use std::sync::Arc;

use residua_graph::{Activation, Axis, NodeId, Operation, Step};
use residua_kernels::chunks::copy_chunks;
use residua_kernels::dropout::DropRule;
use residua_kernels::feature_map::BatchMoments;
use residua_kernels::{
    Buffer, Element, activation, attention, channel_convolution, channel_summary, dropout,
    elementwise, flatten, gate, group_norm, linear, path_softmax, pooling, shortcut,
};

use super::{Forward, Mode};
use crate::dense_blocks::Position;
use crate::layout::{Part, checked, drop_rule, kernel_activation, pixels};
use crate::record::Note;
use crate::stored::{Prefix, Stored};
use crate::value::Value;

impl<E: Element> Forward<'_, E> {
    pub(super) fn single(&mut self, step: &Step, operation: Operation) -> Value<E> {
        let node = step.output;
        let input = |index: usize| step.inputs[index];
        match operation {
            Operation::Input => unreachable!("the value of the input is there from the beginning"),
            Operation::Convolution(settings) => self.convolution(node, input(0), settings.bias),
            Operation::BatchNorm(_) => self.norm(node, None, false, node),
            Operation::GroupNorm(settings) => self.group_norm(node, input(0), settings.epsilon),
            Operation::Activation(activation) => self.activation(activation, input(0)),
            Operation::Dropout(_) => self.dropout(node, input(0)),
            Operation::MaxPool(_) => self.max_pool(node, input(0)),
            Operation::AveragePool(_) | Operation::AdaptiveAveragePool(_) => {
                let geometry = self.layout.average_pool(node, self.values.batch);
                let source = self.map(input(0));
                let mut target = self.buffer(geometry.output_length());
                checked(pooling::average_forward(&geometry, &source, &mut target));
                Value::whole(target)
            }
            Operation::GlobalAveragePool => {
                let geometry = self.layout.average_pool(node, self.values.batch);
                let source = self.map(input(0));
                let mut target = self.pool.take::<f32>(geometry.output_length());
                checked(pooling::average_forward(&geometry, &source, &mut target));
                Value::Vector(Arc::new(target))
            }
            Operation::Flatten => {
                let shape = self.layout.graph.shape_of(input(0));
                let source = self.map(input(0));
                let mut target = self.pool.take(source.len());
                let (pixels, channels) = (pixels(shape), shape.channels());
                checked(flatten::forward(pixels, channels, &source, &mut target));
                Value::Vector(Arc::new(target))
            }
            Operation::ChannelSummary => {
                let channels = self.layout.channels(input(0));
                let source = self.map(input(0));
                let mut target = self.buffer(source.len() / channels * 2);
                checked(channel_summary::forward(channels, &source, &mut target));
                Value::whole(target)
            }
            Operation::ChannelConvolution(_) => {
                let (channels, weight) = (self.layout.channels(node), self.entry(node, 0));
                self.mapped(input(0), |source, target| {
                    checked(channel_convolution::forward(
                        channels, source, weight, target,
                    ));
                })
            }
            Operation::PathSoftmax { paths } => {
                let channels = self.layout.channels(node) / paths;
                self.mapped(input(0), |source, target| {
                    checked(path_softmax::forward(paths, channels, source, target));
                })
            }
            Operation::SelfAttention(_) => {
                let geometry = self.layout.attention(node, self.values.batch);
                let (height, width) = (self.entry(node, 0), self.entry(node, 1));
                let source = self.map(input(0));
                let mut target = self.buffer(source.len() / 3);
                checked(attention::forward(
                    &geometry,
                    &source,
                    height,
                    width,
                    &mut target,
                ));
                Value::whole(target)
            }
            Operation::ZeroPadShortcut(_) => {
                let geometry = self.layout.zero_pad(node, self.values.batch);
                let source = self.map(input(0));
                let mut target = self.buffer(geometry.output_length());
                checked(shortcut::forward(&geometry, &source, &mut target));
                Value::whole(target)
            }
            Operation::Slice(_) => self.slice(node, input(0)),
            Operation::Concat(axis) => self.concatenate(node, &step.inputs, axis),
            Operation::Add => self.add(input(0), input(1)),
            Operation::Gate => {
                let geometry = self.layout.gate(node, self.values.batch);
                let (map, numbers) = (self.map(input(0)), self.map(input(1)));
                let mut target = self.buffer(map.len());
                checked(gate::forward(&geometry, &map, &numbers, &mut target));
                Value::whole(target)
            }
            Operation::Linear(_) => self.linear(node, input(0)),
        }
    }

    /// A map of the same size, computed from that of a node.
    fn mapped(&self, input: NodeId, compute: impl FnOnce(&[E], &mut [E])) -> Value<E> {
        let source = self.map(input);
        let mut target = self.buffer(source.len());
        compute(&source, &mut target);
        Value::whole(target)
    }

    /// A vector or a map of the same size.
    fn mapped_alike(
        &self,
        input: NodeId,
        of_vector: impl FnOnce(&[f32], &mut [f32]),
        of_map: impl FnOnce(&[E], &mut [E]),
    ) -> Value<E> {
        if let Value::Vector(source) = self.value(input) {
            let mut target = self.pool.take(source.len());
            of_vector(source, &mut target);
            return Value::Vector(Arc::new(target));
        }
        self.mapped(input, of_map)
    }

    fn activation(&self, activation: Activation, input: NodeId) -> Value<E> {
        let kind = kernel_activation(activation);
        self.mapped_alike(
            input,
            |source, target| checked(activation::forward(kind, source, target)),
            |source, target| checked(activation::forward(kind, source, target)),
        )
    }

    fn dropout(&self, node: NodeId, input: NodeId) -> Value<E> {
        if self.mode == Mode::Infer {
            return self.value(input).clone();
        }
        let rule = self.drop_rule(node);
        self.mapped_alike(
            input,
            |source, target| checked(dropout::apply(rule, source, target)),
            |source, target| checked(dropout::apply(rule, source, target)),
        )
    }

    fn drop_rule(&self, node: NodeId) -> DropRule {
        drop_rule(&self.layout.graph, node, self.values.randomness)
            .expect("only dropouts are asked for their rule")
    }

    fn group_norm(&mut self, node: NodeId, input: NodeId, epsilon: f32) -> Value<E> {
        let geometry = self.layout.group_norm(node, self.values.batch);
        let (scale, shift) = (self.entry(node, 0), self.entry(node, 1));
        let source = self.map(input);
        let mut target = self.buffer(source.len());
        let statistics = checked(group_norm::forward(
            &geometry,
            &source,
            scale,
            shift,
            epsilon,
            &mut target,
        ));
        self.values.notes[node.index()] = Some(Note::Groups(statistics));
        Value::whole(target)
    }

    fn max_pool(&mut self, node: NodeId, input: NodeId) -> Value<E> {
        let geometry = self.layout.max_pool(node, self.values.batch);
        let source = self.map(input);
        let mut target = self.buffer(geometry.output_length());
        let mut positions = vec![0; target.len()];
        checked(pooling::max_forward(
            &geometry,
            &source,
            &mut target,
            &mut positions,
        ));
        self.values.notes[node.index()] = Some(Note::Positions(positions));
        Value::whole(target)
    }

    fn slice(&self, node: NodeId, input: NodeId) -> Value<E> {
        let part = self.layout.slice(node);
        let source = self.map(input);
        let length = self.layout.graph.shape_of(node).elements() * self.values.batch;
        let mut target = self.buffer(length);
        checked(copy_chunks(
            &source,
            part.whole,
            &mut target,
            part.alone(),
            part.length,
            length / part.length,
        ));
        Value::whole(target)
    }

    fn concatenate(&mut self, node: NodeId, inputs: &[NodeId], axis: Axis) -> Value<E> {
        let parts: Vec<(NodeId, Part)> = { inputs.iter().copied() }
            .zip(self.layout.parts(node, axis))
            .collect();
        let (width, channels) = (self.layout.width(node), self.layout.channels(node));
        let whole = || {
            let shape = self.layout.graph.shape_of(node);
            let mut target = self.buffer(shape.elements() / channels * width * self.values.batch);
            self.copy_parts(&parts, &mut target);
            target
        };
        let extended = || match self.value(inputs[0]) {
            Value::Map(Stored::Prefix(before)) => before.extended(channels, self.pool, |map| {
                self.copy_parts(&parts[1..], map);
            }),
            _ => unreachable!("the concatenation before has left a prefix"),
        };
        let value = match self.layout.dense_blocks.position(node) {
            None => Value::whole(whole()),
            Some(Position::First) => {
                Value::Map(Stored::Prefix(Prefix::new(whole(), width, channels)))
            }
            Some(Position::Middle) => Value::Map(Stored::Prefix(extended())),
            Some(Position::Last) => Value::Map(Stored::Whole(extended().share())),
        };
        if axis == Axis::Channels && self.mode == Mode::Train && self.layout.needs_moments(node) {
            self.moments[node.index()] = Some(self.joined_moments(inputs));
        }
        value
    }

    /// Copies the inputs of a concatenation to their places.
    fn copy_parts(&self, parts: &[(NodeId, Part)], target: &mut [E]) {
        for (input, part) in parts {
            let source = self.map(*input);
            checked(copy_chunks(
                &source,
                part.alone(),
                target,
                part.whole,
                part.length,
                source.len() / part.length,
            ));
        }
    }

    /// The moments of a concatenation: those of its parts, which are known or serve again.
    fn joined_moments(&mut self, inputs: &[NodeId]) -> BatchMoments {
        let mut joined = BatchMoments {
            count: 0,
            mean: Vec::new(),
            variance: Vec::new(),
        };
        for input in inputs {
            let value = self.stored(*input).hold();
            let moments = self.moments_of(*input, value.view());
            joined.count = moments.count;
            joined.mean.extend(moments.mean);
            joined.variance.extend(moments.variance);
        }
        joined
    }

    fn add(&self, left: NodeId, right: NodeId) -> Value<E> {
        if let (Value::Vector(left), Value::Vector(right)) = (self.value(left), self.value(right)) {
            let mut target = self.pool.take(left.len());
            checked(elementwise::add(left, right, &mut target));
            return Value::Vector(Arc::new(target));
        }
        let right: Arc<Buffer<E>> = self.map(right);
        self.mapped(left, |left, target| {
            checked(elementwise::add(left, &right, target));
        })
    }

    fn linear(&self, node: NodeId, input: NodeId) -> Value<E> {
        let geometry = self.layout.linear(node, self.values.batch);
        let source = self.value(input).vector();
        let mut target = self
            .pool
            .take(self.values.batch * self.layout.channels(node));
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
