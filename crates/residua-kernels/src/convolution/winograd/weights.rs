//! Weights in transformed form, packed for the matrix products.

use rayon::prelude::*;

use super::POSITIONS;
use super::transforms::transform_weight;
use crate::InstructionSet;
use crate::convolution::pack::{Panel, panels};
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};

/// Whose weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::convolution) enum Direction {
    /// The convolution's own.
    Forward,
    /// Those that make an input gradient of an output gradient: taps flipped, channels swapped.
    InputGradient,
}

/// `G g Gᵀ` for each pair of channels: `[position][panel][source channel][vectors * lanes]`, zero
/// where a vector is not full.
pub(in crate::convolution) struct TransformedWeights {
    numbers: Scratch,
    pub(super) panels: Vec<Panel>,
    pub(super) source_channels: usize,
    pub(super) target_channels: usize,
    pub(super) padded_channels: usize,
    pub(super) lanes: usize,
}

impl TransformedWeights {
    /// Transforms the weight tensor `[out, in, 3, 3]` of a convolution.
    ///
    /// # Panics
    /// If its length is another.
    pub(in crate::convolution) fn new(
        direction: Direction,
        weight: &[f32],
        out_channels: usize,
        in_channels: usize,
    ) -> Self {
        assert_eq!(weight.len(), out_channels * in_channels * 9, "weight");
        let set = InstructionSet::current();
        let lanes = set.lanes();
        let (source_channels, target_channels) = match direction {
            Direction::Forward => (in_channels, out_channels),
            Direction::InputGradient => (out_channels, in_channels),
        };
        let panels = panels(target_channels, lanes, set.panel_vectors());
        let padded_channels = target_channels.next_multiple_of(lanes);
        let mut numbers = Scratch::uninitialised(POSITIONS * source_channels * padded_channels);
        let writer = DisjointWriter::new(&mut numbers);
        panels.par_iter().for_each(|panel| {
            let blocks = source_channels.div_ceil(BLOCK_CHANNELS);
            (0..blocks).into_par_iter().for_each(|block| {
                let first = block * BLOCK_CHANNELS;
                set.run(TransformBlock {
                    direction,
                    weight,
                    in_channels,
                    panel,
                    sources: first..source_channels.min(first + BLOCK_CHANNELS),
                    source_channels,
                    position_length: source_channels * padded_channels,
                    target: &writer,
                });
            });
        });
        Self {
            numbers,
            panels,
            source_channels,
            target_channels,
            padded_channels,
            lanes,
        }
    }

    /// The weights of one position and panel, `[source channel][vectors * lanes]`.
    #[inline(always)]
    pub(super) fn panel(&self, position: usize, panel: &Panel) -> &[f32] {
        let begin = (position * self.padded_channels + panel.first) * self.source_channels;
        &self.numbers[begin..][..self.source_channels * panel.vectors * self.lanes]
    }
}

/// Source channels that are transformed together.
const BLOCK_CHANNELS: usize = 16;

struct TransformBlock<'a> {
    direction: Direction,
    weight: &'a [f32],
    in_channels: usize,
    panel: &'a Panel,
    sources: std::ops::Range<usize>,
    source_channels: usize,
    position_length: usize,
    target: &'a DisjointWriter<'a>,
}

impl Kernel for TransformBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.panel.vectors * S::LANES;
        for source in self.sources.clone() {
            for lane in (0..width).step_by(S::LANES) {
                let count = S::LANES.min(self.panel.channels.saturating_sub(lane));
                // `[tap][lane]`
                let mut taps = [[0.0f32; MOST_LANES]; 9];
                for index in 0..count {
                    let target = self.panel.first + lane + index;
                    let (out, input) = match self.direction {
                        Direction::Forward => (target, source),
                        Direction::InputGradient => (source, target),
                    };
                    let kernel = &self.weight[(out * self.in_channels + input) * 9..][..9];
                    for (tap, &number) in kernel.iter().enumerate() {
                        let tap = match self.direction {
                            Direction::Forward => tap,
                            Direction::InputGradient => 8 - tap,
                        };
                        taps[tap][index] = number;
                    }
                }
                let mut kernel = [[simd.splat(0.0); 3]; 3];
                for (number, lanes) in kernel.as_flattened_mut().iter_mut().zip(&taps) {
                    // SAFETY: an array has at least a vector's numbers.
                    *number = unsafe { simd.load(lanes.as_ptr()) };
                }
                let transformed = transform_weight(simd, &kernel);
                let offset = self.panel.first * self.source_channels + source * width + lane;
                for (position, &number) in transformed.as_flattened().iter().enumerate() {
                    // SAFETY: `at` checks that the vector is within the numbers; panels and source
                    // channels are different for each task.
                    unsafe {
                        let begin = position * self.position_length + offset;
                        simd.store(self.target.at(begin, S::LANES), number);
                    }
                }
            }
        }
    }
}

/// At least the lanes of any instruction set.
pub(super) const MOST_LANES: usize = 16;
