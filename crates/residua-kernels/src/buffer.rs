//! Memory for feature maps that is aligned to cache lines and can be used again.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use crate::Element;
use crate::lines::{CacheLine, lines_for, numbers, numbers_mut, zeroed_lines};

/// Buffers that nobody uses at the moment.
///
/// A network asks for the same sizes in every step, so that after the first step no memory is
/// requested from the system and none is cleared.
#[derive(Clone, Default)]
pub struct BufferPool(Arc<Mutex<Vec<Vec<CacheLine>>>>);

/// A slice of elements that begins at a cache line and returns to its pool when dropped.
pub struct Buffer<E> {
    lines: Vec<CacheLine>,
    length: usize,
    pool: BufferPool,
    element: PhantomData<E>,
}

impl BufferPool {
    /// A buffer of `length` elements with unspecified contents: what an earlier use left there, or
    /// zeros.
    pub fn take<E: Element>(&self, length: usize) -> Buffer<E> {
        self.take_within(length, length)
    }

    /// The same in memory for `room` elements, which requests of different lengths share.
    ///
    /// # Panics
    /// If there is less room than the length.
    pub fn take_within<E: Element>(&self, length: usize, room: usize) -> Buffer<E> {
        assert!(length <= room, "{length} elements need more than {room}");
        let lines = lines_for::<E>(room);
        let mut free = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // The most recently used one is the likeliest to be in cache.
        let found = free.iter().rposition(|buffer| buffer.len() == lines);
        let lines = match found {
            Some(index) => free.remove(index),
            None => zeroed_lines(lines),
        };
        Buffer {
            lines,
            length,
            pool: self.clone(),
            element: PhantomData,
        }
    }

    /// Bytes of unused memory: of all, when every buffer has returned.
    pub fn unused_bytes(&self) -> usize {
        let free = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        free.iter().map(|lines| size_of_val(&lines[..])).sum()
    }

    /// Gives unused memory back to the system.
    pub fn clear(&self) {
        let mut free = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        free.clear();
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        write!(formatter, "BufferPool({} free)", free.len())
    }
}

impl<E> Drop for Buffer<E> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut free = self
            .pool
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        free.push(lines);
    }
}

impl<E: Element> Deref for Buffer<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        numbers(&self.lines, self.length)
    }
}

impl<E: Element> DerefMut for Buffer<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        numbers_mut(&mut self.lines, self.length)
    }
}

impl<E> fmt::Debug for Buffer<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} elements)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::LINE;

    #[test]
    fn buffers_are_aligned_and_used_again() {
        let pool = BufferPool::default();
        let mut buffer: Buffer<f32> = pool.take(33);
        assert_eq!((buffer.len(), buffer.as_ptr() as usize % LINE), (33, 0));
        buffer.fill(2.5);
        let address = buffer.as_ptr() as usize;
        drop(buffer);
        let other: Buffer<f32> = pool.take(100);
        assert_ne!(other.as_ptr() as usize, address);
        let again: Buffer<half::bf16> = pool.take(80);
        assert_eq!((again.len(), again.as_ptr() as usize), (80, address));
        assert_eq!(pool.unused_bytes(), 0);
        drop(again);
        let within: Buffer<f32> = pool.take_within(3, 40);
        assert_eq!((within.len(), within.as_ptr() as usize), (3, address));
        drop((other, within));
        assert_eq!(pool.unused_bytes(), (7 + 3) * LINE);
        pool.clear();
        assert_eq!(pool.unused_bytes(), 0);
    }
}
