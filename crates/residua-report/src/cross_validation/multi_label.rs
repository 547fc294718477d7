//! Folds of images of any number of classes.
//!
//! Decisions are counted over all folds, each at the thresholds of its own network. Areas under curves are
//! averaged over folds: a ranking of all images would compare probabilities of different networks
//! (see [`MultilabelCounts`](residua_core::metrics::multilabel::MultilabelCounts)).

use residua_core::metrics::Average;
use residua_core::metrics::convergence::Summary;
use residua_core::metrics::multilabel::MultilabelSummary;
use residua_core::metrics::ranking::RankingScore;
use residua_core::run::MultiLabelResults;

use super::{
    CaptionedChart, Figure, FoldResult, Parts, area, over_folds, percent, points, spread,
    table_of_folds,
};
use crate::chart::{Bar, BarChart, Chart, Unit};
use crate::number;
use crate::page::Fact;
use crate::table::{Column, Table};

/// As many of the hardest classes are drawn as bars.
const MOST_BARS: usize = 20;

/// What came of folds of images of any number of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiLabelFolds {
    /// The folds that were trained.
    pub folds: Vec<FoldResult<MultiLabelResults>>,
    /// The decisions about all images, each by the network that has not seen it, at its thresholds.
    pub pooled: MultilabelSummary,
}

/// Mean and standard deviation over folds, of the best epochs unless said otherwise. F1 and shares of
/// images are fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultiLabelSummaries {
    /// Mean over classes of the area under the ROC curve.
    pub roc_auc: Summary,
    /// The same of the last epochs.
    pub last_roc_auc: Summary,
    /// Mean over classes.
    pub average_precision: Summary,
    /// At the thresholds of each fold.
    pub macro_f1: Summary,
    /// At the thresholds of each fold.
    pub micro_f1: Summary,
    /// Share of the images of which all classes are right.
    pub exact_match: Summary,
}

/// Mean and standard deviation of a class over the folds that have images with it and without it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelSummary {
    /// Area under the ROC curve.
    pub roc_auc: Summary,
    /// Average precision.
    pub average_precision: Summary,
}

impl FoldResult<MultiLabelResults> {
    /// The mean area of the last epoch; `None` where no class has images with it and without it, as for the
    /// best epoch.
    pub fn last_roc_auc(&self) -> Option<f64> {
        last_roc_auc(&self.results)
    }
}

fn last_roc_auc(results: &MultiLabelResults) -> Option<f64> {
    roc_auc(results).map(|_| results.last_roc_auc)
}

fn roc_auc(results: &MultiLabelResults) -> Option<f64> {
    results.multilabel.scores.ranking.macro_roc_auc
}

fn decisions(results: &MultiLabelResults) -> &MultilabelSummary {
    &results.multilabel.decisions
}

fn average_precision(results: &MultiLabelResults) -> Option<f64> {
    results.multilabel.scores.ranking.macro_average_precision
}

impl MultiLabelFolds {
    /// Over the folds, each counting the same.
    pub fn summaries(&self) -> MultiLabelSummaries {
        let decided = |figure: fn(&MultilabelSummary) -> Option<f64>| {
            over_folds(&self.folds, |results| figure(decisions(results)))
        };
        MultiLabelSummaries {
            roc_auc: over_folds(&self.folds, roc_auc),
            last_roc_auc: over_folds(&self.folds, last_roc_auc),
            average_precision: over_folds(&self.folds, average_precision),
            macro_f1: decided(|decisions| Some(decisions.macro_average.f1)),
            micro_f1: decided(|decisions| Some(decisions.micro_average.f1)),
            exact_match: decided(|decisions| decisions.exact_match_ratio),
        }
    }

    /// The areas of each class, in the order of the labels.
    pub fn of_classes(&self) -> Vec<LabelSummary> {
        let classes = 0..self.pooled.per_label.len();
        let summary = |class: usize, figure: fn(&RankingScore) -> Option<f64>| {
            over_folds(&self.folds, |results| {
                figure(results.multilabel.scores.ranking.per_label.get(class)?)
            })
        };
        classes
            .map(|class| LabelSummary {
                roc_auc: summary(class, |score| score.roc_auc),
                average_precision: summary(class, |score| score.average_precision),
            })
            .collect()
    }

    pub(super) fn parts(&self, classes: &[String]) -> Parts {
        let summaries = self.summaries();
        let of_classes = self.of_classes();
        Parts {
            folds: self.folds.len(),
            images: self.pooled.samples,
            key_figures: self.key_figures(&summaries),
            tables: [
                self.table_of_folds(),
                self.table_of_classes(classes, &of_classes, &summaries),
            ],
            figures: [
                CaptionedChart {
                    chart: self.areas_of_folds(&summaries),
                    caption: "Figure 1. Area under the ROC curve on each fold, as the mean over classes; the \
                              dashed line is the mean.",
                },
                CaptionedChart {
                    chart: areas_of_classes(classes, &of_classes, &summaries),
                    caption: "Figure 2. Area under the ROC curve of the hardest classes, as the mean over \
                              folds; the dashed line is the mean over all classes.",
                },
            ],
        }
    }

    fn key_figures(&self, summaries: &MultiLabelSummaries) -> Vec<Fact> {
        let pooled = &self.pooled;
        let macro_f1 = || {
            let micro_f1 = percent(pooled.micro_average.f1);
            Fact::new("Macro F1", percent(pooled.macro_average.f1))
                .with_detail(format!("all folds together; micro F1 {micro_f1}"))
        };
        let exact = |share| {
            Fact::new("All classes right", percent(share))
                .with_detail("share of the images, all folds together")
        };
        let facts = [
            spread("Mean ROC-AUC", summaries.roc_auc, area),
            spread("Mean average precision", summaries.average_precision, area),
            (pooled.samples > 0).then(macro_f1),
            pooled.exact_match_ratio.map(exact),
        ];
        facts.into_iter().flatten().collect()
    }

    fn table_of_folds(&self) -> Table {
        let figures = [
            Figure::new("ROC-AUC", roc_auc, area),
            Figure::new("at the last epoch", last_roc_auc, area),
            Figure::new("average precision", average_precision, area),
            Figure::new(
                "macro F1 %",
                |of| Some(decisions(of).macro_average.f1),
                points,
            ),
            Figure::new(
                "micro F1 %",
                |of| Some(decisions(of).micro_average.f1),
                points,
            ),
            Figure::new(
                "all classes right %",
                |of| decisions(of).exact_match_ratio,
                points,
            ),
        ];
        let note = "Each network judges the images of the fold that it was trained without. Figures are of its \
                    best epoch, which is chosen on the same images by its ROC-AUC; the last epoch is not chosen. \
                    ROC-AUC and average precision: mean over classes. F1 and the share of images of which all \
                    classes are right: at the thresholds that have the highest F1 on the images of the fold.";
        table_of_folds(&self.folds, |of| decisions(of).samples, &figures, note)
    }

    fn table_of_classes(
        &self,
        classes: &[String],
        of_classes: &[LabelSummary],
        summaries: &MultiLabelSummaries,
    ) -> Table {
        let with_areas = |areas: &LabelSummary| {
            [areas.roc_auc, areas.average_precision]
                .map(|summary| number::with_spread(summary, area))
        };
        let scores = classes.iter().zip(&self.pooled.per_label).zip(of_classes);
        let mut rows: Vec<Vec<String>> = scores
            .map(|((class, score), areas)| {
                let defined = |is_defined: bool, share: f64| {
                    number::optional(is_defined.then_some(share), points)
                };
                let mut row = vec![class.clone(), number::grouped(score.support)];
                row.extend(with_areas(areas));
                row.extend([
                    defined(score.support > 0, score.recall),
                    defined(score.predicted > 0, score.precision),
                    defined(score.support > 0, score.f1),
                ]);
                row
            })
            .collect();
        let average = |name: &str, images: String, areas: [String; 2], average: Average| {
            let mut row = vec![name.to_owned(), images];
            row.extend(areas);
            row.extend([average.recall, average.precision, average.f1].map(points));
            row
        };
        let all = LabelSummary {
            roc_auc: summaries.roc_auc,
            average_precision: summaries.average_precision,
        };
        rows.push(average(
            "macro average",
            number::grouped(self.pooled.samples),
            with_areas(&all),
            self.pooled.macro_average,
        ));
        rows.push(average(
            "micro average",
            String::new(),
            [String::new(), String::new()],
            self.pooled.micro_average,
        ));
        Table {
            caption: "Table 2. Classes, all folds together".to_owned(),
            columns: vec![
                Column::words("class"),
                Column::figures("images"),
                Column::figures("ROC-AUC"),
                Column::figures("average precision"),
                Column::figures("recall %"),
                Column::figures("precision %"),
                Column::figures("F1 %"),
            ],
            rows,
            note: Some(
                "ROC-AUC and average precision: mean ± standard deviation over the folds that have images \
                 with the class and without it; images are ranked within their fold, since probabilities of \
                 different networks are on different scales. Recall, precision and F1: from the decisions \
                 about all images, each at the thresholds of the network that has not seen it."
                    .to_owned(),
            ),
        }
    }

    fn areas_of_folds(&self, summaries: &MultiLabelSummaries) -> Chart {
        let bars = self.folds.iter().map(|fold| Bar {
            name: fold.name.clone(),
            value: roc_auc(&fold.results),
        });
        BarChart {
            title: "ROC-AUC of each fold".to_owned(),
            label: "mean ROC-AUC".to_owned(),
            unit: Unit::Number,
            bars: bars.collect(),
            reference: summaries.roc_auc.mean,
        }
        .into()
    }
}

/// The smallest area first; what has none comes last.
fn areas_of_classes(
    classes: &[String],
    of_classes: &[LabelSummary],
    summaries: &MultiLabelSummaries,
) -> Chart {
    let bars = classes.iter().zip(of_classes).map(|(class, areas)| Bar {
        name: class.clone(),
        value: areas.roc_auc.mean,
    });
    let mut bars: Vec<Bar> = bars.collect();
    bars.sort_by(|one, other| {
        let key = |bar: &Bar| bar.value.unwrap_or(f64::INFINITY);
        key(one).total_cmp(&key(other))
    });
    bars.truncate(MOST_BARS);
    BarChart {
        title: "ROC-AUC of the hardest classes".to_owned(),
        label: "area under the ROC curve".to_owned(),
        unit: Unit::Number,
        bars,
        reference: summaries.roc_auc.mean,
    }
    .into()
}
