//! The transform of weights, `G g Gᵀ`, and their order in memory.

use rayon::prelude::*;

use super::layout::{POSITIONS, SIDE, TAPS, odd_lines};
use super::transforms::{self, KERNEL_SCALE};
use crate::InstructionSet;
use crate::convolution::pack::{Panel, panels};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};

/// Which weights: the forward ones, or those of the input gradient, with the taps reversed and the
/// channels exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    InputGradient,
}

/// The transformed weights of a layer, `[panel][position][source channel][vectors * lanes]` with
/// the lines of a panel being neighbouring target channels; zero where a vector is not full.
pub(crate) struct TransformedWeights {
    set: InstructionSet,
    source_channels: usize,
    target_channels: usize,
    panels: Vec<Panel>,
    numbers: Scratch,
}

impl TransformedWeights {
    /// Transforms PyTorch's `[out, in, 3, 3]` for the current instruction set. Spread over the
    /// current rayon pool.
    ///
    /// # Panics
    /// If the length of `weight` is wrong.
    pub(crate) fn new(
        direction: Direction,
        weight: &[f32],
        out_channels: usize,
        in_channels: usize,
    ) -> Self {
        let set = InstructionSet::current();
        let lanes = set.lanes();
        assert!(
            weight.len() == out_channels * in_channels * TAPS,
            "weight length"
        );
        let (source_channels, target_channels) = match direction {
            Direction::Forward => (in_channels, out_channels),
            Direction::InputGradient => (out_channels, in_channels),
        };
        let panels = panels(target_channels, lanes, set.panel_vectors());
        let panel_length =
            |panel: &Panel| POSITIONS * position_stride(source_channels, panel.vectors * lanes);
        let mut numbers = Scratch::uninitialised(panels.iter().map(panel_length).sum());
        let mut jobs = Vec::with_capacity(panels.len());
        let mut rest = &mut *numbers;
        for &panel in &panels {
            let (target, behind) = rest.split_at_mut(panel_length(&panel));
            rest = behind;
            jobs.push(PanelTransform {
                direction,
                weight,
                in_channels,
                source_channels,
                panel,
                target,
            });
        }
        jobs.into_par_iter().for_each(|job| set.run(job));
        Self {
            set,
            source_channels,
            target_channels,
            panels,
            numbers,
        }
    }

    /// The instruction set whose vectors the panels are made of.
    pub(crate) fn set(&self) -> InstructionSet {
        self.set
    }

    /// Channels that are summed over.
    pub(super) fn source_channels(&self) -> usize {
        self.source_channels
    }

    /// Channels of the result.
    pub(super) fn target_channels(&self) -> usize {
        self.target_channels
    }

    /// The panels of target channels.
    pub(super) fn panels(&self) -> &[Panel] {
        &self.panels
    }

    /// The weights of a panel at a position, `[source channel][vectors * lanes]`.
    pub(super) fn panel(&self, index: usize, position: usize) -> &[f32] {
        let lanes = self.set.lanes();
        let length = |panel: &Panel| position_stride(self.source_channels, panel.vectors * lanes);
        let (before, panel) = (&self.panels[..index], &self.panels[index]);
        let offset = POSITIONS * before.iter().map(length).sum::<usize>();
        let count = self.source_channels * panel.vectors * lanes;
        &self.numbers[offset + position * length(panel)..][..count]
    }
}

/// Numbers from a position of a panel to the next, for `width` target channels; see
/// [`super::layout::TileLayout::position_stride`] for the odd number of lines.
fn position_stride(source_channels: usize, width: usize) -> usize {
    odd_lines(source_channels * width)
}

struct PanelTransform<'a> {
    direction: Direction,
    weight: &'a [f32],
    in_channels: usize,
    source_channels: usize,
    panel: Panel,
    target: &'a mut [f32],
}

/// The most lanes that a vector has.
pub(super) const MOST_LANES: usize = 16;

impl Kernel for PanelTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.panel.vectors * S::LANES;
        let stride = position_stride(self.source_channels, width);
        assert!(self.target.len() == POSITIONS * stride, "panel length");
        let channels = |vector: usize| {
            let first = vector * S::LANES;
            self.panel.channels.saturating_sub(first).min(S::LANES)
        };
        for first_channel in (0..self.source_channels).step_by(RUN) {
            let run = first_channel..(first_channel + RUN).min(self.source_channels);
            for vector in 0..self.panel.vectors {
                for source_channel in run.clone() {
                    let first = vector * S::LANES;
                    let taps = self.gather(source_channel, first, channels(vector));
                    let mut vectors = [simd.splat(0.0); TAPS];
                    for (vector, line) in vectors.iter_mut().zip(&taps) {
                        // SAFETY: a line holds the numbers of the widest vector.
                        *vector = unsafe { simd.load(line.as_ptr()) };
                    }
                    // SAFETY: the vector lies within the width of the source channel, all positions
                    // within `target`, which was checked.
                    unsafe {
                        let offset = source_channel * width + first;
                        transform(simd, vectors, self.target.as_mut_ptr().add(offset), stride);
                    }
                }
            }
        }
    }
}

/// Source channels that are read together from every target channel's kernels: their kernels fill a
/// few cache lines.
const RUN: usize = 4;

impl PanelTransform<'_> {
    /// The taps from a source channel to `channels` target channels, from the panel's `first` on.
    #[inline(always)]
    fn gather(
        &self,
        source_channel: usize,
        first: usize,
        channels: usize,
    ) -> [[f32; MOST_LANES]; TAPS] {
        let mut taps = [[0.0; MOST_LANES]; TAPS];
        for lane in 0..channels {
            let kernel = self.kernel(source_channel, self.panel.first + first + lane);
            for (tap, line) in taps.iter_mut().enumerate() {
                line[lane] = match self.direction {
                    Direction::Forward => kernel[tap],
                    Direction::InputGradient => kernel[TAPS - 1 - tap],
                };
            }
        }
        taps
    }

    /// The nine taps between two channels.
    #[inline(always)]
    fn kernel(&self, source_channel: usize, target_channel: usize) -> &[f32; TAPS] {
        let (output, input) = match self.direction {
            Direction::Forward => (target_channel, source_channel),
            Direction::InputGradient => (source_channel, target_channel),
        };
        let taps = &self.weight[(output * self.in_channels + input) * TAPS..][..TAPS];
        taps.try_into().expect("nine taps were cut out")
    }
}

/// # Safety
/// All positions must be writable at `target`.
#[inline(always)]
unsafe fn transform<S: Simd>(
    simd: S,
    taps: [S::Vector; TAPS],
    target: *mut f32,
    position_stride: usize,
) {
    let scale = simd.splat(1.0 / KERNEL_SCALE);
    let mut lines = [[simd.splat(0.0); 3]; SIDE];
    for column in 0..3 {
        let taps = [taps[column], taps[3 + column], taps[6 + column]];
        for (line, vector) in lines.iter_mut().zip(transforms::kernel(simd, taps)) {
            line[column] = vector;
        }
    }
    for (row, line) in lines.into_iter().enumerate() {
        let line = transforms::kernel(simd, line);
        for (column, vector) in line.into_iter().enumerate() {
            let position = row * SIDE + column;
            // SAFETY: the caller's promise.
            unsafe {
                simd.store(
                    target.add(position * position_stride),
                    simd.multiply(scale, vector),
                );
            }
        }
    }
}
