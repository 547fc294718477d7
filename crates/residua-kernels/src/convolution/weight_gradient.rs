//! The weight gradient: for each tap the product of source numbers and output gradients, summed
//! over pixels.
//!
//! A register tile holds a few steps (tap and input channel) times a few vectors of output
//! channels; a pixel broadcasts its source numbers of these steps against its output gradients. The
//! batch is cut into parts by the sizes alone, every part is summed by itself, and the parts are
//! added in their order, so the result does not depend on the number of threads.

use rayon::prelude::*;

use super::ConvolutionGeometry;
use super::correlation::Correlation;
use super::pack::{Panel, panels};
use super::plan::{Chunking, Pixel, Plan, Segment};
use crate::InstructionSet;
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};

/// Tasks to cut the work into.
const TASKS: usize = 16;
/// Numbers in the partial sums of all parts, unless one part has more: 1 MiB, so that they stay in
/// cache.
const PARTIAL_NUMBERS: usize = 256 * 1024;
/// Source numbers in a chunk: more than in the forward pass, because sums that do not fit into
/// registers move once per chunk.
const CHUNK_NUMBERS: usize = 256 * 1024;
/// Pixels that are multiplied before a tile goes back to memory; their rows stay in the first-level
/// cache.
const TILE_PIXELS: usize = 128;
/// Vectors of output channels in a tile.
const TILE_VECTORS: usize = 2;
/// Steps in a tile at most.
const TILE_STEPS: usize = 12;

/// Computes `weight_gradient` `[out, in / groups, kernel height, kernel width]`.
pub(super) fn weight_gradient(
    geometry: &ConvolutionGeometry,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let set = InstructionSet::current();
    let channels = geometry.group_out_channels();
    let panels = panels(channels, set.lanes(), TILE_VECTORS);
    let layout = PartialLayout {
        groups: geometry.spec().groups,
        steps: geometry.taps() * geometry.group_in_channels(),
        padded_channels: channels.next_multiple_of(set.lanes()),
    };
    let parts = (PARTIAL_NUMBERS / layout.length()).clamp(1, TASKS);
    let chunking = Chunking {
        numbers: CHUNK_NUMBERS,
        least_chunks: parts,
        spread_pixels: true,
    };
    let plan = Plan::new(Correlation::forward(geometry), chunking);
    let parts = parts.min(plan.chunks());
    let units = layout.groups * panels.len();
    let splits = TASKS.div_ceil(parts).min(units);
    let windows = (splits > 1).then(|| copy_windows(&plan, input));
    let mut partial = Scratch::zeroed(parts * layout.length());
    let windows = windows.as_deref();
    let job = Job {
        set,
        plan: &plan,
        panels: &panels,
        layout,
        input,
        windows,
        output_gradient,
    };
    let writer = DisjointWriter::new(&mut partial);
    (0..parts * splits)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            let (part, split) = (task / splits, task % splits);
            let chunks = plan.chunks() * part / parts..plan.chunks() * (part + 1) / parts;
            let units = units * split / splits..units * (split + 1) / splits;
            job.run(part, chunks, units, &writer);
        });
    add_parts(geometry, layout, &partial, weight_gradient);
}

/// The windows of all chunks, for tasks that share them; empty if windows are not copies.
fn copy_windows(plan: &Plan, input: &[f32]) -> Scratch {
    let length = plan.window_length();
    let mut windows = Scratch::uninitialised(plan.chunks() * length);
    if length > 0 {
        windows
            .par_chunks_exact_mut(length)
            .enumerate()
            .for_each(|(index, window)| {
                plan.source(&plan.chunk(index), input, window);
            });
    }
    windows
}

/// Partial sums: `[group][step][padded output channel]`.
#[derive(Clone, Copy)]
struct PartialLayout {
    groups: usize,
    steps: usize,
    padded_channels: usize,
}

impl PartialLayout {
    fn length(self) -> usize {
        self.groups * self.steps * self.padded_channels
    }
}

struct Job<'a> {
    set: InstructionSet,
    plan: &'a Plan,
    panels: &'a [Panel],
    layout: PartialLayout,
    input: &'a [f32],
    /// See [`copy_windows`]; without it each task copies its own.
    windows: Option<&'a [f32]>,
    output_gradient: &'a [f32],
}

impl Job<'_> {
    /// Sums the units (panels, counted over all groups) over the chunks of a part.
    fn run(
        &self,
        part: usize,
        chunks: std::ops::Range<usize>,
        units: std::ops::Range<usize>,
        partial: &DisjointWriter<'_>,
    ) {
        let correlation = &self.plan.correlation;
        let phase = &self.plan.phases[0];
        let length = self.plan.window_length();
        let mut window = Scratch::uninitialised(if self.windows.is_none() { length } else { 0 });
        let mut packed = Scratch::uninitialised(TILE_PIXELS * TILE_VECTORS * self.set.lanes());
        for index in chunks {
            let chunk = self.plan.chunk(index);
            let source = match self.windows {
                Some(windows) if length > 0 => &windows[index * length..][..length],
                _ => self.plan.source(&chunk, self.input, &mut window),
            };
            let gradient = &self.output_gradient[self.plan.target_base(&chunk)..];
            for pixels in phase.pixels(&chunk).chunks(TILE_PIXELS) {
                for unit in units.clone() {
                    let (group, panel) = (
                        unit / self.panels.len(),
                        &self.panels[unit % self.panels.len()],
                    );
                    let width = panel.vectors * self.set.lanes();
                    let first = group * correlation.group_target_channels() + panel.first;
                    pack_gradients(
                        pixels,
                        &gradient[first..],
                        panel.channels,
                        width,
                        &mut packed,
                    );
                    let work = PanelWork {
                        source: &source[group * correlation.group_source_channels()..],
                        gradients: &packed,
                        pixels,
                        segments: &phase.segments,
                        vectors: panel.vectors,
                        row_stride: self.layout.padded_channels,
                    };
                    let rows = self.layout.steps;
                    let first_row = (part * self.layout.groups + group) * rows;
                    // SAFETY: `at` checks that all rows of the panel lie within the partial sums.
                    // Tasks differ in their part or their panels, so no two touch the same numbers.
                    unsafe {
                        let offset = first_row * self.layout.padded_channels + panel.first;
                        let count = (rows - 1) * self.layout.padded_channels + width;
                        work.run(self.set, partial.at(offset, count));
                    }
                }
            }
        }
    }
}

/// Gathers a panel's channels of each pixel into lines of `width`, with zeros where a vector is not
/// full.
fn pack_gradients(
    pixels: &[Pixel],
    gradient: &[f32],
    channels: usize,
    width: usize,
    packed: &mut [f32],
) {
    for (pixel, line) in pixels.iter().zip(packed.chunks_exact_mut(width)) {
        line[..channels].copy_from_slice(&gradient[pixel.target..][..channels]);
        line[channels..].fill(0.0);
    }
}

/// A panel's work on some pixels of a chunk.
struct PanelWork<'a> {
    /// The chunk's source, beginning at the group's first channel.
    source: &'a [f32],
    /// The output gradients of the pixels, `[pixel][vectors * lanes]`.
    gradients: &'a [f32],
    pixels: &'a [Pixel],
    segments: &'a [Segment],
    vectors: usize,
    /// Numbers from one step of the partial sums to the next.
    row_stride: usize,
}

impl PanelWork<'_> {
    /// Adds to the partial sums, whose first step and channel is at `target`.
    ///
    /// # Panics
    /// If the tables reach beyond the slices.
    ///
    /// # Safety
    /// Every step's row of whole vectors at `target + step * row_stride` must be readable and
    /// writable, and no other thread may access it meanwhile.
    unsafe fn run(self, set: InstructionSet, target: *mut f32) {
        let furthest_pixel = self
            .pixels
            .iter()
            .map(|pixel| pixel.source)
            .max()
            .unwrap_or(0);
        let furthest_step = self
            .segments
            .iter()
            .map(|segment| segment.offset + segment.length)
            .max()
            .unwrap_or(0);
        assert!(
            furthest_pixel + furthest_step <= self.source.len(),
            "pixel table beyond the source"
        );
        let width = self.vectors * set.lanes();
        assert!(
            self.pixels.len() * width <= self.gradients.len(),
            "more pixels than gradients"
        );
        set.run(CheckedPanelWork { work: self, target });
    }
}

/// Work whose tables were compared with its slices.
struct CheckedPanelWork<'a> {
    work: PanelWork<'a>,
    target: *mut f32,
}

impl Kernel for CheckedPanelWork<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.work.vectors {
            1 => self.tiles::<S, 1>(simd),
            2 => self.tiles::<S, 2>(simd),
            vectors => unreachable!("a panel of {vectors} vectors is never planned"),
        }
    }
}

impl CheckedPanelWork<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const VECTORS: usize>(&self, simd: S) {
        let most = (S::ACCUMULATORS / VECTORS).min(TILE_STEPS);
        let mut row = 0;
        for segment in self.work.segments {
            let count = segment.length.div_ceil(most);
            for index in 0..count {
                let begin = segment.length * index / count;
                let steps = segment.length * (index + 1) / count - begin;
                let offset = segment.offset + begin;
                match steps {
                    1 => self.tile::<S, VECTORS, 1>(simd, offset, row),
                    2 => self.tile::<S, VECTORS, 2>(simd, offset, row),
                    3 => self.tile::<S, VECTORS, 3>(simd, offset, row),
                    4 => self.tile::<S, VECTORS, 4>(simd, offset, row),
                    5 => self.tile::<S, VECTORS, 5>(simd, offset, row),
                    6 => self.tile::<S, VECTORS, 6>(simd, offset, row),
                    7 => self.tile::<S, VECTORS, 7>(simd, offset, row),
                    8 => self.tile::<S, VECTORS, 8>(simd, offset, row),
                    9 => self.tile::<S, VECTORS, 9>(simd, offset, row),
                    10 => self.tile::<S, VECTORS, 10>(simd, offset, row),
                    11 => self.tile::<S, VECTORS, 11>(simd, offset, row),
                    _ => self.tile::<S, VECTORS, 12>(simd, offset, row),
                }
                row += steps;
            }
        }
    }

    /// Adds the products of all pixels to `STEPS` rows of the partial sums, from `row` on.
    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const STEPS: usize>(
        &self,
        simd: S,
        offset: usize,
        row: usize,
    ) {
        // SAFETY: the caller of `PanelWork::run` promised all rows.
        let target = unsafe { self.target.add(row * self.work.row_stride) };
        let mut sums = [[simd.splat(0.0); VECTORS]; STEPS];
        for (step, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                *sum = unsafe {
                    simd.load(target.add(step * self.work.row_stride + vector * S::LANES))
                };
            }
        }
        let source = self.work.source.as_ptr();
        for (index, pixel) in self.work.pixels.iter().enumerate() {
            let mut gradients = [simd.splat(0.0); VECTORS];
            for (vector, number) in gradients.iter_mut().enumerate() {
                let offset = (index * VECTORS + vector) * S::LANES;
                // SAFETY: every pixel has its line of gradients (checked in `PanelWork::run`).
                *number = unsafe { simd.load(self.work.gradients.as_ptr().add(offset)) };
            }
            for (step, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the pixel's steps lie within the source (checked in `PanelWork::run`).
                let number = simd.splat(unsafe { *source.add(pixel.source + offset + step) });
                for (sum, &gradient) in sums.iter_mut().zip(&gradients) {
                    *sum = simd.mul_add(number, gradient, *sum);
                }
            }
        }
        for (step, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                // SAFETY: the caller of `PanelWork::run` promised all rows.
                unsafe {
                    simd.store(
                        target.add(step * self.work.row_stride + vector * S::LANES),
                        sum,
                    )
                };
            }
        }
    }
}

/// Output channels that are transposed together: a cache line of the partial sums.
const TRANSPOSED_CHANNELS: usize = 16;

/// Adds the parts in their order and writes the sums in the layout of the weight tensor.
fn add_parts(
    geometry: &ConvolutionGeometry,
    layout: PartialLayout,
    partial: &[f32],
    weight_gradient: &mut [f32],
) {
    let taps = geometry.taps();
    let inputs = geometry.group_in_channels();
    let row_length = inputs * taps;
    let group_length = geometry.group_out_channels() * row_length;
    let blocks: Vec<_> = weight_gradient
        .chunks_exact_mut(group_length)
        .enumerate()
        .flat_map(|(group, rows)| {
            let blocks = rows
                .chunks_mut(TRANSPOSED_CHANNELS * row_length)
                .enumerate();
            blocks.map(move |(block, rows)| (group, block * TRANSPOSED_CHANNELS, rows))
        })
        .collect();
    blocks.into_par_iter().for_each(|(group, first, rows)| {
        let channels = rows.len() / row_length;
        for step in 0..layout.steps {
            let offset = (group * layout.steps + step) * layout.padded_channels + first;
            let mut sums = [0.0f32; TRANSPOSED_CHANNELS];
            for part in partial.chunks_exact(layout.length()) {
                for (sum, &number) in sums.iter_mut().zip(&part[offset..offset + channels]) {
                    *sum += number;
                }
            }
            let (tap, input) = (step / inputs, step % inputs);
            for (row, sum) in rows.chunks_exact_mut(row_length).zip(sums) {
                row[input * taps + tap] = sum;
            }
        }
    });
}
