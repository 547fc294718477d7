//! What a forward pass leaves for the reverse pass.

use std::sync::Arc;

use half::bf16;
use residua_core::seed::SeedStream;
use residua_kernels::Buffer;
use residua_kernels::group_norm::GroupStatistics;

use crate::segments::Segment;
use crate::value::Value;

/// The feature maps of a forward pass; [`crate::Engine::backward`] uses them up.
#[derive(Debug)]
pub struct Record {
    pub(crate) maps: Maps,
    pub(crate) segments: Vec<Segment>,
}

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
    /// What operations leave for their own reverse passes.
    pub(crate) notes: Vec<Option<Note>>,
    /// What dropouts drop.
    pub(crate) randomness: SeedStream,
}

/// What an operation leaves for its own reverse pass.
#[derive(Debug)]
pub(crate) enum Note {
    /// Where a max pool found its numbers.
    Positions(Vec<u32>),
    /// The statistics of a group norm.
    Groups(GroupStatistics),
}

impl<E> Values<E> {
    pub(crate) fn new(batch: usize, nodes: usize, randomness: SeedStream) -> Self {
        Self {
            batch,
            of_node: (0..nodes).map(|_| None).collect(),
            notes: (0..nodes).map(|_| None).collect(),
            randomness,
        }
    }
}

/// A gradient that is being put together, exclusively or still read by others.
pub(crate) type SharedBuffer<E> = Arc<Buffer<E>>;
