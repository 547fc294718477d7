//! How well each class was recognised after the last epoch.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Block;
use residua_core::task::Measure;

use super::screen::{VALIDATION, fitted};
use crate::timeline::Timeline;

/// The longest name that a column is made wide enough for.
const NAME: u16 = 24;
/// The width of ` 100.0 %`.
const NUMBER: u16 = 8;
/// The least width of a bar.
const BAR: u16 = 6;

pub(super) fn are_known(timeline: &Timeline) -> bool {
    let epoch = timeline.epochs().last();
    epoch.is_some_and(|epoch| !epoch.class_scores().is_empty())
}

pub(super) fn draw(frame: &mut Frame, area: Rect, timeline: &Timeline) {
    let (Some(epoch), Some(start)) = (timeline.epochs().last(), timeline.start()) else {
        return;
    };
    let known = epoch.class_scores().iter().enumerate();
    let mut classes: Vec<(String, f64)> = known
        .filter_map(|(label, score)| Some((start.class_name(label), (*score)?)))
        .collect();
    let longest = classes
        .iter()
        .map(|(name, _)| Span::raw(name).width())
        .max();
    let longest = longest.and_then(|width| u16::try_from(width).ok());
    // A name is followed by a space.
    let name_width = longest.unwrap_or(NAME).min(NAME) + 1;
    let block = Block::bordered().border_style(Style::new().fg(Color::DarkGray));
    let inner = block.inner(area);
    let columns = (inner.width / (name_width + BAR + NUMBER + 1)).max(1);
    let room = usize::from(columns) * usize::from(inner.height);
    let all = classes.len();
    let title = if all <= room {
        let name = match timeline.measure() {
            Measure::Accuracy => "accuracy",
            Measure::RocAuc => "ROC-AUC",
        };
        format!(" {name} of classes, epoch {} ", epoch.epoch)
    } else {
        classes.sort_by(|first, second| first.1.total_cmp(&second.1));
        classes.truncate(room);
        format!(" worst {room} of {all} classes, epoch {} ", epoch.epoch)
    };
    frame.render_widget(block.title(title), area);
    let columns = Layout::horizontal(vec![Constraint::Fill(1); columns.into()])
        .spacing(1)
        .split(inner);
    let rows = usize::from(inner.height).max(1);
    let cells = columns.iter().flat_map(|column| column.rows().take(rows));
    for (area, (name, score)) in cells.zip(&classes) {
        let number = match timeline.measure() {
            Measure::Accuracy => format!("{:.1} %", 100.0 * score),
            Measure::RocAuc => format!("{score:.3}"),
        };
        draw_class(frame, area, name, name_width, *score, number);
    }
}

fn draw_class(
    frame: &mut Frame,
    area: Rect,
    name: &str,
    name_width: u16,
    score: f64,
    number: String,
) {
    let name_width = name_width.min(area.width.saturating_sub(NUMBER + BAR));
    let [left, bar, right] = Layout::horizontal([
        Constraint::Length(name_width),
        Constraint::Min(0),
        Constraint::Length(NUMBER),
    ])
    .areas(area);
    let room = usize::from(left.width).saturating_sub(1);
    frame.render_widget(Line::from(fitted(name, room)), left);
    frame.render_widget(Line::from(blocks(score, bar.width).fg(VALIDATION)), bar);
    frame.render_widget(Line::from(number).right_aligned(), right);
}

/// A bar in eighths of a cell.
fn blocks(fraction: f64, width: u16) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (fraction.clamp(0.0, 1.0) * f64::from(width) * 8.0).round() as usize;
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}
