//! Steps divided by the root of the mean square of the gradient.

use rayon::prelude::*;

use super::PART_NUMBERS;
use super::average::Keep;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// RMSProp (Tieleman and Hinton 2012, lecture 6e) with momentum, not centred.
///
/// `g = gradient + weight_decay · p; s = smoothing · s + (1 − smoothing) · g²`; the [`RmsPropForm`]
/// says what follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of the mean square that is kept (`alpha` in PyTorch).
    pub smoothing: f64,
    /// Added to the mean square or to its root; see [`Self::form`].
    pub epsilon: f64,
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// Coupled weight decay: the multiple of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Whose RMSProp it is.
    pub form: RmsPropForm,
}

/// The two kinds of RMSProp that published training recipes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RmsPropForm {
    /// `torch.optim.RMSprop`: the mean square begins as zeros; `v = momentum · v + g / (√s + epsilon);
    /// p -= rate · v`.
    PyTorch,
    /// That of TensorFlow, timm's `RMSpropTF`: the mean square begins as ones, epsilon is inside of
    /// the root, and the velocity holds what is subtracted, so that a new learning rate does not change
    /// what it has gathered: `v = momentum · v + rate · g / √(s + epsilon); p -= v`.
    TensorFlow,
}

impl RmsPropForm {
    /// What every number of the mean square is before the first step.
    pub fn first_mean_square(self) -> f32 {
        match self {
            Self::PyTorch => 0.0,
            Self::TensorFlow => 1.0,
        }
    }
}

impl RmsProp {
    /// Updates `parameter` and its state. The velocity begins as zeros, the mean square as
    /// [`RmsPropForm::first_mean_square`].
    ///
    /// # Errors
    /// If the lengths differ.
    pub fn step(
        &self,
        parameter: &mut [f32],
        gradient: &[f32],
        mean_square: &mut [f32],
        velocity: &mut [f32],
    ) -> Result<(), ShapeError> {
        ShapeError::check_length("gradient", gradient.len(), parameter.len())?;
        ShapeError::check_length("mean square", mean_square.len(), parameter.len())?;
        ShapeError::check_length("velocity", velocity.len(), parameter.len())?;
        let set = InstructionSet::current();
        let constants = RmsPropConstants::new(self);
        let parameters = parameter
            .par_chunks_mut(PART_NUMBERS)
            .zip(gradient.par_chunks(PART_NUMBERS));
        let state = mean_square
            .par_chunks_mut(PART_NUMBERS)
            .zip(velocity.par_chunks_mut(PART_NUMBERS));
        parameters
            .zip(state)
            .for_each(|((parameter, gradient), (mean_square, velocity))| {
                set.run(RmsPropPart {
                    constants,
                    parameter,
                    gradient,
                    mean_square,
                    velocity,
                });
            });
        Ok(())
    }
}

/// One of the two additions of epsilon is of zero, and one of the two rates is 1, so that both forms
/// are one loop.
#[derive(Clone, Copy)]
struct RmsPropConstants {
    weight_decay: f32,
    smoothing: Keep,
    epsilon_in_root: f32,
    epsilon_behind_root: f32,
    momentum: f32,
    rate_of_velocity: f32,
    rate_of_parameter: f32,
}

impl RmsPropConstants {
    fn new(rule: &RmsProp) -> Self {
        let [epsilon, rate] = [rule.epsilon as f32, rule.learning_rate as f32];
        let (epsilons, rates) = match rule.form {
            RmsPropForm::PyTorch => ([0.0, epsilon], [1.0, rate]),
            RmsPropForm::TensorFlow => ([epsilon, 0.0], [rate, 1.0]),
        };
        Self {
            weight_decay: rule.weight_decay as f32,
            smoothing: Keep::new(rule.smoothing),
            epsilon_in_root: epsilons[0],
            epsilon_behind_root: epsilons[1],
            momentum: rule.momentum as f32,
            rate_of_velocity: rates[0],
            rate_of_parameter: rates[1],
        }
    }
}

struct RmsPropPart<'a> {
    constants: RmsPropConstants,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    mean_square: &'a mut [f32],
    velocity: &'a mut [f32],
}

impl Kernel for RmsPropPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let constants = self.constants;
        let state = self.mean_square.iter_mut().zip(self.velocity);
        for ((parameter, &gradient), (mean_square, velocity)) in
            self.parameter.iter_mut().zip(self.gradient).zip(state)
        {
            let gradient = gradient + constants.weight_decay * *parameter;
            *mean_square = constants.smoothing.mix(*mean_square, gradient * gradient);
            let root = (*mean_square + constants.epsilon_in_root).sqrt();
            let direction = gradient / (root + constants.epsilon_behind_root);
            *velocity = constants.momentum * *velocity + constants.rate_of_velocity * direction;
            *parameter -= constants.rate_of_parameter * *velocity;
        }
    }
}
