//! The claim that residual learning exists for: beyond some depth plain networks get worse, on the
//! training images already, and residual ones do not.

use std::path::PathBuf;

use clap::Args;
use residua::core::run::RunFolder;
use residua::core::task::Task;
use residua::graph::catalog;
use residua::report::chart::{Axis, Line, LineChart, Look, Point, Series, Size, Unit};
use residua::report::comparison::EpochPoint;
use residua::report::study::{Section, Study};
use residua::report::table::{Column, Table};
use residua::train::TrainConfig;
use serde::Serialize;

use super::write_results;
use crate::commands::run_set::{PlannedRun, RunSetArgs, epoch_points};
use crate::failure::Failure;
use crate::output::{self, percent};

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct DegradationArgs {
    /// Depths of the networks, 6n + 2 each
    #[arg(
        long,
        value_name = "N,N,…",
        value_delimiter = ',',
        default_value = "20,56"
    )]
    depths: Vec<u32>,
    /// Folder of the study; runs that it holds are not trained again
    #[arg(long, value_name = "DIR", default_value = "studies/degradation")]
    out: PathBuf,
    #[command(flatten)]
    common: RunSetArgs,
}

/// Whether blocks have shortcuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Plain,
    Residual,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::Plain, Self::Residual];

    fn model(self, depth: u32) -> String {
        match self {
            Self::Plain => format!("plain{depth}"),
            Self::Residual => format!("resnet{depth}"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Residual => "residual",
        }
    }

    /// Hue and line style go by kind and depth, so that pairs can be told at a glance.
    fn look(self, depth_index: usize) -> Look {
        Look {
            hue: depth_index,
            line: match self {
                Self::Plain => Line::Dashed,
                Self::Residual => Line::Solid,
            },
        }
    }
}

/// One network of the study.
struct Member {
    kind: Kind,
    depth: u32,
    epochs: Vec<EpochPoint>,
    outcome: Outcome,
}

/// Errors are fractions.
#[derive(Debug, Clone, Serialize)]
struct Outcome {
    model: String,
    kind: Kind,
    depth: u32,
    parameters: u64,
    /// On the images that the network learns from, augmented, in the last epoch.
    training_error: f64,
    /// Of the weights after the last epoch.
    test_error: f64,
    /// Of the best checkpoint.
    best_test_error: f64,
}

/// `residua.study/1`
#[derive(Serialize)]
struct DegradationReport<'a> {
    schema: &'static str,
    study: &'static str,
    page: &'a std::path::Path,
    networks: Vec<&'a Outcome>,
}

pub(super) fn run(args: &DegradationArgs) -> Result<(), Failure> {
    let mut planned = Vec::new();
    let mut kinds = Vec::new();
    let mut depths = args.depths.clone();
    depths.sort_unstable();
    depths.dedup();
    let base = args.common.plan.begin()?;
    for depth in &depths {
        for kind in Kind::BOTH {
            let mut config = base.clone();
            config.model = kind.model(*depth);
            check_depth(*depth, &config.model)?;
            let config = args.common.plan.finish(config)?;
            require_one_class_each(&config)?;
            let name = format!("{}-seed{}", config.model, config.seed);
            planned.push(PlannedRun { name, config });
            kinds.push((kind, *depth));
        }
    }
    let set = args.common.set(&args.out)?;
    let completed = set.complete(&planned, &mut |_, _| Ok(None))?;
    let members: Vec<Member> = { kinds.into_iter().zip(&completed.folders) }
        .filter_map(|((kind, depth), folder)| Some(member(kind, depth, folder.as_ref()?)))
        .collect::<Result<_, _>>()?;
    if members.is_empty() {
        return completed.ending();
    }
    let settings = planned
        .first()
        .map_or_else(String::new, |run| super::super::settings_line(&run.config));
    let study = page(&members, &depths, &settings, completed.notes());
    let data = [
        ("errors.csv", errors_csv(&members)),
        ("curves.csv", curves_csv(&members)),
    ];
    let page = write_results(&args.out, &study, &data)?;
    if args.common.json {
        output::print_json(&DegradationReport {
            schema: "residua.study/1",
            study: "degradation",
            page: &page,
            networks: members.iter().map(|member| &member.outcome).collect(),
        })?;
    } else {
        output::print(&format!("{}\nPage: {}", text(&members), page.display()))?;
    }
    completed.ending()
}

/// The study is about errors: the share of the images that are taken for another class.
fn require_one_class_each(config: &TrainConfig) -> Result<(), Failure> {
    match config.data.task() {
        Task::SingleLabel => Ok(()),
        Task::MultiLabel => Err(Failure::bad_input(format!(
            "this study goes by the share of images that are taken for another class, and those of {} show \
             any number of classes; expected images of one class each",
            config.data
        ))),
    }
}

/// The study is about the CIFAR networks of He et al. 2015 (§4.2). Some of their depths name published
/// ImageNet networks instead, which are built otherwise.
fn check_depth(depth: u32, model: &str) -> Result<(), Failure> {
    let found = catalog::find(model);
    match found {
        Ok(entry) if entry.input.spatial() == [32, 32] => Ok(()),
        _ => Err(Failure::usage(format!(
            "--depths {depth}: expected 6n + 2 (8, 14, 20, 26, 32, …), but not 50 or 152, which are \
             ImageNet networks of another kind"
        ))),
    }
}

fn member(kind: Kind, depth: u32, folder: &RunFolder) -> Result<Member, Failure> {
    let epochs = epoch_points(folder)?;
    let metrics = folder.read_metrics().map_err(Failure::bad_input)?;
    let training = epochs.last().map_or(f64::NAN, |last| last.train_accuracy);
    Ok(Member {
        kind,
        depth,
        outcome: Outcome {
            model: metrics.model.clone(),
            kind,
            depth,
            parameters: metrics.parameters,
            training_error: 1.0 - training,
            test_error: 1.0 - metrics.last_score(),
            best_test_error: 1.0 - metrics.score(),
        },
        epochs,
    })
}

fn text(members: &[Member]) -> String {
    let rows = members.iter().map(|member| {
        let outcome = &member.outcome;
        vec![
            outcome.model.clone(),
            percent(outcome.training_error),
            percent(outcome.test_error),
            percent(outcome.best_test_error),
        ]
    });
    let columns = [
        output::Column::Left("network"),
        output::Column::Right("training error"),
        output::Column::Right("test error"),
        output::Column::Right("at the best epoch"),
    ];
    output::table(&columns, rows.collect())
}

fn page(members: &[Member], depths: &[u32], settings: &str, notes: Vec<String>) -> Study {
    Study {
        title: "Degradation".to_owned(),
        question: "Does a deeper network learn better? A plain one is stacked layer on layer; a \
                   residual one adds the input of every second layer to its output."
            .to_owned(),
        answer: answer(members, depths),
        notes,
        sections: vec![
            Section {
                heading: "Error against depth".to_owned(),
                text: format!(
                    "After the last epoch, with {settings}. Training error is that of the \
                     augmented images as the network learned from them, averaged over the epoch."
                ),
                figure: Some(errors_chart(members).into()),
                table: Some(table(members)),
            },
            Section {
                heading: "Test error while training".to_owned(),
                text: "One line for each network, after each epoch.".to_owned(),
                figure: Some(
                    curves_chart("Test error while training", members, depths, |epoch| {
                        1.0 - epoch.validation_accuracy
                    })
                    .into(),
                ),
                table: None,
            },
            Section {
                heading: "Training error while training".to_owned(),
                text: "Where the deeper plain network is worse here too, it does not overfit: it \
                       is harder to train."
                    .to_owned(),
                figure: Some(
                    curves_chart("Training error while training", members, depths, |epoch| {
                        1.0 - epoch.train_accuracy
                    })
                    .into(),
                ),
                table: None,
            },
        ],
    }
}

/// What the figures say, kind by kind, of the shallowest and the deepest network.
fn answer(members: &[Member], depths: &[u32]) -> String {
    let (Some(shallow), Some(deep)) = (depths.first(), depths.last()) else {
        return String::new();
    };
    if shallow == deep {
        return "One depth alone does not tell; name several with --depths.".to_owned();
    }
    let sentences = Kind::BOTH.iter().filter_map(|kind| {
        let of = |depth: u32| {
            let found = members.iter().find(|m| m.kind == *kind && m.depth == depth);
            found.map(|member| &member.outcome)
        };
        let (shallow, deep) = (of(*shallow)?, of(*deep)?);
        let word = |from: f64, to: f64| if to > from { "rises" } else { "falls" };
        Some(format!(
            "From {} to {} the training error {} from {} to {}, and the test error {} from {} \
             to {}.",
            shallow.model,
            deep.model,
            word(shallow.training_error, deep.training_error),
            percent(shallow.training_error),
            percent(deep.training_error),
            word(shallow.test_error, deep.test_error),
            percent(shallow.test_error),
            percent(deep.test_error),
        ))
    });
    sentences.collect::<Vec<_>>().join(" ")
}

fn errors_chart(members: &[Member]) -> LineChart {
    type Figure = fn(&Outcome) -> f64;
    let figures: [(&str, Figure); 2] = [
        ("training", |outcome| outcome.training_error),
        ("test", |outcome| outcome.test_error),
    ];
    let mut series = Vec::new();
    for kind in Kind::BOTH {
        for (index, (name, figure)) in figures.into_iter().enumerate() {
            let own = members.iter().filter(|member| member.kind == kind);
            let points =
                own.map(|member| Point::new(f64::from(member.depth), figure(&member.outcome)));
            series.push(
                Series::new(format!("{}, {name}", kind.name()), points.collect())
                    .looking(kind.look(index)),
            );
        }
    }
    LineChart::new(
        "Error against depth",
        Axis::new("layers").written(Unit::Whole),
        Axis::new("error").written(Unit::Percent),
    )
    .with_series(series)
    .sized(Size::PAGE)
}

fn curves_chart(
    title: &str,
    members: &[Member],
    depths: &[u32],
    figure: fn(&EpochPoint) -> f64,
) -> LineChart {
    let series = members.iter().map(|member| {
        let points = member.epochs.iter();
        let points = points.map(|epoch| Point::new(epoch.epoch as f64, figure(epoch)));
        let index = depths.iter().position(|depth| *depth == member.depth);
        Series::new(member.outcome.model.clone(), points.collect())
            .looking(member.kind.look(index.unwrap_or(0)))
    });
    LineChart::new(
        title,
        Axis::new("epoch").written(Unit::Whole),
        Axis::new("error").written(Unit::Percent),
    )
    .with_series(series.collect())
    .sized(Size::PAGE)
}

fn table(members: &[Member]) -> Table {
    let share = |fraction: f64| format!("{:.2}", fraction * 100.0);
    Table {
        caption: "Errors in percent".to_owned(),
        columns: vec![
            Column::words("network"),
            Column::figures("layers"),
            Column::figures("parameters"),
            Column::figures("training error"),
            Column::figures("test error"),
            Column::figures("test error, best epoch"),
        ],
        rows: members
            .iter()
            .map(|member| {
                let outcome = &member.outcome;
                vec![
                    outcome.model.clone(),
                    outcome.depth.to_string(),
                    output::grouped(outcome.parameters),
                    share(outcome.training_error),
                    share(outcome.test_error),
                    share(outcome.best_test_error),
                ]
            })
            .collect(),
        note: None,
    }
}

fn errors_csv(members: &[Member]) -> String {
    let mut text =
        "model,kind,depth,parameters,training_error,test_error,best_test_error\n".to_owned();
    for member in members {
        let outcome = &member.outcome;
        text += &format!(
            "{},{},{},{},{},{},{}\n",
            outcome.model,
            outcome.kind.name(),
            outcome.depth,
            outcome.parameters,
            outcome.training_error,
            outcome.test_error,
            outcome.best_test_error
        );
    }
    text
}

fn curves_csv(members: &[Member]) -> String {
    let mut text =
        "model,epoch,train_loss,train_accuracy,validation_loss,validation_accuracy\n".to_owned();
    for member in members {
        for epoch in &member.epochs {
            text += &format!(
                "{},{},{},{},{},{}\n",
                member.outcome.model,
                epoch.epoch,
                epoch.train_loss,
                epoch.train_accuracy,
                epoch.validation_loss,
                epoch.validation_accuracy
            );
        }
    }
    text
}
