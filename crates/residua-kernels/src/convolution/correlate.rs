//! Runs a planned correlation on all threads.

use rayon::prelude::*;

use super::correlation::Correlation;
use super::pack::{PackedWeights, Panel, panels};
use super::plan::{Chunk, Chunking, Plan};
use super::tile::PanelWork;
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;

/// Tasks per thread that are enough to keep threads busy to the end.
const TASKS_PER_THREAD: usize = 4;

/// Computes `target` from `source` and the weight tensor of the convolution.
pub(super) fn correlate<P: VectorElement>(
    correlation: Correlation,
    source: &[P],
    weight: &[f32],
    bias: Option<&[f32]>,
    target: &mut [f32],
) {
    let correlation = correlation.in_words(P::PER_WORD);
    let set = InstructionSet::current();
    let lanes = set.lanes();
    let panels = panels(
        correlation.group_target_channels(),
        lanes,
        set.panel_vectors(),
    );
    let packed = PackedWeights::new(set, &correlation, &panels, weight);
    let plan = Plan::new(correlation, Chunking::default());
    let units = plan.correlation.groups * panels.len();
    let job = Job {
        set,
        packed: &packed,
        initial: initial_sums(&plan.correlation, lanes, bias),
        source,
        target: DisjointWriter::new(target),
        panels: &panels,
        plan: &plan,
    };
    // How units are spread over tasks changes no result: a unit's numbers are sums of its own.
    let wanted = TASKS_PER_THREAD * rayon::current_num_threads();
    let splits = wanted.div_ceil(plan.chunks()).min(units);
    (0..plan.chunks() * splits)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            let (chunk, split) = (plan.chunk(task / splits), task % splits);
            job.run(&chunk, units * split / splits..units * (split + 1) / splits);
        });
}

struct Job<'a, P: VectorElement> {
    set: InstructionSet,
    plan: &'a Plan,
    panels: &'a [Panel],
    packed: &'a PackedWeights<P>,
    /// `[group][padded channels]`.
    initial: Scratch,
    source: &'a [P],
    target: DisjointWriter<'a>,
}

impl<P: VectorElement> Job<'_, P> {
    /// Computes the units (panels, counted over all groups) of a chunk.
    fn run(&self, chunk: &Chunk, units: std::ops::Range<usize>) {
        let mut working_memory = Scratch::uninitialised(self.plan.window_length());
        let source = self.plan.source(chunk, self.source, &mut working_memory);
        for unit in units {
            self.run_panel(
                chunk,
                source,
                unit / self.panels.len(),
                &self.panels[unit % self.panels.len()],
            );
        }
    }

    fn run_panel(&self, chunk: &Chunk, source: &[P], group: usize, panel: &Panel) {
        let correlation = &self.plan.correlation;
        let lanes = self.set.lanes();
        let width = panel.vectors * lanes;
        let padded_channels = correlation.group_target_channels().next_multiple_of(lanes);
        let initial = &self.initial[group * padded_channels + panel.first..][..width];
        let first_channel = group * correlation.group_target_channels() + panel.first;
        for (index, phase) in self.plan.phases.iter().enumerate() {
            let pixels = phase.pixels(chunk);
            let Some(last) = pixels.last() else { continue };
            let mut weights = self.packed.panel(index, phase.steps, group, panel);
            for (position, block) in phase.blocks.iter().enumerate() {
                let segments = &phase.segments[block.clone()];
                let steps: usize = segments.iter().map(|segment| segment.length).sum();
                let (block_weights, rest) = weights.split_at(steps * width * P::PER_WORD);
                weights = rest;
                let work = PanelWork {
                    source: &source[group * correlation.group_source_words() * P::PER_WORD..],
                    pixels,
                    segments,
                    weights: block_weights,
                    initial: (position == 0).then_some(initial),
                    vectors: panel.vectors,
                    channels: panel.channels,
                };
                // SAFETY: pixels are in ascending order of the target, so the panel's channels of
                // all of them lie between the first and the last one's, which `at` checks. Tasks
                // differ in their pixels or their channels, so no two touch the same numbers.
                unsafe {
                    let offset = self.plan.target_base(chunk) + first_channel;
                    let target = self.target.at(offset, last.target + panel.channels);
                    work.run(self.set, target);
                }
            }
        }
    }
}

/// What the sums begin with: the bias or zero, each group padded to whole vectors.
fn initial_sums(correlation: &Correlation, lanes: usize, bias: Option<&[f32]>) -> Scratch {
    let channels = correlation.group_target_channels();
    let padded_channels = channels.next_multiple_of(lanes);
    let mut initial = Scratch::zeroed(correlation.groups * padded_channels);
    if let Some(bias) = bias {
        for (line, bias) in initial
            .chunks_exact_mut(padded_channels)
            .zip(bias.chunks_exact(channels))
        {
            line[..channels].copy_from_slice(bias);
        }
    }
    initial
}
