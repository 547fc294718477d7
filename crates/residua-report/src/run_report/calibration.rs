//! Whether the confidences of a run mean what they say.

use maud::{Markup, html};
use residua_core::metrics::calibration::{CalibrationSummary, ReliabilityBin};
use residua_core::metrics::judgement::Judgement;
use residua_core::metrics::temperature::{LOWEST_TEMPERATURE, TemperatureScaling};

use crate::chart::{Chart, ReliabilityDiagram};
use crate::number;
use crate::page::{Fact, facts, figure, prose};

/// Closer than this, confidence and accuracy are called equal.
const CLOSE: f64 = 0.01;

pub(super) fn section(judgement: Option<&Judgement>) -> Markup {
    let Some(judgement) = judgement else {
        return prose(
            "The evaluation of this run did not record confidences. Evaluate it again to see them.",
        );
    };
    let calibration = &judgement.calibration;
    let diagram: Chart = ReliabilityDiagram {
        title: "Reliability diagram".to_owned(),
        bins: calibration.bins.clone(),
    }
    .into();
    let sentences = [
        in_plain_words(calibration),
        temperature_in_words(&judgement.temperature_scaling),
    ];
    html! {
        div.figures {
            (figure(&diagram, "Predictions by their confidence, the probability of the predicted class. Where a bar ends on the dashed line, confidence is what it claims to be. Below: how the predictions are spread."))
            div {
                @for sentence in sentences.iter().flatten() {
                    (prose(sentence))
                }
                (facts(&figures(calibration, &judgement.temperature_scaling)))
            }
        }
    }
}

/// Mean confidence and accuracy over all predictions.
fn means(bins: &[ReliabilityBin]) -> Option<(f64, f64)> {
    let total: f64 = bins.iter().map(|bin| bin.count as f64).sum();
    let mean = |value: fn(&ReliabilityBin) -> Option<f64>| {
        let weighted = bins
            .iter()
            .filter_map(|bin| Some(bin.count as f64 * value(bin)?));
        weighted.sum::<f64>() / total
    };
    (total > 0.0).then(|| (mean(|bin| bin.mean_confidence), mean(|bin| bin.accuracy)))
}

fn in_plain_words(calibration: &CalibrationSummary) -> Option<String> {
    let (confidence, accuracy) = means(&calibration.bins)?;
    let error = calibration.expected_calibration_error?;
    let percent = |share| number::percent(share, 1);
    let verdict = if (confidence - accuracy).abs() < CLOSE && error < 2.0 * CLOSE {
        format!(
            "Its confidences can be taken at their word: on average it claims {} and is right in {} \
             of cases.",
            percent(confidence),
            percent(accuracy)
        )
    } else if (confidence - accuracy).abs() < CLOSE {
        format!(
            "On average it is as sure as it is right ({} against {}), but too sure of some \
             predictions and not sure enough of others.",
            percent(confidence),
            percent(accuracy)
        )
    } else if confidence > accuracy {
        format!(
            "The network is surer than it should be: on average it claims {} and is right in {} of \
             cases.",
            percent(confidence),
            percent(accuracy)
        )
    } else {
        format!(
            "The network is more careful than it needs to be: on average it claims {} and is right \
             in {} of cases.",
            percent(confidence),
            percent(accuracy)
        )
    };
    Some(format!(
        "{verdict} The expected calibration error, the distance between the two averaged over \
         predictions, is {} points.",
        number::points(error, 1)
    ))
}

fn temperature_in_words(scaling: &TemperatureScaling) -> Option<String> {
    let before = scaling.negative_log_likelihood_before?;
    let after = scaling.negative_log_likelihood_after?;
    let temperature = scaling.temperature;
    if scaling.at_bound {
        return Some(if temperature <= LOWEST_TEMPERATURE {
            "Every image was recognised, so no temperature is the best: the lower, the better it \
             fits these images, which says nothing about others."
                .to_owned()
        } else {
            "No temperature fits: the logits say nothing about these labels.".to_owned()
        });
    }
    // What three decimals cannot tell is no gain.
    if before - after < 0.0005 {
        return Some(
            "No other temperature of the softmax would fit these images better.".to_owned(),
        );
    }
    Some(format!(
        "Dividing its logits by a temperature of {} would lower the negative log likelihood from {} \
         to {} and leave every prediction as it is. That temperature was fitted on these same images, \
         so on others it will gain somewhat less.",
        number::decimal(temperature, 2),
        number::decimal(before, 3),
        number::decimal(after, 3)
    ))
}

fn figures(calibration: &CalibrationSummary, scaling: &TemperatureScaling) -> Vec<Fact> {
    let points = |value| format!("{}\u{a0}points", number::points(value, 1));
    let three = |value| number::decimal(value, 3);
    let bins = number::counted(calibration.bins.len() as u64, "bin", "bins");
    vec![
        Fact::new(
            "Expected calibration error",
            number::optional(calibration.expected_calibration_error, points),
        )
        .with_detail(bins),
        Fact::new(
            "Largest error of a bin",
            number::optional(calibration.maximum_calibration_error, points),
        ),
        Fact::new(
            "Brier score",
            number::optional(calibration.brier_score, three),
        )
        .with_detail("0 is best, 2 is worst"),
        Fact::new(
            "Negative log likelihood",
            number::optional(calibration.negative_log_likelihood, three),
        )
        .with_detail("nats"),
        Fact::new(
            "Temperature that fits best",
            match scaling.at_bound {
                true => number::NONE.to_owned(),
                false => number::decimal(scaling.temperature, 2),
            },
        ),
        Fact::new(
            "Likelihood at that temperature",
            number::optional(scaling.negative_log_likelihood_after, three),
        )
        .with_detail("nats"),
    ]
}
