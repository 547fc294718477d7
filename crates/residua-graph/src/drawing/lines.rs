//! Painting the edges: the wires down the main columns, the arcs beside them, the lines that
//! pass cards, and the words on all of these.

use super::canvas::{Font, baseline};
use super::geometry::{Point, Rectangle};
use super::measure::{ArcMeasure, BRANCH_OFFSET, SLIM_SIZE, TITLE_HEIGHT, is_framed, is_input};
use super::notation::text_width;
use super::outline::{Arc, Card, Sign, Source};
use super::paint::{Painter, tint};
use crate::graph::NodeId;
use crate::shape::Shape;

const DOT_RADIUS: i32 = 3;
const WIRE: &str = "wire";
const POINTED_WIRE: &str = "wire pointed";

impl Painter<'_> {
    /// All lines that end within a card, except those that pass other cards.
    pub(super) fn wires(&mut self, index: usize, card: &Card, corner: Point) {
        if card.is_fed {
            self.feed(index, corner.moved(self.layout.measure.axis, 0));
        }
        let measured = &self.layout.measure.cards[index];
        let on_axis = |y: i32| corner.moved(self.layout.measure.axis, y);
        if is_framed(card) && card.is_fed {
            let inlet = on_axis(TITLE_HEIGHT);
            match (card.elements.first(), measured.elements.first()) {
                (Some(first), Some(span)) if first.is_joined => {
                    self.canvas.line(POINTED_WIRE, &[inlet, on_axis(span.top)]);
                }
                _ => self.canvas.line(WIRE, &[inlet, on_axis(measured.entry)]),
            }
        }
        let steps = measured.elements.windows(2);
        for (spans, element) in steps.zip(card.elements.iter().skip(1)) {
            if element.is_joined {
                let ends = [on_axis(spans[0].bottom()), on_axis(spans[1].top)];
                self.canvas.line(POINTED_WIRE, &ends);
            }
        }
        for (arc, places) in card.arcs.iter().zip(&measured.arcs) {
            self.arc(card, arc, places, corner);
        }
    }

    /// The line to the output sign, where the last card gives the output.
    pub(super) fn feed_output(&mut self) {
        if self.outline.ends_in_output {
            let end = self.layout.output.moved(self.layout.measure.axis, 0);
            self.feed(self.outline.cards.len(), end);
        }
    }

    /// The line from the card before, which ends at a point.
    fn feed(&mut self, index: usize, end: Point) {
        let Some(before) = index.checked_sub(1) else {
            return;
        };
        let corner = self.layout.cards[before];
        let elements = &self.layout.measure.cards[before].elements;
        let bottom = elements.last().map_or(0, |last| last.bottom());
        let mut points = vec![corner.moved(self.layout.measure.axis, bottom)];
        if let Some(turn) = self.layout.turn_to(index) {
            points.extend(turn.corners);
        }
        points.push(end);
        self.canvas.line(POINTED_WIRE, &points);
    }

    fn arc(&mut self, card: &Card, arc: &Arc, places: &ArcMeasure, corner: Point) {
        let Some(lane) = places.lane else { return };
        let measure = &self.layout.measure;
        let lane = corner.x + measure.lanes[lane].x;
        let branch = corner.moved(measure.axis, places.start);
        let comes_from_outside = matches!(arc.source, Source::Outside(_));
        let class = format!("arc pointed shortcut {}", tint(card.stage));
        self.canvas.open_group(&self.arc_hint(arc));
        for (&target, &end) in arc.targets.iter().zip(&places.ends) {
            let end = corner.moved(measure.right_of(&card.elements[target]), end);
            let bends = [Point::new(lane, branch.y), Point::new(lane, end.y)];
            let mut points = vec![branch, bends[0], bends[1], end];
            if comes_from_outside {
                points.remove(0);
            }
            self.canvas.line(&class, &points);
        }
        self.canvas.close_group();
        match arc.source {
            Source::Entry => self.canvas.circle("dot", branch, DOT_RADIUS),
            Source::Element(_) => self.branch(branch),
            Source::Outside(_) => {}
        }
    }

    /// The dot where an edge leaves the value of an element, joined to the element.
    fn branch(&mut self, at: Point) {
        self.canvas.line(WIRE, &[at.moved(0, -BRANCH_OFFSET), at]);
        self.canvas.circle("dot", at, DOT_RADIUS);
    }

    fn arc_hint(&self, arc: &Arc) -> String {
        let rows = arc.chain.iter().flat_map(|element| &element.rows);
        let names: Vec<&str> = rows
            .map(|row| self.graph.node(row.node).name.as_str())
            .collect();
        if names.is_empty() {
            "identity".to_owned()
        } else {
            names.join(", ")
        }
    }

    /// The lines that pass cards.
    pub(super) fn buses(&mut self) {
        for bus in &self.layout.buses {
            self.canvas.open_group(&self.graph.node(bus.source).name);
            for end in &bus.ends {
                let bends = [Point::new(bus.x, bus.start.y), Point::new(bus.x, end.y)];
                let points = [bus.start, bends[0], bends[1], *end];
                self.canvas.line("arc pointed shortcut tn", &points);
            }
            self.branch(bus.start);
            self.canvas.close_group();
        }
    }

    /// The shape on the line into a card, where it has changed, and the word on the arcs that
    /// add a value as it is.
    pub(super) fn line_labels(&mut self, index: usize, card: &Card, corner: Point) {
        if let Some(shape) = self.new_shape(index, card) {
            let font = Font {
                class: "numbers soft-ink",
                size: SLIM_SIZE,
            };
            let middle = (self.line_start(index) + corner.y) / 2;
            let left = self.layout.axis(corner) + 10;
            let at = Point::new(left, baseline(middle, SLIM_SIZE));
            self.canvas.text(font, at, &shape.to_string());
        }
        let adds = |arc: &Arc| {
            let mut targets = arc.targets.iter();
            targets.all(|&target| card.elements[target].sign == Some(Sign::Sum))
        };
        for (arc, places) in card.arcs.iter().zip(&self.layout.measure.cards[index].arcs) {
            if let (Some(lane), true) = (places.lane, arc.chain.is_empty() && adds(arc)) {
                self.identity(card, places, lane, corner);
            }
        }
    }

    /// The height at which the upright line into a card begins.
    fn line_start(&self, index: usize) -> i32 {
        match (self.layout.turn_to(index), index.checked_sub(1)) {
            (Some(turn), _) => turn.corners[3].y,
            (None, Some(before)) => {
                self.layout.cards[before].y + self.layout.measure.cards[before].height
            }
            (None, None) => 0,
        }
    }

    /// The shape that enters a card, where it differs from what entered the card before. The
    /// input sign tells its shape itself.
    fn new_shape(&self, index: usize, card: &Card) -> Option<Shape> {
        let before = &self.outline.cards[index.checked_sub(1)?];
        let entering = |card: &Card| {
            let entry = card.nodes.start.checked_sub(1).map(NodeId);
            entry.map(|entry| self.graph.shape_of(entry))
        };
        let shape = entering(card)?;
        let changed = Some(shape) != entering(before) || !before.is_fed;
        (card.is_fed && changed && !is_input(before)).then_some(shape)
    }

    fn identity(&mut self, card: &Card, places: &ArcMeasure, lane: usize, corner: Point) {
        const TEXT: &str = "identity";
        let end = places.ends.first().copied().unwrap_or(places.start);
        let top = (places.start + end) / 2 - SLIM_SIZE;
        let axis = corner.x + self.layout.measure.lanes[lane].x;
        let width = text_width(TEXT, SLIM_SIZE);
        let gap = Rectangle::around(axis, width, corner.y + top, 2 * SLIM_SIZE);
        self.canvas.rectangle("gap", gap, 0);
        let font = Font {
            class: &format!("middle ink {}", tint(card.stage)),
            size: SLIM_SIZE,
        };
        self.canvas.text_within(font, gap, TEXT);
    }
}
