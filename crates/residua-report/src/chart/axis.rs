//! Axes: what they mean, and how values become places.

use super::canvas::{Anchor, Area, Canvas, Lettering, Pen, Place, baseline};
use super::lettering::text_width;
use super::palette::Colour;
use super::ticks::{self, Step};
use crate::number;

/// Size of the text on axes, in the units of the chart.
pub(super) const TICK_SIZE: f64 = 12.0;
/// Between neighbouring labels of ticks.
const TICK_GAP: f64 = 10.0;
/// Height for each tick of an upright axis.
const TICK_HEIGHT: f64 = 34.0;

/// An axis of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What is measured, with its unit unless [`Axis::unit`] writes it.
    pub label: String,
    /// How values become lengths.
    pub scale: Scale,
    /// How values are written.
    pub unit: Unit,
    /// Values that the axis reaches in any case; it always reaches those of the data.
    pub includes: Vec<f64>,
}

/// How values become lengths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally long.
    #[default]
    Linear,
    /// Equal ratios are equally long. Values that are not positive have no place.
    Logarithmic,
}

/// How values are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unit {
    /// As numbers.
    #[default]
    Number,
    /// As whole numbers: epochs, layers.
    Whole,
    /// Fractions as percent.
    Percent,
    /// Counts with a prefix, such as `11.7 M`.
    Compact,
}

impl Axis {
    /// A linear axis of numbers.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            scale: Scale::default(),
            unit: Unit::default(),
            includes: Vec::new(),
        }
    }

    /// The same with another scale.
    pub fn scaled(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// The same with values written in another way.
    pub fn written(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// The same, reaching this value.
    pub fn including(mut self, value: f64) -> Self {
        self.includes.push(value);
        self
    }

    /// Whether a value has a place.
    pub(super) fn takes(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }

    /// The smallest and the largest of the values that have a place, set apart if they are equal.
    fn domain(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let (low, high) = values
            .chain(self.includes.iter().copied())
            .filter(|&value| self.takes(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        match (self.scale, self.unit) {
            (Scale::Linear, _) if low > high => (0.0, 1.0),
            (Scale::Logarithmic, _) if low > high => (1.0, 10.0),
            _ if low < high => (low, high),
            (Scale::Logarithmic, _) => (low / 2.0, high * 2.0),
            (Scale::Linear, Unit::Whole) => (low - 0.5, high + 0.5),
            (Scale::Linear, Unit::Percent) if (0.0..=1.0).contains(&low) => {
                ((low - 0.05).max(0.0), (high + 0.05).min(1.0))
            }
            (Scale::Linear, _) if low == 0.0 => (0.0, 1.0),
            (Scale::Linear, _) => (low - 0.1 * low.abs(), high + 0.1 * high.abs()),
        }
    }

    fn step(&self, span: f64, most: usize) -> Option<Step> {
        match self.unit {
            Unit::Whole => Step::whole(span, most),
            Unit::Number | Unit::Percent | Unit::Compact => Step::of(span, most),
        }
    }

    fn ticks(&self, low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let Some(step) = self.step(high - low, most) else {
                    return Vec::new();
                };
                let decimals = step.decimals();
                let label = |value| (value, self.write(value, decimals));
                let multiples = step.multiples(low, high);
                multiples.into_iter().map(label).collect()
            }
            Scale::Logarithmic => {
                let values = ticks::logarithmic(low, high, most);
                let finest = values.iter().map(|&value| decimals_of(value)).max();
                let label = |value: f64| {
                    let own = decimals_of(value);
                    let decimals = if high / low < 10.0 { finest } else { Some(own) };
                    (value, self.write(value, decimals.unwrap_or(own)))
                };
                values.into_iter().map(label).collect()
            }
        }
    }

    /// A value of the data in words.
    pub(super) fn value(&self, value: f64) -> String {
        match self.unit {
            Unit::Number => number::significant(value),
            Unit::Whole => self.write(value, 0),
            Unit::Percent => number::percent(value, 2),
            Unit::Compact if value >= 0.0 => number::compact(value.round() as u64),
            Unit::Compact => number::significant(value),
        }
    }

    fn write(&self, value: f64, decimals: usize) -> String {
        let size = value.abs();
        let is_small_ratio = self.scale == Scale::Logarithmic && size < 1e-3;
        let is_tiny = size != 0.0 && (decimals > 4 || is_small_ratio);
        match self.unit {
            Unit::Percent => number::percent(value, decimals.saturating_sub(2)),
            Unit::Whole | Unit::Compact if size >= 1e15 => format!("{value:e}"),
            Unit::Compact if size >= 1000.0 => {
                let text = number::compact(size.round() as u64);
                let (digits, prefix) = text.split_once('\u{a0}').unwrap_or((&text, ""));
                let digits = digits.trim_end_matches('0').trim_end_matches('.');
                let sign = if value < 0.0 { "-" } else { "" };
                format!("{sign}{digits}\u{a0}{prefix}")
            }
            Unit::Number if size >= 1e5 || is_tiny => {
                // Multiples of a step have few digits; the last ones are rounding.
                let text = format!("{value:.3e}");
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let digits = digits.trim_end_matches('0').trim_end_matches('.');
                format!("{digits}e{exponent}")
            }
            Unit::Number | Unit::Whole if decimals == 0 && size >= 1000.0 => {
                let sign = if value < 0.0 { "-" } else { "" };
                format!("{sign}{}", number::grouped(size.round() as u64))
            }
            Unit::Number | Unit::Whole | Unit::Compact => number::decimal(value, decimals.min(4)),
        }
    }
}

/// Decimals that write a value to three digits.
fn decimals_of(value: f64) -> usize {
    /// Nothing finer is written with decimals.
    const MOST: usize = 12;
    (0..MOST)
        .find(|&decimals| {
            let scaled = value * 10_f64.powi(decimals as i32);
            scaled.round() >= 1.0 && (scaled - scaled.round()).abs() < 1e-3 * scaled.abs()
        })
        .unwrap_or(MOST)
}

/// An axis that has been fitted to data and to a length.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    /// Places from 0 to 1, and what is written there.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Ruler {
    /// An upright axis; it ends at ticks.
    pub(super) fn upright(axis: &Axis, values: impl Iterator<Item = f64>, height: f64) -> Self {
        let most = ((height / TICK_HEIGHT) as usize).max(2);
        let (mut low, mut high) = axis.domain(values);
        match axis.scale {
            Scale::Linear => {
                if let Some(step) = axis.step(high - low, most) {
                    (low, high) = (step.below(low), step.above(high));
                }
            }
            Scale::Logarithmic => (low, high) = (low / 1.2, high * 1.2),
        }
        Self::new(axis, low, high, most + 1)
    }

    /// A level axis with as many ticks as there is room for; `margin` is the share of it that stays
    /// empty at either end.
    pub(super) fn level(
        axis: &Axis,
        values: impl Iterator<Item = f64>,
        width: f64,
        margin: f64,
    ) -> Self {
        let (mut low, mut high) = axis.domain(values);
        match axis.scale {
            Scale::Linear => {
                let span = (high - low) * margin;
                (low, high) = (low - span, high + span);
            }
            Scale::Logarithmic => {
                let ratio = (high / low).powf(margin);
                (low, high) = (low / ratio, high * ratio);
            }
        }
        // With fewer and fewer ticks there is an end to the overlaps.
        (1..=8)
            .rev()
            .map(|most| Self::new(axis, low, high, most))
            .find(|ruler| !ruler.is_crowded(width))
            .unwrap_or_else(|| Self::new(axis, low, high, 0))
    }

    fn new(axis: &Axis, low: f64, high: f64, most: usize) -> Self {
        let mut ruler = Self {
            scale: axis.scale,
            low,
            high,
            ticks: Vec::new(),
        };
        ruler.ticks = { axis.ticks(low, high, most).into_iter() }
            .filter_map(|(value, label)| Some((ruler.share(value)?, label)))
            .collect();
        ruler
    }

    fn is_crowded(&self, width: f64) -> bool {
        self.ticks.windows(2).any(|pair| {
            let [(here, label), (next, next_label)] = pair else {
                return false;
            };
            let needed = (text_width(label, TICK_SIZE) + text_width(next_label, TICK_SIZE)) / 2.0;
            (next - here) * width < needed + TICK_GAP
        })
    }

    /// Where a value lies, from 0 at the low end to 1 at the high one.
    pub(super) fn share(&self, value: f64) -> Option<f64> {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        share.is_finite().then_some(share)
    }

    /// The same, where what lies outside is moved to the nearer end.
    pub(super) fn nearest(&self, value: f64) -> Option<f64> {
        if self.scale == Scale::Logarithmic && value <= 0.0 {
            return Some(0.0);
        }
        Some(self.share(value)?.clamp(0.0, 1.0))
    }

    /// The width of the widest label.
    pub(super) fn label_width(&self) -> f64 {
        let widths = self.ticks.iter().map(|tick| text_width(&tick.1, TICK_SIZE));
        widths.fold(0.0, f64::max)
    }
}

/// The two axes of a plot and the area between them.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) area: Area,
    pub(super) level: Ruler,
    pub(super) upright: Ruler,
}

/// Room around the area of a plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    pub(super) top: f64,
    pub(super) right: f64,
}

/// Below the area: labels of ticks, and what the level axis means.
const FOOT: f64 = 44.0;
/// Above the area: what the upright axis means.
pub(super) const HEAD: f64 = 26.0;

/// The values that two axes have to show.
pub(super) struct Values<X, Y> {
    pub(super) level: X,
    pub(super) upright: Y,
}

impl Frame {
    /// Fits axes to values. `slack` is the share of the level axis that stays empty at either end.
    pub(super) fn new<X, Y>(
        size: super::Size,
        margins: Margins,
        axes: [&Axis; 2],
        values: Values<X, Y>,
        slack: f64,
    ) -> Self
    where
        X: Iterator<Item = f64>,
        Y: Iterator<Item = f64>,
    {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let [level, upright] = axes;
        let top = margins.top.min(height / 2.0);
        let bottom = (height - FOOT).max(top + 1.0);
        let upright = Ruler::upright(upright, values.upright, bottom - top);
        let left = (upright.label_width() + 9.0).clamp(18.0, width / 2.0);
        let right = (width - margins.right).max(left + 1.0);
        let level = Ruler::level(level, values.level, right - left, slack);
        let area = Area {
            left,
            top,
            right,
            bottom,
        };
        Self {
            area,
            level,
            upright,
        }
    }

    /// Where a point lies; `None` if it has no place.
    pub(super) fn place(&self, x: f64, y: f64) -> Option<Place> {
        Some(self.at(self.level.share(x)?, self.upright.share(y)?))
    }

    /// A place from its shares of the two axes.
    pub(super) fn at(&self, level: f64, upright: f64) -> Place {
        Place {
            x: self.area.left + level * self.area.width(),
            y: self.area.bottom - upright * self.area.height(),
        }
    }

    /// Draws axes, lines at ticks, and labels.
    pub(super) fn draw(&self, canvas: &mut Canvas, axes: [&Axis; 2]) {
        let area = self.area;
        for (share, label) in &self.upright.ticks {
            let y = self.at(0.0, *share).y;
            let ends = [area.left, area.right].map(|x| Place { x, y });
            canvas.line(Pen::solid(Colour::Rule, 1.0), &ends);
            let lettering = Lettering::new(TICK_SIZE, Colour::FaintInk, Anchor::End);
            let at = Place {
                x: area.left - 7.0,
                y: baseline(y, TICK_SIZE),
            };
            canvas.text(lettering, at, label);
        }
        let foot = [area.left, area.right].map(|x| Place { x, y: area.bottom });
        canvas.line(Pen::solid(Colour::FaintInk, 1.0), &foot);
        for (share, label) in &self.level.ticks {
            let x = self.at(*share, 0.0).x;
            let ends = [area.bottom, area.bottom + 4.0].map(|y| Place { x, y });
            canvas.line(Pen::solid(Colour::FaintInk, 1.0), &ends);
            let lettering = Lettering::new(TICK_SIZE, Colour::FaintInk, Anchor::Middle);
            let y = area.bottom + 18.0;
            canvas.text(lettering, Place { x, y }, label);
        }
        let [level, upright] = axes;
        let lettering = Lettering::new(TICK_SIZE, Colour::SoftInk, Anchor::Middle);
        let middle = Place {
            x: (area.left + area.right) / 2.0,
            y: area.bottom + 36.0,
        };
        canvas.text(lettering, middle, &level.label);
        let lettering = Lettering::new(TICK_SIZE, Colour::SoftInk, Anchor::Start);
        canvas.text(lettering, Place { x: 0.0, y: 12.0 }, &upright.label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ruler: &Ruler) -> Vec<String> {
        let labels = ruler.ticks.iter().map(|(_, label)| label);
        labels.map(|label| label.replace('\u{a0}', " ")).collect()
    }

    #[test]
    fn labels_are_written_in_the_axis_unit() {
        let percent = Axis::new("accuracy").written(Unit::Percent);
        let ruler = Ruler::upright(&percent, [0.52, 0.873].into_iter(), 150.0);
        assert_eq!(labels(&ruler), ["50 %", "60 %", "70 %", "80 %", "90 %"]);
        let compact = Axis::new("parameters")
            .written(Unit::Compact)
            .scaled(Scale::Logarithmic);
        let ruler = Ruler::level(&compact, [2.7e5, 2.56e7].into_iter(), 300.0, 0.0);
        assert_eq!(
            labels(&ruler),
            ["500 k", "1 M", "2 M", "5 M", "10 M", "20 M"]
        );
        let rate = Axis::new("rate").scaled(Scale::Logarithmic);
        let ruler = Ruler::upright(&rate, [1e-7, 0.1].into_iter(), 150.0);
        assert_eq!(labels(&ruler), ["1e-6", "1e-4", "0.01"]);
    }

    #[test]
    fn labels_do_not_overlap_however_narrow_the_axis() {
        let axis = Axis::new("step").written(Unit::Whole);
        for width in [1.0, 40.0, 100.0, 300.0, 1000.0] {
            let ruler = Ruler::level(&axis, [0.0, 391_000.0].into_iter(), width, 0.0);
            assert!(!ruler.is_crowded(width), "{width}: {ruler:?}");
        }
    }

    #[test]
    fn axes_without_a_span_are_defined() {
        for axis in [
            Axis::new("number"),
            Axis::new("epoch").written(Unit::Whole),
            Axis::new("accuracy").written(Unit::Percent),
            Axis::new("rate").scaled(Scale::Logarithmic),
        ] {
            for values in [
                &[][..],
                &[1.0],
                &[0.0],
                &[-3.0],
                &[f64::NAN],
                &[f64::MAX, f64::MIN],
                &[f64::MIN_POSITIVE],
            ] {
                let upright = Ruler::upright(&axis, values.iter().copied(), 200.0);
                let level = Ruler::level(&axis, values.iter().copied(), 300.0, 0.05);
                for ruler in [upright, level] {
                    assert!(ruler.ticks.iter().all(|(share, _)| share.is_finite()));
                    assert!(ruler.ticks.len() < 20, "{ruler:?}");
                }
            }
        }
        let one = Ruler::level(
            &Axis::new("epoch").written(Unit::Whole),
            [1.0].into_iter(),
            300.0,
            0.0,
        );
        assert_eq!(labels(&one), ["1"]);
    }
}
