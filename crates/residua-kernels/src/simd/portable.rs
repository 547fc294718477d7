//! Four lanes in plain Rust: SSE2 on x86-64 and NEON on AArch64, where the compiler finds the
//! vectors itself.

use half::bf16;

use super::Simd;

/// The instructions that every machine of the target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

const LANES: usize = 4;

/// Fused only where that is one instruction: elsewhere the fused form is a slow library call.
#[inline(always)]
fn scalar_mul_add(left: f32, right: f32, addend: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        left.mul_add(right, addend)
    } else {
        left * right + addend
    }
}

impl Simd for Portable {
    type Vector = [f32; LANES];

    const LANES: usize = LANES;
    const PANEL_VECTORS: usize = 2;
    const ACCUMULATORS: usize = 12;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; LANES]
    }

    #[inline(always)]
    fn mul_add(
        self,
        left: Self::Vector,
        right: Self::Vector,
        addend: Self::Vector,
    ) -> Self::Vector {
        [
            scalar_mul_add(left[0], right[0], addend[0]),
            scalar_mul_add(left[1], right[1], addend[1]),
            scalar_mul_add(left[2], right[2], addend[2]),
            scalar_mul_add(left[3], right[3], addend[3]),
        ]
    }

    #[inline(always)]
    fn add(self, left: Self::Vector, right: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| left[lane] + right[lane])
    }

    #[inline(always)]
    fn subtract(self, left: Self::Vector, right: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| left[lane] - right[lane])
    }

    #[inline(always)]
    fn multiply(self, left: Self::Vector, right: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| left[lane] * right[lane])
    }

    #[inline(always)]
    fn rectify(self, value: Self::Vector) -> Self::Vector {
        value.map(|number| if number < 0.0 { 0.0 } else { number })
    }

    #[inline(always)]
    fn where_positive(self, condition: Self::Vector, value: Self::Vector) -> Self::Vector {
        let lane = |lane: usize| {
            if condition[lane] > 0.0 {
                value[lane]
            } else {
                0.0
            }
        };
        std::array::from_fn(lane)
    }

    #[inline(always)]
    fn splat_word(self, word: u32) -> Self::Vector {
        [f32::from_bits(word); LANES]
    }

    #[inline(always)]
    fn dot_bf16(
        self,
        left: Self::Vector,
        right: Self::Vector,
        addend: Self::Vector,
    ) -> Self::Vector {
        let low = |word: f32| f32::from_bits(word.to_bits() << 16);
        let high = |word: f32| f32::from_bits(word.to_bits() & 0xffff_0000);
        let sum = self.mul_add(left.map(low), right.map(low), addend);
        self.mul_add(left.map(high), right.map(high), sum)
    }

    #[inline(always)]
    unsafe fn load_bf16(self, source: *const bf16) -> Self::Vector {
        // SAFETY: the caller promises LANES readable numbers.
        unsafe { source.cast::<[bf16; LANES]>().read() }.map(bf16::to_f32)
    }

    #[inline(always)]
    unsafe fn store_bf16(self, target: *mut bf16, vector: Self::Vector) {
        let rounded = vector.map(bf16::from_f32);
        // SAFETY: the caller promises LANES writable numbers.
        unsafe { target.cast::<[bf16; LANES]>().write(rounded) }
    }

    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> Self::Vector {
        // SAFETY: the caller promises LANES readable numbers; arrays of f32 need no more alignment
        // than f32.
        unsafe { source.cast::<Self::Vector>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32, vector: Self::Vector) {
        // SAFETY: the caller promises LANES writable numbers; arrays of f32 need no more alignment
        // than f32.
        unsafe { target.cast::<Self::Vector>().write(vector) }
    }

    #[inline(always)]
    unsafe fn load_first(self, count: usize, source: *const f32) -> Self::Vector {
        let mut vector = [0.0; LANES];
        for (lane, value) in vector.iter_mut().enumerate().take(count) {
            // SAFETY: the caller promises `count` readable numbers.
            *value = unsafe { *source.add(lane) };
        }
        vector
    }

    #[inline(always)]
    unsafe fn store_first(self, count: usize, target: *mut f32, vector: Self::Vector) {
        for (lane, value) in vector.iter().enumerate().take(count) {
            // SAFETY: the caller promises `count` writable numbers.
            unsafe { *target.add(lane) = *value };
        }
    }

    #[inline(always)]
    fn prefetch(self, _address: *const f32) {}
}
