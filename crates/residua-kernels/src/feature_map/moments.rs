//! Mean and variance of a convolution's output, taken while it is in cache.

use rayon::prelude::*;

use super::source::load_block;
use super::view::Pixels;
use super::{Lines, MapView, MapWriter, Source, Stores, run_lines};
use crate::Element;
use crate::element::copy_numbers;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Mean and variance of each channel of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchMoments {
    /// Numbers per channel.
    pub count: usize,
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// Mean squared deviation of each channel, divided by `count`.
    pub variance: Vec<f64>,
}

/// Sums of one unit of work for each channel, about a pivot near the mean, so that no precision is
/// lost where the mean is large: the unit's first pixel.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartialMoments {
    pub(crate) count: usize,
    /// Pivots, sums, and sums of squares, `channels` of each.
    numbers: Vec<f32>,
}

impl BatchMoments {
    /// Combines the units in their order (Chan, Golub and LeVeque 1979).
    pub(crate) fn combine(parts: &[PartialMoments], channels: usize) -> Self {
        let mut total = Self {
            count: 0,
            mean: vec![0.0; channels],
            variance: vec![0.0; channels],
        };
        for part in parts.iter().filter(|part| part.count > 0) {
            let (before, count) = (total.count as f64, part.count as f64);
            let share = count / (before + count);
            let (pivots, sums) = part.numbers.split_at(channels);
            let (sums, squares) = sums.split_at(channels);
            let part_moments = pivots.iter().zip(sums).zip(squares);
            let totals = total.mean.iter_mut().zip(&mut total.variance);
            for ((mean, deviation), ((&pivot, &sum), &square)) in totals.zip(part_moments) {
                let (sum, square) = (f64::from(sum), f64::from(square));
                let part_mean = f64::from(pivot) + sum / count;
                let part_deviation = (square - sum * sum / count).max(0.0);
                let difference = part_mean - *mean;
                *mean += difference * share;
                *deviation += part_deviation + difference * difference * (before * share);
            }
            total.count += part.count;
        }
        for deviation in &mut total.variance {
            *deviation /= total.count as f64;
        }
        total
    }
}

/// Mean and variance of each channel of a stored map, `[pixels, channels]`.
///
/// # Errors
/// If there are no pixels or not only whole ones.
pub fn measure<E: Element>(
    values: MapView<'_, E>,
    channels: usize,
) -> Result<BatchMoments, ShapeError> {
    let pixels = values.count("values", channels)?;
    if pixels == 0 {
        return Err(ShapeError::new(
            "values are empty, and the mean of nothing is undefined",
        ));
    }
    let set = InstructionSet::current();
    let source = Source::stored(values);
    let pixels_per_part = (PART_NUMBERS / channels).max(1);
    let parts: Vec<PartialMoments> = (0..pixels.div_ceil(pixels_per_part))
        .into_par_iter()
        .map(|part| {
            let first = part * pixels_per_part;
            let range = first..(first + pixels_per_part).min(pixels);
            let mut numbers = Scratch::uninitialised(range.len() * channels);
            source.load(set, channels, range.clone(), &mut numbers, channels);
            let mut copy = Scratch::uninitialised(numbers.len());
            let mut moments = PartialMoments::default();
            let stores = Stores::Cached;
            store_pixels::<f32>(
                set,
                channels,
                &numbers,
                &mut copy,
                stores,
                Some(&mut moments),
            );
            moments
        })
        .collect();
    Ok(BatchMoments::combine(&parts, channels))
}

/// Numbers in one task's work.
const PART_NUMBERS: usize = 16 * 1024;

/// Writes a unit's sums `[pixels, channels]` to the stored feature map, and takes their moments if
/// asked. Without moments, as in inference, the map is read at once and `stores` does not matter: it
/// is never written past the caches.
///
/// # Panics
/// If the slices have different lengths or are not whole pixels.
pub(crate) fn store_pixels<E: Element>(
    set: InstructionSet,
    channels: usize,
    result: &[f32],
    target: &mut [E],
    stores: Stores,
    moments: Option<&mut PartialMoments>,
) {
    assert!(
        result.len() == target.len() && result.len().is_multiple_of(channels),
        "a unit's result does not fit its place"
    );
    let Some(moments) = moments else {
        set.run(Store { result, target });
        return;
    };
    moments.count = result.len() / channels;
    moments.numbers.clear();
    moments.numbers.resize(3 * channels, 0.0);
    if let Some(first) = result.get(..channels) {
        moments.numbers[..channels].copy_from_slice(first);
    }
    let pixels = 0..moments.count;
    set.run(StoreMoments {
        channels,
        result: MapView::from(result).pixels(pixels, channels),
        target,
        stores,
        numbers: &mut moments.numbers,
    });
}

struct Store<'a, E> {
    result: &'a [f32],
    target: &'a mut [E],
}

impl<E: Element> Kernel for Store<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        copy_numbers(simd, self.result, self.target);
    }
}

struct StoreMoments<'a, E> {
    channels: usize,
    result: Pixels<'a, f32>,
    target: &'a mut [E],
    stores: Stores,
    numbers: &'a mut [f32],
}

impl<E: Element> Kernel for StoreMoments<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pixels = self.target.len() / self.channels;
        let mut pass = StoreMomentsPass {
            channels: self.channels,
            result: self.result,
            target: MapWriter::new(self.target, self.channels, self.stores),
            numbers: self.numbers,
        };
        // SAFETY: result and target hold `pixels * channels` numbers and `numbers` three lines of
        // channels (`store_pixels`).
        unsafe { run_lines(simd, &mut pass, pixels, self.channels) };
        pass.target.end(simd);
    }
}

struct StoreMomentsPass<'a, E: Element> {
    channels: usize,
    result: Pixels<'a, f32>,
    target: MapWriter<'a, E>,
    numbers: &'a mut [f32],
}

impl<E: Element> Lines for StoreMomentsPass<'_, E> {
    #[inline(always)]
    unsafe fn vectors<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        pixel: usize,
        channel: usize,
    ) {
        // SAFETY: the caller of `run_lines` promised the pixels and channels.
        unsafe {
            let numbers = self.numbers.as_mut_ptr().add(channel);
            let pivot = simd.load(numbers);
            let mut sum = simd.load(numbers.add(self.channels));
            let mut square = simd.load(numbers.add(2 * self.channels));
            let results: [_; COUNT] = load_block(simd, &self.result, pixel, channel);
            self.target.vectors(simd, pixel, channel, &results);
            for number in results {
                let difference = simd.subtract(number, pivot);
                sum = simd.add(sum, difference);
                square = simd.mul_add(difference, difference, square);
            }
            simd.store(numbers.add(self.channels), sum);
            simd.store(numbers.add(2 * self.channels), square);
        }
    }

    #[inline(always)]
    unsafe fn end_block<S: Simd>(&mut self, simd: S, pixel: usize, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.target.end_block(simd, pixel, count) };
    }

    #[inline(always)]
    unsafe fn number(&mut self, pixel: usize, channel: usize) {
        let index = pixel * self.channels + channel;
        // SAFETY: the caller of `run_lines` promised the pixel and the channel.
        let number = unsafe { *self.result.at(pixel, channel) };
        self.target.number(index, number);
        let difference = number - self.numbers[channel];
        self.numbers[self.channels + channel] += difference;
        self.numbers[2 * self.channels + channel] += difference * difference;
    }
}
