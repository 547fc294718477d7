//! `residua study`: experiments about why residual networks are as they are.

mod degradation;
mod gradients;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use residua::report::chart::Chart;
use residua::report::study::Study;

use crate::failure::Failure;
use crate::output::{self, PictureForm, create_folder, write_file};

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

pub(crate) fn run(args: &StudyArgs) -> Result<(), Failure> {
    match &args.study {
        StudyName::Degradation(args) => degradation::run(args),
        StudyName::Gradients(args) => gradients::run(args),
    }
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
    let stem = output::file_stem(chart.title());
    for form in [PictureForm::Svg, PictureForm::Png] {
        let name = format!("{stem}.{}", form.extension());
        write_file(&folder.join(name), &form.bytes(chart)?)?;
    }
    Ok(())
}
