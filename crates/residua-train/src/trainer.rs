//! The training loop.
//!
//! Everything that a step computes is a function of the configuration, the step and the
//! state that checkpoints hold. That is what makes an exact continuation possible: there are
//! no random generators to save, and the loader starts at any batch.

mod preparation;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use residua_core::model_record::ModelRecord;
use residua_core::run::{MultiLabelResults, RunFolder, RunMetrics, RunResults, SingleLabelResults};
use residua_core::seed::SeedStream;
use residua_core::task::{Decision, Task};
use residua_data::HostBatch;

use crate::checkpoint::{
    Best, EpochSums, Snapshot, TrainingState, load_model, save_training, save_weights,
};
use crate::config::TrainConfig;
use crate::data::RunData;
use crate::error::TrainError;
use crate::evaluation::{Evaluation, Summary, Views, evaluate, images};
use crate::learner::{Divergence, Learner};
use crate::network::Network;
use crate::observer::{EpochReport, Observer, Plan, StepReport};
use crate::predictions;
use crate::progressive_resizing::{small_epochs, stage_of};
use crate::quantile::median;
use crate::run_log::RunLog;
use crate::schedule::Schedule;
use crate::weight_average::AveragedNetwork;

pub use preparation::read_config;
pub(crate) use preparation::{initial_network, learner_settings, open_data, teacher};

/// Mistakes that `metrics.json` lists.
const LISTED_MISTAKES: usize = 24;

/// How a run is executed; nothing here changes what it computes.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where the network computes.
    pub device: Device,
    /// Threads that prepare batches ahead of training.
    pub workers: usize,
    /// The folder in which reduced pictures are kept ([`PictureCache`](residua_data::PictureCache)).
    pub cache: Option<PathBuf>,
    /// When this becomes true, the run stops cleanly after the step in progress.
    pub stop: Arc<AtomicBool>,
    /// The run stops in the same way once it has so many epochs, if it has more to go. Its schedule is
    /// that of all its epochs, and it may be continued.
    pub stop_after_epoch: Option<u64>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// All epochs are done.
    Finished(Box<RunMetrics>),
    /// It was asked to stop, or came to [`RunOptions::stop_after_epoch`], and a checkpoint was written.
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
    average: Option<AveragedNetwork>,
}

impl Trainer {
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

    /// Trains until the end, until asked to stop, or until [`RunOptions::stop_after_epoch`].
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
        while self.goes_on() {
            if self.is_far_enough() {
                return self.interrupted();
            }
            if !self.train_epoch(observer)? {
                return self.interrupted();
            }
            self.finish_epoch(observer)?;
            if self.must_stop() && self.goes_on() {
                return self.interrupted();
            }
        }
        self.finish(observer)
    }

    /// Whether there is another epoch to train.
    fn goes_on(&self) -> bool {
        let finished = self.state.finished_epochs;
        let best = self.state.best.map_or(0, |best| best.epoch);
        // Images of full size are judged while smaller ones are learned from: that may get no better.
        let since = best.max(small_epochs(&self.config.progressive_resizing));
        let is_patient = { self.config.patience }
            .is_none_or(|patience| finished.saturating_sub(since) < patience);
        finished < self.config.epochs && is_patient
    }

    /// The network that is judged and kept: the average, where the run keeps one.
    fn judged(&self) -> &Network {
        match &self.average {
            Some(average) => average.network(),
            None => self.learner.network(),
        }
    }

    /// Trains what is left of the epoch; `false` when asked to stop on the way.
    fn train_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let epoch = self.state.finished_epochs;
        self.learner.begin_epoch(epoch);
        let first = self.state.step - epoch * self.steps_per_epoch();
        let stage = stage_of(&self.config.progressive_resizing, epoch);
        if epoch > 0 && stage != stage_of(&self.config.progressive_resizing, epoch - 1) {
            // Feature maps are of another size now, and the former sizes do not come again.
            self.learner.network().release_memory();
        }
        let loader = self.data.training(stage);
        let mut batches = loader.epoch_from(epoch, first as usize);
        let mut counted_until = Instant::now();
        loop {
            let waiting_since = Instant::now();
            let Some(batch) = batches.next() else {
                break;
            };
            self.state.epoch.waiting_seconds += waiting_since.elapsed().as_secs_f64();
            self.train_step(batch?)?;
            self.state.epoch.seconds += counted_until.elapsed().as_secs_f64();
            counted_until = Instant::now();
            self.pass_on_warnings(observer)?;
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
        let pace = self.schedule.pace(self.state.step);
        let step = self.state.step + 1;
        let learned = self
            .learner
            .learn(batch, pace, step)
            .map_err(|divergence| self.diverged(divergence, step, pace.learning_rate))?;
        self.state.step = step;
        if let Some(average) = &mut self.average {
            average.absorb(self.learner.network(), step);
        }
        let sums = &mut self.state.epoch;
        sums.images += learned.images;
        sums.loss += learned.loss;
        sums.correct += learned.correct;
        Ok(())
    }

    /// What the cache has to say.
    fn pass_on_warnings(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        match self.data.pictures.take_warning() {
            Some(message) => {
                observer.warned(&message);
                self.log.warned(self.state.step, message)
            }
            None => Ok(()),
        }
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
                let network = self.judged();
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
            self.judged(),
            &self.data.validation,
            Views::Single,
            &mut on_progress,
        )
        .map_err(|error| self.diverged_in_validation(error))?;
        let sums = std::mem::take(&mut self.state.epoch);
        let epoch = self.state.finished_epochs + 1;
        let found = Best {
            epoch,
            accuracy: evaluation.summary.accuracy(),
            roc_auc: evaluation.summary.roc_auc(),
        };
        let best_before = self.state.best;
        let is_best = best_before.is_none_or(|best| found.score() > best.score());
        self.record.decision = self.decision(&evaluation)?;
        self.state.finished_epochs = epoch;
        self.state.last_accuracy = found.accuracy;
        self.state.last_roc_auc = found.roc_auc;
        self.state.seconds += sums.seconds + evaluation.seconds;
        self.state.train_seconds += sums.seconds;
        self.state.waiting_seconds += sums.waiting_seconds;
        self.state.epoch_speeds.push(sums.speed());
        self.log.epoch_ended(
            &self.state,
            &sums,
            &evaluation.summary,
            evaluation.seconds,
            self.schedule.rate(self.state.step - 1),
        )?;
        if epoch > small_epochs(&self.config.progressive_resizing) {
            self.schedule.validated(evaluation.summary.loss());
        }
        self.state.plateau = self.schedule.plateau();
        if is_best {
            self.state.best = Some(found);
            let path = self.folder.best_checkpoint();
            save_weights(&path, self.judged(), &self.record, self.state.step)?;
            self.log.saved(self.state.step, "best")?;
        }
        self.save_last()?;
        observer.epoch_ended(&EpochReport {
            smaller_images: self.smaller_images(epoch - 1),
            ..epoch_report(epoch, &sums, &evaluation.summary, is_best)
        });
        self.last_evaluation = Some(evaluation);
        Ok(())
    }

    /// Height and width of the images of an epoch, counted from 0, if it is one of smaller images.
    fn smaller_images(&self, epoch: u64) -> Option<[usize; 2]> {
        stage_of(&self.config.progressive_resizing, epoch)?;
        let preprocessing = self.config.preprocessing_in(epoch);
        Some([preprocessing.height, preprocessing.width])
    }

    /// How logits become an answer, as far as an evaluation tells.
    fn decision(&self, evaluation: &Evaluation) -> Result<Decision, TrainError> {
        Ok(match evaluation.summary {
            Summary::SingleLabel(_) => Decision::MostLikely,
            Summary::MultiLabel(_) => Decision::Thresholds {
                thresholds: evaluation.best_thresholds(self.data.classes.len())?,
            },
        })
    }

    /// Writes the final evaluation.
    fn finish(&mut self, observer: &mut dyn Observer) -> Result<Ending, TrainError> {
        let best = self.state.best.unwrap_or(Best {
            epoch: self.state.finished_epochs,
            accuracy: self.state.last_accuracy,
            roc_auc: self.state.last_roc_auc,
        });
        let evaluation = match self.last_evaluation.take() {
            Some(evaluation) if best.epoch == self.state.finished_epochs => evaluation,
            _ => self.evaluate_best(observer)?,
        };
        let split = self.data.validation.split();
        // Thresholds are those of the best checkpoint, found again from the same logits.
        let decision = self.decision(&evaluation)?;
        predictions::write(
            &self.folder.predictions(),
            &evaluation.outputs,
            &self.data.classes,
            &decision,
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
            epochs: self.state.finished_epochs,
            best_epoch: best.epoch,
            seconds: self.state.seconds,
            train_images_per_second: self.speed(),
            waiting_share: Some(self.state.waiting_share()),
            results: self.results(&evaluation)?,
        };
        self.folder.write_metrics(&metrics)?;
        self.log.ended(self.state.step, best, self.state.seconds)?;
        Ok(Ending::Finished(Box::new(metrics)))
    }

    /// Median over the epochs that showed images of full size; over all if there were none.
    fn speed(&self) -> f64 {
        let speeds = &self.state.epoch_speeds;
        let small = small_epochs(&self.config.progressive_resizing) as usize;
        let of_full_size = speeds.get(small..).filter(|speeds| !speeds.is_empty());
        median(of_full_size.unwrap_or(speeds))
    }

    /// What `metrics.json` says of an evaluation.
    fn results(&self, evaluation: &Evaluation) -> Result<RunResults, TrainError> {
        Ok(match &evaluation.summary {
            Summary::SingleLabel(summary) => {
                let split = self.data.validation.split();
                let judgement = evaluation.judge(&self.data.classes, split, LISTED_MISTAKES)?;
                RunResults::SingleLabel(Box::new(SingleLabelResults {
                    last_accuracy: self.state.last_accuracy,
                    evaluation: summary.clone(),
                    judgement: Some(judgement),
                }))
            }
            Summary::MultiLabel(scores) => {
                let thresholds = evaluation.best_thresholds(self.data.classes.len())?;
                RunResults::MultiLabel(Box::new(MultiLabelResults {
                    last_roc_auc: self.state.last_roc_auc.unwrap_or(scores.score()),
                    multilabel: evaluation.judge_labels(&thresholds)?,
                }))
            }
        })
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
        // Thresholds are those of the network that was judged.
        let mut record = self.record.clone();
        if self.average.is_some() && self.data.task == Task::MultiLabel {
            record.decision = Decision::halves(self.data.classes.len());
        }
        save_training(
            &self.folder.last_checkpoint(),
            &Snapshot {
                network: self.learner.network(),
                record: &record,
                state: &self.state,
                optimiser: &self.config.optimiser,
                memories: self.learner.memories(),
                average: self.average.as_ref().map(AveragedNetwork::network),
            },
        )?;
        self.log.saved(self.state.step, "last")
    }

    fn is_far_enough(&self) -> bool {
        let last = self.options.stop_after_epoch;
        last.is_some_and(|last| self.state.finished_epochs >= last)
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
            task: self.data.task,
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

fn epoch_report(epoch: u64, sums: &EpochSums, validation: &Summary, is_best: bool) -> EpochReport {
    EpochReport {
        epoch,
        train_loss: sums.mean_loss(),
        train_accuracy: sums.accuracy(),
        validation_loss: validation.loss(),
        validation_accuracy: validation.accuracy(),
        validation_roc_auc: validation.roc_auc(),
        is_best,
        images_per_second: sums.speed(),
        waiting_share: sums.waiting_share(),
        smaller_images: None,
    }
}
