//! Moving averages of parameters.

use rayon::prelude::*;

use super::PART_NUMBERS;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Moves each number of `average` towards `values`: `average = keep · average + (1 − keep) · value`.
///
/// With `keep` 0 the average becomes exactly the values, and one that has reached them stays there
/// exactly, whatever `keep` is.
///
/// # Errors
/// If the lengths differ or `keep` is not between 0 and 1.
pub fn move_average(average: &mut [f32], values: &[f32], keep: f64) -> Result<(), ShapeError> {
    ShapeError::check_length("values", values.len(), average.len())?;
    if !(0.0..=1.0).contains(&keep) {
        return Err(ShapeError::new(format!(
            "the share of the average that is kept is {keep}, but a share lies between 0 and 1"
        )));
    }
    let set = InstructionSet::current();
    average
        .par_chunks_mut(PART_NUMBERS)
        .zip(values.par_chunks(PART_NUMBERS))
        .for_each(|(average, values)| {
            set.run(AveragePart {
                average,
                values,
                keep,
            });
        });
    Ok(())
}

struct AveragePart<'a> {
    average: &'a mut [f32],
    values: &'a [f32],
    keep: f64,
}

impl Kernel for AveragePart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let keep = Keep::new(self.keep);
        for (average, &value) in self.average.iter_mut().zip(self.values) {
            *average = keep.mix(*average, value);
        }
    }
}

/// A share of the old, and the rest of the new.
///
/// A plain `keep · old + (1 − keep) · new` would settle beside constant values, because the two
/// rounded shares do not add up to 1: with 0.9999, by some 3e-4 of them.
#[derive(Clone, Copy)]
pub(super) struct Keep {
    old: f32,
    new: f32,
    mostly_old: bool,
}

impl Keep {
    pub(super) fn new(share: f64) -> Self {
        Self {
            old: share as f32,
            new: (1.0 - share) as f32,
            mostly_old: share > 0.5,
        }
    }

    /// Begins at the nearer of the two, so that a share of 0 or 1 gives exactly one of them.
    #[inline(always)]
    pub(super) fn mix(self, old: f32, new: f32) -> f32 {
        if self.mostly_old {
            old + self.new * (new - old)
        } else {
            new - self.old * (new - old)
        }
    }
}
