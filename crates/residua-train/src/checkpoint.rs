//! Checkpoints: a network, what it is for, and where its training stood.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use residua_core::model_record::ModelRecord;
use residua_core::preprocessing::{Normalisation, Preprocessing};
use residua_graph::Graph;
use residua_graph::catalog::{self, BuildOptions, Statistics, VariationOptions};
use residua_weights::{NamedTensor, TensorFile, Values, class_count};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::build_options;
use crate::error::TrainError;
use crate::network::{Network, host_values};
use crate::optimiser::{Memory, OptimiserConfig, ParameterRole};
use crate::schedule::Plateau;

/// Metadata key of the [`ModelRecord`].
const RECORD: &str = "residua";
/// Metadata key of the [`TrainingState`].
const TRAINING: &str = "residua.training";
/// Begins the names of the optimiser's tensors, which no network uses.
const MEMORY_PREFIX: &str = "optimiser.";
/// Begins the names of averaged weights, which no network uses either.
const AVERAGE_PREFIX: &str = "average.";

/// Where training stood, besides parameters and optimiser.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingState {
    /// Identifies the training and validation images.
    pub data: u64,
    /// Identifies the network that teaches, if there is one.
    #[serde(default)]
    pub teacher: Option<u64>,
    /// The configuration as `config.toml` had it.
    pub config: String,
    /// Finished optimiser updates.
    pub step: u64,
    /// Epochs that were trained and validated.
    pub finished_epochs: u64,
    /// The epoch in progress so far.
    pub epoch: EpochSums,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Accuracy of the last validation.
    pub last_accuracy: f64,
    /// Its mean area under the ROC curve, where images show any number of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_roc_auc: Option<f64>,
    /// Seconds of training and validation so far.
    pub seconds: f64,
    /// Those of them that finished epochs trained.
    #[serde(default)]
    pub train_seconds: f64,
    /// Those of them again in which training waited for the loader.
    #[serde(default)]
    pub waiting_seconds: f64,
    /// Training images per second of each finished epoch.
    pub epoch_speeds: Vec<f64>,
    /// What the learning-rate schedule remembers.
    #[serde(default)]
    pub plateau: Plateau,
}

/// Sums over the training images of one epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochSums {
    /// Images seen.
    pub images: u64,
    /// Sum of their losses.
    pub loss: f64,
    /// How many were classified correctly, as [`Learned::correct`](crate::Learned::correct).
    pub correct: f64,
    /// Seconds spent on them.
    pub seconds: f64,
    /// Those of them in which training waited for the loader.
    #[serde(default)]
    pub waiting_seconds: f64,
}

impl TrainingState {
    /// Share of the time of training in which it waited for the loader, over all finished epochs.
    pub fn waiting_share(&self) -> f64 {
        share(self.waiting_seconds, self.train_seconds)
    }
}

fn share(part: f64, whole: f64) -> f64 {
    part / whole.max(1e-9)
}

impl EpochSums {
    /// Mean loss.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    /// Share of correct classifications.
    pub fn accuracy(&self) -> f64 {
        self.correct / self.images.max(1) as f64
    }

    /// Images per second.
    pub fn speed(&self) -> f64 {
        self.images as f64 / self.seconds.max(1e-9)
    }

    /// Share of the time in which training waited for the loader.
    pub fn waiting_share(&self) -> f64 {
        share(self.waiting_seconds, self.seconds)
    }
}

/// The best validation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// Its validation accuracy.
    pub accuracy: f64,
    /// Its mean area under the ROC curve, where images show any number of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
}

impl Best {
    /// The figure by which it is the best.
    pub fn score(&self) -> f64 {
        self.roc_auc.unwrap_or(self.accuracy)
    }
}

/// Writes the weights alone, for use.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn save_weights(
    path: &Path,
    network: &Network,
    record: &ModelRecord,
    step: u64,
) -> Result<(), TrainError> {
    Ok(weights_file(network, record, step)?.write(path)?)
}

/// Everything that an exact continuation needs.
pub(crate) struct Snapshot<'a> {
    /// The network.
    pub(crate) network: &'a Network,
    /// What it is for.
    pub(crate) record: &'a ModelRecord,
    /// Where training stands.
    pub(crate) state: &'a TrainingState,
    /// Which optimiser.
    pub(crate) optimiser: &'a OptimiserConfig,
    /// What it remembers of each trainable entry.
    pub(crate) memories: &'a [(usize, Memory)],
    /// The average of the weights, where the run keeps one.
    pub(crate) average: Option<&'a Network>,
}

/// Writes everything that an exact continuation needs.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn save_training(path: &Path, snapshot: &Snapshot<'_>) -> Result<(), TrainError> {
    let Snapshot {
        network,
        record,
        state,
        ..
    } = snapshot;
    let mut file = weights_file(network, record, state.step)?;
    file.metadata.insert(TRAINING.to_owned(), to_json(state)?);
    let head = network.graph().head();
    for (entry, memory) in snapshot.memories {
        let entry = &network.entries()[*entry];
        let role = ParameterRole::of(entry, head);
        let names = snapshot.optimiser.memory_names(role);
        for (name, tensor) in names.iter().zip(memory) {
            file.tensors.push(NamedTensor::float(
                memory_name(name, &entry.name),
                &entry.shape,
                host_values(tensor),
            ));
        }
    }
    if let Some(average) = snapshot.average {
        for (index, entry) in average.entries().iter().enumerate() {
            file.tensors.push(NamedTensor::float(
                average_name(&entry.name),
                &entry.shape,
                host_values(average.values(index)),
            ));
        }
    }
    Ok(file.write(path)?)
}

/// A network read from a weight file that Residua wrote.
#[derive(Debug)]
pub struct LoadedModel {
    /// The network.
    pub network: Network,
    /// What it is for.
    pub record: ModelRecord,
}

impl LoadedModel {
    /// Writes the network with its record as a safetensors file, from which [`load_model`] reads both.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        save_weights(path, &self.network, &self.record, 0)
    }
}

/// What a weight file that Residua wrote says of itself; nothing where another program wrote it.
///
/// # Errors
/// When the file is damaged.
pub fn read_record(path: &Path) -> Result<Option<ModelRecord>, TrainError> {
    let file = TensorFile::read(path)?;
    if !file.metadata.contains_key(RECORD) {
        return Ok(None);
    }
    record_of(path, &file).map(Some)
}

/// In what the network of a record differs from the catalog's.
///
/// # Errors
/// When this version does not know the variation.
pub fn recorded_variations(record: &ModelRecord) -> Result<VariationOptions, TrainError> {
    serde_json::from_value(Value::Object(record.variations.clone())).map_err(|failure| {
        TrainError::Config(format!(
            "the recorded variations of {} cannot be read: {failure}",
            record.model
        ))
    })
}

/// Reads a network with everything needed to use it; training state is skipped.
///
/// # Errors
/// When the file is damaged, was not written by Residua, or does not fit its own record.
pub fn load_model(path: &Path, device: &Device) -> Result<LoadedModel, TrainError> {
    let file = without_training_state(TensorFile::read(path)?);
    let record = record_of(path, &file)?;
    let network = network_for(&record, &file, device)?;
    Ok(LoadedModel { network, record })
}

/// A weight file used under the name of a catalog network.
#[derive(Debug, Clone)]
pub struct PublishedWeights<'a> {
    /// Catalog name of the network.
    pub model: &'a str,
    /// The file.
    pub file: &'a Path,
    /// Names of the classes, if the file does not have them.
    pub classes: Option<&'a [String]>,
    /// Channel statistics, if not those of the file or the usual ones.
    pub normalisation: Option<Normalisation>,
    /// Height and width of the input, if not those of the file or the usual ones.
    pub input_size: Option<usize>,
}

/// Reads weights under the name of a catalog network. What the file's own record does not
/// say is taken to be as published: the preprocessing, and numbers for class names; how many
/// classes there are follows from the last layer.
///
/// # Errors
/// When the file is damaged or does not fit the network.
pub fn load_published(
    weights: &PublishedWeights<'_>,
    device: &Device,
) -> Result<LoadedModel, TrainError> {
    let path = weights.file;
    let file = without_training_state(TensorFile::read(path)?);
    let mut record = if file.metadata.contains_key(RECORD) {
        record_of(path, &file)?
    } else {
        let published = catalog::build(weights.model, &BuildOptions::default())?;
        ModelRecord::numbered(
            weights.model,
            class_count(&published, &file),
            published_preprocessing(weights.model)?,
        )
    };
    if let Some(names) = weights.classes {
        if names.len() != record.classes.len() {
            return Err(TrainError::Config(format!(
                "{} has {} classes, and {} names were given",
                path.display(),
                record.classes.len(),
                names.len()
            )));
        }
        names.clone_into(&mut record.classes);
    }
    if record.model != weights.model {
        return Err(TrainError::Record {
            path: path.to_owned(),
            message: format!(
                "it was written as {}, not as {}; leave --model out",
                record.model, weights.model
            ),
        });
    }
    let preprocessing = &mut record.preprocessing;
    if let Some(side) = weights.input_size {
        preprocessing.height = side;
        preprocessing.width = side;
    }
    if let Some(normalisation) = &weights.normalisation {
        preprocessing.normalisation = normalisation.clone();
    }
    preprocessing
        .validate()
        .map_err(|failure| TrainError::Config(failure.to_string()))?;
    let network = network_for(&record, &file, device)?;
    Ok(LoadedModel { network, record })
}

/// A file without what only the continuation of a run needs.
pub fn without_training_state(mut file: TensorFile) -> TensorFile {
    if file.metadata.contains_key(TRAINING) {
        file.tensors
            .retain(|tensor| !is_training_state(&tensor.name));
    }
    file
}

/// How images are prepared for the published weights of a catalog network; for a network without any,
/// with CIFAR-10's statistics for 32×32 inputs and ImageNet's for others.
///
/// # Errors
/// When the model is unknown.
pub fn published_preprocessing(model: &str) -> Result<Preprocessing, TrainError> {
    let entry = catalog::find(model)?;
    let [height, width] = entry.input.spatial();
    let mut preprocessing = match [height, width] {
        [32, 32] => Preprocessing::cifar10(),
        _ => Preprocessing {
            height,
            width,
            ..Preprocessing::imagenet()
        },
    };
    if let Some(weights) = entry.weights {
        preprocessing.normalisation = match weights.statistics {
            Statistics::Cifar10 => Normalisation::cifar10(),
            Statistics::ImageNet => Normalisation::imagenet(),
            Statistics::Halves => Normalisation::halves(),
        };
    }
    Ok(preprocessing)
}

/// A run at the point where it was interrupted.
#[derive(Debug)]
pub(crate) struct LoadedTraining {
    /// The network.
    pub(crate) network: Network,
    /// What it is for.
    pub(crate) record: ModelRecord,
    /// Where training stood.
    pub(crate) state: TrainingState,
    /// What the optimiser remembers of each trainable entry.
    pub(crate) memories: Vec<(usize, Memory)>,
    /// The average of the weights, where the run keeps one.
    pub(crate) average: Option<Network>,
}

/// Reads a checkpoint written by [`save_training`].
///
/// # Errors
/// When the file is damaged or holds weights only.
pub(crate) fn load_training(
    path: &Path,
    optimiser: &OptimiserConfig,
    device: &Device,
) -> Result<LoadedTraining, TrainError> {
    let bad = |message: String| TrainError::Record {
        path: path.to_owned(),
        message,
    };
    let mut file = TensorFile::read(path)?;
    let record = record_of(path, &file)?;
    let Some(text) = file.metadata.get(TRAINING) else {
        return Err(bad(
            "holds weights without training state; a run is continued \
                        from its checkpoints/last.safetensors"
                .to_owned(),
        ));
    };
    let state = serde_json::from_str(text)
        .map_err(|failure| bad(format!("its training state cannot be read: {failure}")))?;
    let mut weights = weights_alone(path);
    let mut averages = weights_alone(path);
    let mut rest = Vec::new();
    for mut tensor in file.tensors {
        if let Some(name) = tensor.name.strip_prefix(AVERAGE_PREFIX) {
            tensor.name = name.to_owned();
            averages.tensors.push(tensor);
        } else if is_training_state(&tensor.name) {
            rest.push(tensor);
        } else {
            weights.tensors.push(tensor);
        }
    }
    file.tensors = rest;
    let network = network_for(&record, &weights, device)?;
    let average = match averages.tensors.is_empty() {
        true => None,
        false => Some(network_for(&record, &averages, device)?),
    };
    let tensors = file.by_name();
    let head = network.graph().head();
    let mut memories = Vec::new();
    for (index, entry) in network.entries().iter().enumerate() {
        if !entry.role.is_trainable() {
            continue;
        }
        let mut memory = Vec::new();
        let role = ParameterRole::of(entry, head);
        for name in optimiser.memory_names(role) {
            let name = memory_name(name, &entry.name);
            let values = match tensors.get(name.as_str()).map(|tensor| &tensor.values) {
                Some(Values::Float(values)) if values.len() == entry.elements() => values.clone(),
                _ => return Err(bad(format!("the optimiser's tensor '{name}' is missing"))),
            };
            let data = TensorData::new(values, [entry.elements()]);
            memory.push(Tensor::from_data(data, device));
        }
        memories.push((index, memory));
    }
    Ok(LoadedTraining {
        network,
        record,
        state,
        memories,
        average,
    })
}

fn weights_alone(path: &Path) -> TensorFile {
    TensorFile {
        path: path.to_owned(),
        ..TensorFile::default()
    }
}

fn is_training_state(name: &str) -> bool {
    [MEMORY_PREFIX, AVERAGE_PREFIX]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn average_name(entry: &str) -> String {
    format!("{AVERAGE_PREFIX}{entry}")
}

fn memory_name(memory: &str, parameter: &str) -> String {
    format!("{MEMORY_PREFIX}{memory}.{parameter}")
}

/// The weights, which must be finite: a good checkpoint is never replaced by a useless one.
fn weights_file(
    network: &Network,
    record: &ModelRecord,
    step: u64,
) -> Result<TensorFile, TrainError> {
    let tensors = network.state();
    for tensor in &tensors {
        let Values::Float(values) = &tensor.values else {
            continue;
        };
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(TrainError::NonFiniteParameter {
                name: tensor.name.clone(),
                value: *value,
                step,
            });
        }
    }
    Ok(TensorFile {
        path: PathBuf::new(),
        metadata: [(RECORD.to_owned(), to_json(record)?)].into(),
        tensors,
    })
}

fn to_json(value: &impl Serialize) -> Result<String, TrainError> {
    serde_json::to_string(value).map_err(|failure| TrainError::Config(failure.to_string()))
}

fn record_of(path: &Path, file: &TensorFile) -> Result<ModelRecord, TrainError> {
    let bad = |message: String| TrainError::Record {
        path: path.to_owned(),
        message,
    };
    let text = file.metadata.get(RECORD).ok_or_else(|| {
        bad("does not say which network it belongs to; name it with --model NAME".to_owned())
    })?;
    let record: ModelRecord = serde_json::from_str(text)
        .map_err(|failure| bad(format!("its record cannot be read: {failure}")))?;
    if record.schema != ModelRecord::SCHEMA {
        return Err(bad(format!(
            "its record has the form '{}'; this version reads '{}'",
            record.schema,
            ModelRecord::SCHEMA
        )));
    }
    if record.classes.is_empty() {
        return Err(bad("its record names no classes".to_owned()));
    }
    record.decision.check(record.classes.len()).map_err(bad)?;
    record
        .preprocessing
        .validate()
        .map_err(|failure| bad(failure.to_string()))?;
    Ok(record)
}

/// The network that a record describes.
///
/// # Errors
/// When this version does not know it.
pub fn recorded_graph(record: &ModelRecord) -> Result<Graph, TrainError> {
    let variations = recorded_variations(record)?;
    let options = build_options(&record.preprocessing, record.classes.len(), variations);
    Ok(catalog::build(&record.model, &options)?)
}

fn network_for(
    record: &ModelRecord,
    file: &TensorFile,
    device: &Device,
) -> Result<Network, TrainError> {
    let graph = recorded_graph(record)?;
    Network::from_file(graph, file, device)
}
