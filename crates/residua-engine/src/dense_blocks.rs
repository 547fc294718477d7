//! Concatenations that share one map.
//!
//! In a dense block (Huang et al. 2017, §3) each layer appends channels to what all layers before it
//! have left: a chain of concatenations, each of which begins with the one before. Where the links
//! between them are otherwise read by batch normalisations alone, which need no contiguous map, every
//! concatenation is a prefix of the last one's channels, and writes what it adds to its map.

use residua_graph::{Axis, Graph, NodeId, Operation, Step, StepKind};

/// What part a concatenation has in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Brings the map.
    First,
    /// Writes more of it.
    Middle,
    /// Completes it.
    Last,
}

/// The chains of a graph.
#[derive(Debug, Clone)]
pub(crate) struct DenseBlocks {
    /// Of each node that is in a chain.
    places: Vec<Option<Place>>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    position: Position,
    /// Channels of the last one.
    width: usize,
}

impl DenseBlocks {
    /// `readers` are the steps that read each node's value.
    pub(crate) fn new(graph: &Graph, steps: &[Step], readers: &[Vec<usize>]) -> Self {
        let next = |node: NodeId| {
            let readers = readers[node.index()].iter().map(|&reader| &steps[reader]);
            next_of(graph, node, readers)
        };
        let mut places = vec![None; graph.nodes().len()];
        for step in steps {
            let first = step.output;
            if places[first.index()].is_some() || !is_concatenation(graph, first) {
                continue;
            }
            let chain: Vec<NodeId> =
                std::iter::successors(Some(first), |node| next(*node)).collect();
            let [_, middle @ .., last] = &chain[..] else {
                continue;
            };
            let place = |position| {
                let width = graph.shape_of(*last).channels();
                Some(Place { position, width })
            };
            places[first.index()] = place(Position::First);
            for node in middle {
                places[node.index()] = place(Position::Middle);
            }
            places[last.index()] = place(Position::Last);
        }
        Self { places }
    }

    /// The part of a node in a chain, if it is in one.
    pub(crate) fn position(&self, node: NodeId) -> Option<Position> {
        self.places[node.index()].map(|place| place.position)
    }

    /// Channels of the map of a node's chain, if it is in one.
    pub(crate) fn width(&self, node: NodeId) -> Option<usize> {
        self.places[node.index()].map(|place| place.width)
    }
}

/// The concatenation that begins with this one and may write to the same map.
fn next_of<'a>(
    graph: &Graph,
    node: NodeId,
    readers: impl Iterator<Item = &'a Step>,
) -> Option<NodeId> {
    let mut next = None;
    for reader in readers {
        if reads_as_norm(graph, reader, node) {
            continue;
        }
        let begins = is_concatenation(graph, reader.output) && reader.inputs[0] == node;
        if !begins || next.is_some() {
            // Somebody needs the map itself, or the channels behind this one's are taken. (Who reads
            // it twice is a reader twice.)
            return None;
        }
        next = Some(reader.output);
    }
    next.filter(|_| node != graph.output())
}

fn is_concatenation(graph: &Graph, node: NodeId) -> bool {
    graph.node(node).operation == Operation::Concat(Axis::Channels)
}

/// Whether a step reads a value as what it normalises, and in no other way.
fn reads_as_norm(graph: &Graph, step: &Step, node: NodeId) -> bool {
    let norm = match step.kind {
        StepKind::Norm { norm, .. } => norm,
        StepKind::Single => step.output,
    };
    matches!(graph.node(norm).operation, Operation::BatchNorm(_))
        && graph.node(norm).inputs[0] == node
        && { step.inputs.iter() }
            .filter(|input| **input == node)
            .count()
            == 1
}

#[cfg(test)]
mod tests {
    use residua_graph::catalog::{self, BuildOptions, VariationOptions};
    use residua_graph::families::Norm;

    use super::*;
    use crate::layout::Layout;

    /// Concatenations in each chain, and the channels of its map.
    fn chains(name: &str, norm: Option<Norm>) -> Vec<(usize, usize)> {
        let variations = VariationOptions {
            norm,
            ..VariationOptions::default()
        };
        let options = BuildOptions {
            variations,
            ..BuildOptions::default()
        };
        let layout = Layout::new(&catalog::build(name, &options).unwrap());
        let mut chains: Vec<(usize, usize)> = Vec::new();
        for step in &layout.steps {
            let Some(position) = layout.dense_blocks.position(step.output) else {
                continue;
            };
            let width = layout.dense_blocks.width(step.output).unwrap();
            match position {
                Position::First => chains.push((1, width)),
                Position::Middle | Position::Last => chains.last_mut().unwrap().0 += 1,
            }
            let channels = layout.channels(step.output);
            assert_eq!(position == Position::Last, channels == width);
        }
        chains
    }

    #[test]
    fn every_block_of_a_densenet_is_a_chain() {
        let expected = [(6, 256), (12, 512), (24, 1024), (16, 1024)];
        assert_eq!(chains("densenet121", None), expected);
        let expected = [(16, 216), (16, 300), (16, 342)];
        assert_eq!(chains("densenet_bc100_k12", None), expected);
    }

    #[test]
    fn what_reads_whole_maps_leaves_no_chains() {
        assert_eq!(chains("cbam_resnet8", None), []);
        let groups = Norm::Group { groups: 1 };
        assert_eq!(chains("densenet_bc10_k6", Some(groups)), []);
    }
}
