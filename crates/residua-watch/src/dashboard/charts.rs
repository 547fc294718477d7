//! Loss and accuracy, or what takes its place, against epochs.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType};
use residua_core::task::Measure;

use super::screen::{TRAIN, VALIDATION, fitted};
use crate::format::short;
use crate::timeline::{EpochPoint, StepPoint, Timeline};

/// The newest value of each curve.
pub(super) struct Latest {
    pub(super) train_loss: Option<f64>,
    /// Unknown where training has no such figure.
    pub(super) train_score: Option<f64>,
    pub(super) validation_loss: Option<f64>,
    pub(super) validation_score: Option<f64>,
}

pub(super) fn latest(timeline: &Timeline) -> Latest {
    let epoch = timeline.epochs().last();
    let step = timeline.current_step();
    let train = |of_step: fn(&StepPoint) -> f64, of_epoch: fn(&EpochPoint) -> f64| {
        step.map(of_step).or(epoch.map(of_epoch))
    };
    Latest {
        train_loss: train(|step| step.loss, |epoch| epoch.train_loss),
        train_score: match timeline.measure() {
            Measure::Accuracy => train(|step| step.accuracy, |epoch| epoch.train_accuracy),
            Measure::RocAuc => None,
        },
        validation_loss: epoch.map(|epoch| epoch.validation_loss),
        validation_score: epoch.map(EpochPoint::score),
    }
}

pub(super) fn draw(frame: &mut Frame, area: Rect, timeline: &Timeline) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let latest = latest(timeline);
    let loss = Curves {
        title: "loss".to_owned(),
        train: training_curve(timeline, |epoch| epoch.train_loss, |step| step.loss),
        validation: epoch_curve(timeline, |epoch| epoch.validation_loss),
        latest: [latest.train_loss, latest.validation_loss],
        label: short,
        step: None,
    };
    loss.draw(frame, left);
    scores(timeline, &latest).draw(frame, right);
}

/// The figure by which epochs are compared.
fn scores(timeline: &Timeline, latest: &Latest) -> Curves {
    let measure = timeline.measure();
    let name = measure.name();
    let best = timeline.best_epoch().map(|best| {
        let score = measure.written(best.score());
        format!("{name}, best {score} in epoch {}", best.epoch)
    });
    Curves {
        title: best.unwrap_or_else(|| name.to_owned()),
        train: match measure {
            Measure::Accuracy => {
                training_curve(timeline, |epoch| epoch.train_accuracy, |step| step.accuracy)
            }
            Measure::RocAuc => Vec::new(),
        },
        validation: epoch_curve(timeline, EpochPoint::score),
        latest: [latest.train_score, latest.validation_score],
        label: match measure {
            Measure::Accuracy => |fraction| format!("{:.0} %", 100.0 * fraction),
            Measure::RocAuc => |area| format!("{area:.2}"),
        },
        step: Some(0.1),
    }
}

type Point = (f64, f64);

/// The steps of the first epoch, finished epochs, and the steps of the one that is going on.
///
/// Steps are means since their epoch began, so that those of the first lead to its own mean; those
/// of later epochs would draw a saw.
fn training_curve(
    timeline: &Timeline,
    of_epoch: fn(&EpochPoint) -> f64,
    of_step: fn(&StepPoint) -> f64,
) -> Vec<Point> {
    let Some(per_epoch) = timeline.steps_per_epoch() else {
        return epoch_curve(timeline, of_epoch);
    };
    let finished = timeline.finished_epochs();
    let point = |step: &StepPoint| (step.step as f64 / per_epoch, of_step(step));
    let steps = timeline.steps();
    let first = steps.partition_point(|step| step.epoch <= 1);
    let current = steps.partition_point(|step| step.epoch <= finished);
    let mut curve: Vec<Point> = steps[..first].iter().map(point).collect();
    curve.extend(epoch_curve(timeline, of_epoch));
    curve.extend(steps[current.max(first)..].iter().map(point));
    curve.retain(is_finite);
    curve
}

fn epoch_curve(timeline: &Timeline, of_epoch: fn(&EpochPoint) -> f64) -> Vec<Point> {
    let epochs = timeline.epochs().iter();
    let points = epochs.map(|epoch| (epoch.epoch as f64, of_epoch(epoch)));
    points.filter(is_finite).collect()
}

fn is_finite(point: &Point) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// One chart.
struct Curves {
    title: String,
    train: Vec<Point>,
    validation: Vec<Point>,
    latest: [Option<f64>; 2],
    label: fn(f64) -> String,
    /// The axis ends at multiples of this.
    step: Option<f64>,
}

impl Curves {
    fn draw(&self, frame: &mut Frame, area: Rect) {
        let points = || self.train.iter().chain(&self.validation);
        let end = points().map(|point| point.0).fold(1.0, f64::max).ceil();
        let (low, high) = self.range(points().map(|point| point.1));
        // The chart multiplies what it is given, and what is no longer a number then makes it draw a
        // line of 2^63 cells.
        let shares = |points: &[Point]| -> Vec<Point> {
            let points = points.iter();
            points
                .map(|(x, y)| (share(*x, 0.0, end), share(*y, low, high)))
                .collect()
        };
        let (validation, train) = (shares(&self.validation), shares(&self.train));
        // Markers differ as well as colours, for those who see no colours.
        let curve = |points, marker, color: Color| {
            Dataset::default()
                .data(points)
                .marker(marker)
                .graph_type(GraphType::Line)
                .style(Style::new().fg(color))
        };
        let curves = vec![
            curve(&validation, Marker::Dot, VALIDATION),
            curve(&train, Marker::Braille, TRAIN),
        ];
        let middle = low / 2.0 + high / 2.0;
        let labels = [low, middle, high].map(|value| Line::from((self.label)(value)));
        let chart = Chart::new(curves)
            .block(self.block(area.width.saturating_sub(2).into()))
            .legend_position(None)
            .x_axis(
                Axis::default()
                    .bounds([0.0, 1.0])
                    .labels([Line::from("0"), Line::from(format!("epoch {end}"))])
                    .style(Style::new().fg(Color::DarkGray)),
            )
            .y_axis(
                Axis::default()
                    .bounds([0.0, 1.0])
                    .labels(labels)
                    .labels_alignment(Alignment::Right)
                    .style(Style::new().fg(Color::DarkGray)),
            );
        frame.render_widget(chart, area);
    }

    /// The frame, whose lower edge is the legend, in as many words as fit.
    fn block(&self, width: usize) -> Block<'_> {
        let [train, validation] = self.latest.map(|value| match value {
            Some(value) => (self.label)(value),
            None => "–".to_owned(),
        });
        let legend = |train_word: &str, validation_word: &str| {
            Line::from(vec![
                format!(" ⠤ {train_word}{train} ").fg(TRAIN),
                format!(" • {validation_word}{validation} ").fg(VALIDATION),
            ])
        };
        let mut line = legend("train ", "validation ");
        if line.width() > width {
            line = legend("", "");
        }
        Block::bordered()
            .title(fitted(&format!(" {} ", self.title), width))
            .title_bottom(line)
            .border_style(Style::new().fg(Color::DarkGray))
    }

    /// The ends of the axis of values.
    fn range(&self, values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return (0.0, 1.0);
        }
        let (low, high) = match self.step {
            Some(step) => (
                ((low / step).floor() * step).max(f64::MIN),
                ((high / step).ceil() * step).min(f64::MAX),
            ),
            None => (low, high),
        };
        if high - low < 1e-9 {
            (low - 0.5, high + 0.5)
        } else {
            (low, high)
        }
    }
}

/// Where a value lies between two others: 0 to 1. Halves do not overflow where the values do not.
fn share(value: f64, low: f64, high: f64) -> f64 {
    let span = high / 2.0 - low / 2.0;
    if span > 0.0 {
        ((value / 2.0 - low / 2.0) / span).clamp(0.0, 1.0)
    } else {
        0.5
    }
}
