//! Many points in groups: images as a network sees them.

use super::axis::{Axis, Frame, HEAD, Margins, Values};
use super::canvas::{Canvas, Words};
use super::legend::Legend;
use super::marker::Look;
use super::palette::Palette;
use super::{Point, Size};

/// Points in groups between two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudChart {
    /// What the chart shows; read out rather than drawn.
    pub title: String,
    /// The level axis.
    pub horizontal: Axis,
    /// The upright axis.
    pub vertical: Axis,
    /// The groups. Points whose coordinates are not finite are left out.
    pub groups: Vec<CloudGroup>,
    /// How large it is.
    pub size: Size,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudGroup {
    /// What they have in common.
    pub name: String,
    /// Where they lie.
    pub points: Vec<Point>,
}

const EDGE: f64 = 22.0;
/// Of both axes, at either end.
const SLACK: f64 = 0.04;
/// Radius of a few points, and of very many.
const LARGEST: f64 = 4.0;
const SMALLEST: f64 = 1.5;
/// A picture of more points shows no more; every so manieth of a group is drawn.
const MOST_POINTS: usize = 6000;

impl CloudChart {
    fn shown(&self) -> impl Iterator<Item = &Point> + Clone {
        let points = self.groups.iter().flat_map(|group| &group.points);
        points.filter(|point| self.is_shown(point))
    }

    fn is_shown(&self, point: &Point) -> bool {
        self.horizontal.takes(point.x) && self.vertical.takes(point.y)
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
        let groups = self.groups.iter().enumerate();
        let named = groups.map(|(number, group)| (Look::numbered(number), group.name.as_str()));
        let legend = Legend::of_points(named, width);
        let margins = Margins {
            top: HEAD + legend.height(),
            right: EDGE,
        };
        let values = Values {
            level: self.shown().map(|point| point.x),
            upright: self.shown().map(|point| point.y),
        };
        let axes = [&self.horizontal, &self.vertical];
        let frame = Frame::new(self.size, margins, axes, values, SLACK);
        frame.draw(&mut canvas, axes);
        legend.draw(&mut canvas, super::canvas::Place { x: 0.0, y: 20.0 });
        self.draw_points(&mut canvas, &frame);
        canvas.finish()
    }

    /// Group by group in turns, so that none covers all others.
    fn draw_points(&self, canvas: &mut Canvas, frame: &Frame) {
        let count = self.shown().count();
        let radius = (LARGEST - (count as f64).log10()).clamp(SMALLEST, LARGEST);
        let stride = count.div_ceil(MOST_POINTS).max(1);
        let longest = self.groups.iter().map(|group| group.points.len()).max();
        for index in (0..longest.unwrap_or(0)).step_by(stride) {
            for (number, group) in self.groups.iter().enumerate() {
                let point = group.points.get(index).filter(|point| self.is_shown(point));
                let place = point.and_then(|point| frame.place(point.x, point.y));
                if let Some(place) = place {
                    Look::numbered(number).mark(canvas, place, radius);
                }
            }
        }
    }

    fn description(&self) -> String {
        let groups = self.groups.iter();
        let groups = groups.map(|group| format!("{}: {} points", group.name, group.points.len()));
        let groups: Vec<String> = groups.collect();
        format!(
            "{} against {}. {}.",
            self.vertical.label,
            self.horizontal.label,
            groups.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(groups: Vec<CloudGroup>) -> CloudChart {
        CloudChart {
            title: "points".to_owned(),
            horizontal: Axis::new("x"),
            vertical: Axis::new("y"),
            groups,
            size: Size::default(),
        }
    }

    #[test]
    fn the_picture_stays_small_and_defined() {
        let many = (0..100_000).map(|i| Point::new(f64::from(i % 317), f64::from(i % 211)));
        let groups = ["a", "b"].map(|name| CloudGroup {
            name: name.to_owned(),
            points: many.clone().collect(),
        });
        let svg = chart(groups.into()).to_svg(Palette::Light);
        assert!(svg.len() < 2_000_000, "{}", svg.len());
        for points in [
            vec![],
            vec![Point::new(f64::NAN, 0.0)],
            vec![Point::new(1.0, 1.0)],
        ] {
            let name = "<one & only>".to_owned();
            let svg = chart(vec![CloudGroup { name, points }]).to_svg(Palette::Page);
            assert!(
                svg.contains("&lt;one &amp; only&gt;") && !svg.contains("NaN"),
                "{svg}"
            );
        }
    }
}
