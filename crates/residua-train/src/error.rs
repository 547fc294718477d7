//! What can go wrong in training and evaluation.

use std::io::ErrorKind;
use std::path::PathBuf;

use residua_core::metrics::MetricError;
use residua_core::precision::Precision;
use residua_core::run::RunError;
use residua_core::setting::SettingError;
use residua_data::{CacheError, DataError};
use residua_graph::Shape;
use residua_graph::catalog::CatalogError;
use residua_weights::{LoadReport, WeightsError};
use thiserror::Error;

use crate::network::NonFinite;

/// Why training or evaluation could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Something that was asked for cannot be done.
    #[error("{0}")]
    Config(String),
    /// A setting of a configuration or a recipe cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The device has no such precision.
    #[error(
        "precision {precision} is there on the CPU only; compute on it (--device cpu) or in f32 \
         (--precision f32)"
    )]
    PrecisionNeedsCpu {
        /// The precision.
        precision: Precision,
    },
    /// The device cannot compute feature maps a second time.
    #[error(
        "gradient checkpointing is there on the CPU only; compute on it (--device cpu) or keep the \
         feature maps (gradient_checkpointing=off), in more pieces (--accumulate N) if memory is short"
    )]
    CheckpointingNeedsCpu,
    /// There is a cache, and nothing that it could keep.
    #[error(
        "a cache keeps pictures reduced to a shorter side, and these settings do not reduce them; say \
         to how many pixels, --shorter-side {example} for instance, or leave --cache out"
    )]
    CacheNeedsShorterSide {
        /// A shorter side that suits the input.
        example: usize,
    },
    /// The network is unknown or cannot be built.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A folder cannot be a cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The run folder cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A weight file cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A weight file does not fit the network.
    #[error("{} does not fit {model}: {report}\n{advice}", file.display())]
    WeightsDoNotFit {
        /// The network.
        model: String,
        /// The file.
        file: PathBuf,
        /// What fits and what does not.
        report: Box<LoadReport>,
        /// How it can be mended.
        advice: String,
    },
    /// Images of another size need other parameters.
    #[error("{model} has other parameters for images of {input}, so that it cannot see both sizes")]
    OtherState {
        /// The network.
        model: String,
        /// Height, width and channels.
        input: Shape,
    },
    /// A weight file lacks Residua's record, or has one of another version.
    #[error("{}: {message}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Weights that cannot come from a training.
    #[error("{name} is negative somewhere, which no variance is; the weights are damaged")]
    NegativeVariance {
        /// Name of the running variance.
        name: String,
    },
    /// A run cannot be continued.
    #[error(
        "'{}' has no checkpoint yet (checkpoints/last.safetensors), so it cannot be continued; \
         start it again, with --checkpoint-every N to have checkpoints within an epoch",
        run.display()
    )]
    NoCheckpoint {
        /// The run folder.
        run: PathBuf,
    },
    /// The loss became NaN or infinite.
    #[error(
        "the loss became {loss} at step {step} (epoch {epoch}); {}. \
         Try a lower learning rate (now {learning_rate:?}), gradient clipping (--clip-norm 1), \
         or a longer warm-up. {kept}",
        describe(place)
    )]
    NonFiniteLoss {
        /// The loss.
        loss: f64,
        /// The step, counted from 1.
        step: u64,
        /// The epoch, counted from 1.
        epoch: u64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Where a value was first not finite.
        place: Option<NonFinite>,
        /// What is left of the run.
        kept: String,
    },
    /// A parameter became NaN or infinite.
    #[error(
        "the parameter {name} became {value} at step {step}, and no checkpoint was written; an \
         earlier one is kept if there was one. Try a lower learning rate, gradient clipping \
         (--clip-norm 1), or a longer warm-up"
    )]
    NonFiniteParameter {
        /// Name of the parameter.
        name: String,
        /// Its value.
        value: f32,
        /// The step after which it was found.
        step: u64,
    },
    /// The network's output cannot be judged.
    #[error("sample {sample}: {source}")]
    Metric {
        /// Where the sample came from.
        sample: String,
        /// What is wrong with the output.
        source: MetricError,
    },
}

impl TrainError {
    /// Whether data, configuration, weights or run folder are at fault rather than the work.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Data(error) => error.is_bad_data(),
            // A full disk is nobody's bad input.
            Self::Weights(WeightsError::Io { source, .. }) => matches!(
                source.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory
            ),
            Self::Weights(_) => true,
            Self::Config(_)
            | Self::Setting(_)
            | Self::PrecisionNeedsCpu { .. }
            | Self::CheckpointingNeedsCpu
            | Self::CacheNeedsShorterSide { .. }
            | Self::Cache(_)
            | Self::Catalog(_)
            | Self::Run(
                RunError::NotARun { .. } | RunError::Occupied { .. } | RunError::InUse { .. },
            )
            | Self::Run(
                RunError::Malformed { .. } | RunError::Newer { .. } | RunError::NoEvents { .. },
            )
            | Self::WeightsDoNotFit { .. }
            | Self::OtherState { .. }
            | Self::NegativeVariance { .. }
            // In training it is explained as a divergence; elsewhere the weights are to blame.
            | Self::Metric { .. }
            | Self::Record { .. }
            | Self::NoCheckpoint { .. } => true,
            Self::Run(RunError::Io { .. })
            | Self::NonFiniteLoss { .. }
            | Self::NonFiniteParameter { .. } => false,
        }
    }
}

fn describe(place: &Option<NonFinite>) -> String {
    match place {
        Some(NonFinite::Parameter(name)) => {
            format!("the parameter {name} was the first that is not finite")
        }
        Some(NonFinite::Images) => "the images themselves are not finite".to_owned(),
        Some(NonFinite::Layer(name)) => {
            format!("the output of layer {name} was the first that is not finite")
        }
        None => "all layers are finite, only the loss itself is not".to_owned(),
    }
}
