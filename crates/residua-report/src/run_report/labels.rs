//! How good a run is at each class, where an image shows any number of them.

use maud::{Markup, html};
use residua_core::metrics::multilabel::LabelCurves;
use residua_core::run::{MultiLabelResults, RunMetrics};

use crate::chart::{Axis, Bar, BarChart, Chart, LineChart, Point, Series, Unit};
use crate::number;
use crate::page::{disclosure, figure, figures, prose, table};
use crate::table::{Column, Table};

/// As many of the worst classes are drawn as bars.
const MOST_BARS: usize = 20;
/// As many have curves: more could not be told apart.
const MOST_CURVES: usize = 6;
/// A table of more rows is cut after the worst ones; the whole of it is a click away.
const MOST_ROWS: usize = 30;

/// The results of a run with the names of its classes.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a> {
    metrics: &'a RunMetrics,
    results: &'a MultiLabelResults,
}

impl<'a> Labels<'a> {
    pub(super) fn new(metrics: &'a RunMetrics, results: &'a MultiLabelResults) -> Self {
        Self { metrics, results }
    }

    fn name(self, class: usize) -> String {
        let name = self.metrics.classes.get(class);
        name.cloned().unwrap_or_else(|| format!("class {class}"))
    }

    fn area(self, class: usize) -> Option<f64> {
        let ranking = &self.results.multilabel.scores.ranking;
        ranking.per_label.get(class)?.roc_auc
    }

    /// The classes from the smallest area to the largest, then those without.
    fn worst_first(self) -> Vec<usize> {
        let count = self.results.multilabel.decisions.per_label.len();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| {
            let key = |class| self.area(class).unwrap_or(f64::INFINITY);
            key(a).total_cmp(&key(b))
        });
        order
    }

    /// The table of classes.
    pub(super) fn section(self) -> Markup {
        let order = self.worst_first();
        if order.is_empty() {
            return prose("The evaluation has no classes.");
        }
        let shown = match order.len() {
            count if count > MOST_ROWS => MOST_BARS,
            count => count,
        };
        let caption = match shown == order.len() {
            true => "Classes, the hardest first".to_owned(),
            false => format!("The {shown} hardest of {} classes", order.len()),
        };
        let all = || self.class_table(&order, "All classes, the hardest first".to_owned());
        html! {
            (figure(&self.bars(&order), "Area under the ROC curve of the hardest classes: how often an image that shows the class has a higher probability than one that does not. The dashed line is the mean over all classes."))
            (table(&self.class_table(&order[..shown], caption)))
            @if shown < order.len() {
                (disclosure("All classes", table(&all())))
            }
        }
    }

    fn bars(self, order: &[usize]) -> Chart {
        let bars = order.iter().take(MOST_BARS).map(|&class| Bar {
            name: self.name(class),
            value: self.area(class),
        });
        BarChart {
            title: "ROC-AUC of the hardest classes".to_owned(),
            label: "area under the ROC curve".to_owned(),
            unit: Unit::Number,
            bars: bars.collect(),
            reference: self.results.multilabel.scores.ranking.macro_roc_auc,
        }
        .into()
    }

    fn class_table(self, order: &[usize], caption: String) -> Table {
        let found = &self.results.multilabel;
        let three = |value| number::decimal(value, 3);
        let rows = order.iter().map(|&class| {
            let score = &found.decisions.per_label[class];
            let interval = found.intervals.roc_auc.get(class);
            let interval = interval.and_then(|range| Some((range.lower?, range.upper?)));
            let ranked = found.scores.ranking.per_label.get(class);
            let defined = |is_defined: bool, value: f64| {
                number::optional(is_defined.then_some(value), |value| {
                    number::points(value, 1)
                })
            };
            let threshold = found.thresholds.get(class).map(|value| f64::from(*value));
            vec![
                self.name(class),
                number::optional(self.area(class), three),
                interval.map_or_else(
                    || number::NONE.to_owned(),
                    |(lower, upper)| format!("{} to {}", three(lower), three(upper)),
                ),
                number::optional(ranked.and_then(|r| r.average_precision), three),
                defined(score.support > 0, score.recall),
                defined(score.predicted > 0, score.precision),
                defined(score.support > 0, score.f1),
                number::optional(threshold, three),
                number::grouped(score.support),
            ]
        });
        Table {
            caption,
            columns: vec![
                Column::words("class"),
                Column::figures("AUC"),
                Column::figures("95 % interval"),
                Column::figures("average precision"),
                Column::figures("recall %"),
                Column::figures("precision %"),
                Column::figures("F1 %"),
                Column::figures("threshold"),
                Column::figures("images"),
            ],
            rows: rows.collect(),
            note: Some(
                "AUC and average precision tell how well the probability of a class ranks its images \
                 before all others. Recall: share of the images that show the class of which it was \
                 predicted. Precision: share of the images of which it was predicted that show it. F1: \
                 their harmonic mean. A class is predicted from its threshold on, which was chosen on \
                 these same images for the highest F1, so that these three are slightly on the high side."
                    .to_owned(),
            ),
        }
    }

    /// ROC and precision-recall curves of the hardest classes.
    pub(super) fn curves(self) -> Markup {
        let order = self.worst_first();
        let with_curves = { order.into_iter() }.filter(|class| self.area(*class).is_some());
        let classes: Vec<usize> = with_curves.take(MOST_CURVES).collect();
        if classes.is_empty() {
            return prose("No class has images with it and without it.");
        }
        let chart = |title: &str, axes: [&str; 2], points: fn(&LabelCurves) -> Vec<Point>| {
            let [horizontal, vertical] = axes.map(|label| {
                Axis::new(label)
                    .written(Unit::Percent)
                    .including(0.0)
                    .including(1.0)
            });
            let series = classes.iter().filter_map(|&class| {
                let curves = self.results.multilabel.curves.get(class)?;
                Some(Series::new(self.name(class), points(curves)))
            });
            let chart = LineChart::new(title, horizontal, vertical);
            Chart::from(chart.with_series(series.collect()))
        };
        let roc = chart(
            "ROC curves",
            ["false positive rate", "true positive rate"],
            |curves| {
                let points = curves.roc.iter();
                points
                    .map(|p| Point::new(p.false_positive_rate, p.true_positive_rate))
                    .collect()
            },
        );
        let precision = chart("Precision and recall", ["recall", "precision"], |curves| {
            let points = curves.precision_recall.iter();
            points.map(|p| Point::new(p.recall, p.precision)).collect()
        });
        let which = match self.metrics.classes.len() {
            0..=MOST_CURVES => "each class".to_owned(),
            _ => format!("the {} hardest classes", classes.len()),
        };
        let roc_caption = format!(
            "ROC curves of {which}: of the images that show a class, the share that is found, against the \
             share of the others that is taken for it."
        );
        let precision_caption =
            format!("Precision against recall of {which}, from a high threshold to a low one.");
        html! {
            (figures(&[figure(&roc, &roc_caption), figure(&precision, &precision_caption)]))
        }
    }
}
