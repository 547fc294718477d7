//! The settings of a training as options.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use residua::data::{Augmentation, DataSpec, Erasing, Fold, Fraction, Mix, Policy};
use residua::train::{
    ClassWeights, Distillation, GradientCheckpointing, LossConfig, OptimiserConfig, Recipe,
    Sampling, ScheduleConfig, SettingSource, SmallerImages, TrainConfig, TrainError, WeightAverage,
};

use crate::Cli;
use crate::commands::device::PrecisionName;
use crate::commands::share;
use crate::environment;
use crate::failure::Failure;

/// Everything about a training but the network.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Images: builtin, cifar10:DIR, folder:DIR, csv:FILE, npz:FILE or idx:DIR [default: builtin]
    #[arg(long, value_name = "SPEC")]
    pub(crate) data: Option<DataSpec>,
    /// Settings by name (see `residua recipe list`), or from a file like those
    #[arg(long, value_name = "NAME|FILE.toml", conflicts_with = "config")]
    pub(crate) recipe: Option<String>,
    /// Start from this configuration (a run's config.toml, for instance)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Change any setting, optimiser.momentum=0.95 for instance (see config.toml of a run)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    settings: SettingArgs,
}

impl PlanArgs {
    /// Defaults for the data, with a recipe, or a file; and of the kinds that `--set` chooses, so that
    /// options say something about those. Whether the values go together is for [`Self::finish`] to say,
    /// when all are known.
    pub(crate) fn begin(&self) -> Result<TrainConfig, Failure> {
        let mut config = match &self.config {
            Some(path) => TrainConfig::from_file(path)?,
            None => TrainConfig::for_data(self.data.clone().unwrap_or(DataSpec::Builtin)),
        };
        if let Some(data) = &self.data {
            config.data = data.clone();
        }
        if let Some(name) = &self.recipe {
            let recipe = Recipe::find(name).map_err(|error| {
                let variable = environment::variable_of::<Cli>("recipe");
                from_environment(error.into(), variable)
            })?;
            let recipe = match &self.data {
                Some(data) => recipe.for_data(data),
                None => recipe,
            };
            config = recipe.apply_unchecked(&config)?;
        }
        Ok(config.with_chosen_kinds(&self.set)?)
    }

    /// The recipe, if there is one.
    pub(crate) fn recipe(&self) -> Result<Option<Recipe>, Failure> {
        Ok(self.recipe.as_deref().map(Recipe::find).transpose()?)
    }

    /// The options and `--set` on top of that.
    pub(crate) fn finish(&self, mut config: TrainConfig) -> Result<TrainConfig, Failure> {
        self.settings.apply(&mut config)?;
        let changed = config.with_changes(&self.set);
        let config = changed.map_err(|error| self.failure(error, &config))?;
        config.with_absolute_paths().map_err(Failure::failed)
    }

    /// The failure of a training with this configuration: a wrong setting has its place in the recipe or
    /// the file that gave it its value. One that has no place comes from an option, or from a variable in
    /// its stead.
    pub(crate) fn failure(&self, error: TrainError, config: &TrainConfig) -> Failure {
        let TrainError::Setting(setting) = error else {
            return error.into();
        };
        let setting = match self.source() {
            Ok(source) => source.locate(setting, config),
            Err(_) => setting,
        };
        let variables = match setting.place() {
            Some(_) => Vec::new(),
            None => environment::variables_of_settings::<Cli>(),
        };
        // Which of them gave this setting its value is not known.
        let mut failure = Failure::from(TrainError::Setting(setting));
        if !variables.is_empty() {
            failure.message += &format!(" (set in the environment: {})", variables.join(", "));
        }
        failure
    }

    /// What settings come from but for options.
    fn source(&self) -> Result<SettingSource<'_>, TrainError> {
        match (&self.recipe, &self.config) {
            (Some(name), _) => Ok(SettingSource::recipe(&Recipe::find(name)?, &self.set)),
            (None, Some(path)) => SettingSource::file(path, &self.set),
            (None, None) => Ok(SettingSource::changes(&self.set)),
        }
    }
}

/// The failure of an option, with the variable that gave it its value, if one did.
pub(super) fn from_environment(mut failure: Failure, variable: Option<String>) -> Failure {
    if let Some(variable) = variable {
        failure.message += &format!(" (from the environment: {variable})");
    }
    failure
}

/// The settings that people change most.
#[derive(Debug, Args)]
#[group(id = "settings", multiple = true)]
pub(crate) struct SettingArgs {
    /// Times that all training images are seen [default: 15 for builtin, otherwise 30]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Images of one optimiser update [default: 128 for cifar10, otherwise 32]
    #[arg(long, alias = "batch", value_name = "N")]
    batch_size: Option<u32>,
    /// Compute each batch in this many pieces, to save memory
    #[arg(long, value_name = "N")]
    accumulate: Option<u32>,
    /// Format of feature maps in training; bf16 takes half the memory, on the CPU [default: f32]
    #[arg(long, value_enum)]
    precision: Option<PrecisionName>,
    /// Compute feature maps a second time in the reverse pass rather than keep them all: a third more
    /// work, a fraction of the memory, on the CPU
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Peak learning rate [default: 0.4 for cifar10, otherwise 0.1; with --optimiser adamw 0.001, lamb
    /// 0.005, rms-prop 0.01, muon 0.02]
    #[arg(
        long,
        visible_alias = "learning-rate",
        value_name = "RATE",
        allow_negative_numbers = true
    )]
    lr: Option<f64>,
    /// Weight decay
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Optimiser [default: sgd]
    #[arg(long, alias = "optimizer", value_enum)]
    optimiser: Option<OptimiserName>,
    /// Learning rate over time [default: one-cycle]
    #[arg(long, value_enum)]
    schedule: Option<ScheduleName>,
    /// Loss [default: cross-entropy; binary-cross-entropy where images show any number of classes]
    #[arg(long, value_enum)]
    loss: Option<LossName>,
    /// Probability spread over all classes (not with the squared error, nor where images show any number of
    /// classes)
    #[arg(long, value_name = "X")]
    label_smoothing: Option<f32>,
    /// How much images of each class count
    #[arg(long, value_enum)]
    class_weights: Option<ClassWeightsName>,
    /// Which training images an epoch shows [default: shuffled]
    #[arg(long, value_enum)]
    sampling: Option<SamplingName>,
    /// Show each training image so often in a row, augmented anew each time; an epoch is as long as
    /// without and shows the fewer images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: Option<u32>,
    /// Keep a moving average of the weights with this decay, 0.999 for instance, and use that
    #[arg(long, value_name = "DECAY")]
    weight_average: Option<f64>,
    /// End when the best validation is this many epochs old
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u64).range(1..))]
    patience: Option<u64>,
    /// Also learn from this network, a run or a weight file (Hinton et al. 2015)
    #[arg(long, value_name = "RUN|FILE")]
    teacher: Option<PathBuf>,
    /// Name of the teacher in the catalog, where its weight file does not say it
    #[arg(long, value_name = "NAME", requires = "teacher")]
    teacher_model: Option<String>,
    /// Leave so many stages of the network, counted from the image, as they are
    #[arg(long, value_name = "N")]
    freeze_stages: Option<usize>,
    /// Learning rate of a stage as a share of that of the next one, 0.4 for instance
    #[arg(long, value_name = "SHARE")]
    stage_rate_decay: Option<f64>,
    /// Train the last layer alone at first, and one stage more whenever so many epochs are over
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u64).range(1..))]
    unfreeze_every: Option<u64>,
    /// Scale gradients of a larger global norm down to this
    #[arg(long, value_name = "NORM")]
    clip_norm: Option<f64>,
    /// Random crops and flips of training images
    #[arg(long, value_enum)]
    augment: Option<AugmentName>,
    /// Random changes of the pixels of training images
    #[arg(long, value_enum, value_name = "NAME")]
    policy: Option<PolicyName>,
    /// Mix pairs of training images; the parameter of Zhang et al. 2017, 0.2 for instance
    #[arg(long, value_name = "ALPHA")]
    mixup: Option<f64>,
    /// Paste a rectangle of another training image; the parameter of Yun et al. 2019, 1 for instance
    #[arg(long, value_name = "ALPHA")]
    cutmix: Option<f64>,
    /// Cover a square of so many pixels (DeVries and Taylor 2017), 8 or 16 for instance
    #[arg(long, value_name = "PIXELS")]
    cutout: Option<usize>,
    /// Height and width to which images are brought
    #[arg(long, value_name = "PIXELS")]
    input_size: Option<usize>,
    /// First reduce pictures whose shorter side is longer to this; twice the input size leaves room for
    /// crops
    #[arg(long, value_name = "PIXELS")]
    shorter_side: Option<usize>,
    /// Train on the brightness alone, one channel in place of three colours
    #[arg(long)]
    grey: bool,
    /// Share of the training images to hold out for validation
    #[arg(long, value_name = "SHARE")]
    val_fraction: Option<Fraction>,
    /// The part of the training images to hold out in its place, 2/5 for the second of five
    #[arg(long, value_name = "K/N", conflicts_with = "val_fraction")]
    fold: Option<Fold>,
    /// Share of unreadable images that is tolerated [default: 0.05]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_unreadable: Option<f64>,
    /// Steps between checkpoints, besides those at the end of each epoch
    #[arg(long, value_name = "STEPS")]
    checkpoint_every: Option<u32>,
    /// All randomness derives from it; the same seed gives the same bits [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OptimiserName {
    /// Stochastic gradient descent with Nesterov momentum
    Sgd,
    /// Adam with decoupled weight decay
    Adamw,
    /// Adam with steps in proportion to the parameters, for big batches (You et al. 2019)
    Lamb,
    /// Steps divided by the root of the mean squared gradient (Tieleman and Hinton 2012)
    #[value(alias = "rmsprop")]
    RmsProp,
    /// Orthogonal steps for convolutions (Jordan et al. 2024), AdamW for the rest
    Muon,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScheduleName {
    /// Up and down once
    OneCycle,
    /// Warm-up for a twentieth of the run, then half a cosine
    Cosine,
    /// Divided by 10 at 1/2 and 3/4 of the run (He et al. 2015)
    MultiStep,
    /// The same throughout
    Constant,
    /// Divided by 10 whenever validation has not improved for 5 epochs
    Plateau,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClassWeightsName {
    /// All the same
    Equal,
    /// The less, the more images a class has
    Balanced,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SamplingName {
    /// Each once
    Shuffled,
    /// Every class as often as any other: those of rare classes several times
    Balanced,
}

impl From<SamplingName> for Sampling {
    fn from(name: SamplingName) -> Self {
        match name {
            SamplingName::Shuffled => Self::Shuffled,
            SamplingName::Balanced => Self::Balanced,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LossName {
    /// Cross entropy of the softmax
    CrossEntropy,
    /// Cross entropy that counts less where the network is sure (Lin et al. 2017)
    Focal,
    /// A yes or no for each class, by the sigmoid (Wightman et al. 2021)
    BinaryCrossEntropy,
    /// Squared error on one-hot targets
    #[value(alias = "mean-squared-error")]
    Mse,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AugmentName {
    /// Pad by 4 pixels, crop at random, flip
    Cifar,
    /// Random resized crops, flip
    Imagenet,
    /// Nothing
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PolicyName {
    /// Two operations of medium strength (Cubuk et al. 2019)
    RandAugment,
    /// One operation of any strength (Müller and Hutter 2021)
    TrivialAugmentWide,
    /// The policies found for CIFAR-10 (Cubuk et al. 2018)
    AutoAugmentCifar,
    /// Nothing
    None,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::RandAugment => Self::rand_augment(),
            PolicyName::TrivialAugmentWide => Self::TrivialAugmentWide,
            PolicyName::AutoAugmentCifar => Self::AutoAugmentCifar,
            PolicyName::None => Self::None,
        }
    }
}

impl SettingArgs {
    fn apply(&self, config: &mut TrainConfig) -> Result<(), Failure> {
        if let Some(epochs) = self.epochs.map(u64::from) {
            let factor = epochs as f64 / config.epochs.max(1) as f64;
            config.schedule = config.schedule.clone().stretched(factor);
            config.stages = config.stages.map(|rules| rules.stretched(factor));
            let stages = &config.progressive_resizing;
            config.progressive_resizing = SmallerImages::stretched(stages, factor, epochs);
            config.epochs = epochs;
        }
        set(
            &mut config.batch_size,
            self.batch_size.map(|size| size as usize),
        );
        set(
            &mut config.accumulate,
            self.accumulate.map(|pieces| pieces as usize),
        );
        set(&mut config.precision, self.precision.map(Into::into));
        if self.gradient_checkpointing {
            config.gradient_checkpointing = GradientCheckpointing::On;
        }
        set(&mut config.max_unreadable, self.max_unreadable);
        set(&mut config.seed, self.seed);
        set_some(&mut config.clip_norm, self.clip_norm);
        set_some(&mut config.patience, self.patience);
        let average = self.weight_average.map(|decay| WeightAverage { decay });
        set_some(&mut config.weight_average, average);
        let class_weights = self.class_weights.map(|name| match name {
            ClassWeightsName::Equal => ClassWeights::Equal,
            ClassWeightsName::Balanced => ClassWeights::Balanced,
        });
        set(&mut config.class_weights, class_weights);
        set(&mut config.sampling, self.sampling.map(Into::into));
        set(
            &mut config.repeats,
            self.repeats.map(|repeats| repeats as usize),
        );
        // Either takes the place of the other in what the options change.
        if self.val_fraction.is_some() || self.fold.is_some() {
            config.validation_fraction = self.val_fraction.map(Fraction::get);
            config.fold = self.fold;
        }
        set_some(
            &mut config.checkpoint_every,
            self.checkpoint_every.map(u64::from),
        );
        if let Some(side) = self.input_size {
            config.preprocessing.height = side;
            config.preprocessing.width = side;
        }
        set_some(&mut config.preprocessing.shorter_side, self.shorter_side);
        if self.grey {
            config.preprocessing.normalisation = config.preprocessing.normalisation.grey();
        }
        if let Some(name) = self.augment {
            config.augmentation = match name {
                AugmentName::Cifar => Augmentation::CIFAR,
                AugmentName::Imagenet => Augmentation::IMAGENET,
                AugmentName::None => Augmentation::NONE,
            };
        }
        self.apply_augmentation(&mut config.augmentation);
        self.apply_optimiser(config);
        self.apply_transfer(config);
        if let Some(name) = self.schedule {
            config.schedule = schedule(name, config.epochs);
        }
        self.apply_loss(config)
    }

    /// What is added to crops and flips.
    fn apply_augmentation(&self, augmentation: &mut Augmentation) {
        set(&mut augmentation.policy, self.policy.map(Policy::from));
        let cutout = self.cutout.map(|size| Erasing::Cutout { size });
        set(&mut augmentation.erasing, cutout);
        if self.mixup.is_some() || self.cutmix.is_some() {
            let mix = augmentation.mix.unwrap_or_default();
            augmentation.mix = Some(Mix {
                mixup_alpha: self.mixup.unwrap_or(mix.mixup_alpha),
                cutmix_alpha: self.cutmix.unwrap_or(mix.cutmix_alpha),
                ..mix
            });
        }
    }

    fn apply_optimiser(&self, config: &mut TrainConfig) {
        if let Some(name) = self.optimiser {
            config.optimiser = match name {
                OptimiserName::Sgd => OptimiserConfig::sgd(0.1),
                OptimiserName::Adamw => OptimiserConfig::adam_w(1e-3),
                OptimiserName::Lamb => OptimiserConfig::lamb(5e-3),
                OptimiserName::RmsProp => OptimiserConfig::rms_prop(0.01),
                OptimiserName::Muon => OptimiserConfig::muon(0.02),
            };
        }
        if let Some(rate) = self.lr {
            config.optimiser = config.optimiser.with_learning_rate(rate);
        }
        if let Some(decay) = self.weight_decay {
            config.optimiser = config.optimiser.with_weight_decay(decay);
        }
    }

    /// What is taken from other networks, and how the network's parts learn.
    fn apply_transfer(&self, config: &mut TrainConfig) {
        let rules = [
            self.freeze_stages.is_some(),
            self.stage_rate_decay.is_some(),
            self.unfreeze_every.is_some(),
        ];
        if rules.contains(&true) {
            let stages = config.stages.get_or_insert_default();
            set(&mut stages.frozen, self.freeze_stages);
            set(&mut stages.rate_decay, self.stage_rate_decay);
            set_some(&mut stages.unfreeze_every, self.unfreeze_every);
        }
        if let Some(teacher) = &self.teacher {
            let former = config.distillation.take();
            config.distillation = Some(Distillation {
                teacher: teacher.clone(),
                model: self.teacher_model.clone(),
                ..former.unwrap_or_else(|| Distillation::by(teacher.clone()))
            });
        }
    }

    fn apply_loss(&self, config: &mut TrainConfig) -> Result<(), Failure> {
        let plain = self.loss.map(|name| match name {
            LossName::CrossEntropy => LossConfig::cross_entropy(),
            LossName::Focal => LossConfig::focal(),
            LossName::BinaryCrossEntropy => LossConfig::binary_cross_entropy(),
            LossName::Mse => LossConfig::MeanSquaredError,
        });
        set(&mut config.loss, plain);
        let Some(share) = self.label_smoothing else {
            return Ok(());
        };
        config.loss = { config.loss }
            .with_label_smoothing(share)
            .map_err(|_| Failure::usage("--label-smoothing does not go with the squared error"))?;
        Ok(())
    }
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn set_some<T>(setting: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *setting = value;
    }
}

fn schedule(name: ScheduleName, epochs: u64) -> ScheduleConfig {
    let epochs = epochs as f64;
    match name {
        ScheduleName::OneCycle => ScheduleConfig::one_cycle(),
        ScheduleName::Cosine => ScheduleConfig::Cosine {
            warmup_epochs: epochs / 20.0,
        },
        ScheduleName::MultiStep => ScheduleConfig::MultiStep {
            milestone_epochs: vec![epochs / 2.0, epochs * 3.0 / 4.0],
            factor: 0.1,
            warmup_epochs: 0.0,
        },
        ScheduleName::Constant => ScheduleConfig::Constant,
        ScheduleName::Plateau => ScheduleConfig::plateau(),
    }
}
