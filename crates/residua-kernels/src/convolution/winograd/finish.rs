//! The weight gradient from the sums of its positions, `Gᵀ s G`.

use super::accumulate::sums_length;
use super::layout::{POSITIONS, SIDE, TAPS};
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
    for (block, rows) in rows.chunks_mut(set.lanes() * row_length).enumerate() {
        set.run(BlockTransform {
            in_channels,
            padded_out_channels: out_channels.next_multiple_of(set.lanes()),
            partial_sums,
            first_out_channel: first_out_channel + block * set.lanes(),
            rows,
        });
    }
}

/// A vector of output channels. The lengths of the sums were checked.
struct BlockTransform<'a> {
    in_channels: usize,
    padded_out_channels: usize,
    partial_sums: &'a [&'a [f32]],
    first_out_channel: usize,
    rows: &'a mut [f32],
}

impl Kernel for BlockTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let scale = simd.splat(1.0 / KERNEL_SCALE);
        let row_length = self.in_channels * TAPS;
        assert!(self.first_out_channel + S::LANES <= self.padded_out_channels);
        for channel in 0..self.in_channels {
            let mut sums = [[simd.splat(0.0); SIDE]; SIDE];
            for position in 0..POSITIONS {
                let line = position * self.in_channels + channel;
                let offset = line * self.padded_out_channels + self.first_out_channel;
                let mut sum = simd.splat(0.0);
                for partial in self.partial_sums {
                    // SAFETY: the sums have lines of the padded channels for every position and
                    // channel (checked by the caller), of which the vector is a part.
                    sum = simd.add(sum, unsafe { simd.load(partial.as_ptr().add(offset)) });
                }
                sums[position / SIDE][position % SIDE] = sum;
            }
            let mut taps = [0.0f32; TAPS * MOST_LANES];
            let mut columns = [[simd.splat(0.0); SIDE]; 3];
            for (row, line) in sums.into_iter().enumerate() {
                let line = transforms::kernel_gradient(simd, line);
                for (column, vector) in columns.iter_mut().zip(line) {
                    column[row] = vector;
                }
            }
            for (column, line) in columns.into_iter().enumerate() {
                let vectors = transforms::kernel_gradient(simd, line);
                for (row, vector) in vectors.into_iter().enumerate() {
                    let tap = &mut taps[(row * 3 + column) * MOST_LANES..][..MOST_LANES];
                    // SAFETY: a tap has room for the widest vector.
                    unsafe { simd.store(tap.as_mut_ptr(), simd.multiply(scale, vector)) };
                }
            }
            let rows = self.rows.chunks_exact_mut(row_length).enumerate();
            for (lane, row) in rows {
                let target = &mut row[channel * TAPS..][..TAPS];
                for (tap, number) in target.iter_mut().enumerate() {
                    *number = taps[tap * MOST_LANES + lane];
                }
            }
        }
    }
}
