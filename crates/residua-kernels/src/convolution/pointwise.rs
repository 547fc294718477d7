//! Both gradients of a 1×1 convolution of stride 1, whose units of work are runs of pixels in either
//! direction: what is read of a unit serves both.

use super::ConvolutionGeometry;
use super::correlation::Correlation;
use super::direct::{DirectCorrelation, DirectSum};
use super::plan::Plan;
use crate::element::VectorElement;

/// The input gradient and the weight gradient, cut into the same units.
pub(super) struct PointwiseGradients<P: VectorElement> {
    pub(super) correlation: DirectCorrelation<P>,
    pub(super) sum: DirectSum<P>,
}

/// Words of source and output gradient in a unit: with their packed copies and the result they may
/// be twice what the second-level cache holds, but all of them are read in order.
const UNIT_WORDS: usize = 128 * 1024;
/// With fewer pixel words, fetching weights and sums takes longer than using them; with more,
/// nothing is gained.
const UNIT_PIXEL_WORDS: std::ops::RangeInclusive<usize> = 192..=512;
/// Units that a batch is cut into, where it has the pixels, so that threads finish together.
const LEAST_UNITS: usize = 32;
/// Wider layers are a matter of weights rather than of pixels: what is read of a unit counts little.
const MOST_WEIGHTS: usize = 256 * 1024;

impl<P: VectorElement> PointwiseGradients<P> {
    /// Whether the pair can compute that convolution, and is the better choice.
    pub(super) fn suit(geometry: &ConvolutionGeometry) -> bool {
        let spec = geometry.spec();
        spec.kernel == [1, 1]
            && spec.stride == [1, 1]
            && spec.padding == [0, 0]
            && spec.groups == 1
            && spec.out_channels.is_multiple_of(P::PER_WORD)
            && geometry.weight_length() <= MOST_WEIGHTS
    }

    pub(super) fn new(geometry: &ConvolutionGeometry, weight: &[f32]) -> Self {
        let spec = geometry.spec();
        let pixels = spec.batch * spec.input[0] * spec.input[1];
        let unit_words = (UNIT_WORDS / (spec.in_channels + spec.out_channels))
            .clamp(*UNIT_PIXEL_WORDS.start(), *UNIT_PIXEL_WORDS.end())
            .min(pixels.div_ceil(LEAST_UNITS * P::PER_WORD));
        let unit_pixels = unit_words * P::PER_WORD;
        // Every pixel of a pointwise correlation is an image of its own.
        let backward = Correlation::input_gradient(geometry).in_words(P::PER_WORD);
        let forward = Correlation::forward(geometry);
        Self {
            correlation: DirectCorrelation::with_plan(
                Plan::of_images(backward, unit_pixels),
                weight,
                None,
            ),
            sum: DirectSum::with_plan(geometry, Plan::of_images(forward, unit_pixels)),
        }
    }
}
