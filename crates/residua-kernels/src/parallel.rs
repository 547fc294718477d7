//! Writing to one slice from many threads.

use std::marker::PhantomData;

/// A mutable slice that several threads write to, each its own elements.
///
/// Needed where one task's elements are not contiguous (a range of channels of every pixel), which
/// `par_chunks_mut` cannot express.
pub(crate) struct DisjointWriter<'a> {
    pointer: *mut f32,
    length: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer comes from an exclusive borrow that lives as long as the writer, and it is
// only dereferenced through `at`, whose callers promise that no two threads touch the same element.
unsafe impl Send for DisjointWriter<'_> {}
// SAFETY: as above.
unsafe impl Sync for DisjointWriter<'_> {}

impl<'a> DisjointWriter<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
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
    pub(crate) unsafe fn at(&self, offset: usize, count: usize) -> *mut f32 {
        assert!(
            offset <= self.length && count <= self.length - offset,
            "write outside of the slice"
        );
        // SAFETY: just checked to be within the slice or one past its end.
        unsafe { self.pointer.add(offset) }
    }
}
