//! Where settings were said, for those that other settings, or the data, show to be wrong afterwards.

use std::path::Path;

use residua_core::setting::SettingError;
use toml::{Table, Value};

use super::{Document, Origin, parse_all, read_text};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::recipe::Recipe;

/// What a configuration was made of: a text, then options, which have no place, then changes by key.
///
/// ```
/// use residua_train::{Recipe, SettingError, SettingSource, TrainConfig};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("mine.toml");
/// # std::fs::write(&path, "epochs = 3\n\nbatch_size = 64\n").unwrap();
/// let recipe = Recipe::find(path.to_str().unwrap()).unwrap();
/// let config = recipe.apply(&TrainConfig::for_data("builtin".parse().unwrap())).unwrap();
/// let source = SettingSource::recipe(&recipe, &[]);
/// let error = SettingError::value("batch_size", 64, "fewer than there are images");
/// assert!(source.locate(error, &config).place().unwrap().ends_with("mine.toml:3:1"));
/// ```
#[derive(Debug, Clone)]
pub struct SettingSource<'a> {
    /// Its name in messages, and the text.
    text: Option<(String, String)>,
    changes: &'a [String],
}

impl<'a> SettingSource<'a> {
    /// Changes of the form `key=value` alone.
    pub fn changes(changes: &'a [String]) -> Self {
        Self {
            text: None,
            changes,
        }
    }

    /// A recipe, and changes.
    pub fn recipe(recipe: &Recipe, changes: &'a [String]) -> Self {
        Self {
            text: Some((recipe.place(), recipe.text.clone())),
            changes,
        }
    }

    /// A configuration file, and changes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn file(path: &Path, changes: &'a [String]) -> Result<Self, TrainError> {
        let name = path.display().to_string();
        Ok(Self {
            text: Some((name, read_text(path)?)),
            changes,
        })
    }

    /// The error of a setting of `config`, with the place that gave the setting its value, if one of these
    /// did. An error that has a place keeps it.
    pub fn locate(&self, error: SettingError, config: &TrainConfig) -> SettingError {
        if error.place().is_some() {
            return error;
        }
        let document = self.text.as_ref().and_then(|(name, text)| {
            let document = Document::read(Some(name), text).ok()?;
            let decides = document.offset(error.key()).is_some()
                && keeps(config, with_text(config, &document), error.key());
            decides.then_some(document)
        });
        let mut changes = parse_all(self.changes).unwrap_or_default();
        let changed = config.with_unchecked_changes(&changes).ok();
        if !keeps(config, changed, error.key()) {
            changes.clear();
        }
        let origin = Origin {
            document: document.as_ref(),
            changes: &changes,
        };
        origin.locate(error)
    }
}

/// A configuration with what a text says, in the form that it takes there: with defaults, and in the
/// precision of the setting.
fn with_text(config: &TrainConfig, document: &Document<'_>) -> Option<TrainConfig> {
    let mut table = Table::try_from(config).ok()?;
    let mut settings = document.table().clone();
    settings.remove("about");
    table.extend(settings);
    Value::Table(table).try_into().ok()
}

/// Whether a configuration has the value of a setting that it would have if something were said again.
fn keeps(config: &TrainConfig, said_again: Option<TrainConfig>, key: &[String]) -> bool {
    let table = |config: TrainConfig| {
        let absolute = config.clone().with_absolute_paths();
        Table::try_from(absolute.unwrap_or(config)).ok()
    };
    let (Some(own), Some(again)) = (table(config.clone()), said_again.and_then(table)) else {
        return false;
    };
    value_at(&own, key) == value_at(&again, key)
}

fn value_at<'t>(table: &'t Table, key: &[String]) -> Option<&'t Value> {
    let (first, rest) = key.split_first()?;
    let step = |value: &'t Value, part: &String| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part.as_str()),
    };
    rest.iter().try_fold(table.get(first)?, step)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use residua_data::DataSpec;

    use super::*;
    use crate::class_weights::ClassWeights;

    const TEXT: &str = "model = \"resnet20\"\n\n[class_weights]\nrule = \"given\"\n\n\
                        [class_weights.weights]\ncat = 2\nlynx = 0.1\n\n\
                        [distillation]\nteacher = \"t.safetensors\"\n";

    fn error(key: &[&str]) -> SettingError {
        let key = key.iter().map(|part| (*part).to_owned()).collect();
        SettingError::of_key(key, "is wrong")
    }

    /// The place of an error in a configuration that `TEXT`, then `options`, then `set` have made.
    fn place(key: &[&str], options: impl Fn(&mut TrainConfig), set: &[&str]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        fs::write(&path, TEXT).unwrap();
        let recipe = Recipe::find(path.to_str().unwrap()).unwrap();
        let config = TrainConfig::for_data(DataSpec::Builtin);
        let mut config = recipe.apply(&config).unwrap();
        options(&mut config);
        let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
        let config = config.with_changes(&set).unwrap();
        let config = config.with_absolute_paths().unwrap();
        let located = SettingSource::recipe(&recipe, &set).locate(error(key), &config);
        let place = located.place()?;
        let name = format!("{}:", path.display());
        Some(place.strip_prefix(&name).unwrap_or(place).to_owned())
    }

    #[test]
    fn what_the_text_says_has_its_place_there() {
        let cat = ["class_weights", "weights", "cat"];
        assert_eq!(place(&cat, |_| {}, &[]).unwrap(), "7:1");
        // 0.1 in the precision of the setting.
        let lynx = ["class_weights", "weights", "lynx"];
        assert_eq!(place(&lynx, |_| {}, &[]).unwrap(), "8:1");
        let teacher = ["distillation", "teacher"];
        assert_eq!(place(&teacher, |_| {}, &[]).unwrap(), "11:1");
        // A default of a section that is there.
        let share = ["distillation", "share"];
        assert_eq!(place(&share, |_| {}, &[]).unwrap(), "10:2");
    }

    #[test]
    fn what_an_option_says_has_no_place() {
        let cat = ["class_weights", "weights", "cat"];
        let equal = |config: &mut TrainConfig| config.class_weights = ClassWeights::Equal;
        assert_eq!(place(&cat, equal, &[]), None);
        let other = |config: &mut TrainConfig| config.model = "resnet8".to_owned();
        assert_eq!(place(&["model"], other, &[]), None);
        assert_eq!(place(&["model"], |_| {}, &[]).unwrap(), "1:1");
        assert_eq!(place(&["batch_size"], |_| {}, &[]), None);
    }

    #[test]
    fn what_a_change_says_has_that_for_its_place() {
        let cat = ["class_weights", "weights", "cat"];
        let change = "class_weights.weights.cat=3";
        assert_eq!(
            place(&cat, |_| {}, &[change]).unwrap(),
            format!("--set {change}")
        );
        // Of which something else has made another.
        let overridden = ["batch_size=7".to_owned()];
        let mut config = TrainConfig::for_data(DataSpec::Builtin);
        config = config.with_changes(&overridden).unwrap();
        let source = SettingSource::changes(&overridden);
        let located = source.locate(error(&["batch_size"]), &config);
        assert_eq!(located.place(), Some("--set batch_size=7"));
        config.batch_size = 8;
        let located = source.locate(error(&["batch_size"]), &config);
        assert_eq!(located.place(), None);
        let located = SettingSource::changes(&[]).locate(
            error(&cat).at("elsewhere"),
            &TrainConfig::for_data(DataSpec::Builtin),
        );
        assert_eq!(located.place(), Some("elsewhere"));
    }
}
