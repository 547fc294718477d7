//! The page of one run: how good it is, how it went, and where it is wrong.

mod calibration;
mod classes;
mod curves;
mod digest;
mod gallery;
mod head;
mod labels;
mod setting;
mod time_line;

use residua_core::metrics::judgement::Mistake;
use residua_core::run::{Event, RunMetrics, RunResults};

use crate::page::{Page, Section};
use classes::Classes;
use digest::Digest;
use labels::Labels;

/// All that is known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// Name of the run folder.
    pub name: String,
    /// The text of `config.toml`.
    pub config_toml: String,
    /// The events in their order, with or without those that a continued run did again.
    pub events: Vec<Event>,
    /// The final evaluation; `None` while a run goes on, and when it was interrupted.
    pub metrics: Option<RunMetrics>,
    /// What was trained.
    pub network: NetworkFacts,
    /// Mistakes with their pictures, in the order in which they are shown.
    pub gallery: Vec<GalleryItem>,
    /// What the reader has to know, in sentences: classes without images, images left out, data that
    /// are no longer there.
    pub notes: Vec<String>,
}

/// A network in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// Catalog name.
    pub name: String,
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-accumulates for one image.
    pub multiply_accumulates: u64,
    /// Height, width and channels of an image.
    pub input: [usize; 3],
    /// A drawing of the network as an SVG document of its own.
    pub svg: Option<String>,
}

/// A mistake and what the network looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct GalleryItem {
    /// What was taken for what.
    pub mistake: Mistake,
    /// The image as a PNG file.
    pub picture: Vec<u8>,
    /// The image under a map of what spoke for the predicted class (Grad-CAM), as a PNG file.
    pub overlay: Option<Vec<u8>>,
}

impl RunReport {
    /// The page, as an HTML document that needs no other file.
    pub fn html(&self) -> String {
        let digest = Digest::new(&self.events);
        let mut sections = vec![Section::new(
            "Training",
            curves::section(&digest, self.metrics.as_ref()),
        )];
        if let Some(metrics) = &self.metrics {
            sections.extend(self.result_sections(metrics));
        }
        sections.push(Section::new("Network", setting::network(&self.network)));
        sections.push(Section::new(
            "Time line",
            time_line::section(&self.events, &digest),
        ));
        sections.push(Section::new(
            "Configuration",
            setting::configuration(&self.config_toml),
        ));
        sections.push(Section::new("Environment", setting::environment(&digest)));
        if let Some(content) = setting::left_out(&self.events) {
            sections.push(Section::new("Images left out", content));
        }
        let page = Page {
            kind: format!("Training run · {}", self.name),
            heading: head::heading(self, &digest),
            head: head::head(self, &digest),
            sections,
        };
        page.html()
    }

    fn result_sections(&self, metrics: &RunMetrics) -> Vec<Section> {
        match &metrics.results {
            RunResults::SingleLabel(results) => {
                let classes = Classes::new(metrics, results);
                let calibration = calibration::section(results.judgement.as_ref());
                let mut sections = vec![
                    Section::new("Classes", classes.section()),
                    Section::new("Confusions", classes.confusions()),
                    Section::new("Calibration", calibration),
                ];
                if let Some(content) = gallery::section(self, results.judgement.as_ref()) {
                    sections.push(Section::new("Mistakes", content));
                }
                sections
            }
            RunResults::MultiLabel(results) => {
                let labels = Labels::new(metrics, results);
                vec![
                    Section::new("Classes", labels.section()),
                    Section::new("Curves", labels.curves()),
                ]
            }
        }
    }
}
