//! Operations that treat every number alike.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 64 * 1024;

/// `output = left + right`.
///
/// # Errors
/// If the lengths differ.
pub fn add<E: Element>(left: &[E], right: &[E], output: &mut [E]) -> Result<(), ShapeError> {
    zip("left", left, "right", right, output, |left, right| {
        left + right
    })
}

/// `total += term`.
///
/// # Errors
/// If the lengths differ.
pub fn add_assign<E: Element>(total: &mut [E], term: &[E]) -> Result<(), ShapeError> {
    ShapeError::check_length("term", term.len(), total.len())?;
    update(total, term, |total, term| total + term);
    Ok(())
}

/// `output = max(input, 0)`; NaN stays NaN.
///
/// # Errors
/// If the lengths differ.
pub fn relu<E: Element>(input: &[E], output: &mut [E]) -> Result<(), ShapeError> {
    ShapeError::check_length("output", output.len(), input.len())?;
    update(output, input, |_, input| rectify(input));
    Ok(())
}

/// The gradient of [`relu`] from its output: `output_gradient` where the output is positive, zero
/// elsewhere.
///
/// # Errors
/// If the lengths differ.
pub fn relu_backward<E: Element>(
    output: &[E],
    output_gradient: &[E],
    input_gradient: &mut [E],
) -> Result<(), ShapeError> {
    zip(
        "output",
        output,
        "output gradient",
        output_gradient,
        input_gradient,
        behind_relu,
    )
}

/// Written so that NaN stays NaN.
#[inline(always)]
pub(crate) fn rectify(number: f32) -> f32 {
    if number < 0.0 { 0.0 } else { number }
}

/// The gradient of [`rectify`] from its result.
#[inline(always)]
pub(crate) fn behind_relu(output: f32, gradient: f32) -> f32 {
    if output <= 0.0 { 0.0 } else { gradient }
}

fn zip<E: Element>(
    left_name: &str,
    left: &[E],
    right_name: &str,
    right: &[E],
    output: &mut [E],
    operation: impl Fn(f32, f32) -> f32 + Copy + Sync,
) -> Result<(), ShapeError> {
    ShapeError::check_length(left_name, left.len(), output.len())?;
    ShapeError::check_length(right_name, right.len(), output.len())?;
    let set = InstructionSet::current();
    let inputs = left
        .par_chunks(PART_NUMBERS)
        .zip(right.par_chunks(PART_NUMBERS));
    output
        .par_chunks_mut(PART_NUMBERS)
        .zip(inputs)
        .for_each(|(output, (left, right))| {
            set.run(Zip {
                left,
                right,
                output,
                operation,
            });
        });
    Ok(())
}

struct Zip<'a, E, F> {
    left: &'a [E],
    right: &'a [E],
    output: &'a mut [E],
    operation: F,
}

impl<E: Element, F: Fn(f32, f32) -> f32> Kernel for Zip<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for ((output, &left), &right) in self.output.iter_mut().zip(self.left).zip(self.right) {
            *output = E::from_f32((self.operation)(left.to_f32(), right.to_f32()));
        }
    }
}

fn update<E: Element>(
    target: &mut [E],
    input: &[E],
    operation: impl Fn(f32, f32) -> f32 + Copy + Sync,
) {
    let set = InstructionSet::current();
    let parts = target
        .par_chunks_mut(PART_NUMBERS)
        .zip(input.par_chunks(PART_NUMBERS));
    parts.for_each(|(target, input)| {
        set.run(Update {
            target,
            input,
            operation,
        })
    });
}

struct Update<'a, E, F> {
    target: &'a mut [E],
    input: &'a [E],
    operation: F,
}

impl<E: Element, F: Fn(f32, f32) -> f32> Kernel for Update<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for (target, &input) in self.target.iter_mut().zip(self.input) {
            *target = E::from_f32((self.operation)(target.to_f32(), input.to_f32()));
        }
    }
}
