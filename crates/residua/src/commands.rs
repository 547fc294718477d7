//! One module for each command, and what several of them share.

pub(crate) mod bench;
pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod models;
pub(crate) mod predict;
pub(crate) mod train;
pub(crate) mod weights;

/// A share of something, 0 to 1, as an option's value.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// A share of something that is dropped: 0 or more and less than 1.
fn rate(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(rate) if (0.0..1.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0 to less than 1".to_owned()),
    }
}

mod device;
mod model_source;
mod pictures;
mod progress;
mod variations;
