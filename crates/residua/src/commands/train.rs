//! `residua train`: from images to a run folder.

mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use residua::core::run::{Destination, RunFolder, RunMetrics};
use residua::graph::catalog;
use residua::train::{
    Ending, HeadRule, MisfitRule, RunOptions, StartingWeights, TrainConfig, Trainer,
    published_preprocessing, read_record, recorded_variations,
};
use residua::watch::dashboard::{Dashboard, restore_terminal};
use residua::watch::tensorboard::TensorBoardFollower;
use serde::Serialize;

use super::device::{ComputeArgs, LoadingArgs};
use super::progress::TrainingProgress;
use super::report;
use super::variations::VariationArgs;
use crate::failure::{Failure, Status};
use crate::output::{self, grouped, percent};
pub(crate) use settings::PlanArgs;

// The last of repeated options counts, so that a script's defaults can be changed at its end.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct TrainArgs {
    /// A network of the catalog (see `residua models`) [default: resnet20; resnet18 for folders]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Start from the values of this weight file (safetensors, or a PyTorch checkpoint)
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Give the network a new last layer, for other classes than those of the weight file
    #[arg(long, requires = "weights")]
    reset_head: bool,
    /// Take from the weight file what fits, and start the rest anew
    #[arg(long, requires = "weights")]
    allow_partial: bool,
    /// Folder of the run [default: runs/<date>-<model>-<n>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue an interrupted run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["settings", "variations", "config", "recipe", "out", "set", "data", "model", "weights"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    variations: VariationArgs,
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
    let stop = stop_on_signals()?;
    let options = RunOptions {
        device: args.compute.device()?,
        workers: args.loading.workers,
        stop,
    };
    let device = options.device.clone();
    let asked_to_stop = Arc::clone(&options.stop);
    let mut progress = TrainingProgress::new(args.quiet);
    let trainer = match &args.resume {
        Some(path) => {
            let folder = RunFolder::open(path).map_err(Failure::bad_input)?;
            Trainer::resume(folder, options, &mut progress)
        }
        None => {
            let config = configuration(args)?;
            let destination = match &args.out {
                Some(folder) => Destination::Folder(folder.clone()),
                None => default_destination(&config),
            };
            Trainer::start(config, &destination, options, &mut progress)
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
            accuracy: metrics.last_accuracy,
            best_accuracy: metrics.evaluation.accuracy,
            seconds: metrics.seconds,
            train_images_per_second: metrics.train_images_per_second,
        }),
        Ending::Finished(metrics) => output::print(&summary(&folder, &metrics)),
        Ending::Interrupted { step } => Err(Failure::new(
            Status::Interrupted,
            format!(
                "interrupted after step {step}; continue with: {} train --resume '{}'",
                program(),
                folder.display()
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
    /// Of the weights after the last epoch.
    accuracy: f64,
    /// Of the best checkpoint, which is the one that other commands use.
    best_accuracy: f64,
    seconds: f64,
    train_images_per_second: f64,
}

fn summary(folder: &Path, metrics: &RunMetrics) -> String {
    let folder = folder.display();
    let program = program();
    format!(
        "Accuracy {} on the {} {} images of {} (epoch {} of {})\n\
         {} with {} parameters, {:.0} s, {:.0} training images per second\n\n\
         Run folder: {folder}\n\
         Report:     {folder}/report.html\n\
         Next:\n\
         \x20 {program} eval --run {folder}\n\
         \x20     precision, recall, F1 and the confusion matrix\n\
         \x20 {program} predict --run {folder} IMAGE\n\
         \x20     what the network sees in a picture\n\
         \x20 {program} train --data folder:DIR\n\
         \x20     train on your own pictures, one folder for each class\n",
        percent(metrics.evaluation.accuracy),
        grouped(metrics.evaluation.images),
        metrics.split,
        metrics.data,
        metrics.best_epoch,
        metrics.epochs,
        metrics.model,
        grouped(metrics.parameters),
        metrics.seconds,
        metrics.train_images_per_second,
    )
}

/// How the user calls this program.
fn program() -> &'static str {
    if std::env::var_os("CARGO").is_some() {
        "cargo run --release --"
    } else {
        "residua"
    }
}

/// The first signal asks for a clean stop, the second ends the process at once.
pub(crate) fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if !asked.load(Ordering::Relaxed) {
            eprintln!("stopping after this step; press Ctrl-C again to stop at once");
        }
        ask_to_stop(&asked);
    })
    .map_err(Failure::failed)?;
    Ok(stop)
}

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

/// The configuration: defaults for the data, a recipe or a file, then options (of the command line, or
/// else of the environment), then `--set`.
fn configuration(args: &TrainArgs) -> Result<TrainConfig, Failure> {
    let mut config = args.plan.begin()?;
    if let Some(model) = &args.model {
        config.model.clone_from(model);
        catalog::find(model).map_err(Failure::bad_input)?;
    }
    if let Some(file) = &args.weights {
        start_from(file, args, &mut config)?;
    }
    args.variations.apply(&mut config.variations);
    args.plan.finish(config)
}

/// Starts from a weight file: with the network that it names, if no other is asked for, and with
/// images prepared as it is used to.
fn start_from(file: &Path, args: &TrainArgs, config: &mut TrainConfig) -> Result<(), Failure> {
    let record = read_record(file)?;
    let names_model = args.model.is_some() || args.plan.config.is_some();
    match &record {
        Some(record) if !names_model => {
            config.model.clone_from(&record.model);
            config.variations = recorded_variations(record)?;
        }
        Some(record) if args.plan.config.is_none() && record.model == config.model => {
            config.variations = recorded_variations(record)?;
        }
        None if !names_model => {
            return Err(Failure::usage(
                "the weight file does not say which network it belongs to; name it with --model NAME \
                 (`residua weights inspect FILE` lists those that it fits)",
            ));
        }
        _ => {}
    }
    if args.plan.config.is_none() {
        config.preprocessing = match record {
            Some(record) => record.preprocessing,
            None => published_preprocessing(&config.model)?,
        };
    }
    config.weights = Some(StartingWeights {
        // Wherever the run is looked at from.
        file: std::path::absolute(file).map_err(Failure::failed)?,
        head: if args.reset_head {
            HeadRule::Reset
        } else {
            HeadRule::Keep
        },
        misfits: if args.allow_partial {
            MisfitRule::LeaveOut
        } else {
            MisfitRule::Refuse
        },
    });
    Ok(())
}
