//! `residua train`: from images to a run folder.

mod network;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use residua::core::run::{Destination, RunFolder, RunMetrics};
use residua::core::task::Measure;
use residua::train::{Ending, RunOptions, TrainConfig, Trainer};
use residua::watch::dashboard::{Dashboard, require_terminal, restore_terminal};
use residua::watch::tensorboard::TensorBoardFollower;
use serde::Serialize;

use super::device::{ComputeArgs, LoadingArgs};
use super::progress::TrainingProgress;
use super::report;
use crate::failure::{Failure, Status};
use crate::output::{self, grouped};
pub(crate) use network::NetworkArgs;
pub(crate) use settings::PlanArgs;

// The last of repeated options counts, so that a script's defaults can be changed at its end.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Folder of the run [default: runs/<date>-<model>-<n>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue an interrupted run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["settings", "variations", "config", "recipe", "out", "set", "data", "model", "weights"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    loading: LoadingArgs,
    /// What is shown while training goes on
    #[arg(long, value_enum, default_value_t = UiName::Plain)]
    ui: UiName,
    /// Also write the time line for TensorBoard, into the folder tensorboard of the run
    #[arg(long)]
    tensorboard: bool,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    /// Print nothing but warnings and the result
    #[arg(long, short)]
    quiet: bool,
}

/// What is shown while training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UiName {
    /// A bar for the run and a line for each epoch
    Plain,
    /// A dashboard: curves, classes, speed, log
    Tui,
}

pub(crate) fn run(args: &TrainArgs) -> Result<(), Failure> {
    if args.ui == UiName::Tui {
        require_terminal()?;
    }
    let stop = stop_on_signals()?;
    let options = RunOptions {
        device: args.compute.device()?,
        workers: args.loading.workers,
        cache: args.loading.cache.clone(),
        stop,
        stop_after_epoch: None,
    };
    let device = options.device.clone();
    let asked_to_stop = Arc::clone(&options.stop);
    let mut progress = TrainingProgress::new(args.quiet);
    let trainer = match &args.resume {
        Some(path) => {
            let folder = RunFolder::open(path).map_err(Failure::bad_input)?;
            Trainer::resume(folder, options, &mut progress).map_err(Failure::from)
        }
        None => {
            let config = args.network.configuration(&args.plan)?;
            let destination = match &args.out {
                Some(folder) => Destination::Folder(folder.clone()),
                None => default_destination(&config),
            };
            Trainer::start(config.clone(), &destination, options, &mut progress)
                .map_err(|error| args.plan.failure(error, &config))
        }
    };
    let trainer = trainer.inspect_err(|_| progress.clear())?;
    let folder = trainer.folder().root().to_owned();
    let run_folder = trainer.folder().clone();
    let side_shows = SideShows::start(args, &run_folder, asked_to_stop)?;
    if args.ui == UiName::Tui {
        progress.silence();
    }
    let ending = trainer.run(&mut progress);
    progress.clear();
    side_shows.end();
    // A run that failed has a page too, which says so.
    if !matches!(ending, Ok(Ending::Interrupted { .. })) {
        report::write_after_training(&run_folder, &device);
    }
    match ending? {
        Ending::Finished(metrics) if args.json => output::print_json(&TrainReport {
            schema: "residua.train/1",
            run: &folder,
            model: &metrics.model,
            epochs: metrics.epochs,
            scores: Scores::from(&*metrics),
            seconds: metrics.seconds,
            train_images_per_second: metrics.train_images_per_second,
        }),
        Ending::Finished(metrics) => output::print(&summary(&folder, &metrics)),
        Ending::Interrupted { step } => Err(Failure::new(
            Status::Interrupted,
            format!(
                "interrupted after step {step}; continue with: {} train --resume '{}'{}",
                program(),
                folder.display(),
                args.loading.repeated()
            ),
        )),
    }
}

/// What watches the run folder while the run goes on.
struct SideShows {
    dashboard: Option<Dashboard>,
    tensorboard: Option<TensorBoardFollower>,
}

impl SideShows {
    fn start(
        args: &TrainArgs,
        run: &RunFolder,
        asked_to_stop: Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let tensorboard = match args.tensorboard {
            true => {
                let target = run.root().join("tensorboard");
                Some(TensorBoardFollower::spawn(run, &target)?)
            }
            false => None,
        };
        let dashboard = match args.ui {
            UiName::Tui => {
                let interrupt = move || ask_to_stop(&asked_to_stop);
                Some(Dashboard::spawn(run, interrupt)?)
            }
            UiName::Plain => None,
        };
        Ok(Self {
            dashboard,
            tensorboard,
        })
    }

    /// What went wrong with them does not concern the run.
    fn end(self) {
        let ended = [
            self.dashboard.map(|dashboard| dashboard.stop().map(|_| ())),
            { self.tensorboard }.map(|follower| follower.stop().map(|_| ())),
        ];
        for failure in ended.into_iter().flatten().filter_map(Result::err) {
            eprintln!("warning: {failure}");
        }
    }
}

/// `residua.train/1`
#[derive(Serialize)]
struct TrainReport<'a> {
    schema: &'static str,
    run: &'a Path,
    model: &'a str,
    epochs: u64,
    #[serde(flatten)]
    scores: Scores,
    seconds: f64,
    train_images_per_second: f64,
}

/// The figure by which runs are compared, of the weights after the last epoch and of the best checkpoint,
/// which is the one that other commands use.
#[derive(Serialize)]
#[serde(untagged)]
enum Scores {
    Accuracy { accuracy: f64, best_accuracy: f64 },
    RocAuc { roc_auc: f64, best_roc_auc: f64 },
}

impl From<&RunMetrics> for Scores {
    fn from(metrics: &RunMetrics) -> Self {
        let (last, best) = (metrics.last_score(), metrics.score());
        match metrics.measure() {
            Measure::Accuracy => Self::Accuracy {
                accuracy: last,
                best_accuracy: best,
            },
            Measure::RocAuc => Self::RocAuc {
                roc_auc: last,
                best_roc_auc: best,
            },
        }
    }
}

fn summary(folder: &Path, metrics: &RunMetrics) -> String {
    let folder = folder.display();
    let program = program();
    let measure = metrics.measure();
    let (name, figures) = match measure {
        Measure::Accuracy => ("Accuracy", "precision, recall, F1 and the confusion matrix"),
        Measure::RocAuc => (
            "Mean ROC-AUC",
            "ROC-AUC, precision, recall and F1 of each class",
        ),
    };
    format!(
        "{} {} on the {} {} images of {} (epoch {} of {})\n\
         {} with {} parameters, {:.0} s, {:.0} training images per second\n\n\
         Run folder: {folder}\n\
         Report:     {folder}/report.html\n\
         Next:\n\
         \x20 {program} eval --run {folder}\n\
         \x20     {}\n\
         \x20 {program} predict --run {folder} IMAGE\n\
         \x20     what the network sees in a picture\n\
         \x20 {program} train --data folder:DIR\n\
         \x20     train on your own pictures, one folder for each class\n",
        name,
        measure.written(metrics.score()),
        grouped(metrics.images()),
        metrics.split,
        metrics.data,
        metrics.best_epoch,
        metrics.epochs,
        metrics.model,
        grouped(metrics.parameters),
        metrics.seconds,
        metrics.train_images_per_second,
        figures,
    )
}

/// How the user calls this program.
pub(crate) fn program() -> &'static str {
    if std::env::var_os("CARGO").is_some() {
        "cargo run --release --"
    } else {
        "residua"
    }
}

/// The first signal asks for a clean stop, the second ends the process at once, unless it comes so soon
/// that it must be the same one: `timeout` and batch systems signal a process and then its group.
pub(crate) fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || {
        if first.is_some_and(|first| first.elapsed() < SAME_SIGNAL) {
            return;
        }
        first.get_or_insert_with(Instant::now);
        if !asked.load(Ordering::Relaxed) {
            eprintln!("stopping after this step; press Ctrl-C again to stop at once");
        }
        ask_to_stop(&asked);
    })
    .map_err(Failure::failed)?;
    Ok(stop)
}

const SAME_SIGNAL: Duration = Duration::from_millis(500);

fn ask_to_stop(asked: &AtomicBool) {
    if asked.swap(true, Ordering::Relaxed) {
        restore_terminal();
        std::process::exit(Status::Interrupted as i32);
    }
}

fn default_destination(config: &TrainConfig) -> Destination {
    let date = jiff::ZonedDateTime::now().date();
    Destination::Numbered {
        parent: PathBuf::from("runs"),
        stem: format!("{date}-{}", config.model),
    }
}
