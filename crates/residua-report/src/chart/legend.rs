//! Which line is which.

use super::canvas::{Anchor, Area, Canvas, Lettering, Pen, Place, baseline};
use super::lettering::{fit, text_width};
use super::marker::Look;
use super::palette::Colour;

/// Size of names of series.
pub(super) const NAME_SIZE: f64 = 12.0;
const ROW: f64 = 18.0;
const SAMPLE: f64 = 24.0;
const ENTRY_GAP: f64 = 16.0;
/// Between neighbouring names at the ends of lines.
const NAME_HEIGHT: f64 = 15.0;
/// Between the end of a line and its name.
pub(super) const NAME_INSET: f64 = 26.0;
/// Before the name stands the marker of its line, so that it is found where many lines end together.
const MARKER_INSET: f64 = 17.0;

/// What stands before a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sample {
    Line,
    Marker,
}

/// Names in rows, each behind a piece of its line.
#[derive(Debug)]
pub(super) struct Legend {
    sample: Sample,
    /// Of each entry: place from the upper left corner of the legend, look, name.
    entries: Vec<(Place, Look, String)>,
    rows: usize,
}

impl Legend {
    /// Breaks the names into rows of this width.
    pub(super) fn new<'a>(names: impl Iterator<Item = (Look, &'a str)>, width: f64) -> Self {
        Self::with_samples(Sample::Line, names, width)
    }

    /// The same behind a marker alone.
    pub(super) fn of_points<'a>(names: impl Iterator<Item = (Look, &'a str)>, width: f64) -> Self {
        Self::with_samples(Sample::Marker, names, width)
    }

    fn with_samples<'a>(
        sample: Sample,
        names: impl Iterator<Item = (Look, &'a str)>,
        width: f64,
    ) -> Self {
        let mut legend = Self {
            sample,
            entries: Vec::new(),
            rows: 0,
        };
        let mut x = f64::INFINITY;
        for (look, name) in names {
            let name = fit(name, NAME_SIZE, width - SAMPLE);
            let needed = SAMPLE + text_width(&name, NAME_SIZE);
            if x + needed > width {
                legend.rows += 1;
                x = 0.0;
            }
            let y = (legend.rows as f64 - 0.5) * ROW;
            legend.entries.push((Place { x, y }, look, name));
            x += needed + ENTRY_GAP;
        }
        legend
    }

    pub(super) fn height(&self) -> f64 {
        self.rows as f64 * ROW
    }

    /// Draws the legend with its upper left corner here.
    pub(super) fn draw(&self, canvas: &mut Canvas, corner: Place) {
        for (offset, look, name) in &self.entries {
            let (x, y) = (corner.x + offset.x, corner.y + offset.y);
            let ends = [x, x + SAMPLE - 7.0].map(|x| Place { x, y });
            if self.sample == Sample::Line {
                canvas.line(look.pen(2.0), &ends);
            }
            let middle = x + (SAMPLE - 7.0) / 2.0;
            look.mark(canvas, Place { x: middle, y }, 3.5);
            let at = Place {
                x: x + SAMPLE,
                y: baseline(y, NAME_SIZE),
            };
            let lettering = Lettering::new(NAME_SIZE, Colour::SoftInk, Anchor::Start);
            canvas.text(lettering, at, name);
        }
    }
}

/// The end of a line, and its name.
#[derive(Debug, Clone)]
pub(super) struct LineEnd {
    pub(super) at: Place,
    pub(super) look: Look,
    pub(super) name: String,
}

/// Whether this many names can stand one below the other.
pub(super) fn names_fit(names: usize, height: f64) -> bool {
    names as f64 * NAME_HEIGHT <= height
}

/// Draws names at the ends of lines, moved apart where lines end close to each other.
pub(super) fn name_ends(canvas: &mut Canvas, area: Area, mut ends: Vec<LineEnd>) {
    ends.sort_by(|a, b| a.at.y.total_cmp(&b.at.y));
    let wanted: Vec<f64> = ends.iter().map(|end| end.at.y).collect();
    let heights = apart(&wanted, NAME_HEIGHT, area.top, area.bottom);
    for (end, y) in ends.iter().zip(heights) {
        let x = area.right + NAME_INSET;
        let marker = Place {
            x: area.right + MARKER_INSET,
            y,
        };
        if (y - end.at.y).abs() > 1.0 {
            let leader = Pen::solid(end.look.colour(), 0.75);
            canvas.line(leader, &[end.at, marker]);
        }
        end.look.mark(canvas, marker, 3.5);
        let lettering = Lettering::new(NAME_SIZE, Colour::Ink, Anchor::Start);
        let at = Place {
            x,
            y: baseline(y, NAME_SIZE),
        };
        canvas.text(lettering, at, &end.name);
    }
}

/// Rising heights at least `gap` apart, as close to the wanted ones (which rise too) as can be, and
/// within the bounds if they fit.
fn apart(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    // Names that would touch form a pile around the middle of what they want. Of each: their number,
    // and the sum of the places of the first that would suit each of them.
    let mut piles: Vec<(usize, f64)> = Vec::new();
    let first = |(count, sum): (usize, f64)| {
        let most = high - gap * (count as f64 - 1.0);
        (sum / count as f64).min(most).max(low)
    };
    for &height in wanted {
        let mut pile = (1, height);
        while let Some(&above) = piles.last() {
            let (count, sum) = above;
            if first(above) + gap * count as f64 <= first(pile) {
                break;
            }
            let shift = gap * (count * pile.0) as f64;
            pile = (count + pile.0, sum + pile.1 - shift);
            piles.pop();
        }
        piles.push(pile);
    }
    let heights = piles.iter().flat_map(|&pile| {
        let first = first(pile);
        (0..pile.0).map(move |index| first + gap * index as f64)
    });
    heights.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_moved_apart() {
        assert_eq!(
            apart(&[20.0, 21.0, 50.0], 15.0, 0.0, 100.0),
            [13.0, 28.0, 50.0]
        );
        assert_eq!(
            apart(&[90.0, 95.0, 99.0], 15.0, 0.0, 100.0),
            [70.0, 85.0, 100.0]
        );
        assert!(apart(&[], 15.0, 0.0, 100.0).is_empty());
    }

    #[test]
    fn rows_are_as_wide_as_allowed() {
        let names = [
            "resnet20",
            "resnet32",
            "resnet44",
            "a very long name indeed",
        ];
        let named = names.iter().enumerate();
        let named = named.map(|(number, name)| (Look::numbered(number), *name));
        let legend = Legend::new(named.clone(), 200.0);
        assert_eq!(legend.rows, 3);
        assert_eq!(Legend::new(named, 1000.0).rows, 1);
        assert_eq!(Legend::new([].into_iter(), 100.0).height(), 0.0);
    }
}
