//! Working memory that a thread keeps between calls, aligned to cache lines.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Numbers in a cache line.
const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([f32; LINE]);

thread_local! {
    static POOL: RefCell<Vec<Vec<CacheLine>>> = const { RefCell::new(Vec::new()) };
}

/// A slice of `f32` that begins at a cache line and returns to its thread's pool when dropped.
///
/// The pool only grows to the number and sizes of the buffers in use at once, which are bounded by
/// the size of one block of work and of one layer's weights.
pub(crate) struct Scratch {
    lines: Vec<CacheLine>,
    length: usize,
}

impl Scratch {
    /// `length` numbers with unspecified contents: what an earlier use left there, or zero.
    pub(crate) fn uninitialised(length: usize) -> Self {
        let mut lines = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
        if lines.len() < length.div_ceil(LINE) {
            lines.resize(length.div_ceil(LINE), CacheLine([0.0; LINE]));
        }
        Self { lines, length }
    }

    /// `length` zeros.
    pub(crate) fn zeroed(length: usize) -> Self {
        let mut scratch = Self::uninitialised(length);
        scratch.fill(0.0);
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        // The pool is gone when the thread is ending; the buffer is then simply freed.
        let _ = POOL.try_with(|pool| pool.borrow_mut().push(lines));
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let pointer = self.lines.as_ptr().cast::<f32>();
        // SAFETY: `CacheLine` is exactly LINE initialised f32 without padding, and `length` fits in
        // the lines.
        unsafe { std::slice::from_raw_parts(pointer, self.length) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        let pointer = self.lines.as_mut_ptr().cast::<f32>();
        // SAFETY: `CacheLine` is exactly LINE initialised f32 without padding, and `length` fits in
        // the lines.
        unsafe { std::slice::from_raw_parts_mut(pointer, self.length) }
    }
}
