//! The weight gradient: for every weight, the products of source numbers and output gradients, summed
//! over pixels.
//!
//! The batch is cut into parts by the sizes alone, every part is summed by itself, and the parts are
//! added in their order, so the result does not depend on the number of threads.

use rayon::prelude::*;

use super::ConvolutionGeometry;
use super::correlation::Correlation;
use super::gradient_plan::{Extent, GradientPlan};
use super::gradient_tile::UnitOperands;
use super::plan::{Chunking, Plan};
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;

/// Tasks to cut the work into.
const TASKS: usize = 16;
/// Numbers in the partial sums of all parts, unless one part has more: 1 MiB, so that they stay in
/// cache.
const PARTIAL_NUMBERS: usize = 256 * 1024;
/// Source numbers in a chunk: more than in the forward pass, because sums that do not fit into
/// registers move once per chunk.
const CHUNK_NUMBERS: usize = 256 * 1024;

/// Computes `weight_gradient` `[out, in / groups, kernel height, kernel width]`.
pub(super) fn weight_gradient<P: VectorElement, G: VectorElement>(
    geometry: &ConvolutionGeometry,
    input: &[P],
    output_gradient: &[G],
    weight_gradient: &mut [f32],
) {
    let least_chunks = (PARTIAL_NUMBERS / geometry.weight_length()).clamp(1, TASKS);
    let chunking = Chunking {
        numbers: CHUNK_NUMBERS,
        least_chunks,
        spread_pixels: false,
    };
    weight_gradient_in(geometry, chunking, input, output_gradient, weight_gradient);
}

/// The same with given chunks.
pub(super) fn weight_gradient_in<P: VectorElement, G: VectorElement>(
    geometry: &ConvolutionGeometry,
    chunking: Chunking,
    input: &[P],
    output_gradient: &[G],
    weight_gradient: &mut [f32],
) {
    let set = InstructionSet::current();
    let plan = Plan::new(Correlation::forward(geometry), chunking);
    let tables = GradientPlan::new(
        geometry,
        P::PER_WORD,
        plan.window_layout(),
        plan.full_extent(),
        set.lanes(),
        set.accumulators(),
    );
    let parts = (PARTIAL_NUMBERS / tables.sums_length()).clamp(1, TASKS.min(plan.chunks()));
    let mut sums = Scratch::<f32>::zeroed(parts * tables.sums_length());
    let job = Job {
        set,
        plan: &plan,
        tables: &tables,
        input,
        output_gradient,
    };
    if parts > 1 {
        sums.par_chunks_exact_mut(tables.sums_length())
            .enumerate()
            .with_max_len(1)
            .for_each(|(part, sums)| {
                let chunks = plan.chunks() * part / parts..plan.chunks() * (part + 1) / parts;
                let sums = DisjointWriter::new(sums);
                chunks.for_each(|chunk| job.operands(chunk).add(0..1, 1, &sums));
            });
    } else {
        let sums = DisjointWriter::new(&mut sums);
        let chunks: Vec<_> = (0..plan.chunks()).collect();
        for chunks in chunks.chunks(2 * rayon::current_num_threads()) {
            let operands: Vec<_> = chunks
                .par_iter()
                .with_max_len(1)
                .map(|&chunk| job.operands(chunk))
                .collect();
            (0..TASKS).into_par_iter().with_max_len(1).for_each(|task| {
                for operands in &operands {
                    operands.add(task..task + 1, TASKS, &sums);
                }
            });
        }
    }
    let parts: Vec<_> = sums.chunks_exact(tables.sums_length()).collect();
    tables.finish(&parts, weight_gradient);
}

struct Job<'a, P, G> {
    set: InstructionSet,
    plan: &'a Plan,
    tables: &'a GradientPlan,
    input: &'a [P],
    output_gradient: &'a [G],
}

/// The packed operands of a chunk.
struct Operands<'a, P: VectorElement> {
    set: InstructionSet,
    tables: &'a GradientPlan,
    extent: Extent,
    source: Scratch<P>,
    gradients: Scratch<P>,
}

impl<'a, P: VectorElement, G: VectorElement> Job<'a, P, G> {
    fn operands(&self, chunk: usize) -> Operands<'a, P> {
        let chunk = self.plan.chunk(chunk);
        let extent = chunk.extent();
        let mut window = Scratch::uninitialised(self.plan.window_length());
        let window = self.plan.source(&chunk, self.input, &mut window);
        let mut source = Scratch::uninitialised(self.tables.source_length::<P>(extent));
        self.tables
            .pack_source(self.set, extent, window, &mut source);
        let mut gradients = Scratch::uninitialised(self.tables.gradients_length::<P>(extent));
        let length = self.tables.pixel_count(extent) * self.plan.correlation.target_channels;
        let unpacked = &self.output_gradient[self.plan.target_base(&chunk)..][..length];
        self.tables
            .pack_gradients(self.set, extent, unpacked, &mut gradients);
        Operands {
            set: self.set,
            tables: self.tables,
            extent,
            source,
            gradients,
        }
    }
}

impl<P: VectorElement> Operands<'_, P> {
    /// Adds the shares `range` of `shares` of the sums.
    fn add(&self, range: std::ops::Range<usize>, shares: usize, sums: &DisjointWriter<'_>) {
        let operands = UnitOperands {
            extent: self.extent,
            source: &self.source,
            gradients: &self.gradients,
        };
        let panels = self.tables.groups * self.tables.panels.len();
        let tiles = self.tables.tiles.len();
        // Panels and, where they are too few, tiles.
        let splits = shares.div_ceil(panels).min(tiles);
        let all = panels * splits;
        for index in all * range.start / shares..all * range.end / shares {
            let (panel, split) = (index / splits, index % splits);
            let tiles = tiles * split / splits..tiles * (split + 1) / splits;
            // SAFETY: shares differ in their panels or their tiles; a part has its own sums.
            unsafe {
                self.tables
                    .accumulate(self.set, operands, panel..panel + 1, tiles, sums);
            }
        }
    }
}

/// Sums that are transposed together: half of a first-level cache.
const BLOCK_NUMBERS: usize = 4 * 1024;

impl GradientPlan {
    /// Adds the partial sums in their order and writes them in the layout of the weight tensor.
    ///
    /// # Panics
    /// If `weight_gradient` or a part has a wrong length, or there is no part.
    pub(super) fn finish(&self, parts: &[&[f32]], weight_gradient: &mut [f32]) {
        let row_length = self.steps();
        assert_eq!(
            weight_gradient.len(),
            self.groups * self.group_out_channels() * row_length,
            "weight gradient"
        );
        assert!(!parts.is_empty(), "no partial sums");
        for part in parts {
            assert_eq!(part.len(), self.sums_length(), "partial sums");
        }
        let mut jobs = Vec::new();
        let mut rest = weight_gradient;
        for group in 0..self.groups {
            for panel in &self.panels {
                let (rows, behind) = rest.split_at_mut(panel.channels * row_length);
                rest = behind;
                let first = (group * self.padded_channels() + panel.first) * row_length;
                jobs.push((first, panel.vectors * self.lanes, rows));
            }
        }
        jobs.into_par_iter()
            .for_each(|(first, width, rows)| self.finish_panel(parts, first, width, rows));
    }

    /// Writes the rows of a panel whose sums, `width` a step, begin at `first`.
    fn finish_panel(&self, parts: &[&[f32]], first: usize, width: usize, rows: &mut [f32]) {
        let at_once = (BLOCK_NUMBERS / (width * self.taps)).clamp(1, self.channels);
        // `[tap][source channel][output channel]`
        let mut block = Scratch::<f32>::uninitialised(self.taps * at_once * width);
        for first_channel in (0..self.channels).step_by(at_once) {
            let count = at_once.min(self.channels - first_channel);
            for tap in 0..self.taps {
                let offset = first + (tap * self.channels + first_channel) * width;
                let lines = &mut block[tap * at_once * width..][..count * width];
                let (initial, others) = parts.split_first().expect("checked in `finish`");
                lines.copy_from_slice(&initial[offset..][..count * width]);
                for part in others {
                    for (sum, &number) in lines.iter_mut().zip(&part[offset..]) {
                        *sum += number;
                    }
                }
            }
            for (channel, row) in rows.chunks_exact_mut(self.steps()).enumerate() {
                let row = &mut row[first_channel * self.taps..][..count * self.taps];
                for tap in 0..self.taps {
                    let column = block[tap * at_once * width + channel..].iter();
                    let targets = row[tap..].iter_mut().step_by(self.taps);
                    for (target, &sum) in targets.zip(column.step_by(width)) {
                        *target = sum;
                    }
                }
            }
        }
    }
}
