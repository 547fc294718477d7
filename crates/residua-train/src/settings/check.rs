//! What is wrong with a table, by the schema of what it should be.

use residua_core::setting::SettingError;
use residua_core::suggest;
use toml::{Table, Value};

use super::schema::{Fields, Schema, Shape};

/// All that is wrong: keys that do not exist, values of another type, or else keys that are missing.
pub(crate) fn problems(schema: Schema<'_>, table: &Table) -> Vec<SettingError> {
    let mut check = Check {
        key: Vec::new(),
        wrong: Vec::new(),
        missing: Vec::new(),
    };
    if let Shape::Table(fields) = schema.shape() {
        check.table(&fields, table, |_| None);
    }
    // What is missing is often there under a wrong name.
    match check.wrong.is_empty() {
        true => check.missing,
        false => check.wrong,
    }
}

struct Check {
    /// Of the value that is looked at.
    key: Vec<String>,
    wrong: Vec<SettingError>,
    missing: Vec<SettingError>,
}

impl Check {
    fn below(&mut self, part: &str, look: impl FnOnce(&mut Self)) {
        self.key.push(part.to_owned());
        look(self);
        self.key.pop();
    }

    fn wrong(&mut self, problem: String) {
        let error = SettingError::of_key(self.key.clone(), problem);
        self.wrong.push(error);
    }

    fn unknown(&mut self, known: &[&str]) {
        let error = SettingError::unknown(self.key.clone(), known);
        self.wrong.push(error);
    }

    fn missing(&mut self, what: &str) {
        let subject = match self.key.is_empty() {
            true => "the file ",
            false => "",
        };
        let error = SettingError::of_key(self.key.clone(), format!("{subject}needs {what}"));
        self.missing.push(error);
    }

    fn value(&mut self, schema: Schema<'_>, value: &Value) {
        let shape = schema.shape();
        match (&shape, value) {
            (Shape::Table(fields), Value::Table(table)) => self.table(fields, table, |_| None),
            (Shape::Tagged { tag, kinds }, Value::Table(table)) => self.tagged(tag, kinds, table),
            (Shape::Map(each), Value::Table(table)) => {
                for (key, value) in table {
                    self.below(key, |check| check.value(*each, value));
                }
            }
            (Shape::List { items, length }, Value::Array(values))
                if length.is_none_or(|length| values.len() as u64 == length) =>
            {
                for (index, value) in values.iter().enumerate() {
                    self.below(&index.to_string(), |check| check.value(*items, value));
                }
            }
            (Shape::WordOrTable { tables, .. }, Value::Table(table)) if table.len() == 1 => {
                let inner = table.iter().next();
                let known = inner.and_then(|(key, value)| {
                    let schema = tables.iter().find(|(name, _)| name == key)?.1;
                    Some((key, value, schema))
                });
                match known {
                    Some((key, value, schema)) => {
                        self.below(key, |check| check.value(schema, value));
                    }
                    None => {
                        let names: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
                        for key in table.keys() {
                            self.below(key, |check| check.unknown(&names));
                        }
                    }
                }
            }
            _ if fits(&shape, value) => {}
            _ => self.mismatch(&shape, value),
        }
    }

    /// A table; `elsewhere` says what is known of keys that it does not have.
    fn table(
        &mut self,
        fields: &Fields<'_>,
        table: &Table,
        elsewhere: impl Fn(&str) -> Option<String>,
    ) {
        for (key, value) in table {
            self.below(key, |check| match (fields.get(key), elsewhere(key)) {
                (Some(schema), _) => check.value(schema, value),
                (None, Some(problem)) => check.wrong(problem),
                (None, None) => check.unknown(&fields.names()),
            });
        }
        let missing = fields
            .required
            .iter()
            .filter(|key| !table.contains_key(**key));
        let missing = missing.filter_map(|key| {
            let expected = expectation(&fields.get(key)?.shape());
            Some(format!("{key} ({expected})"))
        });
        let missing: Vec<String> = missing.collect();
        if !missing.is_empty() {
            self.missing(&listed(&missing, "and"));
        }
    }

    fn tagged(&mut self, tag: &str, kinds: &[(&str, Fields<'_>)], table: &Table) {
        let words: Vec<&str> = kinds.iter().map(|(word, _)| *word).collect();
        let Some(given) = table.get(tag) else {
            return self.untagged(tag, kinds, table);
        };
        let Some((word, fields)) = kinds.iter().find(|(word, _)| given.as_str() == Some(*word))
        else {
            return self.below(tag, |check| check.mismatch(&Shape::Words(words), given));
        };
        self.table(fields, table, |key| {
            let others = kinds.iter().filter(|(_, fields)| fields.get(key).is_some());
            let others: Vec<String> = others.map(|(word, _)| format!("'{word}'")).collect();
            (!others.is_empty()).then(|| {
                let others = listed(&others, "or");
                format!("belongs to the {tag} {others}; here the {tag} is '{word}'")
            })
        });
    }

    /// A table that does not say of which kind it is.
    fn untagged(&mut self, tag: &str, kinds: &[(&str, Fields<'_>)], table: &Table) {
        let words: Vec<&str> = kinds.iter().map(|(word, _)| *word).collect();
        self.missing(&format!("{tag} ({})", listed(&words, "or")));
        let mut known = Vec::new();
        for name in kinds.iter().flat_map(|(_, fields)| fields.names()) {
            if !known.contains(&name) {
                known.push(name);
            }
        }
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.below(key, |check| check.unknown(&known));
        }
    }

    fn mismatch(&mut self, shape: &Shape<'_>, value: &Value) {
        let hint = match (shape, value) {
            (Shape::Words(words) | Shape::WordOrTable { words, .. }, Value::String(given)) => {
                suggest::did_you_mean(&suggest::closest(given, words.iter().copied()))
            }
            _ => String::new(),
        };
        let (found, expected) = (shown(value), expectation(shape));
        self.wrong(format!("is {found}; expected {expected}{hint}"));
    }
}

/// Whether a value without parts is what it should be.
fn fits(shape: &Shape<'_>, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Words(words) | Shape::WordOrTable { words, .. }, Value::String(word)) => {
            words.contains(&word.as_str())
        }
        (Shape::Whole { least }, Value::Integer(number)) => {
            least.is_none_or(|least| *number >= least)
        }
        (Shape::Number, Value::Integer(_) | Value::Float(_))
        | (Shape::Text, Value::String(_))
        | (Shape::Flag, Value::Boolean(_))
        | (Shape::Other, _) => true,
        _ => false,
    }
}

/// A value in a sentence.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        other => other.to_string(),
    }
}

/// What is expected of a value.
fn expectation(shape: &Shape<'_>) -> String {
    match shape {
        Shape::Table(fields) => {
            format!("a table with {}", listed(&fields.names(), "and"))
        }
        Shape::Tagged { tag, kinds } => {
            let words: Vec<&str> = kinds.iter().map(|(word, _)| *word).collect();
            format!("a table with {tag} = {}", listed(&words, "or"))
        }
        Shape::Map(each) => format!("a table of {}", several(&each.shape())),
        Shape::Words(words) => listed(words, "or"),
        Shape::WordOrTable { words, tables } => {
            let tables = tables
                .iter()
                .map(|(name, _)| format!("a table with {name}"));
            let words = words.iter().map(|word| (*word).to_owned());
            listed(&words.chain(tables).collect::<Vec<_>>(), "or")
        }
        Shape::List { items, length } => {
            let items = several(&items.shape());
            match length {
                Some(length) => format!("a list of {length} {items}"),
                None => format!("a list of {items}"),
            }
        }
        Shape::Whole { least: Some(least) } => format!("a whole number, {least} or more"),
        Shape::Whole { least: None } => "a whole number".to_owned(),
        Shape::Number => "a number".to_owned(),
        Shape::Text => "text".to_owned(),
        Shape::Flag => "true or false".to_owned(),
        Shape::Other => "something else".to_owned(),
    }
}

fn several(shape: &Shape<'_>) -> &'static str {
    match shape {
        Shape::Whole { .. } => "whole numbers",
        Shape::Number => "numbers",
        Shape::Table(_) | Shape::Tagged { .. } | Shape::Map(_) => "tables",
        _ => "values",
    }
}

/// `a, b and c`
fn listed(words: &[impl AsRef<str>], last: &str) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match &words[..] {
        [others @ .., word] if !others.is_empty() => {
            format!("{} {last} {word}", others.join(", "))
        }
        words => words.concat(),
    }
}
