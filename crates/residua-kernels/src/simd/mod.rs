//! A vector of `f32` whose width is that of the machine, so that each kernel is written once.
//!
//! A [`Kernel`] is generic over [`Simd`]; `InstructionSet::run` instantiates it inside a function
//! that enables the instructions. Everything that a kernel calls in its inner loops must be
//! `#[inline(always)]`, otherwise it is compiled without them; a closure that is called in two places
//! may not be inlined, so it must not use vectors. That includes plain loops: inside a
//! kernel the compiler vectorises them for the set at hand, which is all that memory-bound
//! operations need.

use half::bf16;

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Avx512Bf16};

/// Work that is compiled once for each instruction set.
pub(crate) trait Kernel {
    /// What the work returns.
    type Output;

    /// Does the work; implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Vector instructions. A value of the type proves that the machine has them.
pub(crate) trait Simd: Copy + Send + Sync {
    /// [`Self::LANES`] numbers.
    type Vector: Copy;

    /// Numbers in a vector.
    const LANES: usize;

    /// Vectors of output channels in the widest register tile.
    const PANEL_VECTORS: usize;

    /// The sum of accumulators that a register tile may hold, which leaves room for its operands.
    const ACCUMULATORS: usize;

    /// All lanes equal to `value`.
    fn splat(self, value: f32) -> Self::Vector;

    /// `left * right + addend`, lane by lane, fused where the machine can.
    fn mul_add(self, left: Self::Vector, right: Self::Vector, addend: Self::Vector)
    -> Self::Vector;

    /// `left + right`.
    fn add(self, left: Self::Vector, right: Self::Vector) -> Self::Vector;

    /// `left - right`.
    fn subtract(self, left: Self::Vector, right: Self::Vector) -> Self::Vector;

    /// `left * right`.
    fn multiply(self, left: Self::Vector, right: Self::Vector) -> Self::Vector;

    /// `max(value, 0)`; what is not a number stays so, that a diverged training can be noticed.
    fn rectify(self, value: Self::Vector) -> Self::Vector;

    /// `value` where `condition` is above zero, and zero elsewhere.
    fn where_positive(self, condition: Self::Vector, value: Self::Vector) -> Self::Vector;

    /// All lanes hold the bits of `word`.
    fn splat_word(self, word: u32) -> Self::Vector;

    /// `addend` plus the products of the two bfloat16 numbers in each word of `left` and `right`,
    /// summed in `f32`.
    fn dot_bf16(
        self,
        left: Self::Vector,
        right: Self::Vector,
        addend: Self::Vector,
    ) -> Self::Vector;

    /// Words whose first bfloat16 number (in the lower half) is that of `first` and whose second is
    /// that of `second`, rounded to nearest even.
    fn pair_bf16(self, first: Self::Vector, second: Self::Vector) -> Self::Vector;

    /// The same of vectors whose numbers are bfloat16 already.
    fn join_bf16(self, first: Self::Vector, second: Self::Vector) -> Self::Vector;

    /// Hints that the cache line at `address`, which need not exist, will be needed soon.
    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint for any address; SSE is part of x86-64.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// Reads [`Self::LANES`] numbers and widens them.
    ///
    /// # Safety
    /// `source` must be readable for that many numbers.
    unsafe fn load_bf16(self, source: *const bf16) -> Self::Vector;

    /// Rounds to nearest even and writes [`Self::LANES`] numbers.
    ///
    /// # Safety
    /// `target` must be writable for that many numbers.
    unsafe fn store_bf16(self, target: *mut bf16, vector: Self::Vector);

    /// Reads [`Self::LANES`] numbers.
    ///
    /// # Safety
    /// `source` must be readable for that many numbers.
    unsafe fn load(self, source: *const f32) -> Self::Vector;

    /// Writes [`Self::LANES`] numbers.
    ///
    /// # Safety
    /// `target` must be writable for that many numbers.
    unsafe fn store(self, target: *mut f32, vector: Self::Vector);

    /// Like [`Self::store`], but past the caches where the machine can, for memory that is not read
    /// again soon. All vectors of a line of the caches have to follow each other.
    ///
    /// # Safety
    /// `target` must be writable for [`Self::LANES`] numbers and aligned to all of them. Before the
    /// memory is accessed again, by whatever thread, this one must call [`Self::end_streams`].
    #[inline(always)]
    unsafe fn stream(self, target: *mut f32, vector: Self::Vector) {
        // SAFETY: the caller's promise.
        unsafe { self.store(target, vector) }
    }

    /// Orders what was streamed before all later stores.
    #[inline(always)]
    fn end_streams(self) {}

    /// Reads the first `count` lanes, at most [`Self::LANES`]; the others are zero.
    ///
    /// # Safety
    /// `source` must be readable for `count` numbers.
    unsafe fn load_first(self, count: usize, source: *const f32) -> Self::Vector;

    /// Writes the first `count` lanes, at most [`Self::LANES`].
    ///
    /// # Safety
    /// `target` must be writable for `count` numbers.
    unsafe fn store_first(self, count: usize, target: *mut f32, vector: Self::Vector);
}

#[cfg(test)]
mod tests;
