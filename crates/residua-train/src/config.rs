//! Every setting of a run, as it is saved in `config.toml`.

use std::io;
use std::path::{self, Path};

use residua_core::checkpointing::GradientCheckpointing;
use residua_core::precision::Precision;
use residua_core::preprocessing::{Preprocessing, ResizeRule};
use residua_core::setting::SettingError;
use residua_core::task::Task;
use residua_data::{Augmentation, DataSpec, Fold, Fraction, HoldOut, RandomCrop};
use residua_graph::catalog::{BuildOptions, CatalogError, VariationOptions};
use residua_graph::{Graph, Shape, StateEntry, catalog};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_weights::ClassWeights;
use crate::distillation::Distillation;
use crate::error::TrainError;
use crate::loss::LossConfig;
use crate::optimiser::OptimiserConfig;
use crate::parameter_groups::{ParameterGroup, ParameterPlan, StageRules};
use crate::progressive_resizing::{SmallerImages, stage_of};
use crate::sampling::Sampling;
use crate::schedule::ScheduleConfig;
use crate::settings::{
    self, Change, Document, Origin, choosing_kinds, configuration_schema, parse_all,
};
use crate::starting_weights::StartingWeights;
use crate::weight_average::WeightAverage;
use crate::whitening::StemRule;

mod checks;

pub(crate) use checks::check_batch_memory;

/// Every setting that decides what a run computes.
///
/// What only decides how fast it goes (threads, caches) is not part of it, so that a run may be
/// continued on another machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Form of this file: [`TrainConfig::SCHEMA`].
    #[schemars(extend("const" = Self::SCHEMA))]
    pub schema: String,
    /// Catalog name of the network.
    pub model: String,
    /// Where the images are.
    pub data: DataSpec,
    /// All randomness derives from it.
    pub seed: u64,
    /// Times that all training images are seen.
    pub epochs: u64,
    /// Images of one optimiser update.
    pub batch_size: usize,
    /// Pieces in which a batch is computed, one after the other, to save memory. Batch norm
    /// sees one piece at a time; everything else is as without.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Which training images an epoch shows.
    #[serde(default)]
    pub sampling: Sampling,
    /// How often a training image is shown in a row, each time augmented anew. An epoch is as long as
    /// without, so it shows the fewer images (Hoffer et al. 2019, "Augment your batch").
    #[serde(default = "one")]
    pub repeats: usize,
    /// The format of feature maps in training; evaluations are always in `f32`. Anything else
    /// is there on the CPU only.
    #[serde(default)]
    pub precision: Precision,
    /// Whether feature maps are computed a second time in the reverse pass rather than kept, on the CPU
    /// only.
    #[serde(default)]
    pub gradient_checkpointing: GradientCheckpointing,
    /// Gradients of a larger global norm are scaled down to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Training ends when the best validation is this many epochs old. Epochs of smaller images do not
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Updates between checkpoints, besides those at the end of each epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u64>,
    /// Share of the training images held out for validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_fraction: Option<f64>,
    /// The part of the training images held out in its place, `2/5` for the second of five: those of one
    /// seed are disjoint and together all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// Share of unreadable images that is tolerated.
    #[serde(default = "default_max_unreadable")]
    pub max_unreadable: f64,
    /// Where values come from before the first step; fresh ones unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<StartingWeights>,
    /// Where the values of the network's first layer come from, unless from a file.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stem: StemRule,
    /// In what the network differs from the published one.
    #[serde(default)]
    pub variations: VariationOptions,
    /// What is made small.
    pub loss: LossConfig,
    /// How much images of each class count in it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub class_weights: ClassWeights,
    /// A moving average of the weights, which takes their place in validation and in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_average: Option<WeightAverage>,
    /// Another network that teaches this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
    /// Which stages of the network learn, and how fast; all of them alike unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<StageRules>,
    /// Parameters that are treated in a way of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameter_groups: Vec<ParameterGroup>,
    /// How.
    pub optimiser: OptimiserConfig,
    /// The learning rate over time.
    pub schedule: ScheduleConfig,
    /// What is done to every image.
    pub preprocessing: Preprocessing,
    /// Epochs at the beginning that show smaller images, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub progressive_resizing: Vec<SmallerImages>,
    /// What is done to training images at random.
    pub augmentation: Augmentation,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> usize {
    1
}

fn default_max_unreadable() -> f64 {
    residua_data::DEFAULT_MAX_UNREADABLE
}

impl TrainConfig {
    /// The form that this version writes and reads.
    pub const SCHEMA: &'static str = "residua.config/1";

    /// Sensible settings for these data: about a minute of training on two cores for the
    /// builtin images, a one-cycle run with the usual augmentation for the others. Arrays of images
    /// (npz, IDX) are taken to be small, as CIFAR-10's are; files to be photographs. The loss is the one
    /// for what is asked about the images, so that a spreadsheet's first line is read, or the shape of
    /// the labels in an npz file.
    pub fn for_data(data: DataSpec) -> Self {
        let small = !matches!(data, DataSpec::Folder { .. } | DataSpec::Csv { .. });
        let builtin = data == DataSpec::Builtin;
        let loss = match data.task() {
            Task::SingleLabel => LossConfig::cross_entropy(),
            Task::MultiLabel => LossConfig::binary_cross_entropy(),
        };
        Self {
            schema: Self::SCHEMA.to_owned(),
            model: if small { "resnet20" } else { "resnet18" }.to_owned(),
            variations: VariationOptions::default(),
            data,
            seed: 0,
            weights: None,
            stem: StemRule::Random,
            epochs: if builtin { 15 } else { 30 },
            batch_size: if builtin || !small { 32 } else { 128 },
            accumulate: 1,
            sampling: Sampling::Shuffled,
            repeats: 1,
            precision: Precision::F32,
            gradient_checkpointing: GradientCheckpointing::Off,
            clip_norm: None,
            patience: None,
            checkpoint_every: None,
            validation_fraction: None,
            fold: None,
            max_unreadable: default_max_unreadable(),
            loss,
            class_weights: ClassWeights::Equal,
            weight_average: None,
            distillation: None,
            stages: None,
            parameter_groups: Vec::new(),
            optimiser: OptimiserConfig::sgd(if builtin || !small { 0.1 } else { 0.4 }),
            schedule: ScheduleConfig::one_cycle(),
            preprocessing: if small {
                Preprocessing::cifar10()
            } else {
                photographs(128)
            },
            progressive_resizing: Vec::new(),
            augmentation: if small {
                Augmentation::CIFAR
            } else {
                gentle_crops()
            },
        }
    }

    /// Reads a configuration from TOML text, with `changes` of the form `key=value`
    /// (`optimiser.learning_rate=0.2`) made in it, as [`TrainConfig::with_changes`] has it.
    ///
    /// # Errors
    /// [`TrainError::Setting`] with the first setting that cannot be used: its place, its key, what was
    /// expected and, where there is one, the nearest valid key.
    pub fn from_toml(text: &str, changes: &[String]) -> Result<Self, TrainError> {
        Self::from_document(&Document::read(None, text)?, changes)
    }

    /// Reads a configuration file; errors name it. Whether its values go together is not checked, since
    /// some may be changed before it is used: [`TrainConfig::validate`] says it.
    ///
    /// # Errors
    /// When it cannot be read, or has not the form of a configuration.
    pub fn from_file(path: &Path) -> Result<Self, TrainError> {
        let name = path.display().to_string();
        let text = settings::read_text(path)?;
        let document = Document::read(Some(&name), &text)?;
        if !document.table().contains_key("schema") {
            return Err(TrainError::Config(format!(
                "{name}: no configuration, as it has no key 'schema'; a file with some of the settings \
                 is a recipe (--recipe {name})"
            )));
        }
        let origin = Origin {
            document: Some(&document),
            changes: &[],
        };
        Ok(settings::interpret(document.table().clone(), origin)?)
    }

    /// Reads the text of a file with this name.
    pub(crate) fn from_text_of(name: &str, text: &str) -> Result<Self, TrainError> {
        Self::from_document(&Document::read(Some(name), text)?, &[])
    }

    fn from_document(document: &Document<'_>, changes: &[String]) -> Result<Self, TrainError> {
        let changes = parse_all(changes)?;
        let mut table = document.table().clone();
        settings::apply(&changes, configuration_schema(), &mut table);
        let origin = Origin {
            document: Some(document),
            changes: &changes,
        };
        Ok(settings::read(table, origin)?)
    }

    /// The configuration with `changes` of the form `key=value` made in it.
    ///
    /// A missing section begins with its defaults. A change that chooses the kind of a section
    /// (`optimiser.kind=adamw`) gives it the usual settings of that kind, its learning rate among them,
    /// and none of those before; all other changes come after it, wherever it stands among them.
    ///
    /// # Errors
    /// As [`TrainConfig::from_toml`]; the place is the change.
    pub fn with_changes(&self, changes: &[String]) -> Result<Self, TrainError> {
        self.changed(&parse_all(changes)?, settings::read)
    }

    /// The configuration with those of the changes that choose the kind of a section, and the others in
    /// such sections: what is changed by other means, before all changes are made, then meets the right
    /// kind. Whether the values go together is not checked.
    ///
    /// # Errors
    /// Where the result has not the form of a configuration; the place is the change.
    pub fn with_chosen_kinds(&self, changes: &[String]) -> Result<Self, TrainError> {
        let changes = choosing_kinds(&parse_all(changes)?, configuration_schema());
        self.changed(&changes, settings::interpret)
    }

    /// The same with changes of which the form alone is checked.
    pub(crate) fn with_unchecked_changes(&self, changes: &[Change]) -> Result<Self, TrainError> {
        self.changed(changes, settings::interpret)
    }

    fn changed(
        &self,
        changes: &[Change],
        read: impl FnOnce(toml::Table, Origin<'_>) -> Result<Self, SettingError>,
    ) -> Result<Self, TrainError> {
        let mut table = toml::Table::try_from(self)
            .map_err(|failure| TrainError::Config(failure.to_string()))?;
        settings::apply(changes, configuration_schema(), &mut table);
        let origin = Origin {
            document: None,
            changes,
        };
        Ok(read(table, origin)?)
    }

    /// The configuration as TOML text.
    ///
    /// # Errors
    /// When a value cannot be written as TOML (a seed above 2^63 − 1).
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string(self).map_err(|failure| TrainError::Config(failure.to_string()))
    }

    /// The same with paths that are good wherever the run is continued or evaluated from.
    ///
    /// # Errors
    /// When the current folder is not known, or a path is empty.
    pub fn with_absolute_paths(mut self) -> io::Result<Self> {
        self.data = self.data.absolute()?;
        let weights = self.weights.as_mut().map(|weights| &mut weights.file);
        let distillation = self.distillation.as_mut();
        let teacher = distillation.map(|distillation| &mut distillation.teacher);
        for path in [weights, teacher].into_iter().flatten() {
            *path = path::absolute(&path)?;
        }
        Ok(self)
    }

    /// The network for this number of classes.
    ///
    /// # Errors
    /// When the model is unknown or cannot take such images.
    pub fn graph(&self, classes: usize) -> Result<Graph, TrainError> {
        Ok(catalog::build(
            &self.model,
            &build_options(&self.preprocessing, classes, self.variations),
        )?)
    }

    /// What is done to every image of an epoch, counted from 0.
    pub fn preprocessing_in(&self, epoch: u64) -> Preprocessing {
        match stage_of(&self.progressive_resizing, epoch) {
            Some(stage) => self.progressive_resizing[stage].preprocessing(&self.preprocessing),
            None => self.preprocessing.clone(),
        }
    }

    /// The network for the smaller images of some epochs.
    ///
    /// # Errors
    /// Where it cannot take such images.
    pub(crate) fn smaller_graph(
        &self,
        stage: &SmallerImages,
        classes: usize,
    ) -> Result<Graph, CatalogError> {
        let preprocessing = stage.preprocessing(&self.preprocessing);
        let options = build_options(&preprocessing, classes, self.variations);
        catalog::build(&self.model, &options)
    }

    /// The part of the training images that is held out for validation, if any.
    ///
    /// # Errors
    /// Where a fraction is none, or a fold is named as well.
    pub fn hold_out(&self) -> Result<Option<HoldOut>, SettingError> {
        match (self.validation_fraction, self.fold) {
            (Some(fraction), Some(fold)) => Err(SettingError::new(
                "validation_fraction",
                format!(
                    "is {fraction} and fold is {fold}; expected one of them, since both say which images \
                     are held out"
                ),
            )),
            (Some(fraction), None) => match Fraction::new(fraction) {
                Ok(fraction) => Ok(Some(HoldOut::Fraction(fraction))),
                Err(_) => {
                    let expected = "a fraction between 0 and 1, such as 0.1";
                    Err(SettingError::value(
                        "validation_fraction",
                        fraction,
                        expected,
                    ))
                }
            },
            (None, fold) => Ok(fold.map(HoldOut::Fold)),
        }
    }

    /// How each entry of a network's state is treated.
    pub(crate) fn parameter_plan(
        &self,
        graph: &Graph,
        entries: &[StateEntry],
    ) -> Result<ParameterPlan, SettingError> {
        ParameterPlan::new(graph, entries, self.stages, &self.parameter_groups)
    }
}

/// A catalog network for images prepared like this.
pub(crate) fn build_options(
    preprocessing: &Preprocessing,
    classes: usize,
    variations: VariationOptions,
) -> BuildOptions {
    BuildOptions {
        classes: Some(classes),
        input: Some(Shape::map(
            preprocessing.height,
            preprocessing.width,
            preprocessing.channels(),
        )),
        variations,
    }
}

/// ImageNet's preprocessing for squares of this many pixels.
pub fn photographs(side: usize) -> Preprocessing {
    Preprocessing {
        height: side,
        width: side,
        resize: ResizeRule::CoverAndCrop {
            crop_fraction: 0.875,
        },
        ..Preprocessing::imagenet()
    }
}

/// Random crops that keep most of the photograph: a network that sees a few thousand images
/// for a few dozen epochs learns more from them than from ImageNet's 8 % crops.
fn gentle_crops() -> Augmentation {
    Augmentation {
        crop: RandomCrop::RandomResized {
            scale: [0.35, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
        },
        ..Augmentation::IMAGENET
    }
}

/// Data of every form, which need not be there.
#[cfg(test)]
pub(crate) const DATA_FORMS: [&str; 6] = [
    "builtin",
    "cifar10:somewhere",
    "folder:photos",
    "csv:labels.csv",
    "npz:bloodmnist.npz",
    "idx:mnist",
];

#[cfg(test)]
mod tests;
