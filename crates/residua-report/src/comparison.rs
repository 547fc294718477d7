//! Networks compared: the three tables of the paper, and the figures that go with them.

mod figures;
mod tables;
mod warnings;

use maud::{Markup, html};
use residua_core::metrics::convergence::{Better, Summary, first_within};
use residua_core::run::RunMetrics;
use residua_core::task::Measure;

use crate::chart::Chart;
use crate::number;
use crate::page::{
    Fact, Page, Section, Tone, figure, key_figures, note, paragraphs, table, with_forms,
};
use crate::table::Table;

/// A run has converged at the first epoch whose validation accuracy (or mean area under the ROC curve) is
/// within this distance of its best one: half a point.
pub const CONVERGENCE_MARGIN: f64 = 0.005;

/// Networks that were trained in the same way.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What the page is called.
    pub title: String,
    /// How all of them were trained, in sentences. An empty line separates paragraphs.
    pub recipe: String,
    /// The networks, in the order of the tables.
    pub networks: Vec<ComparedNetwork>,
}

/// A network and its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedNetwork {
    /// Catalog name.
    pub name: String,
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-accumulates for one image.
    pub multiply_accumulates: u64,
    /// Runs that differ in their seed.
    pub runs: Vec<ComparedRun>,
}

/// One run of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedRun {
    /// The run folder.
    pub folder: String,
    /// Its seed.
    pub seed: u64,
    /// Everything that was set besides network and seed, as text. Runs are compared fairly when it is
    /// the same for all.
    pub recipe: String,
    /// Its epochs in their order.
    pub epochs: Vec<EpochPoint>,
    /// Its final evaluation.
    pub metrics: RunMetrics,
}

/// An epoch of a run. Accuracies are fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochPoint {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Seconds of work since training began, this epoch and its validation included.
    pub seconds_since_start: f64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Mean training accuracy.
    pub train_accuracy: f64,
    /// Validation loss.
    pub validation_loss: f64,
    /// Validation accuracy.
    pub validation_accuracy: f64,
    /// The mean area under the ROC curve on the validation images, where they show any number of classes.
    pub validation_roc_auc: Option<f64>,
    /// Seconds spent on training steps.
    pub train_seconds: f64,
}

impl EpochPoint {
    /// The figure by which epochs are compared: the accuracy, or the mean area under the ROC curve.
    pub fn score(&self) -> f64 {
        self.validation_roc_auc.unwrap_or(self.validation_accuracy)
    }
}

impl ComparedRun {
    /// The epoch at which the run had converged; `None` without epochs, or where a score is not a number.
    fn converged(&self) -> Option<&EpochPoint> {
        let series: Vec<f64> = self.epochs.iter().map(EpochPoint::score).collect();
        let found = first_within(&series, CONVERGENCE_MARGIN, Better::Higher).ok()??;
        self.epochs.get(found.index)
    }

    /// The median over its epochs of the seconds from the end of the epoch before to its own.
    fn seconds_per_epoch(&self) -> Option<f64> {
        let ends = self.epochs.iter().map(|epoch| epoch.seconds_since_start);
        let starts = std::iter::once(0.0).chain(ends.clone());
        number::median(ends.zip(starts).map(|(end, start)| end - start))
    }

    fn train_seconds_per_epoch(&self) -> Option<f64> {
        number::median(self.epochs.iter().map(|epoch| epoch.train_seconds))
    }

    /// What is missing to the best score.
    fn error(&self) -> f64 {
        1.0 - self.metrics.score()
    }
}

impl ComparedNetwork {
    /// Mean and deviation over the runs that have the figure.
    fn summary(&self, figure: impl Fn(&ComparedRun) -> Option<f64>) -> Summary {
        Summary::of_defined(self.runs.iter().map(figure))
    }
}

impl Comparison {
    fn runs(&self) -> impl Iterator<Item = (&ComparedNetwork, &ComparedRun)> {
        let networks = self.networks.iter();
        networks.flat_map(|network| network.runs.iter().map(move |run| (network, run)))
    }

    /// The figure by which the networks are compared; the first run's, since all have the same.
    fn measure(&self) -> Measure {
        let mut runs = self.runs();
        runs.next()
            .map_or(Measure::Accuracy, |(_, run)| run.metrics.measure())
    }

    /// What [`ComparedRun::error`] is called.
    fn error_name(&self) -> &'static str {
        match self.measure() {
            Measure::Accuracy => "error",
            Measure::RocAuc => "1 − mean ROC-AUC",
        }
    }

    /// The three tables in their order: quality, convergence, size.
    pub fn tables(&self) -> [Table; 3] {
        [self.quality(), self.convergence(), self.size()]
    }

    /// The three figures in their order: error against parameters, accuracy against epochs, accuracy
    /// against time.
    pub fn figures(&self) -> [Chart; 3] {
        [
            self.error_against_parameters(),
            self.accuracy_against_epochs(),
            self.accuracy_against_time(),
        ]
    }

    /// The page, as an HTML document that needs no other file.
    pub fn html(&self) -> String {
        let page = Page {
            kind: "Comparison of networks".to_owned(),
            heading: self.title.clone(),
            head: self.head(),
            sections: vec![
                Section::new(
                    "Quality",
                    html! {
                        (with_forms(&self.quality()))
                        (figure(&self.error_against_parameters(), &self.caption_of_errors()))
                    },
                ),
                Section::new(
                    "Convergence",
                    html! {
                        (with_forms(&self.convergence()))
                        (figure(&self.accuracy_against_epochs(), &self.caption_of_curves()))
                        (figure(&self.accuracy_against_time(), "Figure 3. The same against the time spent training and validating."))
                    },
                ),
                Section::new("Size", with_forms(&self.size())),
                Section::new("Runs", table(&self.list_of_runs())),
            ],
        };
        page.html()
    }

    fn head(&self) -> Markup {
        let runs = self.runs().count() as u64;
        html! {
            p.lead {
                (number::counted(self.networks.len() as u64, "network", "networks"))
                ", " (number::counted(runs, "run", "runs")) "."
            }
            (paragraphs(&self.recipe))
            (key_figures(&self.key_figures()))
            (note(Tone::Warning, &self.warnings()))
        }
    }

    /// Whether a figure of a network may be one of several runs.
    fn has_repetitions(&self) -> bool {
        self.networks.iter().any(|network| network.runs.len() > 1)
    }

    fn caption_of_errors(&self) -> String {
        let error = match self.measure() {
            Measure::Accuracy => "Error",
            Measure::RocAuc => "What the mean ROC-AUC lacks to 1",
        };
        let bars = match self.has_repetitions() {
            true => " Bars are standard deviations over seeds.",
            false => "",
        };
        format!(
            "Figure 1. {error} against the number of trainable parameters, which has a logarithmic \
             axis.{bars}"
        )
    }

    fn caption_of_curves(&self) -> String {
        let left_out = match self.lowest_shown() {
            Some(lowest) => match self.measure() {
                Measure::Accuracy => format!(
                    " Accuracies below {} are left out.",
                    number::percent(lowest, 0)
                ),
                Measure::RocAuc => {
                    format!(" Areas below {} are left out.", number::decimal(lowest, 2))
                }
            },
            None => String::new(),
        };
        let mean = match self.has_repetitions() {
            true => ": the mean over seeds, within its standard deviation",
            false => "",
        };
        format!(
            "Figure 2. Validation {} against epochs{mean}.{left_out}",
            self.measure().name()
        )
    }

    fn key_figures(&self) -> Vec<Fact> {
        /// The smallest figure, and the networks that have it.
        fn least(
            networks: &[ComparedNetwork],
            figure: impl Fn(&ComparedNetwork) -> Option<f64>,
        ) -> Option<(String, f64)> {
            let figures = || {
                networks
                    .iter()
                    .filter_map(|network| Some((network, figure(network)?)))
            };
            let (_, least) = figures().min_by(|a, b| a.1.total_cmp(&b.1))?;
            let names: Vec<&str> = figures()
                .filter(|(_, value)| *value == least)
                .map(|(network, _)| network.name.as_str())
                .collect();
            Some((names.join(", "), least))
        }
        let best = least(&self.networks, |network| {
            network.summary(|run| Some(run.error())).mean
        });
        let soonest = least(&self.networks, |network| {
            let converged = |run: &ComparedRun| Some(run.converged()?.seconds_since_start);
            network.summary(converged).mean
        });
        let smallest = least(&self.networks, |network| Some(network.parameters as f64));
        let fact = |name: &str, found: Option<(String, f64)>, write: &dyn Fn(f64) -> String| {
            let (networks, value) = found?;
            Some(Fact::new(name, write(value)).with_detail(networks))
        };
        let measure = self.measure();
        let lowest = format!("Lowest {}", self.error_name());
        [
            fact(&lowest, best, &|error| number::score(measure, error)),
            fact("Soonest converged", soonest, &number::duration),
            fact("Fewest parameters", smallest, &|count| {
                number::compact(count as u64)
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
