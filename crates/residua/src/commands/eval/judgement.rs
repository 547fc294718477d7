//! What an evaluation says beyond counting, as text.

use residua::core::metrics::bootstrap::{ClassificationIntervals, ConfidenceInterval};
use residua::core::metrics::judgement::Judgement;
use residua::core::metrics::temperature::TemperatureScaling;

use crate::output::{self, Column, percent};

/// Intervals, ranking, calibration and mistakes, for a terminal.
pub(super) fn text(judgement: &Judgement) -> String {
    let mut text = figures(judgement).join("\n");
    if !judgement.mistakes.is_empty() {
        text += &format!("\n\n{}", mistakes(judgement));
    }
    text
}

fn figures(judgement: &Judgement) -> Vec<String> {
    let mut lines = Vec::new();
    let ClassificationIntervals { accuracy, macro_f1 } = &judgement.intervals;
    if let (Some(accuracy_text), Some(f1_text)) = (shares(accuracy), shares(macro_f1)) {
        let area = { judgement.roc_auc_interval.as_ref() }
            .and_then(|interval| Some((interval.lower?, interval.upper?)))
            .map_or_else(String::new, |(lower, upper)| {
                format!(", ROC-AUC {lower:.4} to {upper:.4}")
            });
        lines.push(format!(
            "{:.0} % confidence    accuracy {accuracy_text}, macro F1 {f1_text}{area}",
            100.0 * accuracy.level
        ));
    }
    let auc = judgement.ranking.macro_roc_auc;
    lines.push(match (auc, judgement.ranking.macro_average_precision) {
        (Some(auc), Some(precision)) => {
            format!(
                "one against rest    ROC-AUC {auc:.4}, average precision {precision:.4} (macro)"
            )
        }
        _ => "one against rest    no ROC-AUC: it takes images of at least two classes".to_owned(),
    });
    if let Some(error) = judgement.calibration.expected_calibration_error {
        lines.push(format!(
            "calibration         expected error {}; {}",
            percent(error),
            temperature(&judgement.temperature_scaling)
        ));
    }
    lines
}

fn temperature(scaling: &TemperatureScaling) -> String {
    match (scaling.at_bound, scaling.temperature < 1.0) {
        (false, _) => format!(
            "temperature {:.2} fits these images best",
            scaling.temperature
        ),
        (true, true) => "every image was recognised, so no temperature is the best".to_owned(),
        (true, false) => "no temperature fits, the logits say nothing about the labels".to_owned(),
    }
}

fn shares(interval: &ConfidenceInterval) -> Option<String> {
    let (lower, upper) = (interval.lower?, interval.upper?);
    let lower = percent(lower).trim_end_matches(" %").to_owned();
    Some(format!("{lower} to {}", percent(upper)))
}

fn mistakes(judgement: &Judgement) -> String {
    let rows = judgement.mistakes.iter().map(|mistake| {
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
    output::table(&columns, rows.collect())
}
