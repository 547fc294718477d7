//! Group normalisation (Wu and He 2018): each image's channels are normalised in groups, over all
//! pixels of the image.

mod backward;
mod statistics;

pub use backward::backward;

use rayon::prelude::*;

use crate::channels::ChannelRows;
use crate::image_parts::check_map;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};
use statistics::{Moments, image_moments};

/// The sizes of a group normalisation, checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupNormGeometry {
    batch: usize,
    pixels: usize,
    channels: usize,
    groups: usize,
}

/// What [`forward`] measured, image by image and in it group by group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStatistics {
    /// Mean of each group.
    pub mean: Vec<f32>,
    /// `1 / sqrt(variance + ε)` of each group, with the variance divided by the count.
    pub inverse_deviation: Vec<f32>,
}

impl GroupNormGeometry {
    /// Images of `pixels` pixels, `H · W`, whose `channels` channels make `groups` groups of
    /// neighbouring channels.
    ///
    /// # Errors
    /// If a size is zero, the groups do not divide the channels, or the map does not fit into memory.
    pub fn new(
        batch: usize,
        pixels: usize,
        channels: usize,
        groups: usize,
    ) -> Result<Self, ShapeError> {
        check_map("a group normalisation", batch, pixels, channels)?;
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(ShapeError::new(format!(
                "{channels} channels do not make {groups} groups of equal size"
            )));
        }
        Ok(Self {
            batch,
            pixels,
            channels,
            groups,
        })
    }

    /// Elements of the map `[N, H, W, C]`.
    pub fn map_length(&self) -> usize {
        self.batch * self.image_length()
    }

    fn image_length(&self) -> usize {
        self.pixels * self.channels
    }

    fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    /// Numbers that are normalised together.
    fn count(&self) -> f64 {
        (self.pixels * self.group_channels()) as f64
    }

    /// One number per group, repeated for its channels and then to a row.
    fn widen(&self, rows: ChannelRows, groups: &[f32]) -> Vec<f32> {
        let channels = groups
            .iter()
            .flat_map(|&number| std::iter::repeat_n(number, self.group_channels()));
        rows.widen(&channels.collect::<Vec<f32>>())
    }

    fn check_parameters(
        &self,
        scale: &[f32],
        shift_name: &str,
        shift: usize,
    ) -> Result<(), ShapeError> {
        ShapeError::check_length("scale", scale.len(), self.channels)?;
        ShapeError::check_length(shift_name, shift, self.channels)
    }
}

/// `output = (input − mean) / sqrt(variance + ε) · scale + shift` for maps `[N, H, W, C]`, with mean
/// and variance of each group of each image, and `scale` and `shift` `[C]`.
///
/// Blocks of a few thousand numbers are read twice from cache, for their mean and for the squared
/// deviations from it, and combined in f64 (Chan, Golub and LeVeque 1979), so that the variance
/// keeps its precision where the mean is large.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn forward<E: Element>(
    geometry: &GroupNormGeometry,
    input: &[E],
    scale: &[f32],
    shift: &[f32],
    epsilon: f32,
    output: &mut [E],
) -> Result<GroupStatistics, ShapeError> {
    ShapeError::check_length("input", input.len(), geometry.map_length())?;
    geometry.check_parameters(scale, "shift", shift.len())?;
    ShapeError::check_length("output", output.len(), geometry.map_length())?;
    let set = InstructionSet::current();
    let rows = ChannelRows::new(geometry.channels);
    let (scale, shift) = (rows.widen(scale), rows.widen(shift));
    let groups = geometry.batch * geometry.groups;
    let mut statistics = GroupStatistics {
        mean: vec![0.0; groups],
        inverse_deviation: vec![0.0; groups],
    };
    let results = statistics
        .mean
        .par_chunks_mut(geometry.groups)
        .zip(statistics.inverse_deviation.par_chunks_mut(geometry.groups));
    let images = input
        .par_chunks(geometry.image_length())
        .zip(output.par_chunks_mut(geometry.image_length()));
    // An image is normalised by the task that measured it, while it is in cache; large ones are
    // shared by several tasks.
    images
        .zip(results)
        .for_each(|((input, output), (mean, inverse_deviation))| {
            let moments = image_moments(set, geometry, rows, input);
            for ((moments, mean), inverse) in moments
                .iter()
                .zip(mean.iter_mut())
                .zip(inverse_deviation.iter_mut())
            {
                *mean = moments.mean as f32;
                *inverse = inverse_root(moments, epsilon);
            }
            let inverse = geometry.widen(rows, inverse_deviation);
            let scale: Vec<f32> = inverse.iter().zip(&scale).map(|(a, b)| a * b).collect();
            let mean = geometry.widen(rows, mean);
            output
                .par_chunks_mut(rows.part())
                .zip(input.par_chunks(rows.part()))
                .for_each(|(output, input)| {
                    set.run(Normalise {
                        input,
                        mean: &mean,
                        scale: &scale,
                        shift: &shift,
                        output,
                    });
                });
        });
    Ok(statistics)
}

fn inverse_root(moments: &Moments, epsilon: f32) -> f32 {
    (1.0 / (moments.deviation / moments.count + f64::from(epsilon)).sqrt()) as f32
}

/// `output = (input − mean) · scale + shift`, all but the maps being rows.
struct Normalise<'a, E> {
    input: &'a [E],
    mean: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    output: &'a mut [E],
}

impl<E: Element> Kernel for Normalise<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let width = self.mean.len();
        let rows = self.output.chunks_mut(width).zip(self.input.chunks(width));
        for (output, input) in rows {
            let parameters = self.mean.iter().zip(self.scale).zip(self.shift);
            for ((output, &number), ((&mean, &scale), &shift)) in
                output.iter_mut().zip(input).zip(parameters)
            {
                *output = E::from_f32((number.to_f32() - mean) * scale + shift);
            }
        }
    }
}
