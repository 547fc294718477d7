//! `residua weights`: what is in a weight file, and the same in a form that says what it is.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use residua::core::model_record::ModelRecord;
use residua::graph::catalog;
use residua::train::{
    Device, PublishedWeights, load_published, read_record, recorded_graph, without_training_state,
};
use residua::weights::{ElementType, Fit, LoadReport, TensorFile, fit, fit_entry, fitting_models};
use serde::Serialize;

use super::model_source::PreparationArgs;
use super::variations::variations_text;
use crate::failure::{Failure, Status};
use crate::output::{self, Column, counted, grouped};

#[derive(Debug, Args)]
pub(crate) struct WeightsArgs {
    #[command(subcommand)]
    command: WeightsCommand,
}

#[derive(Debug, Subcommand)]
enum WeightsCommand {
    /// List the tensors of a file, and the networks that they fit
    Inspect(InspectArgs),
    /// Write the weights of a network as safetensors, with its name, classes and preprocessing
    Convert(ConvertArgs),
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// A weight file: safetensors, or a PyTorch checkpoint
    file: PathBuf,
    /// Report how it fits this network of the catalog; exit code 3 if it does not
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ConvertArgs {
    /// A weight file: safetensors, or a PyTorch checkpoint
    file: PathBuf,
    /// The safetensors file to write
    output: PathBuf,
    /// The network of the catalog that the weights belong to [default: the one that the file names]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A text file with the name of each class on a line, in the order of the logits
    #[arg(long, value_name = "FILE")]
    class_names: Option<PathBuf>,
    #[command(flatten)]
    preparation: PreparationArgs,
}

pub(crate) fn run(args: &WeightsArgs) -> Result<(), Failure> {
    match &args.command {
        WeightsCommand::Inspect(args) => inspect(args),
        WeightsCommand::Convert(args) => convert(args),
    }
}

/// `residua.weights/1`
#[derive(Serialize)]
struct WeightsReport<'a> {
    schema: &'static str,
    file: &'a Path,
    numbers: u64,
    /// What the file says of itself, if Residua wrote it.
    record: Option<ModelRecord>,
    tensors: Vec<TensorRow<'a>>,
    /// Networks of the catalog that the tensors fit, but for the number of classes.
    fits: Vec<String>,
    /// How it fits the network that was asked for.
    load: Option<LoadReport>,
}

#[derive(Serialize)]
struct TensorRow<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    stored_as: ElementType,
    shape: &'a [usize],
}

fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let file = TensorFile::read(&args.file).map_err(Failure::bad_input)?;
    if file.tensors.is_empty() {
        return Err(Failure::bad_input(format!(
            "{}: there are no tensors in it",
            args.file.display()
        )));
    }
    let record = read_record(&args.file)?;
    let file = without_training_state(file);
    let load = match &args.model {
        Some(model) => {
            let fit = fit_model(model, record.as_ref(), &file)?;
            Some(fit.report.with_suggestions())
        }
        None => None,
    };
    let misfit = load.as_ref().is_some_and(|load| !load.is_complete());
    let report = WeightsReport {
        schema: "residua.weights/1",
        file: &args.file,
        numbers: file.tensors.iter().map(|t| t.elements() as u64).sum(),
        fits: all_fitting(record.as_ref(), &file),
        record,
        tensors: { file.tensors.iter() }
            .map(|tensor| TensorRow {
                name: &tensor.name,
                stored_as: tensor.stored_as,
                shape: &tensor.shape,
            })
            .collect(),
        load,
    };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report))?;
    }
    match &args.model {
        Some(model) if misfit => Err(Failure::new(
            Status::BadInput,
            format!("{} does not fit {model}", args.file.display()),
        )),
        _ => Ok(()),
    }
}

fn text(report: &WeightsReport<'_>) -> String {
    let rows = report.tensors.iter().map(|tensor| {
        let shape = tensor.shape.iter().map(usize::to_string);
        vec![
            tensor.name.to_owned(),
            tensor.stored_as.to_string(),
            shape.collect::<Vec<_>>().join("×"),
        ]
    });
    let columns = [
        Column::Left("tensor"),
        Column::Left("type"),
        Column::Left("shape"),
    ];
    let mut text = output::table(&columns, rows.collect());
    text += &format!(
        "\n\n{}: {}, {} numbers",
        report.file.display(),
        counted(report.tensors.len() as u64, "tensor", "tensors"),
        grouped(report.numbers)
    );
    if let Some(record) = &report.record {
        text += &format!("\nWritten as: {}", described(record));
    }
    text += &match &report.fits[..] {
        [] => "\nFits no network of the catalog".to_owned(),
        names => format!("\nFits: {}", names.join(", ")),
    };
    if let Some(load) = &report.load {
        text += &format!("\n\n{load}");
    }
    text
}

fn described(record: &ModelRecord) -> String {
    let input = &record.preprocessing;
    let variations = match record.variations.is_empty() {
        true => String::new(),
        false => format!(" with {}", variations_text(&record.variations)),
    };
    format!(
        "{}{variations}, {} classes, {}×{} pixels, mean {:?}, std {:?}",
        record.model,
        record.classes.len(),
        input.height,
        input.width,
        input.normalisation.mean(),
        input.normalisation.std()
    )
}

/// How a file fits the network of that name: the one that it records, with its variations and images,
/// or else the published one, for as many classes and image channels as the file has.
fn fit_model<'a>(
    model: &str,
    record: Option<&ModelRecord>,
    file: &'a TensorFile,
) -> Result<Fit<'a>, Failure> {
    if let Some(record) = record.filter(|record| record.model == model) {
        return Ok(fit(&recorded_graph(record)?, file));
    }
    let entry = catalog::find(model).map_err(Failure::bad_input)?;
    fit_entry(&entry, file).map_err(Failure::bad_input)
}

/// The networks that a file fits: the one that it records first.
fn all_fitting(record: Option<&ModelRecord>, file: &TensorFile) -> Vec<String> {
    let mut names = fitting_models(file);
    if let Some(record) = record
        && fit_model(&record.model, Some(record), file).is_ok_and(|fit| fit.report.is_complete())
    {
        names.retain(|name| *name != record.model);
        names.insert(0, record.model.clone());
    }
    names
}

fn convert(args: &ConvertArgs) -> Result<(), Failure> {
    if args
        .output
        .extension()
        .is_none_or(|kind| kind != "safetensors")
    {
        return Err(Failure::usage(format!(
            "'{}' will be a safetensors file; give it a name that ends in .safetensors",
            args.output.display()
        )));
    }
    if args.output.exists() {
        return Err(Failure::usage(format!(
            "'{}' exists already; name another file, or remove it first",
            args.output.display()
        )));
    }
    let classes = match &args.class_names {
        None => None,
        Some(path) => Some(read_names(path)?),
    };
    let recorded = || Ok::<_, Failure>(read_record(&args.file)?.map(|record| record.model));
    let name = match &args.model {
        Some(name) => Some(name.clone()),
        None => recorded()?,
    };
    let name = name.ok_or_else(|| {
        Failure::usage(
            "the file does not say which network it belongs to; name it with --model NAME \
             (`residua weights inspect FILE` lists those that it fits)",
        )
    })?;
    let model = load_published(
        &PublishedWeights {
            model: &name,
            file: &args.file,
            classes: classes.as_deref(),
            normalisation: args.preparation.normalisation()?,
            input_size: args.preparation.input_size,
        },
        &Device::flex(),
    )?;
    model.save(&args.output)?;
    output::print(&format!(
        "{}: {}",
        args.output.display(),
        described(&model.record)
    ))
}

fn read_names(path: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    let mut seen = HashSet::new();
    for (number, name) in names.iter().enumerate() {
        let problem = match name.as_str() {
            "" => "is empty",
            name if !seen.insert(name) => "has the name of an earlier class",
            _ => continue,
        };
        return Err(Failure::bad_input(format!(
            "{}: line {} {problem}; expected the name of one class on each line",
            path.display(),
            number + 1
        )));
    }
    Ok(names)
}
