//! Whether confidences mean what they say, bin by bin.

use residua_core::metrics::calibration::ReliabilityBin;

use super::Size;
use super::axis::{Axis, Frame, HEAD, Margins, TICK_SIZE, Unit, Values};
use super::canvas::{Anchor, Area, Canvas, Fill, Lettering, Pen, Place, Words, baseline};
use super::lettering::text_width;
use super::palette::{Colour, Palette, RIGHT, WRONG};
use crate::number;

/// The reliability diagram of Guo et al. 2017, figure 1, over the number of predictions in each bin.
#[derive(Debug, Clone, PartialEq)]
pub struct ReliabilityDiagram {
    /// What the chart shows; read out rather than drawn.
    pub title: String,
    /// The bins, from the lowest confidence to the highest.
    pub bins: Vec<ReliabilityBin>,
}

const WIDTH: u32 = 360;
/// Height of the part that shows the gaps.
const GAPS_HEIGHT: u32 = 330;
/// Height of the part that shows how many predictions a bin has.
const COUNTS_HEIGHT: f64 = 70.0;
const EDGE: f64 = 22.0;
const KEY_SIZE: f64 = 12.0;

/// The share of right predictions, as far as it was claimed.
const BOTH: Fill = Fill {
    colour: RIGHT,
    opacity: 0.85,
};
/// What was claimed beyond that.
const TOO_SURE: Fill = Fill {
    colour: WRONG,
    opacity: 0.5,
};
/// What was right beyond what was claimed.
const TOO_CAREFUL: Fill = Fill {
    colour: RIGHT,
    opacity: 0.35,
};

impl ReliabilityDiagram {
    /// The chart as an SVG document.
    pub(super) fn to_svg(&self, palette: Palette) -> String {
        let size = Size {
            width: WIDTH,
            height: GAPS_HEIGHT,
        };
        let height = f64::from(GAPS_HEIGHT) + COUNTS_HEIGHT;
        let description = self.description();
        let words = Words {
            title: &self.title,
            description: &description,
        };
        let mut canvas = Canvas::new(f64::from(WIDTH), height, words, palette);
        let axis = |label| {
            let axis = Axis::new(label).written(Unit::Percent);
            axis.including(0.0).including(1.0)
        };
        let (confidence, accuracy) = (axis("confidence"), axis("accuracy"));
        let margins = Margins {
            top: HEAD + 18.0,
            right: EDGE,
        };
        let values = Values {
            level: [].into_iter(),
            upright: [].into_iter(),
        };
        let axes = [&confidence, &accuracy];
        let frame = Frame::new(size, margins, axes, values, 0.0);
        frame.draw(&mut canvas, axes);
        self.draw_bins(&mut canvas, &frame);
        let diagonal = [frame.at(0.0, 0.0), frame.at(1.0, 1.0)];
        let pen = Pen {
            dashes: "5 4",
            ..Pen::solid(Colour::SoftInk, 1.25)
        };
        canvas.line(pen, &diagonal);
        draw_key(&mut canvas);
        self.draw_counts(&mut canvas, &frame);
        canvas.finish()
    }

    fn total(&self) -> f64 {
        let counts = self.bins.iter().map(|bin| bin.count as f64);
        counts.sum::<f64>().max(1.0)
    }

    /// The left and right end of a bin's bar.
    fn sides(frame: &Frame, bin: &ReliabilityBin) -> Option<(f64, f64)> {
        let left = frame.place(bin.lower.clamp(0.0, 1.0), 0.0)?.x;
        let right = frame.place(bin.upper.clamp(0.0, 1.0), 0.0)?.x;
        Some((left + 1.0, right - 1.0))
    }

    fn draw_bins(&self, canvas: &mut Canvas, frame: &Frame) {
        for bin in &self.bins {
            let height = |share: f64| {
                let share = frame.upright.nearest(share).unwrap_or(0.0);
                frame.at(0.0, share).y
            };
            let (Some((left, right)), Some(accuracy), Some(confidence)) =
                (Self::sides(frame, bin), bin.accuracy, bin.mean_confidence)
            else {
                continue;
            };
            let area = |from: f64, to: f64| Area {
                left,
                right,
                top: height(from.max(to)),
                bottom: height(from.min(to)),
            };
            canvas.open_group(&hint(bin, accuracy, confidence));
            canvas.rectangle(BOTH, area(0.0, accuracy.min(confidence)), 1.0);
            let gap = if accuracy < confidence {
                TOO_SURE
            } else {
                TOO_CAREFUL
            };
            canvas.rectangle(gap, area(accuracy, confidence), 1.0);
            canvas.close_group();
        }
    }

    /// How the predictions are spread over the bins.
    fn draw_counts(&self, canvas: &mut Canvas, frame: &Frame) {
        let bottom = f64::from(GAPS_HEIGHT) + COUNTS_HEIGHT - 4.0;
        let most = self.bins.iter().map(|bin| bin.count).max().unwrap_or(0);
        let top = bottom - COUNTS_HEIGHT + 26.0;
        for bin in &self.bins {
            let share = bin.count as f64 / (most.max(1)) as f64;
            if let Some((left, right)) = Self::sides(frame, bin).filter(|_| bin.count > 0) {
                let height = (share * (bottom - top)).max(1.0);
                let area = Area {
                    left,
                    right,
                    top: bottom - height,
                    bottom,
                };
                let fill = Fill {
                    colour: Colour::FaintInk,
                    opacity: 0.6,
                };
                canvas.rectangle(fill, area, 1.0);
            }
        }
        let ends = [frame.area.left, frame.area.right].map(|x| Place { x, y: bottom });
        canvas.line(Pen::solid(Colour::FaintInk, 1.0), &ends);
        let text = format!(
            "predictions; most in a bin: {}",
            number::percent(most as f64 / self.total(), 1)
        );
        let lettering = Lettering::new(TICK_SIZE, Colour::SoftInk, Anchor::Start);
        let at = Place {
            x: frame.area.left,
            y: top - 6.0,
        };
        canvas.text(lettering, at, &text);
    }

    fn description(&self) -> String {
        let filled = self.bins.iter().filter_map(|bin| {
            let (accuracy, confidence) = (bin.accuracy?, bin.mean_confidence?);
            Some(hint(bin, accuracy, confidence))
        });
        let filled: Vec<String> = filled.collect();
        if filled.is_empty() {
            "No predictions.".to_owned()
        } else {
            format!(
                "Accuracy for each range of confidence. {}.",
                filled.join(". ")
            )
        }
    }
}

fn hint(bin: &ReliabilityBin, accuracy: f64, confidence: f64) -> String {
    format!(
        "{}: {} right at a mean confidence of {}",
        number::counted(bin.count, "prediction", "predictions"),
        number::percent(accuracy, 1),
        number::percent(confidence, 1)
    )
}

/// What the colours mean, in the line below the name of the upright axis.
fn draw_key(canvas: &mut Canvas) {
    let lettering = Lettering::new(KEY_SIZE, Colour::SoftInk, Anchor::Start);
    let middle = 28.0;
    let mut x = 0.0;
    for (fill, name) in [
        (BOTH, "right"),
        (TOO_SURE, "too sure"),
        (TOO_CAREFUL, "too careful"),
    ] {
        let area = Area {
            left: x,
            right: x + 14.0,
            top: middle - 5.0,
            bottom: middle + 5.0,
        };
        canvas.rectangle(fill, area, 2.0);
        let at = Place {
            x: x + 20.0,
            y: baseline(middle, KEY_SIZE),
        };
        canvas.text(lettering, at, name);
        x += 20.0 + text_width(name, KEY_SIZE) + 12.0;
    }
}
