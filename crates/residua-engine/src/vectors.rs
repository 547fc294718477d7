//! Vectors of gradients, which leave the engine and may come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Vectors that nobody uses at the moment.
///
/// Gradients of a network's weights can be a tenth of its memory. Requesting that from the system in
/// every step means that the system clears it page by page in every step.
#[derive(Debug, Clone, Default)]
pub(crate) struct VectorPool(Arc<Mutex<HashMap<usize, Shelf>>>);

/// The vectors of one length.
#[derive(Debug, Default)]
struct Shelf {
    free: Vec<Vec<f32>>,
    /// How many are out.
    lent: usize,
}

impl VectorPool {
    /// A vector of `length` numbers with unspecified contents: what an earlier use left there, or
    /// zeros.
    pub(crate) fn take(&self, length: usize) -> Vec<f32> {
        let mut shelves = self.shelves();
        let shelf = shelves.entry(length).or_default();
        shelf.lent += 1;
        shelf.free.pop().unwrap_or_else(|| vec![0.0; length])
    }

    /// Keeps a vector for a later use, if as many of its length are out: what never came from here
    /// would never be taken either.
    pub(crate) fn put(&self, vector: Vec<f32>) {
        if let Some(shelf) = self.shelves().get_mut(&vector.len())
            && shelf.lent > 0
        {
            shelf.lent -= 1;
            shelf.free.push(vector);
        }
    }

    /// Gives the memory of all vectors back to the system.
    pub(crate) fn clear(&self) {
        self.shelves().clear();
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<usize, Shelf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_lent_is_kept() {
        let pool = VectorPool::default();
        for _ in 0..3 {
            let lent = pool.take(8);
            pool.put(lent);
            pool.put(vec![1.0; 8]);
            pool.put(vec![1.0; 5]);
        }
        let shelves = pool.shelves();
        let free: usize = shelves.values().map(|shelf| shelf.free.len()).sum();
        assert_eq!((free, shelves[&8].lent), (1, 0));
    }
}
