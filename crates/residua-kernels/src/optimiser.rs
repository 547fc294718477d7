//! Optimiser steps in one pass over a parameter and its state.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 32 * 1024;

/// Stochastic gradient descent with momentum, as in PyTorch with dampening 0.
///
/// `g = gradient + weight_decay · p; v = momentum · v + g; p -= rate · v`, and with Nesterov
/// momentum (Sutskever et al. 2013) `p -= rate · (g + momentum · v)`. A velocity of zeros before
/// the first step gives PyTorch's first step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// Coupled weight decay: the multiple of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Whether the step looks ahead.
    pub nesterov: bool,
}

impl Sgd {
    /// Updates `parameter` and `velocity`.
    ///
    /// # Errors
    /// If the lengths differ.
    pub fn step(
        &self,
        parameter: &mut [f32],
        gradient: &[f32],
        velocity: &mut [f32],
    ) -> Result<(), ShapeError> {
        ShapeError::check_length("gradient", gradient.len(), parameter.len())?;
        ShapeError::check_length("velocity", velocity.len(), parameter.len())?;
        let set = InstructionSet::current();
        let parameters = parameter.par_chunks_mut(PART_NUMBERS);
        let state = gradient
            .par_chunks(PART_NUMBERS)
            .zip(velocity.par_chunks_mut(PART_NUMBERS));
        parameters
            .zip(state)
            .for_each(|(parameter, (gradient, velocity))| {
                set.run(SgdPart {
                    rule: *self,
                    parameter,
                    gradient,
                    velocity,
                });
            });
        Ok(())
    }
}

struct SgdPart<'a> {
    rule: Sgd,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    velocity: &'a mut [f32],
}

impl Kernel for SgdPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Sgd { nesterov, .. } = self.rule;
        let [learning_rate, momentum, weight_decay] = [
            self.rule.learning_rate,
            self.rule.momentum,
            self.rule.weight_decay,
        ]
        .map(|number| number as f32);
        // A step is a combination of gradient and velocity, so both kinds of momentum are one loop.
        let (gradient_share, velocity_share) = if nesterov {
            (1.0, momentum)
        } else {
            (0.0, 1.0)
        };
        let numbers = self
            .parameter
            .iter_mut()
            .zip(self.gradient)
            .zip(self.velocity);
        for ((parameter, &gradient), velocity) in numbers {
            let gradient = gradient + weight_decay * *parameter;
            *velocity = momentum * *velocity + gradient;
            *parameter -= learning_rate * (gradient_share * gradient + velocity_share * *velocity);
        }
    }
}

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
        ShapeError::check_length("gradient", gradient.len(), parameter.len())?;
        ShapeError::check_length("first moment", first_moment.len(), parameter.len())?;
        ShapeError::check_length("second moment", second_moment.len(), parameter.len())?;
        if step == 0 {
            return Err(ShapeError::new("step is 0, but steps count from 1"));
        }
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
