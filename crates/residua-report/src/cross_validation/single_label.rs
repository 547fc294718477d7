//! Folds of images of one class each.

use residua_core::metrics::ClassificationSummary;
use residua_core::metrics::bootstrap::{ClassificationIntervals, ConfidenceInterval};
use residua_core::metrics::convergence::Summary;
use residua_core::run::SingleLabelResults;

use super::{
    CaptionedChart, Figure, FoldResult, Parts, area, over_folds, percent, points, spread,
    table_of_folds,
};
use crate::chart::{Bar, BarChart, Chart, ConfusionMatrix, Unit};
use crate::number;
use crate::page::Fact;
use crate::table::{Column, Table};

/// What came of folds of images of one class each.
#[derive(Debug, Clone, PartialEq)]
pub struct SingleLabelFolds {
    /// The folds that were trained.
    pub folds: Vec<FoldResult<SingleLabelResults>>,
    /// What all networks together say, each of the images that it has not seen.
    pub pooled: ClassificationSummary,
    /// How far those figures could be off for other images.
    pub intervals: ClassificationIntervals,
}

/// Mean and standard deviation over folds. Accuracies and F1 are fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SingleLabelSummaries {
    /// Of the best epochs.
    pub accuracy: Summary,
    /// Of the last epochs.
    pub last_accuracy: Summary,
    /// Of the best epochs.
    pub macro_f1: Summary,
    /// Each class against the others, of the folds where it is defined.
    pub roc_auc: Summary,
}

fn macro_f1(results: &SingleLabelResults) -> f64 {
    results.evaluation.macro_average.f1
}

fn roc_auc(results: &SingleLabelResults) -> Option<f64> {
    results.judgement.as_ref()?.ranking.macro_roc_auc
}

impl SingleLabelFolds {
    /// Over the folds, each counting the same.
    pub fn summaries(&self) -> SingleLabelSummaries {
        let folds = &self.folds;
        SingleLabelSummaries {
            accuracy: over_folds(folds, |results| Some(results.evaluation.accuracy)),
            last_accuracy: over_folds(folds, |results| Some(results.last_accuracy)),
            macro_f1: over_folds(folds, |results| Some(macro_f1(results))),
            roc_auc: over_folds(folds, roc_auc),
        }
    }

    pub(super) fn parts(&self, classes: &[String]) -> Parts {
        Parts {
            folds: self.folds.len(),
            images: self.pooled.images,
            key_figures: self.key_figures(),
            tables: [self.table_of_folds(), self.table_of_classes(classes)],
            figures: [
                CaptionedChart {
                    chart: self.accuracies(),
                    caption: "Figure 1. Accuracy on each fold; the dashed line is the mean.",
                },
                CaptionedChart {
                    chart: self.confusion(classes),
                    caption: "Figure 2. Which classes are taken for which, by the network that has not \
                              seen the image.",
                },
            ],
        }
    }

    fn key_figures(&self) -> Vec<Fact> {
        let SingleLabelSummaries {
            accuracy,
            macro_f1,
            roc_auc,
            ..
        } = self.summaries();
        let facts = [
            spread("Accuracy", accuracy, percent),
            spread("Macro F1", macro_f1, percent),
            spread("ROC-AUC", roc_auc, area),
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
        let figures = [
            Figure::new(
                "accuracy %",
                |of: &SingleLabelResults| Some(of.evaluation.accuracy),
                points,
            ),
            Figure::new("at the last epoch %", |of| Some(of.last_accuracy), points),
            Figure::new("F1 %", |of| Some(macro_f1(of)), points),
            Figure::new("ROC-AUC", roc_auc, area),
        ];
        let note = "Each network judges the images of the fold that it was trained without. Accuracy, F1 and \
                    ROC-AUC are of its best epoch, which is chosen on the same images; the last epoch is not \
                    chosen. F1 and ROC-AUC: every class counts the same (macro).";
        table_of_folds(&self.folds, |of| of.evaluation.images, &figures, note)
    }

    fn table_of_classes(&self, classes: &[String]) -> Table {
        let scores = classes.iter().zip(&self.pooled.per_class);
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
                percent(self.pooled.accuracy),
                percent(average.f1),
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
            value: Some(fold.results.evaluation.accuracy),
        });
        BarChart {
            title: "Accuracy of each fold".to_owned(),
            label: "accuracy".to_owned(),
            unit: Unit::Percent,
            bars: bars.collect(),
            reference: self.summaries().accuracy.mean,
        }
        .into()
    }

    fn confusion(&self, classes: &[String]) -> Chart {
        ConfusionMatrix {
            title: "Confusion of all folds together".to_owned(),
            classes: classes.to_vec(),
            counts: self.pooled.confusion.clone(),
        }
        .into()
    }
}

/// `86.10 to 88.30 %`.
fn interval(interval: &ConfidenceInterval) -> Option<String> {
    let (lower, upper) = (interval.lower?, interval.upper?);
    Some(format!("{} to {}", points(lower), percent(upper)))
}
