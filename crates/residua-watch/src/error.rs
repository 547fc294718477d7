//! What can go wrong in watching a run.

use std::io;
use std::path::{Path, PathBuf};

use residua_core::run::RunError;
use thiserror::Error;

/// Why a run could not be watched, listed or converted.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The run folder or its time line cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A dashboard was asked for where nobody could see it.
    #[error(
        "the dashboard needs a terminal, and standard error is not one (it is redirected, or the \
         program has no terminal); use plain output instead, `--ui plain` when training"
    )]
    NotATerminal,
    /// Another dashboard of this process has the terminal.
    #[error("this program shows a dashboard already; stop that one first")]
    TerminalInUse,
    /// The terminal did not do what it was asked for.
    #[error("the terminal failed in {action}: {source}; use plain output instead")]
    Terminal {
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder of runs does not exist.
    #[error(
        "'{}' is not a folder; `residua train` writes runs under 'runs/' unless --out says otherwise",
        path.display()
    )]
    NoFolder {
        /// The folder that was named.
        path: PathBuf,
    },
    /// A thread that reads the run ended in a panic, which is a defect of this crate.
    #[error("{what} stopped unexpectedly; please report it with the message above")]
    Panicked {
        /// What the thread did.
        what: &'static str,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl WatchError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn terminal(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Terminal { action, source }
    }
}
