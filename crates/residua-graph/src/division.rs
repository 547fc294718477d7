//! Where a network can be cut in two, and its stages: what is frozen or learns at a rate of its own
//! when a network is trained for another task.

use std::ops::Range;

use crate::graph::{Graph, Node, NodeId};
use crate::operation::Operation;
use crate::shape::Shape;

impl NodeId {
    /// The node of a whole network that is this one of the network [after](Graph::after) a cut.
    pub fn in_whole(self, cut: NodeId) -> Self {
        Self(self.0 + cut.0)
    }
}

impl Graph {
    /// The feature maps that everything after them depends on through them alone, in the order of
    /// execution: where the network can be cut in two. The input is not one of them.
    pub fn cuts(&self) -> Vec<NodeId> {
        let consumers = self.consumers();
        let last_readers: Vec<Option<usize>> = { consumers.iter() }
            .map(|readers| readers.last().map(|reader| reader.index()))
            .collect();
        let is_map = |id: &NodeId| matches!(self.shape_of(*id), Shape::Map { .. });
        // How far the values of the nodes so far are read.
        let mut read_until = last_readers[0].unwrap_or(0);
        let mut cuts = Vec::new();
        for id in self.ids().skip(1) {
            let Some(last_reader) = last_readers[id.0] else {
                continue;
            };
            if read_until <= id.0 {
                cuts.push(id);
            }
            read_until = read_until.max(last_reader);
        }
        cuts.retain(is_map);
        cuts
    }

    /// The network before a cut: the value of the cut is its result.
    pub fn before(&self, cut: NodeId) -> Self {
        let nodes = self.nodes()[..=cut.0].to_vec();
        let registered = { self.registered().iter() }.filter(|id| **id <= cut);
        let registered = registered.copied().collect();
        Self::new(self.name().to_owned(), nodes, registered, cut)
    }

    /// The network after a cut: the value of the cut is its input. [`NodeId::in_whole`] says which node
    /// of this network each of its nodes is.
    ///
    /// # Panics
    /// When the node is none of the [cuts](Self::cuts).
    pub fn after(&self, cut: NodeId) -> Self {
        let moved = |id: NodeId| {
            let place = id.0.checked_sub(cut.0);
            NodeId(place.expect("nothing after a cut reads what is before it"))
        };
        let input = Node {
            name: self.nodes()[0].name.clone(),
            operation: Operation::Input,
            inputs: Vec::new(),
            shape: self.shape_of(cut),
        };
        let rest = self.nodes()[cut.0 + 1..].iter().map(|node| Node {
            inputs: node.inputs.iter().map(|id| moved(*id)).collect(),
            ..node.clone()
        });
        let registered = { self.registered().iter() }.filter(|id| **id > cut);
        let registered = std::iter::once(NodeId(0)).chain(registered.map(|id| moved(*id)));
        let registered = registered.collect();
        let nodes = std::iter::once(input).chain(rest).collect();
        Self::new(
            self.name().to_owned(),
            nodes,
            registered,
            moved(self.output()),
        )
    }

    /// The stages of the network's body, from the image on, as ranges of node numbers: each ends at the
    /// last [cut](Self::cuts) of its size, and what follows the last one is the head. A stage has
    /// parameters; where a network begins with smaller and smaller maps (a stem), the
    /// sizes without a cut after their parameters belong to the stage that follows.
    pub fn stages(&self) -> Vec<Range<usize>> {
        let cuts = self.cuts();
        let head = self.head().map_or(self.nodes().len(), |head| head.0);
        let size = |cut: NodeId| self.shape_of(cut).spatial();
        let ends = cuts.iter().enumerate().filter(|(index, cut)| {
            let next = cuts.get(index + 1).filter(|next| next.0 < head);
            cut.0 < head && next.is_none_or(|next| size(*next) != size(**cut))
        });
        let mut stages: Vec<Range<usize>> = Vec::new();
        let mut begin = 0;
        for (_, end) in ends {
            let stage = begin..end.0 + 1;
            if self.has_parameters(stage.clone()) {
                begin = stage.end;
                stages.push(stage);
            } else if let Some(last) = stages.last_mut() {
                // A pool at the end of a stage.
                last.end = stage.end;
                begin = stage.end;
            }
        }
        stages
    }

    fn has_parameters(&self, nodes: Range<usize>) -> bool {
        nodes.into_iter().any(|index| {
            let state = self.state_of(NodeId(index));
            state.iter().any(|entry| entry.role.is_trainable())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::{self, BuildOptions};

    use super::*;

    fn graph(name: &str) -> Graph {
        catalog::build(name, &BuildOptions::default()).unwrap()
    }

    /// The name of the node that each stage ends with.
    fn stage_ends(name: &str) -> Vec<String> {
        let graph = graph(name);
        let stages = graph.stages();
        let end = |stage: &Range<usize>| graph.nodes()[stage.end - 1].name.clone();
        stages.iter().map(end).collect()
    }

    #[test]
    fn stages_are_those_of_the_papers() {
        assert_eq!(
            stage_ends("resnet20"),
            ["layer1.2.relu", "layer2.2.relu", "layer3.2.relu"]
        );
        let of_resnet18 = stage_ends("resnet18");
        assert_eq!(of_resnet18.len(), 5, "{of_resnet18:?}");
        assert_eq!(of_resnet18[0], "relu");
        assert_eq!(stage_ends("densenet121").len(), 5);
        assert_eq!(stage_ends("vgg16_bn").len(), 5);
    }

    #[test]
    fn stages_follow_each_other_and_leave_the_head() {
        for entry in catalog::entries() {
            let graph = entry.build(&BuildOptions::default()).unwrap();
            let stages = graph.stages();
            assert!(
                (2..=8).contains(&stages.len()),
                "{}: {stages:?}",
                entry.name
            );
            let mut next = 0;
            for stage in &stages {
                assert_eq!(stage.start, next, "{}", entry.name);
                assert!(graph.has_parameters(stage.clone()), "{}", entry.name);
                next = stage.end;
            }
            assert!(graph.head().unwrap().index() >= next, "{}", entry.name);
        }
    }

    #[test]
    fn two_parts_are_the_whole() {
        for entry in catalog::entries() {
            let graph = entry.build(&BuildOptions::default()).unwrap();
            let cuts = graph.cuts();
            // Of the deepest networks only some.
            for cut in cuts.iter().copied().step_by(cuts.len() / 8 + 1) {
                let (before, after) = (graph.before(cut), graph.after(cut));
                assert_eq!(before.output_shape(), after.input_shape(), "{}", entry.name);
                assert_eq!(after.output_shape(), graph.output_shape());
                assert_eq!(before.macs() + after.macs(), graph.macs());
                let names = |graph: &Graph| -> Vec<String> {
                    graph.state().into_iter().map(|entry| entry.name).collect()
                };
                let mut parts = names(&before);
                parts.extend(names(&after));
                let mut whole = names(&graph);
                parts.sort();
                whole.sort();
                assert_eq!(parts, whole, "{}", entry.name);
            }
        }
    }

    #[test]
    fn a_shortcut_is_never_cut() {
        let graph = graph("resnet20");
        let cuts: Vec<&str> = { graph.cuts().into_iter() }
            .map(|cut| graph.node(cut).name.as_str())
            .collect();
        assert!(cuts.contains(&"layer2.0.relu"), "{cuts:?}");
        assert!(!cuts.iter().any(|name| name.contains("conv2")), "{cuts:?}");
        assert!(!cuts.contains(&"input"));
    }
}
