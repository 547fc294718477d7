//! `predictions.csv`: what a network says of each evaluated image.

use std::io::{self, Write};
use std::path::Path;

use residua_core::atomic_file;
use residua_core::metrics::probabilities::sigmoid;
use residua_core::metrics::{log_softmax, most_likely};
use residua_core::run::RunError;
use residua_core::task::Decision;
use residua_data::{ClassSet, Label, Split};

use crate::error::TrainError;
use crate::evaluation::SampleLogits;

/// Writes one line for each image, in the order of the evaluation. Where images show any number of
/// classes, the line has the probability of each class, and those that the decision takes.
pub(crate) fn write(
    path: &Path,
    outputs: &SampleLogits,
    classes: &[String],
    decision: &Decision,
    split: &Split,
) -> Result<(), TrainError> {
    let table = Predictions {
        outputs,
        classes,
        split,
    };
    atomic_file::replace(path, |writer| {
        let mut csv = csv::Writer::from_writer(writer);
        match decision {
            Decision::MostLikely => table.write_classes(&mut csv)?,
            Decision::Thresholds { .. } => table.write_sets(&mut csv, decision)?,
        }
        csv.flush()
    })
    .map_err(|source: io::Error| {
        TrainError::Run(RunError::Io {
            path: path.to_owned(),
            source,
        })
    })
}

struct Predictions<'a> {
    outputs: &'a SampleLogits,
    classes: &'a [String],
    split: &'a Split,
}

impl Predictions<'_> {
    /// The logits of each image and its name.
    fn rows(&self) -> impl Iterator<Item = (&[f32], String)> {
        let rows = self.outputs.logits.chunks(self.classes.len().max(1));
        let samples = self.outputs.samples.iter();
        rows.zip(samples.map(|sample| self.split.samples[*sample].source.to_string()))
    }

    fn write_classes(&self, csv: &mut csv::Writer<impl Write>) -> io::Result<()> {
        csv.write_record([
            "image",
            "class",
            "predicted",
            "probability",
            "probability_of_class",
        ])?;
        for (sample, (row, image)) in self.outputs.samples.iter().zip(self.rows()) {
            let label = &self.split.samples[*sample].label;
            let predicted = most_likely(row).unwrap_or(0);
            let probabilities = log_softmax(row);
            let probability = |classes: &[u32]| {
                let of_each = classes
                    .iter()
                    .map(|class| probabilities[*class as usize].exp());
                format!("{:.6}", of_each.sum::<f64>())
            };
            let predicted = Label::Class(predicted as u32);
            csv.write_record([
                image,
                label.named(self.classes),
                predicted.named(self.classes),
                probability(predicted.classes()),
                probability(label.classes()),
            ])?;
        }
        Ok(())
    }

    fn write_sets(&self, csv: &mut csv::Writer<impl Write>, decision: &Decision) -> io::Result<()> {
        let names = self.classes.iter().map(String::as_str);
        csv.write_record(["image", "classes", "predicted"].into_iter().chain(names))?;
        for (place, (row, image)) in self.rows().enumerate() {
            let probabilities: Vec<f32> = row.iter().map(|logit| sigmoid(*logit) as f32).collect();
            let predicted = decision.chosen(&probabilities).into_iter();
            let predicted: ClassSet = predicted.map(|class| class as u32).collect();
            let shown = self.outputs.labels.shown(place).iter().copied();
            let sets = [shown.collect(), predicted];
            let sets = sets.map(|set| Label::Classes(set).named(self.classes));
            let probabilities = probabilities.iter().map(|value| format!("{value:.6}"));
            let line = std::iter::once(image).chain(sets).chain(probabilities);
            csv.write_record(line)?;
        }
        Ok(())
    }
}
