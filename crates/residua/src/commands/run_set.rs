//! Several runs, trained one after the other; what is there already is not trained again.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use residua::core::run::{Destination, Event, RunFolder};
use residua::report::comparison::EpochPoint;
use residua::train::{Ending, Observer, RunOptions, TrainConfig, TrainError, Trainer, read_config};

use super::device::{ComputeArgs, LoadingArgs};
use super::progress::TrainingProgress;
use super::report;
use super::train::{PlanArgs, stop_on_signals};
use crate::failure::{Failure, Status};

/// What commands that train several runs have in common.
#[derive(Debug, Args)]
pub(crate) struct RunSetArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    loading: LoadingArgs,
    /// Print one JSON object at the end
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl RunSetArgs {
    /// The set whose results go to a folder.
    pub(crate) fn set(&self, out: &Path) -> Result<RunSet<'_>, Failure> {
        Ok(RunSet {
            plan: &self.plan,
            parent: out.join("runs"),
            options: RunOptions {
                device: self.compute.device()?,
                workers: self.loading.workers,
                cache: self.loading.cache.clone(),
                stop: stop_on_signals()?,
                stop_after_epoch: None,
            },
            quiet: self.quiet,
        })
    }
}

/// A run of a set.
#[derive(Debug, Clone)]
pub(crate) struct PlannedRun {
    /// Name of its folder.
    pub(crate) name: String,
    pub(crate) config: TrainConfig,
}

/// How runs of a set are executed.
pub(crate) struct RunSet<'a> {
    /// What the runs' settings come from.
    plan: &'a PlanArgs,
    /// Folder of the runs.
    parent: PathBuf,
    options: RunOptions,
    quiet: bool,
}

/// The runs of a set, in its order; of those that failed, nothing but that they did.
pub(crate) struct CompletedRuns {
    pub(crate) folders: Vec<Option<RunFolder>>,
    failed: Vec<FailedRun>,
}

struct FailedRun {
    name: String,
    failure: Failure,
    has_diverged: bool,
}

/// What has become of a run.
enum Outcome {
    /// It is there, trained as far as was asked for.
    There(RunFolder),
    /// Its numbers are not finite any more.
    Diverged(Failure),
    /// Its folder cannot be used.
    Unusable(Failure),
}

impl CompletedRuns {
    pub(crate) fn finished(&self) -> impl Iterator<Item = &RunFolder> {
        self.folders.iter().flatten()
    }

    /// What a page that shows the others has to say.
    pub(crate) fn notes(&self) -> Vec<String> {
        let note = |run: &FailedRun| {
            let reason = run.failure.message.split('\n').next().unwrap_or_default();
            format!("{} could not be trained to its end: {reason}", run.name)
        };
        self.failed.iter().map(note).collect()
    }

    /// How the command ends. It has told what happened to each run that failed.
    pub(crate) fn ending(&self) -> Result<(), Failure> {
        self.refuse(|_| true)
    }

    /// The same where a training that diverged is a result like any other.
    pub(crate) fn ending_but_for_divergence(&self) -> Result<(), Failure> {
        self.refuse(|run| !run.has_diverged)
    }

    fn refuse(&self, is_refused: impl Fn(&FailedRun) -> bool) -> Result<(), Failure> {
        let refused: Vec<&FailedRun> = { self.failed.iter() }
            .filter(|run| is_refused(run))
            .collect();
        let Some(first) = refused.first() else {
            return Ok(());
        };
        let names: Vec<&str> = refused.iter().map(|run| run.name.as_str()).collect();
        Err(Failure::new(
            first.failure.status,
            format!(
                "{} of {} runs failed, see above: {}",
                names.len(),
                self.folders.len(),
                names.join(", ")
            ),
        ))
    }
}

/// Gives an observer for a run that is about to be trained.
pub(crate) type Watch<'f, 'w> =
    dyn FnMut(&PlannedRun, &Trainer) -> Result<Option<Box<dyn Observer + 'w>>, Failure> + 'f;

impl RunSet<'_> {
    /// Trains what is missing. A run whose training fails does not stop the others.
    pub(crate) fn complete<'w>(
        &self,
        runs: &[PlannedRun],
        watch: &mut Watch<'_, 'w>,
    ) -> Result<CompletedRuns, Failure> {
        let runs: Vec<&PlannedRun> = runs.iter().collect();
        self.advance(&runs, None, watch)
    }

    /// The same, of each run until it has so many epochs.
    pub(crate) fn advance<'w>(
        &self,
        runs: &[&PlannedRun],
        until: Option<u64>,
        watch: &mut Watch<'_, 'w>,
    ) -> Result<CompletedRuns, Failure> {
        let mut folders = Vec::new();
        let mut failed = Vec::new();
        for (index, planned) in runs.iter().enumerate() {
            if !self.quiet {
                eprintln!("run {} of {}: {}", index + 1, runs.len(), planned.name);
            }
            let (failure, has_diverged) = match self.advance_one(planned, until, watch)? {
                Outcome::There(folder) => {
                    folders.push(Some(folder));
                    continue;
                }
                Outcome::Diverged(failure) => (failure, true),
                Outcome::Unusable(failure) => (failure, false),
            };
            eprintln!("error: {}: {}", planned.name, failure.message);
            folders.push(None);
            failed.push(FailedRun {
                name: planned.name.clone(),
                failure,
                has_diverged,
            });
        }
        Ok(CompletedRuns { folders, failed })
    }

    /// What has become of a run in the end; an error where the others cannot be had either.
    fn advance_one<'w>(
        &self,
        planned: &PlannedRun,
        until: Option<u64>,
        watch: &mut Watch<'_, 'w>,
    ) -> Result<Outcome, Failure> {
        let root = self.parent.join(&planned.name);
        let unusable = |failure| Ok(Outcome::Unusable(anew(&root, failure)));
        let mut progress = TrainingProgress::new(self.quiet);
        let options = RunOptions {
            stop_after_epoch: until,
            ..self.options.clone()
        };
        let trainer = if root.join("config.toml").is_file() {
            let (folder, config) = match open(&root) {
                Ok(found) => found,
                Err(failure) => return unusable(failure),
            };
            check_same(&folder, &config, &planned.config)?;
            if folder.metrics().is_file() {
                return Ok(Outcome::There(folder));
            }
            match folder.last_checkpoint().is_file() {
                true => {
                    match is_at(&folder, until) {
                        Ok(true) => return Ok(Outcome::There(folder)),
                        Ok(false) => {}
                        Err(failure) => return unusable(failure),
                    }
                    match Trainer::resume(folder, options, &mut progress) {
                        Err(error @ (TrainError::Weights(_) | TrainError::Record { .. })) => {
                            progress.clear();
                            return unusable(error.into());
                        }
                        resumed => resumed.map_err(Failure::from),
                    }
                }
                // Killed before its first checkpoint: there is nothing to keep.
                false => {
                    std::fs::remove_dir_all(&root).map_err(Failure::failed)?;
                    self.start(&root, planned, options, &mut progress)
                }
            }
        } else if root.exists() {
            let failure = Failure::bad_input(format!("{} has no config.toml", root.display()));
            return unusable(failure);
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
        match ending {
            Ok(Ending::Finished(_)) => {
                report::write_after_training(&folder, &self.options.device);
                Ok(Outcome::There(folder))
            }
            Err(
                error @ (TrainError::NonFiniteLoss { .. } | TrainError::NonFiniteParameter { .. }),
            ) => {
                report::write_after_training(&folder, &self.options.device);
                Ok(Outcome::Diverged(error.into()))
            }
            Err(error) => Err(error.into()),
            // It has come as far as it should.
            Ok(Ending::Interrupted { .. })
                if until.is_some() && !self.options.stop.load(Ordering::Relaxed) =>
            {
                Ok(Outcome::There(folder))
            }
            Ok(Ending::Interrupted { step }) => Err(Failure::new(
                Status::Interrupted,
                format!(
                    "interrupted after step {step} of {}; the same command goes on from there",
                    planned.name
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
    ) -> Result<Trainer, Failure> {
        let destination = Destination::Folder(root.to_owned());
        Trainer::start(planned.config.clone(), &destination, options, progress)
            .map_err(|error| self.plan.failure(error, &planned.config))
    }
}

/// Whether a run has the epochs that it is wanted with.
fn is_at(folder: &RunFolder, until: Option<u64>) -> Result<bool, Failure> {
    let Some(until) = until else {
        return Ok(false);
    };
    let epochs = epoch_points(folder)?;
    Ok(epochs.last().is_some_and(|last| last.epoch >= until))
}

fn open(root: &Path) -> Result<(RunFolder, TrainConfig), Failure> {
    let folder = RunFolder::open(root).map_err(Failure::bad_input)?;
    let config = read_config(&folder)?;
    Ok((folder, config))
}

/// What to do about a folder of the set that cannot be used.
fn anew(root: &Path, failure: Failure) -> Failure {
    let message = format!(
        "{}. Remove {}, and the same command trains it anew",
        failure.message,
        root.display()
    );
    Failure { message, ..failure }
}

/// A run that is there already must be the one that is asked for.
fn check_same(
    folder: &RunFolder,
    there: &TrainConfig,
    wanted: &TrainConfig,
) -> Result<(), Failure> {
    if there == wanted {
        return Ok(());
    }
    Err(Failure::bad_input(format!(
        "{} was trained with other settings than those asked for now; choose another --out, or \
         remove that folder",
        folder.root().display()
    )))
}

/// The epochs of a run, for curves.
pub(crate) fn epoch_points(folder: &RunFolder) -> Result<Vec<EpochPoint>, Failure> {
    let mut seconds = 0.0;
    let events = folder.events().map_err(Failure::bad_input)?;
    let epochs = events.into_iter().filter_map(|event| match event {
        Event::Epoch {
            epoch,
            train_loss,
            train_accuracy,
            validation_loss,
            validation_accuracy,
            validation_roc_auc,
            train_seconds,
            validation_seconds,
            ..
        } => {
            seconds += train_seconds + validation_seconds;
            Some(EpochPoint {
                epoch,
                seconds_since_start: seconds,
                train_loss,
                train_accuracy,
                validation_loss,
                validation_accuracy,
                validation_roc_auc,
                train_seconds,
            })
        }
        _ => None,
    });
    Ok(epochs.collect())
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

    fn warned(&mut self, message: &str) {
        self.shown.warned(message);
    }

    fn epoch_ended(&mut self, report: &residua::train::EpochReport) {
        self.shown.epoch_ended(report);
        if let Some(other) = &mut self.other {
            other.epoch_ended(report);
        }
    }
}
