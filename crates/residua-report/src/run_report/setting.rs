//! In what setting a run was made: network, configuration, machine, images left out.

use maud::{Markup, html};
use residua_core::run::{Environment, Event};

use super::NetworkFacts;
use super::digest::Digest;
use crate::number;
use crate::page::{Fact, disclosure, drawing, facts, prose, table, toml};
use crate::table::{Column, Table};

/// As many images that were left out are listed.
const MOST_LEFT_OUT: usize = 200;

pub(super) fn network(network: &NetworkFacts) -> Markup {
    let [height, width, channels] = network.input;
    let input = match network.input {
        [0, ..] | [_, 0, _] | [.., 0] => String::new(),
        _ => format!("{height} × {width} × {channels}"),
    };
    let figures = [
        Fact::new("Name", network.name.as_str()),
        Fact::new("Trainable parameters", number::grouped(network.parameters)),
        Fact::new(
            "Multiply-accumulates for an image",
            number::grouped(network.multiply_accumulates),
        ),
        Fact::new("Input, height × width × channels", input),
    ];
    html! {
        (facts(&figures))
        @if let Some(svg) = &network.svg {
            (disclosure(
                "Drawing of the network",
                drawing(svg, &format!("Drawing of {}", network.name)),
            ))
        }
    }
}

pub(super) fn configuration(text: &str) -> Markup {
    if text.trim().is_empty() {
        return prose("No configuration was recorded.");
    }
    disclosure("Every setting of the run (config.toml)", toml(text))
}

pub(super) fn environment(digest: &Digest<'_>) -> Markup {
    let environment = digest.start.map(|start| start.environment);
    let Some(environment) = environment.filter(|found| **found != Environment::default()) else {
        return prose("The machine of this run was not recorded.");
    };
    let threads = match environment.threads {
        0 => String::new(),
        threads => threads.to_string(),
    };
    facts(&[
        Fact::new("Residua", environment.version.as_str()),
        Fact::new("Device", environment.device.as_str()),
        Fact::new("Processor", environment.processor.as_str()),
        Fact::new("Vector instructions", environment.instruction_set.as_str()),
        Fact::new("Threads", threads),
        Fact::new("System", environment.system.as_str()),
    ])
}

/// `None` when every image could be read.
pub(super) fn left_out(events: &[Event]) -> Option<Markup> {
    let unreadable: Vec<(&String, &String)> = { events.iter() }
        .filter_map(|event| match event {
            Event::Quarantine { path, reason } => Some((path, reason)),
            _ => None,
        })
        .collect();
    if unreadable.is_empty() {
        return None;
    }
    let count = unreadable.len();
    let listed = unreadable.iter().take(MOST_LEFT_OUT);
    let rest = count.saturating_sub(MOST_LEFT_OUT) as u64;
    let list = Table {
        caption: format!(
            "{} could not be read and took no part",
            number::counted(count as u64, "image", "images")
        ),
        columns: vec![Column::words("file"), Column::words("reason")],
        rows: { listed }
            .map(|(path, reason)| vec![(*path).clone(), (*reason).clone()])
            .collect(),
        note: (rest > 0).then(|| format!("{} more are not listed.", number::grouped(rest))),
    };
    Some(table(&list))
}
