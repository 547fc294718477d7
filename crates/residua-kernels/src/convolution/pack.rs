//! Weights in the order in which the register tiles read them.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::correlation::{Correlation, Phase};
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};

/// A run of target channels, of one group, that a register tile computes together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// First channel within the group.
    pub(super) first: usize,
    /// Channels, the last vector perhaps not full.
    pub(super) channels: usize,
    /// Vectors that hold them.
    pub(super) vectors: usize,
}

/// Cuts the channels of a group into panels of nearly equal width.
pub(super) fn panels(channels: usize, lanes: usize, most_vectors: usize) -> Vec<Panel> {
    let vectors = channels.div_ceil(lanes);
    let count = vectors.div_ceil(most_vectors);
    let mut panels = Vec::with_capacity(count);
    let mut first_vector = 0;
    for index in 0..count {
        let width = vectors / count + usize::from(index < vectors % count);
        let first = first_vector * lanes;
        panels.push(Panel {
            first,
            channels: (width * lanes).min(channels - first),
            vectors: width,
        });
        first_vector += width;
    }
    panels
}

/// The weights of all phases as words, `[phase][group][panel][step][vectors * lanes]`, zero where a
/// vector is not full.
///
/// A step is a word of source channels at a tap: one channel in `f32`; in `bf16` the channels 2i
/// and 2i + 1, rounded to nearest even, the second zero behind an odd number of channels.
pub(super) struct PackedWeights<P: VectorElement> {
    numbers: Scratch<P>,
    phase_offsets: Vec<usize>,
    padded_channels: usize,
    lanes: usize,
}

impl<P: VectorElement> PackedWeights<P> {
    /// Packs the weight tensor of the convolution.
    ///
    /// # Panics
    /// If the correlation's words are not those of `P`, or the weight is too short.
    pub(super) fn new(
        set: InstructionSet,
        correlation: &Correlation,
        panels: &[Panel],
        weight: &[f32],
    ) -> Self {
        assert_eq!(
            correlation.numbers_per_word,
            P::PER_WORD,
            "words of the correlation"
        );
        let lanes = set.lanes();
        let padded_channels = correlation.group_target_channels().next_multiple_of(lanes);
        let group_steps = |phase: &Phase| phase.taps.len() * correlation.group_source_words();
        let mut phase_offsets = Vec::with_capacity(correlation.phases.len());
        let mut words = 0;
        for phase in &correlation.phases {
            phase_offsets.push(words);
            words += correlation.groups * group_steps(phase) * padded_channels;
        }
        let mut numbers = Scratch::uninitialised(words * P::PER_WORD);
        let mut jobs = Vec::new();
        let mut rest = &mut *numbers;
        for phase in &correlation.phases {
            for group in 0..correlation.groups {
                for panel in panels {
                    let panel_words = group_steps(phase) * panel.vectors * lanes;
                    let (target, behind) = rest.split_at_mut(panel_words * P::PER_WORD);
                    rest = behind;
                    jobs.push(PackPanel {
                        correlation,
                        phase,
                        weight: &weight[group * correlation.weight_strides.group..],
                        panel,
                        target,
                    });
                }
            }
        }
        let smallest_job = MINIMUM_JOB.div_ceil(words / jobs.len().max(1) + 1);
        jobs.into_par_iter()
            .with_min_len(smallest_job)
            .for_each(|job| set.run(job));
        Self {
            numbers,
            phase_offsets,
            padded_channels,
            lanes,
        }
    }

    /// The weights of one panel, `steps` of a phase times its padded width in words.
    pub(super) fn panel(&self, phase: usize, steps: usize, group: usize, panel: &Panel) -> &[P] {
        let offset =
            self.phase_offsets[phase] + (group * self.padded_channels + panel.first) * steps;
        let words = steps * panel.vectors * self.lanes;
        &self.numbers[offset * P::PER_WORD..][..words * P::PER_WORD]
    }
}

/// Words that are worth a task of their own.
const MINIMUM_JOB: usize = 16 * 1024;
/// Numbers that are transposed together: half of a first-level cache.
const BLOCK_NUMBERS: usize = 4 * 1024;
/// Rows of the tensor that are fetched ahead.
const ROWS_AHEAD: usize = 6;
/// Numbers in a cache line.
const LINE_NUMBERS: usize = 16;

/// One panel of one phase and group.
struct PackPanel<'a, P> {
    correlation: &'a Correlation,
    phase: &'a Phase,
    /// Beginning at the group.
    weight: &'a [f32],
    panel: &'a Panel,
    target: &'a mut [P],
}

impl<P: VectorElement> Kernel for PackPanel<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let words = self.correlation.group_source_words();
        let channels = self.correlation.group_source_channels();
        let taps = self.phase.taps.len();
        let width = self.panel.vectors * S::LANES;
        assert_eq!(self.target.len(), taps * words * width * P::PER_WORD);
        let words_at_once = (BLOCK_NUMBERS / (width * taps.max(1) * P::PER_WORD)).clamp(1, words);
        let block = Block {
            source_channels: words_at_once * P::PER_WORD,
            width,
            element: PhantomData::<P>,
        };
        // `[tap][source channel][target channel]`
        let mut numbers = Scratch::zeroed(taps * block.source_channels * width);
        for first_word in (0..words).step_by(words_at_once) {
            let first_channel = first_word * P::PER_WORD;
            let present = block.source_channels.min(channels - first_channel);
            if present < block.source_channels {
                numbers.fill(0.0);
            }
            block.transpose(simd, &self, first_channel, present, &mut numbers);
            let count = words_at_once.min(words - first_word);
            for tap in 0..taps {
                let lines = &numbers[tap * block.source_channels * width..];
                let target = (tap * words + first_word) * width * P::PER_WORD;
                let target = &mut self.target[target..][..count * width * P::PER_WORD];
                block.write(simd, lines, target);
            }
        }
    }
}

/// Source channels of a panel that are transposed together.
struct Block<P> {
    source_channels: usize,
    width: usize,
    element: PhantomData<P>,
}

impl<P: VectorElement> Block<P> {
    /// Gathers `count` source channels, reading along the tensor's memory.
    #[inline(always)]
    fn transpose<S: Simd>(
        &self,
        simd: S,
        work: &PackPanel<'_, P>,
        first_channel: usize,
        count: usize,
        numbers: &mut [f32],
    ) {
        let strides = work.correlation.weight_strides;
        let weight =
            &work.weight[work.panel.first * strides.target + first_channel * strides.source..];
        let channels = work.panel.channels;
        // A row of memory holds all taps of one target channel, or of one source channel.
        let (rows, row_stride, row_width) = if strides.target > strides.source {
            (channels, strides.target, 1)
        } else {
            (count, strides.source, self.width)
        };
        let (columns, column_stride, column_width) = if strides.target > strides.source {
            (count, strides.source, self.width)
        } else {
            (channels, strides.target, 1)
        };
        // Where a row's numbers are and where they go; rows differ by a constant.
        let mut moves = Vec::with_capacity(columns * work.phase.taps.len());
        for column in 0..columns {
            for (index, tap) in work.phase.taps.iter().enumerate() {
                let target = index * self.source_channels * self.width + column * column_width;
                moves.push((column * column_stride + tap.position, target));
            }
        }
        let last_tap = work.phase.taps.iter().map(|tap| tap.position).max();
        let Some(last_tap) = last_tap else { return };
        let length = (columns - 1) * column_stride + last_tap + 1;
        for row in 0..rows {
            let source = &weight[row * row_stride..][..length];
            let target = &mut numbers[row * row_width..];
            for &(from, to) in &moves {
                target[to] = source[from];
            }
            // A row may lie in a page of its own, which no hardware fetches ahead.
            let ahead = weight
                .as_ptr()
                .wrapping_add((row + ROWS_AHEAD) * row_stride);
            for line in (0..length).step_by(LINE_NUMBERS) {
                simd.prefetch(ahead.wrapping_add(line));
            }
        }
    }

    /// Makes words of the lines, rounding them.
    #[inline(always)]
    fn write<S: Simd>(&self, simd: S, lines: &[f32], target: &mut [P]) {
        let lines = lines.chunks_exact(P::PER_WORD * self.width);
        let targets = target.chunks_exact_mut(P::PER_WORD * self.width);
        for (lines, target) in lines.zip(targets) {
            for lane in (0..self.width).step_by(S::LANES) {
                // SAFETY: a word's lines have PER_WORD × `width` numbers and as many words behind
                // `target`; `width` is a multiple of LANES.
                unsafe {
                    let first = simd.load(lines.as_ptr().add(lane));
                    let second = lines.as_ptr().add((P::PER_WORD - 1) * self.width + lane);
                    let words = P::words(simd, first, simd.load(second));
                    simd.store(target.as_mut_ptr().cast::<f32>().add(lane), words);
                }
            }
        }
    }
}
