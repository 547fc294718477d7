//! Convolutions of every kind by register tiles that read the source's window as it is.

use std::marker::PhantomData;
use std::ops::Range;

use super::ConvolutionGeometry;
use super::correlation::Correlation;
use super::gradient_plan::{Extent, GradientPlan};
use super::gradient_tile::UnitOperands;
use super::pack::{PackedWeights, Panel, panels};
use super::plan::{Chunk, Chunking, Plan};
use super::tile::PanelWork;
use super::units::{Correlate, SumProducts, Sums};
use super::window::LoadPixels;
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;

/// A forward convolution or an input gradient, in products of `P`.
pub(super) struct DirectCorrelation<P: VectorElement> {
    plan: Plan,
    panels: Vec<Panel>,
    packed: PackedWeights<P>,
    /// What the sums begin with, `[group][padded channels]`.
    initial: Scratch,
    lanes: usize,
}

impl<P: VectorElement> DirectCorrelation<P> {
    /// Plans the correlation and packs the weight tensor of the convolution.
    pub(super) fn new(correlation: Correlation, weight: &[f32], bias: Option<&[f32]>) -> Self {
        let correlation = correlation.in_words(P::PER_WORD);
        Self::with_plan(Plan::new(correlation, Chunking::default()), weight, bias)
    }

    /// The same with a plan of a correlation in the words of `P`.
    pub(super) fn with_plan(plan: Plan, weight: &[f32], bias: Option<&[f32]>) -> Self {
        let set = InstructionSet::current();
        let correlation = &plan.correlation;
        let channels = correlation.group_target_channels();
        let panels = panels(channels, set.lanes(), set.panel_vectors());
        let packed = PackedWeights::new(set, correlation, &panels, weight);
        Self {
            initial: initial_sums(correlation, set.lanes(), bias),
            plan,
            panels,
            packed,
            lanes: set.lanes(),
        }
    }

    fn run_panel(
        &self,
        set: InstructionSet,
        chunk: &Chunk,
        window: &[P],
        group: usize,
        panel: &Panel,
        result: &DisjointWriter<'_>,
    ) {
        let correlation = &self.plan.correlation;
        let width = panel.vectors * self.lanes;
        let padded_channels = correlation
            .group_target_channels()
            .next_multiple_of(self.lanes);
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
                    source: &window[group * correlation.group_source_words() * P::PER_WORD..],
                    pixels,
                    segments,
                    weights: block_weights,
                    initial: (position == 0).then_some(initial),
                    vectors: panel.vectors,
                    channels: panel.channels,
                };
                // SAFETY: pixels are in ascending order of the target, so the panel's channels of
                // all of them lie between the first and the last one's, which `at` checks; the
                // result is borrowed exclusively by the caller.
                unsafe {
                    let target = result.at(first_channel, last.target + panel.channels);
                    work.run(set, target);
                }
            }
        }
    }
}

impl<P: VectorElement> Correlate for DirectCorrelation<P> {
    type Number = P;

    fn units(&self) -> usize {
        self.plan.chunks()
    }

    fn window_length(&self) -> usize {
        self.plan.window_length()
    }

    fn target_channels(&self) -> usize {
        self.plan.correlation.target_channels
    }

    fn target_pixels(&self, unit: usize) -> Range<usize> {
        self.plan.target_pixels(&self.plan.chunk(unit))
    }

    fn reads_pixels_in_place(&self) -> bool {
        self.plan.reads_pixels_in_place()
    }

    fn fill(&self, unit: usize, window: &mut [P], load: &impl LoadPixels<P>) {
        self.plan.fill(&self.plan.chunk(unit), window, load);
    }

    fn correlate(&self, set: InstructionSet, unit: usize, window: &[P], result: &mut [f32]) {
        assert_eq!(set.lanes(), self.lanes, "weights packed for another set");
        let chunk = self.plan.chunk(unit);
        let result = DisjointWriter::new(result);
        for group in 0..self.plan.correlation.groups {
            for panel in &self.panels {
                self.run_panel(set, &chunk, window, group, panel, &result);
            }
        }
    }
}

/// The bias or zero, each group padded to whole vectors.
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

/// A weight gradient, in products of `P`.
pub(super) struct DirectSum<P> {
    plan: Plan,
    tables: GradientPlan,
    number: PhantomData<P>,
}

/// A unit's operands in the order of the register tiles.
pub(super) struct DirectOperands<P: VectorElement> {
    extent: Extent,
    source: Scratch<P>,
    gradients: Scratch<P>,
}

/// Chunks that a batch is cut into at most for the sake of threads.
const MOST_CHUNKS: usize = 16;
/// Numbers in the partial sums of as many parts as there are chunks.
const PARTIAL_NUMBERS: usize = 256 * 1024;
/// Source numbers in a chunk: more than in the forward pass, because sums that do not fit into
/// registers move once per chunk.
const CHUNK_NUMBERS: usize = 256 * 1024;

impl<P: VectorElement> DirectSum<P> {
    pub(super) fn new(geometry: &ConvolutionGeometry) -> Self {
        let least_chunks = (PARTIAL_NUMBERS / geometry.weight_length()).clamp(1, MOST_CHUNKS);
        let chunking = Chunking {
            numbers: CHUNK_NUMBERS,
            least_chunks,
        };
        Self::in_chunks(geometry, chunking)
    }

    /// The same with given chunks.
    pub(super) fn in_chunks(geometry: &ConvolutionGeometry, chunking: Chunking) -> Self {
        let plan = Plan::new(Correlation::forward(geometry), chunking);
        Self::with_plan(geometry, plan)
    }

    /// The same with a plan of the forward correlation.
    pub(super) fn with_plan(geometry: &ConvolutionGeometry, plan: Plan) -> Self {
        let set = InstructionSet::current();
        let tables = GradientPlan::new(
            geometry,
            P::PER_WORD,
            plan.window_layout(),
            plan.full_extent(),
            set.lanes(),
            set.accumulators(),
        );
        Self {
            plan,
            tables,
            number: PhantomData,
        }
    }
}

impl<P: VectorElement> SumProducts for DirectSum<P> {
    type Number = P;
    type Operands = DirectOperands<P>;

    fn units(&self) -> usize {
        self.plan.chunks()
    }

    fn window_length(&self) -> usize {
        self.plan.window_length()
    }

    fn output_channels(&self) -> usize {
        self.plan.correlation.target_channels
    }

    fn output_pixels(&self, unit: usize) -> Range<usize> {
        self.plan.target_pixels(&self.plan.chunk(unit))
    }

    fn sums_length(&self) -> usize {
        self.tables.sums_length()
    }

    fn operands_length(&self) -> usize {
        let extent = self.plan.full_extent();
        self.tables.source_length::<P>(extent) + self.tables.gradients_length::<P>(extent)
    }

    fn fill(&self, unit: usize, window: &mut [P], load: &impl LoadPixels<P>) {
        self.plan.fill(&self.plan.chunk(unit), window, load);
    }

    fn prepare(
        &self,
        set: InstructionSet,
        unit: usize,
        window: &[P],
        gradients: &[P],
    ) -> DirectOperands<P> {
        let extent = self.plan.chunk(unit).extent();
        let mut source = Scratch::uninitialised(self.tables.source_length::<P>(extent));
        self.tables.pack_source(set, extent, window, &mut source);
        let mut packed = Scratch::uninitialised(self.tables.gradients_length::<P>(extent));
        self.tables
            .pack_gradients(set, extent, gradients, &mut packed);
        DirectOperands {
            extent,
            source,
            gradients: packed,
        }
    }

    unsafe fn add(
        &self,
        set: InstructionSet,
        operands: &[DirectOperands<P>],
        share: usize,
        shares: usize,
        sums: &DisjointWriter<'_>,
        state: Sums,
    ) {
        let panels = self.tables.groups * self.tables.panels.len();
        let tiles = self.tables.tiles.len();
        // Panels and, where they are too few, tiles.
        let splits = shares.div_ceil(panels).min(tiles);
        let all = panels * splits;
        for index in all * share / shares..all * (share + 1) / shares {
            let (panel, split) = (index / splits, index % splits);
            let tiles = tiles * split / splits..tiles * (split + 1) / splits;
            for (index, operands) in operands.iter().enumerate() {
                let state = if index == 0 { state } else { Sums::Continue };
                let operands = UnitOperands {
                    extent: operands.extent,
                    source: &operands.source,
                    gradients: &operands.gradients,
                };
                // SAFETY: shares differ in their panels or their tiles, and the caller promises
                // that nobody else has this share.
                unsafe {
                    self.tables.accumulate(
                        set,
                        operands,
                        panel..panel + 1,
                        tiles.clone(),
                        sums,
                        state,
                    );
                }
            }
        }
    }

    fn finish(&self, parts: &[&[f32]], weight_gradient: &mut [f32]) {
        self.tables.finish(parts, weight_gradient);
    }
}
