//! Pages of studies: a question, its answer, and the figures and tables that support it.
//!
//! ```
//! use residua_report::study::{Section, Study};
//!
//! let study = Study {
//!     title: "Degradation".to_owned(),
//!     question: "Do deeper plain networks train worse?".to_owned(),
//!     answer: "Yes: with 56 layers the training error is twice that with 20.".to_owned(),
//!     notes: Vec::new(),
//!     sections: vec![Section::new("Method", "Plain networks of 20 to 56 layers.")],
//! };
//! assert!(study.html().contains("<h2 id=\"method-heading\">Method</h2>"));
//! ```

use maud::html;

use crate::chart::Chart;
use crate::page::{self, Page, Tone, figure, note, paragraphs, with_forms};
use crate::table::Table;

/// A study.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// What it is called.
    pub title: String,
    /// What was asked.
    pub question: String,
    /// What was found, in a few sentences. An empty line separates paragraphs.
    pub answer: String,
    /// What the reader has to know, in sentences.
    pub notes: Vec<String>,
    /// Its parts.
    pub sections: Vec<Section>,
}

/// A part of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// What it is about.
    pub heading: String,
    /// What is to be said. An empty line separates paragraphs.
    pub text: String,
    /// What is to be seen. Its title is the caption.
    pub figure: Option<Chart>,
    /// What was measured.
    pub table: Option<Table>,
}

impl Section {
    /// A section of text.
    pub fn new(heading: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            heading: heading.into(),
            text: text.into(),
            figure: None,
            table: None,
        }
    }

    /// The same with a figure.
    pub fn with_figure(self, figure: impl Into<Chart>) -> Self {
        Self {
            figure: Some(figure.into()),
            ..self
        }
    }

    /// The same with a table.
    pub fn with_table(self, table: Table) -> Self {
        Self {
            table: Some(table),
            ..self
        }
    }
}

impl Study {
    /// The page, as an HTML document that needs no other file.
    pub fn html(&self) -> String {
        let sections = self.sections.iter().map(|section| {
            let content = html! {
                (paragraphs(&section.text))
                @if let Some(chart) = &section.figure {
                    (figure(chart, chart.title()))
                }
                @if let Some(shown) = &section.table {
                    (with_forms(shown))
                }
            };
            page::Section::new(section.heading.clone(), content)
        });
        let page = Page {
            kind: "Study".to_owned(),
            heading: self.title.clone(),
            head: html! {
                p.question { strong { (self.question) } }
                div.lead { (paragraphs(&self.answer)) }
                (note(Tone::Plain, &self.notes))
            },
            sections: sections.collect(),
        };
        page.html()
    }
}
