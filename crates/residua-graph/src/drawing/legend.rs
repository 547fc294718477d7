//! The words around a drawing: its heading with the key figures, and what its signs mean.

use super::canvas::{Canvas, Font};
use super::geometry::Point;
use super::layout::{HEADING, MARGIN};
use super::notation::{fit, short_count, text_width};
use super::outline::{Outline, Sign};
use crate::graph::Graph;

const HEADING_SIZE: i32 = 24;
const CAPTION_SIZE: i32 = 10;
const FIGURE_SIZE: i32 = 15;
/// Between the starts of two figures, where there is room.
const FIGURE_STEP: i32 = 130;
const FIGURE_GAP: i32 = 12;
const FOOTER_SIZE: i32 = 11;
const FOOTER_LINE: i32 = 17;
const FOOTER_GAP: i32 = 30;

/// What the drawing shows, in a sentence.
pub(super) fn description(graph: &Graph) -> String {
    format!(
        "Architecture of {}: {} parameters and {} multiply-accumulates for an input of {}; \
         the output is {}.",
        graph.name(),
        graph.trainable_parameters(),
        graph.macs(),
        graph.input_shape(),
        graph.output_shape()
    )
}

fn figures(graph: &Graph) -> [(&'static str, String); 4] {
    [
        ("PARAMETERS", short_count(graph.trainable_parameters())),
        ("MACS", short_count(graph.macs())),
        ("INPUT", graph.input_shape().to_string()),
        ("OUTPUT", graph.output_shape().to_string()),
    ]
}

fn figure_width((caption, figure): &(&str, String)) -> i32 {
    // Captions are spaced out.
    let caption = text_width(caption, CAPTION_SIZE) + caption.len() as i32 / 2;
    caption.max(text_width(figure, FIGURE_SIZE)) + FIGURE_GAP
}

/// The width that the heading needs, margins included.
pub(super) fn least_width(graph: &Graph) -> i32 {
    let figures = figures(graph);
    figures.iter().map(figure_width).sum::<i32>() + 2 * MARGIN
}

/// Writes name and key figures.
pub(super) fn heading(canvas: &mut Canvas, graph: &Graph, width: i32) {
    let width = width - 2 * MARGIN;
    let corner = Point::new(MARGIN, MARGIN);
    let font = |class, size| Font { class, size };
    let name = fit(graph.name(), HEADING_SIZE, width);
    let name_font = font("heading dark-ink", HEADING_SIZE);
    canvas.text(name_font, corner.moved(0, 20), &name);
    let figures = figures(graph);
    let is_roomy = width >= FIGURE_STEP * figures.len() as i32;
    let mut at = corner;
    for figure in &figures {
        let caption_font = font("caption faint-ink", CAPTION_SIZE);
        canvas.text(caption_font, at.moved(0, 46), figure.0);
        let figure_font = font("bold numbers dark-ink", FIGURE_SIZE);
        canvas.text(figure_font, at.moved(0, 66), &figure.1);
        let least = if is_roomy { FIGURE_STEP } else { 0 };
        at.x += figure_width(figure).max(least);
    }
    let rule = corner.moved(0, HEADING - 24);
    canvas.line("rule", &[rule, rule.moved(width, 0)]);
}

/// The meaning of the signs that occur in a drawing, broken into lines.
pub(super) fn footer_lines(outline: &Outline, width: i32) -> Vec<String> {
    let width = width - 2 * MARGIN;
    let chains = outline.cards.iter().flat_map(|card| &card.arcs);
    let chains = chains.flat_map(|arc| &arc.chain);
    let columns = outline.cards.iter().flat_map(|card| &card.elements);
    let elements = columns.chain(chains);
    let mut rows = elements.clone().flat_map(|element| &element.rows);
    let occurs = |sign| elements.clone().any(|element| element.sign == Some(sign));
    let phrases = [
        (
            outline.cards.iter().any(|card| card.repeats > 1),
            "× n: n identical blocks in sequence",
        ),
        (occurs(Sign::Sum), "⊕: addition"),
        (occurs(Sign::Product), "⊗: product with a gate"),
        (rows.any(|row| row.label.ends_with(", /2")), "/2: stride 2"),
        (true, "h×w×c: height, width, channels"),
        (true, "MACs: multiply-accumulates for one image"),
    ];
    let mut lines: Vec<String> = Vec::new();
    for (_, phrase) in phrases.into_iter().filter(|(occurs, _)| *occurs) {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} · {phrase}"), FOOTER_SIZE) <= width => {
                *line += " · ";
                *line += phrase;
            }
            _ => lines.push(phrase.to_owned()),
        }
    }
    lines
}

/// The height that the footer needs.
pub(super) fn footer_height(lines: &[String]) -> i32 {
    FOOTER_GAP + FOOTER_LINE * lines.len() as i32
}

/// Writes the footer below this height.
pub(super) fn footer(canvas: &mut Canvas, lines: &[String], top: i32) {
    let font = Font {
        class: "faint-ink",
        size: FOOTER_SIZE,
    };
    let mut at = Point::new(MARGIN, top + FOOTER_GAP + FOOTER_SIZE);
    for line in lines {
        canvas.text(font, at, line);
        at.y += FOOTER_LINE;
    }
}
