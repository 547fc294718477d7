//! Optimiser steps over a parameter and its state, and moving averages of parameters.
//!
//! A rule is a plain struct of its constants; its `step` takes a parameter, the gradient and the state
//! as slices of one length, and the caller keeps the state from step to step. A step is one pass over
//! memory, except that [`Lamb`] needs the norms first and [`Muon`] makes the matrix orthogonal.

mod adam_w;
mod average;
mod lamb;
mod muon;
mod orthogonal;
mod rms_prop;
mod sgd;
mod squares;

use crate::ShapeError;

pub use adam_w::AdamW;
pub use average::move_average;
pub use lamb::{DecayForm, Lamb, TrustBound};
pub use muon::{Muon, MuonScale};
pub use orthogonal::{NEWTON_SCHULZ_STEPS, orthogonalise};
pub use rms_prop::{RmsProp, RmsPropForm};
pub use sgd::Sgd;

/// Whether a step of a rule with two moments can be done: `lengths` are those of gradient, first and second
/// moment.
fn check_moments(step: u64, parameter: usize, lengths: [usize; 3]) -> Result<(), ShapeError> {
    let names = ["gradient", "first moment", "second moment"];
    for (name, length) in names.into_iter().zip(lengths) {
        ShapeError::check_length(name, length, parameter)?;
    }
    if step == 0 {
        return Err(ShapeError::new("step is 0, but steps count from 1"));
    }
    Ok(())
}

/// Numbers in one task's work.
const PART_NUMBERS: usize = 32 * 1024;
