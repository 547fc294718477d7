//! A network that was trained once for each fold of its data, without the images of that fold.

mod multi_label;
mod single_label;

use maud::{Markup, html};
use residua_core::metrics::convergence::Summary;

use crate::chart::Chart;
use crate::number;
use crate::page::{Fact, Page, Section, Tone, figure, key_figures, note, paragraphs, with_forms};
use crate::table::{Column, Table};

pub use multi_label::{LabelSummary, MultiLabelFolds, MultiLabelSummaries};
pub use single_label::{SingleLabelFolds, SingleLabelSummaries};

/// A cross-validation.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossValidation {
    /// What the page is called.
    pub title: String,
    /// How the networks were trained, in sentences. An empty line separates paragraphs.
    pub recipe: String,
    /// What the reader has to know, in sentences.
    pub notes: Vec<String>,
    /// Class names in the order of the labels.
    pub classes: Vec<String>,
    /// What came of the folds.
    pub results: FoldResults,
}

/// What came of the folds, by the task.
#[derive(Debug, Clone, PartialEq)]
pub enum FoldResults {
    /// Of images of one class each.
    SingleLabel(Box<SingleLabelFolds>),
    /// Of images of any number of classes.
    MultiLabel(Box<MultiLabelFolds>),
}

/// What came of a fold: `R` are the results of its run.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldResult<R> {
    /// Which one: `2/5`.
    pub name: String,
    /// The evaluations on the images of the fold.
    pub results: R,
    /// Epoch of the best checkpoint.
    pub best_epoch: u64,
    /// Epochs trained.
    pub epochs: u64,
}

impl<R> FoldResult<R> {
    fn best_of_epochs(&self) -> String {
        format!("{} of {}", self.best_epoch, self.epochs)
    }
}

/// Mean and deviation of a figure over folds, each counting the same; folds without it are left out.
fn over_folds<R>(folds: &[FoldResult<R>], figure: impl Fn(&R) -> Option<f64>) -> Summary {
    Summary::of_defined(folds.iter().map(|fold| figure(&fold.results)))
}

/// What there is to show.
struct Parts {
    folds: usize,
    images: u64,
    key_figures: Vec<Fact>,
    /// Folds, and classes of all folds together.
    tables: [Table; 2],
    figures: [CaptionedChart; 2],
}

struct CaptionedChart {
    chart: Chart,
    caption: &'static str,
}

impl CrossValidation {
    fn parts(&self) -> Parts {
        match &self.results {
            FoldResults::SingleLabel(folds) => folds.parts(&self.classes),
            FoldResults::MultiLabel(folds) => folds.parts(&self.classes),
        }
    }

    /// The two tables: folds, and classes of all folds together.
    pub fn tables(&self) -> [Table; 2] {
        self.parts().tables
    }

    /// The two figures: how good each fold is; and the confusion matrix of all together or, where images
    /// show any number of classes, the classes.
    pub fn figures(&self) -> [Chart; 2] {
        self.parts().figures.map(|figure| figure.chart)
    }

    /// The page, as an HTML document that needs no other file.
    pub fn html(&self) -> String {
        let parts = self.parts();
        let [of_folds, of_classes] = &parts.tables;
        let [first, second] = &parts.figures;
        let shown = |captioned: &CaptionedChart| figure(&captioned.chart, captioned.caption);
        let page = Page {
            kind: "Cross-validation".to_owned(),
            heading: self.title.clone(),
            head: self.head(&parts),
            sections: vec![
                Section::new(
                    "Folds",
                    html! {
                        (with_forms(of_folds))
                        (shown(first))
                    },
                ),
                Section::new(
                    "All folds together",
                    html! {
                        (shown(second))
                        (with_forms(of_classes))
                    },
                ),
            ],
        };
        page.html()
    }

    fn head(&self, parts: &Parts) -> Markup {
        html! {
            p.lead {
                (number::counted(parts.folds as u64, "fold", "folds")) ", "
                (number::counted(parts.images, "image", "images")) "."
            }
            (paragraphs(&self.recipe))
            (key_figures(&parts.key_figures))
            (note(Tone::Warning, &self.notes))
        }
    }
}

/// A column of the table of folds: a figure of each, and how it is written.
struct Figure<R> {
    title: &'static str,
    of: fn(&R) -> Option<f64>,
    write: fn(f64) -> String,
}

impl<R> Figure<R> {
    fn new(title: &'static str, of: fn(&R) -> Option<f64>, write: fn(f64) -> String) -> Self {
        Self { title, of, write }
    }
}

/// A row for each fold, and one for all of them.
fn table_of_folds<R>(
    folds: &[FoldResult<R>],
    images: fn(&R) -> u64,
    figures: &[Figure<R>],
    note: &str,
) -> Table {
    let mut rows: Vec<Vec<String>> = { folds.iter() }
        .map(|fold| {
            let mut row = vec![fold.name.clone(), number::grouped(images(&fold.results))];
            let written = figures.iter();
            row.extend(
                written.map(|figure| number::optional((figure.of)(&fold.results), figure.write)),
            );
            row.push(fold.best_of_epochs());
            row
        })
        .collect();
    let mut all = vec!["mean ± standard deviation".to_owned(), String::new()];
    all.extend(
        figures
            .iter()
            .map(|figure| number::with_spread(over_folds(folds, figure.of), figure.write)),
    );
    all.push(String::new());
    rows.push(all);
    let mut columns = vec![Column::words("fold"), Column::figures("images")];
    columns.extend(figures.iter().map(|figure| Column::figures(figure.title)));
    columns.push(Column::figures("best epoch"));
    Table {
        caption: "Table 1. Folds".to_owned(),
        columns,
        rows,
        note: Some(note.to_owned()),
    }
}

/// A mean with its deviation over folds; nothing where no fold has the figure.
fn spread(name: &str, summary: Summary, write: fn(f64) -> String) -> Option<Fact> {
    let fact = Fact::new(name, write(summary.mean?));
    Some(match summary.standard_deviation {
        Some(deviation) => fact.with_detail(format!("± {} over folds", write(deviation))),
        None => fact,
    })
}

/// A share in percent, for a column that says so.
fn points(share: f64) -> String {
    number::points(share, 2)
}

fn percent(share: f64) -> String {
    number::percent(share, 2)
}

/// An area under a curve.
fn area(area: f64) -> String {
    number::decimal(area, 4)
}
