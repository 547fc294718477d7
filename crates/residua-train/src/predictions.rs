//! `predictions.csv`: what a network says of each evaluated image.

use std::io;
use std::path::Path;

use residua_core::atomic_file;
use residua_core::metrics::{log_softmax, most_likely};
use residua_core::run::RunError;
use residua_data::Split;

use crate::error::TrainError;
use crate::evaluation::SampleLogits;

/// Writes one line for each image, in the order of the evaluation.
pub(crate) fn write(
    path: &Path,
    outputs: &SampleLogits,
    classes: &[String],
    split: &Split,
) -> Result<(), TrainError> {
    let rows = outputs.logits.chunks(classes.len().max(1));
    let rows = rows.zip(&outputs.labels).zip(&outputs.samples);
    let name = |class: usize| classes.get(class).map_or("", String::as_str);
    atomic_file::replace(path, |writer| {
        let mut csv = csv::Writer::from_writer(writer);
        csv.write_record([
            "image",
            "class",
            "predicted",
            "probability",
            "probability_of_class",
        ])?;
        for ((row, label), sample) in rows {
            let label = *label as usize;
            let predicted = most_likely(row).unwrap_or(0);
            let probabilities = log_softmax(row);
            let probability = |class: usize| format!("{:.6}", probabilities[class].exp());
            csv.write_record([
                split.samples[*sample].source.to_string().as_str(),
                name(label),
                name(predicted),
                &probability(predicted),
                &probability(label),
            ])?;
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
