//! Dropout: setting numbers, or runs of them, to zero by a rule that can be applied again.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 64 * 1024;
/// 2²⁴: the chances are as many as the mantissas of `f32`.
const CHANCES: f32 = 16_777_216.0;

/// Which numbers are dropped: number `i` by decision `i / run`, and those that stay are multiplied
/// by `1 / (1 − rate)`, so that the expectation stays.
///
/// With runs of 1 this is dropout (Srivastava et al. 2014); with runs as long as an image, it is
/// the stochastic depth of each sample (Huang et al. 2016).
///
/// Decision `j` takes the upper 24 bits of SplitMix64's output (Steele et al. 2014) for the state
/// `seed + (j + 1) · 0x9E3779B97F4A7C15` as a fraction, and drops if it is less than the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropRule {
    /// Rules of other seeds make independent decisions.
    pub seed: u64,
    /// The probability of being dropped, at least 0 and less than 1.
    pub rate: f32,
    /// Neighbouring numbers that share a decision, at least 1.
    pub run: usize,
}

impl DropRule {
    /// What element number `element` is multiplied by: 0 or `1 / (1 − rate)`.
    ///
    /// # Panics
    /// If `run` is zero.
    pub fn factor(&self, element: usize) -> f32 {
        if self.drops(self.threshold(), (element / self.run) as u64) {
            0.0
        } else {
            self.scale()
        }
    }

    fn check(&self) -> Result<(), ShapeError> {
        if (0.0..1.0).contains(&self.rate) && self.run > 0 {
            return Ok(());
        }
        Err(ShapeError::new(format!(
            "dropout of runs of {} with rate {}: runs need at least one number, and the rate must be \
             at least 0 and less than 1",
            self.run, self.rate
        )))
    }

    fn scale(&self) -> f32 {
        1.0 / (1.0 - self.rate)
    }

    /// Chances below it drop; exact, as multiplying by a power of two is.
    fn threshold(&self) -> u64 {
        (self.rate * CHANCES).ceil() as u64
    }

    #[inline(always)]
    fn drops(&self, threshold: u64, decision: u64) -> bool {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut state = self
            .seed
            .wrapping_add(decision.wrapping_add(1).wrapping_mul(STEP));
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^= state >> 31;
        state >> 40 < threshold
    }
}

/// `output = input · factor`, with zero for what is dropped, whatever it was. The gradient passes
/// by the same call: `input_gradient` is this of `output_gradient`.
///
/// # Errors
/// If the lengths differ, the rate is not within `[0, 1)`, or the run is zero.
pub fn apply<E: Element>(drop: DropRule, input: &[E], output: &mut [E]) -> Result<(), ShapeError> {
    drop.check()?;
    ShapeError::check_length("output", output.len(), input.len())?;
    let set = InstructionSet::current();
    output
        .par_chunks_mut(PART_NUMBERS)
        .zip(input.par_chunks(PART_NUMBERS))
        .enumerate()
        .for_each(|(part, (output, input))| {
            set.run(Apply {
                drop,
                first: part * PART_NUMBERS,
                input,
                output,
            });
        });
    Ok(())
}

struct Apply<'a, E> {
    drop: DropRule,
    /// Number of the first element.
    first: usize,
    input: &'a [E],
    output: &'a mut [E],
}

impl<E: Element> Kernel for Apply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let (scale, threshold) = (self.drop.scale(), self.drop.threshold());
        if self.drop.run == 1 {
            let numbers = self.output.iter_mut().zip(self.input);
            for (element, (output, &input)) in (self.first as u64..).zip(numbers) {
                let kept = input.to_f32() * scale;
                let dropped = self.drop.drops(threshold, element);
                *output = E::from_f32(if dropped { 0.0 } else { kept });
            }
            return;
        }
        let mut begin = 0;
        while begin < self.output.len() {
            let element = self.first + begin;
            let rest_of_run = self.drop.run - element % self.drop.run;
            let end = begin.saturating_add(rest_of_run).min(self.output.len());
            let output = &mut self.output[begin..end];
            let decision = (element / self.drop.run) as u64;
            if self.drop.drops(threshold, decision) {
                output.fill(E::default());
            } else {
                for (output, &input) in output.iter_mut().zip(&self.input[begin..end]) {
                    *output = E::from_f32(input.to_f32() * scale);
                }
            }
            begin = end;
        }
    }
}
