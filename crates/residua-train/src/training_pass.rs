//! A forward pass in training mode, and the way back from it.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use residua_core::seed::SeedStream;
use residua_engine::{Engine, ForwardPass, Record, TrainingSettings};
use residua_graph::{Graph, Operation};
use residua_ops::HostValues;

use crate::execution::{Execution, Mode, NormStatistics};
use crate::network::{Network, lent, slices};

/// The result of a forward pass that gradients can flow through.
#[derive(Debug)]
pub struct TrainingPass {
    /// `[N, classes]`, on the tape.
    pub logits: Tensor<2>,
    statistics: Vec<NormStatistics>,
    reverse: Reverse,
}

/// How gradients get from the logits to the parameters.
#[derive(Debug)]
enum Reverse {
    /// Along the tape, whose leaves are the trained entries.
    Tape { leaves: Vec<(usize, Tensor<1>)> },
    /// The tape ends at the logits, and an engine goes on from their gradient.
    Engine {
        engine: Arc<Engine>,
        record: Record,
        /// The values that the forward pass read.
        state: Vec<HostValues>,
        device: Device,
    },
}

impl TrainingPass {
    pub(crate) fn on_tape(network: &Network, images: Tensor<4>, randomness: SeedStream) -> Self {
        let mut leaves = Vec::new();
        let mut values = Vec::new();
        for (index, entry) in network.entries().iter().enumerate() {
            let mut value = network.values(index).clone();
            if entry.role.is_trainable() {
                value = value.autodiff().require_grad();
                leaves.push((index, value.clone()));
            }
            values.push(value);
        }
        let mode = Mode::Training { randomness };
        let outcome = Execution::new(network, &values, mode).run(images, &mut |_, value| value);
        Self {
            logits: outcome.logits,
            statistics: outcome.statistics,
            reverse: Reverse::Tape { leaves },
        }
    }

    pub(crate) fn with_engine(
        engine: &Arc<Engine>,
        network: &Network,
        images: &Tensor<4>,
        randomness: SeedStream,
    ) -> Self {
        let [batch, ..] = images.dims();
        let (graph, device) = (network.graph(), network.device());
        let state = network.lent_state();
        let images = lent(images);
        let settings = TrainingSettings {
            precision: network.precision(),
            checkpointing: network.checkpointing(),
            randomness,
        };
        let pass = engine.train_forward(settings, &images, batch, &slices(&state));
        let ForwardPass {
            logits,
            statistics,
            record,
        } = pass;
        let logits = TensorData::new(logits, [batch, graph.output_shape().channels()]);
        let statistics = statistics.into_iter();
        Self {
            logits: Tensor::from_data(logits, device).autodiff().require_grad(),
            statistics: statistics
                .map(|norm| on_device(norm, graph, device))
                .collect(),
            reverse: Reverse::Engine {
                engine: Arc::clone(engine),
                record,
                state,
                device: device.clone(),
            },
        }
    }

    /// The gradients of a loss computed from the logits: for each trainable entry its index
    /// and its gradient, `[elements]`, off the tape.
    pub fn gradients(self, loss: &Tensor<1>) -> Vec<(usize, Tensor<1>)> {
        let mut gradients = loss.backward();
        match self.reverse {
            Reverse::Tape { leaves } => leaves
                .into_iter()
                .map(|(index, leaf)| {
                    let gradient = leaf.grad_remove(&mut gradients);
                    // A parameter that the result does not depend on has a gradient of zero.
                    let gradient = gradient.unwrap_or_else(|| leaf.inner().zeros_like());
                    (index, gradient.inner())
                })
                .collect(),
            Reverse::Engine {
                engine,
                record,
                state,
                device,
            } => {
                let gradient = self.logits.grad_remove(&mut gradients);
                let gradient = gradient.unwrap_or_else(|| self.logits.inner().zeros_like());
                let gradients = engine.backward(record, &lent(&gradient), &slices(&state));
                let tensor = |values: Vec<f32>| {
                    let length = values.len();
                    Tensor::from_data(TensorData::new(values, [length]), &device)
                };
                gradients
                    .into_iter()
                    .map(|gradient| (gradient.entry, tensor(gradient.values)))
                    .collect()
            }
        }
    }

    pub(crate) fn statistics(&self) -> &[NormStatistics] {
        &self.statistics
    }
}

/// An engine's statistics in the form that the tape gives them.
fn on_device(
    norm: residua_engine::NormStatistics,
    graph: &Graph,
    device: &Device,
) -> NormStatistics {
    let Operation::BatchNorm(settings) = graph.node(norm.node).operation else {
        unreachable!("only normalisations have statistics")
    };
    let tensor = |values: Vec<f32>| {
        let channels = values.len();
        Tensor::from_data(TensorData::new(values, [channels]), device)
    };
    NormStatistics {
        node: norm.node,
        mean: tensor(norm.mean),
        variance: tensor(norm.variance),
        count: norm.count as f64,
        momentum: settings.momentum,
    }
}
