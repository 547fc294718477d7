//! `residua data`: what is in a data set, what is wrong with it, and what a network gets of it.

mod bench;
mod cache;
mod show;
mod split;

use clap::{Args, Subcommand};
use residua::core::task::Task;
use residua::data::check::CheckOptions;
use residua::data::{
    DataReport, DataSpec, Dataset, DatasetOptions, Fraction, HoldOut, Progress, Purpose, check,
};

use super::progress::image_bar;
use super::share;
use crate::failure::{Failure, Status};
use crate::output::{self, Column, counted, grouped};

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Report classes, sizes, unreadable files, duplicates and leakage
    Check(CheckArgs),
    /// Draw training images as a network gets them: cropped, changed, mixed
    Show(Box<show::ShowArgs>),
    /// Divide image files into splits or folds, and write them down as spreadsheets
    Split(split::SplitArgs),
    /// Measure how fast images are loaded, with and without a cache
    Bench(Box<bench::BenchArgs>),
    /// Show how much is in a cache of reduced pictures, or clear it
    Cache(cache::CacheArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Images: builtin, cifar10:DIR, folder:DIR, csv:FILE, npz:FILE or idx:DIR
    spec: DataSpec,
    /// Share of unreadable images that training will tolerate
    #[arg(long, value_name = "SHARE", value_parser = share, default_value_t = residua::data::DEFAULT_MAX_UNREADABLE)]
    max_unreadable: f64,
    /// Training will hold this share out for validation
    #[arg(long, value_name = "SHARE")]
    val_fraction: Option<Fraction>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: &DataArgs) -> Result<(), Failure> {
    match &args.command {
        DataCommand::Check(args) => check_data(args),
        DataCommand::Show(args) => show::run(args),
        DataCommand::Split(args) => split::run(args),
        DataCommand::Bench(args) => bench::run(args),
        DataCommand::Cache(args) => cache::run(args),
    }
}

fn check_data(args: &CheckArgs) -> Result<(), Failure> {
    let options = CheckOptions {
        max_unreadable: args.max_unreadable,
        has_validation_fraction: args.val_fraction.is_some(),
    };
    let bar = image_bar("checking", 0, args.quiet);
    let on_progress = |progress: Progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
    };
    let mut report = check(&args.spec, &options, &on_progress);
    bar.finish_and_clear();
    if let Some(fraction) = args.val_fraction {
        report.problems.extend(hold_out_problem(args, fraction));
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report))?;
    }
    if report.is_usable() {
        Ok(())
    } else {
        Err(Failure::new(
            Status::BadInput,
            format!(
                "{} {} training on {}",
                report.problems.len(),
                if report.problems.len() == 1 {
                    "problem prevents"
                } else {
                    "problems prevent"
                },
                report.data
            ),
        ))
    }
}

/// What would stop training when it holds images out; the check has reported everything else.
fn hold_out_problem(args: &CheckArgs, fraction: Fraction) -> Option<String> {
    let options = |hold_out| DatasetOptions {
        purpose: Purpose::Evaluation,
        hold_out,
        seed: 0,
    };
    Dataset::open(&args.spec, &options(None)).ok()?;
    let part = HoldOut::Fraction(fraction);
    let error = Dataset::open(&args.spec, &options(Some(part))).err()?;
    Some(error.to_string())
}

fn text(report: &DataReport) -> String {
    let mut parts = vec![heading(report)];
    if !report.splits.is_empty() {
        parts.push(class_table(report));
        parts.push(cardinalities(report));
        parts.push(sizes(report));
    }
    let unreadable = report.unreadable.iter();
    let unreadable = unreadable.map(|image| format!("{}: {}", image.path, image.reason));
    parts.push(list("unreadable", unreadable.collect()));
    let duplicates = report.duplicates.iter().map(|duplicate| {
        let sources = duplicate.images.iter().map(|image| image.source.as_str());
        sources.collect::<Vec<_>>().join(" = ")
    });
    parts.push(list("exact duplicates", duplicates.collect()));
    let leakage = report.leakage.iter().map(|pair| {
        let (first, second) = (&pair.first, &pair.second);
        format!(
            "{} {} = {} {}",
            first.split, first.source, second.split, second.source
        )
    });
    parts.push(list("the same image in two splits", leakage.collect()));
    parts.push(list("warnings", report.warnings.clone()));
    parts.push(list("problems", report.problems.clone()));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn heading(report: &DataReport) -> String {
    let classes = report.classes.len();
    match report.task {
        Task::SingleLabel => format!("{}: {classes} classes", report.data),
        Task::MultiLabel => {
            let classes = counted(classes as u64, "class", "classes");
            format!("{}: {classes}, any number of them in an image", report.data)
        }
    }
}

/// How many classes images show, where that may be any number.
fn cardinalities(report: &DataReport) -> String {
    let lines = report.splits.iter().filter_map(|split| {
        let found = split.cardinality?;
        Some(format!(
            "{}: {:.2} classes an image, at most {}; {} without any",
            split.split,
            found.mean,
            found.most,
            counted(found.none as u64, "image", "images")
        ))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn class_table(report: &DataReport) -> String {
    let mut columns = vec![Column::Left("class")];
    let names: Vec<String> = report
        .splits
        .iter()
        .map(|split| split.split.to_string())
        .collect();
    columns.extend(names.iter().map(|name| Column::Right(name)));
    let count = |split: &residua::data::check::SplitReport, class: &str| {
        let found = split.classes.iter().find(|count| count.class == class);
        grouped(found.map_or(0, |count| count.images) as u64)
    };
    let mut rows: Vec<Vec<String>> = report
        .classes
        .iter()
        .map(|class| {
            let counts = report.splits.iter().map(|split| count(split, class));
            std::iter::once(class.clone()).chain(counts).collect()
        })
        .collect();
    let totals = report
        .splits
        .iter()
        .map(|split| grouped(split.images as u64));
    rows.push(std::iter::once("all".to_owned()).chain(totals).collect());
    output::table(&columns, rows)
}

fn sizes(report: &DataReport) -> String {
    let lines = report.splits.iter().filter_map(|split| {
        let sizes = split.sizes.as_ref()?;
        let show = |[height, width]: [usize; 2]| format!("{height}×{width}");
        Some(if sizes.different == 1 {
            format!("{}: all images are {}", split.split, show(sizes.median))
        } else {
            format!(
                "{}: {} sizes from {} to {}, median {}, most often {}",
                split.split,
                sizes.different,
                show(sizes.smallest),
                show(sizes.largest),
                show(sizes.median),
                show(sizes.commonest.size)
            )
        })
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A titled list of at most ten lines; empty when there are none.
fn list(title: &str, lines: Vec<String>) -> String {
    const SHOWN: usize = 10;
    if lines.is_empty() {
        return String::new();
    }
    let more = match lines.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("\n  … and {more} more; --json lists all"),
    };
    let shown: Vec<String> = lines
        .iter()
        .take(SHOWN)
        .map(|line| format!("\n  {line}"))
        .collect();
    format!("{title} ({}):{}{more}", lines.len(), shown.concat())
}
