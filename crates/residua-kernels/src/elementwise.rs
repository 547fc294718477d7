//! Operations that treat every number alike.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 64 * 1024;

/// `output = left + right`.
///
/// # Errors
/// If the lengths differ.
pub fn add(left: &[f32], right: &[f32], output: &mut [f32]) -> Result<(), ShapeError> {
    zip("left", left, "right", right, output, |left, right| {
        left + right
    })
}

/// `total += term`.
///
/// # Errors
/// If the lengths differ.
pub fn add_assign(total: &mut [f32], term: &[f32]) -> Result<(), ShapeError> {
    ShapeError::check_length("term", term.len(), total.len())?;
    update(total, term, |total, term| *total += term);
    Ok(())
}

/// `output = max(left + right, 0)`; NaN stays NaN.
///
/// # Errors
/// If the lengths differ.
pub fn add_relu(left: &[f32], right: &[f32], output: &mut [f32]) -> Result<(), ShapeError> {
    zip("left", left, "right", right, output, |left, right| {
        rectify(left + right)
    })
}

/// `output = max(input, 0)`; NaN stays NaN.
///
/// # Errors
/// If the lengths differ.
pub fn relu(input: &[f32], output: &mut [f32]) -> Result<(), ShapeError> {
    ShapeError::check_length("output", output.len(), input.len())?;
    update(output, input, |output, input| *output = rectify(input));
    Ok(())
}

/// The gradient of [`relu`] from its output: `output_gradient` where the output is positive, zero
/// elsewhere.
///
/// # Errors
/// If the lengths differ.
pub fn relu_backward(
    output: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
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

fn zip(
    left_name: &str,
    left: &[f32],
    right_name: &str,
    right: &[f32],
    output: &mut [f32],
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

struct Zip<'a, F> {
    left: &'a [f32],
    right: &'a [f32],
    output: &'a mut [f32],
    operation: F,
}

impl<F: Fn(f32, f32) -> f32> Kernel for Zip<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for ((output, &left), &right) in self.output.iter_mut().zip(self.left).zip(self.right) {
            *output = (self.operation)(left, right);
        }
    }
}

fn update(target: &mut [f32], input: &[f32], operation: impl Fn(&mut f32, f32) + Copy + Sync) {
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

struct Update<'a, F> {
    target: &'a mut [f32],
    input: &'a [f32],
    operation: F,
}

impl<F: Fn(&mut f32, f32)> Kernel for Update<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for (target, &input) in self.target.iter_mut().zip(self.input) {
            (self.operation)(target, input);
        }
    }
}
