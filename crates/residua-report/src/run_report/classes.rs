//! How good a run is at each class, and which classes it confuses.

use maud::{Markup, html};
use residua_core::metrics::ClassScore;
use residua_core::run::{RunMetrics, SingleLabelResults};

use crate::chart::{Bar, BarChart, Chart, ConfusionMatrix, Unit};
use crate::number;
use crate::page::{disclosure, figure, prose, table};
use crate::table::{Column, Table};

/// As many of the worst classes are drawn.
const MOST_BARS: usize = 20;
/// A table of more rows is cut after the worst ones; the whole of it is a click away.
const MOST_ROWS: usize = 30;
const MOST_PAIRS: usize = 10;

/// The results of a run with the names of its classes.
#[derive(Clone, Copy)]
pub(super) struct Classes<'a> {
    metrics: &'a RunMetrics,
    results: &'a SingleLabelResults,
}

impl<'a> Classes<'a> {
    pub(super) fn new(metrics: &'a RunMetrics, results: &'a SingleLabelResults) -> Self {
        Self { metrics, results }
    }

    fn name(self, class: usize) -> String {
        let name = self.metrics.classes.get(class);
        name.cloned().unwrap_or_else(|| format!("class {class}"))
    }

    /// The classes with images from the lowest figure to the highest, then those without.
    fn worst_first(self, figure: fn(&ClassScore) -> f64) -> Vec<usize> {
        let scores = &self.results.evaluation.per_class;
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&scores[a], &scores[b]);
            let without_images = (a.support == 0).cmp(&(b.support == 0));
            without_images.then(figure(a).total_cmp(&figure(b)))
        });
        order
    }

    pub(super) fn section(self) -> Markup {
        let order = self.worst_first(|score| score.f1);
        if order.is_empty() {
            return prose("The evaluation has no classes.");
        }
        let shown = if order.len() > MOST_ROWS {
            MOST_BARS
        } else {
            order.len()
        };
        let caption = match shown == order.len() {
            true => "Classes, the hardest first".to_owned(),
            false => format!("The {shown} hardest of {} classes", order.len()),
        };
        let all = self.class_table(&order, "All classes, the hardest first".to_owned());
        html! {
            (figure(&self.bars(), &caption_of_bars(order.len())))
            (table(&self.class_table(&order[..shown], caption)))
            @if shown < order.len() {
                (disclosure("All classes", table(&all)))
            }
        }
    }

    fn bars(self) -> Chart {
        let order = self.worst_first(|score| score.recall);
        let scores = &self.results.evaluation.per_class;
        let bars = order.iter().take(MOST_BARS).map(|&class| Bar {
            name: self.name(class),
            value: (scores[class].support > 0).then_some(scores[class].recall),
        });
        BarChart {
            title: "Recall of the hardest classes".to_owned(),
            label: "recall".to_owned(),
            unit: Unit::Percent,
            bars: bars.collect(),
            reference: (self.results.evaluation.images > 0)
                .then_some(self.results.evaluation.macro_average.recall),
        }
        .into()
    }

    fn class_table(self, order: &[usize], caption: String) -> Table {
        let ranking = self
            .results
            .judgement
            .as_ref()
            .map(|judgement| &judgement.ranking);
        let mut columns = vec![
            Column::words("class"),
            Column::figures("recall %"),
            Column::figures("precision %"),
            Column::figures("F1 %"),
        ];
        if ranking.is_some() {
            columns.push(Column::figures("AUC"));
            columns.push(Column::figures("average precision"));
        }
        columns.push(Column::figures("images"));
        let rows = order.iter().map(|&class| {
            let score = &self.results.evaluation.per_class[class];
            let defined = |is_defined: bool, value: f64| {
                number::optional(is_defined.then_some(value), |value| {
                    number::points(value, 1)
                })
            };
            let mut row = vec![
                self.name(class),
                defined(score.support > 0, score.recall),
                defined(score.predicted > 0, score.precision),
                defined(score.support > 0, score.f1),
            ];
            if let Some(ranking) = ranking {
                let ranked = ranking.per_class.get(class);
                let three = |value| number::decimal(value, 3);
                row.push(number::optional(ranked.and_then(|r| r.roc_auc), three));
                row.push(number::optional(
                    ranked.and_then(|r| r.average_precision),
                    three,
                ));
            }
            row.push(number::grouped(score.support));
            row
        });
        let ranks = match ranking {
            Some(_) => {
                " AUC and average precision tell how well the probability of a class ranks its images \
             before all others."
            }
            None => "",
        };
        Table {
            caption,
            columns,
            rows: rows.collect(),
            note: Some(format!(
                "Recall: share of the images of a class that were recognised. Precision: share of the \
             images taken for it that are of it. F1: their harmonic mean.{ranks}"
            )),
        }
    }

    /// The confusion matrix and its largest entries.
    pub(super) fn confusions(self) -> Markup {
        let matrix: Chart = ConfusionMatrix {
            title: "Confusion matrix".to_owned(),
            classes: (0..self.results.evaluation.per_class.len())
                .map(|class| self.name(class))
                .collect(),
            counts: self.results.evaluation.confusion.clone(),
        }
        .into();
        let pairs = self.pairs();
        html! {
            div.figures {
                (figure(&matrix, "Number of images of the class at the left that were taken for the class above. Mistakes are coloured by the root of their share, so that rare ones show."))
                @if pairs.rows.is_empty() {
                    (prose("No image was taken for another class."))
                } @else {
                    (table(&pairs))
                }
            }
        }
    }

    fn pairs(self) -> Table {
        let confusion = self.results.evaluation.confusion.iter().enumerate();
        let mut pairs: Vec<(u64, usize, usize)> = confusion
            .flat_map(|(is, row)| {
                row.iter()
                    .enumerate()
                    .map(move |(taken, &count)| (count, is, taken))
            })
            .filter(|&(count, is, taken)| count > 0 && is != taken)
            .collect();
        pairs.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let rows = pairs.iter().take(MOST_PAIRS).map(|&(count, is, taken)| {
            let images = self
                .results
                .evaluation
                .per_class
                .get(is)
                .map_or(0, |s| s.support);
            vec![
                self.name(is),
                self.name(taken),
                number::grouped(count),
                number::points(count as f64 / images as f64, 1),
            ]
        });
        Table {
            caption: "Most confused pairs".to_owned(),
            columns: vec![
                Column::words("is"),
                Column::words("taken for"),
                Column::figures("images"),
                Column::figures("% of the class"),
            ],
            rows: rows.collect(),
            note: None,
        }
    }
}

fn caption_of_bars(classes: usize) -> String {
    let which = match classes {
        0..=MOST_BARS => "each class".to_owned(),
        _ => format!("the {MOST_BARS} hardest classes"),
    };
    format!(
        "Recall of {which}: the share of its images that were recognised. The dashed line is \
         their macro average."
    )
}
