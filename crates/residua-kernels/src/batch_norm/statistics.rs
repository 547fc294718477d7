//! Mean and variance of each channel.

use std::ops::Range;

use rayon::prelude::*;

use crate::channels::ChannelRows;
use crate::reduce::{add_rows, check_channels};
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Mean and variance of each channel of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Numbers per channel that the statistics were taken of.
    pub count: usize,
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Mean squared deviation of each channel, divided by `count`.
    pub variance: Vec<f32>,
    /// `1 / sqrt(variance + ε)`, with the ε that the statistics were asked with.
    pub inverse_std: Vec<f32>,
}

impl Statistics {
    /// Statistics that were not measured but are given, such as running ones; their `count` is 0.
    pub fn given(mean: &[f32], variance: &[f32], epsilon: f32) -> Self {
        let inverse_std = variance
            .iter()
            .map(|&variance| inverse_std(f64::from(variance), epsilon))
            .collect();
        Self {
            count: 0,
            mean: mean.to_vec(),
            variance: variance.to_vec(),
            inverse_std,
        }
    }

    /// Moves running statistics towards these, as PyTorch does: `running += momentum · (batch −
    /// running)`, where the batch's variance is the unbiased one, divided by `count − 1`.
    ///
    /// # Errors
    /// If a running slice's length differs from the number of channels.
    pub fn update_running(
        &self,
        momentum: f32,
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<(), ShapeError> {
        ShapeError::check_length("running mean", mean.len(), self.mean.len())?;
        ShapeError::check_length("running variance", variance.len(), self.mean.len())?;
        let unbiased = self.count as f32 / self.count.saturating_sub(1).max(1) as f32;
        for (running, &batch) in mean.iter_mut().zip(&self.mean) {
            *running += momentum * (batch - *running);
        }
        for (running, &batch) in variance.iter_mut().zip(&self.variance) {
            *running += momentum * (batch * unbiased - *running);
        }
        Ok(())
    }
}

/// Mean, biased variance and inverse standard deviation of each of the `channels` of `input` `[...,
/// C]`.
///
/// One pass over memory. Each block of a few thousand numbers is read twice from cache, for its
/// mean and for the squared deviations from it; blocks are combined in f64 (Chan, Golub and LeVeque
/// 1979). So the variance keeps its precision where the mean is large.
///
/// # Errors
/// If the length of `input` is zero or not a multiple of `channels`.
pub fn statistics(input: &[f32], channels: usize, epsilon: f32) -> Result<Statistics, ShapeError> {
    check_channels("input", input.len(), channels)?;
    if input.is_empty() {
        return Err(ShapeError::new(
            "input is empty, and the mean of nothing is undefined",
        ));
    }
    let set = InstructionSet::current();
    let rows = ChannelRows::new(channels);
    let parts: Vec<Vec<Moments>> = rows
        .parts(input.len())
        .into_par_iter()
        .map(|part| {
            set.run(PartMoments {
                rows,
                input: &input[part],
            })
        })
        .collect();
    let mut total = vec![Moments::default(); channels];
    for part in &parts {
        for (total, part) in total.iter_mut().zip(part) {
            total.merge(part);
        }
    }
    let variance = |moments: &Moments| moments.deviation / moments.count;
    Ok(Statistics {
        count: input.len() / channels,
        mean: total.iter().map(|moments| moments.mean as f32).collect(),
        variance: total
            .iter()
            .map(|moments| variance(moments) as f32)
            .collect(),
        inverse_std: total
            .iter()
            .map(|moments| inverse_std(variance(moments), epsilon))
            .collect(),
    })
}

fn inverse_std(variance: f64, epsilon: f32) -> f32 {
    (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32
}

/// Count, mean and summed squared deviation of some numbers.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    deviation: f64,
}

impl Moments {
    #[inline(always)]
    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if other.count == 0.0 {
            return;
        }
        let difference = other.mean - self.mean;
        self.mean += difference * (other.count / count);
        self.deviation +=
            other.deviation + difference * difference * (self.count * other.count / count);
        self.count = count;
    }
}

struct PartMoments<'a> {
    rows: ChannelRows,
    input: &'a [f32],
}

impl Kernel for PartMoments<'_> {
    type Output = Vec<Moments>;

    /// Lanes of a row are kept apart until the end, where those of the same channel are merged.
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Vec<Moments> {
        let width = self.rows.width;
        let mut total_mean = vec![0.0f64; width];
        let mut total_deviation = vec![0.0f64; width];
        let mut mean = vec![0.0f32; width];
        let mut deviation = vec![0.0f32; width];
        for (index, block) in self.input.chunks(self.rows.block()).enumerate() {
            // All blocks before this one are complete.
            let before = (index * self.rows.block() / width) as f64;
            mean.fill(0.0);
            deviation.fill(0.0);
            add_rows(block, &mut mean);
            for (lanes, rows) in lanes_by_rows(block.len(), width) {
                let share = 1.0 / rows as f32;
                mean[lanes].iter_mut().for_each(|mean| *mean *= share);
            }
            add_squared_deviations(block, &mean, &mut deviation);
            for (lanes, rows) in lanes_by_rows(block.len(), width) {
                let share = rows as f64 / (before + rows as f64);
                let block = mean[lanes.clone()].iter().zip(&deviation[lanes.clone()]);
                let total = total_mean[lanes.clone()]
                    .iter_mut()
                    .zip(&mut total_deviation[lanes]);
                for ((total_mean, total_deviation), (&mean, &deviation)) in total.zip(block) {
                    let difference = f64::from(mean) - *total_mean;
                    *total_mean += difference * share;
                    *total_deviation +=
                        f64::from(deviation) + difference * difference * (before * share);
                }
            }
        }
        let mut channels = vec![Moments::default(); self.rows.channels];
        for (lanes, rows) in lanes_by_rows(self.input.len(), width) {
            for lane in lanes {
                channels[lane % self.rows.channels].merge(&Moments {
                    count: rows as f64,
                    mean: total_mean[lane],
                    deviation: total_deviation[lane],
                });
            }
        }
        channels
    }
}

/// The lanes that `length` numbers in rows of `width` fill, with the number of rows that they have: the
/// first ones may have one more than the others.
fn lanes_by_rows(length: usize, width: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    let (whole, longer) = (length / width, length % width);
    [(0..longer, whole + 1), (longer..width, whole)]
        .into_iter()
        .filter(|(_, rows)| *rows > 0)
}

/// Adds the squared distance from `mean` of every row of `block` to `deviation`.
#[inline(always)]
fn add_squared_deviations(block: &[f32], mean: &[f32], deviation: &mut [f32]) {
    for row in block.chunks(mean.len()) {
        for ((deviation, &mean), &number) in deviation.iter_mut().zip(mean).zip(row) {
            let difference = number - mean;
            *deviation += difference * difference;
        }
    }
}
