//! A graph with values: the state of a network on a device.

use burn::tensor::{Device, Tensor, TensorData};
use residua_core::seed::SeedStream;
use residua_graph::{Graph, NodeId, StateEntry, StateRole, Step, fuse};
use residua_weights::{NamedTensor, TensorFile, Values, fit};

use crate::error::TrainError;
use crate::execution::{Execution, NormStatistics, Value};
use crate::initialise::initial_values;

/// A network on a device, ready to be trained or evaluated.
///
/// Every tensor of the state is kept flat, in PyTorch's element order, so that optimisers,
/// checkpoints and averages treat all alike; the execution gives it its shape.
#[derive(Debug, Clone)]
pub struct Network {
    graph: Graph,
    steps: Vec<Step>,
    entries: Vec<StateEntry>,
    /// First entry of each node.
    first_entry: Vec<usize>,
    values: Vec<Tensor<1>>,
    batches: i64,
    device: Device,
}

/// The result of a forward pass that gradients can flow through.
#[derive(Debug)]
pub struct TrainingPass {
    /// `[N, classes]`, on the tape.
    pub logits: Tensor<2>,
    leaves: Vec<(usize, Tensor<1>)>,
    statistics: Vec<NormStatistics>,
}

impl Network {
    /// A network with fresh values (see [`initial_values`]), which depend only on the seed and
    /// on the names of the parameters.
    pub fn initialise(graph: Graph, seed: SeedStream, device: &Device) -> Self {
        let values = |entry: &StateEntry| initial_values(entry, seed);
        Self::with_values(graph, device, values)
    }

    /// A network with the values of a file, which must fit completely.
    ///
    /// # Errors
    /// [`TrainError::WeightsDoNotFit`] with the report.
    pub fn from_file(graph: Graph, file: &TensorFile, device: &Device) -> Result<Self, TrainError> {
        let report = fit(&graph, file);
        if !report.is_complete() {
            return Err(TrainError::WeightsDoNotFit {
                model: graph.name().to_owned(),
                report: Box::new(report),
            });
        }
        let tensors = file.by_name();
        let find = |name: &str| tensors.get(name).map(|tensor| &tensor.values);
        let values = |entry: &StateEntry| match find(&entry.name) {
            Some(Values::Float(values)) => values.clone(),
            _ => Vec::new(),
        };
        let negative = |entry: &&StateEntry| values(entry).iter().any(|value| *value < 0.0);
        let state = graph.state();
        let variances = state
            .iter()
            .filter(|entry| entry.role == StateRole::RunningVariance);
        if let Some(entry) = { variances }.find(negative) {
            return Err(TrainError::NegativeVariance {
                name: entry.name.clone(),
            });
        }
        let counts = state
            .iter()
            .filter(|entry| entry.role == StateRole::BatchCount);
        let count = counts.filter_map(|entry| match find(&entry.name) {
            Some(Values::Integer(count)) => count.first().copied(),
            _ => None,
        });
        let batches = count.max().unwrap_or(0);
        let mut network = Self::with_values(graph, device, values);
        network.batches = batches;
        Ok(network)
    }

    fn with_values(
        graph: Graph,
        device: &Device,
        values: impl Fn(&StateEntry) -> Vec<f32>,
    ) -> Self {
        let mut entries = Vec::new();
        let mut first_entry = Vec::new();
        for id in graph.ids() {
            first_entry.push(entries.len());
            let state = graph.state_of(id).into_iter();
            entries.extend(state.filter(|entry| entry.role != StateRole::BatchCount));
        }
        let tensor = |entry: &StateEntry| {
            let data = TensorData::new(values(entry), [entry.elements()]);
            Tensor::from_data(data, device)
        };
        Self {
            steps: fuse(&graph, &[]),
            values: entries.iter().map(tensor).collect(),
            entries,
            first_entry,
            batches: 0,
            device: device.clone(),
            graph,
        }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The device that holds the values.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The tensors of the state, in PyTorch's order, without batch counts.
    pub fn entries(&self) -> &[StateEntry] {
        &self.entries
    }

    /// The values of an entry, `[elements]`.
    pub fn values(&self, entry: usize) -> &Tensor<1> {
        &self.values[entry]
    }

    /// Replaces the values of an entry.
    pub fn set_values(&mut self, entry: usize, values: Tensor<1>) {
        self.values[entry] = values;
    }

    /// The whole state under PyTorch's names.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut counted = self.graph.state();
        counted.retain(|entry| entry.role == StateRole::BatchCount);
        let counts = counted
            .into_iter()
            .map(|entry| NamedTensor::integer(entry.name, self.batches));
        let pairs = self.entries.iter().zip(&self.values);
        let floats = pairs.map(|(entry, values)| {
            NamedTensor::float(entry.name.clone(), &entry.shape, host_values(values))
        });
        floats.chain(counts).collect()
    }

    /// Logits with the running statistics, off the tape.
    ///
    /// # Shapes
    /// `[N, H, W, C]` → `[N, classes]`.
    pub fn evaluate(&self, images: Tensor<4>) -> Tensor<2> {
        Execution::new(self, &self.values, false)
            .run(images, &mut |_, _| {})
            .logits
    }

    /// Logits with the statistics of the batch, on the tape. The running statistics do not
    /// change until [`Network::absorb_statistics`].
    ///
    /// # Shapes
    /// `images`: `[N, H, W, C]`.
    pub fn train_pass(&self, images: Tensor<4>) -> TrainingPass {
        let mut leaves = Vec::new();
        let mut values = self.values.clone();
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.role.is_trainable() {
                values[index] = values[index].clone().autodiff().require_grad();
                leaves.push((index, values[index].clone()));
            }
        }
        let outcome = Execution::new(self, &values, true).run(images, &mut |_, _| {});
        TrainingPass {
            logits: outcome.logits,
            leaves,
            statistics: outcome.statistics,
        }
    }

    /// The first parameter or the first layer's output that is not finite, when these images
    /// are passed through in training mode.
    pub fn first_non_finite(&self, images: Tensor<4>) -> Option<NonFinite> {
        for (entry, values) in self.entries.iter().zip(&self.values) {
            if !is_finite(values.clone()) {
                return Some(NonFinite::Parameter(entry.name.clone()));
            }
        }
        if !is_finite(images.clone()) {
            return Some(NonFinite::Images);
        }
        let mut first = None;
        let mut look = |node: NodeId, value: &Value| {
            if first.is_none() && !is_finite(value.flat()) {
                first = Some(node);
            }
        };
        Execution::new(self, &self.values, true).run(images, &mut look);
        first.map(|node| NonFinite::Layer(self.graph.node(node).name.clone()))
    }

    /// Brings the running statistics up to date with those of a batch.
    pub fn absorb_statistics(&mut self, pass: &TrainingPass) {
        for norm in &pass.statistics {
            let keep = f64::from(1.0 - norm.momentum);
            let take = f64::from(norm.momentum);
            // The running variance is the unbiased one, as PyTorch's.
            let unbiased = norm.count / (norm.count - 1.0).max(1.0);
            let first = self.first_entry[norm.node.index()];
            for (entry, batch, factor) in [
                (first + 2, &norm.mean, take),
                (first + 3, &norm.variance, take * unbiased),
            ] {
                let old = self.values[entry].clone().mul_scalar(keep);
                self.values[entry] = old + batch.clone().mul_scalar(factor);
            }
        }
        self.batches += 1;
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn first_entry(&self, node: NodeId) -> usize {
        self.first_entry[node.index()]
    }
}

impl TrainingPass {
    /// The gradients of a loss computed from the logits: for each trainable entry its index
    /// and its gradient, `[elements]`.
    pub fn gradients(&self, loss: &Tensor<1>) -> Vec<(usize, Tensor<1>)> {
        let mut gradients = loss.backward();
        let leaves = self.leaves.iter();
        leaves
            .map(|(index, leaf)| {
                let gradient = leaf.grad_remove(&mut gradients);
                // A parameter that the result does not depend on has a gradient of zero.
                let gradient = gradient.unwrap_or_else(|| leaf.clone().inner().zeros_like());
                (*index, gradient.inner())
            })
            .collect()
    }
}

/// Where a value that is not finite was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NonFinite {
    /// In a parameter.
    Parameter(String),
    /// In the images.
    Images,
    /// In the output of a layer.
    Layer(String),
}

fn is_finite<const D: usize>(tensor: Tensor<D>) -> bool {
    host_values(&tensor).iter().all(|value| value.is_finite())
}

/// The values of a tensor in row-major order.
pub(crate) fn host_values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    let data = tensor.to_data();
    data.try_into_vec()
        .expect("all tensors of a network are 32-bit floating point")
}
