//! Convolution passes that evaluate their input as they read it and finish their result while it is in cache.
use super::ConvolutionGeometry;
use crate::feature_map::*;
use crate::{Element, ShapeError};

/// A forward pass.
#[derive(Debug)]
pub struct ForwardPass<'a, E> {
    /// `[N, H, W, C]`.
    pub source: Source<'a, E>,
    /// `[out, in / groups, kernel height, kernel width]`.
    pub weight: &'a [f32],
    /// `[out]`.
    pub bias: Option<&'a [f32]>,
    /// `[N, H', W', K]`.
    pub output: &'a mut [E],
    /// Where the evaluated source is kept for others, `[N, H, W, C]`.
    pub keep: Option<&'a mut [E]>,
    /// Whether mean and variance of the output are asked for.
    pub moments: bool,
}

/// A pass for the gradient of the input.
#[derive(Debug)]
pub struct InputGradientPass<'a, E> {
    /// `[N, H', W', K]`.
    pub gradient: OutputGradient<'a, E>,
    /// `[out, in / groups, kernel height, kernel width]`.
    pub weight: &'a [f32],
    /// `[N, H, W, C]`.
    pub output: &'a mut [E],
    /// Whether `output` holds a contribution that the gradient is added to.
    pub add_to_output: bool,
    /// What happens to the sum, if it is complete.
    pub finish: Option<Finish<'a, E>>,
}

/// A pass for the gradient of the weight.
#[derive(Debug)]
pub struct WeightGradientPass<'a, E> {
    /// What the convolution read, `[N, H, W, C]`.
    pub source: Source<'a, E>,
    /// `[N, H', W', K]`.
    pub gradient: OutputGradient<'a, E>,
    /// In the layout of the weight.
    pub weight_gradient: &'a mut [f32],
}

fn wide<E: Element>(v: &[E]) -> Vec<f32> {
    v.iter().map(|e| e.to_f32()).collect()
}

/// See [`ForwardPass`].
pub fn forward<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: ForwardPass<'_, E>,
) -> Result<Option<BatchMoments>, ShapeError> {
    let c = geometry.spec().in_channels;
    let k = geometry.spec().out_channels;
    let mut input = vec![E::default(); geometry.input_length()];
    evaluate(&pass.source, c, &mut input)?;
    let mut out = vec![0.0; geometry.output_length()];
    super::forward(geometry, &wide(&input), pass.weight, pass.bias, &mut out)?;
    let mut m = PartialMoments::default();
    store_pixels(
        crate::InstructionSet::current(),
        k,
        &out,
        pass.output,
        Some(&mut m),
    );
    if let Some(keep) = pass.keep {
        keep.copy_from_slice(&input);
    }
    Ok(pass.moments.then(|| BatchMoments::combine(&[m], k)))
}

/// See [`InputGradientPass`].
pub fn input_gradient<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: InputGradientPass<'_, E>,
) -> Result<Option<GradientSums>, ShapeError> {
    let c = geometry.spec().in_channels;
    let k = geometry.spec().out_channels;
    let mut g = vec![E::default(); geometry.output_length()];
    pass.gradient.load(
        crate::InstructionSet::current(),
        k,
        0..g.len() / k,
        &mut g,
        k,
    );
    let mut out = vec![0.0; geometry.input_length()];
    super::input_gradient(geometry, &wide(&g), pass.weight, &mut out)?;
    for (o, n) in pass.output.iter_mut().zip(&out) {
        *o = E::from_f32(if pass.add_to_output {
            o.to_f32() + n
        } else {
            *n
        });
    }
    pass.finish.map(|f| finish(&f, c, pass.output)).transpose()
}

/// See [`WeightGradientPass`].
pub fn weight_gradient<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: WeightGradientPass<'_, E>,
) -> Result<(), ShapeError> {
    let c = geometry.spec().in_channels;
    let k = geometry.spec().out_channels;
    let mut input = vec![E::default(); geometry.input_length()];
    evaluate(&pass.source, c, &mut input)?;
    let mut g = vec![E::default(); geometry.output_length()];
    pass.gradient.load(
        crate::InstructionSet::current(),
        k,
        0..g.len() / k,
        &mut g,
        k,
    );
    super::weight_gradient(geometry, &wide(&input), &wide(&g), pass.weight_gradient)
}
