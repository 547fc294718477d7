//! What flows through a network: how strongly each layer answers, and how strongly each is driven to
//! change.
//!
//! A [`Probe`] is a fixed batch that is put through a network again and again while it is trained, so
//! that the figures of different moments, and of different networks, can be compared.

use burn::tensor::Tensor;
use residua_core::seed::SeedStream;
use residua_data::HostBatch;
use residua_graph::{NodeId, Operation, StateRole, StepKind, fuse};
use serde::{Deserialize, Deserializer, Serialize};

use crate::evaluation::images;
use crate::execution::{Execution, Mode, Value};
use crate::loss::{LossConfig, Targets};
use crate::network::{Network, host_values};

/// Images and labels that networks are compared on.
#[derive(Debug, Clone)]
pub struct Probe {
    batch: HostBatch,
    loss: LossConfig,
}

/// A figure of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerFigure {
    /// Name of the layer.
    pub layer: String,
    /// The figure; not finite in a network that diverged, which JSON has no number for.
    #[serde(deserialize_with = "number_or_null")]
    pub value: f64,
}

fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Probe {
    /// With the loss that training makes small.
    pub fn new(batch: HostBatch, loss: LossConfig) -> Self {
        Self { batch, loss }
    }

    /// The Euclidean norm of the gradient of each weight of a convolution or linear layer, in the
    /// order of the layers, with the statistics of the batch. The network stays as it is.
    pub fn gradient_norms(&self, network: &Network) -> Vec<LayerFigure> {
        let images = images(network, self.batch.clone());
        let pass = network.train_pass(images, SeedStream::new(0).child("probe"));
        let device = network.device();
        let loss = { self.loss }.compute(
            pass.logits.clone(),
            Targets::new(&self.batch.labels),
            device,
        );
        let gradients = pass.gradients(&loss);
        let weights = gradients.into_iter().filter_map(|(index, gradient)| {
            let entry = &network.entries()[index];
            (entry.role == StateRole::Weight).then(|| LayerFigure {
                layer: entry.name.trim_end_matches(".weight").to_owned(),
                value: norm(&host_values(&gradient)),
            })
        });
        weights.collect()
    }

    /// The standard deviation of the output of each batch normalisation of the main path, before the
    /// rectifier and the addition, in the order of the layers, in evaluation (He et al. 2015, section
    /// 4.2, "Analysis of Layer Responses").
    ///
    /// A projection's normalisation is no layer of its own: it is left out.
    pub fn responses(&self, network: &Network) -> Vec<LayerFigure> {
        let graph = network.graph();
        let shortcuts = fuse(graph, &[])
            .into_iter()
            .filter_map(|step| match step.kind {
                StepKind::Norm { shortcut, .. } => shortcut,
                StepKind::Single => None,
            });
        let shortcuts: Vec<NodeId> = shortcuts.collect();
        let taps: Vec<NodeId> = graph
            .ids()
            .filter(|id| matches!(graph.node(*id).operation, Operation::BatchNorm(_)))
            .filter(|id| !shortcuts.contains(id))
            .collect();
        let steps = fuse(graph, &taps);
        let state: Vec<Tensor<1>> = (0..network.entries().len())
            .map(|entry| network.values(entry).clone())
            .collect();
        let mut figures = Vec::new();
        let mut pass = |node: NodeId, value: Value| {
            if taps.contains(&node) {
                figures.push(LayerFigure {
                    layer: graph.node(node).name.clone(),
                    value: deviation(&host_values(&value.flat())),
                });
            }
            value
        };
        let images = images(network, self.batch.clone());
        Execution::new(network, &state, Mode::Evaluation, images)
            .along(&steps)
            .run(&mut pass);
        figures
    }
}

fn norm(numbers: &[f32]) -> f64 {
    let squares = numbers.iter().map(|number| f64::from(*number).powi(2));
    squares.sum::<f64>().sqrt()
}

fn deviation(numbers: &[f32]) -> f64 {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().map(|number| f64::from(*number)).sum::<f64>() / count;
    let squares = numbers
        .iter()
        .map(|number| (f64::from(*number) - mean).powi(2));
    (squares.sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use residua_graph::catalog::{self, BuildOptions};

    use super::*;
    use crate::Device;

    fn network(name: &str) -> Network {
        let options = BuildOptions {
            classes: Some(10),
            ..BuildOptions::default()
        };
        let graph = catalog::build(name, &options).unwrap();
        Network::initialise(graph, SeedStream::new(0), &Device::flex())
    }

    fn probe() -> Probe {
        let numbers = (0..2 * 32 * 32 * 3).map(|index| ((index * 37 % 101) as f32 - 50.0) / 50.0);
        let batch = HostBatch {
            epoch: 0,
            index: 0,
            shape: [2, 32, 32, 3],
            images: numbers.collect(),
            labels: vec![3, 7].into(),
            mixture: None,
            samples: vec![0, 1],
        };
        let label_smoothing = 0.0;
        Probe::new(batch, LossConfig::CrossEntropy { label_smoothing })
    }

    #[test]
    fn every_layer_has_a_gradient_and_a_response() {
        let network = network("resnet20");
        let gradients = probe().gradient_norms(&network);
        // 19 convolutions and the classifier.
        assert_eq!(gradients.len(), 20);
        assert_eq!(gradients[0].layer, "conv1");
        assert!(gradients.iter().all(|figure| figure.value > 0.0));
        let responses = probe().responses(&network);
        assert_eq!(responses.len(), 19);
        // A fresh network's running statistics are those of the standard normal distribution, so that
        // responses are what convolutions give.
        assert!(responses.iter().all(|figure| figure.value > 0.0));
    }

    #[test]
    fn projections_are_no_layers_of_their_own() {
        let names: Vec<String> = { probe().responses(&network("cifar_resnet18")).into_iter() }
            .map(|figure| figure.layer)
            .collect();
        assert_eq!(names.len(), 17, "{names:?}");
        assert!(
            names
                .iter()
                .all(|name| !name.contains("shortcut") && !name.contains("downsample"))
        );
    }

    #[test]
    fn figures_are_those_of_the_definitions() {
        assert_eq!(norm(&[3.0, 4.0]), 5.0);
        assert_eq!(deviation(&[1.0, 3.0]), 1.0);
    }
}
