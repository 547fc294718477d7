//! Working memory that is kept between calls, aligned to cache lines.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use crate::lines::{CacheLine, Plain, lines_for, numbers, numbers_mut, zeroed_lines};

/// Buffers that a thread keeps for itself, because they are likely in its cache.
const KEPT_BY_THREAD: usize = 8;

thread_local! {
    static OWN: RefCell<Vec<Vec<CacheLine>>> = const { RefCell::new(Vec::new()) };
}

/// What threads do not keep: buffers are often filled by one thread and dropped by another, whose
/// own store would grow with every call.
static SHARED: Mutex<Vec<Vec<CacheLine>>> = Mutex::new(Vec::new());

/// An unused buffer of exactly so many lines. The most recently used is likely still in cache.
fn take(free: &mut Vec<Vec<CacheLine>>, lines: usize) -> Option<Vec<CacheLine>> {
    let found = free.iter().rposition(|buffer| buffer.len() == lines);
    found.map(|index| free.remove(index))
}

fn shared() -> std::sync::MutexGuard<'static, Vec<Vec<CacheLine>>> {
    SHARED
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A slice of numbers that begins at a cache line and is used again after it was dropped.
///
/// Sizes are rounded up to powers of two (memory that is never touched is not occupied), so the
/// store grows to twice the sizes of the buffers in use at once, which are bounded by one block of
/// work of each thread and by one layer's weights, or a few times these in a step of Muon.
pub(crate) struct Scratch<T: Plain = f32> {
    lines: Vec<CacheLine>,
    length: usize,
    number: PhantomData<T>,
}

impl<T: Plain> Scratch<T> {
    /// `length` numbers with unspecified contents: what an earlier use left there, or zero.
    pub(crate) fn uninitialised(length: usize) -> Self {
        let lines = lines_for::<T>(length).next_power_of_two();
        let lines = OWN
            .with_borrow_mut(|own| take(own, lines))
            .or_else(|| take(&mut shared(), lines))
            .unwrap_or_else(|| zeroed_lines(lines));
        let mut scratch = Self {
            lines,
            length,
            number: PhantomData,
        };
        if cfg!(debug_assertions) {
            scratch.fill(T::POISON);
        }
        scratch
    }

    /// `length` zeros.
    pub(crate) fn zeroed(length: usize) -> Self {
        let mut scratch = Self::uninitialised(length);
        scratch.fill(T::default());
        scratch
    }
}

impl<T: Plain> Drop for Scratch<T> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        // The thread's own store is gone when the thread is ending.
        let surplus = OWN.try_with(|own| {
            let mut own = own.borrow_mut();
            own.push(lines);
            (own.len() > KEPT_BY_THREAD).then(|| own.remove(0))
        });
        if let Ok(Some(lines)) = surplus {
            shared().push(lines);
        }
    }
}

impl<T: Plain> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        numbers(&self.lines, self.length)
    }
}

impl<T: Plain> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        numbers_mut(&mut self.lines, self.length)
    }
}
