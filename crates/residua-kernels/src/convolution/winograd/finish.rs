//! The weight gradient from the sums of its positions, `Gᵀ s G`.

use super::accumulate::{sums_layout, sums_length};
use super::layout::{SIDE, TAPS, TileLayout};
use super::transforms::{self, KERNEL_SCALE};
use super::weights::MOST_LANES;
use crate::InstructionSet;
use crate::simd::{Kernel, Simd};

/// Writes the weight gradient `[out][in][3][3]` of the output channels from `first_out_channel` on,
/// as many as `rows` holds.
///
/// `partial_sums` are one or several sums of all positions, as `accumulate` leaves them, which are
/// added in their order. Several threads may write different rows.
///
/// # Panics
/// If a length is wrong, or `first_out_channel` does not begin a vector.
pub(crate) fn finish_weight_gradient(
    set: InstructionSet,
    in_channels: usize,
    out_channels: usize,
    partial_sums: &[&[f32]],
    first_out_channel: usize,
    rows: &mut [f32],
) {
    let length = sums_length(set, in_channels, out_channels);
    assert!(
        partial_sums.iter().all(|sums| sums.len() == length),
        "length of the sums"
    );
    let row_length = in_channels * TAPS;
    assert!(
        rows.len().is_multiple_of(row_length)
            && first_out_channel + rows.len() / row_length <= out_channels,
        "rows of the weight gradient"
    );
    assert!(
        first_out_channel.is_multiple_of(set.lanes()),
        "first output channel within a vector"
    );
    set.run(RowTransform {
        in_channels,
        sums: sums_layout(set.lanes(), in_channels, out_channels),
        partial_sums,
        first_out_channel,
        rows,
    });
}

/// Input channels to fetch ahead.
const AHEAD: usize = 4;

/// Some output channels. The lengths of the sums were checked.
struct RowTransform<'a> {
    in_channels: usize,
    sums: TileLayout,
    partial_sums: &'a [&'a [f32]],
    first_out_channel: usize,
    rows: &'a mut [f32],
}

impl Kernel for RowTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let row_length = self.in_channels * TAPS;
        let channels = self.rows.len() / row_length;
        let first_block = self.first_out_channel / S::LANES;
        assert!(first_block + channels.div_ceil(S::LANES) <= self.sums.blocks);
        for block in 0..channels.div_ceil(S::LANES) {
            let line = (first_block + block) * self.sums.block_stride();
            let first_row = block * S::LANES * row_length;
            for channel in 0..self.in_channels {
                // SAFETY: the sums have a line for every block (checked here) and channel of every
                // position (checked by the caller).
                let sums = unsafe { self.sums(simd, line + channel * S::LANES) };
                let mut taps = [[0.0f32; MOST_LANES]; TAPS];
                for (tap, vector) in taps.iter_mut().zip(transform(simd, sums)) {
                    // SAFETY: a tap has room for the widest vector.
                    unsafe { simd.store(tap.as_mut_ptr(), vector) };
                }
                let rows = self.rows[first_row..].chunks_exact_mut(row_length);
                for (lane, row) in rows.take(S::LANES).enumerate() {
                    let target = &mut row[channel * TAPS..][..TAPS];
                    for (number, tap) in target.iter_mut().zip(&taps) {
                        *number = tap[lane];
                    }
                }
            }
        }
    }
}

impl RowTransform<'_> {
    /// The partial sums of all positions together, of a vector of output channels.
    ///
    /// # Safety
    /// A vector at `offset` of each position must lie within the partial sums.
    #[inline(always)]
    unsafe fn sums<S: Simd>(&self, simd: S, offset: usize) -> [[S::Vector; SIDE]; SIDE] {
        let mut sums = [[simd.splat(0.0); SIDE]; SIDE];
        for (row, line) in sums.iter_mut().enumerate() {
            for (column, sum) in line.iter_mut().enumerate() {
                let offset = offset + (row * SIDE + column) * self.sums.position_stride();
                for partial in self.partial_sums {
                    // More positions than the processor follows by itself.
                    simd.prefetch(partial.as_ptr().wrapping_add(offset + AHEAD * S::LANES));
                    // SAFETY: the caller's promise.
                    *sum = simd.add(*sum, unsafe { simd.load(partial.as_ptr().add(offset)) });
                }
            }
        }
        sums
    }
}

#[inline(always)]
fn transform<S: Simd>(simd: S, sums: [[S::Vector; SIDE]; SIDE]) -> [S::Vector; TAPS] {
    let scale = simd.splat(1.0 / KERNEL_SCALE);
    let mut columns = [[simd.splat(0.0); SIDE]; 3];
    for (row, line) in sums.into_iter().enumerate() {
        let line = transforms::kernel_gradient(simd, line);
        for (column, vector) in columns.iter_mut().zip(line) {
            column[row] = vector;
        }
    }
    let mut taps = [simd.splat(0.0); TAPS];
    for (column, line) in columns.into_iter().enumerate() {
        let vectors = transforms::kernel_gradient(simd, line);
        for (row, vector) in vectors.into_iter().enumerate() {
            taps[row * 3 + column] = simd.multiply(scale, vector);
        }
    }
    taps
}
