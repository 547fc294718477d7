//! A unit's source and output gradients in the order in which the weight gradient's register tiles
//! read them.

use super::gradient_plan::{ColumnRun, Extent, GradientPlan, NOTHING, Pair, TILE_VECTORS};
use super::pack::Panel;
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};

/// Columns and pixel words that are packed together: enough to write runs of memory, few enough
/// that their rows stay in the first-level cache.
const PACKED_TOGETHER: usize = 8;
/// At least the lanes of any instruction set.
const MOST_LANES: usize = 16;

impl GradientPlan {
    /// Numbers of the packed source of a unit.
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

    /// Output channels of a group.
    pub(super) fn group_out_channels(&self) -> usize {
        self.panels.iter().map(|panel| panel.channels).sum()
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
        let length = self.source_length::<P>(extent);
        assert_eq!(packed.len(), length, "packed source");
        let columns = self.column_count(extent);
        set.run(PackSource {
            plan: self,
            columns,
            complete: self.complete(extent, columns),
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
    pub(super) fn pack_gradients<P: VectorElement>(
        &self,
        set: InstructionSet,
        extent: Extent,
        gradients: &[P],
        packed: &mut [P],
    ) {
        let length = self.gradients_length::<P>(extent);
        assert_eq!(packed.len(), length, "packed gradients");
        let channels = self.groups * self.group_out_channels();
        let length = self.pixel_count(extent) * channels;
        assert_eq!(gradients.len(), length, "output gradients");
        assert_eq!(set.lanes(), self.lanes, "lanes of the plan");
        let words = self.word_count(extent);
        set.run(PackGradients {
            plan: self,
            pixels: &self.pixels[..words],
            complete: self.complete(extent, words),
            channels,
            gradients,
            packed,
        });
    }
}

struct PackSource<'a, P> {
    plan: &'a GradientPlan,
    columns: usize,
    /// Columns before the first that lacks its second pixel.
    complete: usize,
    window: &'a [P],
    packed: &'a mut [P],
}

impl<P: VectorElement> Kernel for PackSource<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let plan = self.plan;
        let mut words = Scratch::zeroed(PACKED_TOGETHER * plan.channels * P::PER_WORD);
        for group in 0..plan.groups {
            let mut column = 0;
            for run in &plan.runs {
                let mut run = *run;
                run.columns = run.columns.min(self.columns - column);
                let offset = group * plan.window.group_stride;
                run.pair[0] += offset;
                if run.pair[1] != NOTHING {
                    run.pair[1] += offset;
                }
                let all = run.columns;
                run.columns = all.min(self.complete.saturating_sub(column));
                if run.columns > 0 {
                    self.pack_run(simd, group, column, &run, &mut words);
                }
                column += run.columns;
                let incomplete = all - run.columns;
                if incomplete > 0 {
                    run.pair = [run.pair[0] + run.columns * run.pitch, NOTHING];
                    run.columns = incomplete;
                    self.pack_run(simd, group, column, &run, &mut words);
                    column += incomplete;
                }
                if column == self.columns {
                    break;
                }
            }
            assert_eq!(column, self.columns, "unit beyond the plan");
        }
    }
}

impl<P: VectorElement> PackSource<'_, P> {
    /// Packs the columns of `run` as those from `column` on.
    #[inline(always)]
    fn pack_run<S: Simd>(
        &mut self,
        simd: S,
        group: usize,
        column: usize,
        run: &ColumnRun,
        words: &mut [P],
    ) {
        let channels = self.plan.channels;
        let group_words = group * channels * self.columns;
        if let [_] = self.plan.blocks[..] {
            let target = &mut self.packed[(group_words + column * channels) * P::PER_WORD..];
            if run.pitch == channels {
                let count = run.columns * channels;
                write_words(simd, self.window, run.pair, count, target);
            } else {
                let targets = target.chunks_exact_mut(channels * P::PER_WORD);
                for (index, target) in targets.take(run.columns).enumerate() {
                    let pair = shifted(run.pair, index * run.pitch);
                    write_words(simd, self.window, pair, channels, target);
                }
            }
            return;
        }
        for first in (0..run.columns).step_by(PACKED_TOGETHER) {
            let count = PACKED_TOGETHER.min(run.columns - first);
            let pair = shifted(run.pair, first * run.pitch);
            // Words of one number are in the window already.
            let (source, pitch) = if P::PER_WORD == 1 {
                let length = (count - 1) * run.pitch + channels;
                (&self.window[pair[0]..][..length], run.pitch)
            } else {
                let targets = words.chunks_exact_mut(channels * P::PER_WORD);
                for (index, target) in targets.take(count).enumerate() {
                    let pair = shifted(pair, index * run.pitch);
                    write_words(simd, self.window, pair, channels, target);
                }
                (&words[..count * channels * P::PER_WORD], channels)
            };
            for block in &self.plan.blocks {
                let begin = group_words + block.first * self.columns;
                let begin = begin + (column + first) * block.channels;
                let target =
                    &mut self.packed[begin * P::PER_WORD..][..count * block.channels * P::PER_WORD];
                for index in 0..count {
                    for lane in (0..block.channels).step_by(S::LANES) {
                        let lanes = S::LANES.min(block.channels - lane);
                        // SAFETY: `source` has all channels, `target` the block's, of `count`
                        // columns.
                        unsafe {
                            let source = source.as_ptr().cast::<f32>();
                            let source = source.add(index * pitch + block.first + lane);
                            let target = target.as_mut_ptr().cast::<f32>();
                            let target = target.add(index * block.channels + lane);
                            simd.store_first(lanes, target, simd.load_first(lanes, source));
                        }
                    }
                }
            }
        }
    }
}

/// The pair `distance` numbers further.
#[inline(always)]
fn shifted([first, second]: Pair, distance: usize) -> Pair {
    let second = if second == NOTHING {
        NOTHING
    } else {
        second + distance
    };
    [first + distance, second]
}

/// Writes `count` words of the numbers that begin at the two offsets of `window`.
#[inline(always)]
fn write_words<S: Simd, P: VectorElement>(
    simd: S,
    window: &[P],
    [first, second]: Pair,
    count: usize,
    target: &mut [P],
) {
    let target = &mut target[..count * P::PER_WORD];
    let first = &window[first..][..count];
    let second = match second {
        NOTHING => None,
        second => Some(&window[second..][..count]),
    };
    let whole = count - count % S::LANES;
    for index in (0..whole).step_by(S::LANES) {
        // SAFETY: both slices have `count` numbers, the target as many words.
        unsafe {
            let first = P::load(simd, first.as_ptr().add(index));
            let second = match second {
                Some(second) => P::load(simd, second.as_ptr().add(index)),
                None => simd.splat(0.0),
            };
            let words = P::exact_words(simd, first, second);
            simd.store(target.as_mut_ptr().cast::<f32>().add(index), words);
        }
    }
    if P::PER_WORD == 1 {
        // SAFETY: `count` numbers of both, of which the last ones are left.
        unsafe {
            let source = first.as_ptr().cast::<f32>().add(whole);
            let target = target.as_mut_ptr().cast::<f32>().add(whole);
            let left = simd.load_first(count - whole, source);
            simd.store_first(count - whole, target, left);
        }
        return;
    }
    for index in whole..count {
        target[index * 2] = first[index];
        target[index * 2 + 1] = second.map_or(P::default(), |second| second[index]);
    }
}

struct PackGradients<'a, P> {
    plan: &'a GradientPlan,
    pixels: &'a [Pair],
    /// Words before the first that lacks its second pixel.
    complete: usize,
    /// Of a pixel of `gradients`.
    channels: usize,
    gradients: &'a [P],
    packed: &'a mut [P],
}

impl<P: VectorElement> Kernel for PackGradients<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let plan = self.plan;
        let group_channels = plan.group_out_channels();
        let padded = plan.padded_channels();
        let all = self.pixels.len();
        for first in (0..all).step_by(PACKED_TOGETHER) {
            let count = PACKED_TOGETHER.min(all - first);
            for group in 0..plan.groups {
                for panel in &plan.panels {
                    let channel = group * group_channels + panel.first;
                    let width = panel.vectors * S::LANES;
                    let target = (group * padded + panel.first) * all + first * width;
                    self.pack_panel(simd, panel, channel, first..first + count, target);
                }
            }
        }
    }
}

impl<P: VectorElement> PackGradients<'_, P> {
    /// Packs the panel, which begins at `channel`, of some pixel words to the words from `target`
    /// on.
    #[inline(always)]
    fn pack_panel<S: Simd>(
        &mut self,
        simd: S,
        panel: &Panel,
        channel: usize,
        words: std::ops::Range<usize>,
        target: usize,
    ) {
        let width = panel.vectors * S::LANES;
        let zeros = [P::default(); TILE_VECTORS * MOST_LANES];
        assert!(width <= zeros.len());
        // Lanes behind the panel's channels read the next ones, which the mask then removes.
        let mut present = [0.0; TILE_VECTORS * MOST_LANES];
        present[..panel.channels].fill(1.0);
        let [mut first_padded, mut second_padded] = [zeros; 2];
        let partial = panel.channels < width;
        let targets = &mut self.packed[target * P::PER_WORD..];
        let targets = targets.chunks_exact_mut(width * P::PER_WORD);
        for (word, target) in words.zip(targets) {
            let [pixel, second] = self.pixels[word];
            let begin = pixel * self.channels + channel;
            let first = line(
                self.gradients,
                begin,
                panel.channels,
                width,
                &mut first_padded,
            );
            let nothing = second == NOTHING || word >= self.complete;
            let second = if P::PER_WORD == 1 || nothing {
                &zeros[..width]
            } else {
                let begin = second * self.channels + channel;
                line(
                    self.gradients,
                    begin,
                    panel.channels,
                    width,
                    &mut second_padded,
                )
            };
            for lane in (0..width).step_by(S::LANES) {
                // SAFETY: both slices and `present` have `width` numbers, the target as many words.
                unsafe {
                    let mut first = P::load(simd, first.as_ptr().add(lane));
                    let mut second = P::load(simd, second.as_ptr().add(lane));
                    if partial {
                        let present = simd.load(present.as_ptr().add(lane));
                        first = simd.where_positive(present, first);
                        second = simd.where_positive(present, second);
                    }
                    let words = P::exact_words(simd, first, second);
                    simd.store(target.as_mut_ptr().cast::<f32>().add(lane), words);
                }
            }
        }
    }
}

/// `width` gradients from `begin` on, of which `channels` matter. At the end of the slice, where
/// there are fewer, they are copied to `padded`.
#[inline(always)]
fn line<'a, P: VectorElement>(
    gradients: &'a [P],
    begin: usize,
    channels: usize,
    width: usize,
    padded: &'a mut [P],
) -> &'a [P] {
    if begin + width <= gradients.len() {
        return &gradients[begin..begin + width];
    }
    padded[..channels].copy_from_slice(&gradients[begin..begin + channels]);
    &padded[..width]
}
