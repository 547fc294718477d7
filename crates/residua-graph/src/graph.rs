//! The graph itself: a list of named nodes in the order of execution.

use thiserror::Error;

use crate::operation::{Fan, Initial, Operation, StateRole};
use crate::shape::Shape;

/// Identifies a node of one graph: its place in the order of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The place in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// A named operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// PyTorch's module path, `layer1.0.conv1` for instance; unique in its graph.
    pub name: String,
    /// What it computes.
    pub operation: Operation,
    /// The nodes it reads.
    pub inputs: Vec<NodeId>,
    /// The shape of one sample that it produces.
    pub shape: Shape,
}

/// A tensor of a network's state with its full name.
#[derive(Debug, Clone, PartialEq)]
pub struct StateEntry {
    /// PyTorch's `state_dict` key.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: StateRole,
    /// Where training starts.
    pub initial: Initial,
    /// The node that owns it.
    pub node: NodeId,
}

impl StateEntry {
    /// Number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Why a graph could not be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// An operation cannot take its inputs.
    #[error("{node} ({kind}): {message}")]
    Shape {
        /// Name of the node.
        node: String,
        /// Its operation.
        kind: &'static str,
        /// What is wrong.
        message: String,
    },
    /// Two nodes have one name.
    #[error("two nodes are named '{name}'; names become parameter names and must be unique")]
    DuplicateName {
        /// The name.
        name: String,
    },
}

/// A network.
///
/// Nodes are stored in the order of execution: each reads only earlier ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    name: String,
    nodes: Vec<Node>,
    /// All nodes in the order in which the original library registers them.
    registered: Vec<NodeId>,
    output: NodeId,
}

impl Graph {
    /// Used by the builder, which has checked the nodes.
    pub(crate) fn new(
        name: String,
        nodes: Vec<Node>,
        registered: Vec<NodeId>,
        output: NodeId,
    ) -> Self {
        Self {
            name,
            nodes,
            registered,
            output,
        }
    }

    /// The same network with the start of all convolutions measured by this.
    #[must_use]
    pub(crate) fn starting_by(mut self, fan: Fan) -> Self {
        for node in &mut self.nodes {
            if let Operation::Convolution(convolution) = &mut node.operation {
                convolution.fan = fan;
            }
        }
        self
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All nodes in the order of execution; the first is the input.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All nodes in the order of the state.
    pub(crate) fn registered(&self) -> &[NodeId] {
        &self.registered
    }

    /// All node identifiers in the order of execution.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node whose value is the result.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// The shape that a node produces.
    pub fn shape_of(&self, id: NodeId) -> Shape {
        self.nodes[id.0].shape
    }

    /// Whether another graph is the same network for images of another size: it has the same state, and the
    /// same kinds of nodes that read the same ones. Those differ in the shapes of feature maps, and of pools
    /// over whole maps, alone, so that one set of parameters serves both.
    pub fn differs_in_size_only(&self, other: &Self) -> bool {
        let mut pairs = self.nodes.iter().zip(&other.nodes);
        self.nodes.len() == other.nodes.len()
            && pairs.all(|(own, other)| {
                own.name == other.name
                    && own.inputs == other.inputs
                    && own.operation.kind() == other.operation.kind()
            })
            && self.output == other.output
            && self.state() == other.state()
    }

    /// The shape of the image.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// The shape of the result.
    pub fn output_shape(&self) -> Shape {
        self.shape_of(self.output)
    }

    /// The node with this name; or, for the name of a part such as `layer2` or `layer2.0`,
    /// the last node of that part, whose value is the part's output.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        let exact = self.nodes.iter().position(|node| node.name == name);
        let within = |node: &Node| {
            let rest = node.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        exact
            .or_else(|| self.nodes.iter().rposition(within))
            .map(NodeId)
    }

    /// The layer that makes the result out of features: the last one with trained parameters on the
    /// way to the output. Another task needs another one.
    pub fn head(&self) -> Option<NodeId> {
        let mut at = Some(self.output);
        while let Some(id) = at {
            if self
                .state_of(id)
                .iter()
                .any(|entry| entry.role.is_trainable())
            {
                return Some(id);
            }
            at = self.node(id).inputs.first().copied();
        }
        None
    }

    /// The nodes that read each node, in the order of execution.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                consumers[input.0].push(NodeId(index));
            }
        }
        consumers
    }

    /// The shape that a node reads first; its own shape for the input.
    pub fn input_shape_of(&self, id: NodeId) -> Shape {
        let node = self.node(id);
        node.inputs
            .first()
            .map_or(node.shape, |input| self.shape_of(*input))
    }

    /// The tensors that one node owns.
    pub fn state_of(&self, id: NodeId) -> Vec<StateEntry> {
        let node = self.node(id);
        let specs = node.operation.state(self.input_shape_of(id));
        specs
            .into_iter()
            .map(|spec| StateEntry {
                name: format!("{}.{}", node.name, spec.name),
                shape: spec.shape,
                role: spec.role,
                initial: spec.initial,
                node: id,
            })
            .collect()
    }

    /// All tensors of the network's state, in the order of PyTorch's `state_dict`. That is the order
    /// of the nodes but for networks whose library registers a module before one that it reads.
    pub fn state(&self) -> Vec<StateEntry> {
        let registered = self.registered.iter();
        registered.flat_map(|id| self.state_of(*id)).collect()
    }

    /// Number of values that training updates.
    pub fn trainable_parameters(&self) -> u64 {
        let state = self.state();
        let trained = state.iter().filter(|entry| entry.role.is_trainable());
        trained.map(|entry| entry.elements() as u64).sum()
    }

    /// Multiply-accumulates of one node for one sample.
    pub fn macs_of(&self, id: NodeId) -> u64 {
        let node = self.node(id);
        node.operation.macs(self.input_shape_of(id), node.shape)
    }

    /// Multiply-accumulates for one sample; see [`Operation::macs`] for what counts.
    pub fn macs(&self) -> u64 {
        self.ids().map(|id| self.macs_of(id)).sum()
    }
}
