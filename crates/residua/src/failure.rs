//! How a command fails: the message and the exit code.

use std::fmt::Display;
use std::process::ExitCode;

use residua::train::TrainError;
use residua::train::search::SpaceError;
use residua::watch::WatchError;

/// The exit codes that scripts may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The work itself failed.
    Failed = 1,
    /// The command line is wrong (clap uses it too).
    Usage = 2,
    /// Data, configuration, weights or a run folder cannot be used.
    BadInput = 3,
    /// The device or its memory is not up to it.
    Device = 4,
    /// Stopped by the user after a clean checkpoint (128 + SIGINT).
    Interrupted = 130,
}

/// A message for stderr and an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn failed(message: impl Display) -> Self {
        Self::new(Status::Failed, message)
    }

    pub(crate) fn bad_input(message: impl Display) -> Self {
        Self::new(Status::BadInput, message)
    }

    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Status::Usage, message)
    }

    pub(crate) fn new(status: Status, message: impl Display) -> Self {
        Self {
            status,
            message: message.to_string(),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status as u8)
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        let status = match &error {
            WatchError::NotATerminal | WatchError::TerminalInUse => Status::Usage,
            WatchError::Run(_) | WatchError::NoFolder { .. } => Status::BadInput,
            _ => Status::Failed,
        };
        Self::new(status, error)
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let status = if error.is_bad_input() {
            Status::BadInput
        } else {
            Status::Failed
        };
        Self::new(status, error)
    }
}

impl From<SpaceError> for Failure {
    fn from(error: SpaceError) -> Self {
        Self::bad_input(error)
    }
}
