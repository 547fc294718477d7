//! `residua cross-validate`: every training image judged by a network that has not seen it.

mod folds;
mod json;

use std::path::{Path, PathBuf};

use clap::Args;
use residua::core::atomic_file;
use residua::core::task::Task;
use residua::data::Fold;
use residua::report::CrossValidation;
use residua::report::table::Table;
use residua::train::TrainConfig;

use super::page_folder::PageFolder;
use super::run_set::{CompletedRuns, PlannedRun, RunSetArgs};
use super::settings_line;
use super::train::NetworkArgs;
use crate::failure::Failure;
use crate::output::{self, create_folder};
use folds::{Member, gather};
use json::{CrossValidationReport, Places};

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct CrossValidateArgs {
    /// Parts into which the training images are divided; a network is trained without each of them
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=1000))]
    folds: u32,
    /// Folder of the tables, the figures and what is trained; runs that it holds are not trained again
    #[arg(long, value_name = "DIR", default_value = "cross-validation")]
    out: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    common: RunSetArgs,
}

pub(crate) fn run(args: &CrossValidateArgs) -> Result<(), Failure> {
    let planned = plan(args)?;
    let set = args.common.set(&args.out)?;
    let completed = set.complete(&planned, &mut |_, _| Ok(None))?;
    if completed.finished().next().is_some() {
        report(args, &planned, &completed)?;
    }
    completed.ending()
}

/// A run for each fold.
fn plan(args: &CrossValidateArgs) -> Result<Vec<PlannedRun>, Failure> {
    let mut base = args.common.plan.begin()?;
    // Those of a configuration that was not made for this.
    base.validation_fraction = None;
    base.fold = None;
    let config = args.network.change(base, &args.common.plan)?;
    if config.hold_out().map_err(Failure::bad_input)?.is_some() {
        return Err(Failure::usage(
            "cross-validation holds each fold out in turn; leave out --val-fraction and --fold",
        ));
    }
    let runs = Fold::all(args.folds).map(|fold| PlannedRun {
        name: format!("fold-{}-of-{}", fold.index(), fold.count()),
        config: TrainConfig {
            fold: Some(fold),
            ..config.clone()
        },
    });
    Ok(runs.collect())
}

fn report(
    args: &CrossValidateArgs,
    planned: &[PlannedRun],
    completed: &CompletedRuns,
) -> Result<(), Failure> {
    let members: Vec<Member<'_>> = { planned.iter().zip(&completed.folders) }
        .filter_map(|(run, folder)| Some(Member::read(run, folder.as_ref()?)))
        .collect::<Result<_, _>>()?;
    let Some(first) = planned.first() else {
        return Ok(());
    };
    let task = first.config.data.task();
    let mut notes = completed.notes();
    let began_elsewhere =
        |run: &PlannedRun| run.config.weights.is_some() || run.config.distillation.is_some();
    if planned.iter().any(began_elsewhere) {
        notes.push(
            "The weights that the networks began from, or their teacher, may have been trained on the \
             images that they are judged by; then the figures are too good."
                .to_owned(),
        );
    }
    notes.push(optimism(task));
    let result = CrossValidation {
        title: "Cross-validation".to_owned(),
        recipe: format!("{}: {}.", first.config.model, settings_line(&first.config)),
        notes,
        classes: { members.first() }.map_or_else(Vec::new, |member| member.metrics.classes.clone()),
        results: gather(&members, task)?,
    };
    let predictions = args.out.join("predictions.csv");
    write_predictions(&predictions, &members)?;
    let page = page_folder(&result).write(&args.out)?;
    for note in &result.notes {
        eprintln!("note: {note}");
    }
    if args.common.json {
        let places = Places {
            page: &page,
            predictions: &predictions,
        };
        return output::print_json(&CrossValidationReport::new(&members, &result, &places));
    }
    let shown: Vec<String> = result.tables().iter().map(Table::markdown).collect();
    output::print(&format!(
        "{}\nPredictions: {}\nPage:        {}",
        shown.join("\n"),
        predictions.display(),
        page.display()
    ))
}

/// What makes the figures a little too good.
fn optimism(task: Task) -> String {
    let what = match task {
        Task::SingleLabel => {
            "which makes the figures a little optimistic; the accuracy at the last epoch is not"
        }
        Task::MultiLabel => {
            "and its thresholds have the highest F1 there, which makes the figures a little optimistic, those \
             at thresholds more than the areas; the ROC-AUC at the last epoch is not"
        }
    };
    format!(
        "The weights of each network are those of its best epoch on its own fold, {what}. For a choice among \
         settings, compare cross-validations of the same seed, which have the same folds."
    )
}

/// The predictions of all runs, with a column for the fold.
fn write_predictions(path: &Path, members: &[Member<'_>]) -> Result<(), Failure> {
    for member in members {
        let own = member.folder.predictions();
        if !own.is_file() {
            return Err(Failure::bad_input(format!(
                "{} is missing; remove {}, and the same command trains it anew",
                own.display(),
                member.folder.root().display()
            )));
        }
    }
    create_folder(path.parent().unwrap_or(Path::new(".")))?;
    atomic_file::replace(path, |writer| {
        let mut all = csv::Writer::from_writer(writer);
        for (index, member) in members.iter().enumerate() {
            let mut own = csv::Reader::from_path(member.folder.predictions())?;
            if index == 0 {
                all.write_record(std::iter::once("fold").chain(own.headers()?))?;
            }
            for record in own.records() {
                let fold = member.fold.as_str();
                all.write_record(std::iter::once(fold).chain(&record?))?;
            }
        }
        all.flush()
    })
    .map_err(|error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    })
}

fn page_folder(result: &CrossValidation) -> PageFolder {
    PageFolder {
        html: result.html(),
        tables: result.tables().into(),
        figures: result.figures().into(),
    }
}
