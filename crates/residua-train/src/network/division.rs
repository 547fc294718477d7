//! A network whose beginning is frozen: it computes as in evaluation, and no gradients go there.

use std::sync::Arc;

use residua_engine::Engine;
use residua_graph::{Graph, NodeId, StateRole};

/// Where the trained part of a network begins.
#[derive(Debug, Clone)]
pub(crate) struct Division {
    cut: NodeId,
    /// Entries of the frozen part; the trained part's come after them.
    frozen_entries: usize,
    engines: Option<Engines>,
}

/// One for each part, on the CPU.
#[derive(Debug, Clone)]
struct Engines {
    frozen: Arc<Engine>,
    trained: Arc<Engine>,
}

impl Division {
    pub(crate) fn new(graph: &Graph, cut: NodeId, with_engines: bool) -> Self {
        let entries = graph.ids().take_while(|id| *id <= cut);
        let entries = entries.flat_map(|id| graph.state_of(id));
        Self {
            cut,
            frozen_entries: { entries }
                .filter(|entry| entry.role != StateRole::BatchCount)
                .count(),
            engines: with_engines.then(|| Engines {
                frozen: Arc::new(Engine::new(&graph.before(cut))),
                trained: Arc::new(Engine::new(&graph.after(cut))),
            }),
        }
    }

    /// The last frozen node.
    pub(crate) fn cut(&self) -> NodeId {
        self.cut
    }

    pub(crate) fn frozen_entries(&self) -> usize {
        self.frozen_entries
    }

    /// What computes the value of the cut from the images, on the CPU.
    pub(crate) fn frozen_engine(&self) -> Option<&Engine> {
        self.engines.as_ref().map(|engines| &*engines.frozen)
    }

    /// All there are.
    pub(super) fn engines(&self) -> impl Iterator<Item = &Engine> {
        { self.engines.iter() }.flat_map(|engines| [&*engines.frozen, &*engines.trained])
    }

    /// What computes logits from that, on the CPU.
    pub(crate) fn trained_engine(&self) -> Option<&Arc<Engine>> {
        self.engines.as_ref().map(|engines| &engines.trained)
    }
}
