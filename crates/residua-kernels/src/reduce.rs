//! Sums over all axes but the last.

use rayon::prelude::*;

use crate::channels::ChannelRows;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// Sums `input` `[..., C]` over all axes but the last into `sums` `[C]`.
///
/// This is the gradient of a bias. Blocks of a few thousand numbers are summed in f32, the blocks
/// in f64.
///
/// # Errors
/// If `sums` is empty or the length of `input` is not a multiple of its length.
pub fn channel_sums<E: Element>(input: &[E], sums: &mut [f32]) -> Result<(), ShapeError> {
    check_channels("input", input.len(), sums.len())?;
    let set = InstructionSet::current();
    let rows = ChannelRows::new(sums.len());
    let parts: Vec<_> = rows
        .parts(input.len())
        .into_par_iter()
        .map(|part| {
            set.run(PartSums {
                rows,
                input: &input[part],
            })
        })
        .collect();
    let totals = add_in_order(parts, sums.len());
    for (sum, total) in sums.iter_mut().zip(totals) {
        *sum = total as f32;
    }
    Ok(())
}

/// Checks that a tensor of `length` numbers has a whole number of pixels of `channels` channels.
pub(crate) fn check_channels(name: &str, length: usize, channels: usize) -> Result<(), ShapeError> {
    if channels > 0 && length.is_multiple_of(channels) {
        return Ok(());
    }
    Err(ShapeError::new(format!(
        "{name} has {length} elements, which is not a number of pixels of {channels} channels"
    )))
}

/// Adds per-channel sums of parts, the first part first.
pub(crate) fn add_in_order(parts: Vec<Vec<f64>>, channels: usize) -> Vec<f64> {
    let mut totals = vec![0.0; channels];
    for part in parts {
        for (total, sum) in totals.iter_mut().zip(part) {
            *total += sum;
        }
    }
    totals
}

/// Adds the rows of `block` to `sums`, which is one row; the last row may be incomplete.
#[inline(always)]
pub(crate) fn add_rows<E: Element>(block: &[E], sums: &mut [f32]) {
    for row in block.chunks(sums.len()) {
        for (sum, &number) in sums.iter_mut().zip(row) {
            *sum += number.to_f32();
        }
    }
}

/// Adds f32 sums of a block to f64 totals and clears them.
#[inline(always)]
pub(crate) fn flush(sums: &mut [f32], totals: &mut [f64]) {
    for (sum, total) in sums.iter_mut().zip(totals) {
        *total += f64::from(*sum);
        *sum = 0.0;
    }
}

struct PartSums<'a, E> {
    rows: ChannelRows,
    input: &'a [E],
}

impl<E: Element> Kernel for PartSums<'_, E> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Vec<f64> {
        let mut totals = vec![0.0; self.rows.width];
        let mut sums = vec![0.0; self.rows.width];
        for block in self.input.chunks(self.rows.block()) {
            add_rows(block, &mut sums);
            flush(&mut sums, &mut totals);
        }
        self.rows.narrow(&totals)
    }
}
