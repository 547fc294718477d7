//! A forward pass in training mode, and the way back from it.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use residua_core::seed::SeedStream;
use residua_engine::{Engine, ForwardPass, Record, TrainingSettings};
use residua_graph::{Graph, Operation};
use residua_ops::HostValues;

use crate::execution::{Execution, Mode, NormStatistics};
use crate::network::{Division, Network, lent, slices};

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
        /// Entries before the engine's first one.
        frozen_entries: usize,
        device: Device,
    },
}

impl TrainingPass {
    pub(crate) fn on_tape(network: &Network, images: Tensor<4>, randomness: SeedStream) -> Self {
        let division = network.division();
        let frozen_entries = division.map_or(0, Division::frozen_entries);
        let mut leaves = Vec::new();
        let mut values = Vec::new();
        for (index, entry) in network.entries().iter().enumerate() {
            let mut value = network.values(index).clone();
            if entry.role.is_trainable() && index >= frozen_entries {
                value = value.autodiff().require_grad();
                leaves.push((index, value.clone()));
            }
            values.push(value);
        }
        let mode = Mode::Training {
            randomness,
            frozen: division.map(Division::cut),
        };
        let outcome = Execution::new(network, &values, mode, images).run(&mut |_, value| value);
        Self {
            logits: outcome.logits,
            statistics: outcome.statistics,
            reverse: Reverse::Tape { leaves },
        }
    }

    pub(crate) fn with_engine(
        engine: &Arc<Engine>,
        division: Option<&Division>,
        network: &Network,
        images: &Tensor<4>,
        randomness: SeedStream,
    ) -> Self {
        let [batch, ..] = images.dims();
        let (graph, device) = (network.graph(), network.device());
        let mut state = network.lent_state();
        let settings = TrainingSettings {
            precision: network.precision(),
            checkpointing: network.checkpointing(),
            randomness,
        };
        let images = lent(images);
        let (engine, frozen_entries, pass) = match division.map(parts) {
            Some((division, frozen, trained)) => {
                let learning = state.split_off(division.frozen_entries());
                let precision = settings.precision;
                let features = frozen.infer(precision, &images, batch, &slices(&state));
                state = learning;
                let pass = trained.train_forward(settings, &features, batch, &slices(&state));
                (trained, division.frozen_entries(), pass)
            }
            None => {
                let pass = engine.train_forward(settings, &images, batch, &slices(&state));
                (engine, 0, pass)
            }
        };
        let ForwardPass {
            logits,
            statistics,
            record,
        } = pass;
        let logits = TensorData::new(logits, [batch, graph.output_shape().channels()]);
        let cut = division.map(Division::cut);
        let statistics = statistics.into_iter().map(|norm| {
            let node = cut.map_or(norm.node, |cut| norm.node.in_whole(cut));
            on_device(
                residua_engine::NormStatistics { node, ..norm },
                graph,
                device,
            )
        });
        Self {
            logits: Tensor::from_data(logits, device).autodiff().require_grad(),
            statistics: statistics.collect(),
            reverse: Reverse::Engine {
                engine: Arc::clone(engine),
                record,
                state,
                frozen_entries,
                device: device.clone(),
            },
        }
    }

    /// The gradients of a loss computed from the logits: for each entry that is trained its index
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
                frozen_entries,
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
                    .map(|gradient| (frozen_entries + gradient.entry, tensor(gradient.values)))
                    .collect()
            }
        }
    }

    pub(crate) fn statistics(&self) -> &[NormStatistics] {
        &self.statistics
    }
}

/// The engines of a network that is divided, as all are on the CPU.
fn parts(division: &Division) -> (&Division, &Engine, &Arc<Engine>) {
    match (division.frozen_engine(), division.trained_engine()) {
        (Some(frozen), Some(trained)) => (division, frozen, trained),
        _ => unreachable!("a network with an engine has one for each part"),
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
