//! What a network sees in pictures that show any number of classes.

use std::path::PathBuf;

use residua::core::task::Decision;
use residua::train::{LoadedModel, class_probabilities};
use serde::Serialize;

use super::{PredictArgs, answers};
use crate::commands::model_source::{chosen_classes, class_name};
use crate::commands::pictures::Skipped;
use crate::failure::Failure;
use crate::output::{self, Column, percent};

/// `residua.predict-labels/1`
#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    model: &'a str,
    predictions: Vec<Prediction<'a>>,
    /// Images that could not be read, or whose logits are not numbers.
    skipped: Skipped,
}

#[derive(Serialize)]
struct Prediction<'a> {
    path: PathBuf,
    /// All classes whose probability is at least their threshold.
    chosen: Vec<&'a str>,
    /// All classes, in the order of the network.
    classes: Vec<Answer<'a>>,
    /// The chosen ones as a spreadsheet of labels has them.
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    class: &'a str,
    probability: f32,
    threshold: f32,
    is_chosen: bool,
}

pub(super) fn run(args: &PredictArgs, model: &LoadedModel) -> Result<(), Failure> {
    refuse_what_is_for_one_class(args)?;
    let report = predict(args, model)?;
    if args.json {
        output::print_json(&report)?;
    } else if args.csv {
        output::print(&csv(&report)?)?;
    } else if !report.predictions.is_empty() {
        output::print(&text(&report))?;
    }
    report.skipped.ending(report.predictions.len())
}

fn refuse_what_is_for_one_class(args: &PredictArgs) -> Result<(), Failure> {
    if args.calibrated {
        return Err(Failure::bad_input(
            "--calibrated is for networks that take an image to be of one class; this one gives each \
             class a probability of its own, which no temperature of a softmax changes",
        ));
    }
    if args.top.is_some() {
        return Err(Failure::bad_input(
            "--top is for networks that take an image to be of one class; this one names the classes \
             over their thresholds (--json and --csv have the probabilities of all)",
        ));
    }
    Ok(())
}

fn predict<'a>(args: &PredictArgs, model: &'a LoadedModel) -> Result<Report<'a>, Failure> {
    let (answers, skipped) = answers(args, model, |images| {
        class_probabilities(&model.network, images)
    })?;
    let predictions = { answers.into_iter() }
        .map(|(path, probabilities)| prediction(path, model, &probabilities));
    Ok(Report {
        schema: "residua.predict-labels/1",
        model: &model.record.model,
        predictions: predictions.collect(),
        skipped,
    })
}

fn prediction<'a>(path: PathBuf, model: &'a LoadedModel, probabilities: &[f32]) -> Prediction<'a> {
    let record = &model.record;
    let thresholds = match &record.decision {
        Decision::Thresholds { thresholds } => thresholds.as_slice(),
        Decision::MostLikely => &[],
    };
    let chosen = record.decision.chosen(probabilities);
    let pairs = probabilities.iter().zip(thresholds).enumerate();
    let classes = pairs.map(|(class, (&probability, &threshold))| Answer {
        class: class_name(record, class),
        probability,
        threshold,
        is_chosen: chosen.contains(&class),
    });
    Prediction {
        path,
        classes: classes.collect(),
        text: chosen_classes(record, probabilities),
        chosen: { chosen.iter() }
            .map(|class| class_name(record, *class))
            .collect(),
    }
}

fn text(report: &Report<'_>) -> String {
    let rows = report.predictions.iter().map(|prediction| {
        let chosen = prediction.classes.iter().filter(|answer| answer.is_chosen);
        let chosen: Vec<String> = chosen
            .map(|answer| {
                format!(
                    "{} {}",
                    answer.class,
                    percent(f64::from(answer.probability))
                )
            })
            .collect();
        vec![
            prediction.path.display().to_string(),
            match chosen.is_empty() {
                true => prediction.text.clone(),
                false => chosen.join(", "),
            },
        ]
    });
    let columns = [
        Column::Left("image"),
        Column::Left("classes over their thresholds"),
    ];
    output::table(&columns, rows.collect())
}

fn csv(report: &Report<'_>) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["path", "class", "probability", "threshold", "chosen"];
    writer.write_record(header).map_err(Failure::failed)?;
    for prediction in &report.predictions {
        let path = prediction.path.display().to_string();
        for answer in &prediction.classes {
            let row = [
                path.as_str(),
                answer.class,
                &format!("{:.6}", answer.probability),
                &format!("{:.6}", answer.threshold),
                if answer.is_chosen { "yes" } else { "no" },
            ];
            writer.write_record(row).map_err(Failure::failed)?;
        }
    }
    let bytes = writer.into_inner().map_err(Failure::failed)?;
    String::from_utf8(bytes).map_err(Failure::failed)
}
