//! How far the figures of an evaluation can be trusted, and where the network is wrong.

use serde::{Deserialize, Serialize};

use super::bootstrap::{
    BootstrapSettings, ClassificationIntervals, ConfidenceInterval, classification_intervals,
};
use super::calibration::{self, CalibrationSummary, DEFAULT_BINS};
use super::probabilities::softmax;
use super::ranking::{OneVersusRest, one_versus_rest, roc_auc_interval};
use super::temperature::{TemperatureScaling, fit_temperature};
use super::{MetricError, Predictions, most_likely};
use crate::seed::SeedStream;

/// Everything beyond counting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// By resampling the images.
    pub intervals: ClassificationIntervals,
    /// Whether confidences mean what they say.
    pub calibration: CalibrationSummary,
    /// The temperature that would fit these images best.
    pub temperature_scaling: TemperatureScaling,
    /// Each class against the others.
    pub ranking: OneVersusRest,
    /// Of the mean of the areas under their ROC curves, by resampling the images; nothing for very many
    /// images or classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_auc_interval: Option<ConfidenceInterval>,
    /// The most confident first.
    pub mistakes: Vec<Mistake>,
}

/// An image that was taken for something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// File, or file and record.
    pub image: String,
    /// What it is.
    pub class: String,
    /// What it was taken for.
    pub predicted: String,
    /// Of the predicted class.
    pub probability: f64,
}

/// What a network said of some images.
#[derive(Debug, Clone, Copy)]
pub struct JudgedImages<'a> {
    /// Class names in the order of the labels.
    pub classes: &'a [String],
    /// `[N, classes]`.
    pub logits: &'a [f32],
    /// The true classes, `[N]`.
    pub labels: &'a [u32],
}

impl Judgement {
    /// Judges predictions; `image` names the image with that index, and `most_mistakes` are listed.
    ///
    /// The intervals depend on the predictions alone: they are drawn from a stream of their own.
    ///
    /// # Errors
    /// When the lengths do not fit, a label names no class, or a logit is not finite.
    pub fn new(
        judged: JudgedImages<'_>,
        image: impl Fn(usize) -> String,
        most_mistakes: usize,
    ) -> Result<Self, MetricError> {
        let JudgedImages {
            classes,
            logits,
            labels,
        } = judged;
        let predictions = Predictions::from_logits(logits, classes.len(), labels, 1.0)?;
        let seed = SeedStream::new(0).child("bootstrap");
        let confusion = predictions.confusion();
        Ok(Self {
            intervals: classification_intervals(&confusion, BootstrapSettings::default(), seed)?,
            calibration: calibration::summary(&predictions, DEFAULT_BINS)?,
            temperature_scaling: fit_temperature(logits, classes.len(), labels)?,
            ranking: one_versus_rest(&predictions),
            roc_auc_interval: roc_auc_interval(&predictions, BootstrapSettings::default(), seed)?,
            mistakes: mistakes(judged, image, most_mistakes)?,
        })
    }
}

fn mistakes(
    judged: JudgedImages<'_>,
    image: impl Fn(usize) -> String,
    most: usize,
) -> Result<Vec<Mistake>, MetricError> {
    let name = |class: usize| judged.classes.get(class).cloned().unwrap_or_default();
    let rows = judged.logits.chunks(judged.classes.len().max(1));
    let mut wrong: Vec<(f64, usize, u32, usize)> = Vec::new();
    for (index, (row, label)) in rows.zip(judged.labels).enumerate() {
        let predicted = most_likely(row).unwrap_or(0);
        if predicted != *label as usize {
            wrong.push((softmax(row, 1.0)?[predicted], predicted, *label, index));
        }
    }
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.3.cmp(&b.3)));
    let listed = wrong.into_iter().take(most);
    Ok(listed
        .map(|(probability, predicted, label, index)| Mistake {
            image: image(index),
            class: name(label as usize),
            predicted: name(predicted),
            probability,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_confident_mistakes_come_first() {
        let classes = ["cat".to_owned(), "dog".to_owned()];
        let judged = JudgedImages {
            classes: &classes,
            logits: &[2.0, 0.0, 0.5, 0.0, 3.0, 0.0, 0.0, 1.0],
            labels: &[1, 1, 1, 1],
        };
        let judgement = Judgement::new(judged, |index| format!("{index}.png"), 2).unwrap();
        let images: Vec<&str> = { judgement.mistakes.iter() }
            .map(|mistake| mistake.image.as_str())
            .collect();
        assert_eq!(images, ["2.png", "0.png"]);
        assert_eq!(judgement.mistakes[0].class, "dog");
        assert_eq!(judgement.mistakes[0].predicted, "cat");
        // A class that no image has leaves its figures undefined.
        assert_eq!(judgement.ranking.per_class[0].roc_auc, None);
        let text = serde_json::to_string(&judgement).unwrap();
        assert_eq!(serde_json::from_str::<Judgement>(&text).unwrap(), judgement);
    }
}
