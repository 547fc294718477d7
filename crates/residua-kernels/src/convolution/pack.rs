//! Weights in the order in which the register tiles read them.

use rayon::prelude::*;

use super::correlation::{Correlation, Phase};
use crate::scratch::Scratch;

/// A run of target channels, of one group, that a register tile computes together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// First channel within the group.
    pub(super) first: usize,
    /// Channels, the last vector perhaps not full.
    pub(super) channels: usize,
    /// Vectors that hold them.
    pub(super) vectors: usize,
}

/// Cuts the channels of a group into panels of nearly equal width.
pub(super) fn panels(channels: usize, lanes: usize, most_vectors: usize) -> Vec<Panel> {
    let vectors = channels.div_ceil(lanes);
    let count = vectors.div_ceil(most_vectors);
    let mut panels = Vec::with_capacity(count);
    let mut first_vector = 0;
    for index in 0..count {
        let width = vectors / count + usize::from(index < vectors % count);
        let first = first_vector * lanes;
        panels.push(Panel {
            first,
            channels: (width * lanes).min(channels - first),
            vectors: width,
        });
        first_vector += width;
    }
    panels
}

/// The weights of all phases, `[phase][group][panel][step][vectors * lanes]`, zero where a vector
/// is not full.
pub(super) struct PackedWeights {
    numbers: Scratch,
    phase_offsets: Vec<usize>,
    padded_channels: usize,
    lanes: usize,
}

impl PackedWeights {
    pub(super) fn new(
        correlation: &Correlation,
        panels: &[Panel],
        lanes: usize,
        weight: &[f32],
    ) -> Self {
        let padded_channels = correlation.group_target_channels().next_multiple_of(lanes);
        let group_steps = |phase: &Phase| phase.taps.len() * correlation.group_source_channels();
        let mut phase_offsets = Vec::with_capacity(correlation.phases.len());
        let mut length = 0;
        for phase in &correlation.phases {
            phase_offsets.push(length);
            length += correlation.groups * group_steps(phase) * padded_channels;
        }
        let mut packed = Self {
            numbers: Scratch::uninitialised(length),
            phase_offsets,
            padded_channels,
            lanes,
        };
        let mut jobs = Vec::new();
        let mut rest = &mut *packed.numbers;
        for phase in &correlation.phases {
            for group in 0..correlation.groups {
                for panel in panels {
                    let (target, behind) =
                        rest.split_at_mut(group_steps(phase) * panel.vectors * lanes);
                    rest = behind;
                    jobs.push((phase, group, panel, target));
                }
            }
        }
        let smallest_job = MINIMUM_JOB.div_ceil(length / jobs.len().max(1) + 1);
        jobs.into_par_iter().with_min_len(smallest_job).for_each(
            |(phase, group, panel, target)| {
                pack_panel(
                    correlation,
                    phase,
                    group,
                    panel,
                    target,
                    panel.vectors * lanes,
                    weight,
                );
            },
        );
        packed
    }

    /// The weights of one panel, `steps` of a phase times its padded width.
    pub(super) fn panel(&self, phase: usize, steps: usize, group: usize, panel: &Panel) -> &[f32] {
        let offset =
            self.phase_offsets[phase] + (group * self.padded_channels + panel.first) * steps;
        &self.numbers[offset..][..steps * panel.vectors * self.lanes]
    }
}

/// Numbers that are worth a task of their own.
const MINIMUM_JOB: usize = 16 * 1024;

fn pack_panel(
    correlation: &Correlation,
    phase: &Phase,
    group: usize,
    panel: &Panel,
    target: &mut [f32],
    width: usize,
    weight: &[f32],
) {
    if panel.channels < width {
        target.fill(0.0);
    }
    let strides = correlation.weight_strides;
    let channels = correlation.group_source_channels();
    let base = group * strides.group + panel.first * strides.target;
    for source_channel in 0..channels {
        for (tap_index, tap) in phase.taps.iter().enumerate() {
            let line =
                &mut target[(tap_index * channels + source_channel) * width..][..panel.channels];
            let weights = weight[base + source_channel * strides.source + tap.position..].iter();
            for (number, &value) in line.iter_mut().zip(weights.step_by(strides.target)) {
                *number = value;
            }
        }
    }
}
