//! How the training signal gets through a network, with and without shortcuts.

mod recorder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use residua::graph::catalog;
use residua::report::chart::{Axis, LineChart, Point, Scale, Series, Size, Unit};
use residua::report::study::{Section, Study};
use residua::train::Probe;
use residua::train::probe::LayerFigure;
use serde::Serialize;

use super::write_results;
use crate::commands::run_set::{PlannedRun, RunSetArgs};
use crate::failure::Failure;
use crate::output;
use recorder::{Moment, Recorder, read};

/// Images that figures are taken on.
const PROBE_IMAGES: usize = 128;

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct GradientsArgs {
    /// Networks to compare
    #[arg(
        long,
        value_name = "NAME,NAME,…",
        value_delimiter = ',',
        default_value = "plain20,resnet20,plain56,resnet56"
    )]
    models: Vec<String>,
    /// Times in each epoch at which figures are taken
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    per_epoch: u64,
    /// Folder of the study; runs that it holds are not trained again
    #[arg(long, value_name = "DIR", default_value = "studies/gradients")]
    out: PathBuf,
    #[command(flatten)]
    common: RunSetArgs,
}

/// A network of the study and its figures, in the order of the steps.
struct Member {
    model: String,
    moments: Vec<Moment>,
}

/// `residua.study/1`
#[derive(Serialize)]
struct GradientsReport<'a> {
    schema: &'static str,
    study: &'static str,
    page: &'a Path,
    networks: Vec<NetworkFigures<'a>>,
}

#[derive(Serialize)]
struct NetworkFigures<'a> {
    model: &'a str,
    /// Layers in their order, before the first step.
    gradients_at_start: &'a [LayerFigure],
    /// After the last step.
    gradients_at_end: &'a [LayerFigure],
    responses_at_end: &'a [LayerFigure],
}

pub(super) fn run(args: &GradientsArgs) -> Result<(), Failure> {
    let base = args.common.plan.begin()?;
    let mut planned = Vec::new();
    for model in &args.models {
        catalog::find(model).map_err(Failure::bad_input)?;
        let mut config = base.clone();
        config.model.clone_from(model);
        let config = args.common.plan.finish(config)?;
        let name = format!("{model}-seed{}", config.seed);
        planned.push(PlannedRun { name, config });
    }
    let probes = args.out.join("probes");
    let file = |run: &PlannedRun| probes.join(format!("{}.jsonl", run.name));
    let set = args.common.set(&args.out)?;
    let completed = set.complete(&planned, &mut |run, trainer| {
        let batch = trainer.validation_batch(PROBE_IMAGES)?;
        let every = (trainer.steps_per_epoch() / args.per_epoch).max(1);
        let probe = Probe::new(batch, run.config.loss);
        output::create_folder(&probes)?;
        let recorder = Recorder::append(&file(run), probe, every)?;
        Ok(Some(Box::new(recorder)))
    })?;
    let members: Vec<Member> = { planned.iter().zip(&completed.folders) }
        .map(|(run, folder)| {
            // What was seen before it failed is worth seeing, but it is no end of a training.
            let mark = if folder.is_none() { " (failed)" } else { "" };
            Ok(Member {
                model: format!("{}{mark}", run.config.model),
                moments: read(&file(run))?,
            })
        })
        .collect::<Result<_, Failure>>()?;
    let settings = planned
        .first()
        .map_or_else(String::new, |run| super::super::settings_line(&run.config));
    let data = [
        ("gradients.csv", csv(&members, |moment| &moment.gradients)),
        ("responses.csv", csv(&members, |moment| &moment.responses)),
    ];
    let page = write_results(
        &args.out,
        &page(&members, &settings, completed.notes()),
        &data,
    )?;
    if args.common.json {
        let networks = members.iter().filter_map(NetworkFigures::of);
        output::print_json(&GradientsReport {
            schema: "residua.study/1",
            study: "gradients",
            page: &page,
            networks: networks.collect(),
        })?;
    } else {
        output::print(&format!("{}\nPage: {}", text(&members), page.display()))?;
    }
    completed.ending()
}

impl<'a> NetworkFigures<'a> {
    fn of(member: &'a Member) -> Option<Self> {
        Some(Self {
            model: &member.model,
            gradients_at_start: &member.moments.first()?.gradients,
            gradients_at_end: &member.moments.last()?.gradients,
            responses_at_end: &member.moments.last()?.responses,
        })
    }
}

/// Of the first and of the last layer that is trained like all others: how much of the signal arrives.
fn text(members: &[Member]) -> String {
    let rows = members.iter().filter_map(|member| {
        let start = &member.moments.first()?.gradients;
        let end = &member.moments.last()?.gradients;
        let figure = |figures: &[LayerFigure], index: usize| {
            let found = figures.get(index);
            found.map_or_else(String::new, |figure| format!("{:.3e}", figure.value))
        };
        Some(vec![
            member.model.clone(),
            figure(start, 1),
            figure(start, start.len().saturating_sub(2)),
            figure(end, 1),
            figure(end, end.len().saturating_sub(2)),
        ])
    });
    let columns = [
        output::Column::Left("gradient norms"),
        output::Column::Right("start, second layer"),
        output::Column::Right("start, last convolution"),
        output::Column::Right("end, second layer"),
        output::Column::Right("end, last convolution"),
    ];
    output::table(&columns, rows.collect())
}

fn page(members: &[Member], settings: &str, failures: Vec<String>) -> Study {
    let mut notes = failures;
    notes.push(format!(
        "All figures are taken on the first {PROBE_IMAGES} validation images, the same ones each time. \
         The networks were trained with {settings}."
    ));
    let by_layer = |title: &str, figures: fn(&Member) -> Option<&Vec<LayerFigure>>, axis: Axis| {
        let series = members.iter().filter_map(|member| {
            let points = (1..)
                .zip(figures(member)?)
                .map(|(layer, figure)| Point::new(f64::from(layer), figure.value));
            Some(Series::new(member.model.clone(), points.collect()))
        });
        LineChart::new(title, Axis::new("layer").written(Unit::Whole), axis)
            .with_series(series.collect())
            .sized(Size::PAGE)
    };
    let norm = || Axis::new("norm of the gradient").scaled(Scale::Logarithmic);
    let deviation = || Axis::new("standard deviation");
    let mut sections = vec![
        Section::new(
            "Gradients before the first step",
            "The Euclidean norm of the gradient of each weight, layer by layer from the image to \
             the classifier. Where the line falls towards the left, the first layers hear little \
             of the error.",
        )
        .with_figure(by_layer(
            "Gradient norms before the first step",
            |member| member.moments.first().map(|moment| &moment.gradients),
            norm(),
        )),
        Section::new(
            "Gradients after the last step",
            "The same at the end of training.",
        )
        .with_figure(by_layer(
            "Gradient norms after the last step",
            |member| member.moments.last().map(|moment| &moment.gradients),
            norm(),
        )),
        Section::new(
            "Responses of the layers",
            "The standard deviation of the output of each normalisation of the main path, before \
             the rectifier and the addition, at the end of training (He et al. 2015, figure 7). A \
             residual branch that answers weakly changes its input little: the block is close to \
             the identity.",
        )
        .with_figure(by_layer(
            "Standard deviations of layer responses",
            |member| member.moments.last().map(|moment| &moment.responses),
            deviation(),
        )),
    ];
    for member in members {
        sections.push(through_training(member));
    }
    Study {
        title: "Gradients and responses".to_owned(),
        question:
            "Does the training signal reach the first layers of a deep network, and how much \
                   does each layer change what it is given?"
                .to_owned(),
        answer: answer(members),
        notes,
        sections,
    }
}

/// Some layers over the steps.
fn through_training(member: &Member) -> Section {
    /// Layers that are drawn: evenly spaced, the first and the last among them.
    const DRAWN: usize = 6;
    let layers = member
        .moments
        .first()
        .map_or(0, |first| first.gradients.len());
    let last = layers.saturating_sub(1);
    let mut drawn: Vec<usize> = (0..DRAWN).map(|index| index * last / (DRAWN - 1)).collect();
    drawn.dedup();
    let series = drawn.into_iter().map(|layer| {
        let at = |moment: &Moment| moment.gradients.get(layer).map(|figure| figure.value);
        let points = member.moments.iter();
        let points =
            points.map(|moment| Point::new(moment.step as f64, at(moment).unwrap_or(f64::NAN)));
        let name = member
            .moments
            .first()
            .and_then(|first| first.gradients.get(layer));
        let name = name.map_or_else(String::new, |figure| figure.layer.clone());
        Series::new(format!("{}: {name}", layer + 1), points.collect())
    });
    let chart = LineChart::new(
        format!("Gradient norms of {} through training", member.model),
        Axis::new("step").written(Unit::Whole),
        Axis::new("norm of the gradient").scaled(Scale::Logarithmic),
    )
    .with_series(series.collect())
    .sized(Size::PAGE);
    Section::new(
        format!("{} through training", member.model),
        "Some of its layers, by their numbers and names.",
    )
    .with_figure(chart)
}

fn answer(members: &[Member]) -> String {
    let sentences = members.iter().filter_map(|member| {
        let first = &member.moments.first()?.gradients;
        let last = &member.moments.last()?;
        let convolutions = first.len().checked_sub(2).filter(|count| *count > 1)?;
        let (early, late) = (first.get(1)?.value, first.get(convolutions)?.value);
        let responses: Vec<f64> = last.responses.iter().map(|figure| figure.value).collect();
        let mean = responses.iter().sum::<f64>() / responses.len().max(1) as f64;
        Some(format!(
            "In {} the gradient of the second convolution is {:.2} times that of the last before \
             training begins; after it, layers answer with a standard deviation of {mean:.2} on \
             average.",
            member.model,
            early / late,
        ))
    });
    sentences.collect::<Vec<_>>().join("\n\n")
}

fn csv(members: &[Member], figures: fn(&Moment) -> &Vec<LayerFigure>) -> String {
    let mut text = "model,step,layer_number,layer,value\n".to_owned();
    for member in members {
        // Of steps that were done again after an interruption the last figures count.
        let moments: BTreeMap<u64, &Moment> = { member.moments.iter() }
            .map(|moment| (moment.step, moment))
            .collect();
        for (step, moment) in moments {
            for (number, figure) in (1..).zip(figures(moment)) {
                text += &format!(
                    "{},{step},{number},{},{}\n",
                    member.model, figure.layer, figure.value
                );
            }
        }
    }
    text
}
