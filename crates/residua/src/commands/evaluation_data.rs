//! The images that a trained network is judged by.

use std::path::Path;
use std::sync::Arc;

use residua::core::model_record::ModelRecord;
use residua::core::task::Task;
use residua::data::{
    DataError, DataSpec, Dataset, DatasetOptions, PictureReader, Progress, Purpose, Split,
    SplitName, quarantine_unreadable,
};
use residua::train::{TrainConfig, picture_reader};

use crate::failure::Failure;

/// What the user asks for.
#[derive(Debug, Default)]
pub(crate) struct EvaluationDataSpec {
    /// Or else those of the run, or the builtin ones.
    pub(crate) data: Option<DataSpec>,
    /// Or else what training validates on, or the test images.
    pub(crate) split: Option<SplitName>,
}

/// Images with the labels of a network.
pub(crate) struct EvaluationData {
    pub(crate) spec: DataSpec,
    pub(crate) name: SplitName,
    pub(crate) split: Arc<Split>,
    /// Reads them.
    pub(crate) pictures: PictureReader,
}

impl EvaluationData {
    /// Opens them, and leaves out what cannot be read, with a warning. A cache is of use where the network
    /// is used to reduced pictures, and left alone elsewhere.
    pub(crate) fn open(
        wanted: EvaluationDataSpec,
        config: Option<&TrainConfig>,
        record: &ModelRecord,
        cache: Option<&Path>,
    ) -> Result<Self, Failure> {
        let max_unreadable = config.map_or(residua::data::DEFAULT_MAX_UNREADABLE, |config| {
            config.max_unreadable
        });
        let (spec, name, mut dataset) = open_split(wanted, config, record)?;
        let preprocessing = &record.preprocessing;
        let cache = cache.filter(|_| preprocessing.shorter_side.is_some());
        let pictures = picture_reader(preprocessing, cache, &dataset)?;
        let ignore = |_: Progress| {};
        let unreadable = quarantine_unreadable(&mut dataset, max_unreadable, &pictures, &ignore)
            .map_err(explained)?;
        for image in &unreadable {
            eprintln!("warning: left out {}: {}", image.path, image.reason);
        }
        let split = dataset.require(name).map_err(Failure::bad_input)?.clone();
        Ok(Self {
            spec,
            name,
            split,
            pictures,
        })
    }
}

/// Images with the labels of a network, as they are listed: some may turn out to be unreadable.
pub(crate) fn open_listed(
    wanted: EvaluationDataSpec,
    config: Option<&TrainConfig>,
    record: &ModelRecord,
) -> Result<EvaluationData, Failure> {
    let (spec, name, dataset) = open_split(wanted, config, record)?;
    let split = dataset.require(name).map_err(Failure::bad_input)?.clone();
    Ok(EvaluationData {
        spec,
        name,
        split,
        pictures: PictureReader::default(),
    })
}

/// The data set without any other split.
fn open_split(
    wanted: EvaluationDataSpec,
    config: Option<&TrainConfig>,
    record: &ModelRecord,
) -> Result<(DataSpec, SplitName, Dataset), Failure> {
    let (spec, dataset) = open_dataset(wanted.data, config, record)?;
    let name = wanted.split.unwrap_or_else(|| {
        let usual = dataset.evaluation();
        usual.map_or(SplitName::Test, |(name, _)| name)
    });
    let dataset = dataset.only(name).map_err(explained)?;
    Ok((spec, name, dataset))
}

/// The advice of these errors is for training, which can hold images out and tolerate more.
fn explained(error: DataError) -> Failure {
    Failure::bad_input(match error {
        DataError::MissingSplit { path, split, .. } => format!(
            "{}: there is no {split} split; --split names another",
            path.display()
        ),
        DataError::TooManyUnreadable {
            unreadable,
            images,
            first,
            ..
        } => format!(
            "{unreadable} of {images} images are unreadable; mend or remove them. The first: {first}"
        ),
        error => error.to_string(),
    })
}

/// Answers to one question cannot be judged by those to another.
fn check_task(asked: Task, spec: &DataSpec, labelled: Task) -> Result<(), Failure> {
    match (asked, labelled) {
        (Task::SingleLabel, Task::MultiLabel) => Err(Failure::bad_input(format!(
            "the network takes each image to be of one class, and the images of {spec} show any number \
             of them; expected one class for each image (csv:FILE: a column label in place of labels; \
             npz:FILE: labels of one column), or a network that was trained on such images"
        ))),
        (Task::MultiLabel, Task::SingleLabel) => Err(Failure::bad_input(format!(
            "the network tells which of its classes an image shows, any number of them, and each image of \
             {spec} is of one class; expected a spreadsheet with a column labels (csv:FILE) or arrays of \
             labels with a column for each class (npz:FILE)"
        ))),
        (Task::SingleLabel, Task::SingleLabel) | (Task::MultiLabel, Task::MultiLabel) => Ok(()),
    }
}

/// The data set, with the labels of the network.
fn open_dataset(
    data: Option<DataSpec>,
    config: Option<&TrainConfig>,
    record: &ModelRecord,
) -> Result<(DataSpec, Dataset), Failure> {
    let given = data.map(DataSpec::absolute).transpose();
    let given = given.map_err(Failure::failed)?;
    let own_data = config.filter(|config| given.as_ref().is_none_or(|d| *d == config.data));
    let spec = match (given, config) {
        (Some(spec), _) => spec,
        (None, Some(config)) => config.data.clone(),
        (None, None) => DataSpec::Builtin,
    };
    let hold_out = own_data.map(TrainConfig::hold_out).transpose();
    let hold_out = hold_out.map_err(Failure::bad_input)?;
    let options = DatasetOptions {
        // Held-out images exist only where the data are opened as training opened them.
        purpose: match own_data {
            Some(_) => Purpose::Training,
            None => Purpose::Evaluation,
        },
        hold_out: hold_out.flatten(),
        seed: own_data.map_or(0, |config| config.seed),
    };
    let dataset = Dataset::open(&spec, &options).map_err(Failure::bad_input)?;
    check_task(record.task(), &spec, dataset.task())?;
    if record.names_classes() {
        let dataset = dataset
            .with_classes(&record.classes)
            .map_err(Failure::bad_input)?;
        return Ok((spec, dataset));
    }
    if dataset.classes().len() != record.classes.len() {
        return Err(Failure::bad_input(format!(
            "the network has {} classes and {spec} has {}",
            record.classes.len(),
            dataset.classes().len()
        )));
    }
    Ok((spec, dataset))
}
