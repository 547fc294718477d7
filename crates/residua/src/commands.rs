//! One module for each command, and what several of them share.

pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod models;
pub(crate) mod predict;
pub(crate) mod train;

mod device;
mod model_source;
mod progress;
