//! A network that was trained once for each fold of its data, without the images of that fold. Images
//! have one class each.

use maud::{Markup, html};
use residua_core::metrics::ClassificationSummary;
use residua_core::metrics::bootstrap::{ClassificationIntervals, ConfidenceInterval};
use residua_core::metrics::convergence::Summary;
use residua_core::run::SingleLabelResults;

use crate::chart::{Bar, BarChart, Chart, ConfusionMatrix};
use crate::number;
use crate::page::{Fact, Page, Section, Tone, figure, key_figures, note, paragraphs, with_forms};
use crate::table::{Column, Table};

/// A cross-validation.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossValidation {
    /// What the page is called.
    pub title: String,
    /// How the networks were trained, in sentences. An empty line separates paragraphs.
    pub recipe: String,
    /// What the reader has to know, in sentences.
    pub notes: Vec<String>,
    /// The folds that were trained.
    pub folds: Vec<FoldResult>,
    /// Class names in the order of the labels.
    pub classes: Vec<String>,
    /// What all networks together say, each of the images that it has not seen.
    pub pooled: ClassificationSummary,
    /// How far those figures could be off for other images.
    pub intervals: ClassificationIntervals,
}

/// What came of a fold.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldResult {
    /// Which one: `2/5`.
    pub name: String,
    /// The evaluations on the images of the fold.
    pub results: SingleLabelResults,
    /// Epoch of the best checkpoint.
    pub best_epoch: u64,
    /// Epochs trained.
    pub epochs: u64,
}

impl FoldResult {
    fn accuracy(&self) -> f64 {
        self.results.evaluation.accuracy
    }

    fn macro_f1(&self) -> f64 {
        self.results.evaluation.macro_average.f1
    }

    fn roc_auc(&self) -> Option<f64> {
        self.results.judgement.as_ref()?.ranking.macro_roc_auc
    }
}

/// Mean and standard deviation over folds of the figures of a cross-validation. Accuracies and F1 are
/// fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoldSummaries {
    /// Of the best epochs.
    pub accuracy: Summary,
    /// Of the last epochs.
    pub last_accuracy: Summary,
    /// Of the best epochs.
    pub macro_f1: Summary,
    /// Each class against the others, of the folds where it is defined.
    pub roc_auc: Summary,
}

impl CrossValidation {
    /// Over the folds, each counting the same.
    pub fn summaries(&self) -> FoldSummaries {
        let summary = |figure: &dyn Fn(&FoldResult) -> Option<f64>| {
            Summary::of_defined(self.folds.iter().map(figure))
        };
        FoldSummaries {
            accuracy: summary(&|fold| Some(fold.accuracy())),
            last_accuracy: summary(&|fold| Some(fold.results.last_accuracy)),
            macro_f1: summary(&|fold| Some(fold.macro_f1())),
            roc_auc: summary(&FoldResult::roc_auc),
        }
    }

    /// The two tables: folds, and classes of all folds together.
    pub fn tables(&self) -> [Table; 2] {
        [self.table_of_folds(), self.table_of_classes()]
    }

    /// The two figures: accuracy of each fold, and the confusion matrix of all together.
    pub fn figures(&self) -> [Chart; 2] {
        [self.accuracies(), self.confusion()]
    }

    /// The page, as an HTML document that needs no other file.
    pub fn html(&self) -> String {
        let [of_folds, of_classes] = self.tables();
        let page = Page {
            kind: "Cross-validation".to_owned(),
            heading: self.title.clone(),
            head: self.head(),
            sections: vec![
                Section::new(
                    "Folds",
                    html! {
                        (with_forms(&of_folds))
                        (figure(&self.accuracies(), "Figure 1. Accuracy on each fold; the dashed line is the mean."))
                    },
                ),
                Section::new(
                    "All folds together",
                    html! {
                        (figure(&self.confusion(), "Figure 2. Which classes are taken for which, by the network that has not seen the image."))
                        (with_forms(&of_classes))
                    },
                ),
            ],
        };
        page.html()
    }

    fn head(&self) -> Markup {
        html! {
            p.lead {
                (number::counted(self.folds.len() as u64, "fold", "folds")) ", "
                (number::counted(self.pooled.images, "image", "images")) "."
            }
            (paragraphs(&self.recipe))
            (key_figures(&self.key_figures()))
            (note(Tone::Warning, &self.notes))
        }
    }

    fn key_figures(&self) -> Vec<Fact> {
        let FoldSummaries {
            accuracy,
            macro_f1,
            roc_auc,
            ..
        } = self.summaries();
        let spread = |name: &str, summary: Summary, write: fn(f64) -> String| {
            summary.mean.map(|mean| {
                let fact = Fact::new(name, write(mean));
                match summary.standard_deviation {
                    Some(deviation) => {
                        fact.with_detail(format!("± {} over folds", write(deviation)))
                    }
                    None => fact,
                }
            })
        };
        let percent = |share| number::percent(share, 2);
        let facts = [
            spread("Accuracy", accuracy, percent),
            spread("Macro F1", macro_f1, percent),
            spread("ROC-AUC", roc_auc, |area| number::decimal(area, 4)),
            interval(&self.intervals.accuracy).map(|interval| {
                Fact::new("All folds together", percent(self.pooled.accuracy))
                    .with_detail(format!("accuracy; {} % interval {interval}", self.level()))
            }),
        ];
        facts.into_iter().flatten().collect()
    }

    /// Of the intervals, in percent.
    fn level(&self) -> String {
        number::decimal(self.intervals.accuracy.level * 100.0, 0)
    }

    fn table_of_folds(&self) -> Table {
        let points = |share| number::points(share, 2);
        let area = |area| number::decimal(area, 4);
        let mut rows: Vec<Vec<String>> = { self.folds.iter() }
            .map(|fold| {
                vec![
                    fold.name.clone(),
                    number::grouped(fold.results.evaluation.images),
                    points(fold.accuracy()),
                    points(fold.results.last_accuracy),
                    points(fold.macro_f1()),
                    number::optional(fold.roc_auc(), area),
                    format!("{} of {}", fold.best_epoch, fold.epochs),
                ]
            })
            .collect();
        let summaries = self.summaries();
        rows.push(vec![
            "mean ± standard deviation".to_owned(),
            String::new(),
            number::with_spread(summaries.accuracy, points),
            number::with_spread(summaries.last_accuracy, points),
            number::with_spread(summaries.macro_f1, points),
            number::with_spread(summaries.roc_auc, area),
            String::new(),
        ]);
        Table {
            caption: "Table 1. Folds".to_owned(),
            columns: vec![
                Column::words("fold"),
                Column::figures("images"),
                Column::figures("accuracy %"),
                Column::figures("at the last epoch %"),
                Column::figures("F1 %"),
                Column::figures("ROC-AUC"),
                Column::figures("best epoch"),
            ],
            rows,
            note: Some(
                "Each network judges the images of the fold that it was trained without. Accuracy, F1 and \
                 ROC-AUC are of its best epoch, which is chosen on the same images; the last epoch is not \
                 chosen. F1 and ROC-AUC: every class counts the same (macro)."
                    .to_owned(),
            ),
        }
    }

    fn table_of_classes(&self) -> Table {
        let points = |share| number::points(share, 2);
        let scores = self.classes.iter().zip(&self.pooled.per_class);
        let mut rows: Vec<Vec<String>> = scores
            .map(|(class, score)| {
                vec![
                    class.clone(),
                    number::grouped(score.support),
                    points(score.recall),
                    points(score.precision),
                    points(score.f1),
                ]
            })
            .collect();
        let average = self.pooled.macro_average;
        rows.push(vec![
            "macro average".to_owned(),
            number::grouped(self.pooled.images),
            points(average.recall),
            points(average.precision),
            points(average.f1),
        ]);
        let intervals = &self.intervals;
        let note = match (interval(&intervals.accuracy), interval(&intervals.macro_f1)) {
            (Some(accuracy), Some(macro_f1)) => Some(format!(
                "Accuracy {} ({accuracy}), macro F1 {} ({macro_f1}): in brackets {} % confidence intervals by \
                 resampling the images.",
                number::percent(self.pooled.accuracy, 2),
                number::percent(average.f1, 2),
                self.level()
            )),
            _ => None,
        };
        Table {
            caption: "Table 2. Classes, all folds together".to_owned(),
            columns: vec![
                Column::words("class"),
                Column::figures("images"),
                Column::figures("recall %"),
                Column::figures("precision %"),
                Column::figures("F1 %"),
            ],
            rows,
            note,
        }
    }

    fn accuracies(&self) -> Chart {
        let bars = self.folds.iter().map(|fold| Bar {
            name: fold.name.clone(),
            value: Some(fold.accuracy()),
        });
        BarChart {
            title: "Accuracy of each fold".to_owned(),
            label: "accuracy".to_owned(),
            bars: bars.collect(),
            reference: self.summaries().accuracy.mean,
        }
        .into()
    }

    fn confusion(&self) -> Chart {
        ConfusionMatrix {
            title: "Confusion of all folds together".to_owned(),
            classes: self.classes.clone(),
            counts: self.pooled.confusion.clone(),
        }
        .into()
    }
}

/// `86.10 to 88.30 %`.
fn interval(interval: &ConfidenceInterval) -> Option<String> {
    let (lower, upper) = (interval.lower?, interval.upper?);
    Some(format!(
        "{} to {}",
        number::points(lower, 2),
        number::percent(upper, 2)
    ))
}
