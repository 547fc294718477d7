//! Worker threads and the bounded queue between them and the consumer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::{BatchMaker, HostBatch};
use crate::error::DataError;

/// Threads that make the batches of a range. They are stopped and joined when this is dropped.
pub(super) struct Workers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// `None` if no worker is wanted or none can be started; batches are then made in place.
    pub(super) fn start(maker: &Arc<BatchMaker>, batches: Range<usize>) -> Option<Self> {
        let options = maker.loader.options();
        let queue = Arc::new(Queue {
            end: batches.end,
            prefetch: options.prefetch.get(),
            state: Mutex::new(State {
                unclaimed: batches.start,
                delivered: batches.start,
                ready: BTreeMap::new(),
                is_stopped: false,
            }),
            room: Condvar::new(),
            arrival: Condvar::new(),
        });
        // More threads than batches in flight would only wait.
        let count = options
            .workers
            .min(options.prefetch.get())
            .min(batches.len());
        let threads: Vec<_> = (0..count)
            .map_while(|_| {
                let (maker, queue) = (Arc::clone(maker), Arc::clone(&queue));
                let thread = thread::Builder::new().name("residua-loader".to_owned());
                thread.spawn(move || queue.work(&maker)).ok()
            })
            .collect();
        (!threads.is_empty()).then_some(Self { queue, threads })
    }

    /// Waits for batch `index`. Batches must be taken in ascending order, each once.
    pub(super) fn take(&self, index: usize) -> Result<HostBatch, DataError> {
        self.queue.take(index)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.lock().is_stopped = true;
        self.queue.room.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its work, so there is nothing to hear from it.
            let _ = thread.join();
        }
    }
}

struct Queue {
    end: usize,
    prefetch: usize,
    state: Mutex<State>,
    /// Signalled when a batch was delivered, or when all shall stop.
    room: Condvar,
    /// Signalled when a batch is ready.
    arrival: Condvar,
}

struct State {
    /// The next batch that no worker has begun.
    unclaimed: usize,
    /// The next batch that the consumer takes.
    delivered: usize,
    ready: BTreeMap<usize, Result<HostBatch, DataError>>,
    is_stopped: bool,
}

impl Queue {
    fn work(&self, maker: &BatchMaker) {
        while let Some(index) = self.claim() {
            let batch = maker.make(index);
            self.lock().ready.insert(index, batch);
            self.arrival.notify_one();
        }
    }

    /// The next batch to make, as soon as there is room for it; `None` at the end.
    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.is_stopped || state.unclaimed == self.end {
                return None;
            }
            if state.unclaimed < state.delivered + self.prefetch {
                state.unclaimed += 1;
                return Some(state.unclaimed - 1);
            }
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take(&self, index: usize) -> Result<HostBatch, DataError> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.ready.remove(&index) {
                state.delivered = index + 1;
                self.room.notify_one();
                return batch;
            }
            state = self
                .arrival
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing that can panic happens under the lock, so a poisoned state is still sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
