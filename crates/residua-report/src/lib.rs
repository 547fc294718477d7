//! What is shown of runs as documents: charts, tables, and pages in HTML.
//!
//! Everything here is a function from data to text or bytes. Nothing is read, fetched or computed by
//! a network, and nothing is written: a caller collects what it knows of a run and gets a page, and
//! the same data give the same page. Pages need no other file and no network, follow the reader's
//! preference for light or dark, and take names of classes and files for what they are, text.
//!
//! | to show | take | and get |
//! | --- | --- | --- |
//! | a run | [`RunReport`] | an HTML page |
//! | networks side by side | [`Comparison`] | an HTML page, three tables, three figures |
//! | a network and its folds | [`CrossValidation`] | an HTML page, two tables, two figures |
//! | settings that were searched | [`Sweep`] | an HTML page, a table, a figure of each setting |
//! | what an experiment found | [`study::Study`] | an HTML page |
//! | numbers | [`table::Table`] | Markdown, CSV, LaTeX, HTML |
//! | curves, points, matrices | [`chart::Chart`] | SVG, PNG |
//!
//! ```
//! use residua_core::run::Event;
//! use residua_report::{NetworkFacts, RunReport};
//!
//! let report = RunReport {
//!     name: "2026-11-25-resnet20-1".to_owned(),
//!     config_toml: "model = \"resnet20\"\n".to_owned(),
//!     events: vec![Event::Interrupted { step: 120, time: "2026-11-25T22:44:21Z".to_owned() }],
//!     metrics: None,
//!     network: NetworkFacts { name: "resnet20".to_owned(), ..NetworkFacts::default() },
//!     gallery: Vec::new(),
//!     notes: vec!["3 images could not be read.".to_owned()],
//! };
//! assert!(report.html().contains("This run was interrupted after step 120"));
//! ```
//!
//! `cargo run --release -p residua-report --example sample_report -- FOLDER` writes a page of each kind.

pub mod chart;
pub mod comparison;
pub mod cross_validation;
mod measure;
mod number;
mod page;
pub mod run_report;
pub mod study;
pub mod sweep;
pub mod table;

pub use comparison::Comparison;
pub use cross_validation::CrossValidation;
pub use run_report::{GalleryItem, NetworkFacts, RunReport};
pub use sweep::Sweep;
