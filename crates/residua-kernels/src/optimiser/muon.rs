//! Steps along the orthogonal matrix that is nearest to the momentum.

use rayon::prelude::*;

use super::PART_NUMBERS;
use super::average::Keep;
use super::orthogonal::{NEWTON_SCHULZ_STEPS, check_matrix, orthogonalise};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Muon (Jordan et al. 2024), as `torch.optim.Muon`, for the weights of convolutions and hidden
/// linear layers; all else has another rule.
///
/// `v = momentum · v + (1 − momentum) · gradient`; the update is `v`, or with Nesterov momentum
/// `momentum · v + (1 − momentum) · gradient`, made orthogonal by [`orthogonalise`]; `p = (1 − rate ·
/// weight_decay) · p − rate · scale · update`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Muon {
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// Whether the step looks ahead.
    pub nesterov: bool,
    /// Decoupled weight decay: each step shrinks the parameter by `learning_rate · weight_decay`.
    pub weight_decay: f64,
    /// What updates are multiplied by.
    pub scale: MuonScale,
}

/// What the update of a matrix is multiplied by: all its singular values are near 1, so the size of
/// its numbers depends on the shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MuonScale {
    /// `√max(1, rows / columns)` (Jordan et al. 2024).
    #[default]
    Original,
    /// `0.2 · √max(rows, columns)`: numbers as large as AdamW's, whose learning rate and weight decay
    /// then serve (Liu et al. 2025, section 2.2).
    MatchRms,
}

impl MuonScale {
    /// The factor for a matrix `[rows, columns]`.
    pub fn factor(self, [rows, columns]: [usize; 2]) -> f64 {
        let [height, width] = [rows as f64, columns as f64];
        match self {
            Self::Original => (height / width).max(1.0).sqrt(),
            Self::MatchRms => 0.2 * height.max(width).sqrt(),
        }
    }
}

impl Muon {
    /// Updates `parameter`, a matrix `[rows, columns]`, and `velocity`, which begins as zeros. The weight
    /// of a convolution is the matrix `[out, in / groups · kernel height · kernel width]`.
    ///
    /// # Errors
    /// If a size is zero or a length is not that of the matrix.
    pub fn step(
        &self,
        shape: [usize; 2],
        parameter: &mut [f32],
        gradient: &[f32],
        velocity: &mut [f32],
    ) -> Result<(), ShapeError> {
        check_matrix("parameter", parameter.len(), shape)?;
        check_matrix("gradient", gradient.len(), shape)?;
        check_matrix("velocity", velocity.len(), shape)?;
        let mut update = Scratch::uninitialised(parameter.len());
        self.gather(gradient, velocity, &mut update);
        orthogonalise(&mut update, shape[0], shape[1], NEWTON_SCHULZ_STEPS)?;
        self.subtract(shape, &update, parameter);
        Ok(())
    }

    /// Updates the velocity and writes what is to be made orthogonal.
    fn gather(&self, gradient: &[f32], velocity: &mut [f32], update: &mut [f32]) {
        let set = InstructionSet::current();
        let momentum = Keep::new(self.momentum);
        let nesterov = self.nesterov;
        let inputs = gradient
            .par_chunks(PART_NUMBERS)
            .zip(velocity.par_chunks_mut(PART_NUMBERS));
        update.par_chunks_mut(PART_NUMBERS).zip(inputs).for_each(
            |(update, (gradient, velocity))| {
                set.run(GatherPart {
                    momentum,
                    nesterov,
                    gradient,
                    velocity,
                    update,
                });
            },
        );
    }

    fn subtract(&self, shape: [usize; 2], update: &[f32], parameter: &mut [f32]) {
        let set = InstructionSet::current();
        let shrink = (1.0 - self.learning_rate * self.weight_decay) as f32;
        let step_size = (self.learning_rate * self.scale.factor(shape)) as f32;
        parameter
            .par_chunks_mut(PART_NUMBERS)
            .zip(update.par_chunks(PART_NUMBERS))
            .for_each(|(parameter, update)| {
                set.run(SubtractPart {
                    shrink,
                    step_size,
                    update,
                    parameter,
                });
            });
    }
}

struct GatherPart<'a> {
    momentum: Keep,
    nesterov: bool,
    gradient: &'a [f32],
    velocity: &'a mut [f32],
    update: &'a mut [f32],
}

impl Kernel for GatherPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let inputs = self.gradient.iter().zip(self.velocity);
        for (update, (&gradient, velocity)) in self.update.iter_mut().zip(inputs) {
            *velocity = self.momentum.mix(*velocity, gradient);
            *update = if self.nesterov {
                self.momentum.mix(*velocity, gradient)
            } else {
                *velocity
            };
        }
    }
}

struct SubtractPart<'a> {
    shrink: f32,
    step_size: f32,
    update: &'a [f32],
    parameter: &'a mut [f32],
}

impl Kernel for SubtractPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for (parameter, &update) in self.parameter.iter_mut().zip(self.update) {
            *parameter = self.shrink * *parameter - self.step_size * update;
        }
    }
}
