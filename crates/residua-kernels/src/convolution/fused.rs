//! Convolution passes that evaluate their input as they read it and finish their result while it is
//! in cache.

use std::ops::Range;

use super::ConvolutionGeometry;
use super::correlation::Correlation;
use super::depthwise;
use super::direct::{DirectCorrelation, DirectSum};
use super::pointwise::PointwiseGradients;
use super::units::{Correlate, SumProducts, correlate, correlate_and_sum, sum_products};
use super::winograd::Direction;
use super::winograd_units::{WinogradCorrelation, WinogradSum, WinogradUnits, winograd_gradients};
use crate::feature_map::{
    BatchMoments, Finish, GradientSums, OutputGradient, PartialMoments, PartialSums, Source,
    Stores, UnitGradient, copy_pixels, finish_pixels, store_pixels,
};
use crate::parallel::DisjointWriter;
use crate::{Element, InstructionSet, ShapeError};

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

/// Convolves; see [`ForwardPass`]. The moments are those of the output, if they were asked for.
///
/// # Errors
/// If a slice's length differs from the geometry's, or the source is to be kept by a convolution
/// that does not read each pixel once in the place of an output pixel.
pub fn forward<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: ForwardPass<'_, E>,
) -> Result<Option<BatchMoments>, ShapeError> {
    let spec = geometry.spec();
    pass.source
        .check(geometry.input_length(), spec.in_channels)?;
    ShapeError::check_length("weight", pass.weight.len(), geometry.weight_length())?;
    ShapeError::check_length("output", pass.output.len(), geometry.output_length())?;
    if let Some(bias) = pass.bias {
        ShapeError::check_length("bias", bias.len(), spec.out_channels)?;
    }
    if let Some(keep) = &pass.keep {
        ShapeError::check_length("keep", keep.len(), geometry.input_length())?;
        if spec.stride != [1, 1] || spec.input != geometry.output() {
            return Err(ShapeError::new(format!(
                "a source of {:?} pixels cannot be kept by a convolution to {:?} pixels with \
                 stride {:?}",
                spec.input,
                geometry.output(),
                spec.stride,
            )));
        }
    }
    if depthwise::suits(geometry) {
        return depthwise::forward(geometry, pass);
    }
    if WinogradUnits::suit(geometry) {
        let direction = Direction::Forward;
        let winograd = WinogradCorrelation::new(geometry, direction, pass.weight, pass.bias);
        return Ok(run_forward(geometry, &winograd, pass));
    }
    let correlation = Correlation::forward(geometry);
    let direct = DirectCorrelation::<E>::new(correlation, pass.weight, pass.bias);
    Ok(run_forward(geometry, &direct, pass))
}

fn run_forward<E: Element, C: Correlate>(
    geometry: &ConvolutionGeometry,
    correlation: &C,
    pass: ForwardPass<'_, E>,
) -> Option<BatchMoments> {
    let set = InstructionSet::current();
    let (inputs, outputs) = (geometry.spec().in_channels, geometry.spec().out_channels);
    let keep = pass.keep.map(DisjointWriter::new);
    let stores = Stores::of(pass.output);
    let output = DisjointWriter::new(pass.output);
    let source = &pass.source;
    let load = |unit: usize, pixels: Range<usize>, target: &mut [C::Number], stride: usize| {
        source.load(set, inputs, pixels.clone(), target, stride);
        if let Some(keep) = &keep {
            // The source pixels in the places of the unit's target pixels are its own to keep.
            let own = correlation.target_pixels(unit);
            let own = pixels.start.max(own.start)..pixels.end.min(own.end);
            if !own.is_empty() {
                let loaded = &target[(own.start - pixels.start) * stride..];
                // SAFETY: units differ in their target pixels, so nobody else has these.
                let kept = unsafe { keep.slice(own.start * inputs, own.len() * inputs) };
                copy_pixels(set, inputs, loaded, stride, kept);
            }
        }
    };
    let store = |unit: usize, result: &[f32]| {
        let pixels = correlation.target_pixels(unit);
        // SAFETY: units differ in their target pixels, so nobody else has these.
        let target = unsafe { output.slice(pixels.start * outputs, result.len()) };
        let mut moments = PartialMoments::default();
        let asked = pass.moments.then_some(&mut moments);
        store_pixels(set, outputs, result, target, stores, asked);
        moments
    };
    let parts = correlate(correlation, load, store);
    pass.moments.then(|| BatchMoments::combine(&parts, outputs))
}

/// The gradient with respect to the input; see [`InputGradientPass`]. The sums are those of its
/// `finish`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn input_gradient<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: InputGradientPass<'_, E>,
) -> Result<Option<GradientSums>, ShapeError> {
    pass.check(geometry)?;
    if depthwise::suits(geometry) {
        return depthwise::input_gradient(geometry, pass);
    }
    if WinogradUnits::suit(geometry) {
        let direction = Direction::InputGradient;
        let winograd = WinogradCorrelation::new(geometry, direction, pass.weight, None);
        return Ok(run_input_gradient(geometry, &winograd, pass));
    }
    let correlation = Correlation::input_gradient(geometry);
    let direct = DirectCorrelation::<E>::new(correlation, pass.weight, None);
    Ok(run_input_gradient(geometry, &direct, pass))
}

fn run_input_gradient<E: Element, C: Correlate>(
    geometry: &ConvolutionGeometry,
    correlation: &C,
    pass: InputGradientPass<'_, E>,
) -> Option<GradientSums> {
    let set = InstructionSet::current();
    let (gradient, outputs) = (pass.gradient, geometry.spec().out_channels);
    let load = |_, pixels: Range<usize>, target: &mut [C::Number], stride: usize| {
        gradient.load(set, outputs, pixels, target, stride);
    };
    let target = InputGradientTarget::new(geometry, pass);
    let parts = correlate(correlation, load, |unit, result| {
        // SAFETY: units differ in their target pixels, so nobody else has these.
        unsafe { target.store(set, correlation.target_pixels(unit), result) }
    });
    target.sums(&parts)
}

impl<E: Element> InputGradientPass<'_, E> {
    fn check(&self, geometry: &ConvolutionGeometry) -> Result<(), ShapeError> {
        let spec = geometry.spec();
        self.gradient
            .check(geometry.output_length(), spec.out_channels)?;
        ShapeError::check_length("weight", self.weight.len(), geometry.weight_length())?;
        ShapeError::check_length("input gradient", self.output.len(), geometry.input_length())?;
        if let Some(finish) = &self.finish {
            finish.check(geometry.input_length(), spec.in_channels)?;
        }
        Ok(())
    }
}

/// Where units leave their part of an input gradient.
struct InputGradientTarget<'a, E> {
    channels: usize,
    output: DisjointWriter<'a, E>,
    add_to_output: bool,
    stores: Stores,
    finish: Option<Finish<'a, E>>,
}

impl<'a, E: Element> InputGradientTarget<'a, E> {
    fn new(geometry: &ConvolutionGeometry, pass: InputGradientPass<'a, E>) -> Self {
        Self {
            channels: geometry.spec().in_channels,
            stores: match pass.add_to_output {
                // What is read is in cache.
                true => Stores::Cached,
                false => Stores::of(pass.output),
            },
            output: DisjointWriter::new(pass.output),
            add_to_output: pass.add_to_output,
            finish: pass.finish,
        }
    }

    /// Finishes and stores the result of the `pixels`.
    ///
    /// # Safety
    /// No other thread may store the same pixels meanwhile.
    unsafe fn store(
        &self,
        set: InstructionSet,
        pixels: Range<usize>,
        result: &[f32],
    ) -> PartialSums {
        let nothing = Finish {
            mask: None,
            norms: &[],
        };
        // SAFETY: the caller's promise.
        let target = unsafe {
            self.output
                .slice(pixels.start * self.channels, result.len())
        };
        let unit = UnitGradient {
            channels: self.channels,
            first_pixel: pixels.start,
            result: Some(result),
            add_to_target: self.add_to_output,
            target,
            stores: self.stores,
        };
        let mut sums = PartialSums::default();
        finish_pixels(
            set,
            self.finish.as_ref().unwrap_or(&nothing),
            unit,
            &mut sums,
        );
        sums
    }

    /// The sums of all units.
    fn sums(&self, parts: &[PartialSums]) -> Option<GradientSums> {
        let finish = self.finish.as_ref()?;
        Some(GradientSums::combine(
            parts,
            self.channels,
            finish.norms.len(),
        ))
    }
}

/// The gradient with respect to the weight; see [`WeightGradientPass`].
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn weight_gradient<E: Element>(
    geometry: &ConvolutionGeometry,
    pass: WeightGradientPass<'_, E>,
) -> Result<(), ShapeError> {
    pass.check(geometry)?;
    if depthwise::suits(geometry) {
        return depthwise::weight_gradient(geometry, pass);
    }
    if WinogradUnits::suit(geometry) {
        run_weight_gradient(geometry, &WinogradSum::new(geometry), pass);
        return Ok(());
    }
    run_weight_gradient(geometry, &DirectSum::<E>::new(geometry), pass);
    Ok(())
}

impl<E: Element> WeightGradientPass<'_, E> {
    fn check(&self, geometry: &ConvolutionGeometry) -> Result<(), ShapeError> {
        let spec = geometry.spec();
        self.source
            .check(geometry.input_length(), spec.in_channels)?;
        self.gradient
            .check(geometry.output_length(), spec.out_channels)?;
        let length = self.weight_gradient.len();
        ShapeError::check_length("weight gradient", length, geometry.weight_length())
    }
}

fn run_weight_gradient<E: Element, S: SumProducts>(
    geometry: &ConvolutionGeometry,
    sum: &S,
    pass: WeightGradientPass<'_, E>,
) {
    let set = InstructionSet::current();
    let (inputs, outputs) = (geometry.spec().in_channels, geometry.spec().out_channels);
    let (source, gradient) = (&pass.source, &pass.gradient);
    sum_products(
        sum,
        |pixels, target, stride| source.load(set, inputs, pixels, target, stride),
        |pixels, target, stride| gradient.load(set, outputs, pixels, target, stride),
        pass.weight_gradient,
    );
}

/// Both gradients; see [`input_gradient`] and [`weight_gradient`]. The two passes have the same
/// output gradient, which is read once where the convolution allows it.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn gradients<E: Element>(
    geometry: &ConvolutionGeometry,
    source: Source<'_, E>,
    weight_gradient: &mut [f32],
    pass: InputGradientPass<'_, E>,
) -> Result<Option<GradientSums>, ShapeError> {
    let weight_pass = WeightGradientPass {
        source,
        gradient: pass.gradient,
        weight_gradient,
    };
    weight_pass.check(geometry)?;
    pass.check(geometry)?;
    if !depthwise::suits(geometry) && PointwiseGradients::<E>::suit(geometry) {
        let pair = PointwiseGradients::<E>::new(geometry, pass.weight);
        let (correlation, sum) = (&pair.correlation, &pair.sum);
        return Ok(run_gradients(geometry, correlation, sum, weight_pass, pass));
    }
    if WinogradUnits::suit(geometry)
        && let Some((correlation, sum)) = winograd_gradients(geometry, pass.weight)
    {
        return Ok(run_gradients(
            geometry,
            &correlation,
            &sum,
            weight_pass,
            pass,
        ));
    }
    self::weight_gradient(geometry, weight_pass)?;
    input_gradient(geometry, pass)
}

fn run_gradients<E: Element, C: Correlate, S: SumProducts<Number = C::Number>>(
    geometry: &ConvolutionGeometry,
    correlation: &C,
    sum: &S,
    weight_pass: WeightGradientPass<'_, E>,
    pass: InputGradientPass<'_, E>,
) -> Option<GradientSums> {
    let set = InstructionSet::current();
    let (inputs, outputs) = (geometry.spec().in_channels, geometry.spec().out_channels);
    let (source, gradient) = (weight_pass.source, weight_pass.gradient);
    let target = InputGradientTarget::new(geometry, pass);
    let parts = correlate_and_sum(
        correlation,
        sum,
        |pixels, target, stride| source.load(set, inputs, pixels, target, stride),
        |pixels, target, stride| gradient.load(set, outputs, pixels, target, stride),
        |unit, result| {
            // SAFETY: units differ in their target pixels, so nobody else has these.
            unsafe { target.store(set, correlation.target_pixels(unit), result) }
        },
        weight_pass.weight_gradient,
    );
    target.sums(&parts)
}
