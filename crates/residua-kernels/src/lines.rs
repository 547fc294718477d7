//! Memory in cache lines, of which scratch space and buffers are made.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

use half::bf16;

/// Bytes in a cache line.
pub(crate) const LINE: usize = 64;

/// A cache line's bytes.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct CacheLine([u8; LINE]);

/// A number that any bits are a value of, so that memory can change its type.
///
/// # Safety
/// Every bit pattern must be valid, without padding, and the size must divide a cache line.
pub(crate) unsafe trait Plain: Copy + Default + 'static {
    /// What unspecified contents are in builds that check: nothing that is computed from it looks
    /// right.
    const POISON: Self;
}

// SAFETY: every pattern of the 4 bytes is a number.
unsafe impl Plain for f32 {
    const POISON: Self = f32::NAN;
}
// SAFETY: every pattern of the 2 bytes is a number.
unsafe impl Plain for bf16 {
    const POISON: Self = bf16::NAN;
}

/// Lines that hold `length` numbers.
pub(crate) fn lines_for<T: Plain>(length: usize) -> usize {
    (length * size_of::<T>()).div_ceil(LINE)
}

/// So many lines of zeros. The system clears them when they are touched, and what is never touched
/// takes no memory; a vector's own constructor would write them all.
pub(crate) fn zeroed_lines(count: usize) -> Vec<CacheLine> {
    if count == 0 {
        return Vec::new();
    }
    let layout = Layout::array::<CacheLine>(count).expect("sizes were checked with the geometry");
    // SAFETY: the layout is not empty; zero bytes are valid lines; the vector gets memory of the
    // global allocator with the layout of its own capacity.
    unsafe {
        let pointer = alloc_zeroed(layout).cast::<CacheLine>();
        if pointer.is_null() {
            handle_alloc_error(layout);
        }
        Vec::from_raw_parts(pointer, count, count)
    }
}

/// The first `length` numbers of the lines.
///
/// # Panics
/// If there are fewer.
pub(crate) fn numbers<T: Plain>(lines: &[CacheLine], length: usize) -> &[T] {
    assert!(
        lines_for::<T>(length) <= lines.len(),
        "numbers beyond the lines"
    );
    // SAFETY: the lines are initialised bytes, of which `Plain` makes numbers, aligned for any of
    // them; the length was just checked.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), length) }
}

/// The first `length` numbers of the lines.
///
/// # Panics
/// If there are fewer.
pub(crate) fn numbers_mut<T: Plain>(lines: &mut [CacheLine], length: usize) -> &mut [T] {
    assert!(
        lines_for::<T>(length) <= lines.len(),
        "numbers beyond the lines"
    );
    // SAFETY: as above; numbers have no padding, so the bytes stay initialised.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), length) }
}
