//! Values at a tap, and the gradient of a class score with respect to them.

use burn::tensor::{Tensor, TensorData};
use residua_graph::{Graph, NodeId, Shape, fuse};

use crate::error::TrainError;
use crate::execution::{Execution, Mode, Value};
use crate::network::{Network, host_values};

/// What a network computes at a tap for some images, and how their class scores change with it.
#[derive(Debug, Clone)]
pub struct Attribution {
    /// Shape of one image's values.
    pub shape: Shape,
    /// The classes whose scores were differentiated, one for each image.
    pub classes: Vec<usize>,
    /// `[N, classes]`.
    pub logits: Vec<f32>,
    /// `[N, H, W, C]`.
    pub values: Vec<f32>,
    /// Derivative of the logit of each image's class, `[N, H, W, C]`.
    pub gradients: Vec<f32>,
}

/// Which class scores are differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The most probable of each image.
    Predicted,
    /// The same for all.
    Class(usize),
}

/// The last node of a network whose value is a map of more than one pixel: what class activation maps
/// are usually made of.
pub fn last_map(graph: &Graph) -> Option<NodeId> {
    let is_map = |id: &NodeId| match graph.shape_of(*id) {
        Shape::Map { height, width, .. } => height * width > 1,
        Shape::Vector { .. } => false,
    };
    graph.ids().rev().find(is_map)
}

/// Runs a network on prepared images `[N, H, W, C]`, and differentiates with respect to the value of
/// a node; `class` is the one that is explained, or else the predicted one of each image.
///
/// # Errors
/// When there is no such class, or the value of the node is no map.
pub fn attribute(
    network: &Network,
    images: Tensor<4>,
    tap: NodeId,
    class: Option<usize>,
) -> Result<Attribution, TrainError> {
    let graph = network.graph();
    let classes = graph.output_shape().channels();
    if let Some(class) = class.filter(|class| *class >= classes) {
        return Err(TrainError::Config(format!(
            "class {class} does not exist; {} has {classes} classes, counted from 0",
            graph.name()
        )));
    }
    let shape = graph.shape_of(tap);
    if let Shape::Vector { .. } = shape {
        return Err(TrainError::Config(format!(
            "{} gives a vector, and a map of the image is made of a feature map; choose an earlier \
             layer (`residua models show {}` lists them)",
            graph.node(tap).name,
            graph.name()
        )));
    }
    let target = class.map_or(Target::Predicted, Target::Class);
    Ok(differentiate(network, images, tap, target))
}

/// [`attribute`] for a tap that is a map and a class that exists.
pub(super) fn differentiate(
    network: &Network,
    images: Tensor<4>,
    tap: NodeId,
    target: Target,
) -> Attribution {
    let graph = network.graph();
    let [batch, ..] = images.dims();
    let steps = fuse(graph, &[tap]);
    // Constants: only what comes after the tap is differentiated.
    let state: Vec<Tensor<1>> = (0..network.entries().len())
        .map(|entry| network.values(entry).clone().autodiff())
        .collect();
    let mut leaf = None;
    let mut pass = |node: NodeId, value: Value| match value {
        Value::Map(map) if node == tap => {
            let map = map.inner().autodiff().require_grad();
            leaf = Some(map.clone());
            Value::Map(map)
        }
        value => value,
    };
    let outcome = Execution::new(network, &state, Mode::Evaluation, images.autodiff())
        .along(&steps)
        .run(&mut pass);
    let leaf: Tensor<4> = leaf.expect("every node of a network is computed");
    let logits = host_values(&outcome.logits.clone().inner());
    let classes = target.classes(&logits, batch);
    let scores = selected(outcome.logits, &classes);
    let mut gradients = scores.backward();
    let gradient = leaf.grad_remove(&mut gradients);
    let values = leaf.inner();
    // Where the score does not depend on the tap at all.
    let gradient = gradient.map_or_else(|| values.zeros_like(), Tensor::inner);
    Attribution {
        shape: graph.shape_of(tap),
        classes,
        logits,
        values: host_values(&values),
        gradients: host_values(&gradient),
    }
}

impl Target {
    fn classes(self, logits: &[f32], batch: usize) -> Vec<usize> {
        match self {
            Self::Class(class) => vec![class; batch],
            Self::Predicted => {
                let rows = logits.chunks(logits.len() / batch.max(1));
                let predicted = rows.map(residua_core::metrics::most_likely);
                predicted.map(|class| class.unwrap_or(0)).collect()
            }
        }
    }
}

/// The sum of one logit of each image, `[1]`; the gradients of images do not mix.
fn selected(logits: Tensor<2>, classes: &[usize]) -> Tensor<1> {
    let [batch, count] = logits.dims();
    let mut mask = vec![0.0f32; batch * count];
    for (image, class) in classes.iter().enumerate() {
        mask[image * count + class] = 1.0;
    }
    let mask = Tensor::from_data(TensorData::new(mask, [batch, count]), &logits.device());
    (logits * mask).sum()
}
