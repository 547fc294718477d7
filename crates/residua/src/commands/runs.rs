//! `residua runs`: what was trained, and what is being trained.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use residua::core::run::RunFolder;
use residua::core::task::Measure;
use residua::watch::dashboard::{self, WatchOptions, restore_terminal};
use residua::watch::listing::{RunEntry, list_runs};
use residua::watch::tensorboard;
use serde::Serialize;

use crate::failure::{Failure, Status};
use crate::output::{self, Column};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Folder of runs, or of folders of them
    #[arg(value_name = "DIR", default_value = "runs")]
    folder: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a run on the terminal while it goes on: curves, classes, speed, log
    Watch {
        /// The run folder
        #[arg(value_name = "RUN")]
        run: PathBuf,
        /// Leave when the run is over
        #[arg(long)]
        exit: bool,
    },
    /// Write the time line of a run for TensorBoard
    Tensorboard {
        /// The run folder
        #[arg(value_name = "RUN")]
        run: PathBuf,
        /// Folder of the event file [default: tensorboard in the run folder]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// `residua.runs/1`
#[derive(Serialize)]
struct RunsReport<'a> {
    schema: &'static str,
    runs: Vec<RunReport<'a>>,
}

/// Accuracies are fractions; a run of images of any number of classes has areas in their place.
#[derive(Serialize)]
struct RunReport<'a> {
    path: &'a Path,
    model: Option<&'a str>,
    data: Option<&'a str>,
    status: &'static str,
    finished_epochs: u64,
    epochs: Option<u64>,
    best_accuracy: Option<f64>,
    /// Mean area under the ROC curve.
    best_roc_auc: Option<f64>,
    /// RFC 3339.
    started: Option<String>,
    seconds: f64,
    /// What is wrong with the folder.
    problem: Option<&'a str>,
}

pub(crate) fn run(args: &RunsArgs) -> Result<(), Failure> {
    match &args.action {
        Some(Action::Watch { run, exit }) => watch(run, *exit),
        Some(Action::Tensorboard { run, out }) => {
            let folder = RunFolder::open(run).map_err(Failure::bad_input)?;
            let target = out.clone().unwrap_or_else(|| run.join("tensorboard"));
            let file = tensorboard::convert(&folder, &target)?;
            output::print(&file.display().to_string())
        }
        None => list(args),
    }
}

fn watch(run: &Path, exit: bool) -> Result<(), Failure> {
    let folder = RunFolder::open(run).map_err(Failure::bad_input)?;
    // A signal ends the process without passing by the dashboard.
    ctrlc::set_handler(|| {
        restore_terminal();
        std::process::exit(Status::Interrupted as i32);
    })
    .map_err(Failure::failed)?;
    let options = WatchOptions {
        stay_at_end: !exit,
        ..WatchOptions::default()
    };
    dashboard::watch(&folder, &options)?;
    Ok(())
}

fn list(args: &RunsArgs) -> Result<(), Failure> {
    let runs = list_runs(&args.folder)?;
    if args.json {
        let schema = "residua.runs/1";
        let runs = runs.iter().map(RunReport::from).collect();
        return output::print_json(&RunsReport { schema, runs });
    }
    if runs.is_empty() {
        return output::print(&format!(
            "no runs in '{}'; `residua train` makes one",
            args.folder.display()
        ));
    }
    for run in &runs {
        if let Some(problem) = &run.problem {
            eprintln!("warning: {}: {problem}", run.name);
        }
    }
    let columns = [
        Column::Left("run"),
        Column::Left("model"),
        Column::Left("data"),
        Column::Left("status"),
        Column::Right("epochs"),
        Column::Right("best"),
        Column::Right("time"),
    ];
    output::print(&output::table(&columns, runs.iter().map(row).collect()))
}

fn row(run: &RunEntry) -> Vec<String> {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    vec![
        run.name.clone(),
        known(&run.model),
        known(&run.data),
        run.status.name().to_owned(),
        match run.epochs {
            Some(epochs) => format!("{}/{epochs}", run.finished_epochs),
            None => "–".to_owned(),
        },
        best(run),
        output::duration(run.seconds),
    ]
}

fn best(run: &RunEntry) -> String {
    match (run.best_score, run.measure.unwrap_or(Measure::Accuracy)) {
        (None, _) => "–".to_owned(),
        (Some(score), measure @ Measure::Accuracy) => measure.written(score),
        (Some(score), measure @ Measure::RocAuc) => format!("AUC {}", measure.written(score)),
    }
}

impl<'a> From<&'a RunEntry> for RunReport<'a> {
    fn from(run: &'a RunEntry) -> Self {
        let is_area = run.measure == Some(Measure::RocAuc);
        Self {
            path: &run.path,
            model: run.model.as_deref(),
            data: run.data.as_deref(),
            status: run.status.name(),
            finished_epochs: run.finished_epochs,
            epochs: run.epochs,
            best_accuracy: run.best_score.filter(|_| !is_area),
            best_roc_auc: run.best_score.filter(|_| is_area),
            started: run.started.map(|time| time.to_string()),
            seconds: run.seconds,
            problem: run.problem.as_deref(),
        }
    }
}
