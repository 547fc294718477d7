//! The end of a weight gradient: from the sums of the register tiles to the layout of the weight.

use rayon::prelude::*;

use super::gradient_plan::GradientPlan;
use crate::scratch::Scratch;

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
