//! Several runs, trained one after the other; what is there already is not trained again.

use std::path::{Path, PathBuf};

use residua::core::run::{Destination, RunFolder};
use residua::train::{Ending, Observer, RunOptions, TrainConfig, Trainer, read_config};

use super::progress::TrainingProgress;
use super::report;
use crate::failure::{Failure, Status};

/// A run of a set.
#[derive(Debug, Clone)]
pub(crate) struct PlannedRun {
    /// Name of its folder.
    pub(crate) name: String,
    pub(crate) config: TrainConfig,
}

/// How runs of a set are executed.
pub(crate) struct RunSet<'a> {
    /// Folder of the runs.
    pub(crate) parent: PathBuf,
    pub(crate) options: RunOptions,
    pub(crate) quiet: bool,
    /// What to type to go on after an interruption.
    pub(crate) again: &'a str,
}

/// Gives an observer for a run that is about to be trained.
pub(crate) type Watch<'f, 'w> =
    dyn FnMut(&PlannedRun, &Trainer) -> Result<Option<Box<dyn Observer + 'w>>, Failure> + 'f;

impl RunSet<'_> {
    /// Trains what is missing.
    pub(crate) fn complete<'w>(
        &self,
        runs: &[PlannedRun],
        watch: &mut Watch<'_, 'w>,
    ) -> Result<Vec<RunFolder>, Failure> {
        let mut folders = Vec::new();
        for (index, planned) in runs.iter().enumerate() {
            if !self.quiet {
                eprintln!("run {} of {}: {}", index + 1, runs.len(), planned.name);
            }
            folders.push(self.complete_one(planned, watch)?);
        }
        Ok(folders)
    }

    fn complete_one<'w>(
        &self,
        planned: &PlannedRun,
        watch: &mut Watch<'_, 'w>,
    ) -> Result<RunFolder, Failure> {
        let root = self.parent.join(&planned.name);
        let mut progress = TrainingProgress::new(self.quiet);
        let options = self.options.clone();
        let trainer = if root.join("config.toml").is_file() {
            let folder = RunFolder::open(&root).map_err(Failure::bad_input)?;
            check_same(&folder, &planned.config)?;
            if folder.metrics().is_file() {
                return Ok(folder);
            }
            match folder.last_checkpoint().is_file() {
                true => Trainer::resume(folder, options, &mut progress),
                // Killed before its first checkpoint: there is nothing to keep.
                false => {
                    std::fs::remove_dir_all(&root).map_err(Failure::failed)?;
                    self.start(&root, planned, options, &mut progress)
                }
            }
        } else {
            self.start(&root, planned, options, &mut progress)
        };
        let trainer = trainer.inspect_err(|_| progress.clear())?;
        let folder = trainer.folder().clone();
        let mut both = Both {
            shown: &mut progress,
            other: watch(planned, &trainer)?,
        };
        let ending = trainer.run(&mut both);
        drop(both);
        progress.clear();
        match ending? {
            Ending::Finished(_) => {
                report::write_after_training(&folder, &self.options.device);
                Ok(folder)
            }
            Ending::Interrupted { step } => Err(Failure::new(
                Status::Interrupted,
                format!(
                    "interrupted after step {step} of {}; {} goes on from there",
                    planned.name, self.again
                ),
            )),
        }
    }

    fn start(
        &self,
        root: &Path,
        planned: &PlannedRun,
        options: RunOptions,
        progress: &mut TrainingProgress,
    ) -> Result<Trainer, residua::train::TrainError> {
        let destination = Destination::Folder(root.to_owned());
        Trainer::start(planned.config.clone(), &destination, options, progress)
    }
}

/// A run that is there already must be the one that is asked for.
fn check_same(folder: &RunFolder, config: &TrainConfig) -> Result<(), Failure> {
    let there = read_config(folder)?;
    if there == *config {
        return Ok(());
    }
    Err(Failure::bad_input(format!(
        "{} was trained with other settings than those asked for now; choose another --out, or \
         remove that folder",
        folder.root().display()
    )))
}

/// Two observers of one run.
struct Both<'a, 'w> {
    shown: &'a mut TrainingProgress,
    other: Option<Box<dyn Observer + 'w>>,
}

impl Observer for Both<'_, '_> {
    fn started(&mut self, plan: &residua::train::Plan) {
        self.shown.started(plan);
    }

    fn stepped(&mut self, report: &residua::train::StepReport) {
        self.shown.stepped(report);
    }

    fn network(&mut self, step: u64, network: &residua::train::Network) {
        if let Some(other) = &mut self.other {
            other.network(step, network);
        }
    }

    fn validating(&mut self, done: u64, total: u64) {
        self.shown.validating(done, total);
    }

    fn epoch_ended(&mut self, report: &residua::train::EpochReport) {
        self.shown.epoch_ended(report);
        if let Some(other) = &mut self.other {
            other.epoch_ended(report);
        }
    }
}
