//! One module for each command, and what several of them share.

use residua::train::{OptimiserConfig, ScheduleConfig, TrainConfig};

use crate::output;

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod cross_validate;
pub(crate) mod data;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod lr_find;
pub(crate) mod models;
pub(crate) mod predict;
pub(crate) mod recipe;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod study;
pub(crate) mod sweep;
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

/// The settings of a training in half a sentence.
fn settings_line(config: &TrainConfig) -> String {
    let schedule = match config.schedule {
        ScheduleConfig::Constant => "a constant rate",
        ScheduleConfig::OneCycle { .. } => "a one-cycle schedule",
        ScheduleConfig::Cosine { .. } => "a cosine schedule",
        ScheduleConfig::MultiStep { .. } => "a rate that falls in steps",
        ScheduleConfig::Plateau { .. } => "a rate that falls when validation stalls",
    };
    let optimiser = match config.optimiser {
        OptimiserConfig::Sgd { .. } => "SGD",
        OptimiserConfig::AdamW { .. } => "AdamW",
        OptimiserConfig::Lamb { .. } => "LAMB",
        OptimiserConfig::RmsProp { .. } => "RMSProp",
        OptimiserConfig::Muon { .. } => "Muon",
    };
    format!(
        "{} in batches of {}, {optimiser} with {schedule} up to {}, feature maps in {}, on {}",
        output::counted(config.epochs, "epoch", "epochs"),
        config.batch_size,
        config.optimiser.learning_rate(),
        config.precision,
        config.data
    )
}

mod device;
mod evaluation_data;
mod model_source;
mod overlay;
mod pictures;
mod progress;
mod run_set;
mod variations;
