//! From the text of a file to a search space, with the place of whatever is wrong.

use std::path::Path;

use residua_core::suggest::{closest, did_you_mean};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

use super::error::{SpaceError, SpaceProblem};
use super::halving::Halving;
use super::range::Range;
use super::{SearchMethod, SearchSpace, SearchedSetting};

const SECTIONS: [&str; 2] = ["search", "space"];
const KEYS: [&str; 3] = ["method", "trials", "seed"];
const HALVING_KEYS: [&str; 3] = ["first_epochs", "reduction", "rungs"];

/// More than anybody waits for; their configurations are all made before the first is trained.
const MOST_TRIALS: i64 = 10_000;

/// As Li et al. 2018 use it.
const USUAL_REDUCTION: u64 = 3;

/// What decides by which images trials are judged.
const OF_IMAGES: [&str; 4] = ["data", "validation_fraction", "fold", "max_unreadable"];

pub(super) fn parse(file: &Path, text: &str) -> Result<SearchSpace, SpaceError> {
    let source = Source { file, text };
    let document = DeTable::parse(text).map_err(|error| source.syntax(&error))?;
    let document = document.get_ref();
    for (key, _) in document {
        source.require_known(key, &SECTIONS)?;
    }
    let search = source.section(document, "search", "how to search: method and trials")?;
    let space = source.section(document, "space", "the settings to search")?;
    for (key, _) in search.table {
        source.require_known(key, &[KEYS, HALVING_KEYS].concat())?;
    }
    let [trials, seed] = source.numbers(search)?;
    let method = source.method(search)?;
    let mut settings = Vec::new();
    source.settings("", space.table, &mut settings)?;
    if settings.is_empty() {
        let problem = SpaceProblem::Missing {
            key: "a setting",
            expected: "at least one, such as optimiser.learning_rate = { log_uniform = [0.01, 1.0] }",
        };
        return Err(source.error(space.start, problem));
    }
    settings.sort_by(|one, other| one.key.cmp(&other.key));
    source.refuse_unfit(&settings, method)?;
    Ok(SearchSpace {
        file: file.to_owned(),
        method,
        trials,
        seed,
        settings,
    })
}

/// A file that is read.
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
}

type Key<'i> = Spanned<DeString<'i>>;

fn text<'k>(key: &'k Key<'_>) -> &'k str {
    key.get_ref()
}

/// A table of the file, and where it begins.
#[derive(Clone, Copy)]
struct Section<'t, 'i> {
    table: &'t DeTable<'i>,
    start: usize,
}

impl<'t, 'i> Section<'t, 'i> {
    fn get(self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        let mut entries = self.table.iter();
        let found = entries.find(|(name, _)| text(name) == key);
        found.map(|(_, value)| value)
    }
}

impl Source<'_> {
    fn line(&self, position: usize) -> usize {
        let before = self.text.as_bytes().iter().take(position);
        before.filter(|&&byte| byte == b'\n').count() + 1
    }

    fn error(&self, position: usize, problem: SpaceProblem) -> SpaceError {
        SpaceError::new(self.file, Some(self.line(position)), problem)
    }

    fn syntax(&self, error: &toml::de::Error) -> SpaceError {
        let line = error.span().map(|span| self.line(span.start));
        let message = error.message().trim().replace('\n', "; ");
        SpaceError::new(self.file, line, SpaceProblem::Syntax(message))
    }

    fn unknown(&self, key: &Key<'_>, known: &[&str]) -> SpaceError {
        let name = text(key);
        let problem = SpaceProblem::UnknownKey {
            key: name.to_owned(),
            expected: known.join(", "),
            hint: did_you_mean(&closest(name, known.iter().copied())),
        };
        self.error(key.span().start, problem)
    }

    fn require_known(&self, key: &Key<'_>, known: &[&str]) -> Result<(), SpaceError> {
        match known.contains(&text(key)) {
            true => Ok(()),
            false => Err(self.unknown(key, known)),
        }
    }

    fn section<'t, 'i>(
        &self,
        document: &'t DeTable<'i>,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Section<'t, 'i>, SpaceError> {
        let mut entries = document.iter();
        let Some((name, value)) = entries.find(|(name, _)| text(name) == key) else {
            let key = if key == "search" {
                "[search]"
            } else {
                "[space]"
            };
            let problem = SpaceProblem::Missing { key, expected };
            return Err(SpaceError::new(self.file, None, problem));
        };
        let start = name.span().start;
        match value.get_ref() {
            DeValue::Table(table) => Ok(Section { table, start }),
            _ => Err(self.wrong(key, value, "a table")),
        }
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &'static str) -> SpaceError {
        let found = match self.plain(value) {
            Ok(value) => value.to_string(),
            Err(error) => return error,
        };
        let problem = SpaceProblem::Value {
            key: key.to_owned(),
            found,
            expected,
        };
        self.error(value.span().start, problem)
    }

    /// The value without the places of its parts.
    fn plain(&self, value: &Spanned<DeValue<'_>>) -> Result<toml::Value, SpaceError> {
        let deserializer = ValueDeserializer::from(value.clone());
        toml::Value::deserialize(deserializer).map_err(|error| {
            let problem = SpaceProblem::Syntax(error.message().trim().replace('\n', "; "));
            self.error(value.span().start, problem)
        })
    }

    /// A whole number of a section, within bounds.
    fn number(
        &self,
        section: Section<'_, '_>,
        key: &str,
        bounds: std::ops::RangeInclusive<i64>,
        expected: &'static str,
    ) -> Result<Option<u64>, SpaceError> {
        let Some(value) = section.get(key) else {
            return Ok(None);
        };
        let number = self.plain(value)?.as_integer();
        let number = number.filter(|number| bounds.contains(number));
        match number.and_then(|number| u64::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, value, expected)),
        }
    }

    /// Trials and seed.
    fn numbers(&self, search: Section<'_, '_>) -> Result<[u64; 2], SpaceError> {
        let expected = "a whole number from 1 to 10000";
        let trials = self.number(search, "trials", 1..=MOST_TRIALS, expected)?;
        let trials = trials.ok_or_else(|| {
            let key = "trials";
            self.error(search.start, SpaceProblem::Missing { key, expected })
        })?;
        let expected = "a whole number from 0";
        let seed = self.number(search, "seed", 0..=i64::MAX, expected)?;
        Ok([trials, seed.unwrap_or(0)])
    }

    fn method(&self, search: Section<'_, '_>) -> Result<SearchMethod, SpaceError> {
        let expected = "\"random\" or \"halving\"";
        let Some(value) = search.get("method") else {
            let key = "method";
            return Err(self.error(search.start, SpaceProblem::Missing { key, expected }));
        };
        match value.get_ref().as_str() {
            Some("random") => {
                for key in HALVING_KEYS {
                    if let Some(value) = search.get(key) {
                        let problem = SpaceProblem::OfHalving { key };
                        return Err(self.error(value.span().start, problem));
                    }
                }
                Ok(SearchMethod::Random)
            }
            Some("halving") => self.halving(search).map(SearchMethod::Halving),
            _ => Err(self.wrong("method", value, expected)),
        }
    }

    fn halving(&self, search: Section<'_, '_>) -> Result<Halving, SpaceError> {
        let expected = "a whole number from 1, the epochs before the first choice";
        let number = |key, least, expected| self.number(search, key, least..=i64::MAX, expected);
        let first_epochs = number("first_epochs", 1, expected)?.ok_or_else(|| {
            let key = "first_epochs";
            self.error(search.start, SpaceProblem::Missing { key, expected })
        })?;
        let reduction = number("reduction", 2, "a whole number from 2")?;
        Ok(Halving {
            first_epochs,
            reduction: reduction.unwrap_or(USUAL_REDUCTION),
            rungs: number("rungs", 1, "a whole number from 1")?,
        })
    }

    /// The settings of a table. A key with dots may be quoted or not, so tables within are either ranges
    /// or parts of keys.
    fn settings(
        &self,
        prefix: &str,
        table: &DeTable<'_>,
        found: &mut Vec<SearchedSetting>,
    ) -> Result<(), SpaceError> {
        for (name, value) in table {
            let key = match prefix {
                "" => text(name).to_owned(),
                _ => format!("{prefix}.{}", text(name)),
            };
            match value.get_ref() {
                DeValue::Table(inner) if names_a_range(inner) => {
                    let line = self.line(name.span().start);
                    let range = self.range(&key, inner)?;
                    found.push(SearchedSetting { key, range, line });
                }
                DeValue::Table(inner) if !inner.is_empty() => {
                    self.settings(&key, inner, found)?;
                }
                DeValue::Array(_) if !closest(text(name), Range::NAMES).is_empty() => {
                    return Err(self.unknown(name, &Range::NAMES));
                }
                _ => {
                    let expected = "{ uniform = [low, high] }, { log_uniform = [low, high] }, \
                                    { integer = [low, high] } or { choice = [one, another] }";
                    return Err(self.wrong(&key, value, expected));
                }
            }
        }
        Ok(())
    }

    fn range(&self, key: &str, table: &DeTable<'_>) -> Result<Range, SpaceError> {
        let mut ranges = Vec::new();
        for (name, value) in table {
            self.require_known(name, &Range::NAMES)?;
            if !ranges.is_empty() {
                let problem = SpaceProblem::Repeated {
                    key: key.to_owned(),
                };
                return Err(self.error(name.span().start, problem));
            }
            let plain = self.plain(value)?;
            let (range, expected) = match text(name) {
                "uniform" => (
                    pair(&plain, number).filter(is_rising).map(Range::Uniform),
                    "two numbers, the lower one first",
                ),
                "log_uniform" => (
                    pair(&plain, number)
                        .filter(|ends| is_rising(ends) && ends[0] > 0.0)
                        .map(Range::LogUniform),
                    "two numbers above 0, the lower one first",
                ),
                "integer" => (
                    pair(&plain, toml::Value::as_integer)
                        .filter(is_rising)
                        .map(Range::Integer),
                    "two whole numbers, the lower one first",
                ),
                _ => (
                    plain
                        .as_array()
                        .filter(|values| !values.is_empty())
                        .cloned()
                        .map(Range::Choice),
                    "a list of one value at least",
                ),
            };
            let name = format!("{key}.{}", text(name));
            ranges.push(range.ok_or_else(|| self.wrong(&name, value, expected))?);
        }
        // The table names a range, so there is one.
        Ok(ranges.swap_remove(0))
    }

    /// `settings` are sorted.
    fn refuse_unfit(
        &self,
        settings: &[SearchedSetting],
        method: SearchMethod,
    ) -> Result<(), SpaceError> {
        let refused = |setting: &SearchedSetting, problem| {
            Err(SpaceError::new(self.file, Some(setting.line), problem))
        };
        for pair in settings.windows(2) {
            if pair[0].key == pair[1].key {
                let later = if pair[0].line > pair[1].line { 0 } else { 1 };
                let key = pair[0].key.clone();
                return refused(&pair[later], SpaceProblem::Repeated { key });
            }
        }
        for setting in settings {
            let reason = match (setting.key.as_str(), method) {
                (key, _) if OF_IMAGES.contains(&key) => {
                    "trials would be judged by different images; set it for all of them, by an option"
                }
                ("seed", _) => {
                    "what is best of several seeds is luck; set it for all trials with --seed"
                }
                ("epochs", SearchMethod::Halving(_)) => {
                    "halving deals epochs out; set them for all trials with --epochs"
                }
                _ => continue,
            };
            let key = setting.key.clone();
            return refused(setting, SpaceProblem::Fixed { key, reason });
        }
        Ok(())
    }
}

fn names_a_range(table: &DeTable<'_>) -> bool {
    let mut names = table.keys();
    names.any(|name| Range::NAMES.contains(&text(name)))
}

fn pair<T: Copy>(value: &toml::Value, read: impl Fn(&toml::Value) -> Option<T>) -> Option<[T; 2]> {
    match value.as_array()?.as_slice() {
        [low, high] => Some([read(low)?, read(high)?]),
        _ => None,
    }
}

fn is_rising<T: PartialOrd>(ends: &[T; 2]) -> bool {
    ends[0] < ends[1]
}

/// A number that is finite, whole or not.
fn number(value: &toml::Value) -> Option<f64> {
    let whole = value.as_integer().map(|whole| whole as f64);
    value
        .as_float()
        .or(whole)
        .filter(|number| number.is_finite())
}
