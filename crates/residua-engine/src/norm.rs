//! Batch normalisation as numbers per channel: its forward pass as a scale and a shift, its backward
//! pass as three factors (Ioffe and Szegedy 2015, Algorithm 1 and section 3).

use residua_kernels::feature_map::{Affine, BatchMoments};

/// A normalisation whose statistics are known.
#[derive(Debug, Clone)]
pub(crate) struct NormState {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    pub(crate) mean: Vec<f32>,
    inverse_deviation: Vec<f64>,
    /// Numbers in each mean.
    count: usize,
}

/// The backward pass for each channel, and the gradients of the parameters.
#[derive(Debug, Clone)]
pub(crate) struct NormFactors {
    pub(crate) gradient_factor: Vec<f32>,
    pub(crate) value_factor: Vec<f32>,
    pub(crate) constant: Vec<f32>,
    pub(crate) scale_gradient: Vec<f32>,
    pub(crate) shift_gradient: Vec<f32>,
}

impl NormState {
    /// From the statistics of a batch.
    pub(crate) fn of_batch(
        moments: &BatchMoments,
        scale: &[f32],
        shift: &[f32],
        epsilon: f32,
    ) -> Self {
        let mean = moments.mean.iter().copied();
        let variance = moments.variance.iter().copied();
        Self::new(mean, variance, scale, shift, epsilon, moments.count)
    }

    /// From running statistics.
    pub(crate) fn of_running(
        mean: &[f32],
        variance: &[f32],
        scale: &[f32],
        shift: &[f32],
        epsilon: f32,
    ) -> Self {
        let mean = mean.iter().map(|&mean| f64::from(mean));
        let variance = variance.iter().map(|&variance| f64::from(variance));
        Self::new(mean, variance, scale, shift, epsilon, 0)
    }

    fn new(
        mean: impl Iterator<Item = f64>,
        variance: impl Iterator<Item = f64>,
        scale: &[f32],
        shift: &[f32],
        epsilon: f32,
        count: usize,
    ) -> Self {
        let inverse_deviation: Vec<f64> = variance
            .map(|variance| 1.0 / (variance + f64::from(epsilon)).sqrt())
            .collect();
        let mut state = Self {
            scale: Vec::with_capacity(scale.len()),
            shift: Vec::with_capacity(scale.len()),
            mean: Vec::with_capacity(scale.len()),
            inverse_deviation: Vec::new(),
            count,
        };
        for (channel, mean) in mean.enumerate() {
            let factor = f64::from(scale[channel]) * inverse_deviation[channel];
            state.scale.push(factor as f32);
            state
                .shift
                .push((f64::from(shift[channel]) - mean * factor) as f32);
            state.mean.push(mean as f32);
        }
        state.inverse_deviation = inverse_deviation;
        state
    }

    pub(crate) fn affine(&self) -> Affine<'_> {
        Affine {
            scale: &self.scale,
            shift: &self.shift,
        }
    }

    /// From the sums over the gradient of the result: of itself, and of itself times the value's
    /// distance from the mean.
    pub(crate) fn factors(&self, sums: &[f64], products: &[f64]) -> NormFactors {
        let channels = sums.len();
        let mut factors = NormFactors {
            gradient_factor: Vec::with_capacity(channels),
            value_factor: Vec::with_capacity(channels),
            constant: Vec::with_capacity(channels),
            scale_gradient: Vec::with_capacity(channels),
            shift_gradient: Vec::with_capacity(channels),
        };
        let count = self.count as f64;
        for channel in 0..channels {
            let deviation = self.inverse_deviation[channel];
            let gradient_factor = f64::from(self.scale[channel]);
            let value_factor = -gradient_factor * deviation * deviation * products[channel] / count;
            let constant = -gradient_factor * sums[channel] / count
                - value_factor * f64::from(self.mean[channel]);
            factors.gradient_factor.push(gradient_factor as f32);
            factors.value_factor.push(value_factor as f32);
            factors.constant.push(constant as f32);
            factors
                .scale_gradient
                .push((products[channel] * deviation) as f32);
            factors.shift_gradient.push(sums[channel] as f32);
        }
        factors
    }
}
