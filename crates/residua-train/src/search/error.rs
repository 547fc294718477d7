//! What can be wrong with a search space.

use std::io;
use std::path::PathBuf;

use residua_core::setting::SettingError;
use thiserror::Error;

use crate::error::TrainError;

/// Why a search space cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A setting of the file cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A value that a setting may have makes no configuration.
    #[error("{place}: with {settings} there is no configuration: {reason}")]
    Refused {
        /// Where the setting stands.
        place: String,
        /// The key and the value.
        settings: String,
        /// Why not.
        reason: Box<TrainError>,
    },
    /// The settings of a trial, each of which can be used, make no configuration together.
    #[error(
        "{}: with the settings of trial {number} ({settings}) there is no configuration: {reason}",
        file.display()
    )]
    Trial {
        /// The file.
        file: PathBuf,
        /// The trial, from 0.
        number: u64,
        /// Its settings.
        settings: String,
        /// Why not.
        reason: Box<TrainError>,
    },
}
