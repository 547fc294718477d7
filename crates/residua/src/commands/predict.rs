//! `residua predict`: what a trained network sees in pictures.

mod labels;

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use residua::core::task::Task;
use residua::data::Transform;
use residua::train::{LoadedModel, RankedClass, rank_classes};
use serde::Serialize;

use super::device::ComputeArgs;
use super::model_source::{ModelArgs, class_name};
use super::pictures::{self, PictureBatch, Skipped};
use super::progress::image_bar;
use crate::failure::Failure;
use crate::output::{self, Column, percent};

/// Classes named for each image.
const DEFAULT_TOP: usize = 5;
/// Images computed at once.
const BATCH: usize = 32;

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Image files, or folders of them
    #[arg(required = true, value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
    /// How many classes to name for each image [default: 5; where an image shows any number of classes,
    /// those over their thresholds]
    #[arg(long, value_name = "K")]
    top: Option<NonZeroUsize>,
    /// Give probabilities as the run's own validation images suggest them: logits are divided by the
    /// temperature that fitted those best (not where an image shows any number of classes)
    #[arg(long)]
    calibrated: bool,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print one JSON object
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values: path, rank, class, probability; or, where an image shows any number of
    /// classes, path, class, probability, threshold, chosen
    #[arg(long)]
    csv: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

/// `residua.predict/1`
#[derive(Serialize)]
struct PredictReport<'a> {
    schema: &'static str,
    model: &'a str,
    predictions: Vec<Prediction<'a>>,
    /// Images that could not be read, or whose logits are not numbers.
    skipped: Skipped,
}

#[derive(Serialize)]
struct Prediction<'a> {
    path: PathBuf,
    /// Most probable first.
    classes: Vec<ClassProbability<'a>>,
}

#[derive(Serialize)]
struct ClassProbability<'a> {
    class: &'a str,
    probability: f64,
}

pub(crate) fn run(args: &PredictArgs) -> Result<(), Failure> {
    let device = args.compute.device()?;
    let model = args.model.load(&device)?;
    if model.record.task() == Task::MultiLabel {
        return labels::run(args, &model);
    }
    let report = predict(args, &model)?;
    print(args, &report)?;
    report.skipped.ending(report.predictions.len())
}

/// The temperature that the evaluation at the end of the run found.
fn own_temperature(args: &PredictArgs) -> Result<f64, Failure> {
    let Some(run) = args.model.run_folder()? else {
        return Err(Failure::usage(
            "--calibrated goes with --run: a weight file has no temperature of its own",
        ));
    };
    if !args.model.is_best() {
        return Err(Failure::usage(
            "--calibrated goes with --checkpoint best, whose temperature the run has",
        ));
    }
    let place = run.root().display();
    if !run.metrics().is_file() {
        return Err(Failure::bad_input(format!(
            "'{place}' has no temperature: its training has not ended"
        )));
    }
    let metrics = run.read_metrics().map_err(Failure::bad_input)?;
    let judgement = { metrics.single_label() }.and_then(|results| results.judgement.as_ref());
    match judgement.map(|judgement| judgement.temperature_scaling) {
        Some(scaling) if scaling.at_bound => Err(Failure::bad_input(format!(
            "'{place}' has no temperature: none fits its validation images best"
        ))),
        Some(scaling) => Ok(scaling.temperature),
        None => Err(Failure::bad_input(format!(
            "'{place}' has no temperature: it was trained by an earlier version of Residua"
        ))),
    }
}

fn predict<'a>(args: &PredictArgs, model: &'a LoadedModel) -> Result<PredictReport<'a>, Failure> {
    let temperature = match args.calibrated {
        true => own_temperature(args)?,
        false => 1.0,
    };
    let top = args.top.map_or(DEFAULT_TOP, NonZeroUsize::get);
    let (answers, skipped) = answers(args, model, |images| {
        rank_classes(&model.network, images, top, temperature)
    })?;
    let predictions = answers.into_iter().map(|(path, ranked)| Prediction {
        path,
        classes: name_classes(model, &ranked),
    });
    Ok(PredictReport {
        schema: "residua.predict/1",
        model: &model.record.model,
        predictions: predictions.collect(),
        skipped,
    })
}

/// What `answer` says of each picture that can be read; it takes several, `[N, H, W, C]`.
fn answers<A, E: Display>(
    args: &PredictArgs,
    model: &LoadedModel,
    answer: impl Fn(Vec<f32>) -> Vec<Result<A, E>>,
) -> Result<(Vec<(PathBuf, A)>, Skipped), Failure> {
    let (files, mut skipped) = pictures::find(&args.images)?;
    let transform =
        Transform::evaluation(&model.record.preprocessing).map_err(Failure::bad_input)?;
    let bar = image_bar("predicting", files.len() as u64, args.quiet);
    let mut answers = Vec::new();
    for chunk in files.chunks(BATCH) {
        let batch = PictureBatch::read(chunk, &transform, &bar, &mut skipped);
        for (path, found) in batch.paths.into_iter().zip(answer(batch.images)) {
            match found {
                Ok(found) => answers.push((path.to_owned(), found)),
                Err(error) => skipped.add(&bar, path, format!("{}: {error}", path.display())),
            }
        }
    }
    bar.finish_and_clear();
    Ok((answers, skipped))
}

fn name_classes<'a>(model: &'a LoadedModel, ranked: &[RankedClass]) -> Vec<ClassProbability<'a>> {
    let named = ranked.iter().map(|ranked| ClassProbability {
        class: class_name(&model.record, ranked.class),
        probability: ranked.probability,
    });
    named.collect()
}

fn print(args: &PredictArgs, report: &PredictReport<'_>) -> Result<(), Failure> {
    if args.json {
        return output::print_json(report);
    }
    if args.csv {
        return output::print(&csv(report)?);
    }
    if report.predictions.is_empty() {
        return Ok(());
    }
    let rows = report.predictions.iter().map(|prediction| {
        let classes = prediction.classes.iter();
        let classes = classes.map(|c| format!("{} {}", c.class, percent(c.probability)));
        vec![
            prediction.path.display().to_string(),
            classes.collect::<Vec<_>>().join(", "),
        ]
    });
    let columns = [Column::Left("image"), Column::Left("most probable classes")];
    output::print(&output::table(&columns, rows.collect()))
}

fn csv(report: &PredictReport<'_>) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["path", "rank", "class", "probability"];
    writer.write_record(header).map_err(Failure::failed)?;
    for prediction in &report.predictions {
        let path = prediction.path.display().to_string();
        for (rank, class) in (1..).zip(&prediction.classes) {
            let probability = format!("{:.6}", class.probability);
            let row = [&path, &format!("{rank}"), class.class, &probability];
            writer.write_record(row).map_err(Failure::failed)?;
        }
    }
    let bytes = writer.into_inner().map_err(Failure::failed)?;
    String::from_utf8(bytes).map_err(Failure::failed)
}
