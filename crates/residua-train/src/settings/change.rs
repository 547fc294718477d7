//! Changes to settings by key: `optimiser.momentum=0.95`.

use residua_core::setting::SettingError;
use toml::{Table, Value};

use super::schema::{Schema, Shape};

/// A setting that is to have another value.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    text: String,
    key: Vec<String>,
    value: Value,
}

impl Change {
    /// Reads `key=value`. The value is TOML; a bare word is taken as a text.
    ///
    /// # Errors
    /// When it is nothing of the kind.
    pub(crate) fn parse(text: &str) -> Result<Self, SettingError> {
        let refuse = || {
            let problem = "expected key=value, for instance optimiser.learning_rate=0.2";
            SettingError::of_key(Vec::new(), problem).at(format!("--set {text}"))
        };
        let (path, value) = text.split_once('=').ok_or_else(refuse)?;
        Ok(Self {
            text: text.to_owned(),
            key: key(path).ok_or_else(refuse)?,
            value: only_value(&format!("value = {value}"))
                .unwrap_or_else(|| Value::String(value.trim().to_owned())),
        })
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it has a say in the setting with this key, or in one below.
    pub(crate) fn touches(&self, key: &[String]) -> bool {
        self.key.starts_with(key) || key.starts_with(&self.key)
    }

    fn section(&self) -> &[String] {
        self.key.split_last().map_or(&[], |(_, section)| section)
    }

    /// Whether it decides of which kind its section is.
    fn chooses_kind(&self, schema: Schema<'_>) -> bool {
        let mut sections = self.section().iter();
        let section = sections.try_fold(schema, |schema, part| schema.key(part));
        match section.map(Schema::shape) {
            Some(Shape::Tagged { tag, .. }) => self.key.last().is_some_and(|last| last == tag),
            _ => false,
        }
    }

    /// Gives the value its place, below the settings that are there.
    fn set(&self, key: &[String], schema: Option<Schema<'_>>, place: &mut Value) {
        let Some((part, rest)) = key.split_first() else {
            *place = self.value.clone();
            return;
        };
        let inner = schema.and_then(|schema| schema.key(part));
        if matches!(schema.map(Schema::shape), Some(Shape::List { .. }))
            && let Ok(index) = part.parse::<usize>()
        {
            if !place.is_array() {
                *place = Value::Array(Vec::new());
            }
            if let Value::Array(items) = place
                && index <= items.len()
            {
                // The one after the last begins a new one.
                if index == items.len() {
                    items.push(usual(inner));
                }
                return self.set(rest, inner, &mut items[index]);
            }
        }
        if !place.is_table() {
            *place = usual(schema);
        }
        if let Value::Table(table) = place {
            if rest.is_empty() {
                self.begin_anew(part, schema, table);
            }
            let place = table.entry(part.clone()).or_insert_with(|| usual(inner));
            self.set(rest, inner, place);
        }
    }

    /// A section of another kind has nothing of what it was before.
    fn begin_anew(&self, part: &str, schema: Option<Schema<'_>>, section: &mut Table) {
        if let Some(Shape::Tagged { tag, kinds }) = schema.map(Schema::shape)
            && part == tag
            && section.get(tag) != Some(&self.value)
        {
            let chosen = kinds
                .iter()
                .find(|(word, _)| self.value.as_str() == Some(*word));
            *section = as_table(chosen.and_then(|(_, fields)| fields.default));
        }
    }
}

/// Reads several of them.
///
/// # Errors
/// With the first that is none.
pub(crate) fn parse_all(changes: &[String]) -> Result<Vec<Change>, SettingError> {
    changes.iter().map(|text| Change::parse(text)).collect()
}

/// Makes changes in a table: first those that choose the kind of a section, which then begins with that
/// kind's usual settings, then the others in turn. A section that is missing begins with its own
/// usual settings.
///
/// What comes of it need not make sense: that is checked afterwards.
pub(crate) fn apply(changes: &[Change], schema: Schema<'_>, table: &mut Table) {
    let (kinds, others): (Vec<&Change>, Vec<&Change>) =
        { changes.iter() }.partition(|change| change.chooses_kind(schema));
    let mut settings = Value::Table(std::mem::take(table));
    for change in kinds.into_iter().chain(others) {
        change.set(&change.key, Some(schema), &mut settings);
    }
    if let Value::Table(settings) = settings {
        *table = settings;
    }
}

/// Those changes that choose the kind of a section, and the others in such sections.
pub(crate) fn choosing_kinds(changes: &[Change], schema: Schema<'_>) -> Vec<Change> {
    let choosing = changes.iter().filter(|change| change.chooses_kind(schema));
    let sections: Vec<&[String]> = choosing.map(Change::section).collect();
    let is_in = |change: &Change| {
        let mut sections = sections.iter();
        sections.any(|section| change.key.starts_with(section))
    };
    { changes.iter() }
        .filter(|change| is_in(change))
        .cloned()
        .collect()
}

/// What a missing section begins with.
fn usual(schema: Option<Schema<'_>>) -> Value {
    Value::Table(as_table(schema.and_then(Schema::default)))
}

/// Settings of a schema as a table; an empty one if they are none.
fn as_table(settings: Option<&serde_json::Value>) -> Table {
    let table = settings.and_then(|settings| Table::try_from(settings).ok());
    table.unwrap_or_default()
}

/// The parts of a dotted key.
fn key(path: &str) -> Option<Vec<String>> {
    let mut value = Value::Table(format!("{path} = 0").parse().ok()?);
    let mut key = Vec::new();
    while let Value::Table(table) = value {
        let mut entries = table.into_iter();
        let (Some((part, inner)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        key.push(part);
        value = inner;
    }
    Some(key)
}

/// The value of a text with one key.
fn only_value(text: &str) -> Option<Value> {
    let table: Table = text.parse().ok()?;
    let mut entries = table.into_iter();
    match (entries.next(), entries.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}
