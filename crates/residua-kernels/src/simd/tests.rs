//! Every operation of every instruction set against plain arithmetic.

use half::bf16;

use super::{Kernel, Simd};
use crate::InstructionSet;

/// Numbers that test rounding: ties to both sides, neighbours of ties, limits, subnormals, and what
/// is not a finite number.
fn delicate_numbers() -> Vec<f32> {
    let mut bits = vec![
        0x0000_0000,
        0x8000_0000,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0000,
        0xffc0_1234,
        // Only the lower half says that these are not infinities.
        0x7f80_0001,
        0xff80_7fff,
        0x7fff_ffff,
        // The largest finite number becomes infinite, the one below the tie does not.
        0x7f7f_ffff,
        0x7f7f_8000,
        0x7f7f_7fff,
        0x0000_0001,
        0x0000_8000,
        0x0000_8001,
        0x0001_8000,
        0x007f_ffff,
    ];
    for upper in [0x3f80_u32, 0x3f81, 0xbf80, 0xbf81, 0x4049, 0x00ff, 0x7f00] {
        for lower in [0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff] {
            bits.push(upper << 16 | lower);
        }
    }
    let mut state = 1u32;
    for _ in 0..256 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bits.push(state);
    }
    bits.into_iter().map(f32::from_bits).collect()
}

/// Rounding to nearest even from the definition: of the two neighbours the nearer, in f64.
fn rounded(number: f32) -> f32 {
    if !number.is_finite() {
        return number;
    }
    let below = number.to_bits() & 0xffff_0000;
    let above = below.wrapping_add(0x1_0000);
    let value = |bits: u32| match f32::from_bits(bits) {
        // The limit rounds as if the next power of two were a number.
        infinite if infinite.is_infinite() => f64::from(infinite.signum()) * 2.0f64.powi(128),
        finite => f64::from(finite),
    };
    let to_below = (f64::from(number) - value(below)).abs();
    let to_above = (f64::from(number) - value(above)).abs();
    let choose_below = to_below < to_above || (to_below == to_above && below & 0x1_0000 == 0);
    f32::from_bits(if choose_below { below } else { above })
}

fn assert_same(set: InstructionSet, operation: &str, actual: f32, expected: f32) {
    let same = actual.to_bits() == expected.to_bits() || (actual.is_nan() && expected.is_nan());
    assert!(same, "{set} {operation}: {actual:e} is not {expected:e}");
}

/// Applies an operation on two vectors to all numbers, vector by vector.
struct Apply<'a, O> {
    operation: O,
    left: &'a [f32],
    right: &'a [f32],
}

trait Operation {
    fn apply<S: Simd>(&self, simd: S, left: S::Vector, right: S::Vector) -> S::Vector;
}

impl<O: Operation> Kernel for Apply<'_, O> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        assert_eq!(self.left.len(), self.right.len());
        let mut results = vec![0.0; self.left.len()];
        let pieces = self
            .left
            .chunks(S::LANES)
            .zip(self.right.chunks(S::LANES))
            .zip(results.chunks_mut(S::LANES));
        for ((left, right), result) in pieces {
            let count = result.len();
            // SAFETY: each slice has `count` numbers.
            unsafe {
                let left = simd.load_first(count, left.as_ptr());
                let right = simd.load_first(count, right.as_ptr());
                let vector = self.operation.apply(simd, left, right);
                simd.store_first(count, result.as_mut_ptr(), vector);
            }
        }
        results
    }
}

fn apply(set: InstructionSet, operation: impl Operation, left: &[f32], right: &[f32]) -> Vec<f32> {
    set.run(Apply {
        operation,
        left,
        right,
    })
}

struct Round;
impl Operation for Round {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, left: S::Vector, _: S::Vector) -> S::Vector {
        let mut numbers = [bf16::ZERO; 16];
        assert!(S::LANES <= numbers.len());
        // SAFETY: the array has a vector's numbers.
        unsafe {
            simd.store_bf16(numbers.as_mut_ptr(), left);
            simd.load_bf16(numbers.as_ptr())
        }
    }
}

#[test]
fn storing_rounds_to_nearest_even_and_loading_is_exact() {
    let numbers = delicate_numbers();
    for set in InstructionSet::available() {
        let actual = apply(set, Round, &numbers, &numbers);
        for (&number, &actual) in numbers.iter().zip(&actual) {
            // The dot-product instructions' conversion takes subnormal numbers as zero.
            if !number.is_subnormal() {
                assert_same(
                    set,
                    &format!("rounding of {number:e}"),
                    actual,
                    rounded(number),
                );
            }
        }
    }
}

struct Widen<'a>(&'a [bf16]);
impl Kernel for Widen<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let mut results = vec![0.0; self.0.len()];
        for (numbers, result) in self
            .0
            .chunks_exact(S::LANES)
            .zip(results.chunks_exact_mut(S::LANES))
        {
            // SAFETY: both slices have a vector's numbers.
            unsafe { simd.store(result.as_mut_ptr(), simd.load_bf16(numbers.as_ptr())) };
        }
        results
    }
}

#[test]
fn widening_is_exact_for_every_number() {
    let numbers: Vec<_> = (0..=u16::MAX).map(bf16::from_bits).collect();
    for set in InstructionSet::available() {
        for (number, actual) in numbers.iter().zip(set.run(Widen(&numbers))) {
            assert_same(set, "widening", actual, f32::from(*number));
        }
    }
}

struct Pair;
impl Operation for Pair {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, left: S::Vector, right: S::Vector) -> S::Vector {
        simd.pair_bf16(left, right)
    }
}

#[test]
fn pairing_rounds_both_numbers_into_one_word() {
    let first = delicate_numbers();
    let second: Vec<_> = first.iter().rev().copied().collect();
    for set in InstructionSet::available() {
        let words = apply(set, Pair, &first, &second);
        for ((&first, &second), word) in first.iter().zip(&second).zip(words) {
            let halves = [word.to_bits() << 16, word.to_bits() & 0xffff_0000];
            for (number, half) in [first, second].into_iter().zip(halves) {
                if !number.is_subnormal() {
                    assert_same(set, "pairing", f32::from_bits(half), rounded(number));
                }
            }
        }
    }
}

struct Dot<'a>(&'a [f32]);
impl Operation for Dot<'_> {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, left: S::Vector, right: S::Vector) -> S::Vector {
        assert!(self.0.len() >= S::LANES);
        // SAFETY: just checked.
        let addend = unsafe { simd.load(self.0.as_ptr()) };
        simd.dot_bf16(left, right, addend)
    }
}

#[test]
fn dot_product_adds_both_products() {
    let mut state = 7u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bf16::from_f32((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    let pairs: Vec<_> = (0..1024).map(|_| [number(), number()]).collect();
    let addends: Vec<_> = (0..16).map(|_| number().to_f32()).collect();
    let word = |[first, second]: [bf16; 2]| {
        f32::from_bits(u32::from(second.to_bits()) << 16 | u32::from(first.to_bits()))
    };
    let (left, right) = pairs.split_at(512);
    for set in InstructionSet::available() {
        let words = |pairs: &[_]| pairs.iter().copied().map(word).collect::<Vec<_>>();
        let actual = apply(set, Dot(&addends), &words(left), &words(right));
        for (index, actual) in actual.into_iter().enumerate() {
            let addend = f64::from(addends[index % set.lanes()]);
            let product = |half: usize| left[index][half].to_f64() * right[index][half].to_f64();
            let expected = addend + product(0) + product(1);
            // Two or three roundings of numbers no larger than the sum of the magnitudes.
            let magnitude = addend.abs() + product(0).abs() + product(1).abs();
            let error = (f64::from(actual) - expected).abs();
            assert!(
                error <= 2.0 * f64::from(f32::EPSILON) * magnitude,
                "{set}: {actual} is not {expected}"
            );
        }
    }
}

struct SplatWord;
impl Operation for SplatWord {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, _: S::Vector, _: S::Vector) -> S::Vector {
        simd.splat_word(0x3f80_4049)
    }
}

struct Rectify;
impl Operation for Rectify {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, left: S::Vector, _: S::Vector) -> S::Vector {
        simd.rectify(left)
    }
}

#[test]
fn words_keep_their_bits_and_rectifying_keeps_what_is_not_a_number() {
    let numbers = delicate_numbers();
    for set in InstructionSet::available() {
        for word in apply(set, SplatWord, &numbers, &numbers) {
            assert_eq!(word.to_bits(), 0x3f80_4049, "{set}");
        }
        for (&number, actual) in numbers.iter().zip(apply(set, Rectify, &numbers, &numbers)) {
            let expected = if number < 0.0 { 0.0 } else { number };
            // The sign of zero is of no importance.
            if number != 0.0 {
                assert_same(set, &format!("rectifying {number:e}"), actual, expected);
            }
        }
    }
}
