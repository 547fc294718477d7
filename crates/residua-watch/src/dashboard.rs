//! A run on the terminal while it goes on.
//!
//! [`watch`] shows a run of another process, or one that has ended; [`Dashboard`] shows, on a
//! thread of its own, the run that this process trains. Both read the run folder and nothing else,
//! and draw on standard error, since standard output carries results. While either has the terminal
//! nothing else may write to it.

mod charts;
mod classes;
mod log;
mod screen;
mod speed;
mod terminal;
#[cfg(test)]
mod tests;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyModifiers};
use residua_core::run::RunFolder;

use crate::error::WatchError;
use crate::timeline::RunStatus;

use terminal::TerminalSession;
use watcher::Watcher;

pub use screen::{Keys, View, draw};
pub use terminal::{require_terminal, restore_terminal};

/// How [`watch`] behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchOptions {
    /// Whether to go on showing a run that is over, until a key is pressed.
    pub stay_at_end: bool,
    /// Time between pictures.
    pub refresh: Duration,
}

impl Default for WatchOptions {
    /// Stays at the end, and draws four times a second.
    fn default() -> Self {
        Self {
            stay_at_end: true,
            refresh: Duration::from_millis(250),
        }
    }
}

/// Why a dashboard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchEnding {
    /// The user left it, or [`Dashboard::stop`] was called, when the run stood so.
    Left(RunStatus),
    /// The run is over: finished, interrupted, or its process was killed.
    Over(RunStatus),
}

/// Shows a run until the user leaves (q, Esc, Ctrl-C) or, as the options say, until it is over.
///
/// The terminal is given back in every case, a panic of any thread included. A signal that ends
/// the process does not pass by here: a handler calls [`restore_terminal`] first.
///
/// # Errors
/// [`WatchError::NotATerminal`] where standard error is none; that the events cannot be read; that
/// the terminal fails.
pub fn watch(run: &RunFolder, options: &WatchOptions) -> Result<WatchEnding, WatchError> {
    let mut session = TerminalSession::enter()?;
    let mut watcher = Watcher::new(run, Keys::Leave);
    show(&mut session, &mut watcher, options, &|| false, &|| {})
}

/// The dashboard of the process that trains, on a thread of its own.
#[derive(Debug)]
pub struct Dashboard {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<WatchEnding, WatchError>>>,
}

impl Dashboard {
    /// Takes the terminal and shows `run` until [`Self::stop`].
    ///
    /// In a terminal that has a dashboard Ctrl-C is a key, not a signal. `on_interrupt` is called
    /// for the first, which should ask for a clean stop; and again for the second, which should
    /// end the process: the terminal has been given back then.
    ///
    /// # Errors
    /// [`WatchError::NotATerminal`] where standard error is none, and other failures in taking the
    /// terminal. What goes wrong later is said by [`Self::stop`]; training is not disturbed by it.
    pub fn spawn(
        run: &RunFolder,
        on_interrupt: impl Fn() + Send + 'static,
    ) -> Result<Self, WatchError> {
        let mut session = TerminalSession::enter()?;
        let mut watcher = Watcher::new(run, Keys::Stop);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("dashboard".to_owned())
            .spawn(move || {
                let options = WatchOptions::default();
                let stopped = || stopped.load(Ordering::Relaxed);
                show(
                    &mut session,
                    &mut watcher,
                    &options,
                    &stopped,
                    &on_interrupt,
                )
            })
            .map_err(WatchError::terminal("starting a thread for it"))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Gives the terminal back.
    ///
    /// # Errors
    /// The failure that ended the dashboard before.
    pub fn stop(mut self) -> Result<WatchEnding, WatchError> {
        self.join()
    }

    fn join(&mut self) -> Result<WatchEnding, WatchError> {
        self.stop.store(true, Ordering::Relaxed);
        let what = "the dashboard";
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ending)) => ending,
            Some(Err(_)) | None => Err(WatchError::Panicked { what }),
        }
    }
}

impl Drop for Dashboard {
    /// Gives the terminal back when a failure leaves it no time for [`Dashboard::stop`].
    fn drop(&mut self) {
        if self.thread.is_some() {
            // Whoever drops it has another failure to tell.
            let _ = self.join();
        }
    }
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Nothing,
    Redraw,
    Leave,
    Interrupt,
}

fn show(
    session: &mut TerminalSession,
    watcher: &mut Watcher,
    options: &WatchOptions,
    stopped: &dyn Fn() -> bool,
    on_interrupt: &dyn Fn(),
) -> Result<WatchEnding, WatchError> {
    loop {
        watcher.look()?;
        session.draw(|frame| draw(frame, watcher.timeline(), watcher.view()))?;
        let status = watcher.view().status;
        let is_training_process = watcher.view().keys != Keys::Leave;
        if status.is_over() && !options.stay_at_end && !is_training_process {
            return Ok(WatchEnding::Over(status));
        }
        let next = Instant::now() + options.refresh;
        while !stopped() && session.is_active() {
            match command(watcher, next)? {
                Some(Command::Nothing) => {}
                Some(Command::Redraw) | None => break,
                Some(Command::Leave) => return Ok(WatchEnding::Left(status)),
                Some(Command::Interrupt) if watcher.interrupted() => {
                    restore_terminal();
                    on_interrupt();
                    return Ok(WatchEnding::Left(status));
                }
                Some(Command::Interrupt) => {
                    on_interrupt();
                    break;
                }
            }
        }
        if stopped() || !session.is_active() {
            return Ok(WatchEnding::Left(status));
        }
    }
}

/// What the next key asks for; none when it is time for the next picture.
fn command(watcher: &mut Watcher, next: Instant) -> Result<Option<Command>, WatchError> {
    /// Within which `stop` is noticed.
    const PATIENCE: Duration = Duration::from_millis(50);
    let left = next.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(None);
    }
    let failure = WatchError::terminal;
    if !event::poll(left.min(PATIENCE)).map_err(failure("waiting for keys"))? {
        return Ok(Some(Command::Nothing));
    }
    Ok(Some(
        match event::read().map_err(failure("reading keys"))? {
            event::Event::Key(key) if key.is_press() => react(watcher, key),
            event::Event::Resize(..) => Command::Redraw,
            _ => Command::Nothing,
        },
    ))
}

fn react(watcher: &mut Watcher, key: KeyEvent) -> Command {
    let is_leaving = watcher.view().keys == Keys::Leave;
    let control_c = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    match key.code {
        _ if control_c && is_leaving => Command::Leave,
        _ if control_c => Command::Interrupt,
        KeyCode::Char('q') | KeyCode::Esc if is_leaving => Command::Leave,
        KeyCode::Up => watcher.scroll(1),
        KeyCode::PageUp => watcher.scroll(10),
        KeyCode::Down => watcher.scroll(-1),
        KeyCode::PageDown => watcher.scroll(-10),
        _ => Command::Nothing,
    }
}
