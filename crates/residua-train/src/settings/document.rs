//! A text of settings, and where in it a setting stands.

use std::fs;
use std::path::Path;

use residua_core::setting::SettingError;
use toml::de::{DeTable, DeValue};

use crate::error::TrainError;

/// The text of a file of settings.
///
/// # Errors
/// When it cannot be read; the message names it.
pub(crate) fn read_text(path: &Path) -> Result<String, TrainError> {
    fs::read_to_string(path)
        .map_err(|failure| TrainError::Config(format!("{}: {failure}", path.display())))
}

/// A TOML text, read, with the places of its keys.
pub(crate) struct Document<'a> {
    /// What it is called in messages: a file, for instance.
    name: Option<&'a str>,
    text: &'a str,
    places: DeTable<'a>,
    table: toml::Table,
}

impl<'a> Document<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is no TOML.
    pub(crate) fn read(name: Option<&'a str>, text: &'a str) -> Result<Self, SettingError> {
        let refuse = |failure: toml::de::Error| {
            let reason = failure.message().replace('\n', " ");
            let error = SettingError::of_key(Vec::new(), format!("not TOML: {reason}"));
            let offset = failure.span().map_or(0, |span| span.start);
            error.at(place(name, text, offset))
        };
        Ok(Self {
            name,
            text,
            places: DeTable::parse(text).map_err(refuse)?.into_inner(),
            table: text.parse().map_err(refuse)?,
        })
    }

    /// What it says.
    pub(crate) fn table(&self) -> &toml::Table {
        &self.table
    }

    /// Where a setting stands, in bytes from the beginning; where it is missing, its section. `None`
    /// if nothing of its key is there.
    pub(crate) fn offset(&self, key: &[String]) -> Option<usize> {
        let (first, rest) = key.split_first()?;
        let (place, mut value) = entry(&self.places, first)?;
        let mut offset = place;
        for part in rest {
            let found = match value {
                DeValue::Table(table) => entry(table, part),
                DeValue::Array(items) => {
                    let item = part.parse().ok().and_then(|index: usize| items.get(index));
                    item.map(|item| (item.span().start, item.get_ref()))
                }
                _ => None,
            };
            let Some((place, inner)) = found else {
                break;
            };
            (offset, value) = (place, inner);
        }
        Some(offset)
    }

    /// The error with its place, or at least with the name of the text.
    pub(crate) fn locate(&self, error: SettingError) -> SettingError {
        match &self.place(error.key())[..] {
            "" => error,
            place => error.at(place),
        }
    }

    /// Where a setting stands, as messages have it: at least the name of the text; empty where it has
    /// none.
    pub(crate) fn place(&self, key: &[String]) -> String {
        match self.offset(key) {
            Some(offset) => place(self.name, self.text, offset),
            None => self.name.unwrap_or_default().to_owned(),
        }
    }
}

fn entry<'t>(table: &'t DeTable<'_>, wanted: &str) -> Option<(usize, &'t DeValue<'t>)> {
    let (key, value) = { table.iter() }.find(|(key, _)| key.get_ref() == wanted)?;
    Some((key.span().start, value.get_ref()))
}

/// `name:line:column`, both from 1, as editors and compilers have it.
fn place(name: Option<&str>, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = 1 + before.matches('\n').count();
    let column = 1 + before
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count());
    match name {
        Some(name) => format!("{name}:{line}:{column}"),
        None => format!("line {line}, column {column}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# größer\nepochs = 3\n\n[optimiser]\nkind = \"sgd\" # ä\n\
                        momentum = 0.9\n[augmentation.crop]\nrule = \"none\"\n\
                        [[groups]]\nfrom = 1\n[[groups]]\nfrom = 2\n";

    fn located(key: &[&str]) -> String {
        let document = Document::read(Some("a.toml"), TEXT).unwrap();
        let key = key.iter().map(|part| (*part).to_owned()).collect();
        let error = document.locate(SettingError::of_key(key, "x"));
        error.place().unwrap().to_owned()
    }

    #[test]
    fn every_key_has_its_place_and_what_is_missing_that_of_its_section() {
        assert_eq!(located(&["epochs"]), "a.toml:2:1");
        assert_eq!(located(&["optimiser", "momentum"]), "a.toml:6:1");
        assert_eq!(located(&["optimiser", "beta1"]), "a.toml:4:2");
        assert_eq!(located(&["augmentation", "crop", "rule"]), "a.toml:8:1");
        assert_eq!(located(&["augmentation", "mix"]), "a.toml:7:2");
        assert_eq!(located(&["groups", "1", "from"]), "a.toml:12:1");
        assert_eq!(located(&["model"]), "a.toml");
        assert_eq!(located(&[]), "a.toml");
    }

    #[test]
    fn a_text_that_is_no_toml_is_refused_with_the_place() {
        let refused = |text| Document::read(None, text).err().unwrap().to_string();
        assert_eq!(
            Document::read(Some("a.toml"), "x = 1\ny =\n")
                .err()
                .unwrap()
                .place(),
            Some("a.toml:2:4")
        );
        let message = refused("x = 1\nx = 2\n");
        assert!(
            message.starts_with("line 2, column 1: not TOML: duplicate key"),
            "{message}"
        );
    }
}
