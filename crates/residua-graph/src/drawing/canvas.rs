//! Writing SVG: elements, escaping, and the few shapes that drawings are made of.

use std::fmt::Display;

use residua_core::text::escape_xml;

use super::geometry::{Point, Rectangle};

const STYLE: &str = include_str!("style.css");
/// Radius of the corners of lines.
const CORNER: i32 = 9;

/// Attributes of an element.
type Attributes<'a> = &'a [(&'a str, &'a dyn Display)];

/// An SVG document that grows.
#[derive(Debug)]
pub(super) struct Canvas {
    text: String,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Font<'a> {
    /// Classes of the style sheet, which give colour, weight and alignment.
    pub(super) class: &'a str,
    /// In pixels.
    pub(super) size: i32,
}

impl Canvas {
    /// Begins a document of this size. Title and description are for screen readers.
    pub(super) fn new(width: i32, height: i32, title: &str, description: &str) -> Self {
        let mut canvas = Self {
            text: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"),
        };
        canvas.open(
            "svg",
            &[
                ("xmlns", &"http://www.w3.org/2000/svg"),
                ("viewBox", &format!("0 0 {width} {height}")),
                ("width", &width),
                ("height", &height),
                ("role", &"img"),
            ],
        );
        canvas.leaf("title", &[], title);
        canvas.leaf("desc", &[], description);
        canvas.leaf("style", &[], &format!("\n{STYLE}"));
        canvas.open("defs", &[]);
        canvas.arrow_head("wire-head");
        canvas.arrow_head("arc-head");
        canvas.close("defs");
        canvas
    }

    /// Ends the document.
    pub(super) fn finish(mut self) -> String {
        self.close("svg");
        self.text
    }

    fn arrow_head(&mut self, name: &str) {
        self.open(
            "marker",
            &[
                ("id", &name),
                ("viewBox", &"0 0 8 8"),
                ("refX", &"7"),
                ("refY", &"4"),
                ("markerWidth", &"8"),
                ("markerHeight", &"8"),
                ("markerUnits", &"userSpaceOnUse"),
                ("orient", &"auto"),
            ],
        );
        self.path(name, "M0.5,0.8 L7.5,4 L0.5,7.2 Z");
        self.close("marker");
    }

    /// Opens an element.
    pub(super) fn open(&mut self, name: &str, attributes: Attributes<'_>) {
        self.tag(name, attributes, ">\n");
    }

    /// Closes the element opened last, which has this name.
    pub(super) fn close(&mut self, name: &str) {
        self.text += &format!("</{name}>\n");
    }

    /// Opens a group that shows a text where the pointer rests on it.
    pub(super) fn open_group(&mut self, hint: &str) {
        self.open("g", &[]);
        self.leaf("title", &[], hint);
    }

    /// Closes a group.
    pub(super) fn close_group(&mut self) {
        self.close("g");
    }

    /// An element that holds text only.
    pub(super) fn leaf(&mut self, name: &str, attributes: Attributes<'_>, content: &str) {
        self.tag(name, attributes, ">");
        self.text += &escape_xml(content);
        self.close(name);
    }

    fn tag(&mut self, name: &str, attributes: Attributes<'_>, end: &str) {
        self.text += &format!("<{name}");
        for (attribute, value) in attributes {
            self.text += &format!(" {attribute}=\"{}\"", escape_xml(&value.to_string()));
        }
        self.text += end;
    }

    /// A rectangle with rounded corners.
    pub(super) fn rectangle(&mut self, class: &str, rectangle: Rectangle, radius: i32) {
        self.tag(
            "rect",
            &[
                ("class", &class),
                ("x", &rectangle.x),
                ("y", &rectangle.y),
                ("width", &rectangle.width),
                ("height", &rectangle.height),
                ("rx", &radius),
            ],
            "/>\n",
        );
    }

    /// A rectangle of which only the upper corners are rounded.
    pub(super) fn tab(&mut self, class: &str, rectangle: Rectangle, radius: i32) {
        let Rectangle {
            x,
            y,
            width,
            height,
        } = rectangle;
        let (right, bottom) = (x + width, y + height);
        let (inner_left, inner_right, shoulder) = (x + radius, right - radius, y + radius);
        let data = format!(
            "M{x},{bottom} V{shoulder} Q{x},{y} {inner_left},{y} \
             H{inner_right} Q{right},{y} {right},{shoulder} V{bottom} Z"
        );
        self.path(class, &data);
    }

    /// A circle.
    pub(super) fn circle(&mut self, class: &str, middle: Point, radius: i32) {
        self.tag(
            "circle",
            &[
                ("class", &class),
                ("cx", &middle.x),
                ("cy", &middle.y),
                ("r", &radius),
            ],
            "/>\n",
        );
    }

    /// A path from its data.
    pub(super) fn path(&mut self, class: &str, data: &str) {
        self.tag("path", &[("class", &class), ("d", &data)], "/>\n");
    }

    /// A line along these points, with rounded corners.
    pub(super) fn line(&mut self, class: &str, points: &[Point]) {
        let data = rounded_line(points);
        self.path(class, &data);
    }

    /// A text whose baseline passes through a point.
    pub(super) fn text(&mut self, font: Font<'_>, at: Point, content: &str) {
        self.leaf(
            "text",
            &[
                ("class", &font.class),
                ("font-size", &font.size),
                ("x", &at.x),
                ("y", &at.y),
            ],
            content,
        );
    }

    /// A text in the middle of a rectangle; its class must say so too.
    pub(super) fn text_within(&mut self, font: Font<'_>, area: Rectangle, content: &str) {
        let middle = area.middle();
        let at = Point::new(middle.x, baseline(middle.y, font.size));
        self.text(font, at, content);
    }

    /// Two texts in one line that reads upwards and is centred at a point.
    pub(super) fn upward_text(&mut self, at: Point, parts: [(Font<'_>, &str); 2]) {
        let place = format!("translate({} {}) rotate(-90)", at.x, at.y);
        let attributes: Attributes<'_> = &[("class", &"middle"), ("transform", &place)];
        self.tag("text", attributes, ">");
        for (font, content) in parts {
            let attributes: Attributes<'_> = &[("class", &font.class), ("font-size", &font.size)];
            self.tag("tspan", attributes, ">");
            self.text += &escape_xml(content);
            self.text += "</tspan>";
        }
        self.close("text");
    }
}

/// The baseline that centres a text of this size on a level line.
pub(super) fn baseline(middle: i32, size: i32) -> i32 {
    middle + (size * 36 + 50) / 100
}

/// Path data of a line along upright and level steps.
fn rounded_line(points: &[Point]) -> String {
    let mut data = String::new();
    for (index, &point) in points.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| points[before]);
        let after = points.get(index + 1);
        data += &match (before, after) {
            (None, _) => format!("M{},{}", point.x, point.y),
            (Some(_), None) => format!(" L{},{}", point.x, point.y),
            (Some(before), Some(&after)) => {
                let radius = CORNER
                    .min(length(before, point) / 2)
                    .min(length(point, after) / 2);
                let start = towards(point, before, radius);
                let end = towards(point, after, radius);
                format!(
                    " L{},{} Q{},{} {},{}",
                    start.x, start.y, point.x, point.y, end.x, end.y
                )
            }
        };
    }
    data
}

fn length(from: Point, to: Point) -> i32 {
    (to.x - from.x).abs() + (to.y - from.y).abs()
}

fn towards(from: Point, to: Point, distance: i32) -> Point {
    let right = distance * (to.x - from.x).signum();
    let down = distance * (to.y - from.y).signum();
    from.moved(right, down)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_rounded_within_short_steps() {
        let points = [(0, 0), (0, 100), (8, 100)].map(|(x, y)| Point::new(x, y));
        assert_eq!(rounded_line(&points), "M0,0 L0,96 Q0,100 4,100 L8,100");
        assert_eq!(rounded_line(&[]), "");
    }
}
