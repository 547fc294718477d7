//! What happened, the latest at the bottom.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph};

use super::screen::View;
use crate::timeline::{LogLevel, LogLine, Timeline};

pub(super) fn draw(frame: &mut Frame, area: Rect, timeline: &Timeline, view: &View) {
    // A frame takes two rows, which a few lines cannot spare.
    const FRAMED: u16 = 4;
    let log = timeline.log();
    let later = view.scroll.min(log.len());
    let mut block = Block::new();
    if area.height >= FRAMED {
        let title = match later {
            0 => " log ".to_owned(),
            later => format!(" log, {later} more below "),
        };
        block = Block::bordered()
            .title(title)
            .border_style(Style::new().fg(Color::DarkGray));
    }
    let shown = &log[..log.len() - later];
    let first = shown.len().saturating_sub(block.inner(area).height.into());
    let lines: Vec<Line> = shown[first..].iter().map(|line| text(line, view)).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn text<'a>(line: &'a LogLine, view: &View) -> Line<'a> {
    let time = match line.time {
        Some(time) => view
            .zone
            .to_datetime(time)
            .strftime("%H:%M:%S ")
            .to_string(),
        None => String::new(),
    };
    let text = match line.level {
        LogLevel::Information => line.text.as_str().into(),
        LogLevel::Success => line.text.as_str().fg(Color::Green),
        LogLevel::Warning => line.text.as_str().fg(Color::Yellow),
        LogLevel::Error => line.text.as_str().fg(Color::Red),
    };
    Line::from(vec![time.add_modifier(Modifier::DIM), text])
}
