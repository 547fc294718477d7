//! Sizes of cards and places within them, relative to the upper left corner of the card.

use super::geometry::{Point, Span, assign_lanes};
use super::notation::text_width;
use super::outline::{Arc, Card, Element, Source};

/// Size of the text of an operation.
pub(super) const LABEL_SIZE: i32 = 13;
/// Size of the text of a norm or an activation.
pub(super) const SLIM_SIZE: i32 = 11;
/// Height of the strip with the name of a block.
pub(super) const TITLE_HEIGHT: i32 = 26;
/// Radius of the sign of an addition or a product.
pub(super) const SIGN_RADIUS: i32 = 9;
/// From the edge of a card to its title, and from a caption to the line beside it.
pub(super) const TITLE_INSET: i32 = 12;
/// Height of the first and last sign, which stand for the input and the output.
pub(super) const TERMINAL_HEIGHT: i32 = 26;
/// From an element to where edges leave its value.
pub(super) const BRANCH_OFFSET: i32 = 8;
/// How far the second sheet of a repeated block looks out.
pub(super) const SHEET_OFFSET: i32 = 5;

const ROW_HEIGHT: i32 = 28;
const SLIM_HEIGHT: i32 = 18;
const PADDING: i32 = 18;
const ENTRY_GAP: i32 = 30;
const GAP: i32 = 20;
/// Between elements that no edge connects.
const DETACHED_GAP: i32 = 30;
const CHAIN_GAP: i32 = 14;
/// From the start or the end of an arc to what lies on it.
const ARC_CLEARANCE: i32 = 16;
const LANE_GAP: i32 = 18;
/// Width of a lane where nothing lies on any arc; room for the word "identity".
const IDENTITY_WIDTH: i32 = 60;
const LEAST_UNIT_WIDTH: i32 = 176;
const GREATEST_UNIT_WIDTH: i32 = 320;
/// Up to which a card grows for the sake of its title.
const GREATEST_TITLE_WIDTH: i32 = 400;
/// Between successive lines that end at one element.
const END_SPACING: i32 = 8;

/// The sizes that all cards share, and the places within each.
#[derive(Debug)]
pub(super) struct Measure {
    /// Width of an operation of the main column.
    pub(super) unit_width: i32,
    /// Width of a card.
    pub(super) card_width: i32,
    /// Middle of the main column.
    pub(super) axis: i32,
    /// Middle and width of each lane.
    pub(super) lanes: Vec<Lane>,
    /// One for each card.
    pub(super) cards: Vec<CardMeasure>,
}

/// A line for arcs, to the right of the main column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    pub(super) x: i32,
    pub(super) width: i32,
}

/// The places within one card.
#[derive(Debug)]
pub(super) struct CardMeasure {
    /// Height with the second sheet of a repeated block.
    pub(super) height: i32,
    /// Where edges leave the value that enters the card.
    pub(super) entry: i32,
    /// One for each element.
    pub(super) elements: Vec<Span>,
    /// One for each arc.
    pub(super) arcs: Vec<ArcMeasure>,
}

/// The places of one arc.
#[derive(Debug)]
pub(super) struct ArcMeasure {
    /// Its lane; none where an edge from elsewhere comes straight to its targets.
    pub(super) lane: Option<usize>,
    /// Where it leaves the main column, or where the edge from elsewhere meets it.
    pub(super) start: i32,
    /// One for each element on it.
    pub(super) chain: Vec<Span>,
    /// Where it ends, beside its targets.
    pub(super) ends: Vec<i32>,
    /// Where an edge from elsewhere ends.
    pub(super) outer_ends: Vec<Point>,
}

impl CardMeasure {
    /// Where edges leave the value of an element.
    pub(super) fn branch(&self, element: usize) -> i32 {
        self.elements[element].bottom() + BRANCH_OFFSET
    }
}

/// Whether a card is drawn with a frame and a title. A lone operation needs neither.
pub(super) fn is_framed(card: &Card) -> bool {
    card.is_block || card.elements.len() > 1 || !card.arcs.is_empty()
}

/// Whether a card is the input, which is drawn as a sign of its own.
pub(super) fn is_input(card: &Card) -> bool {
    card.nodes.start == 0
}

/// Heights of the rows of an element, of which the first takes what is left.
pub(super) fn row_heights(element: &Element, height: i32) -> Vec<i32> {
    let mut heights: Vec<i32> = natural_row_heights(element).collect();
    let sum: i32 = heights.iter().sum();
    if let Some(first) = heights.first_mut() {
        *first += height - sum;
    }
    heights
}

fn natural_row_heights(element: &Element) -> impl Iterator<Item = i32> + '_ {
    element
        .rows
        .iter()
        .map(|row| if row.is_slim { SLIM_HEIGHT } else { ROW_HEIGHT })
}

impl Measure {
    /// Measures all cards.
    pub(super) fn new(cards: &[Card]) -> Self {
        let columns = cards.iter().flat_map(|card| &card.elements);
        let captions = cards.iter().map(|card| 2 * caption_width(card));
        let widest = columns.map(natural_width).chain(captions).max();
        let unit_width = even(
            widest
                .unwrap_or(0)
                .clamp(LEAST_UNIT_WIDTH, GREATEST_UNIT_WIDTH),
        );
        let lanes_of: Vec<Vec<Option<usize>>> = cards.iter().map(lanes_of).collect();
        let mut measure = Self {
            unit_width,
            card_width: 0,
            axis: PADDING + unit_width / 2,
            lanes: Vec::new(),
            cards: Vec::new(),
        };
        measure.place_lanes(cards, &lanes_of);
        let pairs = cards.iter().zip(lanes_of);
        measure.cards = pairs
            .map(|(card, lanes)| measure.measure(card, lanes))
            .collect();
        measure
    }

    fn place_lanes(&mut self, cards: &[Card], lanes_of: &[Vec<Option<usize>>]) {
        let mut widths: Vec<i32> = Vec::new();
        for (card, lanes) in cards.iter().zip(lanes_of) {
            for (arc, lane) in card.arcs.iter().zip(lanes) {
                let Some(lane) = *lane else { continue };
                if widths.len() <= lane {
                    widths.resize(lane + 1, 0);
                }
                let content = arc.chain.iter().map(natural_width).max();
                let width = content.map_or(IDENTITY_WIDTH, |w| w.min(GREATEST_UNIT_WIDTH));
                widths[lane] = widths[lane].max(even(width));
            }
        }
        let mut right = PADDING + self.unit_width;
        for width in widths {
            let left = right + LANE_GAP;
            right = left + width;
            let x = left + width / 2;
            self.lanes.push(Lane { x, width });
        }
        let titles = cards.iter().map(title_width).max().unwrap_or(0);
        self.card_width = (right + PADDING).max(titles.min(GREATEST_TITLE_WIDTH));
    }

    fn measure(&self, card: &Card, lanes: Vec<Option<usize>>) -> CardMeasure {
        if is_input(card) {
            let element = Span {
                top: 0,
                height: TERMINAL_HEIGHT,
            };
            return CardMeasure {
                height: TERMINAL_HEIGHT,
                entry: 0,
                elements: vec![element],
                arcs: Vec::new(),
            };
        }
        let body = if is_framed(card) { TITLE_HEIGHT } else { 0 };
        let mut measured = CardMeasure {
            height: 0,
            entry: body + ENTRY_GAP / 3,
            elements: Vec::new(),
            arcs: Vec::new(),
        };
        for (index, element) in card.elements.iter().enumerate() {
            let height = element_height(card, index);
            let next = match measured.elements.last() {
                Some(above) if element.is_joined => above.bottom() + GAP,
                Some(above) => above.bottom() + DETACHED_GAP,
                None if is_framed(card) => body + ENTRY_GAP,
                None => body,
            };
            let ending = card
                .arcs
                .iter()
                .filter(|arc| arc.targets.first() == Some(&index));
            let room = ending.map(|arc| {
                let chain = chain_height(&arc.chain);
                let start = start_of(&measured, arc);
                start + 2 * ARC_CLEARANCE + chain - height / 2
            });
            let top = room.fold(next, i32::max);
            measured.elements.push(Span { top, height });
        }
        let bottom = measured.elements.last().map_or(body, |last| last.bottom());
        let sheets = if card.repeats > 1 { SHEET_OFFSET } else { 0 };
        let padding = if is_framed(card) { PADDING } else { 0 };
        measured.height = bottom + padding + sheets;
        let mut landed = vec![0; card.elements.len()];
        for (arc, lane) in card.arcs.iter().zip(lanes) {
            let arc = self.measure_arc(card, arc, lane, &measured, &mut landed);
            measured.arcs.push(arc);
        }
        measured
    }

    /// `landed` counts the lines that end at each element so far.
    fn measure_arc(
        &self,
        card: &Card,
        arc: &Arc,
        lane: Option<usize>,
        measured: &CardMeasure,
        landed: &mut [i32],
    ) -> ArcMeasure {
        let mut ends = Vec::with_capacity(arc.targets.len());
        for &target in &arc.targets {
            let span = measured.elements[target];
            let lines = ends_at(card, target);
            landed[target] += 1;
            ends.push(span.top + span.height * landed[target] / (lines + 1));
        }
        let start = start_of(measured, arc);
        let end = ends.first().copied().unwrap_or(start);
        let mut y = start + (end - start - chain_height(&arc.chain)) / 2;
        let mut chain = Vec::with_capacity(arc.chain.len());
        for element in &arc.chain {
            let height = natural_row_heights(element).sum();
            chain.push(Span { top: y, height });
            y += height + CHAIN_GAP;
        }
        let outer_ends = match (arc.source, lane) {
            (Source::Outside(_), Some(lane)) => vec![Point::new(self.lanes[lane].x, start)],
            (Source::Outside(_), None) => {
                let edge = |target: usize| self.right_of(&card.elements[target]);
                let pairs = arc.targets.iter().zip(&ends);
                pairs
                    .map(|(&target, &y)| Point::new(edge(target), y))
                    .collect()
            }
            _ => Vec::new(),
        };
        ArcMeasure {
            lane,
            start,
            chain,
            ends,
            outer_ends,
        }
    }

    /// The right edge of an element of the main column.
    pub(super) fn right_of(&self, element: &Element) -> i32 {
        self.axis
            + if element.sign.is_some() {
                SIGN_RADIUS
            } else {
                self.unit_width / 2
            }
    }
}

/// The lane of each arc of a card.
fn lanes_of(card: &Card) -> Vec<Option<usize>> {
    let needs_lane =
        |arc: &&Arc| !matches!(arc.source, Source::Outside(_)) || !arc.chain.is_empty();
    let intervals: Vec<Span> = card.arcs.iter().filter(needs_lane).map(places).collect();
    let mut lanes = assign_lanes(&intervals).into_iter();
    let arcs = card.arcs.iter();
    arcs.map(|arc| needs_lane(&arc).then(|| lanes.next()).flatten())
        .collect()
}

/// The extent of an arc, counted in elements and in the gaps between them.
fn places(arc: &Arc) -> Span {
    let gap_after = |element: usize| 2 * element as i32 + 1;
    let before = |target: usize| 2 * target as i32 - 1;
    let first = arc.targets.first().copied().unwrap_or(0);
    let last = arc.targets.last().copied().unwrap_or(first);
    let top = match arc.source {
        Source::Entry => -1,
        Source::Element(element) => gap_after(element),
        Source::Outside(_) => before(first),
    };
    Span {
        top,
        height: 2 * last as i32 - top,
    }
}

/// Where an arc leaves the main column. One from elsewhere starts just above its target.
fn start_of(measured: &CardMeasure, arc: &Arc) -> i32 {
    let above = match arc.source {
        Source::Entry => None,
        Source::Element(element) => Some(element),
        Source::Outside(_) => arc.targets.first().and_then(|first| first.checked_sub(1)),
    };
    above.map_or(measured.entry, |element| measured.branch(element))
}

fn chain_height(chain: &[Element]) -> i32 {
    let rows: i32 = chain.iter().flat_map(natural_row_heights).sum();
    rows + CHAIN_GAP * (chain.len() as i32 - 1).max(0)
}

fn ends_at(card: &Card, element: usize) -> i32 {
    let targets = card.arcs.iter().flat_map(|arc| &arc.targets);
    targets.filter(|&&target| target == element).count() as i32
}

fn element_height(card: &Card, index: usize) -> i32 {
    let element = &card.elements[index];
    if element.sign.is_some() {
        return 2 * SIGN_RADIUS;
    }
    let rows: i32 = natural_row_heights(element).sum();
    rows.max(END_SPACING * (ends_at(card, index) + 1))
}

fn natural_width(element: &Element) -> i32 {
    let widths = element.rows.iter().map(|row| {
        let size = if row.is_slim { SLIM_SIZE } else { LABEL_SIZE };
        text_width(&row.label, size) + 2 * SLIM_SIZE
    });
    widths.max().unwrap_or(0)
}

/// The width of the name above a lone operation, which ends at the middle of the column.
fn caption_width(card: &Card) -> i32 {
    if is_framed(card) || is_input(card) {
        return 0;
    }
    let repeats = text_width(&caption_repeats(card), SLIM_SIZE);
    text_width(&card.title, SLIM_SIZE) + repeats + TITLE_INSET
}

/// How many operations a caption stands for.
pub(super) fn caption_repeats(card: &Card) -> String {
    match card.repeats {
        1 => String::new(),
        repeats => format!(" × {repeats}"),
    }
}

/// The width of the strip with the name of a block.
fn title_width(card: &Card) -> i32 {
    if !is_framed(card) {
        return 0;
    }
    text_width(&card.title, LABEL_SIZE) + badge_width(card) + 2 * TITLE_INSET
}

/// The width of the sign with the number of blocks that a card stands for.
pub(super) fn badge_width(card: &Card) -> i32 {
    match card.repeats {
        1 => 0,
        _ => text_width(&badge(card), LABEL_SIZE) + TITLE_INSET,
    }
}

/// How many blocks a card stands for.
pub(super) fn badge(card: &Card) -> String {
    format!("× {}", card.repeats)
}

fn even(length: i32) -> i32 {
    length + length % 2
}
