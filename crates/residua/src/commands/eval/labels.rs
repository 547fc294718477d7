//! The evaluation of a network that tells which classes an image shows, any number of them.

use residua::core::metrics::bootstrap::ConfidenceInterval;
use residua::core::metrics::multilabel::{LabelCurves, MultilabelEvaluation};
use residua::core::metrics::{Average, ClassScore};
use serde::Serialize;

use super::{EvalArgs, Judged};
use crate::commands::report::ClassesWithoutImages;
use crate::failure::Failure;
use crate::output::{self, Column, grouped, percent};

/// `residua.eval-labels/1`; metrics are fractions.
#[derive(Serialize)]
struct LabelReport<'a> {
    schema: &'static str,
    model: &'a str,
    data: &'a str,
    split: &'a str,
    images: u64,
    /// Binary cross entropy.
    loss: f64,
    /// Share of the answers about a class that are right, a yes from a probability of a half on.
    accuracy: f64,
    /// Means over the classes that have them.
    roc_auc: Option<f64>,
    average_precision: Option<f64>,
    roc_auc_interval: &'a ConfidenceInterval,
    /// At the thresholds of the network.
    #[serde(rename = "macro")]
    macro_average: Average,
    micro: Average,
    exact_match: Option<f64>,
    hamming_loss: Option<f64>,
    label_cardinality: Option<f64>,
    predicted_cardinality: Option<f64>,
    seconds: f64,
    per_class: Vec<ClassReport<'a>>,
}

#[derive(Serialize)]
struct ClassReport<'a> {
    class: &'a str,
    threshold: f32,
    roc_auc: Option<f64>,
    roc_auc_interval: Option<&'a ConfidenceInterval>,
    average_precision: Option<f64>,
    #[serde(flatten)]
    score: &'a ClassScore,
    #[serde(flatten)]
    curves: Option<&'a LabelCurves>,
}

pub(super) fn print(
    args: &EvalArgs,
    judged: &Judged<'_>,
    found: &MultilabelEvaluation,
) -> Result<(), Failure> {
    let report = Report { judged, found };
    if args.json {
        output::print_json(&report.json())
    } else {
        output::print(&report.text())
    }
}

#[derive(Clone, Copy)]
struct Report<'a> {
    judged: &'a Judged<'a>,
    found: &'a MultilabelEvaluation,
}

impl<'a> Report<'a> {
    fn classes(self) -> impl Iterator<Item = ClassReport<'a>> {
        let names = self
            .judged
            .model
            .record
            .classes
            .iter()
            .zip(&self.found.thresholds);
        let scores = names.zip(&self.found.decisions.per_label).enumerate();
        scores.map(move |(class, ((name, threshold), score))| {
            let ranked = self.found.scores.ranking.per_label.get(class);
            ClassReport {
                class: name,
                threshold: *threshold,
                roc_auc: ranked.and_then(|ranked| ranked.roc_auc),
                roc_auc_interval: self.found.intervals.roc_auc.get(class),
                average_precision: ranked.and_then(|ranked| ranked.average_precision),
                score,
                curves: self.found.curves.get(class),
            }
        })
    }

    fn json(self) -> LabelReport<'a> {
        let MultilabelEvaluation {
            scores,
            decisions,
            intervals,
            ..
        } = self.found;
        LabelReport {
            schema: "residua.eval-labels/1",
            model: &self.judged.model.record.model,
            data: &self.judged.data,
            split: &self.judged.split,
            images: scores.images,
            loss: scores.loss,
            accuracy: scores.accuracy,
            roc_auc: scores.ranking.macro_roc_auc,
            average_precision: scores.ranking.macro_average_precision,
            roc_auc_interval: &intervals.macro_roc_auc,
            macro_average: decisions.macro_average,
            micro: decisions.micro_average,
            exact_match: decisions.exact_match_ratio,
            hamming_loss: decisions.hamming_loss,
            label_cardinality: self.found.label_cardinality,
            predicted_cardinality: self.found.predicted_cardinality,
            seconds: self.judged.seconds,
            per_class: self.classes().collect(),
        }
    }

    fn text(self) -> String {
        let scores = &self.found.scores;
        let heading = format!(
            "{}mean ROC-AUC {}   average precision {}   loss {:.4}\n",
            self.judged.heading(scores.images),
            area(scores.ranking.macro_roc_auc),
            area(scores.ranking.macro_average_precision),
            scores.loss,
        );
        let classes = &self.judged.model.record.classes;
        let of_classes = &self.found.decisions.per_label;
        let missing = ClassesWithoutImages::of(classes, of_classes, &self.judged.split);
        let note = missing.map(ClassesWithoutImages::in_multi_label);
        let mut parts = vec![heading, self.class_table()];
        parts.extend(note.map(|note| note + "\n"));
        parts.push(self.figures());
        parts.join("\n")
    }

    fn class_table(self) -> String {
        let defined = |is_defined: bool, share: f64| match is_defined {
            true => percent(share),
            false => "–".to_owned(),
        };
        let mut rows: Vec<Vec<String>> = self
            .classes()
            .map(|class| {
                let score = class.score;
                vec![
                    class.class.to_owned(),
                    area(class.roc_auc),
                    interval(class.roc_auc_interval),
                    area(class.average_precision),
                    defined(score.predicted > 0, score.precision),
                    defined(score.support > 0, score.recall),
                    defined(score.support > 0, score.f1),
                    format!("{:.3}", class.threshold),
                    grouped(score.support),
                ]
            })
            .collect();
        let decisions = &self.found.decisions;
        let blank = String::new;
        for (name, average) in [
            ("macro average", decisions.macro_average),
            ("micro average", decisions.micro_average),
        ] {
            let mut row = vec![name.to_owned(), blank(), blank(), blank()];
            row.extend([average.precision, average.recall, average.f1].map(percent));
            row.extend([blank(), blank()]);
            rows.push(row);
        }
        let columns = [
            Column::Left("class"),
            Column::Right("ROC-AUC"),
            Column::Right("95 % interval"),
            Column::Right("avg. precision"),
            Column::Right("precision"),
            Column::Right("recall"),
            Column::Right("F1"),
            Column::Right("threshold"),
            Column::Right("images"),
        ];
        output::table(&columns, rows) + "\n"
    }

    fn figures(self) -> String {
        let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), percent);
        let two = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
        };
        let decisions = &self.found.decisions;
        format!(
            "95 % confidence     mean ROC-AUC {}\n\
             all classes right   {} of the images; {} of all answers are wrong\n\
             classes an image    {} shown, {} predicted",
            interval(Some(&self.found.intervals.macro_roc_auc)),
            share(decisions.exact_match_ratio),
            share(decisions.hamming_loss),
            two(self.found.label_cardinality),
            two(self.found.predicted_cardinality),
        )
    }
}

fn area(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

fn interval(interval: Option<&ConfidenceInterval>) -> String {
    let ends = interval.and_then(|interval| Some((interval.lower?, interval.upper?)));
    ends.map_or_else(
        || "–".to_owned(),
        |(lower, upper)| format!("{lower:.3} to {upper:.3}"),
    )
}
