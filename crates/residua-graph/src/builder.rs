//! Writing graphs.

use std::collections::HashSet;

use crate::graph::{Graph, GraphError, Node, NodeId};
use crate::operation::{BatchNorm, Convolution, Linear, MaxPool, Operation, ZeroPadShortcut};
use crate::shape::Shape;

/// Appends nodes one by one, inferring and checking shapes at once.
///
/// Node names become parameter names. Where two branches meet, append them in the order in
/// which the original library registers its modules, so that the state has the same order; where
/// that cannot be the order of execution, say so with [`GraphBuilder::register_before`].
#[derive(Debug, Clone)]
pub struct GraphBuilder {
    name: String,
    nodes: Vec<Node>,
    names: HashSet<String>,
    registered: Vec<NodeId>,
}

impl GraphBuilder {
    /// Starts a network for images of this shape.
    pub fn new(name: impl Into<String>, input: Shape) -> Self {
        let node = Node {
            name: "input".into(),
            operation: Operation::Input,
            inputs: Vec::new(),
            shape: input,
        };
        Self {
            name: name.into(),
            names: HashSet::from([node.name.clone()]),
            nodes: vec![node],
            registered: vec![NodeId(0)],
        }
    }

    /// The image.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// The shape of a node appended before.
    pub fn shape_of(&self, id: NodeId) -> Shape {
        self.nodes[id.0].shape
    }

    /// Appends any operation.
    ///
    /// # Errors
    /// When the name is taken or the operation cannot take these inputs.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        operation: Operation,
        inputs: &[NodeId],
    ) -> Result<NodeId, GraphError> {
        let name = name.into();
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.shape_of(*id)).collect();
        let shape = operation
            .output_shape(&shapes)
            .map_err(|message| GraphError::Shape {
                node: name.clone(),
                kind: operation.kind(),
                message,
            })?;
        if !self.names.insert(name.clone()) {
            return Err(GraphError::DuplicateName { name });
        }
        self.nodes.push(Node {
            name,
            operation,
            inputs: inputs.to_vec(),
            shape,
        });
        let id = NodeId(self.nodes.len() - 1);
        self.registered.push(id);
        Ok(id)
    }

    /// Puts the tensors of a node before those of another in the order of the state, because the
    /// original library does, although the node is executed later.
    pub fn register_before(&mut self, node: NodeId, other: NodeId) {
        self.registered.retain(|id| *id != node);
        let place = self.registered.iter().position(|id| *id == other);
        self.registered
            .insert(place.unwrap_or(self.registered.len()), node);
    }

    /// Appends a convolution.
    ///
    /// # Errors
    /// See [`GraphBuilder::push`].
    pub fn convolution(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        convolution: Convolution,
    ) -> Result<NodeId, GraphError> {
        self.push(name, Operation::Convolution(convolution), &[input])
    }

    /// Appends a batch normalisation with PyTorch's defaults.
    ///
    /// # Errors
    /// See [`GraphBuilder::push`].
    pub fn batch_norm(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.push(name, Operation::BatchNorm(BatchNorm::default()), &[input])
    }

    /// Appends a rectifier.
    ///
    /// # Errors
    /// See [`GraphBuilder::push`].
    pub fn relu(&mut self, name: impl Into<String>, input: NodeId) -> Result<NodeId, GraphError> {
        self.push(name, Operation::RELU, &[input])
    }

    /// Appends a max pool.
    ///
    /// # Errors
    /// See [`GraphBuilder::push`].
    pub fn max_pool(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        pool: MaxPool,
    ) -> Result<NodeId, GraphError> {
        self.push(name, Operation::MaxPool(pool), &[input])
    }

    /// Appends a mean over all pixels.
    ///
    /// # Errors
    /// See [`GraphBuilder::push`].
    pub fn global_average_pool(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.push(name, Operation::GlobalAveragePool, &[input])
    }

    /// Appends an option-A shortcut.
    ///
    /// # Errors
    /// See [`GraphBuilder::push`].
    pub fn zero_pad_shortcut(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        shortcut: ZeroPadShortcut,
    ) -> Result<NodeId, GraphError> {
        self.push(name, Operation::ZeroPadShortcut(shortcut), &[input])
    }

    /// Appends the sum of two nodes. Give the residual branch F(x) first.
    ///
    /// # Errors
    /// See [`GraphBuilder::push`].
    pub fn add(
        &mut self,
        name: impl Into<String>,
        residual: NodeId,
        shortcut: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.push(name, Operation::Add, &[residual, shortcut])
    }

    /// Appends a fully connected layer.
    ///
    /// # Errors
    /// See [`GraphBuilder::push`].
    pub fn linear(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        out_features: usize,
    ) -> Result<NodeId, GraphError> {
        self.push(name, Operation::Linear(Linear { out_features }), &[input])
    }

    /// The finished graph with this result.
    pub fn finish(self, output: NodeId) -> Graph {
        Graph::new(self.name, self.nodes, self.registered, output)
    }
}
