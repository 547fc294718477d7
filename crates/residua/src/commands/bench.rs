//! `residua bench`: how fast networks are.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use residua::graph::catalog;
use residua::train::{
    BenchmarkCase, BenchmarkMode, BenchmarkOptions, GradientCheckpointing, Measurement, Precision,
    measure, peak_memory_bytes,
};
use serde::Serialize;

use super::device::{ComputeArgs, PrecisionName};
use super::progress::bar;
use crate::failure::Failure;
use crate::output::{self, Column};

/// What the figures mean.
const FIGURES: &str = "\
One row for each combination of model, mode and precision. Images are random and in memory; times
are medians over steps, with the quartiles beside them.

GFLOP/s: 2 × multiply-accumulates of the layers by definition, for each image. A training step
counts three times as many as inference, less the gradient of the images, which is not computed.

Peak memory is the largest that the process has had so far, earlier rows included; to compare
cases, measure each in a process of its own.";

#[derive(Debug, Args)]
#[command(after_help = FIGURES)]
pub(crate) struct BenchArgs {
    /// Networks of the catalog, repeated or separated by commas; patterns such as 'wrn*' name several
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "resnet20"
    )]
    model: Vec<String>,
    /// Whole training steps, or logits from images
    #[arg(long, value_enum, value_delimiter = ',', default_value = "train")]
    mode: Vec<ModeName>,
    /// Format of feature maps
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    precision: Vec<PrecisionName>,
    /// Compute feature maps a second time in training rather than keep them all
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Images at once [default: 128 up to 32×32 pixels, otherwise 16]
    #[arg(long, alias = "batch-size", value_name = "N")]
    batch: Option<NonZeroUsize>,
    /// Height and width of the images [default: the network's own]
    #[arg(long, alias = "input-size", value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..))]
    size: Option<u16>,
    /// Steps to measure [default: as many as 8 seconds allow, at least 5]
    #[arg(long, value_name = "K")]
    steps: Option<NonZeroUsize>,
    /// Steps before the first that counts
    #[arg(long, value_name = "W", default_value_t = 3)]
    warmup: usize,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeName {
    /// Forward pass, loss, gradients and optimiser
    Train,
    /// Logits from images
    Infer,
}

/// `residua.bench/1`
#[derive(Serialize)]
struct BenchReport {
    schema: &'static str,
    rows: Vec<BenchRow>,
}

#[derive(Serialize)]
struct BenchRow {
    model: String,
    mode: BenchmarkMode,
    precision: Precision,
    gradient_checkpointing: GradientCheckpointing,
    batch: usize,
    /// Height and width.
    size: [usize; 2],
    threads: usize,
    steps: usize,
    images_per_second: f64,
    gflops: f64,
    /// Median of a step.
    milliseconds: f64,
    lower_quartile_milliseconds: f64,
    upper_quartile_milliseconds: f64,
    /// Of the process so far; null where the system does not say.
    peak_memory_bytes: Option<u64>,
}

pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let device = args.compute.device()?;
    let trains = args.mode.iter().any(|mode| matches!(mode, ModeName::Train));
    if args.gradient_checkpointing && !trains {
        return Err(Failure::usage(
            "--gradient-checkpointing goes with --mode train; inference keeps nothing",
        ));
    }
    // All names before the first minute is spent.
    let mut models = Vec::new();
    for pattern in &args.model {
        let found = catalog::matching(pattern).map_err(Failure::bad_input)?;
        models.extend(found.into_iter().map(|entry| entry.name));
    }
    let options = BenchmarkOptions {
        warmup: args.warmup,
        steps: args.steps.map(NonZeroUsize::get),
        device,
    };
    let mut rows = Vec::new();
    for case in cases(args, &models) {
        let what = format!("{} {} {}", case.model, mode_name(case.mode), case.precision);
        let bar = bar(0, &format!("{what}  step {{pos}}  {{elapsed}}"), args.quiet);
        let measured = measure(&case, &options, &mut |step| bar.set_position(step as u64));
        bar.finish_and_clear();
        rows.push(BenchRow::new(case, &measured?));
    }
    if args.json {
        output::print_json(&BenchReport {
            schema: "residua.bench/1",
            rows,
        })
    } else {
        output::print(&table(&rows))
    }
}

fn cases(args: &BenchArgs, models: &[String]) -> Vec<BenchmarkCase> {
    let checkpointing = if args.gradient_checkpointing {
        GradientCheckpointing::On
    } else {
        GradientCheckpointing::Off
    };
    let mut cases = Vec::new();
    for model in models {
        for mode in &args.mode {
            for &precision in &args.precision {
                cases.push(BenchmarkCase {
                    model: model.clone(),
                    mode: match mode {
                        ModeName::Train => BenchmarkMode::Train,
                        ModeName::Infer => BenchmarkMode::Infer,
                    },
                    precision: precision.into(),
                    checkpointing,
                    batch: args.batch.map(NonZeroUsize::get),
                    size: args.size.map(usize::from),
                });
            }
        }
    }
    cases
}

fn mode_name(mode: BenchmarkMode) -> &'static str {
    match mode {
        BenchmarkMode::Train => "train",
        BenchmarkMode::Infer => "infer",
    }
}

impl BenchRow {
    fn new(case: BenchmarkCase, measured: &Measurement) -> Self {
        let [lower, upper] = measured.quartile_seconds();
        Self {
            model: case.model,
            mode: case.mode,
            precision: case.precision,
            gradient_checkpointing: case.checkpointing,
            batch: measured.batch,
            size: measured.size,
            threads: rayon::current_num_threads(),
            steps: measured.seconds.len(),
            images_per_second: measured.images_per_second(),
            gflops: measured.gflops(),
            milliseconds: measured.median_seconds() * 1e3,
            lower_quartile_milliseconds: lower * 1e3,
            upper_quartile_milliseconds: upper * 1e3,
            peak_memory_bytes: peak_memory_bytes(),
        }
    }
}

fn table(rows: &[BenchRow]) -> String {
    let columns = [
        Column::Left("model"),
        Column::Left("mode"),
        Column::Left("precision"),
        Column::Right("batch"),
        Column::Right("size"),
        Column::Right("threads"),
        Column::Right("images/s"),
        Column::Right("GFLOP/s"),
        Column::Right("ms/step"),
        Column::Right("quartiles"),
        Column::Right("peak MiB"),
    ];
    let rows = rows.iter().map(|row| {
        let [height, width] = row.size;
        let peak = row.peak_memory_bytes;
        vec![
            row.model.clone(),
            mode_name(row.mode).to_owned(),
            row.precision.to_string(),
            row.batch.to_string(),
            format!("{height}×{width}"),
            row.threads.to_string(),
            format!("{:.1}", row.images_per_second),
            format!("{:.1}", row.gflops),
            format!("{:.2}", row.milliseconds),
            format!(
                "{:.2}–{:.2}",
                row.lower_quartile_milliseconds, row.upper_quartile_milliseconds
            ),
            peak.map_or_else(String::new, |bytes| (bytes >> 20).to_string()),
        ]
    });
    output::table(&columns, rows.collect())
}
