//! `residua study`: experiments about why residual networks are as they are.

mod degradation;
mod gradients;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use residua::report::study::Study;

use super::page_folder::PageFolder;
use crate::failure::Failure;
use crate::output::{create_folder, write_file};

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

/// The data of a study, the figures and the page.
fn write_results(
    folder: &Path,
    study: &Study,
    data: &[(&str, String)],
) -> Result<PathBuf, Failure> {
    create_folder(folder)?;
    for (name, text) in data {
        write_file(&folder.join(name), text.as_bytes())?;
    }
    let sections = study.sections.iter();
    let results = PageFolder {
        html: study.html(),
        tables: Vec::new(),
        figures: sections
            .filter_map(|section| section.figure.clone())
            .collect(),
    };
    results.write(folder)
}
