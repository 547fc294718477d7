//! Stochastic gradient descent.

use rayon::prelude::*;

use super::PART_NUMBERS;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

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
