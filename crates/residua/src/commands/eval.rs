//! `residua eval`: how good a trained network is.

mod judgement;
mod labels;

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use residua::core::metrics::judgement::Judgement;
use residua::core::metrics::{Average, ClassScore, ClassificationSummary};
use residua::core::task::Decision;
use residua::data::{DataSpec, Loader, LoaderOptions, SplitName, Transform};
use residua::train::{LoadedModel, Summary, Views, evaluate, read_config};
use serde::Serialize;

use super::device::{ComputeArgs, LoadingArgs};
use super::evaluation_data::{EvaluationData, EvaluationDataSpec};
use super::model_source::ModelArgs;
use super::progress::image_bar;
use super::report::ClassesWithoutImages;
use crate::failure::Failure;
use crate::output::{self, Column, grouped, percent};

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Images to evaluate on [default: those of the run; builtin for --weights]
    #[arg(long, value_name = "SPEC")]
    data: Option<DataSpec>,
    /// Which part of the images [default: what training validates on]
    #[arg(long, value_enum)]
    split: Option<SplitChoice>,
    /// See each image in several ways and average what the network says
    #[arg(long, value_enum, default_value_t = ViewsName::Single)]
    views: ViewsName,
    /// Images that are computed at once
    #[arg(long, value_name = "N", default_value = "128")]
    batch_size: NonZeroUsize,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    loading: LoadingArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How many of the most confident mistakes to list (of images of one class each)
    #[arg(long, value_name = "K", default_value_t = 5)]
    mistakes: usize,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitChoice {
    Train,
    Validation,
    Test,
}

impl From<SplitChoice> for SplitName {
    fn from(choice: SplitChoice) -> Self {
        match choice {
            SplitChoice::Train => Self::Train,
            SplitChoice::Validation => Self::Validation,
            SplitChoice::Test => Self::Test,
        }
    }
}

/// Test-time augmentation.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ViewsName {
    /// The image as it is
    Single,
    /// Also mirrored: twice the time
    Mirrored,
    /// Three crops a little apart, each also mirrored: six times the time
    MirroredCrops,
}

impl From<ViewsName> for Views {
    fn from(name: ViewsName) -> Self {
        match name {
            ViewsName::Single => Self::Single,
            ViewsName::Mirrored => Self::Mirrored,
            ViewsName::MirroredCrops => Self::MirroredCrops,
        }
    }
}

pub(crate) fn run(args: &EvalArgs) -> Result<(), Failure> {
    let device = args.compute.device()?;
    let model = args.model.load(&device)?;
    let config = match args.model.run_folder()? {
        Some(run) => Some(read_config(&run)?),
        None => None,
    };
    let wanted = EvaluationDataSpec {
        data: args.data.clone(),
        split: args.split.map(SplitName::from),
    };
    let cache = args.loading.cache.as_deref();
    let chosen = EvaluationData::open(wanted, config.as_ref(), &model.record, cache)?;
    let pictures = chosen.pictures;
    let transform =
        Transform::evaluation(&model.record.preprocessing).map_err(Failure::bad_input)?;
    let options = LoaderOptions::evaluation(args.batch_size).with_workers(args.loading.workers);
    let loader = Loader::new(chosen.split, transform, options).reading(pictures.clone());
    let bar = image_bar("evaluating", loader.split().len() as u64, args.quiet);
    let views = Views::from(args.views);
    let evaluation = evaluate(&model.network, &loader, views, &mut |done| {
        bar.set_position(done);
    });
    bar.finish_and_clear();
    if let Some(message) = pictures.take_warning() {
        eprintln!("warning: {message}");
    }
    let evaluation = evaluation?;
    let judged = Judged {
        model: &model,
        data: chosen.spec.to_string(),
        split: chosen.name.to_string(),
        seconds: evaluation.seconds,
    };
    match (&model.record.decision, &evaluation.summary) {
        (Decision::Thresholds { thresholds }, _) => {
            let evaluation = evaluation.judge_labels(thresholds)?;
            labels::print(args, &judged, &evaluation)
        }
        (Decision::MostLikely, Summary::SingleLabel(summary)) => {
            let classes = &model.record.classes;
            let judgement = evaluation.judge(classes, loader.split(), args.mistakes)?;
            let report = Report {
                judged,
                summary,
                judgement,
            };
            if args.json {
                output::print_json(&report.json())
            } else {
                output::print(&report.text())
            }
        }
        // Such data are refused when they are opened.
        (Decision::MostLikely, Summary::MultiLabel(_)) => Err(Failure::bad_input(
            "the network takes each image to be of one class, and these show any number of them",
        )),
    }
}

/// What was evaluated on what.
struct Judged<'a> {
    model: &'a LoadedModel,
    data: String,
    split: String,
    seconds: f64,
}

impl Judged<'_> {
    /// The first line.
    fn heading(&self, images: u64) -> String {
        format!(
            "{} on the {} {} images of {} ({:.1} s)\n\n",
            self.model.record.model,
            grouped(images),
            self.split,
            self.data,
            self.seconds,
        )
    }
}

struct Report<'a> {
    judged: Judged<'a>,
    summary: &'a ClassificationSummary,
    judgement: Judgement,
}

/// `residua.eval/1`; metrics are fractions.
#[derive(Serialize)]
struct EvalReport<'a> {
    schema: &'static str,
    model: &'a str,
    data: &'a str,
    split: &'a str,
    images: u64,
    loss: f64,
    accuracy: f64,
    top5: f64,
    precision_macro: f64,
    recall_macro: f64,
    f1_macro: f64,
    micro: Average,
    weighted: Average,
    seconds: f64,
    per_class: Vec<ClassReport<'a>>,
    /// Rows are true classes, columns predicted ones, in the order of `per_class`.
    confusion: &'a [Vec<u64>],
    #[serde(flatten)]
    judgement: &'a Judgement,
}

#[derive(Serialize)]
struct ClassReport<'a> {
    class: &'a str,
    #[serde(flatten)]
    score: &'a ClassScore,
}

impl Report<'_> {
    fn classes(&self) -> impl Iterator<Item = (&str, &ClassScore)> {
        let names = self.judged.model.record.classes.iter().map(String::as_str);
        names.zip(&self.summary.per_class)
    }

    fn json(&self) -> EvalReport<'_> {
        let summary = self.summary;
        EvalReport {
            schema: "residua.eval/1",
            model: &self.judged.model.record.model,
            data: &self.judged.data,
            split: &self.judged.split,
            images: summary.images,
            loss: summary.loss,
            accuracy: summary.accuracy,
            top5: summary.top5,
            precision_macro: summary.macro_average.precision,
            recall_macro: summary.macro_average.recall,
            f1_macro: summary.macro_average.f1,
            micro: summary.micro_average,
            weighted: summary.weighted_average,
            seconds: self.judged.seconds,
            per_class: self
                .classes()
                .map(|(class, score)| ClassReport { class, score })
                .collect(),
            confusion: &summary.confusion,
            judgement: &self.judgement,
        }
    }

    fn text(&self) -> String {
        let summary = self.summary;
        let classes = &self.judged.model.record.classes;
        // Of five classes or fewer, the right one is always among the first five.
        let top5 = match classes.len() {
            0..=5 => String::new(),
            _ => format!("top-5 {}   ", percent(summary.top5)),
        };
        let heading = format!(
            "{}accuracy {}   {top5}loss {:.4}\n",
            self.judged.heading(summary.images),
            percent(summary.accuracy),
            summary.loss,
        );
        let missing = ClassesWithoutImages::of(classes, &summary.per_class, &self.judged.split);
        let note = missing.map(ClassesWithoutImages::in_single_label);
        let mut parts = vec![heading, self.class_table()];
        parts.extend(note.map(|note| note + "\n"));
        parts.push(self.confusion_matrix());
        parts.push(format!("\n{}", judgement::text(&self.judgement)));
        parts.join("\n")
    }

    fn class_table(&self) -> String {
        let figures = |average: Average| {
            let Average {
                precision,
                recall,
                f1,
            } = average;
            [precision, recall, f1].map(percent)
        };
        let mut rows: Vec<Vec<String>> = self
            .classes()
            .map(|(class, score)| {
                let defined = |is_defined: bool, share: f64| match is_defined {
                    true => percent(share),
                    false => "–".to_owned(),
                };
                let (occurs, is_predicted) = (score.support > 0, score.predicted > 0);
                vec![
                    class.to_owned(),
                    defined(is_predicted, score.precision),
                    defined(occurs, score.recall),
                    defined(occurs, score.f1),
                    grouped(score.support),
                ]
            })
            .collect();
        let summary = self.summary;
        for (name, average) in [
            ("macro average", summary.macro_average),
            ("micro average", summary.micro_average),
            ("weighted average", summary.weighted_average),
        ] {
            let [precision, recall, f1] = figures(average);
            rows.push(vec![
                name.to_owned(),
                precision,
                recall,
                f1,
                grouped(summary.images),
            ]);
        }
        let columns = [
            Column::Left("class"),
            Column::Right("precision"),
            Column::Right("recall"),
            Column::Right("F1"),
            Column::Right("images"),
        ];
        output::table(&columns, rows) + "\n"
    }

    fn confusion_matrix(&self) -> String {
        /// A wider matrix does not fit a terminal; `--json` has it.
        const WIDEST: usize = 20;
        let summary = self.summary;
        if summary.confusion.len() > WIDEST {
            return format!(
                "The confusion matrix of {} classes is in --json.",
                summary.confusion.len()
            );
        }
        let columns: Vec<String> = (0..summary.confusion.len())
            .map(|c| c.to_string())
            .collect();
        let rows = self.classes().zip(&summary.confusion).enumerate();
        let rows: Vec<Vec<String>> = rows
            .map(|(index, ((class, _), counts))| {
                let mut row = vec![format!("{index} {class}")];
                row.extend(counts.iter().map(|count| match count {
                    0 => "·".to_owned(),
                    _ => count.to_string(),
                }));
                row
            })
            .collect();
        let mut header = vec![Column::Left("true \\ predicted")];
        header.extend(columns.iter().map(|title| Column::Right(title)));
        output::table(&header, rows)
    }
}
