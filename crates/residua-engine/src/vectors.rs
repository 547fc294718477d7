//! Vectors of gradients, which leave the engine and may come back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Vectors that nobody uses at the moment.
///
/// Gradients of a network's weights can be a tenth of its memory. Requesting that from the system in
/// every step means that the system clears it page by page in every step.
#[derive(Debug, Clone, Default)]
pub(crate) struct VectorPool(Arc<Mutex<Vec<Vec<f32>>>>);

impl VectorPool {
    /// A vector of `length` numbers with unspecified contents: what an earlier use left there, or
    /// zeros.
    pub(crate) fn take(&self, length: usize) -> Vec<f32> {
        let mut free = self.free();
        match free.iter().rposition(|vector| vector.len() == length) {
            Some(index) => free.swap_remove(index),
            None => vec![0.0; length],
        }
    }

    /// Keeps a vector for a later use.
    pub(crate) fn put(&self, vector: Vec<f32>) {
        self.free().push(vector);
    }

    /// Gives the memory of all vectors back to the system.
    pub(crate) fn clear(&self) {
        self.free().clear();
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<f32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
