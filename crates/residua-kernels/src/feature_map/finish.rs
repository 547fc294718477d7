//! The last step of a new gradient: other contributions, the rectifier's mask, the sums of the
//! normalisation before it.

use rayon::prelude::*;

use super::source::SourcePixels;
use super::view::Pixels;
use super::{Lines, MapView, MapWriter, Source, Stores, run_lines};
use crate::Element;
use crate::reduce::check_channels;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Most normalisations that read one gradient: of the residual branch, and of the shortcut.
const MOST_NORMS: usize = 2;

/// What happens to a gradient when all contributions are there.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a, E> {
    /// The feature map behind the rectifier, if there is one: where it is not positive, the gradient
    /// becomes zero.
    pub mask: Option<Source<'a, E>>,
    /// What the normalisations that receive this gradient read, with the means of their channels; at
    /// most two.
    pub norms: &'a [(MapView<'a, E>, &'a [f32])],
}

/// Sums over a gradient for each channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GradientSums {
    /// Of the gradient.
    pub gradient: Vec<f64>,
    /// For each normalisation: of the gradient times the value's distance from the mean.
    pub products: Vec<Vec<f64>>,
}

/// Sums of one unit of work: `channels` of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartialSums(Vec<f32>);

impl<E: Element> Finish<'_, E> {
    /// Checks that all parts fit a map of `length` numbers in `channels` channels.
    ///
    /// # Errors
    /// If one does not.
    pub(crate) fn check(&self, length: usize, channels: usize) -> Result<(), ShapeError> {
        if let Some(mask) = &self.mask {
            mask.check(length, channels)?;
        }
        if self.norms.len() > MOST_NORMS {
            return Err(ShapeError::new(format!(
                "{} normalisations receive one gradient; at most {MOST_NORMS} can",
                self.norms.len()
            )));
        }
        for (values, mean) in self.norms {
            values.check("values of the norm", length, channels)?;
            ShapeError::check_length("mean", mean.len(), channels)?;
        }
        Ok(())
    }
}

impl GradientSums {
    /// Adds up the units in their order.
    pub(crate) fn combine(parts: &[PartialSums], channels: usize, norms: usize) -> Self {
        let mut lines = vec![vec![0.0; channels]; 1 + norms];
        for part in parts {
            for (line, part) in lines.iter_mut().zip(part.0.chunks_exact(channels)) {
                for (sum, &number) in line.iter_mut().zip(part) {
                    *sum += f64::from(number);
                }
            }
        }
        let products = lines.split_off(1);
        Self {
            gradient: lines.swap_remove(0),
            products,
        }
    }
}

/// Finishes a gradient that is complete in `gradient`, `[pixels, channels]`, in place.
///
/// # Errors
/// If lengths do not fit.
pub fn finish<E: Element>(
    finish: &Finish<'_, E>,
    channels: usize,
    gradient: &mut [E],
) -> Result<GradientSums, ShapeError> {
    check_channels("gradient", gradient.len(), channels)?;
    finish.check(gradient.len(), channels)?;
    let set = InstructionSet::current();
    let pixels_per_part = (PART_NUMBERS / channels).max(1);
    let parts: Vec<PartialSums> = gradient
        .par_chunks_mut(pixels_per_part * channels)
        .enumerate()
        .map(|(part, target)| {
            let mut sums = PartialSums::default();
            let first_pixel = part * pixels_per_part;
            finish_pixels(
                set,
                finish,
                UnitGradient {
                    channels,
                    first_pixel,
                    result: None,
                    add_to_target: false,
                    target,
                    stores: Stores::Cached,
                },
                &mut sums,
            );
            sums
        })
        .collect();
    Ok(GradientSums::combine(&parts, channels, finish.norms.len()))
}

/// Numbers in one task's work.
const PART_NUMBERS: usize = 32 * 1024;

/// A unit's part of a gradient.
pub(crate) struct UnitGradient<'a, E> {
    pub(crate) channels: usize,
    /// Where in the whole map the unit begins.
    pub(crate) first_pixel: usize,
    /// What the unit computed, `[pixels, channels]`; without it the target holds it already.
    pub(crate) result: Option<&'a [f32]>,
    /// Whether the target holds a contribution that `result` is added to.
    pub(crate) add_to_target: bool,
    pub(crate) target: &'a mut [E],
    pub(crate) stores: Stores,
}

/// Finishes a unit's part.
///
/// # Panics
/// If the slices do not fit; `finish` was checked against the whole map.
pub(crate) fn finish_pixels<E: Element>(
    set: InstructionSet,
    finish: &Finish<'_, E>,
    unit: UnitGradient<'_, E>,
    sums: &mut PartialSums,
) {
    let length = unit.target.len();
    assert!(
        unit.result.is_none_or(|result| result.len() == length),
        "a unit's result does not fit its place"
    );
    assert!(
        unit.stores == Stores::Cached || (unit.result.is_some() && !unit.add_to_target),
        "what is read is in cache"
    );
    sums.0.clear();
    sums.0.resize((1 + finish.norms.len()) * unit.channels, 0.0);
    let channels = unit.channels;
    let pixels = unit.first_pixel..unit.first_pixel + length / channels;
    let mut norms = [(Pixels::default(), &[] as &[f32]); MOST_NORMS];
    for (norm, &(values, mean)) in norms.iter_mut().zip(finish.norms) {
        *norm = (values.pixels(pixels.clone(), channels), mean);
    }
    set.run(FinishPixels {
        mask: { finish.mask }.map(|mask| mask.pixels(pixels, channels)),
        norms,
        norm_count: finish.norms.len(),
        unit,
        sums,
    });
}

struct FinishPixels<'a, 'f, E> {
    mask: Option<SourcePixels<'f, E>>,
    norms: [(Pixels<'f, E>, &'f [f32]); MOST_NORMS],
    norm_count: usize,
    unit: UnitGradient<'a, E>,
    sums: &'a mut PartialSums,
}

impl<E: Element> Kernel for FinishPixels<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.unit.channels;
        let pixels = self.unit.target.len() / channels;
        let mut pass = FinishPass {
            channels,
            result: self.unit.result,
            add_to_target: self.unit.add_to_target,
            target: MapWriter::new(self.unit.target, channels, self.unit.stores),
            mask: self.mask,
            norms: self.norms,
            norm_count: self.norm_count,
            sums: &mut self.sums.0,
        };
        // SAFETY: every map was cut to these pixels, or compared with them by `finish_pixels`;
        // mean and sums have all channels (`Finish::check` and `finish_pixels`).
        unsafe { run_lines(simd, &mut pass, pixels, channels) };
        pass.target.end(simd);
    }
}

struct FinishPass<'a, 'f, E: Element> {
    channels: usize,
    result: Option<&'a [f32]>,
    add_to_target: bool,
    target: MapWriter<'a, E>,
    mask: Option<SourcePixels<'f, E>>,
    norms: [(Pixels<'f, E>, &'f [f32]); MOST_NORMS],
    norm_count: usize,
    sums: &'a mut [f32],
}

impl<E: Element> Lines for FinishPass<'_, '_, E> {
    #[inline(always)]
    fn has_gaps(&self) -> bool {
        let mut norms = self.norms.iter();
        let mask = self.mask.as_ref();
        mask.is_some_and(SourcePixels::has_gaps) || norms.any(|(values, _)| values.has_gaps())
    }

    #[inline(always)]
    fn prefetch<S: Simd, const COUNT: usize>(&self, simd: S, pixel: usize, channel: usize) {
        // The mask usually reads what the normalisations do.
        for (values, _) in &self.norms {
            values.prefetch::<S, COUNT>(simd, pixel, channel);
        }
        if let Some(mask) = self.mask.as_ref().filter(|_| self.norm_count == 0) {
            mask.prefetch::<S, COUNT>(simd, pixel, channel);
        }
    }

    #[inline(always)]
    unsafe fn vectors<S: Simd, const COUNT: usize>(
        &mut self,
        simd: S,
        pixel: usize,
        channel: usize,
    ) {
        // SAFETY: the caller of `run_lines` promised the pixels and channels in all slices.
        unsafe {
            let offset = |index: usize| (pixel + index) * self.channels + channel;
            let mut numbers = [simd.splat(0.0); COUNT];
            for (index, number) in numbers.iter_mut().enumerate() {
                let target = self.target.target().as_ptr().add(offset(index));
                *number = match self.result {
                    Some(result) => {
                        let number = simd.load(result.as_ptr().add(offset(index)));
                        if self.add_to_target {
                            simd.add(number, E::load(simd, target))
                        } else {
                            number
                        }
                    }
                    None => E::load(simd, target),
                };
            }
            if let Some(mask) = &self.mask {
                for (index, number) in numbers.iter_mut().enumerate() {
                    let [before] = mask.vectors(simd, pixel + index, channel);
                    *number = simd.where_positive(before, *number);
                }
            }
            let sums = self.sums.as_mut_ptr().add(channel);
            let mut sum = simd.load(sums);
            for &number in &numbers {
                sum = simd.add(sum, number);
            }
            self.target.vectors(simd, pixel, channel, &numbers);
            simd.store(sums, sum);
            for norm in 0..self.norm_count {
                let (values, mean) = &self.norms[norm];
                let mean = simd.load(mean.as_ptr().add(channel));
                let sums = sums.add((1 + norm) * self.channels);
                let mut sum = simd.load(sums);
                for (index, &number) in numbers.iter().enumerate() {
                    let value = E::load(simd, values.at(pixel + index, channel));
                    sum = simd.mul_add(number, simd.subtract(value, mean), sum);
                }
                simd.store(sums, sum);
            }
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
        let stored = self.target.target()[index].to_f32();
        let mut number = match self.result {
            Some(result) if self.add_to_target => result[index] + stored,
            Some(result) => result[index],
            None => stored,
        };
        if let Some(mask) = &self.mask {
            // Of what is not a number nothing passes, as in the vectors.
            // SAFETY: the caller of `run_lines` promised the pixels and channels in all maps.
            let passes = unsafe { mask.number(pixel, channel) } > 0.0;
            number = if passes { number } else { 0.0 };
        }
        self.target.number(index, number);
        self.sums[channel] += number;
        for norm in 0..self.norm_count {
            let (values, mean) = &self.norms[norm];
            // SAFETY: as above.
            let value = unsafe { *values.at(pixel, channel) }.to_f32();
            let difference = value - mean[channel];
            self.sums[(1 + norm) * self.channels + channel] += number * difference;
        }
    }
}
