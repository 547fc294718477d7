//! What the passes need of a way to compute a convolution, and the loops over units of work.

use std::ops::Range;

use rayon::prelude::*;

use super::window::LoadPixels;
use crate::InstructionSet;
use crate::element::VectorElement;
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;

/// A forward convolution or an input gradient, cut into units that are computed independently.
pub(super) trait Correlate: Sync {
    /// In which windows are read.
    type Number: VectorElement;

    /// Number of units; depends on the sizes alone.
    fn units(&self) -> usize;

    /// Numbers of the largest window.
    fn window_length(&self) -> usize;

    /// Channels of the target.
    fn target_channels(&self) -> usize;

    /// The target pixels of a unit.
    fn target_pixels(&self, unit: usize) -> Range<usize>;

    /// Whether a unit's window is nothing but the source pixels in the places of its target pixels,
    /// `[pixels, channels]`.
    fn reads_pixels_in_place(&self) -> bool {
        false
    }

    /// Fills a unit's window.
    fn fill(&self, unit: usize, window: &mut [Self::Number], load: &impl LoadPixels<Self::Number>);

    /// Computes a unit's target pixels, `[pixels, channels]`.
    fn correlate(
        &self,
        set: InstructionSet,
        unit: usize,
        window: &[Self::Number],
        result: &mut [f32],
    );
}

/// Computes all units. `load` is told the unit whose window it loads pixels for; `store` takes each
/// unit's result, and what it returns comes back in the order of the units.
pub(super) fn correlate<C: Correlate, R: Send>(
    correlation: &C,
    load: impl Fn(usize, Range<usize>, &mut [C::Number], usize) + Sync,
    store: impl Fn(usize, &[f32]) -> R + Sync,
) -> Vec<R> {
    let set = InstructionSet::current();
    (0..correlation.units())
        .into_par_iter()
        .with_max_len(1)
        .map(|unit| {
            let mut window = Scratch::uninitialised(correlation.window_length());
            let length = correlation.target_pixels(unit).len() * correlation.target_channels();
            let mut result = Scratch::uninitialised(length);
            correlation.fill(
                unit,
                &mut window,
                &|pixels: Range<usize>, target: &mut [_], stride| {
                    load(unit, pixels, target, stride)
                },
            );
            correlation.correlate(set, unit, &window, &mut result);
            store(unit, &result)
        })
        .collect()
}

/// Whether products are the first of their sums, which hold nothing yet and need not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sums {
    Begin,
    Continue,
}

impl Sums {
    /// Of the products number `index` that go into the same sums.
    pub(super) fn at(index: usize) -> Self {
        if index == 0 {
            Self::Begin
        } else {
            Self::Continue
        }
    }
}

/// A weight gradient, cut into units whose sums are added up.
pub(super) trait SumProducts: Sync {
    /// In which windows are read.
    type Number: VectorElement;
    /// What a unit contributes, in the order in which [`Self::add`] reads it.
    type Operands: Send + Sync;

    /// Number of units; depends on the sizes alone.
    fn units(&self) -> usize;

    /// Numbers of the largest window.
    fn window_length(&self) -> usize;

    /// Channels of the output.
    fn output_channels(&self) -> usize;

    /// The output pixels of a unit.
    fn output_pixels(&self, unit: usize) -> Range<usize>;

    /// Numbers of the sums, in this algorithm's own layout.
    fn sums_length(&self) -> usize;

    /// Numbers of the operands of the largest unit.
    fn operands_length(&self) -> usize;

    /// Fills a unit's window.
    fn fill(&self, unit: usize, window: &mut [Self::Number], load: &impl LoadPixels<Self::Number>);

    /// Prepares a unit's window and its output gradients, `[pixels, channels]`.
    fn prepare(
        &self,
        set: InstructionSet,
        unit: usize,
        window: &[Self::Number],
        gradients: &[Self::Number],
    ) -> Self::Operands;

    /// Adds the products of some units to the share `share` of `shares` of the sums, or begins the sums
    /// with them: then all numbers of the share that are ever read are written.
    ///
    /// # Safety
    /// No other thread may access the same share of these sums meanwhile.
    unsafe fn add(
        &self,
        set: InstructionSet,
        operands: &[Self::Operands],
        share: usize,
        shares: usize,
        sums: &DisjointWriter<'_>,
        state: Sums,
    );

    /// Adds up the parts in their order and writes them in the layout of the weight.
    fn finish(&self, parts: &[&[f32]], weight_gradient: &mut [f32]);
}

/// Tasks to cut the work into.
const TASKS: usize = 16;
/// Numbers in the partial sums of all parts, 4 MiB: with 16 parts a quarter of a second-level cache
/// each.
const PARTIAL_NUMBERS: usize = 1024 * 1024;

/// Numbers of the operands that are prepared before threads share them out, unless one unit has
/// more: 20 MiB, which most third-level caches hold.
const SHARED_NUMBERS: usize = 5 * 1024 * 1024;
/// Units that are prepared at once at most.
const SHARED_UNITS: usize = 8;

/// In how many parts the units are summed: a power of two, so that as many threads have the same
/// work. Depends on the sizes alone.
fn part_count(sum: &impl SumProducts) -> usize {
    let most = (PARTIAL_NUMBERS / sum.sums_length()).clamp(1, TASKS.min(sum.units()));
    1 << most.ilog2()
}

/// The units of one of the parts.
fn units_of_part(units: usize, part: usize, parts: usize) -> Range<usize> {
    units * part / parts..units * (part + 1) / parts
}

/// Whether parts are summed in turn, by all threads, rather than side by side.
fn in_turn(parts: usize) -> bool {
    parts == 1 || parts < rayon::current_num_threads()
}

/// Sums all units. The parts that are summed by themselves depend on the sizes alone, and so does
/// the order in which units are added to a sum: bits do not depend on threads.
pub(super) fn sum_products<S: SumProducts>(
    sum: &S,
    load_source: impl Fn(Range<usize>, &mut [S::Number], usize) + Sync,
    load_gradient: impl Fn(Range<usize>, &mut [S::Number], usize) + Sync,
    weight_gradient: &mut [f32],
) {
    let set = InstructionSet::current();
    let operands = |unit: usize| {
        let mut window = Scratch::uninitialised(sum.window_length());
        sum.fill(unit, &mut window, &load_source);
        let pixels = sum.output_pixels(unit);
        let channels = sum.output_channels();
        let mut gradients = Scratch::uninitialised(pixels.len() * channels);
        load_gradient(pixels, &mut gradients, channels);
        sum.prepare(set, unit, &window, &gradients)
    };
    let (units, parts, length) = (sum.units(), part_count(sum), sum.sums_length());
    let mut sums = Scratch::<f32>::uninitialised(parts * length);
    if in_turn(parts) {
        for (part, sums) in sums.chunks_exact_mut(length).enumerate() {
            let units = units_of_part(units, part, parts).collect::<Vec<_>>();
            // What is summed in one go must not depend on the number of threads.
            let in_one_go = if parts == 1 { SHARED_UNITS } else { 1 };
            sum_in_shares(sum, &units, in_one_go, operands, &DisjointWriter::new(sums));
        }
    } else {
        sums.par_chunks_exact_mut(length)
            .enumerate()
            .with_max_len(1)
            .for_each(|(part, sums)| {
                let sums = DisjointWriter::new(sums);
                for (index, unit) in units_of_part(units, part, parts).enumerate() {
                    // SAFETY: each part has sums of its own.
                    unsafe { sum.add(set, &[operands(unit)], 0, 1, &sums, Sums::at(index)) };
                }
            });
    }
    let parts: Vec<_> = sums.chunks_exact(length).collect();
    sum.finish(&parts, weight_gradient);
}

/// Sums units on all threads, each of which has a share of the sums. So many are summed in one go.
fn sum_in_shares<S: SumProducts>(
    sum: &S,
    units: &[usize],
    in_one_go: usize,
    operands: impl Fn(usize) -> S::Operands + Sync,
    sums: &DisjointWriter<'_>,
) {
    let set = InstructionSet::current();
    let together = (SHARED_NUMBERS / sum.operands_length()).clamp(1, SHARED_UNITS);
    for (first, units) in (0..).step_by(together).zip(units.chunks(together)) {
        let operands: Vec<_> = units
            .par_iter()
            .with_max_len(1)
            .map(|&unit| operands(unit))
            .collect();
        (0..TASKS)
            .into_par_iter()
            .with_max_len(1)
            .for_each(|share| {
                let states = (first..).step_by(in_one_go).map(Sums::at);
                for (operands, state) in operands.chunks(in_one_go).zip(states) {
                    // SAFETY: each task has a share of its own.
                    unsafe { sum.add(set, operands, share, TASKS, sums, state) };
                }
            });
    }
}

/// [`correlate`] of output gradients and [`sum_products`] of the same, for a pair that cuts the
/// convolution into the same units: what both read of a unit comes from memory once. The results and
/// the sums have the same bits as those of the two functions.
pub(super) fn correlate_and_sum<C, S, R>(
    correlation: &C,
    sum: &S,
    load_source: impl Fn(Range<usize>, &mut [S::Number], usize) + Sync,
    load_gradient: impl Fn(Range<usize>, &mut [S::Number], usize) + Sync,
    store: impl Fn(usize, &[f32]) -> R + Sync,
    weight_gradient: &mut [f32],
) -> Vec<R>
where
    C: Correlate<Number = S::Number>,
    S: SumProducts,
    R: Send,
{
    let (units, parts) = (sum.units(), part_count(sum));
    assert_eq!(correlation.units(), units, "units of both");
    if in_turn(parts) {
        let load = |_, pixels: Range<usize>, target: &mut [S::Number], stride: usize| {
            load_gradient(pixels, target, stride);
        };
        let results = correlate(correlation, load, store);
        sum_products(sum, load_source, load_gradient, weight_gradient);
        return results;
    }
    let set = InstructionSet::current();
    let channels = sum.output_channels();
    let both = |unit: usize, sums: &DisjointWriter<'_>, state: Sums| {
        let mut source = Scratch::uninitialised(sum.window_length());
        sum.fill(unit, &mut source, &load_source);
        let mut window = Scratch::uninitialised(correlation.window_length());
        correlation.fill(unit, &mut window, &load_gradient);
        let pixels = correlation.target_pixels(unit);
        let mut result = Scratch::uninitialised(pixels.len() * correlation.target_channels());
        correlation.correlate(set, unit, &window, &mut result);
        let pixels = sum.output_pixels(unit);
        let operands = if correlation.reads_pixels_in_place() {
            assert_eq!(correlation.target_pixels(unit), pixels, "pixels of both");
            sum.prepare(set, unit, &source, &window[..pixels.len() * channels])
        } else {
            let mut gradients = Scratch::uninitialised(pixels.len() * channels);
            load_gradient(pixels, &mut gradients, channels);
            sum.prepare(set, unit, &source, &gradients)
        };
        // SAFETY: each part has sums of its own.
        unsafe { sum.add(set, &[operands], 0, 1, sums, state) };
        store(unit, &result)
    };
    let length = sum.sums_length();
    let mut sums = Scratch::<f32>::uninitialised(parts * length);
    let results: Vec<Vec<R>> = sums
        .par_chunks_exact_mut(length)
        .enumerate()
        .with_max_len(1)
        .map(|(part, sums)| {
            let sums = DisjointWriter::new(sums);
            units_of_part(units, part, parts)
                .enumerate()
                .map(|(index, unit)| both(unit, &sums, Sums::at(index)))
                .collect()
        })
        .collect();
    let parts: Vec<_> = sums.chunks_exact(length).collect();
    sum.finish(&parts, weight_gradient);
    results.into_iter().flatten().collect()
}
