//! Named points between two axes: error against parameters.

use std::fmt::Write;

use super::Size;
use super::axis::{Axis, Frame, HEAD, Margins, Values};
use super::canvas::{Anchor, Area, Canvas, Lettering, Pen, Place, Words, baseline};
use super::lettering::{fit, text_width};
use super::marker::Look;
use super::palette::{Colour, Palette};

/// Named points.
#[derive(Debug, Clone, PartialEq)]
pub struct ScatterChart {
    /// What the chart shows; read out rather than drawn.
    pub title: String,
    /// The level axis.
    pub horizontal: Axis,
    /// The upright axis.
    pub vertical: Axis,
    /// The points. Those whose coordinates are not finite are left out.
    pub points: Vec<LabelledPoint>,
    /// How large it is.
    pub size: Size,
}

/// A point and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledPoint {
    /// What is written beside it.
    pub label: String,
    /// On the level axis.
    pub x: f64,
    /// On the upright axis.
    pub y: f64,
    /// How far the bar through it reaches up and down, such as a standard deviation.
    pub spread: Option<f64>,
}

const RADIUS: f64 = 5.0;
const LABEL_SIZE: f64 = 12.0;
/// Labels are shortened to this width.
const LABEL_WIDTH: f64 = 150.0;
/// Of the level axis, at either end.
const SLACK: f64 = 0.08;
const EDGE: f64 = 22.0;

impl ScatterChart {
    fn is_shown(&self, point: &LabelledPoint) -> bool {
        self.horizontal.takes(point.x) && self.vertical.takes(point.y)
    }

    fn shown(&self) -> impl Iterator<Item = &LabelledPoint> + Clone {
        self.points.iter().filter(|point| self.is_shown(point))
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
        let margins = Margins {
            top: HEAD,
            right: EDGE,
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
        let frame = Frame::new(self.size, margins, axes, values, SLACK);
        frame.draw(&mut canvas, axes);
        let placed: Vec<(&LabelledPoint, Place)> = self
            .shown()
            .filter_map(|point| Some((point, frame.place(point.x, point.y)?)))
            .collect();
        for (point, _) in &placed {
            self.draw_spread(&mut canvas, &frame, point);
        }
        let look = Look::numbered(0);
        for (point, place) in &placed {
            canvas.open_group(&self.hint(point));
            look.mark(&mut canvas, *place, RADIUS);
            canvas.close_group();
        }
        self.draw_labels(&mut canvas, &frame, &placed);
        canvas.finish()
    }

    fn draw_spread(&self, canvas: &mut Canvas, frame: &Frame, point: &LabelledPoint) {
        let Some(spread) = point.spread.filter(|spread| spread.is_finite()) else {
            return;
        };
        let Some(level) = frame.level.share(point.x) else {
            return;
        };
        let ends: Vec<Place> = [point.y - spread, point.y + spread]
            .into_iter()
            .filter_map(|y| Some(frame.at(level, frame.upright.nearest(y)?)))
            .collect();
        let pen = Pen::solid(Colour::Series(0), 1.5);
        canvas.line(pen, &ends);
        for end in ends {
            let cap = [-4.0, 4.0].map(|aside| Place {
                x: end.x + aside,
                ..end
            });
            canvas.line(pen, &cap);
        }
    }

    /// Labels one after the other, each where it covers least of what is there already.
    fn draw_labels(&self, canvas: &mut Canvas, frame: &Frame, placed: &[(&LabelledPoint, Place)]) {
        let mut taken: Vec<Area> = placed.iter().map(|(_, place)| around(*place)).collect();
        for (point, place) in placed {
            let label = fit(&point.label, LABEL_SIZE, LABEL_WIDTH);
            let width = text_width(&label, LABEL_SIZE);
            let candidates = candidates(*place, width);
            let cost = |area: &Area| {
                let covered: f64 = taken.iter().map(|other| area.overlap(other)).sum();
                let outside = area.width() * area.height() - area.overlap(&frame.area);
                covered + 4.0 * outside
            };
            // Among equals the first, which is the usual side.
            let best = candidates
                .into_iter()
                .min_by(|a, b| cost(&a.1).total_cmp(&cost(&b.1)));
            if let Some((anchor, area)) = best {
                let x = match anchor {
                    Anchor::Start => area.left,
                    Anchor::Middle => (area.left + area.right) / 2.0,
                    Anchor::End => area.right,
                };
                let middle = (area.top + area.bottom) / 2.0;
                let y = baseline(middle, LABEL_SIZE);
                let lettering = Lettering::new(LABEL_SIZE, Colour::Ink, anchor);
                canvas.text(lettering, Place { x, y }, &label);
                taken.push(area);
            }
        }
    }

    fn hint(&self, point: &LabelledPoint) -> String {
        format!(
            "{}: {} {}, {} {}",
            point.label,
            self.vertical.label,
            self.vertical.value(point.y),
            self.horizontal.label,
            self.horizontal.value(point.x)
        )
    }

    fn description(&self) -> String {
        let mut text = format!("{} against {}.", self.vertical.label, self.horizontal.label);
        for point in self.shown() {
            // Writing to a string cannot fail.
            let _ = write!(text, " {}.", self.hint(point));
        }
        text
    }
}

fn around(place: Place) -> Area {
    let reach = RADIUS + 1.0;
    Area {
        left: place.x - reach,
        top: place.y - reach,
        right: place.x + reach,
        bottom: place.y + reach,
    }
}

/// Where the label of a point may stand: right, left, above, below and in between.
fn candidates(place: Place, width: f64) -> [(Anchor, Area); 8] {
    let near = RADIUS + 4.0;
    let height = LABEL_SIZE + 3.0;
    let level = |anchor| match anchor {
        Anchor::Start => place.x + near,
        Anchor::Middle => place.x - width / 2.0,
        Anchor::End => place.x - near - width,
    };
    let area = |anchor, middle: f64| {
        let left = level(anchor);
        let area = Area {
            left,
            top: middle - height / 2.0,
            right: left + width,
            bottom: middle + height / 2.0,
        };
        (anchor, area)
    };
    let (above, below) = (place.y - near - height / 2.0, place.y + near + height / 2.0);
    let aslant = 10.0;
    [
        area(Anchor::Start, place.y),
        area(Anchor::Middle, above),
        area(Anchor::Middle, below),
        area(Anchor::End, place.y),
        area(Anchor::Start, place.y - aslant),
        area(Anchor::Start, place.y + aslant),
        area(Anchor::End, place.y - aslant),
        area(Anchor::End, place.y + aslant),
    ]
}
