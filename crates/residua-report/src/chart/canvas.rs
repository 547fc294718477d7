//! Writing SVG: elements, escaping, and the few shapes that charts are made of.

use std::fmt::{self, Display, Write};

use residua_core::text::escape_xml;

use super::palette::{Colour, Palette};

/// The fonts of the viewer's system. The last one is what [`super::raster`] brings along.
const FONTS: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, \
                     sans-serif";

/// Around a chart that stands by itself.
const PADDING: f64 = 14.0;

/// Attributes of an element.
type Attributes<'a> = &'a [(&'a str, &'a dyn Display)];

/// A place in the units of the chart, from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// The area that both cover.
    pub(super) fn overlap(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }
}

/// Where a text stands relative to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lettering {
    pub(super) size: f64,
    pub(super) colour: Colour,
    pub(super) anchor: Anchor,
}

impl Lettering {
    pub(super) fn new(size: f64, colour: Colour, anchor: Anchor) -> Self {
        Self {
            size,
            colour,
            anchor,
        }
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    pub(super) colour: Colour,
    pub(super) width: f64,
    /// Lengths of dashes and gaps; empty for a solid line.
    pub(super) dashes: &'static str,
}

impl Pen {
    pub(super) fn solid(colour: Colour, width: f64) -> Self {
        Self {
            colour,
            width,
            dashes: "",
        }
    }
}

/// How a surface looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill {
    pub(super) colour: Colour,
    /// From 0 to 1.
    pub(super) opacity: f64,
}

impl Fill {
    pub(super) fn full(colour: Colour) -> Self {
        Self {
            colour,
            opacity: 1.0,
        }
    }
}

/// What a chart says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) title: &'a str,
    pub(super) description: &'a str,
}

/// An SVG document that grows.
#[derive(Debug)]
pub(super) struct Canvas {
    text: String,
    palette: Palette,
}

impl Canvas {
    /// Begins a document of this size. Title and description are for those who do not see it.
    pub(super) fn new(width: f64, height: f64, words: Words<'_>, palette: Palette) -> Self {
        let mut canvas = Self {
            text: String::new(),
            palette,
        };
        let padding = match palette {
            Palette::Page => 0.0,
            Palette::Light | Palette::Dark => PADDING,
        };
        let corner = Number(-padding);
        let width = Number(width.ceil() + 2.0 * padding);
        let height = Number(height.ceil() + 2.0 * padding);
        canvas.tag(
            "svg",
            &[
                ("xmlns", &"http://www.w3.org/2000/svg"),
                ("viewBox", &format!("{corner} {corner} {width} {height}")),
                ("width", &width),
                ("height", &height),
                ("role", &"img"),
                ("aria-label", &words.title),
                ("font-family", &FONTS),
            ],
            ">\n",
        );
        canvas.leaf("title", &[], words.title);
        canvas.leaf("desc", &[], words.description);
        if palette != Palette::Page {
            let fill = palette.paint(Colour::Ground);
            canvas.tag(
                "rect",
                &[
                    ("x", &corner),
                    ("y", &corner),
                    ("width", &width),
                    ("height", &height),
                    ("fill", &fill),
                ],
                "/>\n",
            );
        }
        canvas
    }

    /// Ends the document.
    pub(super) fn finish(mut self) -> String {
        self.text += "</svg>\n";
        self.text
    }

    /// Opens a group that shows a text where the pointer rests on it.
    pub(super) fn open_group(&mut self, hint: &str) {
        self.text += "<g>";
        self.leaf("title", &[], hint);
    }

    /// Closes a group.
    pub(super) fn close_group(&mut self) {
        self.text += "</g>\n";
    }

    /// A line along these places, broken into steps.
    pub(super) fn line(&mut self, pen: Pen, places: &[Place]) {
        if !places.is_empty() {
            self.stroke(pen, &path_data(places));
        }
    }

    /// A line from path data.
    pub(super) fn stroke(&mut self, pen: Pen, data: &str) {
        let colour = self.palette.paint(pen.colour);
        let width = Number(pen.width);
        let attributes: Attributes<'_> = &[
            ("d", &data),
            ("fill", &"none"),
            ("stroke", &colour),
            ("stroke-width", &width),
            ("stroke-linejoin", &"round"),
            ("stroke-linecap", &"round"),
            ("stroke-dasharray", &pen.dashes),
        ];
        let kept = attributes.len() - usize::from(pen.dashes.is_empty());
        self.tag("path", &attributes[..kept], "/>\n");
    }

    /// A surface from path data.
    pub(super) fn surface(&mut self, fill: Fill, data: &str) {
        let colour = self.palette.paint(fill.colour);
        let opacity = Number(fill.opacity);
        let attributes: Attributes<'_> =
            &[("d", &data), ("fill", &colour), ("fill-opacity", &opacity)];
        let kept = attributes.len() - usize::from(fill.opacity >= 1.0);
        self.tag("path", &attributes[..kept], "/>\n");
    }

    /// A rectangle with rounded corners.
    pub(super) fn rectangle(&mut self, fill: Fill, area: Area, radius: f64) {
        let colour = self.palette.paint(fill.colour);
        let opacity = Number(fill.opacity);
        let attributes: Attributes<'_> = &[
            ("x", &Number(area.left)),
            ("y", &Number(area.top)),
            ("width", &Number(area.width().max(0.0))),
            ("height", &Number(area.height().max(0.0))),
            ("rx", &Number(radius)),
            ("fill", &colour),
            ("fill-opacity", &opacity),
        ];
        let kept = attributes.len() - usize::from(fill.opacity >= 1.0);
        self.tag("rect", &attributes[..kept], "/>\n");
    }

    /// A text whose baseline passes through a place.
    pub(super) fn text(&mut self, lettering: Lettering, at: Place, content: &str) {
        let attributes: Attributes<'_> = &[("x", &Number(at.x)), ("y", &Number(at.y))];
        self.lettered(lettering, attributes, content);
    }

    /// A text that reads upwards.
    pub(super) fn upward_text(&mut self, lettering: Lettering, at: Place, content: &str) {
        let turn = format!("translate({} {}) rotate(-90)", Number(at.x), Number(at.y));
        self.lettered(lettering, &[("transform", &turn)], content);
    }

    fn lettered(&mut self, lettering: Lettering, place: Attributes<'_>, content: &str) {
        let colour = self.palette.paint(lettering.colour);
        let size = Number(lettering.size);
        let mut attributes: Vec<(&str, &dyn Display)> = place.to_vec();
        attributes.push(("font-size", &size));
        attributes.push(("fill", &colour));
        match lettering.anchor {
            Anchor::Start => {}
            Anchor::Middle => attributes.push(("text-anchor", &"middle")),
            Anchor::End => attributes.push(("text-anchor", &"end")),
        }
        self.leaf("text", &attributes, content);
    }

    /// An element that holds text only.
    fn leaf(&mut self, name: &str, attributes: Attributes<'_>, content: &str) {
        self.tag(name, attributes, ">");
        self.text += &escape_xml(content);
        self.text += "</";
        self.text += name;
        self.text += ">\n";
    }

    fn tag(&mut self, name: &str, attributes: Attributes<'_>, end: &str) {
        self.text.push('<');
        self.text += name;
        for (attribute, value) in attributes {
            let value = value.to_string();
            // Writing to a string cannot fail.
            let _ = write!(self.text, " {attribute}=\"{}\"", escape_xml(&value));
        }
        self.text += end;
    }
}

/// A number with at most two decimals; SVG has no others than finite ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) f64);

impl Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0;
        // Adding 0 makes -0 a 0.
        let shown = if rounded.is_finite() { rounded } else { 0.0 };
        write!(formatter, "{}", shown + 0.0)
    }
}

/// Path data of straight lines along these places.
pub(super) fn path_data(places: &[Place]) -> String {
    let mut data = String::with_capacity(places.len() * 12);
    for (index, place) in places.iter().enumerate() {
        let command = if index == 0 { "M" } else { " " };
        let _ = write!(data, "{command}{},{}", Number(place.x), Number(place.y));
    }
    data
}

/// The baseline that centres a text of this size on a level line.
pub(super) fn baseline(middle: f64, size: f64) -> f64 {
    middle + size * 0.36
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_finite() {
        let texts = [1.0, 0.126, -0.001, f64::NAN, f64::INFINITY].map(|x| Number(x).to_string());
        assert_eq!(texts, ["1", "0.13", "0", "0", "0"]);
    }
}
