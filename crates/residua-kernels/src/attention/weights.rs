//! The softmax over keys and its gradient, on the scores `[pixels, columns]` of one image and head.
//!
//! Of the query at `(y, x)`, the columns behind the keys that are needed are the `H` height
//! positions from `H − 1 − y` on and the `W` width positions from `W − 1 − x` on.

use rayon::prelude::*;

use super::AttentionGeometry;
use crate::InstructionSet;
use crate::activation::functions::exp;
use crate::rows::{dot, maximum, sum};
use crate::simd::{Kernel, Simd};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 16 * 1024;

/// Where the positions of a query begin in its row of scores.
#[inline(always)]
fn first_positions(geometry: &AttentionGeometry, query: usize) -> [usize; 2] {
    let [height, width] = geometry.map;
    let (y, x) = (query / width, query % width);
    let heights = geometry.pixels() + height - 1 - y;
    let widths = geometry.pixels() + 2 * height - 1 + width - 1 - x;
    [heights, widths]
}

fn queries_per_part(geometry: &AttentionGeometry) -> usize {
    (PART_NUMBERS / geometry.pixels()).max(1)
}

/// Writes the weights `[pixels, pixels]`, the softmax over keys of the scores.
pub(super) fn softmax(
    set: InstructionSet,
    geometry: &AttentionGeometry,
    scores: &[f32],
    weights: &mut [f32],
) {
    let queries = queries_per_part(geometry);
    weights
        .par_chunks_mut(queries * geometry.pixels())
        .zip(scores.par_chunks(queries * geometry.columns()))
        .enumerate()
        .for_each(|(part, (weights, scores))| {
            set.run(Softmax {
                geometry,
                first: part * queries,
                scores,
                weights,
            });
        });
}

/// Some queries.
struct Softmax<'a> {
    geometry: &'a AttentionGeometry,
    /// Number of the first one.
    first: usize,
    scores: &'a [f32],
    weights: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let [height, width] = self.geometry.map;
        let queries = self
            .weights
            .chunks_exact_mut(self.geometry.pixels())
            .zip(self.scores.chunks_exact(self.geometry.columns()));
        for (query, (weights, scores)) in (self.first..).zip(queries) {
            let [heights, widths] = first_positions(self.geometry, query);
            let heights = &scores[heights..heights + height];
            let widths = &scores[widths..widths + width];
            let lines = weights
                .chunks_exact_mut(width)
                .zip(scores.chunks_exact(width));
            for ((weights, scores), &of_height) in lines.zip(heights) {
                for ((weight, &score), &of_width) in weights.iter_mut().zip(scores).zip(widths) {
                    *weight = score + (of_height + of_width);
                }
            }
            let largest = maximum(weights);
            for weight in weights.iter_mut() {
                *weight = exp(*weight - largest);
            }
            let share = 1.0 / sum(weights);
            for weight in weights {
                *weight *= share;
            }
        }
    }
}

/// Writes the gradient of the scores `[pixels, columns]` from the weights and their gradient: `weight
/// · (gradient − Σ weight · gradient)` for the keys, whose sums over lines and columns of the image
/// are the gradients of the positions.
pub(super) fn softmax_gradient(
    set: InstructionSet,
    geometry: &AttentionGeometry,
    weights: &[f32],
    weights_gradient: &[f32],
    scores_gradient: &mut [f32],
) {
    let queries = queries_per_part(geometry);
    let numbers = queries * geometry.pixels();
    let inputs = weights
        .par_chunks(numbers)
        .zip(weights_gradient.par_chunks(numbers));
    scores_gradient
        .par_chunks_mut(queries * geometry.columns())
        .zip(inputs)
        .enumerate()
        .for_each(|(part, (scores_gradient, (weights, weights_gradient)))| {
            set.run(SoftmaxGradient {
                geometry,
                first: part * queries,
                weights,
                weights_gradient,
                scores_gradient,
            });
        });
}

/// Some queries.
struct SoftmaxGradient<'a> {
    geometry: &'a AttentionGeometry,
    /// Number of the first one.
    first: usize,
    weights: &'a [f32],
    weights_gradient: &'a [f32],
    scores_gradient: &'a mut [f32],
}

impl Kernel for SoftmaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let [height, width] = self.geometry.map;
        let pixels = self.geometry.pixels();
        let mut of_widths = vec![0.0f32; width];
        let queries = self
            .weights
            .chunks_exact(pixels)
            .zip(self.weights_gradient.chunks_exact(pixels));
        let targets = self
            .scores_gradient
            .chunks_exact_mut(self.geometry.columns());
        for (query, (target, (weights, gradient))) in (self.first..).zip(targets.zip(queries)) {
            let product = dot(weights, gradient);
            let (keys, positions) = target.split_at_mut(pixels);
            for (target, (&weight, &gradient)) in keys.iter_mut().zip(weights.iter().zip(gradient))
            {
                *target = weight * (gradient - product);
            }
            positions.fill(0.0);
            of_widths.fill(0.0);
            let [heights, widths] = first_positions(self.geometry, query);
            let (heights, widths) = (heights - pixels, widths - pixels);
            let lines = keys.chunks_exact(width);
            for (line, of_height) in lines.zip(&mut positions[heights..heights + height]) {
                *of_height = sum(line);
                for (of_width, &number) in of_widths.iter_mut().zip(line) {
                    *of_width += number;
                }
            }
            positions[widths..widths + width].copy_from_slice(&of_widths);
        }
    }
}
