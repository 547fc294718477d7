//! The training loop.
//!
//! Everything that a step computes is a function of the configuration, the step and the
//! state that checkpoints hold. That is what makes an exact continuation possible: there are
//! no random generators to save, and the loader starts at any batch.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use residua_core::atomic_file;
use residua_core::metrics::ClassificationSummary;
use residua_core::model_record::ModelRecord;
use residua_core::run::{Destination, RunError, RunFolder, RunMetrics, refuse_newer_schema};
use residua_core::seed::SeedStream;
use residua_data::HostBatch;
use residua_graph::catalog::VariationOptions;
use serde_json::{Map, Value};

use crate::checkpoint::{
    Best, EpochSums, LoadedTraining, TrainingState, load_model, load_training, save_training,
    save_weights,
};
use crate::config::TrainConfig;
use crate::data::RunData;
use crate::environment::environment;
use crate::error::TrainError;
use crate::evaluation::{Evaluation, Views, evaluate, images};
use crate::learner::{Divergence, Learner, LearnerSettings};
use crate::network::{Network, check_checkpointing, check_precision};
use crate::observer::{EpochReport, Observer, Plan, StepReport};
use crate::predictions;
use crate::quantile::median;
use crate::run_log::RunLog;
use crate::schedule::Schedule;

/// Mistakes that `metrics.json` lists.
const LISTED_MISTAKES: usize = 24;

/// How a run is executed; nothing here changes what it computes.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where the network computes.
    pub device: Device,
    /// Threads that prepare batches ahead of training.
    pub workers: usize,
    /// When this becomes true, the run stops cleanly after the step in progress.
    pub stop: Arc<AtomicBool>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// All epochs are done.
    Finished(Box<RunMetrics>),
    /// It was asked to stop, and a checkpoint was written.
    Interrupted {
        /// Last finished step.
        step: u64,
    },
}

/// A run in progress.
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    options: RunOptions,
    folder: RunFolder,
    log: RunLog,
    data: RunData,
    learner: Learner,
    record: ModelRecord,
    schedule: Schedule,
    state: TrainingState,
    /// Of the last epoch.
    last_evaluation: Option<Evaluation>,
}

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
        let graph = config.graph(data.classes.len())?;
        let seed = SeedStream::new(config.seed);
        let mut network = match &config.weights {
            None => Network::initialise(graph, seed, &options.device),
            Some(weights) => {
                let (network, report) = weights.network(graph, seed, &options.device)?;
                observer.weights_loaded(&report);
                network
            }
        };
        network.set_precision(config.precision)?;
        network.set_checkpointing(config.gradient_checkpointing)?;
        let record = ModelRecord {
            variations: as_map(config.variations)?,
            ..ModelRecord::new(
                &config.model,
                data.classes.clone(),
                config.preprocessing.clone(),
            )
        };
        let learner = Learner::new(network, LearnerSettings::from(&config));
        let text = config.to_toml()?;
        let folder = RunFolder::create(destination)?;
        atomic_file::replace_with(&folder.config(), text.as_bytes())
            .map_err(|source| write_error(&folder, source))?;
        let log = RunLog::open(&folder)?;
        let state = TrainingState {
            data: data.fingerprint(),
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
        network.set_precision(config.precision)?;
        network.set_checkpointing(config.gradient_checkpointing)?;
        let mut trainer = Self {
            schedule: schedule(&config, &data),
            learner: Learner::with_memories(network, LearnerSettings::from(&config), memories),
            log: RunLog::open(&folder)?,
            config,
            options,
            folder,
            data,
            record,
            state,
            last_evaluation: None,
        };
        trainer.log.resumed(&trainer.state)?;
        observer.started(&trainer.plan());
        Ok(trainer)
    }

    /// The folder of the run.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The configuration of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Updates in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.data.train.batches_per_epoch() as u64
    }

    /// The first `count` validation images, or all if there are fewer, prepared for the network.
    ///
    /// # Errors
    /// When one of them can no longer be read.
    pub fn validation_batch(&self, count: usize) -> Result<HostBatch, TrainError> {
        self.data.first_of_validation(count)
    }

    /// Trains until the end or until asked to stop.
    ///
    /// # Errors
    /// When the loss is not finite, an image vanished, or the disk is full. The last
    /// checkpoint remains, and the log of the run says what happened.
    pub fn run(mut self, observer: &mut dyn Observer) -> Result<Ending, TrainError> {
        let ending = self.train(observer);
        if let Err(error) = &ending {
            // On a full disk this fails too; what happened first is what counts.
            let _ = self.log.failed(self.state.step, error);
        }
        ending
    }

    fn train(&mut self, observer: &mut dyn Observer) -> Result<Ending, TrainError> {
        if self.state.step == 0 {
            observer.network(0, self.learner.network());
        }
        while self.state.finished_epochs < self.config.epochs {
            if !self.train_epoch(observer)? {
                return self.interrupted();
            }
            self.finish_epoch(observer)?;
            if self.must_stop() && self.state.finished_epochs < self.config.epochs {
                return self.interrupted();
            }
        }
        self.finish(observer)
    }

    /// Trains what is left of the epoch; `false` when asked to stop on the way.
    fn train_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let epoch = self.state.finished_epochs;
        let first = self.state.step - epoch * self.steps_per_epoch();
        let batches = self.data.train.epoch_from(epoch, first as usize);
        let mut waiting_since = Instant::now();
        for batch in batches {
            self.train_step(batch?)?;
            self.state.epoch.seconds += waiting_since.elapsed().as_secs_f64();
            waiting_since = Instant::now();
            let report = self.step_report();
            observer.stepped(&report);
            observer.network(self.state.step, self.learner.network());
            self.log.stepped(&report)?;
            let every = self.config.checkpoint_every;
            if every.is_some_and(|every| self.state.step.is_multiple_of(every)) {
                self.save_last()?;
            }
            if self.must_stop() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One optimiser update.
    fn train_step(&mut self, batch: HostBatch) -> Result<(), TrainError> {
        let rate = self.schedule.rate(self.state.step);
        let step = self.state.step + 1;
        let learned = self
            .learner
            .learn(batch, rate, step)
            .map_err(|divergence| self.diverged(divergence, step, rate))?;
        self.state.step = step;
        let sums = &mut self.state.epoch;
        sums.images += learned.images;
        sums.loss += learned.loss;
        sums.correct += learned.correct;
        Ok(())
    }

    fn diverged(&self, divergence: Divergence, step: u64, learning_rate: f64) -> TrainError {
        let checkpoint = self.folder.last_checkpoint();
        let kept = if checkpoint.is_file() {
            format!("The last checkpoint is kept: {}", checkpoint.display())
        } else {
            "There was no checkpoint yet".to_owned()
        };
        TrainError::NonFiniteLoss {
            loss: divergence.loss,
            step,
            epoch: self.state.finished_epochs + 1,
            learning_rate,
            place: divergence.place,
            kept,
        }
    }

    /// Explains logits that are not finite as what they are: the end of a training that went
    /// wrong in its last steps.
    fn diverged_in_validation(&self, error: TrainError) -> TrainError {
        let first_batch = || self.data.validation.epoch(0).next()?.ok();
        match (error, first_batch()) {
            (TrainError::Metric { .. }, Some(batch)) => {
                let network = self.learner.network();
                // Of no step: what is dropped does not matter here.
                let drops = SeedStream::new(self.config.seed);
                let divergence = Divergence {
                    loss: f64::NAN,
                    place: network.first_non_finite(images(network, batch), drops),
                };
                let step = self.state.step;
                let rate = self.schedule.rate(step.saturating_sub(1));
                self.diverged(divergence, step, rate)
            }
            (error, _) => error,
        }
    }

    /// Validates, keeps the best weights, and writes a checkpoint.
    fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let total = self.data.validation.split().len() as u64;
        let mut on_progress = |done| observer.validating(done, total);
        let evaluation = evaluate(
            self.learner.network(),
            &self.data.validation,
            Views::Single,
            &mut on_progress,
        )
        .map_err(|error| self.diverged_in_validation(error))?;
        let sums = std::mem::take(&mut self.state.epoch);
        let epoch = self.state.finished_epochs + 1;
        let accuracy = evaluation.summary.accuracy;
        let is_best = self.state.best.is_none_or(|best| accuracy > best.accuracy);
        self.state.finished_epochs = epoch;
        self.state.last_accuracy = accuracy;
        self.state.seconds += sums.seconds + evaluation.seconds;
        self.state.epoch_speeds.push(sums.speed());
        self.log.epoch_ended(
            &self.state,
            &sums,
            &evaluation.summary,
            evaluation.seconds,
            self.schedule.rate(self.state.step - 1),
        )?;
        if is_best {
            self.state.best = Some(Best { epoch, accuracy });
            let path = self.folder.best_checkpoint();
            save_weights(&path, self.learner.network(), &self.record, self.state.step)?;
            self.log.saved(self.state.step, "best")?;
        }
        self.save_last()?;
        observer.epoch_ended(&epoch_report(epoch, &sums, &evaluation.summary, is_best));
        self.last_evaluation = Some(evaluation);
        Ok(())
    }

    /// Writes the final evaluation.
    fn finish(&mut self, observer: &mut dyn Observer) -> Result<Ending, TrainError> {
        let best = self.state.best.unwrap_or(Best {
            epoch: self.state.finished_epochs,
            accuracy: self.state.last_accuracy,
        });
        let evaluation = match self.last_evaluation.take() {
            Some(evaluation) if best.epoch == self.config.epochs => evaluation,
            _ => self.evaluate_best(observer)?,
        };
        let split = self.data.validation.split();
        let judgement = evaluation.judge(&self.data.classes, split, LISTED_MISTAKES)?;
        predictions::write(
            &self.folder.predictions(),
            &evaluation.outputs,
            &self.data.classes,
            split,
        )?;
        let metrics = RunMetrics {
            schema: "residua.run-metrics/1".to_owned(),
            model: self.config.model.clone(),
            data: self.config.data.to_string(),
            split: self.data.validation_split.to_string(),
            classes: self.data.classes.clone(),
            parameters: self.learner.network().graph().trainable_parameters(),
            precision: self.config.precision,
            epochs: self.config.epochs,
            best_epoch: best.epoch,
            last_accuracy: self.state.last_accuracy,
            seconds: self.state.seconds,
            train_images_per_second: median(&self.state.epoch_speeds),
            evaluation: evaluation.summary,
            judgement: Some(judgement),
        };
        self.folder.write_metrics(&metrics)?;
        self.log
            .ended(self.state.step, best.accuracy, self.state.seconds)?;
        Ok(Ending::Finished(Box::new(metrics)))
    }

    fn evaluate_best(&self, observer: &mut dyn Observer) -> Result<Evaluation, TrainError> {
        let best = load_model(&self.folder.best_checkpoint(), &self.options.device)?;
        let total = self.data.validation.split().len() as u64;
        let mut on_progress = |done| observer.validating(done, total);
        evaluate(
            &best.network,
            &self.data.validation,
            Views::Single,
            &mut on_progress,
        )
    }

    fn interrupted(&mut self) -> Result<Ending, TrainError> {
        self.save_last()?;
        let step = self.state.step;
        self.log.interrupted(step)?;
        Ok(Ending::Interrupted { step })
    }

    fn save_last(&mut self) -> Result<(), TrainError> {
        save_training(
            &self.folder.last_checkpoint(),
            self.learner.network(),
            &self.record,
            &self.state,
            &self.config.optimiser,
            self.learner.memories(),
        )?;
        self.log.saved(self.state.step, "last")
    }

    fn must_stop(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }

    fn plan(&self) -> Plan {
        Plan {
            model: self.config.model.clone(),
            variations: self.record.variations.clone(),
            parameters: self.learner.network().graph().trainable_parameters(),
            precision: self.config.precision,
            train_images: self.data.train.split().len() as u64,
            validation_images: self.data.validation.split().len() as u64,
            validation_split: self.data.validation_split.to_string(),
            classes: self.data.classes.clone(),
            epochs: self.config.epochs,
            steps: self.steps_per_epoch() * self.config.epochs,
            finished_steps: self.state.step,
        }
    }

    fn step_report(&self) -> StepReport {
        let sums = &self.state.epoch;
        StepReport {
            step: self.state.step,
            epoch: self.state.finished_epochs + 1,
            loss: sums.mean_loss(),
            accuracy: sums.accuracy(),
            learning_rate: self.schedule.rate(self.state.step - 1),
            images_per_second: sums.speed(),
        }
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
    TrainConfig::from_toml(&text, &[]).map_err(|failure| {
        TrainError::Config(format!(
            "{}: {failure}; a run's configuration is as training wrote it: restore the file",
            path.display()
        ))
    })
}

fn open_data(
    config: &TrainConfig,
    options: &RunOptions,
    observer: &mut (dyn Observer + Sync),
) -> Result<RunData, TrainError> {
    let watched: &(dyn Observer + Sync) = observer;
    let on_progress =
        |progress: residua_data::Progress| watched.checking(progress.done, progress.total);
    let data = RunData::open(config, options.workers, &on_progress)?;
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

fn epoch_report(
    epoch: u64,
    sums: &EpochSums,
    validation: &ClassificationSummary,
    is_best: bool,
) -> EpochReport {
    EpochReport {
        epoch,
        train_loss: sums.mean_loss(),
        train_accuracy: sums.accuracy(),
        validation_loss: validation.loss,
        validation_accuracy: validation.accuracy,
        is_best,
        images_per_second: sums.speed(),
    }
}

fn write_error(folder: &RunFolder, source: std::io::Error) -> TrainError {
    TrainError::Run(RunError::Io {
        path: folder.config(),
        source,
    })
}
