//! Writing to one slice from many threads.

use std::marker::PhantomData;

/// A mutable slice that several threads write to, each its own elements.
///
/// Needed where one task's elements are not contiguous (a range of channels of every pixel), which
/// `par_chunks_mut` cannot express.
pub(crate) struct DisjointWriter<'a, T = f32> {
    pointer: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer comes from an exclusive borrow that lives as long as the writer, and it is
// only dereferenced through `at`, whose callers promise that no two threads touch the same element.
unsafe impl<T: Send> Send for DisjointWriter<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for DisjointWriter<'_, T> {}

impl<'a, T> DisjointWriter<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self {
            pointer: slice.as_mut_ptr(),
            length: slice.len(),
            slice: PhantomData,
        }
    }

    /// The address of element `offset`, from which `count` elements lie within the slice.
    ///
    /// # Panics
    /// If they do not.
    ///
    /// # Safety
    /// While the pointer is in use no other thread may access the elements that are accessed
    /// through it.
    pub(crate) unsafe fn at(&self, offset: usize, count: usize) -> *mut T {
        assert!(
            offset <= self.length && count <= self.length - offset,
            "write outside of the slice"
        );
        // SAFETY: just checked to be within the slice or one past its end.
        unsafe { self.pointer.add(offset) }
    }

    /// Elements `offset` to `offset + count`.
    ///
    /// # Panics
    /// If they are not within the slice.
    ///
    /// # Safety
    /// While the result is in use no other thread may access these elements.
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller promises that nobody else has these"
    )]
    pub(crate) unsafe fn slice(&self, offset: usize, count: usize) -> &mut [T] {
        // SAFETY: `at` checks that the elements are within the slice, which is borrowed exclusively
        // as long as the writer lives; the caller promises that no two results overlap.
        unsafe { std::slice::from_raw_parts_mut(self.at(offset, count), count) }
    }
}
