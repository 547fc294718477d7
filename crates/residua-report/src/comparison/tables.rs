//! The tables of a comparison.

use residua_core::metrics::ClassificationSummary;
use residua_core::metrics::convergence::Summary;
use residua_core::metrics::multilabel::MultilabelEvaluation;
use residua_core::task::Measure;

use super::{CONVERGENCE_MARGIN, ComparedNetwork, ComparedRun, Comparison};
use crate::measure;
use crate::number;
use crate::table::{Column, Table};

/// Mean and deviation with about three digits, of a figure that is shown in a unit of this many of its own.
fn significant(summary: Summary, unit: f64) -> String {
    match (summary.mean, summary.standard_deviation) {
        (Some(mean), Some(deviation)) => number::with_deviation(mean / unit, deviation / unit),
        (mean, _) => number::optional(mean, |mean| number::significant(mean / unit)),
    }
}

fn points(summary: Summary) -> String {
    number::with_spread(summary, |share| number::points(share, 2))
}

/// What ± means, where it is used.
fn deviations(networks: &[ComparedNetwork]) -> &'static str {
    if networks.iter().any(|network| network.runs.len() > 1) {
        " ±: standard deviation over seeds."
    } else {
        ""
    }
}

impl Comparison {
    /// The images that the runs were evaluated on, if they are the same for all.
    fn evaluated_on(&self) -> String {
        let mut splits = self.runs().map(|(_, run)| {
            let metrics = &run.metrics;
            format!(
                "{} {} images",
                number::grouped(metrics.images()),
                metrics.split
            )
        });
        let first = splits.next();
        match first {
            Some(first) if splits.all(|split| split == first) => first,
            Some(_) => "the images that each run was evaluated on".to_owned(),
            None => "no images".to_owned(),
        }
    }

    fn rows(&self, row: impl Fn(&ComparedNetwork) -> Vec<String>) -> Vec<Vec<String>> {
        let named = |network: &ComparedNetwork| {
            let mut cells = vec![network.name.clone()];
            cells.extend(row(network));
            cells
        };
        self.networks.iter().map(named).collect()
    }

    /// Table 1: accuracy, and precision, recall and F1 averaged over classes, in percent; where images show
    /// any number of classes, the figures for that.
    pub fn quality(&self) -> Table {
        match self.measure() {
            Measure::Accuracy => self.single_label_quality(),
            Measure::RocAuc => self.multi_label_quality(),
        }
    }

    fn single_label_quality(&self) -> Table {
        let share = |network: &ComparedNetwork, figure: fn(&ClassificationSummary) -> f64| {
            points(network.summary(|run| Some(figure(&run.metrics.single_label()?.evaluation))))
        };
        Table {
            caption: "Table 1. Quality".to_owned(),
            columns: vec![
                Column::words("network"),
                Column::figures("runs"),
                Column::figures("accuracy %"),
                Column::figures("precision %"),
                Column::figures("recall %"),
                Column::figures("F1 %"),
            ],
            rows: self.rows(|network| {
                vec![
                    network.runs.len().to_string(),
                    share(network, |evaluation| evaluation.accuracy),
                    share(network, |evaluation| evaluation.macro_average.precision),
                    share(network, |evaluation| evaluation.macro_average.recall),
                    share(network, |evaluation| evaluation.macro_average.f1),
                ]
            }),
            note: Some(format!(
                "Best epoch of each run, on {}. Precision, recall and F1: every class counts the same \
                 (macro). Where all classes have equally many images, recall equals accuracy.{}",
                self.evaluated_on(),
                deviations(&self.networks)
            )),
        }
    }

    fn multi_label_quality(&self) -> Table {
        type Figure = fn(&MultilabelEvaluation) -> Option<f64>;
        let summary = |network: &ComparedNetwork, figure: Figure| {
            network.summary(|run| figure(&run.metrics.multi_label()?.multilabel))
        };
        let area = |network: &ComparedNetwork, figure: Figure| {
            number::with_spread(summary(network, figure), |area| number::decimal(area, 4))
        };
        let share = |network: &ComparedNetwork, figure: Figure| points(summary(network, figure));
        Table {
            caption: "Table 1. Quality".to_owned(),
            columns: vec![
                Column::words("network"),
                Column::figures("runs"),
                Column::figures("ROC-AUC"),
                Column::figures("average precision"),
                Column::figures("macro F1 %"),
                Column::figures("micro F1 %"),
                Column::figures("all classes right %"),
            ],
            rows: self.rows(|network| {
                vec![
                    network.runs.len().to_string(),
                    area(network, |found| found.scores.ranking.macro_roc_auc),
                    area(network, |found| {
                        found.scores.ranking.macro_average_precision
                    }),
                    share(network, |found| Some(found.decisions.macro_average.f1)),
                    share(network, |found| Some(found.decisions.micro_average.f1)),
                    share(network, |found| found.decisions.exact_match_ratio),
                ]
            }),
            note: Some(format!(
                "Best epoch of each run, on {}. ROC-AUC and average precision: mean over classes. F1 and \
                 the share of images of which all classes are right: at the thresholds that have the \
                 highest F1 on these images.{}",
                self.evaluated_on(),
                deviations(&self.networks)
            )),
        }
    }

    /// Table 2: how soon the networks were good.
    pub fn convergence(&self) -> Table {
        let hours = |summary| significant(summary, 3600.0);
        let seconds = |summary| significant(summary, 1.0);
        let margin = match self.measure() {
            Measure::Accuracy => format!("{} points", number::points(CONVERGENCE_MARGIN, 1)),
            Measure::RocAuc => number::decimal(CONVERGENCE_MARGIN, 3),
        };
        Table {
            caption: "Table 2. Convergence".to_owned(),
            columns: vec![
                Column::words("network"),
                Column::figures("epochs to convergence"),
                Column::figures("seconds per epoch"),
                Column::figures("of these training"),
                Column::figures("hours to convergence"),
                Column::figures("hours in total"),
            ],
            rows: self.rows(|network| {
                let epochs = network.summary(|run| Some(run.converged()?.epoch as f64));
                let decimals = if epochs.count > 1 { 1 } else { 0 };
                vec![
                    number::with_spread(epochs, |epochs| number::decimal(epochs, decimals)),
                    seconds(network.summary(ComparedRun::seconds_per_epoch)),
                    seconds(network.summary(ComparedRun::train_seconds_per_epoch)),
                    hours(network.summary(|run| Some(run.converged()?.seconds_since_start))),
                    hours(network.summary(|run| Some(run.metrics.seconds))),
                ]
            }),
            note: Some(format!(
                "A run has converged at the first epoch whose validation {} is within {} of its best. \
                 Seconds per epoch: median over the epochs of a run, training and validation \
                 together. Times compare only between runs on the same machine.{}",
                self.measure().name(),
                margin,
                deviations(&self.networks)
            )),
        }
    }

    /// Table 3: what the networks cost, and their error in percent, or what their area lacks to 1.
    pub fn size(&self) -> Table {
        let millions = |count: u64| number::decimal(count as f64 / 1e6, 2);
        let measure = self.measure();
        let error =
            |summary| number::with_spread(summary, |lacking| measure::cell(measure, lacking));
        let (column, meaning) = match measure {
            Measure::Accuracy => (
                "error %".to_owned(),
                format!(
                    "Error: share of {} whose most likely class is not the true one.",
                    self.evaluated_on()
                ),
            ),
            Measure::RocAuc => (
                self.error_name().to_owned(),
                format!("The ROC-AUC is that of {}.", self.evaluated_on()),
            ),
        };
        Table {
            caption: "Table 3. Size".to_owned(),
            columns: vec![
                Column::words("network"),
                Column::figures("parameters, millions"),
                Column::figures("multiply-accumulates, millions"),
                Column::figures(column),
            ],
            rows: self.rows(|network| {
                vec![
                    millions(network.parameters),
                    number::significant(network.multiply_accumulates as f64 / 1e6),
                    error(network.summary(|run| Some(run.error()))),
                ]
            }),
            note: Some(format!(
                "Trainable parameters; multiply-accumulates for one image. {meaning}{}",
                deviations(&self.networks)
            )),
        }
    }

    /// Where the figures come from.
    pub(super) fn list_of_runs(&self) -> Table {
        let measure = self.measure();
        let rows = self.runs().map(|(network, run)| {
            let metrics = &run.metrics;
            vec![
                network.name.clone(),
                run.seed.to_string(),
                measure::cell(measure, metrics.score()),
                format!("{} of {}", metrics.best_epoch, metrics.epochs),
                metrics.data.clone(),
                metrics.split.clone(),
                run.folder.clone(),
            ]
        });
        Table {
            caption: "Where the figures come from".to_owned(),
            columns: vec![
                Column::words("network"),
                Column::figures("seed"),
                Column::figures(measure::column(measure)),
                Column::figures("best epoch"),
                Column::words("data"),
                Column::words("split"),
                Column::words("folder"),
            ],
            rows: rows.collect(),
            note: None,
        }
    }
}
