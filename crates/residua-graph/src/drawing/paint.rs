//! Painting a layout, from the background to the text.

use super::canvas::{Canvas, Font, baseline};
use super::geometry::{Point, Rectangle};
use super::layout::{Layout, MARGIN, Panel, STAGE_NAME_INSET, STAGE_STRIP};
use super::legend;
use super::measure::{
    LABEL_SIZE, SHEET_OFFSET, SIGN_RADIUS, SLIM_SIZE, TERMINAL_HEIGHT, TITLE_HEIGHT, TITLE_INSET,
    badge, badge_width, caption_repeats, is_framed, is_input, row_heights,
};
use super::notation::{counted, fit, label, short_count, text_width};
use super::outline::{Card, Element, Outline, Row, Sign};
use crate::graph::{Graph, NodeId};

/// How many tints the style sheet has.
const TINTS: usize = 6;
const UNIT_RADIUS: i32 = 5;
const FRAME_RADIUS: i32 = 8;
const PANEL_RADIUS: i32 = 12;
const PAGE_RADIUS: i32 = 14;

/// Paints a graph.
pub(super) fn paint(graph: &Graph, outline: &Outline, layout: &Layout) -> String {
    let width = layout.width;
    let footer = legend::footer_lines(outline, width);
    let height = layout.height + legend::footer_height(&footer) + MARGIN;
    let description = legend::description(graph);
    let mut painter = Painter {
        graph,
        outline,
        layout,
        canvas: Canvas::new(width, height, graph.name(), &description),
    };
    painter.page(width, height);
    legend::heading(&mut painter.canvas, graph, width);
    layout.panels.iter().for_each(|panel| painter.panel(panel));
    painter.each_card(Painter::frame);
    painter.each_card(Painter::wires);
    painter.feed_output();
    painter.buses();
    painter.each_card(Painter::elements);
    painter.output();
    painter.each_card(Painter::line_labels);
    legend::footer(&mut painter.canvas, &footer, layout.height);
    painter.canvas.finish()
}

/// The class of a stage's colours.
pub(super) fn tint(stage: Option<usize>) -> String {
    stage.map_or_else(|| "tn".to_owned(), |stage| format!("t{}", stage % TINTS))
}

/// What is painted, and on what. The lines are in a file of their own.
pub(super) struct Painter<'a> {
    pub(super) graph: &'a Graph,
    pub(super) outline: &'a Outline,
    pub(super) layout: &'a Layout,
    pub(super) canvas: Canvas,
}

impl Painter<'_> {
    fn each_card(&mut self, paint: fn(&mut Self, usize, &Card, Point)) {
        let corners = &self.layout.cards;
        for (index, (card, corner)) in self.outline.cards.iter().zip(corners).enumerate() {
            paint(self, index, card, *corner);
        }
    }

    fn page(&mut self, width: i32, height: i32) {
        let page = Rectangle {
            x: 1,
            y: 1,
            width: width - 2,
            height: height - 2,
        };
        self.canvas.rectangle("page", page, PAGE_RADIUS);
    }

    /// The background of a stage, with its name along the side.
    fn panel(&mut self, panel: &Panel) {
        let tint = tint(Some(panel.stage));
        let area = Rectangle {
            x: panel.corner.x,
            y: panel.corner.y,
            width: panel.width,
            height: panel.height,
        };
        self.canvas.open_group(&self.outline.stages[panel.stage]);
        let class = format!("panel {tint}");
        self.canvas.rectangle(&class, area, PANEL_RADIUS);
        let room = panel.height - 2 * STAGE_NAME_INSET;
        let name = fit(&self.outline.stages[panel.stage], LABEL_SIZE, room);
        let details = self.stage_details(panel, room - text_width(&name, LABEL_SIZE));
        let name_font = Font {
            class: &format!("bold ink {tint}"),
            size: LABEL_SIZE,
        };
        let details_font = Font {
            class: &format!("ink {tint}"),
            size: SLIM_SIZE,
        };
        let foot = baseline(area.x + STAGE_STRIP / 2, LABEL_SIZE);
        let at = Point::new(foot, area.middle().y);
        let parts = [(name_font, name.as_str()), (details_font, details.as_str())];
        self.canvas.upward_text(at, parts);
        self.canvas.close_group();
    }

    /// As much about a stage as there is room for behind its name.
    fn stage_details(&self, panel: &Panel, room: i32) -> String {
        let cards = &self.outline.cards[panel.cards.clone()];
        let blocks = cards.iter().filter(|card| card.is_block);
        let blocks: usize = blocks.map(|card| card.repeats).sum();
        let nodes = cards.iter().flat_map(|card| card.nodes.clone());
        let parameters = nodes.map(|index| self.parameters_of(NodeId(index))).sum();
        let details = [
            (blocks > 0, counted(blocks, "block")),
            (true, format!("{} parameters", short_count(parameters))),
        ];
        let mut text = String::new();
        for (_, detail) in details.into_iter().filter(|(applies, _)| *applies) {
            let longer = format!("{text} · {detail}");
            if text_width(&longer, SLIM_SIZE) <= room {
                text = longer;
            }
        }
        text
    }

    fn parameters_of(&self, id: NodeId) -> u64 {
        let state = self.graph.state_of(id);
        let trained = state.iter().filter(|entry| entry.role.is_trainable());
        trained.map(|entry| entry.elements() as u64).sum()
    }

    /// The sheet of a card with its title, or the caption of a lone operation.
    fn frame(&mut self, index: usize, card: &Card, corner: Point) {
        if is_input(card) {
            return;
        }
        let tint = tint(card.stage);
        if !is_framed(card) {
            self.caption(card, corner, &tint);
            return;
        }
        let measure = &self.layout.measure;
        let sheets = if card.repeats > 1 { SHEET_OFFSET } else { 0 };
        let sheet = Rectangle {
            x: corner.x,
            y: corner.y,
            width: measure.card_width,
            height: measure.cards[index].height - sheets,
        };
        let frame = format!("frame {tint}");
        if sheets > 0 {
            let behind = Rectangle {
                x: sheet.x + sheets,
                y: sheet.y + sheets,
                ..sheet
            };
            self.canvas.rectangle(&frame, behind, FRAME_RADIUS);
        }
        self.canvas.open_group(&card.title);
        self.canvas.rectangle(&frame, sheet, FRAME_RADIUS);
        self.title(card, sheet, &tint);
        let outline = format!("outline {tint}");
        self.canvas.rectangle(&outline, sheet, FRAME_RADIUS);
        self.canvas.close_group();
    }

    fn title(&mut self, card: &Card, sheet: Rectangle, tint: &str) {
        let strip = Rectangle {
            height: TITLE_HEIGHT,
            ..sheet
        };
        let class = format!("strip {tint}");
        self.canvas.tab(&class, strip, FRAME_RADIUS);
        let room = strip.width - self.badge(card, strip, tint) - 2 * TITLE_INSET;
        let font = Font {
            class: &format!("bold ink {tint}"),
            size: LABEL_SIZE,
        };
        let foot = baseline(strip.middle().y, LABEL_SIZE);
        let at = Point::new(strip.x + TITLE_INSET, foot);
        let title = fit(&card.title, LABEL_SIZE, room);
        self.canvas.text(font, at, &title);
    }

    /// How many blocks a card stands for; gives the width it takes.
    fn badge(&mut self, card: &Card, strip: Rectangle, tint: &str) -> i32 {
        const GAP: i32 = 4;
        if card.repeats == 1 {
            return 0;
        }
        let width = badge_width(card);
        let place = Rectangle {
            x: strip.x + strip.width - width - GAP,
            y: strip.y + GAP,
            width,
            height: TITLE_HEIGHT - 2 * GAP,
        };
        let class = format!("badge {tint}");
        self.canvas.rectangle(&class, place, place.height / 2);
        let font = Font {
            class: &format!("bold middle numbers ink {tint}"),
            size: LABEL_SIZE,
        };
        self.canvas.text_within(font, place, &badge(card));
        width
    }

    fn caption(&mut self, card: &Card, corner: Point, tint: &str) {
        let measure = &self.layout.measure;
        let repeats = caption_repeats(card);
        // The line into the operation passes to the right of the caption.
        let room = measure.unit_width / 2 - TITLE_INSET - text_width(&repeats, SLIM_SIZE);
        let text = fit(&card.title, SLIM_SIZE, room) + &repeats;
        let font = Font {
            class: &format!("bold ink {tint}"),
            size: SLIM_SIZE,
        };
        let left = measure.axis - measure.unit_width / 2;
        self.canvas.text(font, corner.moved(left + 2, -6), &text);
    }

    fn output(&mut self) {
        let text = format!("output {}", self.graph.output_shape());
        self.terminal(self.layout.output, &text);
    }

    /// The sign of the input or the output.
    fn terminal(&mut self, corner: Point, text: &str) {
        let axis = self.layout.axis(corner);
        let width = self.layout.measure.unit_width;
        let area = Rectangle::around(axis, width, corner.y, TERMINAL_HEIGHT);
        self.canvas.rectangle("terminal", area, TERMINAL_HEIGHT / 2);
        let font = Font {
            class: "bold middle on-terminal",
            size: LABEL_SIZE,
        };
        let text = fit(text, LABEL_SIZE, width - TERMINAL_HEIGHT);
        self.canvas.text_within(font, area, &text);
    }

    /// The operations of a card.
    fn elements(&mut self, index: usize, card: &Card, corner: Point) {
        if is_input(card) {
            let text = format!("input {}", self.graph.input_shape());
            self.terminal(corner, &text);
            return;
        }
        let tint = tint(card.stage);
        let measure = &self.layout.measure;
        let axis = self.layout.axis(corner);
        let places = &measure.cards[index];
        for (element, span) in card.elements.iter().zip(&places.elements) {
            let top = corner.y + span.top;
            let area = Rectangle::around(axis, measure.unit_width, top, span.height);
            match element.sign {
                Some(sign) => self.sign(sign, element, area.middle(), &tint),
                None => self.unit(element, area, &tint),
            }
        }
        for (arc, places) in card.arcs.iter().zip(&places.arcs) {
            let Some(lane) = places.lane else { continue };
            let lane = measure.lanes[lane];
            for (element, span) in arc.chain.iter().zip(&places.chain) {
                let (axis, top) = (corner.x + lane.x, corner.y + span.top);
                let area = Rectangle::around(axis, lane.width, top, span.height);
                self.unit(element, area, &tint);
            }
        }
    }

    /// ⊕ or ⊗, drawn so that it needs no font.
    fn sign(&mut self, sign: Sign, element: &Element, middle: Point, tint: &str) {
        // Both strokes reach as far from the middle, √2 · 4 ≈ 5.
        let (level, slant) = match sign {
            Sign::Sum => (SIGN_RADIUS - 4, 0),
            Sign::Product => (SIGN_RADIUS - 5, SIGN_RADIUS - 5),
        };
        let hint = element.rows.first().map(|row| self.hint(row.node));
        self.canvas.open_group(&hint.unwrap_or_default());
        let class = format!("sum {tint}");
        self.canvas.circle(&class, middle, SIGN_RADIUS);
        let class = format!("plus {tint}");
        for (right, down) in [(level, slant), (-slant, level)] {
            let ends = [middle.moved(-right, -down), middle.moved(right, down)];
            self.canvas.line(&class, &ends);
        }
        self.canvas.close_group();
    }

    /// An operation with its norm and activation.
    fn unit(&mut self, element: &Element, area: Rectangle, tint: &str) {
        let class = format!("slim {tint}");
        self.canvas.rectangle(&class, area, UNIT_RADIUS);
        let mut y = area.y;
        let heights = row_heights(element, area.height);
        for (row, height) in element.rows.iter().zip(heights) {
            let place = Rectangle { y, height, ..area };
            self.row(row, place, area, tint);
            y += height;
        }
        let class = format!("outline {tint}");
        self.canvas.rectangle(&class, area, UNIT_RADIUS);
    }

    fn row(&mut self, row: &Row, place: Rectangle, unit: Rectangle, tint: &str) {
        self.canvas.open_group(&self.hint(row.node));
        let (size, class) = if row.is_slim {
            (SLIM_SIZE, "middle soft-ink")
        } else {
            (LABEL_SIZE, "bold middle dark-ink")
        };
        let background = format!("operation {tint}");
        if !row.is_slim && place == unit {
            self.canvas.rectangle(&background, place, UNIT_RADIUS);
        } else if !row.is_slim {
            self.canvas.tab(&background, place, UNIT_RADIUS);
        }
        if place.y > unit.y {
            let left = Point::new(place.x, place.y);
            let ends = [left, left.moved(place.width, 0)];
            self.canvas.line(&format!("seam {tint}"), &ends);
        }
        let text = fit(&row.label, size, place.width - 2 * UNIT_RADIUS);
        self.canvas.text_within(Font { class, size }, place, &text);
        self.canvas.close_group();
    }

    /// Everything about a node, for the pointer that rests on it.
    fn hint(&self, id: NodeId) -> String {
        let node = self.graph.node(id);
        let mut hint = format!("{}: {} → {}", node.name, label(self.graph, id), node.shape);
        let costs = [
            (self.parameters_of(id), "parameters"),
            (self.graph.macs_of(id), "MACs"),
        ];
        for (cost, unit) in costs.into_iter().filter(|(cost, _)| *cost > 0) {
            hint += &format!(", {} {unit}", short_count(cost));
        }
        hint
    }
}
