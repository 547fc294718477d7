//! A figure of each of several things, as level bars.

use std::fmt::Write;

use super::axis::Unit;
use super::canvas::{Anchor, Area, Canvas, Fill, Lettering, Pen, Place, Words, baseline};
use super::lettering::{fit, text_width};
use super::palette::{Colour, Palette, RIGHT};
use crate::number;

/// Level bars, from the top downwards, of shares between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// What the chart shows; read out rather than drawn.
    pub title: String,
    /// What is measured; written above the bars.
    pub label: String,
    /// How values are written: in percent, or as numbers.
    pub unit: Unit,
    /// The bars.
    pub bars: Vec<Bar>,
    /// A value to compare with, such as the mean, drawn as an upright line.
    pub reference: Option<f64>,
}

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// A share between 0 and 1; `None` where there is none.
    pub value: Option<f64>,
}

const WIDTH: f64 = 440.0;
const ROW: f64 = 20.0;
const BAR: f64 = 13.0;
const TEXT_SIZE: f64 = 12.0;
/// Names are shortened to this width.
const NAME_WIDTH: f64 = 150.0;
/// What stands behind a bar.
const VALUE_WIDTH: f64 = 56.0;
const HEAD: f64 = 26.0;

impl BarChart {
    /// The chart as an SVG document.
    pub(super) fn to_svg(&self, palette: Palette) -> String {
        let height = HEAD + ROW * self.bars.len() as f64 + 6.0;
        let description = self.description();
        let words = Words {
            title: &self.title,
            description: &description,
        };
        let mut canvas = Canvas::new(WIDTH, height, words, palette);
        let names = self.bars.iter().map(|bar| text_width(&bar.name, TEXT_SIZE));
        let left = names.fold(0.0, f64::max).min(NAME_WIDTH) + 10.0;
        let right = WIDTH - VALUE_WIDTH;
        let at = |share: f64| left + share.clamp(0.0, 1.0) * (right - left);
        let soft = Lettering::new(TEXT_SIZE, Colour::SoftInk, Anchor::Start);
        canvas.text(soft, Place { x: 0.0, y: 12.0 }, &self.label);
        for (index, bar) in self.bars.iter().enumerate() {
            let top = HEAD + ROW * index as f64;
            let middle = top + ROW / 2.0;
            let y = baseline(middle, TEXT_SIZE);
            let name = Lettering::new(TEXT_SIZE, Colour::Ink, Anchor::End);
            let shown = fit(&bar.name, TEXT_SIZE, NAME_WIDTH);
            canvas.text(name, Place { x: left - 10.0, y }, &shown);
            let area = |right| Area {
                left,
                top: middle - BAR / 2.0,
                right,
                bottom: middle + BAR / 2.0,
            };
            let value = bar.value.filter(|value| value.is_finite());
            canvas.rectangle(Fill::full(Colour::Rule), area(right), 2.0);
            if let Some(value) = value {
                canvas.rectangle(Fill::full(RIGHT), area(at(value)), 2.0);
            }
            let figure = number::optional(value, |value| self.written(value));
            let at = Place { x: WIDTH, y };
            let lettering = Lettering::new(TEXT_SIZE, Colour::SoftInk, Anchor::End);
            canvas.text(lettering, at, &figure);
        }
        if let Some(reference) = self.reference.filter(|value| value.is_finite()) {
            let x = at(reference);
            let ends = [HEAD - 4.0, height - 2.0].map(|y| Place { x, y });
            let pen = Pen {
                dashes: "3 3",
                ..Pen::solid(Colour::Ink, 1.25)
            };
            canvas.line(pen, &ends);
            let text = format!("mean {}", self.written(reference));
            let lettering = Lettering::new(TEXT_SIZE, Colour::SoftInk, Anchor::End);
            canvas.text(lettering, Place { x: WIDTH, y: 12.0 }, &text);
        }
        canvas.finish()
    }

    fn written(&self, value: f64) -> String {
        match self.unit {
            Unit::Percent => number::percent(value, 1),
            Unit::Number | Unit::Whole | Unit::Compact => number::decimal(value, 3),
        }
    }

    fn description(&self) -> String {
        let mut text = format!("{}.", self.label);
        for bar in &self.bars {
            let value = number::optional(bar.value, |value| self.written(value));
            // Writing to a string cannot fail.
            let _ = write!(text, " {}: {value}.", bar.name);
        }
        text
    }
}
