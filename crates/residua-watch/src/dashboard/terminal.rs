//! Taking the terminal, and giving it back whatever happens.

use std::io::{self, BufWriter, IsTerminal, Stderr};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};

use crate::error::WatchError;

/// Whether the terminal is in a state that must be undone. There is one terminal, and whoever
/// ends the process must be able to give it back from anywhere.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back if a dashboard has it; otherwise does nothing. For handlers of signals
/// that end the process. A dashboard that is still there ends by itself.
pub fn restore_terminal() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // There is nobody to tell, and nothing else to try.
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// The terminal in raw mode, with a screen of its own. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct TerminalSession {
    terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
}

impl TerminalSession {
    pub(super) fn enter() -> Result<Self, WatchError> {
        require_terminal()?;
        if IS_TAKEN.swap(true, Ordering::SeqCst) {
            return Err(WatchError::TerminalInUse);
        }
        restore_on_panic();
        Self::take().inspect_err(|_| restore_terminal())
    }

    fn take() -> Result<Self, WatchError> {
        enable_raw_mode().map_err(WatchError::terminal("taking the keyboard"))?;
        execute!(io::stderr(), EnterAlternateScreen)
            .map_err(WatchError::terminal("taking the screen"))?;
        // A picture is one write, or it would flicker.
        let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stderr()));
        let terminal = Terminal::new(backend).map_err(WatchError::terminal("telling its size"))?;
        Ok(Self { terminal })
    }

    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame)) -> Result<(), WatchError> {
        if self.is_active() {
            self.terminal
                .draw(picture)
                .map_err(WatchError::terminal("drawing"))?;
        }
        Ok(())
    }

    /// Whether nobody has given the terminal back in the meantime.
    pub(super) fn is_active(&self) -> bool {
        IS_TAKEN.load(Ordering::SeqCst)
    }
}

impl Drop for TerminalSession {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Whether there can be a dashboard, for whoever wants to know before it is time for one.
///
/// # Errors
/// [`WatchError::NotATerminal`] where standard error is none.
pub fn require_terminal() -> Result<(), WatchError> {
    require(io::stderr().is_terminal())
}

fn require(is_terminal: bool) -> Result<(), WatchError> {
    if is_terminal {
        Ok(())
    } else {
        Err(WatchError::NotATerminal)
    }
}

/// The message of a panic would vanish with the dashboard's screen. The hook does nothing where no
/// dashboard has the terminal, so it can stay.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            restore_terminal();
            earlier(information);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_plain_output_is_suggested() {
        assert!(require(true).is_ok());
        let message = require(false).unwrap_err().to_string();
        assert!(message.contains("needs a terminal"), "{message}");
        assert!(message.contains("--ui plain"), "{message}");
    }

    #[test]
    fn a_terminal_that_nobody_took_is_left_alone() {
        restore_terminal();
        assert!(!IS_TAKEN.load(Ordering::SeqCst));
    }
}
