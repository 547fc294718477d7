//! The formats in which feature maps are stored.

use half::bf16;

use crate::lines::Plain;
use crate::simd::Simd;

/// A number of a feature map: `f32`, or `bf16` with half its memory.
///
/// Sums are always `f32`. Products are of `f32`, or of pairs of `bf16` that share a 32-bit *word*.
#[expect(private_bounds, reason = "only the two formats implement it")]
pub trait Element: VectorElement {}

impl Element for f32 {}
impl Element for bf16 {}

pub(crate) mod sealed {
    use super::*;

    /// What kernels need of an element; only the two formats have it.
    #[expect(unreachable_pub, reason = "a supertrait of a public trait")]
    pub trait Storage:
        Plain + Copy + Default + PartialEq + std::fmt::Debug + Send + Sync + 'static
    {
        /// Numbers in a word of 32 bits.
        const PER_WORD: usize;

        /// Rounds to nearest even.
        fn from_f32(number: f32) -> Self;

        /// Exact.
        fn to_f32(self) -> f32;
    }

    impl Storage for f32 {
        const PER_WORD: usize = 1;

        #[inline(always)]
        fn from_f32(number: f32) -> Self {
            number
        }

        #[inline(always)]
        fn to_f32(self) -> f32 {
            self
        }
    }

    impl Storage for bf16 {
        const PER_WORD: usize = 2;

        #[inline(always)]
        fn from_f32(number: f32) -> Self {
            bf16::from_f32(number)
        }

        #[inline(always)]
        fn to_f32(self) -> f32 {
            bf16::to_f32(self)
        }
    }
}

/// Vector access to elements.
pub(crate) trait VectorElement: sealed::Storage {
    /// Reads [`Simd::LANES`] numbers and widens them.
    ///
    /// # Safety
    /// `source` must be readable for that many numbers.
    unsafe fn load<S: Simd>(simd: S, source: *const Self) -> S::Vector;

    /// Rounds and writes [`Simd::LANES`] numbers.
    ///
    /// # Safety
    /// `target` must be writable for that many numbers.
    unsafe fn store<S: Simd>(simd: S, target: *mut Self, vector: S::Vector);

    /// Words of `first` and, where a word has two numbers, `second`, rounded to nearest even.
    fn words<S: Simd>(simd: S, first: S::Vector, second: S::Vector) -> S::Vector;

    /// The same of numbers that were read from such elements, so that nothing needs rounding.
    #[inline(always)]
    fn exact_words<S: Simd>(simd: S, first: S::Vector, second: S::Vector) -> S::Vector {
        if Self::PER_WORD == 2 {
            simd.join_bf16(first, second)
        } else {
            Self::words(simd, first, second)
        }
    }

    /// `addend` plus the products of the numbers in the words of `left`, perhaps one word that was
    /// broadcast, and `right`.
    fn multiply_words<S: Simd>(
        simd: S,
        left: S::Vector,
        right: S::Vector,
        addend: S::Vector,
    ) -> S::Vector;
}

impl VectorElement for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, source: *const Self) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { simd.load(source) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, target: *mut Self, vector: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe { simd.store(target, vector) }
    }

    #[inline(always)]
    fn words<S: Simd>(_: S, first: S::Vector, _: S::Vector) -> S::Vector {
        first
    }

    #[inline(always)]
    fn multiply_words<S: Simd>(
        simd: S,
        left: S::Vector,
        right: S::Vector,
        addend: S::Vector,
    ) -> S::Vector {
        simd.mul_add(left, right, addend)
    }
}

impl VectorElement for bf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, source: *const Self) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { simd.load_bf16(source) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, target: *mut Self, vector: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe { simd.store_bf16(target, vector) }
    }

    #[inline(always)]
    fn words<S: Simd>(simd: S, first: S::Vector, second: S::Vector) -> S::Vector {
        simd.pair_bf16(first, second)
    }

    #[inline(always)]
    fn multiply_words<S: Simd>(
        simd: S,
        left: S::Vector,
        right: S::Vector,
        addend: S::Vector,
    ) -> S::Vector {
        // The instruction can broadcast its second operand from memory.
        simd.dot_bf16(right, left, addend)
    }
}

/// Rounds the numbers of `source` to those of `target`, as many as both have.
#[inline(always)]
pub(crate) fn copy_numbers<S: Simd, P: VectorElement, E: VectorElement>(
    simd: S,
    source: &[P],
    target: &mut [E],
) {
    let length = source.len().min(target.len());
    let in_vectors = length - length % S::LANES;
    for index in (0..in_vectors).step_by(S::LANES) {
        // SAFETY: the vector lies within both slices.
        unsafe {
            let numbers = P::load(simd, source.as_ptr().add(index));
            E::store(simd, target.as_mut_ptr().add(index), numbers);
        }
    }
    for index in in_vectors..length {
        target[index] = E::from_f32(source[index].to_f32());
    }
}
