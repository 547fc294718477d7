//! Images as points: what a network knows of them before it decides.

use burn::tensor::Tensor;
use residua_graph::{Graph, NodeId, Operation, Shape, fuse};

use crate::error::TrainError;
use crate::execution::{Execution, Mode, Value};
use crate::network::{Network, host_values};

/// What the last linear layer reads: the usual embedding.
pub fn before_classifier(graph: &Graph) -> Option<NodeId> {
    let is_linear = |id: &NodeId| matches!(graph.node(*id).operation, Operation::Linear(_));
    let last = graph.ids().rev().find(is_linear)?;
    graph.node(last).inputs.first().copied()
}

/// The number of values in an embedding that is taken at a node.
pub fn embedding_length(graph: &Graph, tap: NodeId) -> usize {
    graph.shape_of(tap).channels()
}

/// The values of a node for prepared images `[N, H, W, C]`: `[N, length]`, where a map is averaged over
/// its pixels.
///
/// # Errors
/// When the node is the input, which no network has computed.
pub fn embed(network: &Network, images: Tensor<4>, tap: NodeId) -> Result<Vec<f32>, TrainError> {
    let graph = network.graph();
    if graph.node(tap).operation == Operation::Input {
        return Err(TrainError::Config(
            "the input itself is no embedding; choose a layer that comes after it".to_owned(),
        ));
    }
    let steps = fuse(graph, &[tap]);
    let state: Vec<Tensor<1>> = (0..network.entries().len())
        .map(|entry| network.values(entry).clone())
        .collect();
    let mut found = Vec::new();
    let mut pass = |node: NodeId, value: Value| {
        if node == tap {
            found = host_values(&value.flat());
        }
        value
    };
    Execution::new(network, &state, Mode::Evaluation, images)
        .along(&steps)
        .run(&mut pass);
    Ok(match graph.shape_of(tap) {
        Shape::Vector { .. } => found,
        Shape::Map {
            height,
            width,
            channels,
        } => means(&found, height * width, channels),
    })
}

/// `[N, pixels, channels]` to `[N, channels]`.
fn means(values: &[f32], pixels: usize, channels: usize) -> Vec<f32> {
    let images = values.chunks(pixels * channels);
    let mut means = Vec::new();
    for image in images {
        for channel in 0..channels {
            let numbers = image.iter().skip(channel).step_by(channels);
            let sum: f64 = numbers.map(|number| f64::from(*number)).sum();
            means.push((sum / pixels as f64) as f32);
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use residua_core::seed::SeedStream;
    use residua_graph::catalog::{self, BuildOptions};

    use super::*;
    use crate::{Device, image_tensor};

    #[test]
    fn the_embedding_of_the_last_stage_is_its_mean() {
        let options = BuildOptions {
            classes: Some(4),
            ..BuildOptions::default()
        };
        let graph = catalog::build("resnet20", &options).unwrap();
        let network = Network::initialise(graph, SeedStream::new(1), &Device::flex());
        let pixels = 32 * 32 * 3;
        let image: Vec<f32> = (0..2 * pixels)
            .map(|i| (i % 17) as f32 / 8.0 - 1.0)
            .collect();
        let at = |tap| embed(&network, image_tensor(&network, image.clone()), tap).unwrap();
        let graph = network.graph();
        let usual = before_classifier(graph).unwrap();
        assert_eq!(embedding_length(graph, usual), 64);
        let vector = at(usual);
        assert_eq!(vector.len(), 2 * 64);
        // The layer before it is the map that global pooling averages.
        let map = graph.node(usual).inputs[0];
        for (pooled, mean) in vector.iter().zip(at(map)) {
            assert!((pooled - mean).abs() < 1e-5, "{pooled} {mean}");
        }
        let input = graph.ids().next().unwrap();
        assert!(embed(&network, image_tensor(&network, image.clone()), input).is_err());
    }
}
