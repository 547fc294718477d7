//! From the text of a file to a search space, with the place of whatever is wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use residua_core::setting::SettingError;
use residua_core::suggest::closest;
use schemars::{JsonSchema, Schema as JsonSchemaValue, SchemaGenerator, json_schema};
use serde::Deserialize;
use toml::{Table, Value};

use super::halving::Halving;
use super::range::Range;
use super::{SearchMethod, SearchSpace, SearchedSetting};
use crate::settings::{Document, Origin, Schema, problems, schema_of};

/// More than anybody waits for; their configurations are all made before the first is trained.
const MOST_TRIALS: u64 = 10_000;

/// What decides by which images trials are judged.
const OF_IMAGES: [&str; 4] = ["data", "validation_fraction", "fold", "max_unreadable"];

static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(schema_of::<SpaceFile>);

/// The form of a file.
#[derive(Deserialize, JsonSchema)]
struct SpaceFile {
    search: SearchSection,
    /// Ranges by key; a key with dots may be quoted or not.
    #[schemars(with = "BTreeMap<String, RangeOrTable>")]
    space: Table,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
enum SearchSection {
    Random {
        #[schemars(range(min = 1))]
        trials: u64,
        #[serde(default)]
        seed: u64,
    },
    Halving {
        #[schemars(range(min = 1))]
        trials: u64,
        #[serde(default)]
        seed: u64,
        #[schemars(range(min = 1))]
        first_epochs: u64,
        #[serde(default = "usual_reduction")]
        #[schemars(range(min = 2))]
        reduction: u64,
        #[schemars(range(min = 1))]
        rungs: Option<u64>,
    },
}

/// Those that the epochs of trials can be too few for.
pub(super) const KEYS_OF_HALVING: [&str; 2] = ["first_epochs", "rungs"];

/// As Li et al. 2018 use it.
fn usual_reduction() -> u64 {
    3
}

/// What only [`settings`] can judge.
struct RangeOrTable;

impl JsonSchema for RangeOrTable {
    fn schema_name() -> Cow<'static, str> {
        "RangeOrTable".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonSchemaValue {
        json_schema!({})
    }
}

pub(super) fn parse(file: &Path, text: &str) -> Result<SearchSpace, SettingError> {
    let name = file.display().to_string();
    let document = Document::read(Some(&name), text)?;
    let origin = Origin {
        document: Some(&document),
        changes: &[],
    };
    match origin.first(problems(Schema::new(&SCHEMA), document.table())) {
        Some(problem) => Err(problem),
        None => read(file, &document).map_err(|error| document.locate(error)),
    }
}

fn read(file: &Path, document: &Document<'_>) -> Result<SearchSpace, SettingError> {
    let parsed: Result<SpaceFile, _> = document.table().clone().try_into();
    let SpaceFile { search, space } = parsed.map_err(|failure| {
        let reason = failure.message().trim().replace('\n', "; ");
        SettingError::of_key(Vec::new(), reason)
    })?;
    search.validate().map_err(|error| error.within("search"))?;
    let mut found = Vec::new();
    settings(&[], &space, &mut found).map_err(|error| error.within("space"))?;
    if found.is_empty() {
        let problem = "has no setting; expected one at least, such as optimiser.learning_rate = \
                       { log_uniform = [0.01, 1.0] }";
        return Err(SettingError::new("space", problem));
    }
    found.sort_by_key(Found::key);
    refuse_repeated(&found, document)?;
    let method = search.method();
    for setting in &found {
        refuse_fixed(setting, method)?;
    }
    let (trials, seed) = search.numbers();
    let settings = found.into_iter().map(|found| SearchedSetting {
        key: found.key(),
        place: document.place(&found.in_file()),
        range: found.range,
    });
    Ok(SearchSpace {
        file: file.to_owned(),
        method,
        trials,
        seed,
        settings: settings.collect(),
        places: KEYS_OF_HALVING.map(|key| {
            let place = document.place(&["search".to_owned(), key.to_owned()]);
            (key, place)
        }),
    })
}

impl SearchSection {
    /// Trials and seed.
    fn numbers(&self) -> (u64, u64) {
        match *self {
            Self::Random { trials, seed } | Self::Halving { trials, seed, .. } => (trials, seed),
        }
    }

    fn method(&self) -> SearchMethod {
        match *self {
            Self::Random { .. } => SearchMethod::Random,
            Self::Halving {
                first_epochs,
                reduction,
                rungs,
                ..
            } => SearchMethod::Halving(Halving {
                first_epochs,
                reduction,
                rungs,
            }),
        }
    }

    /// What the schema does not say.
    fn validate(&self) -> Result<(), SettingError> {
        match self.numbers() {
            (trials, _) if trials > MOST_TRIALS => {
                let expected = format!("a whole number from 1 to {MOST_TRIALS}");
                Err(SettingError::value("trials", trials, expected))
            }
            _ => Ok(()),
        }
    }
}

/// A setting, and the parts of its key as the file has them.
struct Found {
    parts: Vec<String>,
    range: Range,
}

impl Found {
    /// As in `key=value`.
    fn key(&self) -> String {
        self.parts.join(".")
    }

    /// Where the file has it.
    fn in_file(&self) -> Vec<String> {
        let section = std::iter::once("space".to_owned());
        section.chain(self.parts.iter().cloned()).collect()
    }

    fn refused(&self, problem: impl Into<String>) -> SettingError {
        SettingError::of_key(self.in_file(), problem)
    }
}

/// The settings of a table. Tables within are either ranges or parts of keys.
fn settings(prefix: &[String], table: &Table, found: &mut Vec<Found>) -> Result<(), SettingError> {
    for (name, value) in table {
        let parts = [prefix, std::slice::from_ref(name)].concat();
        match value {
            Value::Table(inner) if names_a_range(inner) => {
                let range = range(inner).map_err(|error| {
                    let inwards = parts.iter().rev();
                    inwards.fold(error, |error, part| error.within(part))
                })?;
                found.push(Found { parts, range });
            }
            Value::Table(inner) if !inner.is_empty() => settings(&parts, inner, found)?,
            Value::Array(_) if !closest(name, Range::NAMES).is_empty() => {
                return Err(SettingError::unknown(parts, &Range::NAMES));
            }
            _ => {
                let problem = format!(
                    "is {value}; expected {{ uniform = [low, high] }}, {{ log_uniform = [low, high] }}, \
                     {{ integer = [low, high] }} or {{ choice = [one, another] }}"
                );
                return Err(SettingError::of_key(parts, problem));
            }
        }
    }
    Ok(())
}

fn names_a_range(table: &Table) -> bool {
    Range::NAMES.iter().any(|name| table.contains_key(*name))
}

fn range(table: &Table) -> Result<Range, SettingError> {
    let unknown = table
        .keys()
        .find(|name| !Range::NAMES.contains(&name.as_str()));
    if let Some(unknown) = unknown {
        return Err(SettingError::unknown(vec![unknown.clone()], &Range::NAMES));
    }
    let mut entries = table.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        let names: Vec<&str> = table.keys().map(String::as_str).collect();
        let problem = format!("has {}; expected one of them", names.join(" and "));
        return Err(SettingError::of_key(Vec::new(), problem));
    };
    let rising = "two numbers, the lower one first";
    let (range, expected) = match name.as_str() {
        "uniform" => (
            pair(value, number).filter(is_rising).map(Range::Uniform),
            rising,
        ),
        "log_uniform" => (
            pair(value, number)
                .filter(|ends| is_rising(ends) && ends[0] > 0.0)
                .map(Range::LogUniform),
            "two numbers above 0, the lower one first",
        ),
        "integer" => (
            pair(value, Value::as_integer)
                .filter(is_rising)
                .map(Range::Integer),
            "two whole numbers, the lower one first",
        ),
        _ => (
            { value.as_array() }
                .filter(|values| !values.is_empty())
                .cloned()
                .map(Range::Choice),
            "a list of one value at least",
        ),
    };
    range.ok_or_else(|| SettingError::value(name, value, expected))
}

/// `settings` are sorted by their keys, which may be written in two ways: as one, or in parts.
fn refuse_repeated(settings: &[Found], document: &Document<'_>) -> Result<(), SettingError> {
    let twice = settings
        .windows(2)
        .find(|pair| pair[0].key() == pair[1].key());
    let Some([one, other]) = twice else {
        return Ok(());
    };
    let later = match document.offset(&one.in_file()) > document.offset(&other.in_file()) {
        true => one,
        false => other,
    };
    Err(later.refused("is searched twice; expected every key once"))
}

fn refuse_fixed(setting: &Found, method: SearchMethod) -> Result<(), SettingError> {
    let reason = match (setting.key().as_str(), method) {
        (key, _) if OF_IMAGES.contains(&key) => {
            "trials would be judged by different images; set it for all of them, by an option"
        }
        ("seed", _) => "what is best of several seeds is luck; set it for all trials with --seed",
        ("epochs", SearchMethod::Halving(_)) => {
            "halving deals epochs out; set them for all trials with --epochs"
        }
        _ => return Ok(()),
    };
    Err(setting.refused(format!("cannot be searched: {reason}")))
}

fn pair<T: Copy>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<[T; 2]> {
    match value.as_array()?.as_slice() {
        [low, high] => Some([read(low)?, read(high)?]),
        _ => None,
    }
}

fn is_rising<T: PartialOrd>(ends: &[T; 2]) -> bool {
    ends[0] < ends[1]
}

/// A number that is finite, whole or not.
fn number(value: &Value) -> Option<f64> {
    let whole = value.as_integer().map(|whole| whole as f64);
    value
        .as_float()
        .or(whole)
        .filter(|number| number.is_finite())
}
