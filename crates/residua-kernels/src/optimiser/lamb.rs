//! Adam whose step has a length relative to that of the parameter.

use rayon::prelude::*;

use super::squares::Squares;
use super::{PART_NUMBERS, check_moments};
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// LAMB (You et al. 2019, algorithm 2), as timm's `Lamb`.
///
/// Adam's update `u`, with corrected moments, is scaled by the trust ratio `‖p‖ / ‖u‖` of the whole
/// tensor: `p -= rate · ratio · u`. The ratio is 1 where one of the norms is zero, and for a
/// parameter without weight decay (norms and biases, as a rule). Clipping the gradients of all
/// parameters together, which timm's optimiser does by itself, is left to the caller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lamb {
    /// Learning rate.
    pub learning_rate: f64,
    /// Shares of the first and second moments that are kept.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Weight decay; see [`Self::form`].
    pub weight_decay: f64,
    /// What weight decay is added to.
    pub form: DecayForm,
    /// The largest trust ratio.
    pub bound: TrustBound,
}

/// Whether weight decay is part of the update whose length is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecayForm {
    /// As in the paper and by default in timm: `u += weight_decay · p` before the norms are taken.
    #[default]
    Coupled,
    /// `p *= 1 − rate · weight_decay` before the norms are taken.
    Decoupled,
}

/// How large a trust ratio may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustBound {
    /// As large as it is: timm's default.
    #[default]
    Unbounded,
    /// At most 1: LAMBC (Fong et al. 2020), timm's `trust_clip`.
    One,
}

impl Lamb {
    /// Updates `parameter`, a whole tensor, and its moments. `step` counts from 1; the moments begin
    /// as zeros.
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
        let constants = LambConstants::new(self, step);
        let norms = norms(constants, parameter, gradient, first_moment, second_moment);
        let step_size = (self.learning_rate * self.trust_ratio(norms)) as f32;
        subtract(constants, step_size, parameter, first_moment, second_moment);
        Ok(())
    }

    /// What the update is multiplied by, from the norms of parameter and update.
    fn trust_ratio(&self, [parameter, update]: [f64; 2]) -> f64 {
        // Like timm, and unlike a comparison with zero alone, NaN counts as no norm.
        let measured = parameter > 0.0 && update > 0.0;
        if self.weight_decay == 0.0 || !measured {
            return 1.0;
        }
        let ratio = parameter / update;
        match self.bound {
            TrustBound::Unbounded => ratio,
            TrustBound::One => ratio.min(1.0),
        }
    }
}

#[derive(Clone, Copy)]
struct LambConstants {
    kept_shares: [f32; 2],
    new_shares: [f32; 2],
    inverse_correction: f32,
    inverse_root: f32,
    epsilon: f32,
    /// Of the parameter, added to the update.
    coupled: f32,
    /// What the parameter is multiplied by.
    shrink: f32,
}

impl LambConstants {
    fn new(rule: &Lamb, step: u64) -> Self {
        // In f64: for beta = 0.999 the first corrections are small differences from 1.
        let correction = rule.betas.map(|beta| 1.0 - beta.powf(step as f64));
        let (coupled, shrink) = match rule.form {
            DecayForm::Coupled => (rule.weight_decay, 1.0),
            DecayForm::Decoupled => (0.0, 1.0 - rule.learning_rate * rule.weight_decay),
        };
        Self {
            kept_shares: rule.betas.map(|beta| beta as f32),
            new_shares: rule.betas.map(|beta| (1.0 - beta) as f32),
            inverse_correction: (1.0 / correction[0]) as f32,
            inverse_root: (1.0 / correction[1].sqrt()) as f32,
            epsilon: rule.epsilon as f32,
            coupled: coupled as f32,
            shrink: shrink as f32,
        }
    }

    /// The update of a parameter that is shrunk already.
    #[inline(always)]
    fn update(&self, parameter: f32, first: f32, second: f32) -> f32 {
        let denominator = second.sqrt() * self.inverse_root + self.epsilon;
        first * self.inverse_correction / denominator + self.coupled * parameter
    }
}

/// Updates the moments; the norms of the shrunk parameter and of the update.
fn norms(
    constants: LambConstants,
    parameter: &[f32],
    gradient: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) -> [f64; 2] {
    let set = InstructionSet::current();
    let inputs = parameter
        .par_chunks(PART_NUMBERS)
        .zip(gradient.par_chunks(PART_NUMBERS));
    let moments = first_moment
        .par_chunks_mut(PART_NUMBERS)
        .zip(second_moment.par_chunks_mut(PART_NUMBERS));
    let parts: Vec<[f64; 2]> = inputs
        .zip(moments)
        .map(|((parameter, gradient), (first_moment, second_moment))| {
            set.run(NormsPart {
                constants,
                parameter,
                gradient,
                first_moment,
                second_moment,
            })
        })
        .collect();
    [0, 1].map(|index| parts.iter().map(|part| part[index]).sum::<f64>().sqrt())
}

/// Subtracts the update, which is computed again: cheaper than keeping it.
fn subtract(
    constants: LambConstants,
    step_size: f32,
    parameter: &mut [f32],
    first_moment: &[f32],
    second_moment: &[f32],
) {
    let set = InstructionSet::current();
    let moments = first_moment
        .par_chunks(PART_NUMBERS)
        .zip(second_moment.par_chunks(PART_NUMBERS));
    parameter
        .par_chunks_mut(PART_NUMBERS)
        .zip(moments)
        .for_each(|(parameter, (first_moment, second_moment))| {
            set.run(SubtractPart {
                constants,
                step_size,
                parameter,
                first_moment,
                second_moment,
            });
        });
}

/// Numbers whose update is kept until it is squared: 4 KiB, with the parameter's a quarter of a
/// first-level cache.
const BLOCK_NUMBERS: usize = 1024;

struct NormsPart<'a> {
    constants: LambConstants,
    parameter: &'a [f32],
    gradient: &'a [f32],
    first_moment: &'a mut [f32],
    second_moment: &'a mut [f32],
}

impl Kernel for NormsPart<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> [f64; 2] {
        let constants = self.constants;
        let [beta1, beta2] = constants.kept_shares;
        let [new1, new2] = constants.new_shares;
        let mut shrunk = [0.0; BLOCK_NUMBERS];
        let mut updates = [0.0; BLOCK_NUMBERS];
        let mut sums = [Squares::default(), Squares::default()];
        let inputs = self
            .parameter
            .chunks(BLOCK_NUMBERS)
            .zip(self.gradient.chunks(BLOCK_NUMBERS));
        let moments = self
            .first_moment
            .chunks_mut(BLOCK_NUMBERS)
            .zip(self.second_moment.chunks_mut(BLOCK_NUMBERS));
        for ((parameter, gradient), (first_moment, second_moment)) in inputs.zip(moments) {
            let inputs = parameter.iter().zip(gradient);
            let moments = first_moment.iter_mut().zip(second_moment);
            let outputs = shrunk.iter_mut().zip(&mut updates);
            for (((&parameter, &gradient), (first, second)), (shrunk, update)) in
                inputs.zip(moments).zip(outputs)
            {
                *first = beta1 * *first + new1 * gradient;
                *second = beta2 * *second + new2 * (gradient * gradient);
                *shrunk = constants.shrink * parameter;
                *update = constants.update(*shrunk, *first, *second);
            }
            sums[0].add(&shrunk[..parameter.len()]);
            sums[1].add(&updates[..parameter.len()]);
        }
        sums.map(|squares| squares.total())
    }
}

struct SubtractPart<'a> {
    constants: LambConstants,
    step_size: f32,
    parameter: &'a mut [f32],
    first_moment: &'a [f32],
    second_moment: &'a [f32],
}

impl Kernel for SubtractPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let moments = self.first_moment.iter().zip(self.second_moment);
        for (parameter, (&first, &second)) in self.parameter.iter_mut().zip(moments) {
            let shrunk = self.constants.shrink * *parameter;
            *parameter = shrunk - self.step_size * self.constants.update(shrunk, first, second);
        }
    }
}
