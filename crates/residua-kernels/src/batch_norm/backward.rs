//! The backward pass.

use rayon::prelude::*;

use super::Statistics;
use crate::channels::ChannelRows;
use crate::elementwise::behind_relu;
use crate::reduce::{add_in_order, add_rows, check_channels, flush};
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// What the backward pass receives from above.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The gradient of the output.
    pub output_gradient: &'a [f32],
    /// The output itself if the activation was a ReLU: its positive numbers are the mask.
    pub relu_output: Option<&'a [f32]>,
}

/// Gradients of the learned numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterGradients {
    /// Gradient of each channel's scale.
    pub gamma: Vec<f32>,
    /// Gradient of each channel's shift.
    pub beta: Vec<f32>,
}

/// Backward pass of [`super::forward_train`]: writes `input_gradient` `[..., C]` and, if asked for,
/// the gradient of the residual (the output gradient behind the ReLU's mask), and returns those of
/// gamma and beta.
///
/// # Errors
/// If lengths do not fit together.
pub fn backward_train(
    input: &[f32],
    statistics: &Statistics,
    gamma: &[f32],
    incoming: Incoming<'_>,
    residual_gradient: Option<&mut [f32]>,
    input_gradient: &mut [f32],
) -> Result<ParameterGradients, ShapeError> {
    backward(
        input,
        statistics,
        gamma,
        incoming,
        residual_gradient,
        input_gradient,
        Source::Batch,
    )
}

/// Backward pass of [`super::forward_inference`], whose statistics do not depend on the input;
/// otherwise like [`backward_train`].
///
/// # Errors
/// If lengths do not fit together.
pub fn backward_inference(
    input: &[f32],
    statistics: &Statistics,
    gamma: &[f32],
    incoming: Incoming<'_>,
    residual_gradient: Option<&mut [f32]>,
    input_gradient: &mut [f32],
) -> Result<ParameterGradients, ShapeError> {
    backward(
        input,
        statistics,
        gamma,
        incoming,
        residual_gradient,
        input_gradient,
        Source::Given,
    )
}

/// Where the statistics came from.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    Batch,
    Given,
}

fn backward(
    input: &[f32],
    statistics: &Statistics,
    gamma: &[f32],
    incoming: Incoming<'_>,
    mut residual_gradient: Option<&mut [f32]>,
    input_gradient: &mut [f32],
    source: Source,
) -> Result<ParameterGradients, ShapeError> {
    check_channels("input", input.len(), gamma.len())?;
    ShapeError::check_length("mean", statistics.mean.len(), gamma.len())?;
    ShapeError::check_length(
        "inverse standard deviation",
        statistics.inverse_std.len(),
        gamma.len(),
    )?;
    ShapeError::check_length(
        "output gradient",
        incoming.output_gradient.len(),
        input.len(),
    )?;
    ShapeError::check_length("input gradient", input_gradient.len(), input.len())?;
    if let Some(output) = incoming.relu_output {
        ShapeError::check_length("output", output.len(), input.len())?;
    }
    if let Some(residual) = &residual_gradient {
        ShapeError::check_length("residual gradient", residual.len(), input.len())?;
    }
    let rows = ChannelRows::new(gamma.len());
    let sums = sums(
        rows,
        input,
        &statistics.mean,
        incoming,
        residual_gradient.as_deref_mut(),
    );
    let incoming = match &residual_gradient {
        Some(masked) => Incoming {
            output_gradient: masked,
            relu_output: None,
        },
        None => incoming,
    };
    let coefficients = Coefficients::new(
        rows,
        statistics,
        gamma,
        &sums,
        (source == Source::Batch).then_some(input),
    );
    apply(rows, input, incoming, &coefficients, input_gradient);
    let inverse_std = statistics
        .inverse_std
        .iter()
        .map(|&inverse_std| f64::from(inverse_std));
    Ok(ParameterGradients {
        gamma: sums
            .products
            .iter()
            .zip(inverse_std)
            .map(|(sum, inverse_std)| (sum * inverse_std) as f32)
            .collect(),
        beta: sums.gradients.iter().map(|&sum| sum as f32).collect(),
    })
}

/// Per channel: the sum of the masked gradients and that of their products with `input − mean`.
struct Sums {
    gradients: Vec<f64>,
    products: Vec<f64>,
}

/// The pass that reads everything and writes the residual's gradient.
fn sums(
    rows: ChannelRows,
    input: &[f32],
    mean: &[f32],
    incoming: Incoming<'_>,
    residual_gradient: Option<&mut [f32]>,
) -> Sums {
    let set = InstructionSet::current();
    let mean = rows.widen(mean);
    let ranges = rows.parts(input.len());
    let residuals: Vec<Option<&mut [f32]>> = match residual_gradient {
        Some(residual) => residual.chunks_mut(rows.part()).map(Some).collect(),
        None => ranges.iter().map(|_| None).collect(),
    };
    let parts: Vec<(Vec<f64>, Vec<f64>)> = ranges
        .into_par_iter()
        .zip(residuals)
        .map(|(range, residual_gradient)| {
            set.run(SumPart {
                rows,
                input: &input[range.clone()],
                mean: &mean,
                output_gradient: &incoming.output_gradient[range.clone()],
                relu_output: incoming.relu_output.map(|output| &output[range]),
                residual_gradient,
            })
        })
        .collect();
    let (gradients, products) = parts.into_iter().unzip();
    Sums {
        gradients: add_in_order(gradients, rows.channels),
        products: add_in_order(products, rows.channels),
    }
}

struct SumPart<'a> {
    rows: ChannelRows,
    input: &'a [f32],
    mean: &'a [f32],
    output_gradient: &'a [f32],
    relu_output: Option<&'a [f32]>,
    residual_gradient: Option<&'a mut [f32]>,
}

impl Kernel for SumPart<'_> {
    type Output = (Vec<f64>, Vec<f64>);

    #[inline(always)]
    fn run<S: Simd>(mut self, _simd: S) -> Self::Output {
        let width = self.rows.width;
        let block = self.rows.block();
        let mut totals = (vec![0.0; width], vec![0.0; width]);
        let mut gradients = vec![0.0; width];
        let mut products = vec![0.0; width];
        let mut masked = vec![0.0; block];
        for begin in (0..self.input.len()).step_by(block) {
            let range = begin..(begin + block).min(self.input.len());
            let mut gradient = &self.output_gradient[range.clone()];
            if self.relu_output.is_some() || self.residual_gradient.is_some() {
                let target = match &mut self.residual_gradient {
                    Some(residual) => &mut residual[range.clone()],
                    None => &mut masked[..gradient.len()],
                };
                match self.relu_output {
                    Some(output) => mask(gradient, &output[range.clone()], target),
                    None => target.copy_from_slice(gradient),
                }
                gradient = target;
            }
            add_rows(gradient, &mut gradients);
            add_products(gradient, &self.input[range], self.mean, &mut products);
            flush(&mut gradients, &mut totals.0);
            flush(&mut products, &mut totals.1);
        }
        (self.rows.narrow(&totals.0), self.rows.narrow(&totals.1))
    }
}

/// The gradient where the ReLU's output is positive (or NaN), zero elsewhere.
#[inline(always)]
fn mask(gradient: &[f32], output: &[f32], target: &mut [f32]) {
    for ((target, &gradient), &output) in target.iter_mut().zip(gradient).zip(output) {
        *target = behind_relu(output, gradient);
    }
}

#[inline(always)]
fn add_products(gradient: &[f32], input: &[f32], mean: &[f32], products: &mut [f32]) {
    let width = mean.len();
    for (gradient, input) in gradient.chunks(width).zip(input.chunks(width)) {
        let inputs = gradient.iter().zip(input).zip(mean);
        for (product, ((&gradient, &input), &mean)) in products.iter_mut().zip(inputs) {
            *product += gradient * (input - mean);
        }
    }
}

/// `input_gradient = scale · gradient + slope · (input − mean) + offset`, each a row.
struct Coefficients {
    mean: Vec<f32>,
    scale: Vec<f32>,
    slope: Vec<f32>,
    offset: Vec<f32>,
}

impl Coefficients {
    /// The derivative through mean and variance is part of it if the statistics are those of the
    /// batch.
    fn new(
        rows: ChannelRows,
        statistics: &Statistics,
        gamma: &[f32],
        sums: &Sums,
        batch: Option<&[f32]>,
    ) -> Self {
        let count = batch.map_or(f64::INFINITY, |input| (input.len() / rows.channels) as f64);
        let mut scale = Vec::with_capacity(rows.channels);
        let mut slope = Vec::with_capacity(rows.channels);
        let mut offset = Vec::with_capacity(rows.channels);
        for (channel, &gamma) in gamma.iter().enumerate() {
            let inverse_std = f64::from(statistics.inverse_std[channel]);
            let channel_scale = f64::from(gamma) * inverse_std;
            scale.push(channel_scale as f32);
            slope.push(
                (-channel_scale * inverse_std * inverse_std * (sums.products[channel] / count))
                    as f32,
            );
            offset.push((-channel_scale * (sums.gradients[channel] / count)) as f32);
        }
        Self {
            mean: rows.widen(&statistics.mean),
            scale: rows.widen(&scale),
            slope: rows.widen(&slope),
            offset: rows.widen(&offset),
        }
    }
}

/// The pass that writes the input's gradient.
fn apply(
    rows: ChannelRows,
    input: &[f32],
    incoming: Incoming<'_>,
    coefficients: &Coefficients,
    input_gradient: &mut [f32],
) {
    let set = InstructionSet::current();
    input_gradient
        .par_chunks_mut(rows.part())
        .enumerate()
        .for_each(|(index, input_gradient)| {
            let range = index * rows.part()..index * rows.part() + input_gradient.len();
            set.run(ApplyPart {
                input: &input[range.clone()],
                output_gradient: &incoming.output_gradient[range.clone()],
                relu_output: incoming.relu_output.map(|output| &output[range]),
                coefficients,
                input_gradient,
            });
        });
}

struct ApplyPart<'a> {
    input: &'a [f32],
    output_gradient: &'a [f32],
    relu_output: Option<&'a [f32]>,
    coefficients: &'a Coefficients,
    input_gradient: &'a mut [f32],
}

impl Kernel for ApplyPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        match self.relu_output {
            Some(output) => self.rows(output, behind_relu),
            // Without a mask the second operand is not looked at; any slice of that length will do.
            None => {
                let unused = self.output_gradient;
                self.rows(unused, |_, gradient| gradient);
            }
        }
    }
}

impl ApplyPart<'_> {
    #[inline(always)]
    fn rows(self, outputs: &[f32], masked: impl Fn(f32, f32) -> f32) {
        let Coefficients {
            mean,
            scale,
            slope,
            offset,
        } = self.coefficients;
        let width = mean.len();
        let inputs = self
            .input
            .chunks(width)
            .zip(self.output_gradient.chunks(width))
            .zip(outputs.chunks(width));
        for (target, ((input, gradient), output)) in
            self.input_gradient.chunks_mut(width).zip(inputs)
        {
            let inputs = input.iter().zip(gradient).zip(output);
            let coefficients = mean.iter().zip(scale).zip(slope.iter().zip(offset));
            for ((target, ((&input, &gradient), &output)), ((&mean, &scale), (&slope, &offset))) in
                target.iter_mut().zip(inputs).zip(coefficients)
            {
                *target = scale * masked(output, gradient) + (slope * (input - mean) + offset);
            }
        }
    }
}
