//! What happened in a run, one after the other.

use maud::{Markup, html};
use residua_core::run::Event;
use residua_core::task::Measure;

use super::digest::{Digest, Ending};
use super::head::moment;
use crate::number;
use crate::page::prose;

/// Of best epochs only the last ones are listed; runs may have hundreds.
const MOST_BEST: usize = 6;

/// A line of the time line.
struct Entry {
    kind: Kind,
    text: String,
    /// When, or how good.
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Best,
    Stop,
}

pub(super) fn section(events: &[Event], digest: &Digest<'_>) -> Markup {
    let entries = entries(events, digest);
    if entries.is_empty() {
        return prose("Nothing was recorded.");
    }
    html! {
        ol.time-line {
            @for entry in entries {
                li class=[class(entry.kind)] {
                    (entry.text)
                    @if !entry.detail.is_empty() {
                        " " span.detail { (entry.detail) }
                    }
                }
            }
        }
    }
}

fn class(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Plain => None,
        Kind::Best => Some("good"),
        Kind::Stop => Some("bad"),
    }
}

fn entries(events: &[Event], digest: &Digest<'_>) -> Vec<Entry> {
    let is_best =
        |event: &&Event| matches!(event, Event::Checkpoint { name, .. } if name == "best");
    let all_best = events.iter().filter(is_best).count();
    let mut best = 0;
    let mut entries = Vec::new();
    for event in events {
        if is_best(&event) {
            best += 1;
            if all_best > MOST_BEST && best == all_best - MOST_BEST {
                entries.push(Entry {
                    kind: Kind::Plain,
                    text: format!(
                        "{} not listed",
                        number::counted(best as u64, "earlier best epoch", "earlier best epochs")
                    ),
                    detail: String::new(),
                });
            }
            if best + MOST_BEST <= all_best {
                continue;
            }
        }
        entries.extend(entry(event, digest));
    }
    if digest.ending == Ending::Unknown && !events.is_empty() {
        let last = digest.steps.iter().map(|step| step.step).max();
        entries.push(Entry {
            kind: Kind::Stop,
            text: "Nothing more is recorded".to_owned(),
            detail: last.map_or_else(String::new, |step| {
                format!("after step {}", number::grouped(step))
            }),
        });
    }
    entries
}

fn entry(event: &Event, digest: &Digest<'_>) -> Option<Entry> {
    let (kind, text, detail) = match event {
        Event::Start { time, epochs, .. } => (
            Kind::Plain,
            format!(
                "Training began, for {}",
                number::counted(*epochs, "epoch", "epochs")
            ),
            moment(time),
        ),
        Event::Checkpoint { step, name } if name == "best" => {
            let epoch = digest.epochs.iter().find(|epoch| epoch.step == *step);
            let text = match epoch {
                Some(epoch) => format!("Best so far: epoch {}", number::grouped(epoch.epoch)),
                None => format!("Best so far: step {}", number::grouped(*step)),
            };
            let measure = digest.measure();
            let score = epoch.map(|epoch| match measure {
                Measure::Accuracy => number::score(measure, epoch.score()),
                Measure::RocAuc => {
                    format!(
                        "{} {}",
                        measure.name(),
                        number::score(measure, epoch.score())
                    )
                }
            });
            let detail = score.unwrap_or_default();
            (Kind::Best, text, detail)
        }
        Event::Resume {
            step,
            finished_epochs,
            time,
        } => (
            Kind::Plain,
            format!(
                "Continued from step {}, after {}",
                number::grouped(*step),
                number::counted(*finished_epochs, "finished epoch", "finished epochs")
            ),
            moment(time),
        ),
        Event::Warning {
            step,
            time,
            message,
        } => (
            Kind::Plain,
            format!("Warning after step {}: {message}", number::grouped(*step)),
            moment(time),
        ),
        Event::Interrupted { step, time } => (
            Kind::Stop,
            format!("Interrupted after step {}", number::grouped(*step)),
            moment(time),
        ),
        Event::Failed { step, time, .. } => (
            Kind::Stop,
            format!("Failed after step {}", number::grouped(*step)),
            moment(time),
        ),
        Event::End { time, seconds, .. } => (
            Kind::Plain,
            format!(
                "Training ended, after {} of work",
                number::duration(*seconds)
            ),
            moment(time),
        ),
        Event::Checkpoint { .. }
        | Event::Quarantine { .. }
        | Event::Step { .. }
        | Event::Epoch { .. } => return None,
    };
    Some(Entry { kind, text, detail })
}
