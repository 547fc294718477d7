//! What a reader of a run's page sees first.

use jiff::Timestamp;
use maud::{Markup, html};
use residua_core::metrics::bootstrap::ConfidenceInterval;
use residua_core::run::{MultiLabelResults, RunMetrics, RunResults, SingleLabelResults};
use residua_core::task::Measure;

use super::RunReport;
use super::digest::{Digest, Ending, Epoch};
use crate::number;
use crate::page::{Fact, Tone, key_figures, note};

/// Fewer classes than this make the five most likely ones meaningless.
const LEAST_CLASSES_FOR_TOP5: usize = 6;

/// A point in time in words; as it is written where it cannot be read.
pub(super) fn moment(time: &str) -> String {
    let Ok(timestamp) = time.parse::<Timestamp>() else {
        return time.to_owned();
    };
    timestamp.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// Data by the name that people call them.
pub(crate) fn data_name(specification: &str) -> String {
    let (kind, place) = specification.split_once(':').unwrap_or((specification, ""));
    let folder = place
        .trim_end_matches(['/', '\\'])
        .rsplit(['/', '\\'])
        .next();
    match (kind, folder) {
        ("builtin", _) => "the built-in images".to_owned(),
        ("cifar10", _) => "CIFAR-10".to_owned(),
        (_, Some(folder)) if !folder.is_empty() => folder.to_owned(),
        _ => specification.to_owned(),
    }
}

/// `test` as `test images`.
pub(super) fn images_of(split: &str, count: u64) -> String {
    let images = if count == 1 { "image" } else { "images" };
    format!("{}\u{a0}{split} {images}", number::grouped(count))
}

pub(super) fn heading(report: &RunReport, digest: &Digest<'_>) -> String {
    let recorded = report
        .metrics
        .as_ref()
        .map(|m| (m.model.as_str(), m.data.as_str()));
    let started = digest.start.map(|start| (start.model, start.data));
    match recorded.or(started) {
        Some((model, data)) => format!("{model} on {}", data_name(data)),
        None => report.network.name.clone(),
    }
}

pub(super) fn head(report: &RunReport, digest: &Digest<'_>) -> Markup {
    let figures = match &report.metrics {
        Some(metrics) => final_figures(report, metrics, digest),
        None => figures_so_far(report, digest),
    };
    let mut warnings = Vec::new();
    if report.metrics.is_none() {
        warnings.push(unfinished(digest));
    }
    if let Some(metrics) = &report.metrics
        && is_chosen_on_the_same(metrics, digest)
    {
        let measure = metrics.measure().name();
        warnings.push(format!(
            "The best epoch was chosen by its {measure} on these same {} images, so the {measure} is \
             slightly on the high side.",
            metrics.split
        ));
    }
    html! {
        @match &report.metrics {
            Some(metrics) => (verdict(metrics)),
            None => (progress(digest)),
        }
        (circumstances(report, digest))
        (key_figures(&figures))
        (note(Tone::Warning, &warnings))
        (note(Tone::Plain, &report.notes))
    }
}

/// The result in a sentence.
fn verdict(metrics: &RunMetrics) -> Markup {
    let measure = metrics.measure();
    let interval = metrics.score_interval();
    let interval = interval.and_then(|interval| interval_in_words(measure, &interval));
    let epochs = match (metrics.best_epoch, metrics.epochs) {
        (best, all) if best == all => format!("after {}", number::counted(all, "epoch", "epochs")),
        (best, all) => format!(
            "with the weights of epoch {}, the best of {}",
            number::grouped(best),
            number::grouped(all)
        ),
    };
    html! {
        p.lead {
            @match measure {
                Measure::Accuracy => {
                    "It recognises "
                    strong { (number::score(measure, metrics.score())) }
                    " of " (images_of(&metrics.split, metrics.images()))
                }
                Measure::RocAuc => {
                    "Its mean ROC-AUC over classes is "
                    strong { (number::score(measure, metrics.score())) }
                    " on " (images_of(&metrics.split, metrics.images()))
                }
            }
            @if let Some(interval) = interval {
                " (" (interval) ")"
            }
            ", " (epochs) "."
        }
    }
}

/// What there is of a run without a result.
fn progress(digest: &Digest<'_>) -> Markup {
    let finished = digest.epochs.last().map_or(0, |epoch| epoch.epoch);
    let planned = digest.start.map(|start| start.epochs);
    html! {
        p.lead {
            @if let Some(best) = digest.best() {
                @match digest.measure() {
                    Measure::Accuracy => {
                        "So far it recognises at best "
                        strong { (number::score(Measure::Accuracy, best.score())) }
                        " of the validation images"
                    }
                    Measure::RocAuc => {
                        "So far its mean ROC-AUC on the validation images is at best "
                        strong { (number::score(Measure::RocAuc, best.score())) }
                    }
                }
                ", after epoch " (number::grouped(best.epoch)) ". "
            }
            (number::counted(finished, "epoch", "epochs"))
            @if let Some(planned) = planned {
                " of " (number::grouped(planned))
            }
            @if finished == 1 { " is finished." } @else { " are finished." }
        }
    }
}

fn unfinished(digest: &Digest<'_>) -> String {
    match digest.ending {
        Ending::Interrupted { step } => format!(
            "This run was interrupted after step {} and has no final evaluation. Everything below \
             is what it had reached by then.",
            number::grouped(step)
        ),
        Ending::Failed { reason } => format!(
            "This run failed and has no final evaluation: {reason}. Everything below is what it had \
             reached by then."
        ),
        Ending::Reached => "Training ended, but there is no final evaluation.".to_owned(),
        Ending::Unknown => "This run has no end: it is still going on, or its process was stopped \
                            before it could say so. Everything below is what it has reached so far."
            .to_owned(),
    }
}

/// Whether the images that chose the best epoch are those of the evaluation.
fn is_chosen_on_the_same(metrics: &RunMetrics, digest: &Digest<'_>) -> bool {
    let images = digest.start.map(|start| start.validation_images);
    let of_epoch = |epoch: &&Epoch| epoch.epoch == metrics.best_epoch;
    let chosen = digest.epochs.iter().rfind(of_epoch);
    images == Some(metrics.images())
        && metrics.epochs > 1
        && chosen.is_some_and(|epoch| (epoch.score() - metrics.score()).abs() < 1e-9)
}

/// Where, when and how.
fn circumstances(report: &RunReport, digest: &Digest<'_>) -> Markup {
    let recorded = report.metrics.as_ref().map(|m| m.data.as_str());
    let data = recorded.or(digest.start.map(|start| start.data));
    html! {
        p.quiet {
            @if let Some(data) = data {
                "Data: " code { (data) }
            }
            @if let Some(start) = digest.start {
                " · " (moment(start.time))
                " · seed " (start.seed)
                " · " (start.precision)
                " · trained on "
                (number::counted(start.train_images, "image", "images"))
            }
        }
    }
}

fn interval_in_words(measure: Measure, interval: &ConfidenceInterval) -> Option<String> {
    let written = |value| match measure {
        Measure::Accuracy => number::percent(value, 1),
        Measure::RocAuc => number::decimal(value, 3),
    };
    Some(format!(
        "{}\u{a0}interval: {} to {}",
        number::percent(interval.level, 0),
        written(interval.lower?),
        written(interval.upper?)
    ))
}

fn final_figures(report: &RunReport, metrics: &RunMetrics, digest: &Digest<'_>) -> Vec<Fact> {
    let mut figures = match &metrics.results {
        RunResults::SingleLabel(results) => single_label_figures(metrics, results),
        RunResults::MultiLabel(results) => multi_label_figures(metrics, results),
    };
    figures.push(parameters(report, metrics.parameters));
    figures.extend(time_per_epoch(digest));
    let speed = number::significant(metrics.train_images_per_second);
    figures.push(Fact::new("Images per second", speed).with_detail("in training, median"));
    let epochs = number::counted(metrics.epochs, "epoch", "epochs");
    figures.push(Fact::new("Total time", number::duration(metrics.seconds)).with_detail(epochs));
    figures
}

fn ranged(fact: Fact, measure: Measure, interval: Option<ConfidenceInterval>) -> Fact {
    match interval.and_then(|interval| interval_in_words(measure, &interval)) {
        Some(words) => fact.with_detail(words),
        None => fact,
    }
}

fn single_label_figures(metrics: &RunMetrics, results: &SingleLabelResults) -> Vec<Fact> {
    let evaluation = &results.evaluation;
    let intervals = { results.judgement.as_ref() }.map(|judgement| judgement.intervals);
    let accuracy = Fact::new(
        format!("Accuracy, {} images", metrics.split),
        number::percent(evaluation.accuracy, 2),
    );
    let macro_f1 = Fact::new("Macro F1", number::percent(evaluation.macro_average.f1, 2));
    let measure = Measure::Accuracy;
    let mut figures = vec![
        ranged(accuracy, measure, intervals.map(|found| found.accuracy)),
        ranged(macro_f1, measure, intervals.map(|found| found.macro_f1)),
    ];
    if metrics.classes.len() >= LEAST_CLASSES_FOR_TOP5 {
        let top5 = Fact::new("Top 5", number::percent(evaluation.top5, 2));
        figures.push(top5.with_detail("true class among the five likeliest"));
    }
    figures
}

fn multi_label_figures(metrics: &RunMetrics, results: &MultiLabelResults) -> Vec<Fact> {
    let found = &results.multilabel;
    let four = |value| number::decimal(value, 4);
    let area = Fact::new(
        format!("Mean ROC-AUC, {} images", metrics.split),
        number::optional(found.scores.ranking.macro_roc_auc, four),
    );
    let precision = Fact::new(
        "Mean average precision",
        number::optional(found.scores.ranking.macro_average_precision, four),
    );
    let percent = |share| number::percent(share, 2);
    let macro_f1 = Fact::new("Macro F1", percent(found.decisions.macro_average.f1));
    let micro_f1 = percent(found.decisions.micro_average.f1);
    let exact = Fact::new(
        "All classes right",
        number::optional(found.decisions.exact_match_ratio, percent),
    );
    let two = |value| number::decimal(value, 2);
    let predicted = number::optional(found.predicted_cardinality, two);
    let cardinality = Fact::new(
        "Classes of an image",
        number::optional(found.label_cardinality, two),
    );
    vec![
        ranged(area, Measure::RocAuc, Some(found.intervals.macro_roc_auc)),
        precision,
        macro_f1.with_detail(format!("micro F1 {micro_f1}")),
        exact.with_detail("share of the images"),
        cardinality.with_detail(format!("on average; {predicted} predicted")),
    ]
}

fn parameters(report: &RunReport, parameters: u64) -> Fact {
    let fact = Fact::new("Parameters", number::compact(parameters));
    match report.network.multiply_accumulates {
        0 => fact,
        count => fact.with_detail(format!("{} MACs an image", number::compact(count))),
    }
}

fn time_per_epoch(digest: &Digest<'_>) -> Option<Fact> {
    let training = number::median(digest.epochs.iter().map(|epoch| epoch.train_seconds))?;
    let validation = number::median(digest.epochs.iter().map(|epoch| epoch.validation_seconds))?;
    let both = number::median(
        { digest.epochs.iter() }.map(|epoch| epoch.train_seconds + epoch.validation_seconds),
    )?;
    let detail = format!(
        "median; training {}, validation {}",
        number::duration(training),
        number::duration(validation)
    );
    Some(Fact::new("Time per epoch", number::duration(both)).with_detail(detail))
}

fn figures_so_far(report: &RunReport, digest: &Digest<'_>) -> Vec<Fact> {
    let mut figures = Vec::new();
    if let Some(best) = digest.best() {
        let measure = digest.measure();
        let fact = Fact::new(
            format!("Best validation {}", measure.name()),
            number::score(measure, best.score()),
        );
        figures.push(fact.with_detail(format!("epoch {}", number::grouped(best.epoch))));
    }
    if let Some(step) = digest.steps.last() {
        let fact = Fact::new("Training loss", number::significant(step.loss));
        figures.push(fact.with_detail(format!("at step {}", number::grouped(step.step))));
    }
    let recorded = digest.start.map(|start| start.parameters);
    figures.push(parameters(
        report,
        recorded.unwrap_or(report.network.parameters),
    ));
    figures.extend(time_per_epoch(digest));
    if let Some(speed) = number::median(digest.steps.iter().map(|step| step.images_per_second)) {
        let fact = Fact::new("Images per second", number::significant(speed));
        figures.push(fact.with_detail("in training, median"));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_have_names() {
        assert_eq!(data_name("builtin"), "the built-in images");
        assert_eq!(data_name("cifar10:/data/c"), "CIFAR-10");
        assert_eq!(data_name("folder:/data/flowers/"), "flowers");
        assert_eq!(data_name("folder:C:\\data\\flowers"), "flowers");
        assert_eq!(data_name("folder:/"), "folder:/");
        assert_eq!(data_name(""), "");
    }

    #[test]
    fn times_are_in_words() {
        assert_eq!(
            moment("2026-11-25T22:44:21Z"),
            "25 November 2026, 22:44 UTC"
        );
        assert_eq!(
            moment("2026-11-25T23:44:21+01:00"),
            "25 November 2026, 22:44 UTC"
        );
        assert_eq!(moment("yesterday"), "yesterday");
    }
}
