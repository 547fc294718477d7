//! What the dashboard looks like: a pure function of the time line and the moment.

use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph};
use residua_core::task::Measure;

use super::{charts, classes, log, speed};
use crate::format::{clock, counted, grouped, short};
use crate::timeline::{RunStatus, Timeline};

/// The colour of what was measured on the training images.
pub(super) const TRAIN: Color = Color::Cyan;
/// The colour of what was measured on the validation images.
pub(super) const VALIDATION: Color = Color::Yellow;

/// What the picture depends on besides the events.
#[derive(Debug, Clone)]
pub struct View {
    /// The name of the run, usually that of its folder.
    pub name: String,
    /// Where the run stands.
    pub status: RunStatus,
    /// Time since the latest event, by which clocks go on between events.
    pub since_event: Duration,
    /// The zone of the times in the log.
    pub zone: TimeZone,
    /// Lines that the log is scrolled back from its end.
    pub scroll: usize,
    /// What keys do.
    pub keys: Keys,
}

/// What keys do, for the line that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// The dashboard watches another process: q, Esc and Ctrl-C leave it.
    Leave,
    /// The dashboard belongs to the process that trains: Ctrl-C stops the training.
    Stop,
    /// Ctrl-C was pressed once.
    Stopping,
}

/// Draws the whole screen, whatever its size.
pub fn draw(frame: &mut Frame, timeline: &Timeline, view: &View) {
    let area = frame.area();
    let header_height = if area.height >= 10 { 2 } else { 1 };
    let help_height = u16::from(area.height >= 8);
    let [header, progress, body, help] = Layout::vertical([
        Constraint::Length(header_height),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(help_height),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(header_lines(timeline, view, area)), header);
    draw_progress(frame, progress, timeline, view);
    draw_body(frame, body, timeline, view);
    frame.render_widget(help_line(view), help);
}

fn draw_body(frame: &mut Frame, area: Rect, timeline: &Timeline, view: &View) {
    /// Rows below which panels are left out.
    const ALL_PANELS: u16 = 18;
    const CHARTS: u16 = 11;
    const CHARTS_WIDTH: u16 = 50;
    if area.width < CHARTS_WIDTH || area.height < CHARTS {
        let figures = figure_lines(timeline);
        let rows = figures.len() as u16;
        let [above, below] =
            Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
        frame.render_widget(Paragraph::new(figures), above);
        log::draw(frame, below, timeline, view);
        return;
    }
    let panels = if area.height >= ALL_PANELS {
        (area.height / 4).clamp(6, 12)
    } else {
        0
    };
    let [charts, middle, below] = Layout::vertical([
        Constraint::Min(0),
        Constraint::Length(panels),
        Constraint::Length((area.height / 4).clamp(4, 12)),
    ])
    .areas(area);
    charts::draw(frame, charts, timeline);
    draw_panels(frame, middle, timeline);
    log::draw(frame, below, timeline, view);
}

fn draw_panels(frame: &mut Frame, area: Rect, timeline: &Timeline) {
    if !classes::are_known(timeline) {
        speed::draw(frame, area, timeline);
        return;
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
    classes::draw(frame, left, timeline);
    speed::draw(frame, right, timeline);
}

fn header_lines(timeline: &Timeline, view: &View, area: Rect) -> Vec<Line<'static>> {
    let color = match view.status {
        RunStatus::Training => Color::Green,
        RunStatus::Finished => Color::Cyan,
        RunStatus::Waiting => Color::Yellow,
        RunStatus::Interrupted | RunStatus::Failed | RunStatus::Stopped => Color::Red,
    };
    let status = format!("● {}", view.status);
    let room = usize::from(area.width).saturating_sub(Span::raw(&status).width() + 1);
    let title = fitted(&format!("Residua · {}", view.name), room);
    let gap = " ".repeat(room.saturating_sub(Span::raw(&title).width()) + 1);
    let title = Line::from(vec![title.bold(), gap.into(), status.fg(color)]);
    let facts = fitted(&facts(timeline), area.width.into());
    vec![title, Line::from(facts.add_modifier(Modifier::DIM))]
}

fn facts(timeline: &Timeline) -> String {
    let Some(start) = timeline.start() else {
        return "waiting for the first event; data may still be read and checked".to_owned();
    };
    let mut facts = vec![
        start.model.clone(),
        counted(start.parameters, "parameter", "parameters"),
        start.precision.to_string(),
    ];
    if !start.device.is_empty() {
        facts.push(start.device.clone());
    }
    facts.push(format!(
        "{} + {} images",
        grouped(start.train_images),
        grouped(start.validation_images)
    ));
    match timeline.quarantined().len() as u64 {
        0 => {}
        count => facts.push(format!("{} left out", counted(count, "image", "images"))),
    }
    facts.push(start.data.clone());
    facts.join(" · ")
}

fn draw_progress(frame: &mut Frame, area: Rect, timeline: &Timeline, view: &View) {
    let Some(start) = timeline.start() else {
        return;
    };
    let running = match view.status {
        RunStatus::Training => view.since_event.as_secs_f64(),
        _ => 0.0,
    };
    let mut parts = vec![
        format!("epoch {}/{}", timeline.current_epoch(), start.epochs),
        format!("step {}/{}", grouped(timeline.step()), grouped(start.steps)),
        format!("{} elapsed", clock(timeline.elapsed_seconds() + running)),
    ];
    match timeline.remaining_seconds() {
        Some(seconds) if view.status == RunStatus::Training => {
            parts.push(format!("{} left", clock((seconds - running).max(0.0))));
        }
        _ => {}
    }
    // The least important goes first where there is no room.
    let mut label = parts.join(" · ");
    while Span::raw(&label).width() > area.width.into() && parts.len() > 1 {
        parts.pop();
        label = parts.join(" · ");
    }
    let gauge = Gauge::default()
        .gauge_style(Style::new().fg(Color::Blue))
        .use_unicode(true)
        .label(label)
        .ratio(timeline.progress());
    frame.render_widget(gauge, area);
}

/// The figures of charts that do not fit.
fn figure_lines(timeline: &Timeline) -> Vec<Line<'static>> {
    let pair = |what: &str, train: Option<String>, validation: Option<String>| {
        let known = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        Line::from(vec![
            format!("{what} ").into(),
            known(train).fg(TRAIN),
            " / ".into(),
            known(validation).fg(VALIDATION),
        ])
    };
    let figures = charts::latest(timeline);
    let measure = timeline.measure();
    let written = |value: Option<f64>| value.map(|value| measure.written(value));
    let name = match measure {
        Measure::Accuracy => "acc.",
        Measure::RocAuc => "ROC-AUC",
    };
    vec![
        pair(
            "loss",
            figures.train_loss.map(short),
            figures.validation_loss.map(short),
        ),
        pair(
            name,
            written(figures.train_score),
            written(figures.validation_score),
        ),
    ]
}

fn help_line(view: &View) -> Line<'static> {
    let key = |key: &'static str| key.add_modifier(Modifier::REVERSED);
    let scroll = [key(" ↑ ↓ "), " scroll the log".into()];
    match view.keys {
        Keys::Leave => {
            let mut line = Line::from(vec![key(" q "), " leave   ".into()]);
            line.extend(scroll);
            line
        }
        Keys::Stop => {
            let mut line = Line::from(vec![key(" Ctrl-C "), " stop after this step   ".into()]);
            line.extend(scroll);
            line
        }
        Keys::Stopping => Line::from(
            "stopping after this step; press Ctrl-C again to stop at once"
                .fg(Color::Yellow)
                .bold(),
        ),
    }
}

/// The text, cut where it does not fit.
pub(super) fn fitted(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut fitted = String::new();
    for letter in text.chars() {
        fitted.push(letter);
        if Span::raw(&fitted).width() + 1 > width {
            fitted.pop();
            break;
        }
    }
    if width > 0 {
        fitted.push('…');
    }
    fitted
}
