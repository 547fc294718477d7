//! The network of a training as options, and the configuration that all options make together.

use std::path::{Path, PathBuf};

use clap::Args;
use residua::graph::catalog;
use residua::train::{
    HeadRule, MisfitRule, Recipe, StartingWeights, TrainConfig, published_preprocessing,
    read_record, recorded_variations,
};

use super::PlanArgs;
use super::settings::from_environment;
use crate::Cli;
use crate::commands::variations::VariationArgs;
use crate::environment;
use crate::failure::Failure;

/// What is trained, and what it starts from.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// A network of the catalog (see `residua models`) [default: resnet20; resnet18 for folders]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Start from the values of this weight file (safetensors, or a PyTorch checkpoint)
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Give the network a new last layer, for other classes than those of the weight file
    #[arg(long, requires = "weights")]
    reset_head: bool,
    /// Take from the weight file what fits, and start the rest anew
    #[arg(long, requires = "weights")]
    allow_partial: bool,
    #[command(flatten)]
    variations: VariationArgs,
}

impl NetworkArgs {
    /// The configuration: defaults for the data, a recipe or a file, then options, then `--set`.
    pub(crate) fn configuration(&self, plan: &PlanArgs) -> Result<TrainConfig, Failure> {
        self.change(plan.begin()?, plan)
    }

    /// The same on top of what the plan began with.
    pub(crate) fn change(
        &self,
        mut config: TrainConfig,
        plan: &PlanArgs,
    ) -> Result<TrainConfig, Failure> {
        if let Some(model) = &self.model {
            config.model.clone_from(model);
            catalog::find(model).map_err(|error| {
                let variable = environment::variable_of::<Cli>("model");
                from_environment(Failure::bad_input(error), variable)
            })?;
        }
        if let Some(file) = &self.weights {
            self.start_from(file, plan, &mut config)?;
        }
        self.variations.apply(&mut config.variations);
        let config = plan.finish(config)?;
        let start = config.check_start();
        start.map_err(|error| plan.failure(error.into(), &config))?;
        Ok(config)
    }

    /// Starts from a weight file: with the network that it names, if no other is asked for, and with
    /// images prepared as it is used to, unless a recipe says how.
    fn start_from(
        &self,
        file: &Path,
        plan: &PlanArgs,
        config: &mut TrainConfig,
    ) -> Result<(), Failure> {
        let record = read_record(file)?;
        let recipe = plan.recipe()?;
        let names_model = self.model.is_some()
            || plan.config.is_some()
            || recipe.as_ref().is_some_and(Recipe::names_network);
        match &record {
            Some(record) if !names_model => {
                config.model.clone_from(&record.model);
                let recorded = recorded_variations(record)?;
                config.variations = config.variations.on_top_of(recorded);
            }
            Some(record) if plan.config.is_none() && record.model == config.model => {
                let recorded = recorded_variations(record)?;
                config.variations = config.variations.on_top_of(recorded);
            }
            None if !names_model => {
                return Err(Failure::usage(
                    "the weight file does not say which network it belongs to; name it with --model NAME \
                 (`residua weights inspect FILE` lists those that it fits)",
                ));
            }
            _ => {}
        }
        let prepares_images =
            plan.config.is_some() || recipe.as_ref().is_some_and(Recipe::prepares_images);
        if !prepares_images {
            config.preprocessing = match record {
                Some(record) => record.preprocessing,
                None => published_preprocessing(&config.model)?,
            };
        }
        config.weights = Some(StartingWeights {
            // Wherever the run is looked at from.
            file: std::path::absolute(file).map_err(Failure::failed)?,
            head: if self.reset_head {
                HeadRule::Reset
            } else {
                HeadRule::Keep
            },
            misfits: if self.allow_partial {
                MisfitRule::LeaveOut
            } else {
                MisfitRule::Refuse
            },
        });
        Ok(())
    }
}
