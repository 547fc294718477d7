//! A unit's source and output gradients in the order in which the weight gradient's register tiles
//! read them.

use super::gradient_plan::{Extent, GradientPlan, NOTHING, Pair};
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};

/// Columns and pixel words that are packed together: enough to write runs of memory, few enough
/// that their rows stay in the first-level cache.
const PACKED_TOGETHER: usize = 8;

impl GradientPlan {
    /// Numbers of the packed source of a unit. Readable beyond the last word for a vector.
    pub(super) fn source_length<P: VectorElement>(&self, extent: Extent) -> usize {
        self.groups * self.channels * self.column_count(extent) * P::PER_WORD
    }

    /// Numbers of the packed output gradients of a unit.
    pub(super) fn gradients_length<P: VectorElement>(&self, extent: Extent) -> usize {
        self.groups * self.padded_channels() * self.word_count(extent) * P::PER_WORD
    }

    /// Output channels of a group, padded to vectors.
    pub(super) fn padded_channels(&self) -> usize {
        self.panels.iter().map(|panel| panel.vectors).sum::<usize>() * self.lanes
    }

    /// Packs a unit's window as words `[group][channel block][column][channel]`.
    ///
    /// # Panics
    /// If `window` ends before the unit's last pixel, `packed` has not the length of
    /// [`Self::source_length`], or `extent` is beyond the plan.
    pub(super) fn pack_source<P: VectorElement>(
        &self,
        set: InstructionSet,
        extent: Extent,
        window: &[P],
        packed: &mut [P],
    ) {
        assert_eq!(
            packed.len(),
            self.source_length::<P>(extent),
            "packed source"
        );
        let columns = &self.columns[..self.column_count(extent)];
        let last = columns
            .iter()
            .flatten()
            .filter(|&&offset| offset != NOTHING);
        let furthest = last.max().copied().unwrap_or(0)
            + (self.groups - 1) * self.window.group_stride
            + self.channels;
        assert!(furthest <= window.len(), "columns beyond the window");
        // The last pixel word of an odd unit has no second pixel, though a larger unit's has.
        let complete = self.taps > 1 || self.pixel_count(extent).is_multiple_of(P::PER_WORD);
        set.run(PackSource {
            plan: self,
            columns,
            complete,
            window,
            packed,
        });
    }

    /// Packs a unit's output gradients, `[pixel][output channel]`, as words
    /// `[group][panel][pixel word][vectors * lanes]`, zero where a vector is not full.
    ///
    /// # Panics
    /// If there are not as many gradients as the unit has, `packed` has not the length of
    /// [`Self::gradients_length`], or `extent` is beyond the plan.
    pub(super) fn pack_gradients<P: VectorElement, G: VectorElement>(
        &self,
        set: InstructionSet,
        extent: Extent,
        gradients: &[G],
        packed: &mut [P],
    ) {
        assert_eq!(
            packed.len(),
            self.gradients_length::<P>(extent),
            "packed gradients"
        );
        let channels = self.groups * self.group_out_channels();
        assert_eq!(
            gradients.len(),
            self.pixel_count(extent) * channels,
            "output gradients"
        );
        set.run(PackGradients {
            plan: self,
            pixels: &self.pixels[..self.word_count(extent)],
            complete: self.taps > 1 || self.pixel_count(extent).is_multiple_of(P::PER_WORD),
            gradients,
            packed,
        });
    }

    /// Output channels of a group.
    pub(super) fn group_out_channels(&self) -> usize {
        self.panels.iter().map(|panel| panel.channels).sum()
    }
}

struct PackSource<'a, P> {
    plan: &'a GradientPlan,
    columns: &'a [Pair],
    complete: bool,
    window: &'a [P],
    packed: &'a mut [P],
}

impl<P: VectorElement> Kernel for PackSource<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let plan = self.plan;
        // Words of a few columns, padded so that whole vectors can be read from any of them.
        let line = plan.channels + S::LANES;
        let mut words = Scratch::<P>::uninitialised(PACKED_TOGETHER * line * P::PER_WORD);
        let all = self.columns.len();
        let single_block = plan.blocks.len() == 1;
        for group in 0..plan.groups {
            let group_words = group * plan.channels * all;
            for first in (0..all).step_by(PACKED_TOGETHER) {
                let columns = &self.columns[first..all.min(first + PACKED_TOGETHER)];
                for (index, &[offset, second]) in columns.iter().enumerate() {
                    let from = |offset: usize| {
                        &self.window[offset + group * plan.window.group_stride..][..plan.channels]
                    };
                    let incomplete = !self.complete && first + index + 1 == all;
                    let second = (second != NOTHING && !incomplete).then(|| from(second));
                    let target = if single_block {
                        let begin = group_words + (first + index) * plan.channels;
                        &mut self.packed[begin * P::PER_WORD..]
                    } else {
                        &mut words[index * line * P::PER_WORD..]
                    };
                    let target = &mut target[..plan.channels * P::PER_WORD];
                    write_words(from(offset), second, target);
                }
                if single_block {
                    continue;
                }
                for block in &plan.blocks {
                    let begin = group_words + block.first * all + first * block.channels;
                    let target = &mut self.packed[begin * P::PER_WORD..]
                        [..columns.len() * block.channels * P::PER_WORD];
                    let source = words.as_ptr().cast::<f32>();
                    for index in 0..columns.len() {
                        for lane in (0..block.channels).step_by(S::LANES) {
                            let count = S::LANES.min(block.channels - lane);
                            // SAFETY: `words` has `line` words per column, LANES more than there
                            // are channels; `target` has the block's channels for each column.
                            unsafe {
                                let source = source.add(index * line + block.first + lane);
                                let target = target.as_mut_ptr().cast::<f32>();
                                let target = target.add(index * block.channels + lane);
                                simd.store_first(count, target, simd.load(source));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Writes words of two pixels' numbers, or of one's and zeros.
#[inline(always)]
fn write_words<P: VectorElement>(first: &[P], second: Option<&[P]>, words: &mut [P]) {
    if P::PER_WORD == 1 {
        words.copy_from_slice(first);
        return;
    }
    let words = words.chunks_exact_mut(P::PER_WORD);
    match second {
        Some(second) => {
            for ((word, &first), &second) in words.zip(first).zip(second) {
                word[0] = first;
                word[1] = second;
            }
        }
        None => {
            for (word, &first) in words.zip(first) {
                word[0] = first;
                word[1] = P::default();
            }
        }
    }
}

struct PackGradients<'a, P, G> {
    plan: &'a GradientPlan,
    pixels: &'a [Pair],
    complete: bool,
    gradients: &'a [G],
    packed: &'a mut [P],
}

impl<P: VectorElement, G: VectorElement> Kernel for PackGradients<'_, P, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let plan = self.plan;
        let group_channels = plan.group_out_channels();
        let channels = plan.groups * group_channels;
        let zeros = [G::default(); MOST_LANES];
        let all = self.pixels.len();
        let padded = plan.padded_channels();
        for first in (0..all).step_by(PACKED_TOGETHER) {
            let pixels = &self.pixels[first..all.min(first + PACKED_TOGETHER)];
            for group in 0..plan.groups {
                for panel in &plan.panels {
                    let width = panel.vectors * S::LANES;
                    let first_channel = group * group_channels + panel.first;
                    let begin = (group * padded + panel.first) * all + first * width;
                    let target = &mut self.packed[begin * P::PER_WORD..]
                        [..pixels.len() * width * P::PER_WORD];
                    let lines = target.chunks_exact_mut(width * P::PER_WORD);
                    for ((index, &[pixel, second]), line) in pixels.iter().enumerate().zip(lines) {
                        let incomplete = !self.complete && first + index + 1 == all;
                        let second = (second != NOTHING && !incomplete).then_some(second);
                        for lane in (0..width).step_by(S::LANES) {
                            let count = S::LANES.min(panel.channels - lane);
                            let read = |pixel: usize| {
                                let begin = pixel * channels + first_channel + lane;
                                read_first(simd, &self.gradients[begin..][..count])
                            };
                            let second = if P::PER_WORD == 2 { second } else { None };
                            let second = match second {
                                Some(second) => read(second),
                                None => read_first(simd, &zeros[..S::LANES]),
                            };
                            let words = P::words(simd, read(pixel), second);
                            // SAFETY: the line has `width` words, a multiple of LANES.
                            unsafe { simd.store(line.as_mut_ptr().cast::<f32>().add(lane), words) };
                        }
                    }
                }
            }
        }
    }
}

/// At least the lanes of any instruction set.
const MOST_LANES: usize = 16;

/// Reads the numbers, at most a vector, and zeros in the lanes behind.
#[inline(always)]
fn read_first<S: Simd, G: VectorElement>(simd: S, numbers: &[G]) -> S::Vector {
    if numbers.len() == S::LANES {
        // SAFETY: just checked.
        return unsafe { G::load(simd, numbers.as_ptr()) };
    }
    let mut padded = [G::default(); MOST_LANES];
    padded[..numbers.len()].copy_from_slice(numbers);
    assert!(S::LANES <= MOST_LANES);
    // SAFETY: the array has a vector's numbers.
    unsafe { G::load(simd, padded.as_ptr()) }
}
