//! Activation functions.

pub(crate) mod functions;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use rayon::prelude::*;

use crate::elementwise::{behind_relu, rectify};
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};
use functions::{normal, sigmoid};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 16 * 1024;

/// A function that is applied to every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`, with slope 0 at 0.
    Relu,
    /// `x` where it is positive, `0.01 · x` elsewhere (Maas et al. 2013, with PyTorch's slope).
    LeakyRelu,
    /// `σ(x) = 1 / (1 + e^-x)`.
    Sigmoid,
    /// `x · σ(x)` (Elfwing et al. 2017; Ramachandran et al. 2017).
    Silu,
    /// `x · Φ(x)` with the normal distribution `Φ(x) = (1 + erf(x / √2)) / 2`, not its
    /// approximation by a hyperbolic tangent (Hendrycks and Gimpel 2016).
    Gelu,
}

/// `output = activation(input)`; NaN stays NaN. The limits at −∞ of `Silu` and `Gelu` are NaN too,
/// as in PyTorch.
///
/// # Errors
/// If the lengths differ.
pub fn forward<E: Element>(
    activation: Activation,
    input: &[E],
    output: &mut [E],
) -> Result<(), ShapeError> {
    ShapeError::check_length("output", output.len(), input.len())?;
    match activation {
        Activation::Relu => apply::<E, Relu>(input, output),
        Activation::LeakyRelu => apply::<E, LeakyRelu>(input, output),
        Activation::Sigmoid => apply::<E, Sigmoid>(input, output),
        Activation::Silu => apply::<E, Silu>(input, output),
        Activation::Gelu => apply::<E, Gelu>(input, output),
    }
    Ok(())
}

/// `input_gradient = output_gradient · activation'(input)`, from the input of [`forward`].
///
/// # Errors
/// If the lengths differ.
pub fn backward<E: Element>(
    activation: Activation,
    input: &[E],
    output_gradient: &[E],
    input_gradient: &mut [E],
) -> Result<(), ShapeError> {
    ShapeError::check_length("output gradient", output_gradient.len(), input.len())?;
    ShapeError::check_length("input gradient", input_gradient.len(), input.len())?;
    match activation {
        Activation::Relu => differentiate::<E, Relu>(input, output_gradient, input_gradient),
        Activation::LeakyRelu => {
            differentiate::<E, LeakyRelu>(input, output_gradient, input_gradient);
        }
        Activation::Sigmoid => differentiate::<E, Sigmoid>(input, output_gradient, input_gradient),
        Activation::Silu => differentiate::<E, Silu>(input, output_gradient, input_gradient),
        Activation::Gelu => differentiate::<E, Gelu>(input, output_gradient, input_gradient),
    }
    Ok(())
}

/// A function of one number. A trait rather than closures, because its functions can be forced into
/// the loops of every instruction set.
trait Function: Send + Sync {
    fn value(input: f32) -> f32;

    /// `gradient` times the derivative at `input`.
    fn gradient(input: f32, gradient: f32) -> f32;
}

struct Relu;

impl Function for Relu {
    #[inline(always)]
    fn value(input: f32) -> f32 {
        rectify(input)
    }

    #[inline(always)]
    fn gradient(input: f32, gradient: f32) -> f32 {
        behind_relu(input, gradient)
    }
}

struct LeakyRelu;

impl LeakyRelu {
    const SLOPE: f32 = 0.01;
}

impl Function for LeakyRelu {
    #[inline(always)]
    fn value(input: f32) -> f32 {
        if input < 0.0 {
            input * Self::SLOPE
        } else {
            input
        }
    }

    #[inline(always)]
    fn gradient(input: f32, gradient: f32) -> f32 {
        if input <= 0.0 {
            gradient * Self::SLOPE
        } else {
            gradient
        }
    }
}

struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn value(input: f32) -> f32 {
        sigmoid(input)[0]
    }

    #[inline(always)]
    fn gradient(input: f32, gradient: f32) -> f32 {
        let [value, rest] = sigmoid(input);
        gradient * (value * rest)
    }
}

struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn value(input: f32) -> f32 {
        input * sigmoid(input)[0]
    }

    #[inline(always)]
    fn gradient(input: f32, gradient: f32) -> f32 {
        let [value, rest] = sigmoid(input);
        gradient * (value * (1.0 + input * rest))
    }
}

struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn value(input: f32) -> f32 {
        input * normal(input)[0]
    }

    #[inline(always)]
    fn gradient(input: f32, gradient: f32) -> f32 {
        let [probability, density] = normal(input);
        gradient * (probability + input * density)
    }
}

fn apply<E: Element, F: Function>(input: &[E], output: &mut [E]) {
    let set = InstructionSet::current();
    output
        .par_chunks_mut(PART_NUMBERS)
        .zip(input.par_chunks(PART_NUMBERS))
        .for_each(|(output, input)| {
            set.run(Apply::<E, F> {
                input,
                output,
                function: PhantomData,
            });
        });
}

struct Apply<'a, E, F> {
    input: &'a [E],
    output: &'a mut [E],
    function: PhantomData<F>,
}

impl<E: Element, F: Function> Kernel for Apply<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for (output, &input) in self.output.iter_mut().zip(self.input) {
            *output = E::from_f32(F::value(input.to_f32()));
        }
    }
}

fn differentiate<E: Element, F: Function>(
    input: &[E],
    output_gradient: &[E],
    input_gradient: &mut [E],
) {
    let set = InstructionSet::current();
    let inputs = input
        .par_chunks(PART_NUMBERS)
        .zip(output_gradient.par_chunks(PART_NUMBERS));
    input_gradient
        .par_chunks_mut(PART_NUMBERS)
        .zip(inputs)
        .for_each(|(input_gradient, (input, output_gradient))| {
            set.run(Differentiate::<E, F> {
                input,
                output_gradient,
                input_gradient,
                function: PhantomData,
            });
        });
}

struct Differentiate<'a, E, F> {
    input: &'a [E],
    output_gradient: &'a [E],
    input_gradient: &'a mut [E],
    function: PhantomData<F>,
}

impl<E: Element, F: Function> Kernel for Differentiate<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let inputs = self.input.iter().zip(self.output_gradient);
        for (target, (&input, &gradient)) in self.input_gradient.iter_mut().zip(inputs) {
            *target = E::from_f32(F::gradient(input.to_f32(), gradient.to_f32()));
        }
    }
}
