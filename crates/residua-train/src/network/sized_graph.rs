//! A graph for images of one size, and what computes it.

use std::sync::Arc;

use residua_engine::Engine;
use residua_graph::{Graph, NodeId, Shape};

use super::Division;

/// A network's graph for images of one size. Those of other sizes differ from it in the shapes of feature
/// maps, and of pools over whole maps, alone: one state and one order of steps serve all.
#[derive(Debug, Clone)]
pub(super) struct SizedGraph {
    pub(super) graph: Graph,
    /// Computes instead of the tape; clones share it and its memory.
    pub(super) engine: Option<Arc<Engine>>,
    /// Of training passes: where the frozen part ends, if there is one.
    pub(super) division: Option<Division>,
}

impl SizedGraph {
    pub(super) fn new(graph: Graph, with_engine: bool) -> Self {
        Self {
            engine: with_engine.then(|| Arc::new(Engine::new(&graph))),
            division: None,
            graph,
        }
    }

    /// Whether it is for `images`, `[N, H, W, C]`.
    pub(super) fn is_for(&self, [_, height, width, channels]: [usize; 4]) -> bool {
        self.graph.input_shape() == Shape::map(height, width, channels)
    }

    pub(super) fn freeze_before(&mut self, cut: Option<NodeId>) {
        if self.division.as_ref().map(Division::cut) != cut {
            let with_engines = self.engine.is_some();
            let divide = |cut| Division::new(&self.graph, cut, with_engines);
            self.division = cut.map(divide);
        }
    }

    /// The engine that makes gradients, on the CPU.
    pub(super) fn learning_engine(&self) -> Option<&Arc<Engine>> {
        let divided = self.division.as_ref().and_then(Division::trained_engine);
        divided.or(self.engine.as_ref())
    }

    /// Gives the memory of earlier steps back to the system.
    pub(super) fn release_memory(&self) {
        let divided = self.division.iter().flat_map(Division::engines);
        let whole = self.engine.as_deref();
        whole
            .into_iter()
            .chain(divided)
            .for_each(Engine::release_memory);
    }
}
