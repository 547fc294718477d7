//! Every setting of a run, as it is saved in `config.toml`.

use residua_core::checkpointing::GradientCheckpointing;
use residua_core::precision::Precision;
use residua_core::preprocessing::{Preprocessing, ResizeRule};
use residua_core::suggest;
use residua_core::task::Task;
use residua_data::{Augmentation, DataSpec, Fold, Fraction, HoldOut, RandomCrop};
use residua_graph::catalog::{BuildOptions, VariationOptions};
use residua_graph::{Graph, Shape, StateEntry, catalog};
use serde::{Deserialize, Serialize};

use crate::class_weights::ClassWeights;
use crate::distillation::Distillation;
use crate::error::TrainError;
use crate::loss::LossConfig;
use crate::optimiser::OptimiserConfig;
use crate::parameter_groups::{ParameterGroup, ParameterPlan, StageRules};
use crate::sampling::{Sampling, check_showings};
use crate::schedule::ScheduleConfig;
use crate::starting_weights::StartingWeights;
use crate::weight_average::WeightAverage;
use crate::whitening::{self, StemRule};

/// Every setting that decides what a run computes.
///
/// What only decides how fast it goes (threads, caches) is not part of it, so that a run may be
/// continued on another machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Form of this file: [`TrainConfig::SCHEMA`].
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
    /// Training ends when the best validation is this many epochs old.
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
    /// What is done to training images at random.
    pub augmentation: Augmentation,
}

/// Far beyond what anybody trains; it keeps step counts within 64 bits.
const MOST_EPOCHS: u64 = 1_000_000;

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
    /// for what is asked about the images, so that a spreadsheet's first line is read.
    pub fn for_data(data: DataSpec) -> Self {
        let small = !matches!(data, DataSpec::Folder { .. } | DataSpec::Csv { .. });
        let builtin = data == DataSpec::Builtin;
        let label_smoothing = 0.0;
        let loss = match data.task() {
            Task::SingleLabel => LossConfig::CrossEntropy { label_smoothing },
            Task::MultiLabel => LossConfig::BinaryCrossEntropy { label_smoothing },
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
            augmentation: if small {
                Augmentation::CIFAR
            } else {
                gentle_crops()
            },
        }
    }

    /// Reads a configuration from TOML text, with `overrides` of the form `key=value`
    /// (`optimiser.learning_rate=0.2`) applied to it.
    ///
    /// # Errors
    /// [`TrainError::Config`] naming the key and, where there is one, the nearest valid key.
    pub fn from_toml(text: &str, overrides: &[String]) -> Result<Self, TrainError> {
        let malformed = |message: String| TrainError::Config(message);
        let mut table: toml::Table = text
            .parse()
            .map_err(|failure: toml::de::Error| malformed(failure.to_string()))?;
        for text in overrides {
            apply_override(&mut table, text).map_err(malformed)?;
        }
        let config = Self::deserialize(toml::Value::Table(table))
            .map_err(|failure| malformed(explain(failure.to_string().trim())))?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as TOML text.
    ///
    /// # Errors
    /// When a value cannot be written as TOML (a seed above 2^63 − 1).
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string(self).map_err(|failure| TrainError::Config(failure.to_string()))
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

    /// The part of the training images that is held out for validation, if any.
    ///
    /// # Errors
    /// [`TrainError::Config`] where a fraction is none, or a fold is named as well.
    pub fn hold_out(&self) -> Result<Option<HoldOut>, TrainError> {
        match (self.validation_fraction, self.fold) {
            (Some(fraction), Some(fold)) => Err(TrainError::Config(format!(
                "validation_fraction is {fraction} and fold is {fold}; expected one of them, since both \
                 say which images are held out"
            ))),
            (Some(fraction), None) => match Fraction::new(fraction) {
                Ok(fraction) => Ok(Some(HoldOut::Fraction(fraction))),
                Err(error) => Err(TrainError::Config(format!("validation_fraction: {error}"))),
            },
            (None, fold) => Ok(fold.map(HoldOut::Fold)),
        }
    }

    /// Says whether the values can be used.
    ///
    /// # Errors
    /// [`TrainError::Config`] naming the key, the value and what was expected.
    pub fn validate(&self) -> Result<(), TrainError> {
        let refuse = |message: String| Err(TrainError::Config(message));
        if self.schema != Self::SCHEMA {
            return refuse(format!(
                "schema is '{}'; this version reads '{}'",
                self.schema,
                Self::SCHEMA
            ));
        }
        catalog::find(&self.model)?;
        let counts = [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size as u64),
            ("accumulate", self.accumulate as u64),
            ("repeats", self.repeats as u64),
            ("checkpoint_every", self.checkpoint_every.unwrap_or(1)),
            ("patience", self.patience.unwrap_or(1)),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return refuse(format!("{key} is 0; expected at least 1"));
        }
        if self.epochs > MOST_EPOCHS {
            return refuse(format!(
                "epochs is {}; expected at most {MOST_EPOCHS}",
                self.epochs
            ));
        }
        let Preprocessing { height, width, .. } = self.preprocessing;
        let channels = self.preprocessing.channels();
        check_batch_memory(self.batch_size, [height, width, channels])?;
        if self.accumulate > self.batch_size {
            return refuse(format!(
                "accumulate is {}, more than the batch_size of {}; a batch cannot be computed \
                 in more pieces than it has images",
                self.accumulate, self.batch_size
            ));
        }
        self.optimiser.validate().map_err(TrainError::Config)?;
        if let Some(norm) = self.clip_norm
            && !(norm.is_finite() && norm > 0.0)
        {
            return refuse(format!("clip_norm is {norm}; expected a number above 0"));
        }
        self.loss.validate().map_err(TrainError::Config)?;
        self.class_weights.validate().map_err(TrainError::Config)?;
        check_showings(self).map_err(TrainError::Config)?;
        if let Some(average) = &self.weight_average {
            average.validate().map_err(TrainError::Config)?;
        }
        if let Some(distillation) = &self.distillation {
            distillation.validate().map_err(TrainError::Config)?;
        }
        if let Some(stages) = &self.stages {
            stages.validate().map_err(TrainError::Config)?;
        }
        for (number, group) in self.parameter_groups.iter().enumerate() {
            group.validate(number).map_err(TrainError::Config)?;
        }
        self.hold_out()?;
        if !(0.0..=1.0).contains(&self.max_unreadable) {
            return refuse("max_unreadable is not between 0 and 1".to_owned());
        }
        self.schedule.validate().map_err(TrainError::Config)?;
        self.preprocessing
            .validate()
            .map_err(|failure| TrainError::Config(failure.to_string()))?;
        self.check_shorter_side()?;
        self.augmentation
            .validate()
            .map_err(|failure| TrainError::Config(failure.to_string()))?;
        // Whether the network has these variations, stages and parameters and can take such images does
        // not depend on classes.
        let graph = self.graph(1)?;
        if self.stem == StemRule::Whitening {
            whitening::stem(&graph).map_err(TrainError::Config)?;
        }
        let entries: Vec<StateEntry> = residua_engine::state_entries(&graph).collect();
        self.parameter_plan(&graph, &entries).map(|_| ())
    }

    /// How each entry of a network's state is treated.
    pub(crate) fn parameter_plan(
        &self,
        graph: &Graph,
        entries: &[StateEntry],
    ) -> Result<ParameterPlan, TrainError> {
        ParameterPlan::new(graph, entries, self.stages, &self.parameter_groups)
    }

    /// Pictures must not be made smaller than what is then cut from them.
    fn check_shorter_side(&self) -> Result<(), TrainError> {
        let least = self.preprocessing.covered_side();
        match self.preprocessing.shorter_side {
            Some(pixels) if pixels < least => Err(TrainError::Config(format!(
                "preprocessing.shorter_side is {pixels}; expected at least {least}, to which pictures \
                 are scaled for this input (twice the input size leaves room for random crops)"
            ))),
            _ => Ok(()),
        }
    }
}

/// A batch that no machine holds is refused before it ends the process.
pub(crate) fn check_batch_memory(
    batch: usize,
    [height, width, channels]: [usize; 3],
) -> Result<(), TrainError> {
    /// 4 GiB of 32-bit values: for the images alone; the layers take many times as much.
    const MOST_VALUES: usize = 1 << 30;
    let values = [height, width, channels]
        .into_iter()
        .fold(batch, usize::saturating_mul);
    if values <= MOST_VALUES {
        return Ok(());
    }
    Err(TrainError::Config(format!(
        "a batch of {batch} images of {height}×{width} pixels does not fit into memory; \
         use a smaller batch_size or input size"
    )))
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

/// Sets `a.b=value` in a table. The value is TOML; a bare word is taken as a string.
fn apply_override(table: &mut toml::Table, text: &str) -> Result<(), String> {
    let Some((path, value)) = text.split_once('=') else {
        return Err(format!(
            "'{text}' is not an override; expected key=value, for instance \
             optimiser.learning_rate=0.2"
        ));
    };
    let (path, value) = (path.trim(), value.trim());
    let parsed = format!("value = {value}").parse::<toml::Table>();
    let value = match parsed.ok().and_then(|mut table| table.remove("value")) {
        Some(parsed) => parsed,
        None => toml::Value::String(value.to_owned()),
    };
    let mut at = table;
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        if keys.peek().is_none() {
            let value = match (at.get(key), value) {
                // `weight_decay=0` means the number 0.0 where a float is expected.
                (Some(toml::Value::Float(_)), toml::Value::Integer(whole)) => {
                    toml::Value::Float(whole as f64)
                }
                (_, value) => value,
            };
            at.insert(key.to_owned(), value);
            return Ok(());
        }
        let sections = table_names(at);
        let Some(toml::Value::Table(inner)) = at.get_mut(key) else {
            let near = suggest::closest(key, sections.iter().map(String::as_str));
            return Err(format!(
                "there is no section '{key}' in '{path}'{}",
                suggest::did_you_mean(&near)
            ));
        };
        at = inner;
    }
    Ok(())
}

fn table_names(table: &toml::Table) -> Vec<String> {
    let sections = table.iter().filter(|(_, value)| value.is_table());
    sections.map(|(key, _)| key.clone()).collect()
}

/// Adds the nearest valid name to serde's "unknown field `x`, expected one of `a`, `b`".
fn explain(message: &str) -> String {
    let message = &message.replace('\n', " ");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown");
    match quoted.next() {
        Some(name) if unknown => {
            let near = suggest::closest(name, quoted);
            format!("{message}{}", suggest::did_you_mean(&near))
        }
        _ => message.to_owned(),
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
mod tests {
    use super::*;

    fn builtin() -> String {
        TrainConfig::for_data(DataSpec::Builtin).to_toml().unwrap()
    }

    fn with(overrides: &[&str]) -> Result<TrainConfig, String> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        TrainConfig::from_toml(&builtin(), &overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn a_saved_configuration_reads_back() {
        for data in DATA_FORMS {
            let config = TrainConfig::for_data(data.parse().unwrap());
            let text = config.to_toml().unwrap();
            assert_eq!(TrainConfig::from_toml(&text, &[]).unwrap(), config);
        }
    }

    #[test]
    fn overrides_reach_every_level() {
        let config = with(&[
            "epochs=3",
            "optimiser.learning_rate = 0.25",
            "optimiser.weight_decay=0",
            "model=plain20",
            "clip_norm=1.0",
            "augmentation.crop={rule=\"none\"}",
        ])
        .unwrap();
        assert_eq!((config.epochs, config.clip_norm), (3, Some(1.0)));
        assert_eq!(config.optimiser.learning_rate(), 0.25);
        assert_eq!(config.model, "plain20");
        assert_eq!(config.augmentation.crop, RandomCrop::None);
    }

    #[test]
    fn a_precision_is_written_and_a_configuration_without_one_means_f32() {
        let text = builtin();
        assert!(text.contains("precision = \"f32\"\n"), "{text}");
        let older = text.replace("precision = \"f32\"\n", "");
        let read = TrainConfig::from_toml(&older, &[]).unwrap();
        assert_eq!(read.precision, Precision::F32);
        assert_eq!(
            with(&["precision=bf16"]).unwrap().precision,
            Precision::Bf16
        );
    }

    #[test]
    fn images_are_held_out_in_one_way() {
        let held_out = |overrides: &[&str]| with(overrides).unwrap().hold_out().unwrap();
        let tenth = Fraction::new(0.1).unwrap();
        assert_eq!(held_out(&[]), None);
        assert_eq!(
            held_out(&["validation_fraction=0.1"]),
            Some(HoldOut::Fraction(tenth))
        );
        let second = Fold::new(2, 5).unwrap();
        assert_eq!(held_out(&["fold=2/5"]), Some(HoldOut::Fold(second)));
        let config = with(&["fold=2/5"]).unwrap();
        let text = config.to_toml().unwrap();
        assert!(text.contains("fold = \"2/5\"\n"), "{text}");
        assert_eq!(TrainConfig::from_toml(&text, &[]).unwrap(), config);
        let message = with(&["fold=2/5", "validation_fraction=0.1"]).unwrap_err();
        assert_eq!(
            message,
            "validation_fraction is 0.1 and fold is 2/5; expected one of them, since both say which \
             images are held out"
        );
    }

    #[test]
    fn wrong_keys_are_answered_with_the_nearest() {
        let message = with(&["optimizer.learning_rate=1"]).unwrap_err();
        assert_eq!(
            message,
            "there is no section 'optimizer' in 'optimizer.learning_rate'; \
             did you mean 'optimiser'?"
        );
        let message = with(&["epoch=1"]).unwrap_err();
        assert!(message.ends_with("; did you mean 'epochs'?"), "{message}");
        let message = with(&["optimiser.momentum=abc"]).unwrap_err();
        assert!(message.contains("optimiser"), "{message}");
        let message = with(&["nonsense"]).unwrap_err();
        assert!(
            message.starts_with("'nonsense' is not an override"),
            "{message}"
        );
    }

    #[test]
    fn wrong_values_are_named() {
        let cases = [
            ("epochs=0", "epochs is 0; expected at least 1"),
            (
                "accumulate=100",
                "accumulate is 100, more than the batch_size of 32",
            ),
            (
                "optimiser.learning_rate=-1",
                "optimiser.learning_rate is -1; expected",
            ),
            (
                "loss.label_smoothing=1",
                "loss.label_smoothing is 1; expected 0 or more",
            ),
            (
                "model=resnet21",
                "there is no model named 'resnet21'; did you mean",
            ),
            (
                "schema=\"x\"",
                "schema is 'x'; this version reads 'residua.config/1'",
            ),
            (
                "clip_norm=-2.0",
                "clip_norm is -2; expected a number above 0",
            ),
            (
                "schedule.warmup_fraction=2.0",
                "schedule.warmup_fraction is 2; expected",
            ),
            ("data=nowhere", "\"nowhere\" names no data"),
            (
                "validation_fraction=1",
                "validation_fraction: expected a fraction between 0 and 1, such as 0.1, found 1",
            ),
            (
                "fold=6/5",
                "expected a fold such as 2/5, the second of five, found 6/5",
            ),
            ("precision=f16", "expected `f32` or `bf16`"),
            (
                "optimiser.momentum=5",
                "optimiser.momentum is 5; expected at least 0 and less than 1",
            ),
            (
                "optimiser.weight_decay=-5",
                "optimiser.weight_decay is -5; expected at least 0",
            ),
            (
                "optimiser.weight_decay=nan",
                "optimiser.weight_decay is NaN; expected",
            ),
            ("batch_size=1000000000", "does not fit into memory"),
            ("repeats=0", "repeats is 0; expected at least 1"),
            ("sampling=fair", "expected `shuffled` or `balanced`"),
            (
                "preprocessing.shorter_side=31",
                "preprocessing.shorter_side is 31; expected at least 32, to which",
            ),
            (
                "preprocessing.shorter_side=0",
                "the shorter side is 0 pixels; expected 1 to 65535",
            ),
            (
                "epochs=2000000",
                "epochs is 2000000; expected at most 1000000",
            ),
            (
                "preprocessing.resize.crop_fraction=1e-300",
                "expected 0.1 to 1",
            ),
        ];
        for (text, expected) in cases {
            let message = with(&[text]).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
