//! What series look like, so that they differ in more than their colour.

use super::canvas::{Canvas, Fill, Pen, Place, path_data};
use super::palette::{Colour, HUES};

/// How many shapes of markers there are.
const SHAPES: usize = 5;

/// How the line of a series is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Line {
    /// Without gaps.
    #[default]
    Solid,
    /// In long pieces.
    Dashed,
    /// In dots.
    Dotted,
}

/// What a series looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Number of its colour and marker, from 0; series that belong together share it.
    pub hue: usize,
    /// How its line is drawn.
    pub line: Line,
}

impl Look {
    /// Of the series with this number, where nobody has chosen one: no two of the first 21 are alike.
    pub(super) fn numbered(number: usize) -> Self {
        let line = match number / HUES {
            0 => Line::Solid,
            1 => Line::Dashed,
            _ => Line::Dotted,
        };
        Self { hue: number, line }
    }

    pub(super) fn colour(self) -> Colour {
        Colour::Series(self.hue)
    }

    pub(super) fn pen(self, width: f64) -> Pen {
        let dashes = match self.line {
            Line::Solid => "",
            Line::Dashed => "7 4",
            Line::Dotted => "1 4",
        };
        Pen {
            colour: self.colour(),
            width,
            dashes,
        }
    }

    /// Draws the marker; dashed and dotted series have hollow ones.
    pub(super) fn mark(self, canvas: &mut Canvas, at: Place, radius: f64) {
        let data = outline(self.hue % SHAPES, at, radius);
        let fill = match self.line {
            Line::Solid => self.colour(),
            Line::Dashed | Line::Dotted => Colour::Ground,
        };
        canvas.surface(Fill::full(fill), &data);
        let edge = match self.line {
            Line::Solid => Pen::solid(Colour::Ground, 0.75),
            Line::Dashed | Line::Dotted => Pen::solid(self.colour(), 1.25),
        };
        canvas.stroke(edge, &data);
    }
}

fn outline(shape: usize, at: Place, radius: f64) -> String {
    let corners = |corners: &[(f64, f64)]| {
        let places: Vec<Place> = { corners.iter() }
            .map(|(right, down)| Place {
                x: at.x + right * radius,
                y: at.y + down * radius,
            })
            .collect();
        path_data(&places) + "Z"
    };
    match shape {
        0 => {
            let (left, y) = (super::canvas::Number(at.x - radius), at.y);
            let (y, r, d) = (
                super::canvas::Number(y),
                super::canvas::Number(radius),
                super::canvas::Number(2.0 * radius),
            );
            format!("M{left},{y}a{r},{r} 0 1,0 {d},0a{r},{r} 0 1,0 -{d},0Z")
        }
        1 => corners(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => corners(&[(0.0, -1.15), (1.1, 0.85), (-1.1, 0.85)]),
        3 => corners(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
        _ => corners(&[(0.0, 1.15), (1.1, -0.85), (-1.1, -0.85)]),
    }
}
