//! Adam with decoupled weight decay.

use rayon::prelude::*;

use super::{PART_NUMBERS, check_moments};
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub learning_rate: f64,
    /// Shares of the first and second moments that are kept.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay: each step shrinks the parameter by `learning_rate · weight_decay`.
    pub weight_decay: f64,
}

impl AdamW {
    /// Updates `parameter` and its moments. `step` counts from 1; the moments begin as zeros.
    ///
    /// # Errors
    /// If the lengths differ or `step` is 0.
    pub fn step(
        &self,
        step: u64,
        parameter: &mut [f32],
        gradient: &[f32],
        first_moment: &mut [f32],
        second_moment: &mut [f32],
    ) -> Result<(), ShapeError> {
        let lengths = [gradient.len(), first_moment.len(), second_moment.len()];
        check_moments(step, parameter.len(), lengths)?;
        let set = InstructionSet::current();
        // In f64: for beta = 0.999 the first corrections are small differences from 1.
        let correction = self.betas.map(|beta| 1.0 - beta.powf(step as f64));
        let constants = AdamConstants {
            shrink: (1.0 - self.learning_rate * self.weight_decay) as f32,
            step_size: (self.learning_rate / correction[0]) as f32,
            inverse_root: (1.0 / correction[1].sqrt()) as f32,
            new_shares: self.betas.map(|beta| (1.0 - beta) as f32),
        };
        let parameters = parameter
            .par_chunks_mut(PART_NUMBERS)
            .zip(gradient.par_chunks(PART_NUMBERS));
        let moments = first_moment
            .par_chunks_mut(PART_NUMBERS)
            .zip(second_moment.par_chunks_mut(PART_NUMBERS));
        parameters.zip(moments).for_each(
            |((parameter, gradient), (first_moment, second_moment))| {
                set.run(AdamPart {
                    rule: *self,
                    constants,
                    parameter,
                    gradient,
                    first_moment,
                    second_moment,
                });
            },
        );
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct AdamConstants {
    shrink: f32,
    step_size: f32,
    inverse_root: f32,
    new_shares: [f32; 2],
}

struct AdamPart<'a> {
    rule: AdamW,
    constants: AdamConstants,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    first_moment: &'a mut [f32],
    second_moment: &'a mut [f32],
}

impl Kernel for AdamPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let AdamConstants {
            shrink,
            step_size,
            inverse_root,
            new_shares,
        } = self.constants;
        let [beta1, beta2] = self.rule.betas.map(|beta| beta as f32);
        let epsilon = self.rule.epsilon as f32;
        let moments = self.first_moment.iter_mut().zip(self.second_moment);
        for ((parameter, &gradient), (first, second)) in
            self.parameter.iter_mut().zip(self.gradient).zip(moments)
        {
            *first = beta1 * *first + new_shares[0] * gradient;
            *second = beta2 * *second + new_shares[1] * (gradient * gradient);
            let denominator = second.sqrt() * inverse_root + epsilon;
            *parameter = *parameter * shrink - step_size * *first / denominator;
        }
    }
}
