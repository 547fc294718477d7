//! `residua train`: from images to a run folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use residua::core::run::{Destination, RunFolder, RunMetrics};
use residua::data::{Augmentation, DataSpec, Fraction};
use residua::graph::catalog;
use residua::train::{
    Ending, GradientCheckpointing, HeadRule, LossConfig, MisfitRule, OptimiserConfig, RunOptions,
    ScheduleConfig, StartingWeights, TrainConfig, Trainer, published_preprocessing, read_record,
    recorded_variations,
};
use serde::Serialize;

use super::device::{ComputeArgs, LoadingArgs, PrecisionName};
use super::progress::TrainingProgress;
use super::share;
use super::variations::VariationArgs;
use crate::failure::{Failure, Status};
use crate::output::{self, grouped, percent};

// The last of repeated options counts, so that a script's defaults can be changed at its end.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct TrainArgs {
    /// Images: builtin, cifar10:DIR or folder:DIR [default: builtin]
    #[arg(long, value_name = "SPEC")]
    data: Option<DataSpec>,
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
    #[arg(long, value_name = "RUN", conflicts_with_all = ["settings", "variations", "config", "out", "set", "data", "model", "weights"])]
    resume: Option<PathBuf>,
    /// Start from this configuration (a run's config.toml, for instance)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change any setting, optimiser.momentum=0.95 for instance (see config.toml of a run)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    variations: VariationArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    loading: LoadingArgs,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    /// Print nothing but warnings and the result
    #[arg(long, short)]
    quiet: bool,
}

/// The settings that people change most.
#[derive(Debug, Args)]
#[group(id = "settings", multiple = true)]
struct SettingArgs {
    /// Times that all training images are seen [default: 15 for builtin, otherwise 30]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Images of one optimiser update [default: 128 for cifar10, otherwise 32]
    #[arg(long, alias = "batch", value_name = "N")]
    batch_size: Option<u32>,
    /// Compute each batch in this many pieces, to save memory
    #[arg(long, value_name = "N")]
    accumulate: Option<u32>,
    /// Format of feature maps in training; bf16 takes half the memory, on the CPU [default: f32]
    #[arg(long, value_enum)]
    precision: Option<PrecisionName>,
    /// Compute feature maps a second time in the reverse pass rather than keep them all: a third more
    /// work, a fraction of the memory, on the CPU
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Peak learning rate [default: 0.4 for cifar10, otherwise 0.1; 0.001 with --optimiser adamw]
    #[arg(
        long,
        visible_alias = "learning-rate",
        value_name = "RATE",
        allow_negative_numbers = true
    )]
    lr: Option<f64>,
    /// Weight decay
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Optimiser [default: sgd]
    #[arg(long, alias = "optimizer", value_enum)]
    optimiser: Option<OptimiserName>,
    /// Learning rate over time [default: one-cycle]
    #[arg(long, value_enum)]
    schedule: Option<ScheduleName>,
    /// Loss [default: cross-entropy]
    #[arg(long, value_enum)]
    loss: Option<LossName>,
    /// Probability spread over all classes (cross entropy only)
    #[arg(long, value_name = "X")]
    label_smoothing: Option<f32>,
    /// Scale gradients of a larger global norm down to this
    #[arg(long, value_name = "NORM")]
    clip_norm: Option<f64>,
    /// Random changes to training images
    #[arg(long, value_enum)]
    augment: Option<AugmentName>,
    /// Height and width to which images are brought
    #[arg(long, value_name = "PIXELS")]
    input_size: Option<usize>,
    /// Train on the brightness alone, one channel in place of three colours
    #[arg(long)]
    grey: bool,
    /// Share of the training images to hold out for validation
    #[arg(long, value_name = "SHARE")]
    val_fraction: Option<Fraction>,
    /// Share of unreadable images that is tolerated [default: 0.05]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_unreadable: Option<f64>,
    /// Steps between checkpoints, besides those at the end of each epoch
    #[arg(long, value_name = "STEPS")]
    checkpoint_every: Option<u32>,
    /// All randomness derives from it; the same seed gives the same bits [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OptimiserName {
    /// Stochastic gradient descent with Nesterov momentum
    Sgd,
    /// Adam with decoupled weight decay
    Adamw,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScheduleName {
    /// Up and down once
    OneCycle,
    /// Warm-up for a twentieth of the run, then half a cosine
    Cosine,
    /// Divided by 10 at 1/2 and 3/4 of the run (He et al. 2015)
    MultiStep,
    /// The same throughout
    Constant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LossName {
    /// Cross entropy of the softmax
    CrossEntropy,
    /// Squared error on one-hot targets
    #[value(alias = "mean-squared-error")]
    Mse,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AugmentName {
    /// Pad by 4 pixels, crop at random, flip
    Cifar,
    /// Random resized crops, flip
    Imagenet,
    /// Nothing
    None,
}

pub(crate) fn run(args: &TrainArgs) -> Result<(), Failure> {
    let stop = stop_on_signals()?;
    let options = RunOptions {
        device: args.compute.device()?,
        workers: args.loading.workers,
        stop,
    };
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
    let ending = trainer.run(&mut progress);
    progress.clear();
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
fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(Status::Interrupted as i32);
        }
        eprintln!("stopping after this step; press Ctrl-C again to stop at once");
    })
    .map_err(Failure::failed)?;
    Ok(stop)
}

fn default_destination(config: &TrainConfig) -> Destination {
    let date = jiff::ZonedDateTime::now().date();
    Destination::Numbered {
        parent: PathBuf::from("runs"),
        stem: format!("{date}-{}", config.model),
    }
}

/// The configuration: defaults for the data or a file, then options, then `--set`.
fn configuration(args: &TrainArgs) -> Result<TrainConfig, Failure> {
    let mut config = match &args.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))?;
            TrainConfig::from_toml(&text, &[])
                .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))?
        }
        None => TrainConfig::for_data(args.data.clone().unwrap_or(DataSpec::Builtin)),
    };
    if let Some(data) = &args.data {
        config.data = data.clone();
    }
    if let Some(model) = &args.model {
        config.model.clone_from(model);
        catalog::find(model).map_err(Failure::bad_input)?;
    }
    if let Some(file) = &args.weights {
        start_from(file, args, &mut config)?;
    }
    args.settings.apply(&mut config)?;
    args.variations.apply(&mut config.variations);
    let mut config = TrainConfig::from_toml(&config.to_toml()?, &args.set)?;
    // Wherever the run is continued or evaluated from.
    config.data = config.data.absolute().map_err(Failure::failed)?;
    Ok(config)
}

/// Starts from a weight file: with the network that it names, if no other is asked for, and with
/// images prepared as it is used to.
fn start_from(file: &Path, args: &TrainArgs, config: &mut TrainConfig) -> Result<(), Failure> {
    let record = read_record(file)?;
    let names_model = args.model.is_some() || args.config.is_some();
    match &record {
        Some(record) if !names_model => {
            config.model.clone_from(&record.model);
            config.variations = recorded_variations(record)?;
        }
        Some(record) if args.config.is_none() && record.model == config.model => {
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
    if args.config.is_none() {
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

impl SettingArgs {
    fn apply(&self, config: &mut TrainConfig) -> Result<(), Failure> {
        set(&mut config.epochs, self.epochs.map(u64::from));
        set(
            &mut config.batch_size,
            self.batch_size.map(|size| size as usize),
        );
        set(
            &mut config.accumulate,
            self.accumulate.map(|pieces| pieces as usize),
        );
        set(&mut config.precision, self.precision.map(Into::into));
        if self.gradient_checkpointing {
            config.gradient_checkpointing = GradientCheckpointing::On;
        }
        set(&mut config.max_unreadable, self.max_unreadable);
        set(&mut config.seed, self.seed);
        set_some(&mut config.clip_norm, self.clip_norm);
        let fraction = self.val_fraction.map(Fraction::get);
        set_some(&mut config.validation_fraction, fraction);
        set_some(
            &mut config.checkpoint_every,
            self.checkpoint_every.map(u64::from),
        );
        if let Some(side) = self.input_size {
            config.preprocessing.height = side;
            config.preprocessing.width = side;
        }
        if self.grey {
            config.preprocessing.normalisation = config.preprocessing.normalisation.grey();
        }
        if let Some(name) = self.augment {
            config.augmentation = match name {
                AugmentName::Cifar => Augmentation::CIFAR,
                AugmentName::Imagenet => Augmentation::IMAGENET,
                AugmentName::None => Augmentation::NONE,
            };
        }
        self.apply_optimiser(config);
        if let Some(name) = self.schedule {
            config.schedule = schedule(name, config.epochs);
        }
        self.apply_loss(config)
    }

    fn apply_optimiser(&self, config: &mut TrainConfig) {
        if let Some(name) = self.optimiser {
            config.optimiser = match name {
                OptimiserName::Sgd => OptimiserConfig::sgd(0.1),
                OptimiserName::Adamw => OptimiserConfig::adam_w(1e-3),
            };
        }
        if let Some(rate) = self.lr {
            config.optimiser = config.optimiser.with_learning_rate(rate);
        }
        if let Some(decay) = self.weight_decay {
            config.optimiser = config.optimiser.with_weight_decay(decay);
        }
    }

    fn apply_loss(&self, config: &mut TrainConfig) -> Result<(), Failure> {
        match self.loss {
            Some(LossName::Mse) => config.loss = LossConfig::MeanSquaredError,
            Some(LossName::CrossEntropy) => {
                config.loss = LossConfig::CrossEntropy {
                    label_smoothing: 0.0,
                };
            }
            None => {}
        }
        match (&mut config.loss, self.label_smoothing) {
            (_, None) => Ok(()),
            (LossConfig::CrossEntropy { label_smoothing }, Some(share)) => {
                *label_smoothing = share;
                Ok(())
            }
            (LossConfig::MeanSquaredError, Some(_)) => Err(Failure::usage(
                "--label-smoothing goes with cross entropy, not with squared error",
            )),
        }
    }
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn set_some<T>(setting: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *setting = value;
    }
}

fn schedule(name: ScheduleName, epochs: u64) -> ScheduleConfig {
    let epochs = epochs as f64;
    match name {
        ScheduleName::OneCycle => ScheduleConfig::one_cycle(),
        ScheduleName::Cosine => ScheduleConfig::Cosine {
            warmup_epochs: epochs / 20.0,
        },
        ScheduleName::MultiStep => ScheduleConfig::MultiStep {
            milestone_epochs: vec![epochs / 2.0, epochs * 3.0 / 4.0],
            factor: 0.1,
        },
        ScheduleName::Constant => ScheduleConfig::Constant,
    }
}
