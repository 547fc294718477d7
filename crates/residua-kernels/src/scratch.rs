//! Working memory that a thread keeps between calls, aligned to cache lines.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use half::bf16;

/// Bytes in a cache line.
const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([u8; LINE]);

thread_local! {
    static POOL: RefCell<Vec<Vec<CacheLine>>> = const { RefCell::new(Vec::new()) };
}

/// A number that any bits are a value of, so that memory can change its type.
///
/// # Safety
/// Every bit pattern must be valid, without padding, and the size must divide a cache line.
pub unsafe trait Plain: Copy + Default + 'static {}

// SAFETY: every pattern of the 4 bytes is a number.
unsafe impl Plain for f32 {}
// SAFETY: every pattern of the 2 bytes is a number.
unsafe impl Plain for bf16 {}

/// A slice of numbers that begins at a cache line and returns to its thread's pool when dropped.
///
/// The pool only grows to the number and sizes of the buffers in use at once, which are bounded by
/// the size of one block of work and of one layer's weights.
pub(crate) struct Scratch<T: Plain = f32> {
    lines: Vec<CacheLine>,
    length: usize,
    number: PhantomData<T>,
}

impl<T: Plain> Scratch<T> {
    /// `length` numbers with unspecified contents: what an earlier use left there, or zero.
    pub(crate) fn uninitialised(length: usize) -> Self {
        let mut lines = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
        let needed = (length * size_of::<T>()).div_ceil(LINE);
        if lines.len() < needed {
            lines.resize(needed, CacheLine([0; LINE]));
        }
        Self {
            lines,
            length,
            number: PhantomData,
        }
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
        // The pool is gone when the thread is ending; the buffer is then simply freed.
        let _ = POOL.try_with(|pool| pool.borrow_mut().push(lines));
    }
}

impl<T: Plain> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let pointer = self.lines.as_ptr().cast::<T>();
        // SAFETY: the lines are initialised bytes, of which `Plain` makes numbers, aligned for any
        // of them, and `length` fits in the lines.
        unsafe { std::slice::from_raw_parts(pointer, self.length) }
    }
}

impl<T: Plain> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let pointer = self.lines.as_mut_ptr().cast::<T>();
        // SAFETY: as above; numbers have no padding, so the bytes stay initialised.
        unsafe { std::slice::from_raw_parts_mut(pointer, self.length) }
    }
}
