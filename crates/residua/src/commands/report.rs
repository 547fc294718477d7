//! `residua report`: a run as one page.

mod gallery;

use std::path::PathBuf;

use clap::Args;
use residua::core::metrics::ClassScore;
use residua::core::run::{Event, RunFolder, RunMetrics, RunResults};
use residua::graph::svg;
use residua::report::{NetworkFacts, RunReport};
use residua::train::{Device, TrainConfig, read_config};

use super::device::ComputeArgs;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The run folder of a training
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where the page goes [default: report.html in the run folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeArgs,
}

pub(crate) fn run(args: &ReportArgs) -> Result<(), Failure> {
    let device = args.compute.device()?;
    let folder = RunFolder::open(&args.run).map_err(Failure::bad_input)?;
    let target = args.out.clone().unwrap_or_else(|| folder.report());
    let report = assemble(&folder, &device)?;
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    write(&target, &report)?;
    output::print(&target.display().to_string())
}

/// Writes the page of a run that has just ended. A page that cannot be made is no reason to call the
/// training failed.
pub(crate) fn write_after_training(folder: &RunFolder, device: &Device) {
    let written = assemble(folder, device).and_then(|report| write(&folder.report(), &report));
    if let Err(failure) = written {
        eprintln!("warning: no report was written: {}", failure.message);
    }
}

fn write(target: &std::path::Path, report: &RunReport) -> Result<(), Failure> {
    output::write_file(target, report.html().as_bytes())
}

/// Everything that the page shows.
fn assemble(folder: &RunFolder, device: &Device) -> Result<RunReport, Failure> {
    let config = read_config(folder)?;
    let events = folder.events().map_err(Failure::bad_input)?;
    let metrics = match folder.metrics().is_file() {
        true => Some(folder.read_metrics().map_err(Failure::bad_input)?),
        false => None,
    };
    let mut notes = notes(folder, metrics.as_ref());
    let gallery = match gallery::collect(folder, &config, metrics.as_ref(), device) {
        Ok(gallery) => gallery,
        Err(reason) => {
            notes.push(format!("There are no pictures of the mistakes: {reason}."));
            Vec::new()
        }
    };
    let name = std::path::absolute(folder.root()).unwrap_or_else(|_| folder.root().to_owned());
    let name = name.file_name().map(|name| name.to_string_lossy().into());
    Ok(RunReport {
        name: name.unwrap_or_else(|| folder.root().display().to_string()),
        config_toml: config.to_toml()?,
        network: network_facts(&config, metrics.as_ref(), &events)?,
        events,
        metrics,
        gallery,
        notes,
    })
}

/// What a reader has to know.
fn notes(folder: &RunFolder, metrics: Option<&RunMetrics>) -> Vec<String> {
    let Some(metrics) = metrics else {
        let root = folder.root().display();
        return vec![match folder.last_checkpoint().is_file() {
            true => format!("`residua train --resume '{root}'` goes on from its last checkpoint."),
            false => "There is no checkpoint from which it could go on.".to_owned(),
        }];
    };
    let mut notes = Vec::new();
    let (classes, scores) = (&metrics.classes, metrics.class_scores());
    let missing = ClassesWithoutImages::of(classes, scores, &metrics.split);
    notes.extend(match &metrics.results {
        RunResults::SingleLabel(_) => missing.map(|missing| missing.in_single_label()),
        RunResults::MultiLabel(_) => missing.map(|missing| missing.in_multi_label()),
    });
    if metrics
        .single_label()
        .is_some_and(|results| results.judgement.is_none())
    {
        notes.push(
            "This run was evaluated by an earlier version of Residua: intervals, calibration and \
             mistakes are missing. `residua eval` computes them."
                .to_owned(),
        );
    }
    notes
}

/// What an evaluation knows nothing about.
pub(crate) struct ClassesWithoutImages(String);

impl ClassesWithoutImages {
    /// `None` where every class has images.
    pub(crate) fn of(classes: &[String], scores: &[ClassScore], split: &str) -> Option<Self> {
        let scores = classes.iter().zip(scores);
        let missing: Vec<String> = scores
            .filter(|(_, score)| score.support == 0)
            .map(|(class, _)| format!("'{class}'"))
            .collect();
        match missing.as_slice() {
            [] => None,
            [one] => Some(Self(format!(
                "The class {one} has no {split} images: nothing is known of how well it is \
                 recognised."
            ))),
            several => Some(Self(format!(
                "The classes {} have no {split} images: nothing is known of how well they are \
                 recognised.",
                several.join(", ")
            ))),
        }
    }

    /// What that does to averages over images of one class each, as scikit-learn has them.
    pub(crate) fn in_single_label(self) -> String {
        self.0
            + " In macro averages such a class counts 0 where images of others were taken for it; \
               otherwise they leave it out."
    }

    /// What that does to averages over images of any number of classes.
    pub(crate) fn in_multi_label(self) -> String {
        self.0 + " The mean ROC-AUC leaves such a class out; in macro F1 it counts 0."
    }
}

fn network_facts(
    config: &TrainConfig,
    metrics: Option<&RunMetrics>,
    events: &[Event],
) -> Result<NetworkFacts, Failure> {
    let classes = metrics.map(|metrics| metrics.classes.len());
    let started = events.iter().find_map(|event| match event {
        Event::Start { classes, .. } if !classes.is_empty() => Some(classes.len()),
        _ => None,
    });
    let graph = config.graph(classes.or(started).unwrap_or(1))?;
    let input = graph.input_shape();
    let [height, width] = input.spatial();
    Ok(NetworkFacts {
        name: config.model.clone(),
        parameters: graph.trainable_parameters(),
        multiply_accumulates: graph.macs(),
        input: [height, width, input.channels()],
        svg: Some(svg(&graph)),
    })
}
