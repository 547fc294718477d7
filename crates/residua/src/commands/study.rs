//! `residua study`: experiments about why residual networks are as they are.

mod degradation;
mod gradients;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};
use residua::core::run::{Event, RunFolder};
use residua::report::chart::{Chart, Palette};
use residua::report::study::Study;
use residua::train::RunOptions;

use super::device::{ComputeArgs, LoadingArgs};
use super::run_set::RunSet;
use super::train::{PlanArgs, stop_on_signals};
use crate::failure::Failure;
use crate::output::{self, create_folder, write_file};

#[derive(Debug, Args)]
pub(crate) struct StudyArgs {
    #[command(subcommand)]
    study: StudyName,
}

#[derive(Debug, Subcommand)]
enum StudyName {
    /// Do plain networks get worse as they deepen, and residual ones better (He et al. 2015, figure 6)?
    Degradation(degradation::DegradationArgs),
    /// How strongly layers are driven to change, and how strongly they answer (He et al. 2015, figure 7)
    Gradients(gradients::GradientsArgs),
}

/// What all studies have in common.
#[derive(Debug, Args)]
pub(crate) struct StudyRunArgs {
    /// Folder of the study; what it holds already is not done again [default: studies/<name>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    loading: LoadingArgs,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: &StudyArgs) -> Result<(), Failure> {
    match &args.study {
        StudyName::Degradation(args) => degradation::run(args),
        StudyName::Gradients(args) => gradients::run(args),
    }
}

impl StudyRunArgs {
    fn folder(&self, name: &str) -> PathBuf {
        let usual = || Path::new("studies").join(name);
        self.out.clone().unwrap_or_else(usual)
    }

    fn run_set<'a>(&self, folder: &Path, again: &'a str) -> Result<RunSet<'a>, Failure> {
        let stop: Arc<AtomicBool> = stop_on_signals()?;
        Ok(RunSet {
            parent: folder.join("runs"),
            options: RunOptions {
                device: self.compute.device()?,
                workers: self.loading.workers,
                stop,
            },
            quiet: self.quiet,
            again,
        })
    }
}

/// An epoch of a run, for curves.
#[derive(Debug, Clone, Copy)]
struct EpochFigures {
    epoch: u64,
    train_accuracy: f64,
    validation_accuracy: f64,
    train_loss: f64,
    validation_loss: f64,
}

fn epochs(folder: &RunFolder) -> Result<Vec<EpochFigures>, Failure> {
    let events = folder.events().map_err(Failure::bad_input)?;
    let epochs = events.into_iter().filter_map(|event| match event {
        Event::Epoch {
            epoch,
            train_accuracy,
            validation_accuracy,
            train_loss,
            validation_loss,
            ..
        } => Some(EpochFigures {
            epoch,
            train_accuracy,
            validation_accuracy,
            train_loss,
            validation_loss,
        }),
        _ => None,
    });
    Ok(epochs.collect())
}

/// The page, the figures as SVG and PNG, and the data of a study.
fn write_results(
    folder: &Path,
    study: &Study,
    data: &[(&str, String)],
) -> Result<PathBuf, Failure> {
    let figures = folder.join("figures");
    create_folder(&figures)?;
    for (name, text) in data {
        write_file(&folder.join(name), text.as_bytes())?;
    }
    for section in &study.sections {
        let Some(chart) = &section.figure else {
            continue;
        };
        write_figure(&figures, chart)?;
    }
    let page = folder.join("index.html");
    write_file(&page, study.html().as_bytes())?;
    Ok(page)
}

/// A figure in both forms, named after its title.
pub(crate) fn write_figure(folder: &Path, chart: &Chart) -> Result<(), Failure> {
    /// Enough for a page.
    const WIDTH: u32 = 1600;
    let stem = output::file_stem(chart.title());
    let svg = chart.to_svg(Palette::Light);
    write_file(&folder.join(format!("{stem}.svg")), svg.as_bytes())?;
    let png = chart.to_png(WIDTH).map_err(Failure::failed)?;
    write_file(&folder.join(format!("{stem}.png")), &png)
}
