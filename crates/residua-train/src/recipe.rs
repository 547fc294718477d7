//! Settings by name: what a publication or long experience found to work.

use std::path::Path;

use residua_core::setting::SettingError;
use residua_core::suggest;
use residua_data::DataSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::settings::{self, Document, Origin, problems, read_text, recipe_schema};

/// The files of `recipes/`, by name.
const FILES: [(&str, &str); 12] = [
    ("quick", include_str!("../recipes/quick.toml")),
    (
        "onecycle-cifar",
        include_str!("../recipes/onecycle-cifar.toml"),
    ),
    ("muon-cifar", include_str!("../recipes/muon-cifar.toml")),
    ("he2015-cifar", include_str!("../recipes/he2015-cifar.toml")),
    (
        "he2015-cifar-110",
        include_str!("../recipes/he2015-cifar-110.toml"),
    ),
    ("wrn-cifar", include_str!("../recipes/wrn-cifar.toml")),
    (
        "densenet-cifar",
        include_str!("../recipes/densenet-cifar.toml"),
    ),
    ("finetune", include_str!("../recipes/finetune.toml")),
    ("imagenet-a1", include_str!("../recipes/imagenet-a1.toml")),
    ("imagenet-a2", include_str!("../recipes/imagenet-a2.toml")),
    ("imagenet-a3", include_str!("../recipes/imagenet-a3.toml")),
    ("speedrun-94", include_str!("../recipes/speedrun-94.toml")),
];

/// Some settings of a run, and what they are good for. The data are the user's choice, and so is the
/// network, unless a recipe is made for one.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// How it is called.
    pub name: String,
    /// What it is good for.
    pub about: RecipeAbout,
    /// The file that says all this.
    pub text: String,
    settings: toml::Table,
}

/// What a recipe is good for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecipeAbout {
    /// In a line.
    pub purpose: String,
    /// The data it is meant for.
    pub data: String,
    /// What it must reach.
    pub reaches: String,
    /// Where the settings come from.
    pub source: String,
}

impl Recipe {
    /// All recipes.
    ///
    /// # Errors
    /// When a file of the program is not a recipe.
    pub fn all() -> Result<Vec<Self>, TrainError> {
        FILES.iter().map(|(name, text)| parse(name, text)).collect()
    }

    /// The recipe of that name, or the one in a file whose name ends with `.toml`.
    ///
    /// # Errors
    /// When there is none; the message has the nearest name, or the place in the file.
    pub fn find(name: &str) -> Result<Self, TrainError> {
        if is_file(name) {
            return parse(name, &read_text(Path::new(name))?);
        }
        match FILES.iter().find(|(known, _)| *known == name) {
            Some((known, text)) => parse(known, text),
            None => {
                let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
                let near = suggest::closest(name, names.iter().copied());
                Err(TrainError::Config(format!(
                    "there is no recipe named '{name}'{}; there are: {}",
                    suggest::did_you_mean(&near),
                    names.join(", ")
                )))
            }
        }
    }

    /// Whether the recipe is made for one network, which it names.
    pub fn names_network(&self) -> bool {
        self.settings.contains_key("model")
    }

    /// Whether the recipe says how images are prepared.
    pub fn prepares_images(&self) -> bool {
        self.settings.contains_key("preprocessing")
    }

    /// The same recipe with these data in place of those that it names, if it names any.
    pub fn for_data(mut self, data: &DataSpec) -> Self {
        let data = data.to_string();
        self.settings.insert("data".to_owned(), data.into());
        self
    }

    /// The configuration with the recipe's settings. A section replaces the section of that name, so
    /// that what a recipe says is all that counts.
    ///
    /// # Errors
    /// When the result is not a configuration.
    pub fn apply(&self, config: &TrainConfig) -> Result<TrainConfig, TrainError> {
        self.combine(config, settings::read)
    }

    /// The same for whoever changes some settings before the configuration is used: whether their values
    /// go together is for [`TrainConfig::validate`] to say then.
    ///
    /// # Errors
    /// When the result has not the form of a configuration.
    pub fn apply_unchecked(&self, config: &TrainConfig) -> Result<TrainConfig, TrainError> {
        self.combine(config, settings::interpret)
    }

    fn combine(
        &self,
        config: &TrainConfig,
        read: impl FnOnce(toml::Table, Origin<'_>) -> Result<TrainConfig, SettingError>,
    ) -> Result<TrainConfig, TrainError> {
        let mut table = toml::Table::try_from(config)
            .map_err(|failure| TrainError::Config(failure.to_string()))?;
        table.extend(self.settings.clone());
        let place = self.place();
        let document = Document::read(Some(&place), &self.text)?;
        let origin = Origin {
            document: Some(&document),
            changes: &[],
        };
        Ok(read(table, origin)?)
    }

    /// What it is called in messages.
    pub(crate) fn place(&self) -> String {
        place(&self.name)
    }
}

/// What a recipe is called in messages.
fn place(name: &str) -> String {
    match is_file(name) {
        true => name.to_owned(),
        false => format!("recipe {name}"),
    }
}

fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "toml")
}

fn parse(name: &str, text: &str) -> Result<Recipe, TrainError> {
    let place = place(name);
    let document = Document::read(Some(&place), text)?;
    let mut settings = document.table().clone();
    let origin = Origin {
        document: Some(&document),
        changes: &[],
    };
    if let Some(first) = origin.first(problems(recipe_schema(), &settings)) {
        return Err(first.into());
    }
    let about = settings
        .remove("about")
        .unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
    let about = RecipeAbout::deserialize(about).map_err(|failure| {
        let problem = format!("cannot be used: {}", failure.message());
        origin.locate(SettingError::new("about", problem))
    })?;
    Ok(Recipe {
        name: name.to_owned(),
        about,
        text: text.to_owned(),
        settings,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::DATA_FORMS;
    use crate::schedule::ScheduleConfig;

    #[test]
    fn every_recipe_makes_a_configuration() {
        for recipe in Recipe::all().unwrap() {
            for data in DATA_FORMS {
                let data: DataSpec = data.parse().unwrap();
                let config = recipe.apply(&TrainConfig::for_data(data.clone())).unwrap();
                assert_eq!(config.data, data);
                assert!(!recipe.about.reaches.is_empty());
            }
        }
    }

    #[test]
    fn a_section_replaces_the_whole_section() {
        let config = TrainConfig::for_data(DataSpec::Builtin);
        let recipe = Recipe::find("he2015-cifar").unwrap();
        let config = recipe.apply(&config).unwrap();
        assert_eq!((config.epochs, config.batch_size), (164, 128));
        let expected = ScheduleConfig::MultiStep {
            milestone_epochs: vec![41.0, 61.5],
            factor: 0.1,
            warmup_epochs: 0.0,
        };
        assert_eq!(config.schedule.stretched(0.5), expected);
    }

    #[test]
    fn a_file_is_a_recipe_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let name = path.to_str().unwrap();
        fs::write(&path, "epochs = 3\n").unwrap();
        let recipe = Recipe::find(name).unwrap();
        let config = TrainConfig::for_data(DataSpec::Builtin);
        assert_eq!(recipe.apply(&config).unwrap().epochs, 3);
        fs::write(&path, "epochs = 3\nbatch_sise = 4\n").unwrap();
        let message = Recipe::find(name).unwrap_err().to_string();
        let expected = format!(
            "{name}:2:1: batch_sise is not a setting; did you mean 'batch_size'? There are: "
        );
        assert!(message.starts_with(&expected), "{message}");
        fs::write(&path, "epochs =\n").unwrap();
        let message = Recipe::find(name).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{name}:1:")), "{message}");
        // A value that only the whole shows to be wrong.
        fs::write(
            &path,
            "\n[loss]\nkind = \"cross-entropy\"\nlabel_smoothing = 1\n",
        )
        .unwrap();
        let recipe = Recipe::find(name).unwrap();
        let message = recipe.apply(&config).unwrap_err().to_string();
        let expected = format!("{name}:4:1: loss.label_smoothing is 1; expected 0 or more");
        assert!(message.starts_with(&expected), "{message}");
        let message = Recipe::find("absent.toml").unwrap_err().to_string();
        assert!(message.contains("absent.toml: "), "{message}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let message = Recipe::find("onecycle").unwrap_err().to_string();
        assert!(
            message.starts_with("there is no recipe named 'onecycle'"),
            "{message}"
        );
        assert!(message.contains("he2015-cifar"), "{message}");
    }
}
