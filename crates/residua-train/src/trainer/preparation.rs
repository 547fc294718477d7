//! What happens before the first step: data and configuration are checked, network and folder are made
//! or read.

use std::fs;

use burn::tensor::Device;
use residua_core::atomic_file;
use residua_core::model_record::ModelRecord;
use residua_core::preprocessing::Preprocessing;
use residua_core::run::{Destination, RunError, RunFolder, refuse_newer_schema};
use residua_core::seed::SeedStream;
use residua_core::task::{Decision, Task};
use residua_graph::Graph;
use residua_graph::catalog::VariationOptions;
use serde_json::{Map, Value};

use super::{RunOptions, Trainer};
use crate::checkpoint::{LoadedTraining, TrainingState, load_training};
use crate::config::TrainConfig;
use crate::data::RunData;
use crate::distillation::Teacher;
use crate::environment::environment;
use crate::error::TrainError;
use crate::learner::{Learner, LearnerSettings};
use crate::network::{Network, check_checkpointing, check_precision};
use crate::observer::Observer;
use crate::run_log::RunLog;
use crate::schedule::Schedule;
use crate::weight_average::AveragedNetwork;
use crate::whitening::{self, StemRule, whiten};

impl Trainer {
    /// Prepares a new run. Data and configuration are checked before the folder is created.
    ///
    /// # Errors
    /// When data, configuration or folder cannot be used; nothing has been written then.
    pub fn start(
        config: TrainConfig,
        destination: &Destination,
        options: RunOptions,
        observer: &mut (dyn Observer + Sync),
    ) -> Result<Self, TrainError> {
        config.validate()?;
        check_device(&config, &options.device)?;
        let data = open_data(&config, &options, observer)?;
        let network = initial_network(&config, &data, &options, observer)?;
        let average = { config.weight_average }
            .map(|settings| AveragedNetwork::new(settings, network.clone()));
        let record = ModelRecord {
            variations: as_map(config.variations)?,
            decision: match data.task {
                Task::SingleLabel => Decision::MostLikely,
                Task::MultiLabel => Decision::halves(data.classes.len()),
            },
            ..ModelRecord::new(
                &config.model,
                data.classes.clone(),
                config.preprocessing.clone(),
            )
        };
        let settings = learner_settings(&config, &data, &network)?;
        let teacher = teacher(&config, &data, &options.device)?;
        let of_teacher = teacher.as_ref().map(Teacher::fingerprint);
        let learner = Learner::new(network, settings).taught_by(teacher);
        let text = config.to_toml()?;
        let folder = RunFolder::create(destination)?;
        atomic_file::replace_with(&folder.config(), text.as_bytes())
            .map_err(|source| write_error(&folder, source))?;
        let log = RunLog::open(&folder)?;
        let state = TrainingState {
            data: data.fingerprint(),
            teacher: of_teacher,
            config: text,
            ..TrainingState::default()
        };
        let mut trainer = Self {
            schedule: schedule(&config, &data),
            config,
            options,
            folder,
            log,
            data,
            learner,
            record,
            state,
            last_evaluation: None,
            average,
        };
        let plan = trainer.plan();
        let environment = environment(&trainer.options.device);
        let quarantined = &trainer.data.quarantined;
        let config = &trainer.config;
        trainer
            .log
            .started(&plan, config, environment, quarantined)?;
        observer.started(&plan);
        Ok(trainer)
    }

    /// Prepares the continuation of a run from its last checkpoint.
    ///
    /// # Errors
    /// When the run has no checkpoint, or its data have changed.
    pub fn resume(
        folder: RunFolder,
        options: RunOptions,
        observer: &mut (dyn Observer + Sync),
    ) -> Result<Self, TrainError> {
        let config = read_config(&folder)?;
        check_device(&config, &options.device)?;
        if !folder.last_checkpoint().is_file() {
            return Err(TrainError::NoCheckpoint {
                run: folder.root().to_owned(),
            });
        }
        let data = open_data(&config, &options, observer)?;
        let LoadedTraining {
            mut network,
            record,
            state,
            memories,
            average,
        } = load_training(
            &folder.last_checkpoint(),
            &config.optimiser,
            &options.device,
        )?;
        if record.classes != data.classes {
            return Err(TrainError::Config(format!(
                "the classes of {} are now {:?}, and the run was started with {:?}; \
                 restore the data to continue it",
                config.data, data.classes, record.classes
            )));
        }
        // Read again rather than compared as text: an older version may have written fewer keys.
        if TrainConfig::from_toml(&state.config, &[]).ok().as_ref() != Some(&config) {
            return Err(TrainError::Config(format!(
                "{} was changed since the run was started; restore it to continue, or start a \
                 new run from it with --config",
                folder.config().display()
            )));
        }
        if state.data != data.fingerprint() {
            return Err(TrainError::Config(format!(
                "the images of {} have changed since the run was started (some were added, \
                 removed, renamed, replaced, or have another class); restore them to continue it",
                config.data
            )));
        }
        check_position(&state, data.train.batches_per_epoch() as u64, &folder)?;
        equip(&mut network, &config)?;
        let average = match (config.weight_average, average) {
            (None, _) => None,
            (Some(settings), Some(average)) => Some(AveragedNetwork::new(settings, average)),
            (Some(_), None) => {
                return Err(TrainError::Record {
                    path: folder.last_checkpoint(),
                    message: "the average of the weights is missing; the file is damaged".into(),
                });
            }
        };
        let settings = learner_settings(&config, &data, &network)?;
        let teacher = teacher(&config, &data, &options.device)?;
        check_teacher(teacher.as_ref(), &state, &config)?;
        let mut trainer = Self {
            schedule: schedule(&config, &data).remembering(state.plateau),
            learner: Learner::with_memories(network, settings, memories).taught_by(teacher),
            log: RunLog::open(&folder)?,
            config,
            options,
            folder,
            data,
            record,
            state,
            last_evaluation: None,
            average,
        };
        trainer.log.resumed(&trainer.state)?;
        observer.started(&trainer.plan());
        Ok(trainer)
    }
}

/// The configuration that a run was started with.
///
/// # Errors
/// When it cannot be read.
pub fn read_config(folder: &RunFolder) -> Result<TrainConfig, TrainError> {
    let path = folder.config();
    let text = fs::read_to_string(&path).map_err(|source| RunError::Io {
        path: path.clone(),
        source,
    })?;
    let table: toml::Table = text.parse().unwrap_or_default();
    if let Some(schema) = table.get("schema").and_then(toml::Value::as_str) {
        refuse_newer_schema(schema, TrainConfig::SCHEMA, &path)?;
    }
    TrainConfig::from_text_of(&path.display().to_string(), &text).map_err(|failure| {
        TrainError::Config(format!(
            "{failure}; a run's configuration is as training wrote it: restore the file"
        ))
    })
}

/// A network before its first step, from fresh values or from a file.
pub(crate) fn initial_network(
    config: &TrainConfig,
    data: &RunData,
    options: &RunOptions,
    observer: &mut (dyn Observer + Sync),
) -> Result<Network, TrainError> {
    check_device(config, &options.device)?;
    let graph = config.graph(data.classes.len())?;
    let seed = SeedStream::new(config.seed);
    let mut network = match &config.weights {
        None => fresh_network(graph, config, data, &options.device)?,
        Some(weights) => {
            let (network, report) = weights.network(graph, seed, &options.device)?;
            observer.weights_loaded(&report);
            network
        }
    };
    equip(&mut network, config)?;
    Ok(network)
}

/// Makes a network compute as a configuration says.
fn equip(network: &mut Network, config: &TrainConfig) -> Result<(), TrainError> {
    network.set_precision(config.precision)?;
    network.set_checkpointing(config.gradient_checkpointing)?;
    let classes = network.graph().output_shape().channels();
    for stage in &config.progressive_resizing {
        network.accept_size(config.smaller_graph(stage, classes)?)?;
    }
    Ok(())
}

fn fresh_network(
    graph: Graph,
    config: &TrainConfig,
    data: &RunData,
    device: &Device,
) -> Result<Network, TrainError> {
    config.check_start()?;
    let mut network = Network::initialise(graph, SeedStream::new(config.seed), device);
    if config.stem == StemRule::Whitening {
        let Preprocessing { height, width, .. } = config.preprocessing;
        let count = whitening::images(height, width);
        let images = data.first_of_training(&config.preprocessing, count)?;
        whiten(&mut network, &images)?;
    }
    Ok(network)
}

pub(crate) fn open_data(
    config: &TrainConfig,
    options: &RunOptions,
    observer: &mut (dyn Observer + Sync),
) -> Result<RunData, TrainError> {
    let watched: &(dyn Observer + Sync) = observer;
    let on_progress =
        |progress: residua_data::Progress| watched.checking(progress.done, progress.total);
    let data = RunData::open(
        config,
        options.workers,
        options.cache.as_deref(),
        &on_progress,
    )?;
    if !data.quarantined.is_empty() {
        observer.quarantined(&data.quarantined);
    }
    Ok(data)
}

/// A checkpoint lies within the epoch that it says is in progress.
fn check_position(
    state: &TrainingState,
    steps_per_epoch: u64,
    folder: &RunFolder,
) -> Result<(), TrainError> {
    let begin = state.finished_epochs.saturating_mul(steps_per_epoch);
    let end = begin.saturating_add(steps_per_epoch);
    if (begin..=end).contains(&state.step) {
        return Ok(());
    }
    Err(TrainError::Record {
        path: folder.last_checkpoint(),
        message: format!(
            "says step {} and {} finished epochs of {steps_per_epoch} steps, which do not go \
             together; the file is damaged",
            state.step, state.finished_epochs
        ),
    })
}

/// Whether a device can compute as a configuration asks; an error before anything else is done.
fn check_device(config: &TrainConfig, device: &Device) -> Result<(), TrainError> {
    check_precision(config.precision, device)?;
    check_checkpointing(config.gradient_checkpointing, device)
}

/// Variations as a record keeps them.
fn as_map(variations: VariationOptions) -> Result<Map<String, Value>, TrainError> {
    match serde_json::to_value(variations) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(TrainError::Config(format!("variations are {other}"))),
        Err(failure) => Err(TrainError::Config(failure.to_string())),
    }
}

fn schedule(config: &TrainConfig, data: &RunData) -> Schedule {
    let steps_per_epoch = data.train.batches_per_epoch() as u64;
    Schedule::new(
        config.schedule.clone(),
        config.optimiser.learning_rate(),
        steps_per_epoch * config.epochs,
        steps_per_epoch,
    )
}

/// How a network learns from these data.
pub(crate) fn learner_settings(
    config: &TrainConfig,
    data: &RunData,
    network: &Network,
) -> Result<LearnerSettings, TrainError> {
    let class_weights = config
        .class_weights
        .resolve(&data.classes, data.train.split())
        .map_err(|error| error.within("class_weights"))?;
    let plan = config.parameter_plan(network.graph(), network.entries())?;
    let steps_per_epoch = data.train.batches_per_epoch() as u64;
    Ok(LearnerSettings::of(
        config,
        class_weights,
        plan,
        steps_per_epoch,
    ))
}

/// The network that teaches must be the one that the run was started with.
fn check_teacher(
    teacher: Option<&Teacher>,
    state: &TrainingState,
    config: &TrainConfig,
) -> Result<(), TrainError> {
    let (Some(teacher), Some(distillation)) = (teacher, &config.distillation) else {
        return Ok(());
    };
    if state.teacher == Some(teacher.fingerprint()) {
        return Ok(());
    }
    Err(TrainError::Config(format!(
        "the teacher {} has changed since the run was started; restore it to continue it",
        distillation.teacher.display()
    )))
}

/// The network that teaches, if there is one.
pub(crate) fn teacher(
    config: &TrainConfig,
    data: &RunData,
    device: &Device,
) -> Result<Option<Teacher>, TrainError> {
    let load =
        |distillation| Teacher::load(distillation, &data.classes, &config.preprocessing, device);
    config.distillation.as_ref().map(load).transpose()
}

fn write_error(folder: &RunFolder, source: std::io::Error) -> TrainError {
    TrainError::Run(RunError::Io {
        path: folder.config(),
        source,
    })
}
