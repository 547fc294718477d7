//! How far the figures of an evaluation can be trusted, and where the network is wrong.

use residua::core::metrics::bootstrap::{
    BootstrapSettings, ClassificationIntervals, ConfidenceInterval, classification_intervals,
};
use residua::core::metrics::calibration::{self, CalibrationSummary, DEFAULT_BINS};
use residua::core::metrics::probabilities::softmax;
use residua::core::metrics::ranking::{OneVersusRest, one_versus_rest};
use residua::core::metrics::temperature::{TemperatureScaling, fit_temperature};
use residua::core::metrics::{MetricError, Predictions};
use residua::core::seed::SeedStream;
use residua::data::Split;
use residua::train::{Evaluation, SampleLogits};
use serde::Serialize;

use crate::output::{self, Column, percent};

/// Everything beyond counting.
#[derive(Serialize)]
pub(super) struct Judgement {
    /// By resampling the images.
    intervals: ClassificationIntervals,
    calibration: CalibrationSummary,
    /// The temperature that would fit these images best.
    temperature_scaling: TemperatureScaling,
    ranking: OneVersusRest,
    /// The most confident first.
    mistakes: Vec<Mistake>,
}

/// An image that was taken for something else.
#[derive(Serialize)]
struct Mistake {
    /// File, or file and record.
    image: String,
    class: String,
    predicted: String,
    /// Of the predicted class.
    probability: f64,
}

impl Judgement {
    pub(super) fn new(
        evaluation: &Evaluation,
        split: &Split,
        classes: &[String],
        most_mistakes: usize,
    ) -> Result<Self, MetricError> {
        let SampleLogits { logits, labels, .. } = &evaluation.outputs;
        let predictions = Predictions::from_logits(logits, classes.len(), labels, 1.0)?;
        let seed = SeedStream::new(0).child("bootstrap");
        let confusion = &evaluation.summary.confusion;
        Ok(Self {
            intervals: classification_intervals(confusion, BootstrapSettings::default(), seed)?,
            calibration: calibration::summary(&predictions, DEFAULT_BINS)?,
            temperature_scaling: fit_temperature(logits, classes.len(), labels)?,
            ranking: one_versus_rest(&predictions),
            mistakes: mistakes(&evaluation.outputs, split, classes, most_mistakes)?,
        })
    }

    pub(super) fn text(&self) -> String {
        let shares = |interval: &ConfidenceInterval| {
            let (lower, upper) = (interval.lower?, interval.upper?);
            let lower = percent(lower).trim_end_matches(" %").to_owned();
            Some(format!("{lower} to {}", percent(upper)))
        };
        let mut lines = Vec::new();
        let ClassificationIntervals { accuracy, macro_f1 } = &self.intervals;
        if let (Some(accuracy_text), Some(f1_text)) = (shares(accuracy), shares(macro_f1)) {
            lines.push(format!(
                "{:.0} % confidence    accuracy {accuracy_text}, macro F1 {f1_text}",
                100.0 * accuracy.level
            ));
        }
        let auc = self.ranking.macro_roc_auc;
        if let (Some(auc), Some(precision)) = (auc, self.ranking.macro_average_precision) {
            lines.push(format!(
                "one against rest    ROC-AUC {auc:.4}, average precision {precision:.4} (macro)"
            ));
        }
        if let Some(error) = self.calibration.expected_calibration_error {
            lines.push(format!(
                "calibration         expected error {}; temperature {:.2} fits these images best",
                percent(error),
                self.temperature_scaling.temperature
            ));
        }
        let mut text = lines.join("\n");
        if !self.mistakes.is_empty() {
            let rows = self.mistakes.iter().map(|mistake| {
                vec![
                    mistake.image.clone(),
                    mistake.class.clone(),
                    mistake.predicted.clone(),
                    percent(mistake.probability),
                ]
            });
            let columns = [
                Column::Left("most confident mistakes"),
                Column::Left("is"),
                Column::Left("taken for"),
                Column::Right("probability"),
            ];
            text += &format!("\n\n{}", output::table(&columns, rows.collect()));
        }
        text
    }
}

fn mistakes(
    outputs: &SampleLogits,
    split: &Split,
    classes: &[String],
    most: usize,
) -> Result<Vec<Mistake>, MetricError> {
    let rows = outputs.logits.chunks(classes.len());
    let rows = rows.zip(&outputs.labels).zip(&outputs.samples);
    let mut wrong: Vec<(f64, usize, u32, usize)> = Vec::new();
    for ((row, label), sample) in rows {
        let predicted = residua::core::metrics::most_likely(row).unwrap_or(0);
        if predicted != *label as usize {
            wrong.push((softmax(row, 1.0)?[predicted], predicted, *label, *sample));
        }
    }
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.3.cmp(&b.3)));
    let name = |class: usize| classes.get(class).map_or_else(String::new, String::clone);
    let listed = wrong.into_iter().take(most);
    Ok(listed
        .map(|(probability, predicted, label, sample)| Mistake {
            image: split.samples[sample].source.to_string(),
            class: name(label as usize),
            predicted: name(predicted),
            probability,
        })
        .collect())
}
