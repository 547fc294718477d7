//! `residua compare`: networks side by side, as tables and figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use residua::core::run::{Event, RunFolder};
use residua::core::task::Task;
use residua::graph::catalog;
use residua::report::comparison::{ComparedNetwork, ComparedRun, Comparison};
use residua::report::table::Table;
use residua::train::{TrainConfig, read_config};
use serde::Serialize;

use super::page_folder::PageFolder;
use super::run_set::{CompletedRuns, PlannedRun, RunSetArgs, epoch_points};
use super::settings_line;
use crate::failure::Failure;
use crate::output;

// The last of repeated options counts, as in `train`.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct CompareArgs {
    /// Runs to compare; those that differ in nothing but the seed count as one network
    #[arg(
        value_name = "RUN",
        required_unless_present = "models",
        conflicts_with_all = ["settings", "config", "recipe", "set", "data"]
    )]
    runs: Vec<PathBuf>,
    /// Networks to train and compare
    #[arg(
        long,
        value_name = "NAME,NAME,…",
        value_delimiter = ',',
        conflicts_with = "runs"
    )]
    models: Vec<String>,
    /// How many times each network is trained, with the seeds 0, 1, 2, …
    #[arg(long, value_name = "N", requires = "models", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Folder of the tables, the figures and what is trained; runs that it holds are not trained again
    #[arg(long, value_name = "DIR", default_value = "comparison")]
    out: PathBuf,
    #[command(flatten)]
    common: RunSetArgs,
}

/// `residua.compare/1`
#[derive(Serialize)]
struct CompareReport<'a> {
    schema: &'static str,
    page: &'a Path,
    /// What makes the comparison less than fair.
    warnings: Vec<String>,
    tables: Vec<TableReport>,
}

/// A table as it is printed.
#[derive(Serialize)]
struct TableReport {
    caption: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

pub(crate) fn run(args: &CompareArgs) -> Result<(), Failure> {
    if args.models.is_empty() {
        let folders: Vec<&Path> = args.runs.iter().map(PathBuf::as_path).collect();
        refuse_duplicates(&folders)?;
        return compare(args, &folders);
    }
    let completed = train_missing(args)?;
    let finished: Vec<&Path> = completed.finished().map(RunFolder::root).collect();
    if !finished.is_empty() {
        compare(args, &finished)?;
    }
    completed.ending()
}

/// Runs that cannot be used do not stop the comparison of the others.
fn compare(args: &CompareArgs, folders: &[&Path]) -> Result<(), Failure> {
    let mut usable = Vec::new();
    for folder in folders {
        match Member::read(folder) {
            Ok(member) => usable.push(member),
            Err(failure) => eprintln!("error: {}", failure.message),
        }
    }
    if !usable.is_empty() {
        refuse_different_tasks(&usable)?;
        compare_members(args, &usable)?;
    }
    match folders.len() - usable.len() {
        0 => Ok(()),
        unusable => Err(Failure::bad_input(format!(
            "{unusable} of {} runs cannot be compared, see above",
            folders.len()
        ))),
    }
}

/// An accuracy and an area under a curve are no two values of one figure.
fn refuse_different_tasks(members: &[Member]) -> Result<(), Failure> {
    let task = |member: &Member| member.run.metrics.task();
    let first = members
        .iter()
        .find(|member| task(member) == Task::SingleLabel);
    let other = members
        .iter()
        .find(|member| task(member) == Task::MultiLabel);
    match (first, other) {
        (Some(first), Some(other)) => Err(Failure::bad_input(format!(
            "{} was trained on images of one class each, and {} on images that show any number of \
             classes; expected runs of one kind",
            first.run.folder, other.run.folder
        ))),
        _ => Ok(()),
    }
}

fn compare_members(args: &CompareArgs, members: &[Member]) -> Result<(), Failure> {
    let comparison = gather(members)?;
    let page = page_folder(&comparison).write(&args.out)?;
    let warnings = comparison.warnings();
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    let tables = comparison.tables();
    if args.common.json {
        return output::print_json(&CompareReport {
            schema: "residua.compare/1",
            page: &page,
            warnings,
            tables: tables.into_iter().map(TableReport::from).collect(),
        });
    }
    let shown: Vec<String> = tables.iter().map(Table::markdown).collect();
    output::print(&format!("{}\nPage: {}", shown.join("\n"), page.display()))
}

impl From<Table> for TableReport {
    fn from(table: Table) -> Self {
        Self {
            caption: table.caption,
            columns: table
                .columns
                .into_iter()
                .map(|column| column.title)
                .collect(),
            rows: table.rows,
        }
    }
}

/// A run that is named twice would count as two seeds.
fn refuse_duplicates(folders: &[&Path]) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for root in folders {
        let place = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        if seen.contains(&place) {
            let root = root.display();
            return Err(Failure::usage(format!("{root} is named twice")));
        }
        seen.push(place);
    }
    Ok(())
}

fn train_missing(args: &CompareArgs) -> Result<CompletedRuns, Failure> {
    let base = args.common.plan.begin()?;
    let mut planned = Vec::new();
    for (index, model) in args.models.iter().enumerate() {
        catalog::find(model).map_err(Failure::bad_input)?;
        if args.models[..index].contains(model) {
            return Err(Failure::usage(format!("--models names {model} twice")));
        }
        for seed in 0..args.seeds {
            let mut config = base.clone();
            config.model.clone_from(model);
            let mut config = args.common.plan.finish(config)?;
            config.seed += seed;
            let name = format!("{model}-seed{}", config.seed);
            planned.push(PlannedRun { name, config });
        }
    }
    let set = args.common.set(&args.out)?;
    set.complete(&planned, &mut |_, _| Ok(None))
}

/// Everything but network and seed, and what names a run's network: equal for runs that are repetitions
/// of each other.
fn identity(config: &TrainConfig) -> Result<String, Failure> {
    let mut same = config.clone();
    same.seed = 0;
    Ok(same.to_toml()?)
}

/// Everything but the network and the seed.
fn recipe(config: &TrainConfig) -> Result<String, Failure> {
    let mut same = config.clone();
    same.seed = 0;
    same.model = String::new();
    same.variations = residua::graph::catalog::VariationOptions::default();
    Ok(same.to_toml()?)
}

/// A run of a comparison.
struct Member {
    config: TrainConfig,
    run: ComparedRun,
}

impl Member {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let folder = RunFolder::open(folder).map_err(Failure::bad_input)?;
        let config = read_config(&folder)?;
        let run = compared_run(&folder, &config)?;
        Ok(Self { config, run })
    }
}

fn gather(members: &[Member]) -> Result<Comparison, Failure> {
    let mut order = Vec::new();
    let mut networks: BTreeMap<String, ComparedNetwork> = BTreeMap::new();
    let mut lines = Vec::new();
    for Member { config, run } in members {
        let key = identity(config)?;
        let line = settings_line(config);
        if !lines.contains(&line) {
            lines.push(line);
        }
        if !networks.contains_key(&key) {
            order.push(key.clone());
            let graph = config.graph(run.metrics.classes.len())?;
            networks.insert(
                key.clone(),
                ComparedNetwork {
                    name: config.model.clone(),
                    parameters: graph.trainable_parameters(),
                    multiply_accumulates: graph.macs(),
                    runs: Vec::new(),
                },
            );
        }
        if let Some(network) = networks.get_mut(&key) {
            network.runs.push(run.clone());
        }
    }
    let mut found: Vec<ComparedNetwork> = { order.iter() }
        .filter_map(|key| networks.remove(key))
        .collect();
    tell_apart(&mut found);
    Ok(Comparison {
        title: "Networks compared".to_owned(),
        recipe: format!("Trained with {}.", lines.join("; or with ")),
        networks: found,
    })
}

/// Networks of the same name differ in their settings: the run folder says which is which.
fn tell_apart(networks: &mut [ComparedNetwork]) {
    let names: Vec<String> = networks
        .iter()
        .map(|network| network.name.clone())
        .collect();
    for network in networks {
        let count = names.iter().filter(|name| **name == network.name).count();
        if let (true, Some(run)) = (count > 1, network.runs.first()) {
            let folder = Path::new(&run.folder).file_name().unwrap_or_default();
            network.name = format!("{} ({})", network.name, folder.to_string_lossy());
        }
    }
}

fn compared_run(folder: &RunFolder, config: &TrainConfig) -> Result<ComparedRun, Failure> {
    if !folder.metrics().is_file() {
        let root = folder.root().display();
        let events = folder.events().map_err(Failure::bad_input)?;
        let advice = match (events.last(), folder.last_checkpoint().is_file()) {
            (Some(Event::Failed { reason, .. }), _) => format!("it failed: {reason}"),
            (_, true) => format!("continue it with `residua train --resume '{root}'`"),
            (_, false) => "there is no checkpoint to continue it from".to_owned(),
        };
        return Err(Failure::bad_input(format!(
            "{root} has no final evaluation, so that it cannot be compared; {advice}"
        )));
    }
    let metrics = folder.read_metrics().map_err(Failure::bad_input)?;
    Ok(ComparedRun {
        folder: folder.root().display().to_string(),
        seed: config.seed,
        recipe: recipe(config)?,
        epochs: epoch_points(folder)?,
        metrics,
    })
}

fn page_folder(comparison: &Comparison) -> PageFolder {
    PageFolder {
        html: comparison.html(),
        tables: comparison.tables().into(),
        figures: comparison.figures().into(),
    }
}
