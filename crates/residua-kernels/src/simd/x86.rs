//! AVX-512F and AVX2 with FMA.
//!
//! The tokens have a private field and are only made by `detect`, so a value proves that the
//! instructions exist.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// AVX-512 Foundation: 32 registers of 16 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(());

/// AVX2 and FMA: 16 registers of 8 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx512 {
    /// The token, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        // AVX2 and FMA come with AVX-512F on every processor; asking lets plain loops use them too.
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        present.then_some(Self(()))
    }

    /// Runs `kernel` with the instructions enabled.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn enabled<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: the token proves that the machine has the instructions.
        unsafe { enabled(self, kernel) }
    }
}

impl Avx2 {
    /// The token, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        present.then_some(Self(()))
    }

    /// Runs `kernel` with the instructions enabled.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn enabled<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: the token proves that the machine has the instructions.
        unsafe { enabled(self, kernel) }
    }
}

impl Simd for Avx512 {
    type Vector = __m512;

    const LANES: usize = 16;
    const PANEL_VECTORS: usize = 4;
    const ACCUMULATORS: usize = 24;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn mul_add(self, left: __m512, right: __m512, addend: __m512) -> __m512 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm512_fmadd_ps(left, right, addend) }
    }

    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m512 {
        // SAFETY: the token proves the instruction, the caller promises LANES readable numbers.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32, vector: __m512) {
        // SAFETY: the token proves the instruction, the caller promises LANES writable numbers.
        unsafe { _mm512_storeu_ps(target, vector) }
    }

    #[inline(always)]
    unsafe fn load_first(self, count: usize, source: *const f32) -> __m512 {
        let mask = ((1u32 << count) - 1) as __mmask16;
        // SAFETY: the token proves the instruction; masked lanes are not accessed, the others are
        // readable.
        unsafe { _mm512_maskz_loadu_ps(mask, source) }
    }

    #[inline(always)]
    unsafe fn store_first(self, count: usize, target: *mut f32, vector: __m512) {
        let mask = ((1u32 << count) - 1) as __mmask16;
        // SAFETY: the token proves the instruction; masked lanes are not accessed, the others are
        // writable.
        unsafe { _mm512_mask_storeu_ps(target, mask, vector) }
    }
}

/// A window of eight words at offset `8 - count` has its first `count` words set.
const AVX2_MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Avx2 {
    #[inline(always)]
    fn mask(self, count: usize) -> __m256i {
        let window = &AVX2_MASKS[8 - count..16 - count];
        // SAFETY: the token proves the instruction; the window has eight words.
        unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
    }
}

impl Simd for Avx2 {
    type Vector = __m256;

    const LANES: usize = 8;
    const PANEL_VECTORS: usize = 2;
    const ACCUMULATORS: usize = 12;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn mul_add(self, left: __m256, right: __m256, addend: __m256) -> __m256 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm256_fmadd_ps(left, right, addend) }
    }

    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m256 {
        // SAFETY: the token proves the instruction, the caller promises LANES readable numbers.
        unsafe { _mm256_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32, vector: __m256) {
        // SAFETY: the token proves the instruction, the caller promises LANES writable numbers.
        unsafe { _mm256_storeu_ps(target, vector) }
    }

    #[inline(always)]
    unsafe fn load_first(self, count: usize, source: *const f32) -> __m256 {
        // SAFETY: the token proves the instruction; masked lanes are not accessed, the others are
        // readable.
        unsafe { _mm256_maskload_ps(source, self.mask(count)) }
    }

    #[inline(always)]
    unsafe fn store_first(self, count: usize, target: *mut f32, vector: __m256) {
        // SAFETY: the token proves the instruction; masked lanes are not accessed, the others are
        // writable.
        unsafe { _mm256_maskstore_ps(target, self.mask(count), vector) }
    }
}
