//! What a reader of a run's page sees first.

use jiff::Timestamp;
use maud::{Markup, html};
use residua_core::metrics::bootstrap::ConfidenceInterval;
use residua_core::run::RunMetrics;

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
        warnings.push(format!(
            "The best epoch was chosen by its accuracy on these same {} images, so the accuracy is \
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
    let evaluation = &metrics.evaluation;
    let interval = metrics.judgement.as_ref();
    let interval = interval.and_then(|j| interval_in_words(&j.intervals.accuracy));
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
            "It recognises "
            strong { (number::percent(evaluation.accuracy, 2)) }
            " of " (images_of(&metrics.split, evaluation.images))
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
                "So far it recognises at best "
                strong { (number::percent(best.validation_accuracy, 2)) }
                " of the validation images, after epoch " (number::grouped(best.epoch)) ". "
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
    images == Some(metrics.evaluation.images)
        && metrics.epochs > 1
        && chosen.is_some_and(|epoch| {
            (epoch.validation_accuracy - metrics.evaluation.accuracy).abs() < 1e-9
        })
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

fn interval_in_words(interval: &ConfidenceInterval) -> Option<String> {
    Some(format!(
        "{}\u{a0}interval: {} to {}",
        number::percent(interval.level, 0),
        number::percent(interval.lower?, 1),
        number::percent(interval.upper?, 1)
    ))
}

fn final_figures(report: &RunReport, metrics: &RunMetrics, digest: &Digest<'_>) -> Vec<Fact> {
    let evaluation = &metrics.evaluation;
    let intervals = metrics
        .judgement
        .as_ref()
        .map(|judgement| judgement.intervals);
    let ranged = |fact: Fact, interval: Option<ConfidenceInterval>| match interval
        .and_then(|interval| interval_in_words(&interval))
    {
        Some(words) => fact.with_detail(words),
        None => fact,
    };
    let accuracy = Fact::new(
        format!("Accuracy, {} images", metrics.split),
        number::percent(evaluation.accuracy, 2),
    );
    let macro_f1 = Fact::new("Macro F1", number::percent(evaluation.macro_average.f1, 2));
    let mut figures = vec![
        ranged(accuracy, intervals.map(|found| found.accuracy)),
        ranged(macro_f1, intervals.map(|found| found.macro_f1)),
    ];
    if metrics.classes.len() >= LEAST_CLASSES_FOR_TOP5 {
        let top5 = Fact::new("Top 5", number::percent(evaluation.top5, 2));
        figures.push(top5.with_detail("true class among the five likeliest"));
    }
    figures.push(parameters(report, metrics.parameters));
    figures.extend(time_per_epoch(digest));
    let speed = number::significant(metrics.train_images_per_second);
    figures.push(Fact::new("Images per second", speed).with_detail("in training, median"));
    let epochs = number::counted(metrics.epochs, "epoch", "epochs");
    figures.push(Fact::new("Total time", number::duration(metrics.seconds)).with_detail(epochs));
    figures
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
        let fact = Fact::new(
            "Best validation accuracy",
            number::percent(best.validation_accuracy, 2),
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
