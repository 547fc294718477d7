//! Searching for settings: which ones are tried, and which of those go on.
//!
//! A [`SearchSpace`] is read from a file and says for some keys of a [`TrainConfig`] what they may be:
//!
//! ```toml
//! [search]
//! method = "halving"          # or "random"
//! trials = 27
//! seed = 0                    # 0 unless set
//! first_epochs = 1            # of halving: epochs before the first choice
//! reduction = 3               # of halving: one of so many trials goes on; 3 unless set
//!
//! [space]
//! optimiser.learning_rate = { log_uniform = [0.01, 1.0] }
//! optimiser.momentum = { uniform = [0.8, 0.99] }
//! accumulate = { integer = [1, 4] }
//! model = { choice = ["resnet20", "resnet32"] }
//! ```
//!
//! The settings of a trial depend on the seed of the search and the number of the trial alone, so
//! trials may be made in any order, and again. Random search is that of Bergstra and Bengio 2012, "Random
//! Search for Hyper-Parameter Optimization"; successive halving that of Jamieson and Talwalkar 2016,
//! "Non-stochastic Best Arm Identification and Hyperparameter Optimization", with the rate of
//! elimination of Li et al. 2018, "Hyperband", section 2.

mod changes;
mod error;
mod halving;
mod range;
mod reading;

use std::path::{Path, PathBuf};

use residua_core::seed::SeedStream;
use residua_core::setting::SettingError;
use serde::Serialize;

pub use error::SpaceError;
pub use halving::{Halving, Rung, best_trials};
pub use range::Range;

use crate::config::TrainConfig;
use crate::error::TrainError;

/// What is tried.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpace {
    /// The file that says so.
    file: PathBuf,
    /// How.
    pub method: SearchMethod,
    /// How many times settings are drawn.
    pub trials: u64,
    /// All draws derive from it.
    pub seed: u64,
    /// What is searched, sorted by key, so that a section comes before its parts.
    pub settings: Vec<SearchedSetting>,
    /// Where keys of `[search]` stand in the file.
    places: [(&'static str, String); 2],
}

/// How settings are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SearchMethod {
    /// All trials are trained to their end.
    Random,
    /// Trials are left behind on the way.
    Halving(Halving),
}

impl SearchMethod {
    /// As files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Halving(_) => "halving",
        }
    }
}

/// A setting that is searched.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchedSetting {
    /// The key, as in `key=value`: `optimiser.learning_rate`.
    pub key: String,
    /// What it may be.
    pub range: Range,
    /// Where the file says so.
    place: String,
}

/// A setting of a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChosenSetting {
    /// The key.
    pub key: String,
    /// What it is.
    pub value: toml::Value,
}

impl SearchedSetting {
    /// The section that it makes anew: itself as a whole, or that of which it is the kind.
    fn section(&self) -> &str {
        let kinds = KINDS.iter();
        let mut sections = kinds.filter_map(|kind| self.key.strip_suffix(kind));
        sections.next().unwrap_or(&self.key)
    }
}

/// What chooses among forms of a section, which have keys of their own.
const KINDS: [&str; 2] = [".kind", ".rule"];

impl SearchSpace {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a search space; with the line.
    pub fn read(file: &Path) -> Result<Self, SpaceError> {
        let text = std::fs::read_to_string(file).map_err(|source| SpaceError::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(file, &text)
    }

    /// Reads the text of the file of this name.
    ///
    /// # Errors
    /// When it is not a search space; with the line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, SpaceError> {
        Ok(reading::parse(file, text)?)
    }

    /// The settings of a trial, numbered from 0, in the order of [`SearchSpace::settings`].
    pub fn trial(&self, number: u64) -> Vec<ChosenSetting> {
        let stream = SeedStream::new(self.seed)
            .child("trial")
            .child_index(number);
        let choose = |setting: &SearchedSetting| ChosenSetting {
            key: setting.key.clone(),
            value: setting.range.sample(&mut stream.child(&setting.key).rng()),
        };
        self.settings.iter().map(choose).collect()
    }

    /// What is trained between two choices, of trials of so many epochs; the last of the rungs has them
    /// all. Random search has no choice and one rung.
    ///
    /// # Errors
    /// When halving has no use for so few trials or epochs.
    pub fn rungs(&self, epochs: u64) -> Result<Vec<Rung>, SpaceError> {
        match self.method {
            SearchMethod::Random => Ok(vec![Rung {
                trials: self.trials,
                epochs,
            }]),
            SearchMethod::Halving(halving) => {
                let rungs = halving.rungs(self.trials, epochs);
                Ok(rungs.map_err(|error| self.in_search(error))?)
            }
        }
    }

    /// The error about a key of `[search]`, with its place.
    fn in_search(&self, error: SettingError) -> SettingError {
        let place = { self.places.iter() }.find(|(key, _)| error.key() == [*key]);
        let place = place.map_or_else(
            || self.file.display().to_string(),
            |(_, place)| place.clone(),
        );
        error.within("search").at(place)
    }

    /// The configurations of all trials, each the base with the trial's settings.
    ///
    /// # Errors
    /// When a value that a setting may have makes no configuration: each choice and both ends of each
    /// range are tried first, so that an error is found whatever is drawn.
    pub fn configurations(&self, base: &TrainConfig) -> Result<Vec<TrainConfig>, SpaceError> {
        self.rungs(base.epochs)?;
        for setting in &self.settings {
            self.check(setting, base)?;
        }
        (0..self.trials)
            .map(|number| {
                let settings = self.trial(number);
                with_settings(base, &settings).map_err(|reason| SpaceError::Trial {
                    file: self.file.clone(),
                    number,
                    settings: settings_text(&settings),
                    reason: Box::new(reason),
                })
            })
            .collect()
    }

    /// Tries every end and choice of a setting, on top of all those of the sections that it is a part
    /// of.
    fn check(&self, setting: &SearchedSetting, base: &TrainConfig) -> Result<(), SpaceError> {
        let is_part_of = |other: &&SearchedSetting| {
            let section = other.section();
            let rest = setting.key.strip_prefix(section);
            rest.is_some_and(|rest| rest.starts_with('.')) && setting.key != other.key
        };
        let mut contexts = vec![Vec::new()];
        for section in self.settings.iter().filter(is_part_of) {
            contexts = extended(&contexts, section);
        }
        for chosen in extended(&contexts, setting) {
            with_settings(base, &chosen).map_err(|reason| SpaceError::Refused {
                place: setting.place.clone(),
                settings: settings_text(&chosen),
                reason: Box::new(reason),
            })?;
        }
        Ok(())
    }

    /// What a search in this space from this base is, as text to be kept beside its trials.
    ///
    /// # Errors
    /// When the base cannot be written as TOML.
    pub fn record(&self, base: &TrainConfig) -> Result<String, TrainError> {
        changes::record(self, base)
    }

    /// In what a search differs from the one of a record: a sentence for each setting, none if they
    /// are the same.
    ///
    /// # Errors
    /// When the text is not such a record.
    pub fn changes_since(
        &self,
        record: &str,
        base: &TrainConfig,
    ) -> Result<Vec<String>, TrainError> {
        changes::changes(record, &changes::record(self, base)?)
    }
}

/// Each list with each value of a setting that is worth trying added.
fn extended(contexts: &[Vec<ChosenSetting>], setting: &SearchedSetting) -> Vec<Vec<ChosenSetting>> {
    let mut all = Vec::new();
    for context in contexts {
        for value in setting.range.extremes() {
            let key = setting.key.clone();
            all.push([&context[..], &[ChosenSetting { key, value }]].concat());
        }
    }
    all
}

fn with_settings(
    base: &TrainConfig,
    settings: &[ChosenSetting],
) -> Result<TrainConfig, TrainError> {
    let overrides = settings.iter();
    let overrides: Vec<String> = overrides
        .map(|setting| format!("{}={}", setting.key, setting.value))
        .collect();
    let config = TrainConfig::from_toml(&base.to_toml()?, &overrides)?;
    config.check_start()?;
    let absolute = config.with_absolute_paths();
    absolute.map_err(|failure| TrainError::Config(failure.to_string()))
}

/// `optimiser.learning_rate = 0.1, accumulate = 2`.
fn settings_text(settings: &[ChosenSetting]) -> String {
    let texts = settings.iter();
    let texts: Vec<String> = texts
        .map(|setting| format!("{} = {}", setting.key, setting.value))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests;
