//! Grouping of nodes into coarser steps that an executor can run in one pass over memory.
//!
//! A batch normalisation is usually followed by an addition and a rectifier that each read
//! and write the whole feature map again. [`fuse`] joins them where nobody else reads the
//! values in between. Every other node becomes a step of its own, other norms and other activations
//! too.

use crate::graph::{Graph, NodeId};
use crate::operation::Operation;

/// What one step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// One node as it is.
    Single,
    /// `activation(batch_norm(x) + shortcut)`.
    Norm {
        /// The batch normalisation.
        norm: NodeId,
        /// What is added to its result, if anything.
        shortcut: Option<NodeId>,
        /// Whether a rectifier ends it.
        relu: bool,
    },
}

/// One step of execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it computes.
    pub kind: StepKind,
    /// The values it reads.
    pub inputs: Vec<NodeId>,
    /// The node whose value it produces.
    pub output: NodeId,
}

/// The steps of a graph in the order of execution.
///
/// The values of the nodes in `keep` remain available: no step swallows them.
pub fn fuse(graph: &Graph, keep: &[NodeId]) -> Vec<Step> {
    let consumers = graph.consumers();
    let successor = |id: NodeId| -> Option<NodeId> {
        let free = id != graph.output() && !keep.contains(&id);
        match consumers[id.index()][..] {
            [only] if free => Some(only),
            _ => None,
        }
    };
    let mut steps: Vec<Step> = Vec::new();
    let mut swallowed = vec![false; graph.nodes().len()];
    // Backwards, so that a chain is recognised at its last node, where all inputs are ready.
    for id in graph.ids().rev() {
        if swallowed[id.index()] {
            continue;
        }
        let single = || Chain {
            step: Step {
                kind: StepKind::Single,
                inputs: graph.node(id).inputs.clone(),
                output: id,
            },
            inner: Vec::new(),
        };
        let Chain { step, inner } = norm_ending_at(graph, id, &successor).unwrap_or_else(single);
        for id in inner {
            swallowed[id.index()] = true;
        }
        steps.push(step);
    }
    steps.reverse();
    steps
}

/// A step, and the nodes before its output that it swallows.
struct Chain {
    step: Step,
    inner: Vec<NodeId>,
}

/// The chain batch norm → (add) → (relu) that ends at `last`, if there is one.
fn norm_ending_at(
    graph: &Graph,
    last: NodeId,
    successor: &impl Fn(NodeId) -> Option<NodeId>,
) -> Option<Chain> {
    let only_feeds = |id: NodeId, next: NodeId| successor(id) == Some(next);
    let is_norm = |id: NodeId| matches!(graph.node(id).operation, Operation::BatchNorm(_));
    let mut at = last;
    let mut inner = Vec::new();
    let relu = graph.node(at).operation == Operation::RELU;
    if relu {
        let before = graph.node(at).inputs.first().copied();
        at = before.filter(|id| only_feeds(*id, at))?;
        inner.push(at);
    }
    let mut shortcut = None;
    if let (Operation::Add, &[first, second]) =
        (graph.node(at).operation, &graph.node(at).inputs[..])
    {
        // The residual branch comes first. Where something follows its norm, a gate for instance, that
        // of a projection takes the addition instead.
        let orders = [(first, second), (second, first)];
        let order = { orders.into_iter() }.find(|(id, _)| is_norm(*id) && only_feeds(*id, at));
        let (norm, other) = order?;
        shortcut = Some(other);
        at = norm;
        inner.push(at);
    }
    if !is_norm(at) {
        return None;
    }
    let inputs = graph.node(at).inputs.iter().copied().chain(shortcut);
    Some(Chain {
        step: Step {
            kind: StepKind::Norm {
                norm: at,
                shortcut,
                relu,
            },
            inputs: inputs.collect(),
            output: last,
        },
        inner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{self, BuildOptions, VariationOptions};
    use crate::families::Norm;
    use crate::{Activation, Convolution, GraphBuilder, Shape};

    fn resnet20() -> Graph {
        catalog::build("resnet20", &BuildOptions::default()).unwrap()
    }

    /// Every step must read only what an earlier step has produced.
    fn assert_executable(graph: &Graph, steps: &[Step]) {
        let mut ready = vec![false; graph.nodes().len()];
        for step in steps {
            for input in &step.inputs {
                assert!(
                    ready[input.index()],
                    "{} reads {} too early",
                    graph.node(step.output).name,
                    graph.node(*input).name
                );
            }
            ready[step.output.index()] = true;
        }
        assert!(ready[graph.output().index()]);
    }

    #[test]
    fn norms_swallow_additions_and_rectifiers() {
        let graph = resnet20();
        let steps = fuse(&graph, &[]);
        assert_executable(&graph, &steps);
        let kinds = |wanted: fn(&Operation) -> bool| {
            let single = steps.iter().filter(|step| step.kind == StepKind::Single);
            single
                .filter(|step| wanted(&graph.node(step.output).operation))
                .count()
        };
        assert_eq!(kinds(|operation| *operation == Operation::RELU), 0);
        assert_eq!(kinds(|operation| *operation == Operation::Add), 0);
        let with_shortcut = |step: &&Step| {
            matches!(
                step.kind,
                StepKind::Norm {
                    shortcut: Some(_),
                    relu: true,
                    ..
                }
            )
        };
        assert_eq!(steps.iter().filter(with_shortcut).count(), 9);
    }

    #[test]
    fn kept_values_are_not_swallowed() {
        let graph = resnet20();
        let sum = graph.find("layer1.0.add").unwrap();
        let steps = fuse(&graph, &[sum]);
        assert_executable(&graph, &steps);
        assert!(steps.iter().any(|step| step.output == sum));
    }

    /// A convolution with its norm, and beside it a gate-like branch that ends in no norm.
    fn projection_beside(operation: Operation) -> Graph {
        let mut b = GraphBuilder::new("projection", Shape::map(8, 8, 4));
        let image = b.input();
        let branch = b.convolution("conv", image, Convolution::square(4, 3));
        let projection = b.convolution("downsample.0", image, Convolution::square(4, 1));
        let projection = b.batch_norm("downsample.1", projection.unwrap()).unwrap();
        let sum = b.add("add", branch.unwrap(), projection).unwrap();
        let output = b.push("end", operation, &[sum]).unwrap();
        b.finish(output)
    }

    #[test]
    fn the_norm_may_be_the_second_of_the_addition() {
        let graph = projection_beside(Operation::RELU);
        let find = |name: &str| graph.find(name).unwrap();
        let steps = fuse(&graph, &[]);
        assert_executable(&graph, &steps);
        let expected = Step {
            kind: StepKind::Norm {
                norm: find("downsample.1"),
                shortcut: Some(find("conv")),
                relu: true,
            },
            inputs: vec![find("downsample.0"), find("conv")],
            output: find("end"),
        };
        assert_eq!(steps.last(), Some(&expected));
        assert_eq!(steps.len(), 4);
    }

    #[test]
    fn other_activations_and_norms_are_steps_of_their_own() {
        let graph = projection_beside(Operation::Activation(Activation::Silu));
        let steps = fuse(&graph, &[]);
        assert_executable(&graph, &steps);
        let [.., norm, silu] = &steps[..] else {
            panic!("{steps:?}")
        };
        assert_eq!(silu.kind, StepKind::Single);
        assert!(matches!(norm.kind, StepKind::Norm { relu: false, .. }));
        let options = BuildOptions {
            variations: VariationOptions {
                norm: Some(Norm::Group { groups: 4 }),
                ..VariationOptions::default()
            },
            ..BuildOptions::default()
        };
        let graph = catalog::build("resnet20", &options).unwrap();
        let mut steps = fuse(&graph, &[]).into_iter();
        assert!(steps.all(|step| step.kind == StepKind::Single));
    }

    #[test]
    fn the_branch_that_stochastic_depth_ends_leaves_the_addition_to_the_projection() {
        let options = BuildOptions {
            variations: VariationOptions {
                stochastic_depth: Some(0.2),
                ..VariationOptions::default()
            },
            ..BuildOptions::default()
        };
        for name in ["resnet50", "botnet26t_256"] {
            let graph = catalog::build(name, &options).unwrap();
            let steps = fuse(&graph, &[]);
            assert_executable(&graph, &steps);
            let with_shortcut = steps.iter().filter(|step| {
                let shortcut = match step.kind {
                    StepKind::Norm { shortcut, .. } => shortcut,
                    StepKind::Single => None,
                };
                shortcut.is_some_and(|id| graph.node(id).name.ends_with("drop_path"))
            });
            assert_eq!(with_shortcut.count(), 4, "{name}");
        }
    }

    #[test]
    fn every_family_remains_executable() {
        for entry in catalog::entries() {
            let graph = entry.build(&BuildOptions::default()).unwrap();
            assert_executable(&graph, &fuse(&graph, &[]));
        }
    }
}
