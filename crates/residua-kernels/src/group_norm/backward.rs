//! The backward pass.

use rayon::prelude::*;

use super::{GroupNormGeometry, GroupStatistics};
use crate::channels::ChannelRows;
use crate::reduce::{add_rows, flush};
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// The gradients of [`super::forward`], which `statistics` come from.
///
/// With the gradient `g` of the output, `r` the inverse deviation and averages `⟨·⟩` over a group:
/// `input_gradient = r · (scale · g − ⟨scale · g⟩ − r² · (input − mean) · ⟨scale · g · (input −
/// mean)⟩)`, `scale_gradient = Σ g · (input − mean) · r` and `shift_gradient = Σ g` over images and
/// pixels.
///
/// # Errors
/// If a slice's length differs from the geometry's.
#[expect(
    clippy::too_many_arguments,
    reason = "three inputs have three gradients"
)]
pub fn backward<E: Element>(
    geometry: &GroupNormGeometry,
    input: &[E],
    scale: &[f32],
    statistics: &GroupStatistics,
    output_gradient: &[E],
    input_gradient: &mut [E],
    scale_gradient: &mut [f32],
    shift_gradient: &mut [f32],
) -> Result<(), ShapeError> {
    let length = geometry.map_length();
    let groups = geometry.batch * geometry.groups;
    let GroupStatistics {
        mean,
        inverse_deviation,
    } = statistics;
    ShapeError::check_length("input", input.len(), length)?;
    geometry.check_parameters(scale, "scale gradient", scale_gradient.len())?;
    ShapeError::check_length("mean", mean.len(), groups)?;
    ShapeError::check_length("inverse deviation", inverse_deviation.len(), groups)?;
    ShapeError::check_length("output gradient", output_gradient.len(), length)?;
    ShapeError::check_length("input gradient", input_gradient.len(), length)?;
    ShapeError::check_length("shift gradient", shift_gradient.len(), geometry.channels)?;
    let set = InstructionSet::current();
    let rows = ChannelRows::new(geometry.channels);
    let image_length = geometry.image_length();
    let statistics = mean
        .par_chunks(geometry.groups)
        .zip(inverse_deviation.par_chunks(geometry.groups));
    let maps = input
        .par_chunks(image_length)
        .zip(output_gradient.par_chunks(image_length));
    let sums: Vec<Sums> = input_gradient
        .par_chunks_mut(image_length)
        .zip(maps)
        .zip(statistics)
        .map(
            |((input_gradient, (input, output_gradient)), (mean, inverse))| {
                let image = Image {
                    set,
                    geometry,
                    rows,
                    input,
                    output_gradient,
                    mean: geometry.widen(rows, mean),
                };
                let mut sums = image.sums();
                let coefficients = Coefficients::new(geometry, rows, scale, inverse, &sums);
                image.write(&coefficients, input_gradient);
                let products = sums.products.chunks_exact_mut(geometry.group_channels());
                for (products, &inverse) in products.zip(inverse) {
                    for product in products {
                        *product *= f64::from(inverse);
                    }
                }
                sums
            },
        )
        .collect();
    let total = Sums::total(geometry.channels, &sums);
    for (gradient, total) in scale_gradient.iter_mut().zip(&total.products) {
        *gradient = *total as f32;
    }
    for (gradient, total) in shift_gradient.iter_mut().zip(&total.gradients) {
        *gradient = *total as f32;
    }
    Ok(())
}

/// Per channel: the sum of the gradients and that of their products with `input − mean`.
struct Sums {
    gradients: Vec<f64>,
    products: Vec<f64>,
}

impl Sums {
    /// Adds the sums, the first ones first.
    fn total(channels: usize, terms: &[Self]) -> Self {
        let mut total = Self {
            gradients: vec![0.0; channels],
            products: vec![0.0; channels],
        };
        for term in terms {
            for (total, number) in total.gradients.iter_mut().zip(&term.gradients) {
                *total += number;
            }
            for (total, number) in total.products.iter_mut().zip(&term.products) {
                *total += number;
            }
        }
        total
    }
}

/// One image.
struct Image<'a, E> {
    set: InstructionSet,
    geometry: &'a GroupNormGeometry,
    rows: ChannelRows,
    input: &'a [E],
    output_gradient: &'a [E],
    /// A row.
    mean: Vec<f32>,
}

impl<E: Element> Image<'_, E> {
    fn sums(&self) -> Sums {
        let part = self.rows.part();
        let parts: Vec<Sums> = self
            .input
            .par_chunks(part)
            .zip(self.output_gradient.par_chunks(part))
            .map(|(input, output_gradient)| {
                self.set.run(PartSums {
                    rows: self.rows,
                    input,
                    output_gradient,
                    mean: &self.mean,
                })
            })
            .collect();
        Sums::total(self.geometry.channels, &parts)
    }

    fn write(&self, coefficients: &Coefficients, input_gradient: &mut [E]) {
        let part = self.rows.part();
        let inputs = self
            .input
            .par_chunks(part)
            .zip(self.output_gradient.par_chunks(part));
        input_gradient.par_chunks_mut(part).zip(inputs).for_each(
            |(input_gradient, (input, output_gradient))| {
                self.set.run(WritePart {
                    input,
                    output_gradient,
                    mean: &self.mean,
                    coefficients,
                    input_gradient,
                });
            },
        );
    }
}

struct PartSums<'a, E> {
    rows: ChannelRows,
    input: &'a [E],
    output_gradient: &'a [E],
    /// A row.
    mean: &'a [f32],
}

impl<E: Element> Kernel for PartSums<'_, E> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Sums {
        let width = self.rows.width;
        let block = self.rows.block();
        let mut totals = [vec![0.0; width], vec![0.0; width]];
        let mut gradients = vec![0.0f32; width];
        let mut products = vec![0.0f32; width];
        let blocks = self
            .input
            .chunks(block)
            .zip(self.output_gradient.chunks(block));
        for (input, gradient) in blocks {
            add_rows(gradient, &mut gradients);
            for (input, gradient) in input.chunks(width).zip(gradient.chunks(width)) {
                let numbers = input.iter().zip(gradient).zip(self.mean);
                for (product, ((&number, &gradient), &mean)) in products.iter_mut().zip(numbers) {
                    *product += gradient.to_f32() * (number.to_f32() - mean);
                }
            }
            flush(&mut gradients, &mut totals[0]);
            flush(&mut products, &mut totals[1]);
        }
        Sums {
            gradients: self.rows.narrow(&totals[0]),
            products: self.rows.narrow(&totals[1]),
        }
    }
}

/// `input_gradient = scale · gradient + slope · (input − mean) + offset`, each a row.
struct Coefficients {
    scale: Vec<f32>,
    slope: Vec<f32>,
    offset: Vec<f32>,
}

impl Coefficients {
    fn new(
        geometry: &GroupNormGeometry,
        rows: ChannelRows,
        scale: &[f32],
        inverse_deviation: &[f32],
        sums: &Sums,
    ) -> Self {
        let group_channels = geometry.group_channels();
        let (mut slopes, mut offsets) = (Vec::new(), Vec::new());
        for (group, &inverse) in inverse_deviation.iter().enumerate() {
            let channels = group * group_channels..(group + 1) * group_channels;
            let average = |sums: &[f64]| {
                let scaled = scale[channels.clone()].iter().zip(&sums[channels.clone()]);
                let total: f64 = scaled.map(|(&scale, sum)| f64::from(scale) * sum).sum();
                total / geometry.count()
            };
            let inverse = f64::from(inverse);
            slopes.push((-inverse.powi(3) * average(&sums.products)) as f32);
            offsets.push((-inverse * average(&sums.gradients)) as f32);
        }
        let inverse = geometry.widen(rows, inverse_deviation);
        let scale = rows.widen(scale);
        Self {
            scale: inverse.iter().zip(&scale).map(|(a, b)| a * b).collect(),
            slope: geometry.widen(rows, &slopes),
            offset: geometry.widen(rows, &offsets),
        }
    }
}

struct WritePart<'a, E> {
    input: &'a [E],
    output_gradient: &'a [E],
    /// A row.
    mean: &'a [f32],
    coefficients: &'a Coefficients,
    input_gradient: &'a mut [E],
}

impl<E: Element> Kernel for WritePart<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Coefficients {
            scale,
            slope,
            offset,
        } = self.coefficients;
        let width = self.mean.len();
        let rows = self
            .input
            .chunks(width)
            .zip(self.output_gradient.chunks(width));
        for (target, (input, gradient)) in self.input_gradient.chunks_mut(width).zip(rows) {
            let coefficients = self.mean.iter().zip(scale).zip(slope.iter().zip(offset));
            let numbers = input.iter().zip(gradient).zip(coefficients);
            for (target, ((&number, &gradient), ((&mean, &scale), (&slope, &offset)))) in
                target.iter_mut().zip(numbers)
            {
                let distance = number.to_f32() - mean;
                *target = E::from_f32(scale * gradient.to_f32() + (slope * distance + offset));
            }
        }
    }
}
