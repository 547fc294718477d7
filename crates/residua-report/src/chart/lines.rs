//! Lines: what changes over epochs, time or depth.

use std::fmt::Write;

use super::axis::{Axis, Frame, HEAD, Margins, Values};
use super::canvas::{Anchor, Canvas, Fill, Lettering, Pen, Place, Words, path_data};
use super::legend::{Legend, LineEnd, NAME_INSET, NAME_SIZE, name_ends, names_fit};
use super::lettering::{fit, text_width};
use super::marker::Look;
use super::palette::{Colour, Palette};
use super::thinning::thinned;
use super::{Point, Size};

/// Lines of series over a common axis.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// What the chart shows; read out rather than drawn.
    pub title: String,
    /// The level axis.
    pub horizontal: Axis,
    /// The upright axis.
    pub vertical: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Moments that are pointed out.
    pub events: Vec<Moment>,
    /// How large it is.
    pub size: Size,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is called.
    pub name: String,
    /// Its points, from left to right. One whose coordinates are not finite breaks the line.
    pub points: Vec<Point>,
    /// What it looks like; by its number among the series where nothing is chosen.
    pub look: Option<Look>,
}

/// A place on the level axis that is pointed out, such as the best epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// Where.
    pub x: f64,
    /// What is there.
    pub name: String,
}

impl Series {
    /// A line that looks as its number says.
    pub fn new(name: impl Into<String>, points: Vec<Point>) -> Self {
        Self {
            name: name.into(),
            points,
            look: None,
        }
    }

    /// The same with a chosen look.
    pub fn looking(self, look: Look) -> Self {
        let look = Some(look);
        Self { look, ..self }
    }
}

/// As many points as this are marked one by one.
const MOST_MARKED: usize = 24;
/// Longer lines carry this many markers.
const MARKERS: usize = 6;
/// At most this share of the width is given to names at the ends of lines.
const NAMES_SHARE: f64 = 0.3;
/// Lines that end within this share of the width of each other can be named there.
const ENDS_SHARE: f64 = 0.04;
/// Between the area and the edge where nothing is named.
const EDGE: f64 = 22.0;
/// Names of moments.
const MOMENT_SIZE: f64 = 11.0;

impl LineChart {
    /// An empty chart.
    pub fn new(title: impl Into<String>, horizontal: Axis, vertical: Axis) -> Self {
        Self {
            title: title.into(),
            horizontal,
            vertical,
            series: Vec::new(),
            events: Vec::new(),
            size: Size::default(),
        }
    }

    /// The same with these lines.
    pub fn with_series(self, series: Vec<Series>) -> Self {
        Self { series, ..self }
    }

    /// The same in another size.
    pub fn sized(self, size: Size) -> Self {
        Self { size, ..self }
    }

    fn look(&self, number: usize) -> Look {
        let chosen = self.series.get(number).and_then(|series| series.look);
        chosen.unwrap_or_else(|| Look::numbered(number))
    }

    fn is_shown(&self, point: &Point) -> bool {
        self.horizontal.takes(point.x) && self.vertical.takes(point.y)
    }

    fn shown(&self) -> impl Iterator<Item = &Point> + Clone {
        let points = self.series.iter().flat_map(|series| &series.points);
        points.filter(|point| self.is_shown(point))
    }

    fn last_shown(&self, series: &Series) -> Option<Point> {
        let mut points = series.points.iter().rev();
        points.find(|point| self.is_shown(point)).copied()
    }

    /// Names stand at the ends of lines where that is clear.
    fn names_at_ends(&self) -> bool {
        let widest = self.series.iter().map(|s| text_width(&s.name, NAME_SIZE));
        let widest = widest.fold(0.0, f64::max);
        let ends = || self.series.iter().filter_map(|s| self.last_shown(s));
        let last = ends()
            .map(|point| point.x)
            .fold(f64::NEG_INFINITY, f64::max);
        let first = self.shown().map(|point| point.x);
        let first = first.fold(f64::INFINITY, f64::min);
        let together = ends().all(|point| last - point.x <= (last - first) * ENDS_SHARE);
        let height = f64::from(self.size.height) - 2.0 * HEAD;
        self.series.len() > 1
            && widest <= f64::from(self.size.width) * NAMES_SHARE
            && names_fit(self.series.len(), height)
            && ends().count() == self.series.len()
            && together
    }

    fn named(&self) -> impl Iterator<Item = (Look, &str)> {
        let series = self.series.iter().enumerate();
        series.map(|(number, series)| (self.look(number), series.name.as_str()))
    }

    /// The chart as an SVG document.
    pub(super) fn to_svg(&self, palette: Palette) -> String {
        let (width, height) = (f64::from(self.size.width), f64::from(self.size.height));
        let description = self.description();
        let words = Words {
            title: &self.title,
            description: &description,
        };
        let mut canvas = Canvas::new(width, height, words, palette);
        let at_ends = self.names_at_ends();
        let legend = match at_ends || self.series.len() < 2 {
            true => Legend::new([].into_iter(), width),
            false => Legend::new(self.named(), width),
        };
        let names = self.series.iter().map(|s| text_width(&s.name, NAME_SIZE));
        let names = names.fold(0.0, f64::max);
        let margins = Margins {
            top: HEAD + legend.height(),
            right: if at_ends { names + NAME_INSET } else { EDGE },
        };
        let reach = self.shown().flat_map(|point| {
            let spread = point.spread.filter(|spread| spread.is_finite());
            let spread = spread.unwrap_or(0.0);
            [point.y - spread, point.y + spread]
        });
        let values = Values {
            level: self.shown().map(|point| point.x),
            upright: reach,
        };
        let axes = [&self.horizontal, &self.vertical];
        let frame = Frame::new(self.size, margins, axes, values, 0.0);
        frame.draw(&mut canvas, axes);
        let under_label = Place { x: 0.0, y: 20.0 };
        legend.draw(&mut canvas, under_label);
        self.draw_events(&mut canvas, &frame);
        for (number, series) in self.series.iter().enumerate() {
            self.draw_band(&mut canvas, &frame, series, self.look(number));
        }
        for (number, series) in self.series.iter().enumerate() {
            self.draw_line(&mut canvas, &frame, series, self.look(number));
        }
        if at_ends {
            let ends = self.line_ends(&frame, margins.right - NAME_INSET);
            name_ends(&mut canvas, frame.area, ends);
        }
        canvas.finish()
    }

    fn line_ends(&self, frame: &Frame, width: f64) -> Vec<LineEnd> {
        let series = self.series.iter().enumerate();
        series
            .filter_map(|(number, series)| {
                let last = self.last_shown(series)?;
                Some(LineEnd {
                    at: frame.place(last.x, last.y)?,
                    look: self.look(number),
                    name: fit(&series.name, NAME_SIZE, width.max(1.0)),
                })
            })
            .collect()
    }

    fn draw_events(&self, canvas: &mut Canvas, frame: &Frame) {
        for event in &self.events {
            let Some(share) = frame.level.share(event.x) else {
                continue;
            };
            if !(0.0..=1.0).contains(&share) {
                continue;
            }
            let (foot, head) = (frame.at(share, 0.0), frame.at(share, 1.0));
            let pen = Pen {
                colour: Colour::FaintInk,
                width: 1.0,
                dashes: "2 3",
            };
            canvas.line(pen, &[foot, head]);
            let (anchor, aside) = match share > 0.5 {
                true => (Anchor::End, -5.0),
                false => (Anchor::Start, 5.0),
            };
            let lettering = Lettering::new(MOMENT_SIZE, Colour::FaintInk, anchor);
            let at = Place {
                x: head.x + aside,
                y: foot.y - 6.0,
            };
            let name = fit(&event.name, MOMENT_SIZE, frame.area.width() / 2.0);
            canvas.text(lettering, at, &name);
        }
    }

    /// The places of a series in pieces without gaps, with the points they belong to.
    fn pieces(&self, frame: &Frame, series: &Series) -> Vec<Vec<(Point, Place)>> {
        let mut pieces = vec![Vec::new()];
        for point in thinned(&series.points) {
            let place = frame.place(point.x, point.y);
            match (place.filter(|_| self.is_shown(&point)), pieces.last_mut()) {
                (Some(place), Some(piece)) => piece.push((point, place)),
                _ => pieces.push(Vec::new()),
            }
        }
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    fn draw_band(&self, canvas: &mut Canvas, frame: &Frame, series: &Series, look: Look) {
        for piece in self.pieces(frame, series) {
            let edge = |sign: f64| {
                piece.iter().map(move |(point, place)| {
                    let spread = point.spread.filter(|spread| spread.is_finite());
                    let y = point.y + sign * spread.unwrap_or(0.0);
                    let share = frame.upright.nearest(y).unwrap_or(0.0);
                    Place {
                        x: place.x,
                        y: frame.at(0.0, share).y,
                    }
                })
            };
            let has_band = piece.iter().any(|(point, _)| point.spread.is_some());
            if has_band && piece.len() > 1 {
                let outline: Vec<Place> = edge(1.0).chain(edge(-1.0).rev()).collect();
                let fill = Fill {
                    colour: look.colour(),
                    opacity: 0.16,
                };
                canvas.surface(fill, &(path_data(&outline) + "Z"));
            }
        }
    }

    fn draw_line(&self, canvas: &mut Canvas, frame: &Frame, series: &Series, look: Look) {
        let pieces = self.pieces(frame, series);
        for piece in &pieces {
            let places: Vec<Place> = piece.iter().map(|(_, place)| *place).collect();
            canvas.line(look.pen(2.0), &places);
        }
        let points: Vec<&(Point, Place)> = pieces.iter().flatten().collect();
        if points.len() <= MOST_MARKED {
            for (point, place) in points {
                canvas.open_group(&self.hint(&series.name, point));
                look.mark(canvas, *place, 3.5);
                canvas.close_group();
            }
        } else {
            // Backwards, so that the end is marked, where the name stands.
            let every = points.len().div_ceil(MARKERS);
            for (_, place) in points.iter().rev().step_by(every) {
                look.mark(canvas, *place, 3.5);
            }
        }
    }

    fn hint(&self, name: &str, point: &Point) -> String {
        let x = self.horizontal.value(point.x);
        let y = self.vertical.value(point.y);
        format!("{name}: {y} at {} {x}", self.horizontal.label)
    }

    /// The chart in words.
    fn description(&self) -> String {
        let mut text = format!(
            "{} over {}.",
            self.vertical.label.trim_end(),
            self.horizontal.label.trim_end()
        );
        for series in &self.series {
            let mut shown = series.points.iter().filter(|point| self.is_shown(point));
            // Writing to a string cannot fail.
            let _ = match (shown.next(), self.last_shown(series)) {
                (Some(first), Some(last)) => write!(
                    text,
                    " {}: from {} to {}.",
                    series.name,
                    self.vertical.value(first.y),
                    self.vertical.value(last.y)
                ),
                _ => write!(text, " {}: no values.", series.name),
            };
        }
        text
    }
}
