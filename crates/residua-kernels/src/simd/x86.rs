//! AVX-512F, alone and with the BF16 dot product, and AVX2 with FMA.
//!
//! The tokens have a private field and are only made by `detect`, so a value proves that the
//! instructions exist.

use std::arch::x86_64::*;

use half::bf16;

use super::{Kernel, Simd};

/// AVX-512: 32 registers of 16 lanes; with or without AVX512_BF16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512Set<const BF16: bool>(());

/// AVX-512 Foundation alone.
pub(crate) type Avx512 = Avx512Set<false>;

/// AVX-512 with dot products of bfloat16 pairs.
pub(crate) type Avx512Bf16 = Avx512Set<true>;

/// AVX2 and FMA: 16 registers of 8 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl<const BF16: bool> Avx512Set<BF16> {
    /// The token, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        // AVX2 and FMA come with AVX-512F on every processor; asking lets plain loops use them too.
        let foundation = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        let present = foundation && (!BF16 || is_x86_feature_detected!("avx512bf16"));
        present.then_some(Self(()))
    }

    /// Runs `kernel` with the instructions enabled.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn foundation<K: Kernel, const BF16: bool>(token: Avx512Set<BF16>, kernel: K) -> K::Output {
            kernel.run(token)
        }
        #[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
        fn with_bf16<K: Kernel, const BF16: bool>(token: Avx512Set<BF16>, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            if BF16 {
                with_bf16(self, kernel)
            } else {
                foundation(self, kernel)
            }
        }
    }

    /// Words whose upper halves are the numbers, rounded to bfloat16.
    #[inline(always)]
    fn rounded_bits(self, vector: __m512) -> __m512i {
        // Half a unit is added, one less where the kept part is even; a number that is not one
        // keeps its upper half, with a bit set that keeps it from becoming infinite.
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let bits = _mm512_castps_si512(vector);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(vector, vector);
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
            _mm512_mask_mov_epi32(_mm512_add_epi32(bits, half), nan, quiet)
        }
    }

    /// The numbers in bfloat16.
    #[inline(always)]
    fn rounded(self, vector: __m512) -> __m256i {
        // SAFETY: the token proves that the machine has the instructions; the types have the same
        // bits.
        unsafe {
            if BF16 {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(vector))
            } else {
                _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(self.rounded_bits(vector)))
            }
        }
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

impl<const BF16: bool> Simd for Avx512Set<BF16> {
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
    fn add(self, left: __m512, right: __m512) -> __m512 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm512_add_ps(left, right) }
    }

    #[inline(always)]
    fn subtract(self, left: __m512, right: __m512) -> __m512 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm512_sub_ps(left, right) }
    }

    #[inline(always)]
    fn multiply(self, left: __m512, right: __m512) -> __m512 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm512_mul_ps(left, right) }
    }

    #[inline(always)]
    fn rectify(self, value: __m512) -> __m512 {
        // The instruction returns its second operand when one is not a number.
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), value) }
    }

    #[inline(always)]
    fn where_positive(self, condition: __m512, value: __m512) -> __m512 {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let mask = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(condition, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(mask, value)
        }
    }

    #[inline(always)]
    fn splat_word(self, word: u32) -> __m512 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm512_castsi512_ps(_mm512_set1_epi32(word as i32)) }
    }

    #[inline(always)]
    fn dot_bf16(self, left: __m512, right: __m512, addend: __m512) -> __m512 {
        if BF16 {
            // SAFETY: the token proves that the machine has the instruction; both types are 512
            // bits without invalid values.
            unsafe {
                let left = std::mem::transmute::<__m512, __m512bh>(left);
                let right = std::mem::transmute::<__m512, __m512bh>(right);
                return _mm512_dpbf16_ps(addend, left, right);
            }
        }
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let (left, right) = (_mm512_castps_si512(left), _mm512_castps_si512(right));
            let left_low = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(left));
            let right_low = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(right));
            let left_high = _mm512_castsi512_ps(_mm512_and_si512(left, high));
            let right_high = _mm512_castsi512_ps(_mm512_and_si512(right, high));
            let sum = _mm512_fmadd_ps(left_low, right_low, addend);
            _mm512_fmadd_ps(left_high, right_high, sum)
        }
    }

    #[inline(always)]
    fn pair_bf16(self, first: __m512, second: __m512) -> __m512 {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let [first, second] = if BF16 {
                let first = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(first));
                let second = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(second));
                let second = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(second));
                [_mm512_cvtepu16_epi32(first), second]
            } else {
                let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
                let second = _mm512_and_si512(self.rounded_bits(second), high);
                [_mm512_srli_epi32::<16>(self.rounded_bits(first)), second]
            };
            _mm512_castsi512_ps(_mm512_or_si512(first, second))
        }
    }

    #[inline(always)]
    fn join_bf16(self, first: __m512, second: __m512) -> __m512 {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let second = _mm512_and_si512(_mm512_castps_si512(second), high);
            let first = _mm512_srli_epi32::<16>(_mm512_castps_si512(first));
            _mm512_castsi512_ps(_mm512_or_si512(first, second))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, source: *const bf16) -> __m512 {
        // SAFETY: the token proves the instructions, the caller promises LANES readable numbers.
        unsafe {
            let numbers = _mm512_cvtepu16_epi32(_mm256_loadu_si256(source.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(numbers))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, target: *mut bf16, vector: __m512) {
        // SAFETY: the token proves the instruction, the caller promises LANES writable numbers.
        unsafe { _mm256_storeu_si256(target.cast(), self.rounded(vector)) }
    }

    #[inline(always)]
    unsafe fn stream(self, target: *mut f32, vector: __m512) {
        // SAFETY: the token proves the instruction, the caller promises LANES writable numbers,
        // aligned.
        unsafe { _mm512_stream_ps(target, vector) }
    }

    #[inline(always)]
    fn end_streams(self) {
        // SAFETY: SSE is part of x86-64.
        unsafe { _mm_sfence() }
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

    /// As for AVX-512.
    #[inline(always)]
    fn rounded_bits(self, vector: __m256) -> __m256i {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let bits = _mm256_castps_si256(vector);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(vector, vector));
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
            _mm256_blendv_epi8(_mm256_add_epi32(bits, half), quiet, nan)
        }
    }

    /// The numbers in bfloat16.
    #[inline(always)]
    fn rounded(self, vector: __m256) -> __m128i {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            // The packing instruction works within halves, which are then joined.
            let upper = _mm256_srli_epi32::<16>(self.rounded_bits(vector));
            let packed = _mm256_packus_epi32(upper, upper);
            _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(packed))
        }
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
    fn add(self, left: __m256, right: __m256) -> __m256 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm256_add_ps(left, right) }
    }

    #[inline(always)]
    fn subtract(self, left: __m256, right: __m256) -> __m256 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm256_sub_ps(left, right) }
    }

    #[inline(always)]
    fn multiply(self, left: __m256, right: __m256) -> __m256 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm256_mul_ps(left, right) }
    }

    #[inline(always)]
    fn rectify(self, value: __m256) -> __m256 {
        // The instruction returns its second operand when one is not a number.
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm256_max_ps(_mm256_setzero_ps(), value) }
    }

    #[inline(always)]
    fn where_positive(self, condition: __m256, value: __m256) -> __m256 {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let mask = _mm256_cmp_ps::<_CMP_GT_OQ>(condition, _mm256_setzero_ps());
            _mm256_and_ps(mask, value)
        }
    }

    #[inline(always)]
    fn splat_word(self, word: u32) -> __m256 {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { _mm256_castsi256_ps(_mm256_set1_epi32(word as i32)) }
    }

    #[inline(always)]
    fn dot_bf16(self, left: __m256, right: __m256, addend: __m256) -> __m256 {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let (left, right) = (_mm256_castps_si256(left), _mm256_castps_si256(right));
            let left_low = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(left));
            let right_low = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(right));
            let left_high = _mm256_castsi256_ps(_mm256_and_si256(left, high));
            let right_high = _mm256_castsi256_ps(_mm256_and_si256(right, high));
            let sum = _mm256_fmadd_ps(left_low, right_low, addend);
            _mm256_fmadd_ps(left_high, right_high, sum)
        }
    }

    #[inline(always)]
    fn pair_bf16(self, first: __m256, second: __m256) -> __m256 {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let second = _mm256_and_si256(self.rounded_bits(second), high);
            let first = _mm256_srli_epi32::<16>(self.rounded_bits(first));
            _mm256_castsi256_ps(_mm256_or_si256(second, first))
        }
    }

    #[inline(always)]
    fn join_bf16(self, first: __m256, second: __m256) -> __m256 {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe {
            let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let second = _mm256_and_si256(_mm256_castps_si256(second), high);
            let first = _mm256_srli_epi32::<16>(_mm256_castps_si256(first));
            _mm256_castsi256_ps(_mm256_or_si256(first, second))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, source: *const bf16) -> __m256 {
        // SAFETY: the token proves the instructions, the caller promises LANES readable numbers.
        unsafe {
            let numbers = _mm256_cvtepu16_epi32(_mm_loadu_si128(source.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(numbers))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, target: *mut bf16, vector: __m256) {
        // SAFETY: the token proves the instruction, the caller promises LANES writable numbers.
        unsafe { _mm_storeu_si128(target.cast(), self.rounded(vector)) }
    }

    #[inline(always)]
    unsafe fn stream(self, target: *mut f32, vector: __m256) {
        // SAFETY: the token proves the instruction, the caller promises LANES writable numbers,
        // aligned.
        unsafe { _mm256_stream_ps(target, vector) }
    }

    #[inline(always)]
    fn end_streams(self) {
        // SAFETY: SSE is part of x86-64.
        unsafe { _mm_sfence() }
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
