//! From texts to settings, and what is said of those that are wrong.
//!
//! The JSON schema that is derived from [`TrainConfig`](crate::TrainConfig) serves three ends: editors
//! check files by it, [`check`] finds what is wrong in a parsed file, with the words for it, and
//! [`change`] learns from it what a new section or another kind begins with. Whether values are in
//! their ranges is for the types to say, by a [`SettingError`] with the key; [`document`] looks its place
//! up in the file, and [`source`] for what shows later. A new setting takes part by deriving `JsonSchema`.

mod change;
mod check;
mod document;
mod schema;
mod source;

use residua_core::setting::SettingError;

use crate::config::TrainConfig;
pub(crate) use change::{Change, apply, choosing_kinds, parse_all};
pub(crate) use check::problems;
pub(crate) use document::{Document, read_text};
pub use schema::settings_schema;
pub(crate) use schema::{Schema, configuration_schema, recipe_schema, schema_of};
pub use source::SettingSource;

/// Where settings come from: places for what is wrong with them.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The text that has them, if there is one.
    pub(crate) document: Option<&'a Document<'a>>,
    /// What was changed afterwards.
    pub(crate) changes: &'a [Change],
}

impl Origin<'_> {
    /// The error with its place, if there is one.
    pub(crate) fn locate(&self, error: SettingError) -> SettingError {
        let touches = |change: &&Change| change.touches(error.key());
        if let Some(change) = self.changes.iter().rev().find(touches) {
            let place = format!("--set {}", change.text());
            return error.at(place);
        }
        match self.document {
            Some(document) => document.locate(error),
            None => error,
        }
    }

    /// The first of several errors, with its place.
    pub(crate) fn first(&self, errors: Vec<SettingError>) -> Option<SettingError> {
        let order = |error: &SettingError| {
            let document = self.document?;
            document.offset(error.key())
        };
        // What has no place, because it is missing, comes last.
        let first = { errors.into_iter() }.min_by_key(|error| order(error).unwrap_or(usize::MAX));
        first.map(|error| self.locate(error))
    }
}

/// A configuration out of a table; its values are checked too.
///
/// # Errors
/// With the first thing that is wrong, and its place.
pub(crate) fn read(table: toml::Table, origin: Origin<'_>) -> Result<TrainConfig, SettingError> {
    let config = interpret(table, origin)?;
    config.validate().map_err(|error| origin.locate(error))?;
    Ok(config)
}

/// A configuration out of a table that has its form. Whether its values go together is not checked: some
/// may be changed before it is used.
///
/// # Errors
/// With the first thing that is wrong, and its place.
pub(crate) fn interpret(
    table: toml::Table,
    origin: Origin<'_>,
) -> Result<TrainConfig, SettingError> {
    let problems = problems(configuration_schema(), &table);
    if let Some(first) = origin.first(problems) {
        return Err(first);
    }
    let read: Result<TrainConfig, _> = serde_path_to_error::deserialize(toml::Value::Table(table));
    read.map_err(|failure| {
        let key = key_of(failure.path());
        let reason = failure.inner().message();
        let problem = format!("cannot be used: {reason}");
        origin.locate(SettingError::of_key(key, problem))
    })
}

fn key_of(path: &serde_path_to_error::Path) -> Vec<String> {
    use serde_path_to_error::Segment;
    let parts = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    parts.collect()
}

#[cfg(test)]
mod tests;
