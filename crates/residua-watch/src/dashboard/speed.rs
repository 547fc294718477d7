//! Speed and learning rate.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Sparkline};

use crate::format::{grouped, short};
use crate::timeline::Timeline;

pub(super) fn draw(frame: &mut Frame, area: Rect, timeline: &Timeline) {
    let speeds = timeline.speeds();
    let title = match speeds.last() {
        Some(speed) if *speed >= 100.0 => format!(" {} images/s ", grouped(speed.round() as u64)),
        Some(speed) => format!(" {} images/s ", short(*speed)),
        None => " speed ".to_owned(),
    };
    let block = Block::bordered()
        .title(title)
        .border_style(Style::new().fg(Color::DarkGray));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [speed, label, rate] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(inner);
    let newest = speeds.len().saturating_sub(speed.width.into());
    sparkline(frame, speed, &speeds[newest..], Color::Green);
    let rates: Vec<f64> = timeline.steps().iter().map(|s| s.learning_rate).collect();
    if let Some(latest) = rates.last() {
        frame.render_widget(
            Line::from(format!("learning rate {}", short(*latest))),
            label,
        );
    }
    sparkline(
        frame,
        rate,
        &thinned(&rates, rate.width.into()),
        Color::Magenta,
    );
}

/// Bars from 0 to the greatest value.
fn sparkline(frame: &mut Frame, area: Rect, values: &[f64], color: Color) {
    /// Finer than the eighths of the rows of any terminal.
    const STEPS: f64 = 10_000.0;
    let greatest = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| (value / greatest * STEPS) as u64;
    let widget = Sparkline::default()
        .data(values.iter().map(bar).collect::<Vec<u64>>())
        .max(STEPS as u64)
        .style(Style::new().fg(color));
    frame.render_widget(widget, area);
}

/// At most so many of the values, evenly spread, with the last.
fn thinned(values: &[f64], count: usize) -> Vec<f64> {
    if values.len() <= count {
        return values.to_vec();
    }
    let pick = |index: usize| values[(index + 1) * values.len() / count - 1];
    (0..count).map(pick).collect()
}
