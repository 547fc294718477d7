//! Whether the values of a configuration go together.

use residua_core::preprocessing::Preprocessing;
use residua_core::setting::SettingError;
use residua_data::Erasing;
use residua_graph::StateEntry;
use residua_graph::catalog::{self, CatalogError};

use super::{TrainConfig, build_options};
use crate::error::TrainError;
use crate::progressive_resizing::{SmallerImages, check_network, check_stages};
use crate::sampling::check_showings;
use crate::whitening::{self, StemRule};

/// Far beyond what anybody trains; it keeps step counts within 64 bits.
const MOST_EPOCHS: u64 = 1_000_000;

impl TrainConfig {
    /// Says whether the values can be used.
    ///
    /// # Errors
    /// With the key, the value and what was expected.
    pub fn validate(&self) -> Result<(), SettingError> {
        if self.schema != Self::SCHEMA {
            let problem = format!(
                "is '{}'; this version reads '{}'",
                self.schema,
                Self::SCHEMA
            );
            return Err(SettingError::new("schema", problem));
        }
        catalog::find(&self.model).map_err(|failure| self.network_setting(failure))?;
        self.validate_counts()?;
        let within = |section| move |error: SettingError| error.within(section);
        self.optimiser.validate().map_err(within("optimiser"))?;
        if let Some(norm) = self.clip_norm
            && !(norm.is_finite() && norm > 0.0)
        {
            return Err(SettingError::value("clip_norm", norm, "a number above 0"));
        }
        self.loss.validate().map_err(within("loss"))?;
        self.loss
            .check_task(self.data.task())
            .map_err(within("loss"))?;
        self.class_weights
            .validate()
            .map_err(within("class_weights"))?;
        if let Some(average) = &self.weight_average {
            average.validate().map_err(within("weight_average"))?;
        }
        if let Some(distillation) = &self.distillation {
            distillation
                .validate(self.data.task())
                .map_err(within("distillation"))?;
        }
        if let Some(weights) = &self.weights {
            weights.validate().map_err(within("weights"))?;
        }
        if let Some(stages) = &self.stages {
            stages.validate().map_err(within("stages"))?;
        }
        for (number, group) in self.parameter_groups.iter().enumerate() {
            let within = |error: SettingError| error.within(&number.to_string());
            let validity = group.validate().map_err(within);
            validity.map_err(|error| error.within("parameter_groups"))?;
        }
        self.hold_out()?;
        if !(0.0..=1.0).contains(&self.max_unreadable) {
            let value = self.max_unreadable;
            return Err(SettingError::value("max_unreadable", value, "0 to 1"));
        }
        self.schedule.validate().map_err(within("schedule"))?;
        self.preprocessing
            .validate()
            .map_err(within("preprocessing"))?;
        self.check_shorter_side().map_err(within("preprocessing"))?;
        self.augmentation
            .validate()
            .map_err(within("augmentation"))?;
        self.check_cutout().map_err(within("augmentation"))?;
        check_showings(self)?;
        check_stages(self)?;
        let Preprocessing { height, width, .. } = self.preprocessing;
        let channels = self.preprocessing.channels();
        check_batch_memory(self.batch_size, [height, width, channels]).map_err(|failure| {
            SettingError::new("batch_size", format!("cannot be used: {failure}"))
        })?;
        self.validate_network()
    }

    /// Whether there is something to begin with, as far as that can be said without data.
    ///
    /// # Errors
    /// Where stages are frozen that begin with random values.
    pub fn check_start(&self) -> Result<(), SettingError> {
        match (&self.weights, &self.stages) {
            (None, Some(stages)) => stages.check_fresh().map_err(|error| error.within("stages")),
            _ => Ok(()),
        }
    }

    /// Whether the network has these variations, stages and parameters and can take such images; that
    /// does not depend on classes.
    fn validate_network(&self) -> Result<(), SettingError> {
        let options = build_options(&self.preprocessing, 1, self.variations);
        let graph = catalog::build(&self.model, &options)
            .map_err(|failure| self.network_setting(failure))?;
        if self.stem == StemRule::Whitening {
            whitening::stem(&graph)?;
        }
        let smaller = |stage: &SmallerImages| self.smaller_graph(stage, 1);
        check_network(&self.progressive_resizing, &graph, smaller)?;
        let entries: Vec<StateEntry> = residua_engine::state_entries(&graph).collect();
        let plan = self.parameter_plan(&graph, &entries)?;
        plan.check_epochs(&entries, self.epochs)
    }

    /// Which setting it is that the catalog refuses.
    fn network_setting(&self, failure: CatalogError) -> SettingError {
        let problem = format!("cannot be used: {failure}");
        match &failure {
            CatalogError::Variation { source, .. } => {
                SettingError::new(source.variation(), problem).within("variations")
            }
            CatalogError::Build { .. } => match self.unfit_variation() {
                Some(variation) => SettingError::new(variation, problem).within("variations"),
                // Nobody has asked for images of another size than the data have by default.
                None if self.preprocessing == Self::for_data(self.data.clone()).preprocessing => {
                    SettingError::new("model", problem)
                }
                None => SettingError::new("preprocessing", problem),
            },
            _ => SettingError::new("model", problem),
        }
    }

    /// The variation without which a network that cannot be built can be.
    fn unfit_variation(&self) -> Option<String> {
        let variations = toml::Table::try_from(self.variations).ok()?;
        let without = |name: &str| {
            let mut others = variations.clone();
            others.remove(name);
            others.try_into().ok()
        };
        let can_be_built = |variations| {
            let options = build_options(&self.preprocessing, 1, variations);
            catalog::build(&self.model, &options).is_ok()
        };
        let mut names = variations.keys();
        names
            .find(|name| without(name).is_some_and(can_be_built))
            .cloned()
    }

    /// Pictures must not be made smaller than what is then cut from them.
    fn check_shorter_side(&self) -> Result<(), SettingError> {
        let least = self.preprocessing.covered_side();
        match self.preprocessing.shorter_side {
            Some(pixels) if pixels < least => {
                let expected = format!(
                    "at least {least}, to which pictures are scaled for this input (twice the input size \
                     leaves room for random crops)"
                );
                Err(SettingError::value("shorter_side", pixels, expected))
            }
            _ => Ok(()),
        }
    }

    /// A cutout must leave something of the images, the smallest ones too.
    fn check_cutout(&self) -> Result<(), SettingError> {
        let stages = self.progressive_resizing.iter();
        let smaller = stages.map(|stage| stage.preprocessing(&self.preprocessing));
        let sides = smaller.chain([self.preprocessing.clone()]);
        let side = sides.fold(usize::MAX, |least, Preprocessing { height, width, .. }| {
            least.min(height).min(width)
        });
        match self.augmentation.erasing {
            Erasing::Cutout { size } if size >= side => {
                let expected = format!("less than the {side} pixels of the images");
                Err(SettingError::value("size", size, expected).within("erasing"))
            }
            _ => Ok(()),
        }
    }

    fn validate_counts(&self) -> Result<(), SettingError> {
        let counts = [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size as u64),
            ("accumulate", self.accumulate as u64),
            ("repeats", self.repeats as u64),
            ("checkpoint_every", self.checkpoint_every.unwrap_or(1)),
            ("patience", self.patience.unwrap_or(1)),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return Err(SettingError::value(key, 0, "at least 1"));
        }
        if self.epochs > MOST_EPOCHS {
            let expected = format!("at most {MOST_EPOCHS}");
            return Err(SettingError::value("epochs", self.epochs, expected));
        }
        if self.accumulate > self.batch_size {
            let problem = format!(
                "is {}, more than the batch_size of {}; a batch cannot be computed in more pieces \
                 than it has images",
                self.accumulate, self.batch_size
            );
            return Err(SettingError::new("accumulate", problem));
        }
        Ok(())
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
