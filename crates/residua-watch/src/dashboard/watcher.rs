//! What the dashboard knows of the run, kept up to date.

use std::fs;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use residua_core::run::RunFolder;

use super::Command;
use super::screen::{Keys, View};
use crate::error::WatchError;
use crate::tail::EventTail;
use crate::timeline::{RunStatus, Timeline};

/// A run that recorded something within this time is going on.
const QUIET: Duration = Duration::from_secs(2);

/// Time between questions whether a process holds the log, since asking takes its lock.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Watcher {
    run: RunFolder,
    tail: EventTail,
    timeline: Timeline,
    view: View,
    asked: Option<Instant>,
    being_written: bool,
}

impl Watcher {
    pub(super) fn new(run: &RunFolder, keys: Keys) -> Self {
        let name = match run.root().file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => run.root().display().to_string(),
        };
        Self {
            run: run.clone(),
            tail: EventTail::new(run),
            timeline: Timeline::default(),
            view: View {
                name,
                status: RunStatus::Waiting,
                since_event: Duration::ZERO,
                zone: TimeZone::system(),
                scroll: 0,
                keys,
            },
            asked: None,
            being_written: true,
        }
    }

    pub(super) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// Takes in what is new.
    pub(super) fn look(&mut self) -> Result<(), WatchError> {
        let news = self.tail.poll()?;
        if news.restarted {
            self.timeline = Timeline::default();
        }
        for event in &news.events {
            self.timeline.apply(event);
        }
        self.view.since_event = self.since_last_event();
        self.ask_for_writer();
        self.view.status = self.timeline.status(self.being_written);
        Ok(())
    }

    /// Zero where the file system does not tell, or has another clock.
    fn since_last_event(&self) -> Duration {
        fs::metadata(self.tail.path())
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|modified| modified.elapsed().ok())
            .unwrap_or_default()
    }

    fn ask_for_writer(&mut self) {
        if self.view.keys != Keys::Leave || self.view.since_event < QUIET {
            self.being_written = true;
        } else if self.timeline.status(true) == RunStatus::Training
            && self.asked.is_none_or(|asked| asked.elapsed() >= PAUSE)
        {
            self.being_written = self.run.is_being_written();
            self.asked = Some(Instant::now());
        }
    }

    /// Notes an interrupt, and says whether there was one before.
    pub(super) fn interrupted(&mut self) -> bool {
        let before = self.view.keys == Keys::Stopping;
        self.view.keys = Keys::Stopping;
        before
    }

    /// Scrolls the log back by so many lines, or forth.
    pub(super) fn scroll(&mut self, back: isize) -> Command {
        let most = self.timeline.log().len().saturating_sub(1);
        self.view.scroll = self.view.scroll.saturating_add_signed(back).min(most);
        Command::Redraw
    }
}
