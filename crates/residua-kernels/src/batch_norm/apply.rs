//! The forward pass.

use rayon::prelude::*;

use super::{Activation, Epilogue, Parameters, Statistics, check_forward, statistics};
use crate::channels::ChannelRows;
use crate::elementwise::rectify;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Normalises `input` `[..., C]` with its own statistics into `output` and returns them for the
/// backward pass.
///
/// # Errors
/// If the input is empty or lengths do not fit together.
pub fn forward_train(
    input: &[f32],
    parameters: &Parameters<'_>,
    epsilon: f32,
    epilogue: &Epilogue<'_>,
    output: &mut [f32],
) -> Result<Statistics, ShapeError> {
    let channels = check_forward(input, parameters, epilogue, output)?;
    let statistics = statistics(input, channels, epsilon)?;
    apply(input, &statistics, parameters, epilogue, output);
    Ok(statistics)
}

/// Normalises `input` `[..., C]` with given statistics, see [`Statistics::given`], into `output`.
///
/// # Errors
/// If lengths do not fit together.
pub fn forward_inference(
    input: &[f32],
    statistics: &Statistics,
    parameters: &Parameters<'_>,
    epilogue: &Epilogue<'_>,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    let channels = check_forward(input, parameters, epilogue, output)?;
    ShapeError::check_length("mean", statistics.mean.len(), channels)?;
    ShapeError::check_length("variance", statistics.inverse_std.len(), channels)?;
    apply(input, statistics, parameters, epilogue, output);
    Ok(())
}

/// The one pass that reads the input and the residual and writes the output.
fn apply(
    input: &[f32],
    statistics: &Statistics,
    parameters: &Parameters<'_>,
    epilogue: &Epilogue<'_>,
    output: &mut [f32],
) {
    let set = InstructionSet::current();
    let rows = ChannelRows::new(parameters.gamma.len());
    let scale: Vec<_> = parameters
        .gamma
        .iter()
        .zip(&statistics.inverse_std)
        .map(|(gamma, std)| gamma * std)
        .collect();
    let mean = rows.widen(&statistics.mean);
    let scale = rows.widen(&scale);
    let shift = rows.widen(parameters.beta);
    output
        .par_chunks_mut(rows.part())
        .enumerate()
        .for_each(|(index, output)| {
            let range = index * rows.part()..index * rows.part() + output.len();
            set.run(ApplyPart {
                input: &input[range.clone()],
                residual: epilogue.residual.map(|residual| &residual[range]),
                activation: epilogue.activation,
                mean: &mean,
                scale: &scale,
                shift: &shift,
                output,
            });
        });
}

struct ApplyPart<'a> {
    input: &'a [f32],
    residual: Option<&'a [f32]>,
    activation: Activation,
    mean: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for ApplyPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        match (self.residual, self.activation) {
            (None, Activation::Identity) => self.rows(|number| number),
            (None, Activation::Relu) => self.rows(rectify),
            (Some(residual), Activation::Identity) => {
                self.rows_with_residual(residual, |number| number)
            }
            (Some(residual), Activation::Relu) => self.rows_with_residual(residual, rectify),
        }
    }
}

impl ApplyPart<'_> {
    #[inline(always)]
    fn rows(self, activation: impl Fn(f32) -> f32) {
        let width = self.mean.len();
        for (output, input) in self.output.chunks_mut(width).zip(self.input.chunks(width)) {
            let parameters = self.mean.iter().zip(self.scale).zip(self.shift);
            for ((output, &input), ((mean, scale), shift)) in
                output.iter_mut().zip(input).zip(parameters)
            {
                *output = activation((input - mean) * scale + shift);
            }
        }
    }

    #[inline(always)]
    fn rows_with_residual(self, residual: &[f32], activation: impl Fn(f32) -> f32) {
        let width = self.mean.len();
        let inputs = self.input.chunks(width).zip(residual.chunks(width));
        for (output, (input, residual)) in self.output.chunks_mut(width).zip(inputs) {
            let parameters = self.mean.iter().zip(self.scale).zip(self.shift);
            let inputs = input.iter().zip(residual);
            for ((output, (&input, &residual)), ((mean, scale), shift)) in
                output.iter_mut().zip(inputs).zip(parameters)
            {
                *output = activation((input - mean) * scale + shift + residual);
            }
        }
    }
}
