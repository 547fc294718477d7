//! Mean and squared deviation of the groups of an image.

use rayon::prelude::*;

use super::GroupNormGeometry;
use crate::channels::ChannelRows;
use crate::reduce::add_rows;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet};

/// Count, mean and summed squared deviation of some numbers.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

impl Moments {
    #[inline(always)]
    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        let difference = other.mean - self.mean;
        self.mean += difference * (other.count / count);
        self.deviation +=
            other.deviation + difference * difference * (self.count * other.count / count);
        self.count = count;
    }
}

/// The moments of each group of one image.
pub(super) fn image_moments<E: Element>(
    set: InstructionSet,
    geometry: &GroupNormGeometry,
    rows: ChannelRows,
    image: &[E],
) -> Vec<Moments> {
    let parts: Vec<Vec<Moments>> = image
        .par_chunks(rows.part())
        .map(|part| {
            set.run(PartMoments {
                geometry,
                rows,
                part,
            })
        })
        .collect();
    let mut total = vec![Moments::default(); geometry.groups];
    for part in &parts {
        for (total, part) in total.iter_mut().zip(part) {
            total.merge(part);
        }
    }
    total
}

struct PartMoments<'a, E> {
    geometry: &'a GroupNormGeometry,
    rows: ChannelRows,
    part: &'a [E],
}

impl<E: Element> Kernel for PartMoments<'_, E> {
    type Output = Vec<Moments>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Vec<Moments> {
        let GroupNormGeometry {
            channels, groups, ..
        } = *self.geometry;
        let group_channels = self.geometry.group_channels();
        let width = self.rows.width;
        let mut totals = vec![Moments::default(); groups];
        let mut blocks = vec![Moments::default(); groups];
        let mut sums = vec![0.0f32; width];
        let mut mean = vec![0.0f32; width];
        for block in self.part.chunks(self.rows.block()) {
            let count = (block.len() / channels * group_channels) as f64;
            sums.fill(0.0);
            add_rows(block, &mut sums);
            blocks.fill(Moments {
                count,
                ..Moments::default()
            });
            // Lanes of a group lie together within each pixel of the row.
            for (index, lanes) in sums.chunks_exact(group_channels).enumerate() {
                blocks[index % groups].mean += total(lanes) / count;
            }
            for (index, lanes) in mean.chunks_exact_mut(group_channels).enumerate() {
                lanes.fill(blocks[index % groups].mean as f32);
            }
            sums.fill(0.0);
            for row in block.chunks(width) {
                for ((sum, &mean), &number) in sums.iter_mut().zip(&mean).zip(row) {
                    let difference = number.to_f32() - mean;
                    *sum += difference * difference;
                }
            }
            for (index, lanes) in sums.chunks_exact(group_channels).enumerate() {
                blocks[index % groups].deviation += total(lanes);
            }
            for (total, block) in totals.iter_mut().zip(&blocks) {
                total.merge(block);
            }
        }
        totals
    }
}

/// The sum in f64.
#[inline(always)]
fn total(lanes: &[f32]) -> f64 {
    let mut total = 0.0;
    for &lane in lanes {
        total += f64::from(lane);
    }
    total
}
