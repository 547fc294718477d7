//! A vector of `f32` whose width is that of the machine, so that each kernel is written once.
//!
//! A [`Kernel`] is generic over [`Simd`]; `InstructionSet::run` instantiates it inside a function
//! that enables the instructions. Everything that a kernel calls in its inner loops must be
//! `#[inline(always)]`, otherwise it is compiled without them. That includes plain loops: inside a
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

    /// Asks for the cache line of an address in the second-level cache; any address is allowed.
    fn prefetch(self, address: *const f32);
}
