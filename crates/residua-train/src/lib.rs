//! Training, evaluation and prediction of residual networks on Burn.
//!
//! A [`Network`] is a graph with values on a device. A [`Trainer`] takes a [`TrainConfig`],
//! trains a network and leaves a run folder; a killed run continues from there bit for bit.
//! [`evaluate`] judges a network, [`rank_classes`] uses it.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use burn::tensor::Device;
//! use residua_core::run::Destination;
//! use residua_data::DataSpec;
//! use residua_train::{Ending, RunOptions, Silent, TrainConfig, Trainer};
//!
//! let config = TrainConfig::for_data(DataSpec::Builtin);
//! let options = RunOptions {
//!     device: Device::flex(),
//!     workers: 1,
//!     cache: None,
//!     stop: Arc::default(),
//!     stop_after_epoch: None,
//! };
//! let destination = Destination::Folder("runs/first".into());
//! let trainer = Trainer::start(config, &destination, options, &mut Silent)?;
//! if let Ending::Finished(metrics) = trainer.run(&mut Silent)? {
//!     println!("{} {:.3}", metrics.measure().name(), metrics.score());
//! }
//! # Ok::<(), residua_train::TrainError>(())
//! ```

mod benchmark;
mod checkpoint;
mod class_weights;
mod config;
mod data;
mod distillation;
mod environment;
mod error;
mod evaluation;
mod execution;
pub mod explain;
mod initialise;
mod learner;
mod loading_speed;
mod loss;
mod network;
mod observer;
mod optimiser;
mod parameter_groups;
mod pieces;
mod predictions;
pub mod probe;
mod progressive_resizing;
mod quantile;
mod rate_search;
mod recipe;
mod run_log;
mod sampling;
mod schedule;
pub mod search;
mod settings;
mod starting_weights;
mod trainer;
mod training_pass;
mod weight_average;
mod whitening;

pub use benchmark::{
    BenchmarkCase, BenchmarkMode, BenchmarkOptions, DEFAULT_SECONDS, LEAST_STEPS, Measurement,
    default_batch, measure, operations, peak_memory_bytes,
};
/// Where tensors live and are computed; Burn's.
pub use burn::tensor::Device;
pub use checkpoint::{
    Best, EpochSums, LoadedModel, PublishedWeights, TrainingState, load_model, load_published,
    published_preprocessing, read_record, recorded_graph, recorded_variations,
    without_training_state,
};
pub use class_weights::ClassWeights;
pub use config::{TrainConfig, photographs};
pub use data::{picture_reader, training_batch};
pub use distillation::{Distillation, Teacher};
pub use error::TrainError;
pub use evaluation::{
    Evaluation, RankedClass, SampleLogits, Summary, Views, class_probabilities, evaluate,
    image_tensor, rank_classes,
};
pub use initialise::initial_values;
pub use learner::{Divergence, Learned, Learner, LearnerSettings};
pub use loading_speed::{LoadingBenchmark, LoadingSpeed, measure_loading};
pub use loss::{LossConfig, Targets};
pub use network::{Network, NonFinite};
pub use observer::{EpochReport, Observer, Plan, Silent, StepReport};
pub use optimiser::{
    Memory, MuonScale, Optimiser, OptimiserConfig, OtherParameters, ParameterRole, RmsPropForm,
    Update, clip_factor, global_norm,
};
pub use parameter_groups::{Freezing, ParameterGroup, ParameterPlan, StageRules};
pub use probe::Probe;
pub use progressive_resizing::SmallerImages;
pub use rate_search::{RateCurve, RatePoint, RateSearch, search_rate};
pub use recipe::{Recipe, RecipeAbout};
/// The format of feature maps in training.
pub use residua_core::checkpointing::GradientCheckpointing;
pub use residua_core::precision::Precision;
/// What a wrong setting is answered with.
pub use residua_core::setting::SettingError;
pub use sampling::Sampling;
pub use schedule::{Anneal, MomentumCycle, Pace, Plateau, Schedule, ScheduleConfig};
pub use settings::{SettingSource, settings_schema};
pub use starting_weights::{HeadRule, MisfitRule, StartingWeights};
pub use trainer::{Ending, RunOptions, Trainer, read_config};
pub use training_pass::TrainingPass;
pub use weight_average::WeightAverage;
pub use whitening::StemRule;
