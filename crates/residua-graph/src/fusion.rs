//! Grouping of nodes into coarser steps that an executor can run in one pass over memory.
//!
//! A batch normalisation is usually followed by an addition and a rectifier that each read
//! and write the whole feature map again. [`fuse`] joins them where nobody else reads the
//! values in between. Every other node becomes a step of its own.

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
        let step = norm_ending_at(graph, id, &successor).unwrap_or_else(|| Step {
            kind: StepKind::Single,
            inputs: graph.node(id).inputs.clone(),
            output: id,
        });
        if let StepKind::Norm { norm, .. } = step.kind {
            let mut inner = id;
            while inner != norm {
                inner = graph.node(inner).inputs[0];
                swallowed[inner.index()] = true;
            }
        }
        steps.push(step);
    }
    steps.reverse();
    steps
}

/// The chain batch norm → (add) → (relu) that ends at `last`, if there is one.
fn norm_ending_at(
    graph: &Graph,
    last: NodeId,
    successor: &impl Fn(NodeId) -> Option<NodeId>,
) -> Option<Step> {
    let first_input = |id: NodeId| graph.node(id).inputs.first().copied();
    let only_feeds = |id: NodeId, next: NodeId| successor(id) == Some(next);
    let mut at = last;
    let relu = graph.node(at).operation == Operation::Relu;
    if relu {
        let before = first_input(at).filter(|id| only_feeds(*id, at))?;
        at = before;
    }
    let mut shortcut = None;
    if graph.node(at).operation == Operation::Add {
        let before = first_input(at).filter(|id| only_feeds(*id, at))?;
        shortcut = Some(graph.node(at).inputs[1]);
        at = before;
    }
    if !matches!(graph.node(at).operation, Operation::BatchNorm(_)) {
        return None;
    }
    let inputs = first_input(at).into_iter().chain(shortcut).collect();
    let kind = StepKind::Norm {
        norm: at,
        shortcut,
        relu,
    };
    Some(Step {
        kind,
        inputs,
        output: last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{self, BuildOptions};

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
        assert_eq!(kinds(|operation| *operation == Operation::Relu), 0);
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

    #[test]
    fn every_family_remains_executable() {
        for entry in catalog::entries() {
            let graph = entry.build(&BuildOptions::default()).unwrap();
            assert_executable(&graph, &fuse(&graph, &[]));
        }
    }
}
