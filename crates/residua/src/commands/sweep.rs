//! `residua sweep`: which settings are best.

mod result;
mod trial;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use residua::core::run::RunFolder;
use residua::core::task::Measure;
use residua::report::comparison::EpochPoint;
use residua::train::search::{SearchSpace, best_trials};
use residua::train::{TrainConfig, Trainer};

use super::run_set::{PlannedRun, RunSet, RunSetArgs, epoch_points};
use super::train::NetworkArgs;
use crate::failure::{Failure, Status};
use crate::output::{self, counted, write_file};
use result::SweepResult;
use trial::Trial;

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct SweepArgs {
    /// What is tried: a file with the tables [search] and [space] (see "Search settings" in the guide)
    #[arg(value_name = "SPACE.toml")]
    space: PathBuf,
    /// Folder of the trials and of what comes of them; the same command continues what was interrupted
    #[arg(long, value_name = "DIR", default_value = "sweep")]
    out: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    common: RunSetArgs,
}

pub(crate) fn run(args: &SweepArgs) -> Result<(), Failure> {
    let space = SearchSpace::read(&args.space)?;
    let base = args.network.configuration(&args.common.plan)?;
    let configs = space.configurations(&base)?;
    let runs = (0..).zip(configs).map(|(number, config)| PlannedRun {
        name: trial_name(number),
        config,
    });
    let search = Search {
        out: &args.out,
        space,
        measure: base.data.task().measure(),
        base,
        runs: runs.collect(),
        quiet: args.common.quiet,
    };
    let set = args.common.set(&args.out)?;
    search.check_record()?;
    let ended = search.train(&set)?;
    let trials = search.trials(&ended)?;
    if trials.iter().all(|trial| trial.score.value.is_none()) {
        return Err(Failure::new(
            Status::Failed,
            format!(
                "all {} trials diverged, see above; search lower learning rates, or clip gradients \
                 (--clip-norm 1)",
                trials.len()
            ),
        ));
    }
    let result = SweepResult::of(&search, trials, ended.notes)?;
    result.write()?;
    for warning in result.warnings() {
        eprintln!("warning: {warning}");
    }
    match args.common.json {
        true => output::print_json(&result.json()),
        false => output::print(&result.text()),
    }
}

fn trial_name(number: u64) -> String {
    format!("trial-{number:03}")
}

/// A search and its place.
struct Search<'a> {
    out: &'a Path,
    space: SearchSpace,
    base: TrainConfig,
    /// What trials are compared by.
    measure: Measure,
    /// By number.
    runs: Vec<PlannedRun>,
    quiet: bool,
}

/// What came of all rungs.
struct EndedSearch {
    /// The numbers of the trials that did not get to their end.
    diverged: BTreeSet<u64>,
    /// What a page has to say of them.
    notes: Vec<String>,
}

impl Search<'_> {
    /// Where what the search is will be written down.
    fn record(&self) -> PathBuf {
        self.out.join("search.toml")
    }

    /// Writes down what the search is, once its first trial could begin.
    fn write_record(&self) -> Result<(), Failure> {
        let path = self.record();
        match path.is_file() {
            true => Ok(()),
            false => write_file(&path, self.space.record(&self.base)?.as_bytes()),
        }
    }

    /// Refuses to mix the search with another one.
    fn check_record(&self) -> Result<(), Failure> {
        let path = self.record();
        let record = match std::fs::read_to_string(&path) {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let place = path.display();
                return Err(Failure::bad_input(format!(
                    "{place}: cannot be read: {error}"
                )));
            }
        };
        let changes = self.space.changes_since(&record, &self.base);
        let changes = changes.map_err(|error| {
            Failure::bad_input(format!(
                "{}: {error}; the file says what the sweep was begun with: restore it, or choose \
                 another --out",
                path.display()
            ))
        })?;
        if changes.is_empty() {
            return Ok(());
        }
        Err(Failure::bad_input(format!(
            "{} holds a sweep of other settings: {}; choose another --out, or remove that folder",
            self.out.display(),
            changes.join("; ")
        )))
    }

    /// Trains rung by rung. What goes on follows from the folders of the trials alone, so an interrupted
    /// search comes to the same end.
    fn train(&self, set: &RunSet<'_>) -> Result<EndedSearch, Failure> {
        let rungs = self.space.rungs(self.base.epochs)?;
        let mut ended = EndedSearch {
            diverged: BTreeSet::new(),
            notes: Vec::new(),
        };
        let mut going: Vec<u64> = (0..).take(self.runs.len()).collect();
        for (index, rung) in rungs.iter().enumerate() {
            let is_last = index + 1 == rungs.len();
            let until = (!is_last).then_some(rung.epochs);
            let runs: Vec<&PlannedRun> = { going.iter() }
                .map(|number| &self.runs[*number as usize])
                .collect();
            if !self.quiet && rungs.len() > 1 {
                eprintln!(
                    "rung {} of {}: {} until epoch {}",
                    index + 1,
                    rungs.len(),
                    counted(runs.len() as u64, "trial", "trials"),
                    rung.epochs
                );
            }
            let mut watch = |_: &PlannedRun, _: &Trainer| {
                self.write_record()?;
                Ok(None)
            };
            let completed = set.advance(&runs, until, &mut watch)?;
            completed.ending_but_for_divergence()?;
            ended.notes.extend(completed.notes());
            let mut results = Vec::new();
            for (number, folder) in going.iter().zip(&completed.folders) {
                let score = match folder {
                    Some(folder) => best_until(folder, rung.epochs)?,
                    None => None,
                };
                if folder.is_none() {
                    ended.diverged.insert(*number);
                }
                results.push((*number, score));
            }
            if let Some(next) = rungs.get(index + 1) {
                going = best_trials(&results, next.trials);
            }
        }
        Ok(ended)
    }

    /// All trials, the best first.
    fn trials(&self, ended: &EndedSearch) -> Result<Vec<Trial>, Failure> {
        let numbers = (0..).take(self.runs.len());
        let mut trials: Vec<Trial> = numbers
            .map(|number| {
                let root = self.out.join("runs").join(trial_name(number));
                let folder = RunFolder::open(root).map_err(Failure::bad_input)?;
                let settings = self.space.trial(number);
                let has_diverged = ended.diverged.contains(&number);
                Trial::read(number, settings, &folder, self.measure, has_diverged)
            })
            .collect::<Result<_, Failure>>()?;
        // Stable: equals stay in the order of their numbers. What diverged comes last.
        trials.sort_by(|one, other| {
            let key = |trial: &Trial| trial.score.value.unwrap_or(f64::NEG_INFINITY);
            key(other).total_cmp(&key(one))
        });
        Ok(trials)
    }
}

/// The best validation of a run up to an epoch.
fn best_until(folder: &RunFolder, epochs: u64) -> Result<Option<f64>, Failure> {
    let points = epoch_points(folder)?;
    let points = points.iter().filter(|point| point.epoch <= epochs);
    Ok(points.map(EpochPoint::score).reduce(f64::max))
}
