//! Which trained network a command uses: a run, or a weight file.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use residua::core::model_record::ModelRecord;
use residua::core::preprocessing::Normalisation;
use residua::core::run::RunFolder;
use residua::data::Label;
use residua::train::{
    Device, LoadedModel, PublishedWeights, TrainError, load_model, load_published, read_config,
    read_record,
};
use residua::weights::WeightsError;

use crate::failure::Failure;

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("source").required(true).args(["run", "weights"])))]
pub(crate) struct ModelArgs {
    /// The run folder of a training
    #[arg(long, value_name = "RUN", conflicts_with_all = ["model", "weights"])]
    pub(crate) run: Option<PathBuf>,
    /// Which weights of the run
    #[arg(long, value_enum, default_value_t = CheckpointName::Best, requires = "run")]
    checkpoint: CheckpointName,
    /// A network of the catalog, for --weights
    #[arg(long, value_name = "NAME", requires = "weights")]
    model: Option<String>,
    /// A weight file: safetensors, or a PyTorch checkpoint
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    preparation: PreparationArgs,
}

/// How images are prepared for weights that do not say it.
#[derive(Debug, Args)]
pub(crate) struct PreparationArgs {
    /// Channel means on the 0–1 scale [default: those stored with the weights, or the usual ones]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
    mean: Option<Vec<f32>>,
    /// Channel standard deviations on the 0–1 scale
    #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
    std: Option<Vec<f32>>,
    /// Height and width of the network's input
    #[arg(long, value_name = "PIXELS")]
    pub(crate) input_size: Option<usize>,
}

impl PreparationArgs {
    fn is_empty(&self) -> bool {
        self.mean.is_none() && self.std.is_none() && self.input_size.is_none()
    }

    pub(crate) fn normalisation(&self) -> Result<Option<Normalisation>, Failure> {
        match (&self.mean, &self.std) {
            (None, None) => Ok(None),
            (Some(mean), Some(std)) => {
                if mean.iter().chain(std).any(|number| number.abs() > 1.0) {
                    return Err(Failure::usage(
                        "--mean and --std are on the scale from 0 to 1; divide those of the scale \
                         to 255 by 255",
                    ));
                }
                Normalisation::new(mean.clone(), std.clone())
                    .map(Some)
                    .map_err(Failure::usage)
            }
            _ => Err(Failure::usage("--mean and --std are given together")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckpointName {
    /// The weights of the best validation
    Best,
    /// The weights of the last checkpoint
    Last,
}

impl ModelArgs {
    /// The run, if the network comes from one.
    pub(crate) fn run_folder(&self) -> Result<Option<RunFolder>, Failure> {
        let open = |path: &PathBuf| RunFolder::open(path).map_err(Failure::bad_input);
        self.run.as_ref().map(open).transpose()
    }

    /// Whether the weights are those that the run ended with.
    pub(crate) fn is_best(&self) -> bool {
        self.checkpoint == CheckpointName::Best
    }

    /// Reads the network.
    pub(crate) fn load(&self, device: &Device) -> Result<LoadedModel, Failure> {
        if let Some(run) = self.run_folder()? {
            return self.load_run(&run, device);
        }
        let Some(weights) = &self.weights else {
            return Err(Failure::usage(
                "name a trained network: --run RUN or --weights FILE",
            ));
        };
        let own = || Ok::<_, Failure>(read_record(weights)?.map(|record| record.model));
        let model = match &self.model {
            Some(name) => Some(name.clone()),
            None if self.preparation.is_empty() => None,
            None => own()?,
        };
        match model {
            None => Ok(load_model(weights, device)?),
            Some(name) => Ok(load_published(
                &PublishedWeights {
                    model: &name,
                    file: weights,
                    classes: None,
                    normalisation: self.preparation.normalisation()?,
                    input_size: self.preparation.input_size,
                },
                device,
            )?),
        }
    }

    fn load_run(&self, run: &RunFolder, device: &Device) -> Result<LoadedModel, Failure> {
        if !self.preparation.is_empty() {
            return Err(Failure::usage(
                "a run knows its preprocessing; --mean, --std and --input-size go with --weights",
            ));
        }
        read_config(run)?;
        let path = match self.checkpoint {
            CheckpointName::Best => run.best_checkpoint(),
            CheckpointName::Last => run.last_checkpoint(),
        };
        if !path.is_file() {
            let advice = if run.metrics().is_file() {
                "the run has ended, so somebody removed it"
            } else if run.last_checkpoint().is_file() {
                "its first epoch has not ended; --checkpoint last takes the weights as they are"
            } else {
                "a run writes its first at the end of its first epoch, or earlier with \
                 --checkpoint-every N"
            };
            return Err(Failure::bad_input(format!(
                "'{}' has no checkpoint {} yet; {advice}",
                run.root().display(),
                path.display()
            )));
        }
        load_model(&path, device).map_err(|error| match error {
            // "Fetch it again" is no help where nobody fetched it.
            TrainError::Weights(WeightsError::Malformed { message, .. }) => {
                Failure::bad_input(format!(
                    "{} is damaged ({message}); --checkpoint best|last names the other one, and \
                     `residua train --resume` writes both anew where it can go on",
                    path.display()
                ))
            }
            error => error.into(),
        })
    }
}

/// The classes that a network takes an image to show, as a spreadsheet of labels has them.
pub(crate) fn chosen_classes(record: &ModelRecord, probabilities: &[f32]) -> String {
    let chosen = record.decision.chosen(probabilities).into_iter();
    let set = chosen.map(|class| class as u32).collect();
    Label::Classes(set).named(&record.classes)
}

/// The name of a class, or its number where the weights do not say.
pub(crate) fn class_name(record: &ModelRecord, class: usize) -> &str {
    record.classes.get(class).map_or("?", String::as_str)
}
