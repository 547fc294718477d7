//! What can be wrong with a search space.

use std::path::{Path, PathBuf};

use residua_core::text::counted;
use thiserror::Error;

use crate::error::TrainError;

/// A search space that cannot be used: where, and why.
#[derive(Debug, Error)]
#[error("{}: {problem}", place(file, *line))]
pub struct SpaceError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: SpaceProblem,
}

fn place(file: &Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    }
}

impl SpaceError {
    pub(super) fn new(file: &Path, line: Option<usize>, problem: SpaceProblem) -> Self {
        Self {
            file: file.to_owned(),
            line,
            problem,
        }
    }
}

/// What is wrong with a search space.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpaceProblem {
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Read(String),
    /// It is not TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key of the file means nothing.
    #[error("there is no key '{key}' here; expected {expected}{hint}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Those that there are.
        expected: String,
        /// The nearest of them, as words to append.
        hint: String,
    },
    /// A key that is needed is not there.
    #[error("{key} is missing; expected {expected}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A key has a value that it cannot have.
    #[error("{key} is {found}; expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A key that belongs to another method.
    #[error("{key} belongs to method = \"halving\", and the method is \"random\"; leave it out")]
    OfHalving {
        /// The key.
        key: &'static str,
    },
    /// A key is searched twice, in two ways of writing it.
    #[error("{key} is searched twice; expected every key once")]
    Repeated {
        /// The key.
        key: String,
    },
    /// A key must be the same for all trials.
    #[error("{key} cannot be searched: {reason}")]
    Fixed {
        /// The key.
        key: String,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// A value that a setting may have makes no configuration.
    #[error("with {settings} there is no configuration: {reason}")]
    Refused {
        /// The key and the value.
        settings: String,
        /// Why not.
        reason: Box<TrainError>,
    },
    /// The settings of a trial, each of which can be used, make no configuration together.
    #[error("with the settings of trial {number} ({settings}) there is no configuration: {reason}")]
    Trial {
        /// The trial, from 0.
        number: u64,
        /// Its settings.
        settings: String,
        /// Why not.
        reason: Box<TrainError>,
    },
    /// The first choice would come after the end.
    #[error(
        "first_epochs is {first_epochs}, and trials have {}; expected less, so that there is something to \
         go on to",
        counted(*epochs, "epoch", "epochs")
    )]
    NothingLeft {
        /// Epochs before the first choice.
        first_epochs: u64,
        /// Epochs of a trial.
        epochs: u64,
    },
    /// More choices than trials or epochs allow.
    #[error(
        "rungs is {rungs}; expected at most {most}, since {} of {} do not suffice for more",
        counted(*trials, "trial", "trials"), counted(*epochs, "epoch", "epochs")
    )]
    TooManyRungs {
        /// How many were asked for.
        rungs: u64,
        /// How many there can be.
        most: u64,
        /// How many trials there are.
        trials: u64,
        /// Epochs of a trial.
        epochs: u64,
    },
}
