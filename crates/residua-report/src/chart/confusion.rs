//! Which classes are taken for which.

use std::fmt::Write;

use super::canvas::{Anchor, Area, Canvas, Fill, Lettering, Number, Place, Words, baseline};
use super::lettering::{fit, text_width};
use super::palette::{Colour, Palette, RIGHT, WRONG};
use crate::number;

/// A confusion matrix as a heat map: what was right in one colour on the diagonal, what was wrong in
/// another. Up to 20 classes have their names and numbers; more become a map of one small square for
/// each pair, and more than 120 share squares with their neighbours.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfusionMatrix {
    /// What the chart shows; read out rather than drawn.
    pub title: String,
    /// Class names in the order of the labels.
    pub classes: Vec<String>,
    /// Numbers of images; rows are true classes, columns predicted ones.
    pub counts: Vec<Vec<u64>>,
}

/// As many classes as this have their numbers written.
const MOST_NUMBERED: usize = 20;
/// As many squares as this to a side are drawn.
const MOST_SQUARES: usize = 120;
/// To a side of a map.
const MAP_SIDE: f64 = 480.0;
const TEXT_SIZE: f64 = 11.5;
/// Names are shortened to this width.
const NAME_WIDTH: f64 = 110.0;
const NAME_GAP: f64 = 8.0;
/// Below the matrix: what the colours mean.
const KEY_HEIGHT: f64 = 34.0;
/// Squares of a map are painted in this many shades, so that one path paints all of a shade.
const SHADES: usize = 12;

/// How strongly a square is coloured: in proportion where it is right; the root of the share where it is
/// wrong, since a confusion of 4 % should be seen.
fn strength(share: f64, is_right: bool) -> f64 {
    let share = share.clamp(0.0, 1.0);
    if is_right { share } else { share.sqrt() }
}

impl ConfusionMatrix {
    fn count(&self, row: usize, column: usize) -> u64 {
        let row = self.counts.get(row);
        row.and_then(|row| row.get(column)).copied().unwrap_or(0)
    }

    fn images(&self, row: usize) -> u64 {
        let columns = 0..self.classes.len();
        columns.fold(0, |sum, column| sum.saturating_add(self.count(row, column)))
    }

    fn is_numbered(&self) -> bool {
        self.classes.len() <= MOST_NUMBERED
    }

    /// The side of a square with a number in it.
    fn cell(&self) -> f64 {
        let cells = self.counts.iter().flatten();
        let widths = cells.map(|&count| text_width(&written(count), TEXT_SIZE));
        (widths.fold(0.0, f64::max) + 8.0).clamp(26.0, 46.0)
    }

    /// Room for the names beside and above the matrix.
    fn name_width(&self) -> f64 {
        let widths = self.classes.iter().map(|name| text_width(name, TEXT_SIZE));
        let widest = widths.fold(text_width("is ↓", TEXT_SIZE), f64::max);
        widest.min(NAME_WIDTH) + NAME_GAP
    }

    fn numbered_width(&self) -> f64 {
        let matrix = self.cell() * self.classes.len() as f64;
        (self.name_width() + matrix + 2.0).max(key_width() + 2.0)
    }

    /// The width below which its numbers become too small.
    pub(super) fn least_width(&self) -> u32 {
        if self.is_numbered() {
            (self.numbered_width() * 0.85) as u32
        } else {
            300
        }
    }

    /// The chart as an SVG document.
    pub(super) fn to_svg(&self, palette: Palette) -> String {
        if self.is_numbered() {
            self.numbered(palette)
        } else {
            self.map(palette)
        }
    }

    fn numbered(&self, palette: Palette) -> String {
        let (cell, names) = (self.cell(), self.name_width());
        let side = cell * self.classes.len() as f64;
        let height = names + 18.0 + side + KEY_HEIGHT;
        let description = self.description();
        let words = Words {
            title: &self.title,
            description: &description,
        };
        let mut canvas = Canvas::new(self.numbered_width(), height, words, palette);
        let corner = Place {
            x: names,
            y: names + 18.0,
        };
        let faint = Lettering::new(TEXT_SIZE, Colour::FaintInk, Anchor::End);
        let above = Lettering::new(TEXT_SIZE, Colour::FaintInk, Anchor::Start);
        let beside = Place {
            x: corner.x - NAME_GAP,
            y: corner.y - 6.0,
        };
        canvas.text(faint, beside, "is ↓");
        let at = Place {
            x: corner.x,
            y: 11.0,
        };
        canvas.text(above, at, "taken for →");
        for (index, class) in self.classes.iter().enumerate() {
            let name = fit(class, TEXT_SIZE, NAME_WIDTH);
            let middle = (index as f64 + 0.5) * cell;
            let lettering = Lettering::new(TEXT_SIZE, Colour::SoftInk, Anchor::End);
            let at = Place {
                x: corner.x - NAME_GAP,
                y: baseline(corner.y + middle, TEXT_SIZE),
            };
            canvas.text(lettering, at, &name);
            let lettering = Lettering::new(TEXT_SIZE, Colour::SoftInk, Anchor::Start);
            let at = Place {
                x: baseline(corner.x + middle, TEXT_SIZE),
                y: corner.y - NAME_GAP + 2.0,
            };
            canvas.upward_text(lettering, at, &name);
            self.draw_row(&mut canvas, corner, index);
        }
        // Under the matrix, or further left where that is too narrow.
        let left = (self.numbered_width() - key_width()).clamp(0.0, corner.x);
        draw_key(&mut canvas, left, corner.y + side + 10.0);
        canvas.finish()
    }

    fn draw_row(&self, canvas: &mut Canvas, corner: Place, row: usize) {
        let cell = self.cell();
        let images = self.images(row);
        for column in 0..self.classes.len() {
            let count = self.count(row, column);
            let is_right = row == column;
            let left = corner.x + column as f64 * cell;
            let top = corner.y + row as f64 * cell;
            let area = Area {
                left: left + 0.75,
                top: top + 0.75,
                right: left + cell - 0.75,
                bottom: top + cell - 0.75,
            };
            let ground = Fill {
                colour: Colour::Rule,
                opacity: 0.45,
            };
            if count == 0 {
                canvas.rectangle(ground, area, 2.0);
                continue;
            }
            let share = count as f64 / images.max(1) as f64;
            let opacity = strength(share, is_right).max(0.04);
            let colour = if is_right { RIGHT } else { WRONG };
            canvas.open_group(&self.hint(row, column));
            canvas.rectangle(Fill { colour, opacity }, area, 2.0);
            let ink = match (is_right, opacity) {
                (true, 0.6..) => Colour::OnSeries,
                (false, 0.8..) => Colour::OnSeries,
                (false, ..0.12) => Colour::FaintInk,
                _ => Colour::Ink,
            };
            let at = Place {
                x: left + cell / 2.0,
                y: baseline(top + cell / 2.0, TEXT_SIZE),
            };
            let lettering = Lettering::new(TEXT_SIZE, ink, Anchor::Middle);
            canvas.text(lettering, at, &written(count));
            canvas.close_group();
        }
    }

    fn hint(&self, row: usize, column: usize) -> String {
        let name = |index: usize| self.classes.get(index).map_or("", String::as_str);
        let count = self.count(row, column);
        let images = number::counted(self.images(row), "image", "images");
        let share = number::percent(count as f64 / self.images(row).max(1) as f64, 1);
        let taken = number::grouped(count);
        format!(
            "{taken} of {images} of {}, taken for {} ({share})",
            name(row),
            name(column)
        )
    }

    /// One square for each pair of classes, or of neighbouring groups of them.
    fn map(&self, palette: Palette) -> String {
        let classes = self.classes.len();
        let group = classes.div_ceil(MOST_SQUARES);
        let squares = classes.div_ceil(group);
        let cell = MAP_SIDE / squares as f64;
        let description = self.description();
        let words = Words {
            title: &self.title,
            description: &description,
        };
        let head = 22.0;
        let height = head + MAP_SIDE + KEY_HEIGHT;
        let mut canvas = Canvas::new(MAP_SIDE, height, words, palette);
        let lettering = Lettering::new(TEXT_SIZE, Colour::FaintInk, Anchor::Start);
        let of_squares = match group {
            1 => format!("{classes} classes"),
            _ => format!("{classes} classes, {group} to a square"),
        };
        let text = format!("downwards: is, to the right: taken for · {of_squares}");
        canvas.text(lettering, Place { x: 0.0, y: 11.0 }, &text);
        let ground = Fill {
            colour: Colour::Rule,
            opacity: 0.45,
        };
        let area = Area {
            left: 0.0,
            top: head,
            right: MAP_SIDE,
            bottom: head + MAP_SIDE,
        };
        canvas.rectangle(ground, area, 2.0);
        for (is_right, paths) in [true, false].map(|is_right| {
            let paths = self.shaded_paths(is_right, group, head, cell);
            (is_right, paths)
        }) {
            let colour = if is_right { RIGHT } else { WRONG };
            for (shade, data) in paths.iter().enumerate() {
                let opacity = (shade as f64 + 0.7) / SHADES as f64;
                if !data.is_empty() {
                    canvas.surface(Fill { colour, opacity }, data);
                }
            }
        }
        draw_key(&mut canvas, 0.0, head + MAP_SIDE + 10.0);
        canvas.finish()
    }

    /// For each shade the squares that have it.
    fn shaded_paths(&self, is_right: bool, group: usize, top: f64, cell: f64) -> Vec<String> {
        let squares = self.classes.len().div_ceil(group);
        let mut paths = vec![String::new(); SHADES];
        let side = Number(cell);
        for row in 0..squares {
            let mut counts = vec![0_u64; squares];
            for own in row * group..(row + 1) * group {
                for column in 0..self.classes.len() {
                    let count = &mut counts[column / group];
                    *count = count.saturating_add(self.count(own, column));
                }
            }
            let images: f64 = counts.iter().map(|&count| count as f64).sum();
            for (column, &count) in counts.iter().enumerate() {
                if count == 0 || is_right != (row == column) {
                    continue;
                }
                let strength = strength(count as f64 / images, is_right);
                let shade = ((strength * SHADES as f64) as usize).min(SHADES - 1);
                let (x, y) = (
                    Number(column as f64 * cell),
                    Number(top + row as f64 * cell),
                );
                // Writing to a string cannot fail.
                let _ = write!(paths[shade], "M{x},{y}h{side}v{side}h-{side}z");
            }
        }
        paths
    }

    fn description(&self) -> String {
        let classes = self.classes.len();
        let right = (0..classes).fold(0_u64, |sum, class| {
            sum.saturating_add(self.count(class, class))
        });
        let images = (0..classes).fold(0_u64, |sum, class| sum.saturating_add(self.images(class)));
        let mut text = format!(
            "{} of {} were recognised.",
            number::grouped(right),
            number::counted(images, "image", "images")
        );
        let pairs = (0..classes).flat_map(|row| (0..classes).map(move |column| (row, column)));
        let worst = pairs
            .filter(|(row, column)| row != column && self.count(*row, *column) > 0)
            .max_by_key(|(row, column)| self.count(*row, *column));
        if let Some((row, column)) = worst {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                " The most frequent confusion: {}.",
                self.hint(row, column)
            );
        }
        text
    }
}

fn written(count: u64) -> String {
    if count < 10_000 {
        count.to_string()
    } else {
        number::compact(count)
    }
}

/// The shares of which the key shows the colours.
const KEY_SHARES: [f64; 5] = [0.02, 0.1, 0.3, 0.6, 1.0];
const KEY_SWATCH: f64 = 12.0;
const KEY_WORDS: [&str; 3] = ["right", "wrong", "2 to 100 % of the row"];

fn key_width() -> f64 {
    let words = KEY_WORDS.map(|word| text_width(word, TEXT_SIZE) + 6.0);
    let swatches = 2.0 * (KEY_SHARES.len() as f64 * KEY_SWATCH + 10.0);
    words.iter().sum::<f64>() + swatches
}

/// The two scales of colours.
fn draw_key(canvas: &mut Canvas, left: f64, top: f64) {
    let lettering = Lettering::new(TEXT_SIZE, Colour::FaintInk, Anchor::Start);
    let y = baseline(top + 8.0, TEXT_SIZE);
    let mut x = left;
    for (name, is_right) in KEY_WORDS.iter().zip([Some(true), Some(false), None]) {
        canvas.text(lettering, Place { x, y }, name);
        x += text_width(name, TEXT_SIZE) + 6.0;
        let Some(is_right) = is_right else { break };
        for share in KEY_SHARES {
            let colour = if is_right { RIGHT } else { WRONG };
            let opacity = strength(share, is_right);
            let area = Area {
                left: x,
                top: top + 2.0,
                right: x + KEY_SWATCH - 1.0,
                bottom: top + 14.0,
            };
            canvas.rectangle(Fill { colour, opacity }, area, 1.5);
            x += KEY_SWATCH;
        }
        x += 10.0;
    }
}
