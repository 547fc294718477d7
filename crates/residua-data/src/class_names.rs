//! Files of class names, one name a line.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::error::DataError;

/// The names in a file, in the order of their labels. Empty lines are ignored.
pub(crate) fn read(path: &Path) -> Result<Vec<String>, DataError> {
    let text = fs::read_to_string(path).map_err(DataError::read(path))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let names: Vec<String> = lines
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect();
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(DataError::RepeatedClassName {
            path: path.to_owned(),
            class: twice.clone(),
        }),
        None => Ok(names),
    }
}
