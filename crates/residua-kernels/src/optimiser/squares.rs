//! Sums of squares whose bits depend on the length alone.

use rayon::prelude::*;

use super::PART_NUMBERS;
use crate::InstructionSet;
use crate::simd::{Kernel, Simd};

/// Numbers that are squared side by side: two vectors of AVX-512.
const LANES: usize = 16;

/// The sum of the squares of all numbers. In f64, where no square of an f32 overflows or vanishes.
pub(super) fn sum_of_squares(numbers: &[f32]) -> f64 {
    let set = InstructionSet::current();
    let parts: Vec<f64> = numbers
        .par_chunks(PART_NUMBERS)
        .map(|numbers| set.run(PartSquares { numbers }))
        .collect();
    parts.iter().sum()
}

struct PartSquares<'a> {
    numbers: &'a [f32],
}

impl Kernel for PartSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> f64 {
        let mut squares = Squares::default();
        squares.add(self.numbers);
        squares.total()
    }
}

/// A sum of squares that is dealt to lanes, which the compiler turns into vectors.
#[derive(Default)]
pub(super) struct Squares {
    lanes: [f64; LANES],
}

impl Squares {
    /// Adds the squares of the numbers, each to the lane of its position.
    #[inline(always)]
    pub(super) fn add(&mut self, numbers: &[f32]) {
        let (rows, rest) = numbers.as_chunks::<LANES>();
        for numbers in rows {
            for (lane, &number) in self.lanes.iter_mut().zip(numbers) {
                *lane += f64::from(number) * f64::from(number);
            }
        }
        for (lane, &number) in self.lanes.iter_mut().zip(rest) {
            *lane += f64::from(number) * f64::from(number);
        }
    }

    #[inline(always)]
    pub(super) fn total(&self) -> f64 {
        self.lanes.iter().sum()
    }
}
