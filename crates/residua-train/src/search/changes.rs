//! What a search was begun with, and in what another differs from it.

use std::collections::{BTreeMap, BTreeSet};

use super::{SearchMethod, SearchSpace};
use crate::config::TrainConfig;
use crate::error::TrainError;

fn malformed(reason: impl std::fmt::Display) -> TrainError {
    TrainError::Config(reason.to_string())
}

pub(super) fn record(space: &SearchSpace, base: &TrainConfig) -> Result<String, TrainError> {
    let mut search = toml::Table::new();
    if let SearchMethod::Halving(halving) = space.method {
        search.extend(toml::Table::try_from(halving).map_err(malformed)?);
    }
    search.insert("method".to_owned(), space.method.name().into());
    for (key, number) in [("trials", space.trials), ("seed", space.seed)] {
        let number = i64::try_from(number).map_err(malformed)?;
        search.insert(key.to_owned(), number.into());
    }
    let mut settings = toml::Table::new();
    for setting in &space.settings {
        let range = toml::Value::try_from(&setting.range).map_err(malformed)?;
        settings.insert(setting.key.clone(), range);
    }
    let configuration: toml::Table = base.to_toml()?.parse().map_err(malformed)?;
    let mut all = toml::Table::new();
    for (name, table) in [
        ("search", search),
        ("space", settings),
        ("configuration", configuration),
    ] {
        all.insert(name.to_owned(), table.into());
    }
    toml::to_string(&all).map_err(malformed)
}

/// The differences between two records.
pub(super) fn changes(before: &str, now: &str) -> Result<Vec<String>, TrainError> {
    let (before, now) = (settings(before)?, settings(now)?);
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let sentences = keys
        .into_iter()
        .filter_map(|key| match (before.get(key), now.get(key)) {
            (Some(before), Some(now)) if before == now => None,
            (Some(before), Some(now)) => Some(format!("{key} was {before} and is {now}")),
            (Some(before), None) => Some(format!("{key} was {before} and is not set now")),
            (None, Some(now)) => Some(format!("{key} was not set and is {now}")),
            (None, None) => None,
        });
    Ok(sentences.collect())
}

/// All settings of a record by their keys.
fn settings(record: &str) -> Result<BTreeMap<String, String>, TrainError> {
    let mut all: toml::Table = record.parse().map_err(malformed)?;
    let mut section = |name: &str| match all.remove(name) {
        Some(toml::Value::Table(table)) => Ok(table),
        _ => Err(malformed(format!("the table [{name}] is missing"))),
    };
    let (search, space) = (section("search")?, section("space")?);
    // Read as a configuration, because an older version may have written fewer keys.
    let configuration = toml::to_string(&section("configuration")?).map_err(malformed)?;
    let configuration = TrainConfig::from_toml(&configuration, &[])?.to_toml()?;
    let configuration: toml::Table = configuration.parse().map_err(malformed)?;
    let mut settings = BTreeMap::new();
    flatten("search.", search, &mut settings);
    // What is searched is one value, however many parts the form of its range has.
    let space = space.into_iter();
    settings.extend(space.map(|(key, range)| (format!("space.{key}"), range.to_string())));
    flatten("", configuration, &mut settings);
    Ok(settings)
}

fn flatten(prefix: &str, table: toml::Table, settings: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, settings),
            value => {
                settings.insert(format!("{prefix}{key}"), value.to_string());
            }
        }
    }
}
