//! What a forward pass leaves for the reverse pass.

use std::sync::Arc;

use half::bf16;
use residua_kernels::Buffer;

use crate::value::Value;

/// The feature maps of a forward pass; [`crate::Engine::backward`] uses them up.
#[derive(Debug)]
pub struct Record(pub(crate) Maps);

/// In the format of the engine's precision.
#[derive(Debug)]
pub(crate) enum Maps {
    F32(Values<f32>),
    Bf16(Values<bf16>),
}

/// The values of all nodes.
#[derive(Debug)]
pub(crate) struct Values<E> {
    pub(crate) batch: usize,
    pub(crate) of_node: Vec<Option<Value<E>>>,
    /// Where each max pool found its numbers.
    pub(crate) positions: Vec<Option<Arc<Vec<u32>>>>,
}

impl<E> Values<E> {
    pub(crate) fn new(batch: usize, nodes: usize) -> Self {
        Self {
            batch,
            of_node: (0..nodes).map(|_| None).collect(),
            positions: vec![None; nodes],
        }
    }
}

/// A gradient that is being put together, exclusively or still read by others.
pub(crate) type SharedBuffer<E> = Arc<Buffer<E>>;
