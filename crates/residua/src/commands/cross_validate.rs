//! `residua cross-validate`: every training image judged by a network that has not seen it.

use std::path::{Path, PathBuf};

use clap::Args;
use residua::core::atomic_file;
use residua::core::metrics::bootstrap::{
    BootstrapSettings, ClassificationIntervals, classification_intervals,
};
use residua::core::metrics::convergence::Summary;
use residua::core::metrics::{Classification, ClassificationSummary};
use residua::core::run::RunFolder;
use residua::core::seed::SeedStream;
use residua::data::Fold;
use residua::report::CrossValidation;
use residua::report::cross_validation::FoldResult;
use residua::report::table::Table;
use residua::train::TrainConfig;
use serde::Serialize;

use super::compare::write_tables;
use super::run_set::{CompletedRuns, PlannedRun, RunSetArgs};
use super::study::write_figure;
use super::train::NetworkArgs;
use super::{require_one_class_each, settings_line};
use crate::failure::Failure;
use crate::output::{self, create_folder, write_file};

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

/// `residua.cross-validation/1`; accuracies and F1 are fractions.
#[derive(Serialize)]
struct CrossValidationReport<'a> {
    schema: &'static str,
    page: &'a Path,
    /// What each image was taken for by the network that has not seen it.
    predictions: &'a Path,
    notes: &'a [String],
    folds: Vec<FoldReport<'a>>,
    /// Over folds, each counting the same.
    accuracy: Summary,
    last_accuracy: Summary,
    macro_f1: Summary,
    roc_auc: Summary,
    /// Class names in the order of the labels.
    classes: &'a [String],
    /// All folds together.
    pooled: &'a ClassificationSummary,
    intervals: &'a ClassificationIntervals,
}

#[derive(Serialize)]
struct FoldReport<'a> {
    fold: &'a str,
    run: &'a Path,
    images: u64,
    accuracy: f64,
    /// Of the weights after the last epoch.
    last_accuracy: f64,
    macro_f1: f64,
    /// Null where it is not defined.
    roc_auc: Option<f64>,
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
    require_one_class_each(&config, "cross-validation")?;
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

/// A run that is there.
struct Member<'a> {
    folder: &'a RunFolder,
    /// Class names in the order of the labels.
    classes: Vec<String>,
    result: FoldResult,
}

fn report(
    args: &CrossValidateArgs,
    planned: &[PlannedRun],
    completed: &CompletedRuns,
) -> Result<(), Failure> {
    let members: Vec<Member<'_>> = { planned.iter().zip(&completed.folders) }
        .filter_map(|(run, folder)| Some(member(run, folder.as_ref()?)))
        .collect::<Result<_, _>>()?;
    let settings = planned.first().map_or_else(String::new, |run| {
        format!("{}: {}.", run.config.model, settings_line(&run.config))
    });
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
    let result = gather(&members, settings, notes)?;
    let predictions = args.out.join("predictions.csv");
    write_predictions(&predictions, &members)?;
    let page = write(&args.out, &result)?;
    for note in &result.notes {
        eprintln!("note: {note}");
    }
    if args.common.json {
        return output::print_json(&json(&members, &result, &page, &predictions));
    }
    let shown: Vec<String> = result.tables().iter().map(Table::markdown).collect();
    output::print(&format!(
        "{}\nPredictions: {}\nPage:        {}",
        shown.join("\n"),
        predictions.display(),
        page.display()
    ))
}

fn member<'a>(run: &PlannedRun, folder: &'a RunFolder) -> Result<Member<'a>, Failure> {
    let name = { run.config.fold }.map_or_else(|| run.name.clone(), |fold| fold.to_string());
    let metrics = folder.read_metrics().map_err(Failure::bad_input)?;
    let results = metrics.single_label().ok_or_else(|| {
        let folder = folder.root().display();
        Failure::bad_input(format!("{folder}: its images have any number of classes"))
    })?;
    Ok(Member {
        folder,
        result: FoldResult {
            name,
            results: results.clone(),
            best_epoch: metrics.best_epoch,
            epochs: metrics.epochs,
        },
        classes: metrics.classes,
    })
}

fn gather(
    members: &[Member<'_>],
    settings: String,
    mut notes: Vec<String>,
) -> Result<CrossValidation, Failure> {
    let folds: Vec<FoldResult> = members.iter().map(|member| member.result.clone()).collect();
    let classes = { members.first() }.map_or_else(Vec::new, |member| member.classes.clone());
    let mut pooled = Classification::new(classes.len());
    for fold in &folds {
        pooled
            .absorb(&fold.results.evaluation)
            .map_err(Failure::bad_input)?;
    }
    let pooled = pooled.summary();
    let seed = SeedStream::new(0).child("bootstrap");
    let intervals = classification_intervals(&pooled.confusion, BootstrapSettings::default(), seed)
        .map_err(Failure::failed)?;
    notes.push(
        "The weights of each network are those of its best epoch on its own fold, which makes the figures \
         a little optimistic; the accuracy at the last epoch is not. For a choice among settings, compare \
         cross-validations of the same seed, which have the same folds."
            .to_owned(),
    );
    Ok(CrossValidation {
        title: "Cross-validation".to_owned(),
        recipe: settings,
        notes,
        folds,
        classes,
        pooled,
        intervals,
    })
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
                let fold = member.result.name.as_str();
                all.write_record(std::iter::once(fold).chain(&record?))?;
            }
        }
        all.flush()
    })
    .map_err(|error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    })
}

/// The page, the tables in four forms and the figures in two.
fn write(out: &Path, result: &CrossValidation) -> Result<PathBuf, Failure> {
    write_tables(&out.join("tables"), result.tables())?;
    let figures = out.join("figures");
    create_folder(&figures)?;
    for chart in result.figures() {
        write_figure(&figures, &chart)?;
    }
    let page = out.join("index.html");
    write_file(&page, result.html().as_bytes())?;
    Ok(page)
}

fn json<'a>(
    members: &'a [Member<'_>],
    result: &'a CrossValidation,
    page: &'a Path,
    predictions: &'a Path,
) -> CrossValidationReport<'a> {
    let summaries = result.summaries();
    let folds = members.iter().map(|member| {
        let results = &member.result.results;
        let judgement = results.judgement.as_ref();
        FoldReport {
            fold: &member.result.name,
            run: member.folder.root(),
            images: results.evaluation.images,
            accuracy: results.evaluation.accuracy,
            last_accuracy: results.last_accuracy,
            macro_f1: results.evaluation.macro_average.f1,
            roc_auc: judgement.and_then(|judgement| judgement.ranking.macro_roc_auc),
        }
    });
    CrossValidationReport {
        schema: "residua.cross-validation/1",
        page,
        predictions,
        notes: &result.notes,
        folds: folds.collect(),
        accuracy: summaries.accuracy,
        last_accuracy: summaries.last_accuracy,
        macro_f1: summaries.macro_f1,
        roc_auc: summaries.roc_auc,
        classes: &result.classes,
        pooled: &result.pooled,
        intervals: &result.intervals,
    }
}
