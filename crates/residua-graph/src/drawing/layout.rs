//! Where everything in a drawing stands.
//!
//! All cards have one width and their main columns stand on one line. Arcs run in lanes to
//! the right of the main column; edges that pass cards run in lanes to the right of the
//! cards. A drawing that would be too tall is broken into columns between its stages.

use std::collections::BTreeMap;
use std::ops::Range;

use super::geometry::{Point, Span, assign_lanes};
use super::measure::{LABEL_SIZE, Measure, TERMINAL_HEIGHT};
use super::notation::text_width;
use super::outline::{Outline, Source};
use crate::graph::{Graph, NodeId};

/// Free space around everything.
pub(super) const MARGIN: i32 = 36;
/// Height of the heading, with the space below it.
pub(super) const HEADING: i32 = 108;
/// Width of the strip with the name of a stage.
pub(super) const STAGE_STRIP: i32 = 30;
/// From the ends of that strip to the name.
pub(super) const STAGE_NAME_INSET: i32 = 12;

const STAGE_PADDING: i32 = 16;
/// The panel of a low stage grows up to this height for the sake of its name.
const LOW_STAGE: i32 = 140;
const CARD_GAP: i32 = 40;
const COLUMN_GAP: i32 = 56;
const BUS_SPACING: i32 = 10;
/// A single column may be this tall before the drawing is broken into several.
const TALLEST_COLUMN: i32 = 1500;

/// A finished layout.
#[derive(Debug)]
pub(super) struct Layout {
    /// Width of the drawing.
    pub(super) width: i32,
    /// Height of the drawing without its footer.
    pub(super) height: i32,
    /// Of the cards.
    pub(super) measure: Measure,
    /// Upper left corner of each card.
    pub(super) cards: Vec<Point>,
    /// Background of each stage.
    pub(super) panels: Vec<Panel>,
    /// Upper left corner of the space of the output sign.
    pub(super) output: Point,
    /// Steps from one column to the next.
    pub(super) turns: Vec<Turn>,
    /// Edges that pass cards.
    pub(super) buses: Vec<Bus>,
    column_width: i32,
}

/// The background of the consecutive cards of one stage.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) stage: usize,
    pub(super) cards: Range<usize>,
    pub(super) corner: Point,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// The step from the foot of a column to the head of the next one.
#[derive(Debug)]
pub(super) struct Turn {
    /// The first card of the next column; the number of cards for the output sign.
    pub(super) card: usize,
    /// The corners of its line, without the ends, which the cards give.
    pub(super) corners: [Point; 4],
}

/// An edge that passes cards.
#[derive(Debug)]
pub(super) struct Bus {
    pub(super) source: NodeId,
    pub(super) start: Point,
    /// The line that it runs on.
    pub(super) x: i32,
    pub(super) ends: Vec<Point>,
}

/// Cards that a column break must not part.
struct Item {
    cards: Range<usize>,
    stage: Option<usize>,
    height: i32,
    /// Above the first card and below the last one.
    padding: i32,
}

impl Layout {
    /// Places everything in a drawing that is at least this wide.
    pub(super) fn new(graph: &Graph, outline: &Outline, least_width: i32) -> Self {
        let measure = Measure::new(&outline.cards);
        let beside = if outline.stages.is_empty() {
            0
        } else {
            STAGE_STRIP + STAGE_PADDING
        };
        let mut layout = Self {
            width: 0,
            height: 0,
            cards: Vec::with_capacity(outline.cards.len()),
            panels: Vec::new(),
            output: Point::new(0, 0),
            turns: Vec::new(),
            buses: Vec::new(),
            column_width: beside + measure.card_width,
            measure,
        };
        layout.place(outline, least_width);
        let right = layout.right();
        layout.buses = layout.route_buses(graph, outline, right);
        let outermost = layout.buses.iter().map(|bus| bus.x).fold(right, i32::max);
        layout.width = (outermost + MARGIN).max(least_width);
        layout.height = layout.bottom();
        layout
    }

    /// The line that the main column of a card stands on.
    pub(super) fn axis(&self, corner: Point) -> i32 {
        corner.x + self.measure.axis
    }

    /// The column break before a card, if there is one.
    pub(super) fn turn_to(&self, card: usize) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.card == card)
    }

    fn place(&mut self, outline: &Outline, least_width: i32) {
        let items = self.items(outline);
        let breaks = if is_breakable(outline) {
            column_breaks(&items, self.column_width + COLUMN_GAP)
        } else {
            Vec::new()
        };
        let inset = if outline.stages.is_empty() {
            0
        } else {
            STAGE_STRIP
        };
        let more_columns = (self.column_width + COLUMN_GAP) * breaks.len() as i32;
        let free = least_width - 2 * MARGIN - self.column_width - more_columns;
        let mut corner = Point::new(MARGIN + free.max(0) / 2, MARGIN + HEADING);
        for (index, item) in items.iter().enumerate() {
            if breaks.contains(&index) {
                let foot = corner.y - CARD_GAP;
                self.turns
                    .push(self.turn(item.cards.start, corner.x, inset, foot));
                let next = corner.x + self.column_width + COLUMN_GAP;
                corner = Point::new(next, MARGIN + HEADING + CARD_GAP);
            }
            self.place_item(item, corner, inset);
            corner.y += item.height + CARD_GAP;
        }
        self.output = corner.moved(inset, 0);
    }

    fn place_item(&mut self, item: &Item, corner: Point, inset: i32) {
        if let Some(stage) = item.stage {
            self.panels.push(Panel {
                stage,
                cards: item.cards.clone(),
                corner,
                width: self.column_width,
                height: item.height,
            });
        }
        let mut at = corner.moved(inset, item.padding);
        for card in item.cards.clone() {
            self.cards.push(at);
            at.y += self.measure.cards[card].height + CARD_GAP;
        }
    }

    fn items(&self, outline: &Outline) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        for (index, card) in outline.cards.iter().enumerate() {
            let height = self.measure.cards[index].height;
            match items.last_mut() {
                Some(last) if last.stage.is_some() && last.stage == card.stage => {
                    last.cards.end = index + 1;
                    last.height += CARD_GAP + height;
                }
                _ => items.push(Item {
                    cards: index..index + 1,
                    stage: card.stage,
                    height,
                    padding: 0,
                }),
            }
        }
        for item in &mut items {
            if let Some(stage) = item.stage {
                let name = text_width(&outline.stages[stage], LABEL_SIZE) + 2 * STAGE_NAME_INSET;
                let spare = name.min(LOW_STAGE) - item.height;
                item.padding = STAGE_PADDING.max((spare + 1) / 2);
                item.height += 2 * item.padding;
            }
        }
        items
    }

    fn turn(&self, card: usize, left: i32, inset: i32, foot: i32) -> Turn {
        let axis = left + inset + self.measure.axis;
        let gutter = left + self.column_width + COLUMN_GAP / 2;
        let next_axis = axis + self.column_width + COLUMN_GAP;
        let head = MARGIN + HEADING;
        Turn {
            card,
            corners: [
                Point::new(axis, foot + CARD_GAP / 2),
                Point::new(gutter, foot + CARD_GAP / 2),
                Point::new(gutter, head),
                Point::new(next_axis, head),
            ],
        }
    }

    /// The edges that pass cards, each on a line of its own to the right of this place.
    fn route_buses(&self, graph: &Graph, outline: &Outline, right: i32) -> Vec<Bus> {
        let starts = self.branch_points(outline);
        let ends = self.bus_ends(graph, outline).into_iter();
        let mut buses: Vec<Bus> = ends
            .filter_map(|(source, ends)| {
                let start = *starts.get(&source)?;
                Some(Bus {
                    source,
                    start,
                    x: right,
                    ends,
                })
            })
            .collect();
        let intervals: Vec<Span> = buses.iter().map(Bus::interval).collect();
        for (bus, lane) in buses.iter_mut().zip(assign_lanes(&intervals)) {
            bus.x += BUS_SPACING * (lane as i32 + 1);
        }
        buses
    }

    fn bus_ends(&self, graph: &Graph, outline: &Outline) -> BTreeMap<NodeId, Vec<Point>> {
        let mut ends: BTreeMap<NodeId, Vec<Point>> = BTreeMap::new();
        for (index, card) in outline.cards.iter().enumerate() {
            let corner = self.cards[index];
            for (arc, places) in card.arcs.iter().zip(&self.measure.cards[index].arcs) {
                if let Source::Outside(node) = arc.source {
                    let absolute = places.outer_ends.iter().map(|e| corner.moved(e.x, e.y));
                    ends.entry(node).or_default().extend(absolute);
                }
            }
        }
        if !outline.ends_in_output {
            let edge = self.measure.axis + self.measure.unit_width / 2;
            let end = self.output.moved(edge, TERMINAL_HEIGHT / 2);
            ends.entry(graph.output()).or_default().push(end);
        }
        ends
    }

    /// Where edges leave the value of each element of the main columns.
    fn branch_points(&self, outline: &Outline) -> BTreeMap<NodeId, Point> {
        let mut points = BTreeMap::new();
        for (index, card) in outline.cards.iter().enumerate() {
            let corner = self.cards[index];
            for (place, element) in card.elements.iter().enumerate() {
                if let Some(row) = element.rows.last() {
                    let down = self.measure.cards[index].branch(place);
                    points.insert(row.node, corner.moved(self.measure.axis, down));
                }
            }
        }
        points
    }

    /// The right edge of the last column.
    fn right(&self) -> i32 {
        let inset = self.column_width - self.measure.card_width;
        let beyond = if inset == 0 { 0 } else { STAGE_PADDING };
        self.output.x + self.measure.card_width + beyond
    }

    /// The lower edge of the tallest column.
    fn bottom(&self) -> i32 {
        let output = self.output.y + TERMINAL_HEIGHT;
        let turns = self.turns.iter().map(|turn| turn.corners[1].y);
        turns.fold(output, i32::max)
    }
}

impl Bus {
    /// From its start to its last end.
    fn interval(&self) -> Span {
        let top = self
            .ends
            .iter()
            .map(|end| end.y)
            .fold(self.start.y, i32::min);
        let bottom = self
            .ends
            .iter()
            .map(|end| end.y)
            .fold(self.start.y, i32::max);
        Span {
            top,
            height: bottom - top,
        }
    }
}

/// Whether columns can be told apart by a single line between them: not where edges pass
/// cards.
fn is_breakable(outline: &Outline) -> bool {
    let mut arcs = outline.cards.iter().flat_map(|card| &card.arcs);
    outline.ends_in_output && !arcs.any(|arc| matches!(arc.source, Source::Outside(_)))
}

/// Before which items to begin a new column, so that the drawing has about the proportions
/// of a page and its columns about the same height.
fn column_breaks(items: &[Item], column_step: i32) -> Vec<usize> {
    /// Height over width of a sheet of paper.
    const PAGE: f64 = 1.414;
    let total: i32 = items.iter().map(|item| item.height + CARD_GAP).sum();
    if total <= TALLEST_COLUMN {
        return Vec::new();
    }
    let proportion = f64::from(total) / f64::from(column_step) / PAGE;
    let columns = proportion.sqrt().round().max(1.0) as usize;
    let mut limit = total / columns as i32;
    loop {
        let breaks = breaks_within(items, limit);
        if breaks.len() < columns || limit >= total {
            return breaks;
        }
        limit += CARD_GAP;
    }
}

/// The breaks between columns that are filled one after the other up to a height.
fn breaks_within(items: &[Item], limit: i32) -> Vec<usize> {
    let mut breaks = Vec::new();
    let mut filled = 0;
    for (index, item) in items.iter().enumerate() {
        if filled > 0 && filled + item.height > limit {
            breaks.push(index);
            filled = 0;
        }
        filled += item.height + CARD_GAP;
    }
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(heights: &[i32]) -> Vec<Item> {
        let item = |(index, &height): (usize, &i32)| Item {
            cards: index..index + 1,
            stage: None,
            height,
            padding: 0,
        };
        heights.iter().enumerate().map(item).collect()
    }

    #[test]
    fn tall_drawings_are_broken_into_even_columns() {
        assert!(column_breaks(&items(&[100; 10]), 400).is_empty());
        assert_eq!(column_breaks(&items(&[400; 6]), 400), [3]);
        assert_eq!(column_breaks(&items(&[100, 2000, 100]), 400), [2]);
    }
}
