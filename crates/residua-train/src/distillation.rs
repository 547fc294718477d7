//! Learning from another network: what it holds probable is a richer target than the one right class
//! (Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network").

use std::path::{Path, PathBuf};

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use residua_core::model_record::ModelRecord;
use residua_core::precision::Precision;
use residua_core::preprocessing::{Normalisation, Preprocessing};
use residua_core::run::RunFolder;
use residua_core::setting::SettingError;
use residua_core::task::Task;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::checkpoint::{LoadedModel, PublishedWeights, load_model, load_published};
use crate::error::TrainError;
use crate::network::{Network, host_values};

/// Which network teaches, and how much it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// A run folder, or a weight file. It is needed whenever the run is continued; another network in its
    /// place is noticed.
    pub teacher: PathBuf,
    /// Catalog name of the teacher, where its file does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the logits of both are divided by: the higher, the more the teacher's small
    /// probabilities count. The paper's experiments take 2 to 20.
    #[serde(default = "default_temperature")]
    pub temperature: f32,
    /// The teacher's share of the loss; the rest is the loss of the labels.
    #[serde(default = "default_share")]
    pub share: f32,
}

fn default_temperature() -> f32 {
    4.0
}

fn default_share() -> f32 {
    0.9
}

impl Distillation {
    /// By this teacher, as the paper does it.
    pub fn by(teacher: PathBuf) -> Self {
        Self {
            teacher,
            model: None,
            temperature: default_temperature(),
            share: default_share(),
        }
    }

    /// Says whether the values can be used for this task, or which cannot and what was expected.
    pub(crate) fn validate(&self, task: Task) -> Result<(), SettingError> {
        if self.teacher.as_os_str().is_empty() {
            let problem = "is empty; expected a run folder or a weight file";
            return Err(SettingError::new("teacher", problem));
        }
        if task == Task::MultiLabel {
            let problem = "is set, but a teacher says which one class an image shows, and the images of \
                           these data show any number of them; leave the section out";
            return Err(SettingError::new("teacher", problem));
        }
        if !(1.0..=100.0).contains(&self.temperature) {
            let value = self.temperature;
            return Err(SettingError::value("temperature", value, "1 to 100"));
        }
        if !(0.0..=1.0).contains(&self.share) {
            return Err(SettingError::value("share", self.share, "0 to 1"));
        }
        Ok(())
    }
}

/// A network that teaches.
#[derive(Debug, Clone)]
pub struct Teacher {
    network: Network,
    /// From the student's images to its own.
    adaptation: Option<Adaptation>,
    /// Its class for each of the student's; the same ones if there are none.
    classes: Option<Vec<usize>>,
    temperature: f64,
    share: f64,
}

/// A multiple and an offset for each channel.
#[derive(Debug, Clone, PartialEq)]
struct Adaptation {
    factors: Vec<f32>,
    offsets: Vec<f32>,
}

impl Teacher {
    /// Reads the network that a distillation names, to teach one that tells these classes apart by images
    /// prepared like this.
    ///
    /// # Errors
    /// When it cannot be read, or knows other classes, or sees images of another size.
    pub fn load(
        distillation: &Distillation,
        classes: &[String],
        preprocessing: &Preprocessing,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let setting =
            |problem: String| SettingError::new("teacher", problem).within("distillation");
        let LoadedModel { network, record } =
            read(distillation, device).map_err(|failure| match failure.is_bad_input() {
                true => setting(format!("cannot be used: {failure}")).into(),
                false => failure,
            })?;
        let refuse = |reason: String| {
            let teacher = distillation.teacher.display();
            setting(format!("is {teacher}, which {reason}"))
        };
        if record.decision.task() != Task::SingleLabel {
            let reason = "says of each class whether an image shows it, and not which one it is of";
            return Err(refuse(reason.to_owned()).into());
        }
        Ok(Self {
            adaptation: adaptation(preprocessing, &record.preprocessing).map_err(refuse)?,
            classes: matched_classes(classes, &record).map_err(refuse)?,
            network,
            temperature: f64::from(distillation.temperature),
            share: f64::from(distillation.share),
        })
    }

    /// Identifies its values.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for index in 0..self.network.entries().len() {
            for value in host_values(self.network.values(index)) {
                hash.update(&value.to_le_bytes());
            }
        }
        hash.digest()
    }

    /// The loss of both: `(1 − share) · loss + share · T² · KL(teacher ‖ student)` at temperature T, the
    /// divergence averaged over the images. The factor T² keeps gradients as large as without a
    /// temperature (section 2 of the paper).
    ///
    /// # Shapes
    /// `loss`: `[1]`; `logits`: `[N, classes]`, both on the tape; `images`: `[N, H, W, C]`.
    pub(crate) fn combine(
        &self,
        loss: Tensor<1>,
        logits: Tensor<2>,
        images: Tensor<4>,
        precision: Precision,
    ) -> Tensor<1> {
        let [batch, classes] = logits.dims();
        let targets = self.probabilities(images, classes, precision);
        let entropy = targets.iter().filter(|p| **p > 0.0);
        let entropy = entropy
            .map(|p| f64::from(*p) * f64::from(*p).ln())
            .sum::<f64>();
        let data = TensorData::new(targets, [batch, classes]);
        let targets = Tensor::<2>::from_data(data, &logits.device());
        let student = log_softmax(logits.div_scalar(self.temperature), 1);
        // Row by row first: a sum over millions of values would depend on the threads.
        let cross = (student * targets).sum_dim(1).sum().neg();
        let divergence = cross.add_scalar(entropy).div_scalar(batch as f64);
        let weight = self.share * self.temperature * self.temperature;
        loss.mul_scalar(1.0 - self.share) + divergence.mul_scalar(weight)
    }

    /// What the teacher holds probable at its temperature, `[N, classes]`.
    fn probabilities(&self, images: Tensor<4>, classes: usize, precision: Precision) -> Vec<f32> {
        let images = match &self.adaptation {
            None => images,
            Some(adaptation) => adaptation.apply(images),
        };
        let logits = { self.network.evaluate_in(precision, images.clone()) }
            .unwrap_or_else(|_| self.network.evaluate(images));
        let own = host_values(&logits);
        let mut probabilities = Vec::with_capacity(own.len());
        for row in own.chunks_exact(classes) {
            let scaled = |class: usize| {
                let class = self
                    .classes
                    .as_ref()
                    .map_or(class, |classes| classes[class]);
                f64::from(row[class]) / self.temperature
            };
            let most = (0..classes).map(scaled).fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = (0..classes)
                .map(|class| (scaled(class) - most).exp())
                .collect();
            let sum: f64 = weights.iter().sum();
            probabilities.extend(weights.iter().map(|weight| (weight / sum) as f32));
        }
        probabilities
    }
}

fn read(distillation: &Distillation, device: &Device) -> Result<LoadedModel, TrainError> {
    let path = &distillation.teacher;
    let file = match path.is_dir() {
        true => RunFolder::open(path)?.best_checkpoint(),
        false => path.clone(),
    };
    match &distillation.model {
        None => load_model(&file, device),
        Some(model) => load_published(&published(model, &file), device),
    }
}

fn published<'a>(model: &'a str, file: &'a Path) -> PublishedWeights<'a> {
    PublishedWeights {
        model,
        file,
        classes: None,
        normalisation: None,
        input_size: None,
    }
}

/// The teacher's class for each of the student's, where they are not in the same order. Classes without
/// names are taken to be the same ones.
fn matched_classes(classes: &[String], record: &ModelRecord) -> Result<Option<Vec<usize>>, String> {
    if record.classes.len() != classes.len() {
        return Err(format!(
            "knows {} classes, and the data have {}",
            record.classes.len(),
            classes.len()
        ));
    }
    if record.classes == classes || !record.names_classes() {
        return Ok(None);
    }
    let of = |class: &String| {
        let place = record.classes.iter().position(|known| known == class);
        place.ok_or_else(|| format!("does not know the class '{class}' of the data"))
    };
    classes.iter().map(of).collect::<Result<_, _>>().map(Some)
}

/// From images prepared for the student to images prepared for the teacher.
fn adaptation(
    student: &Preprocessing,
    teacher: &Preprocessing,
) -> Result<Option<Adaptation>, String> {
    let size = |images: &Preprocessing| [images.height, images.width, images.channels()];
    let (own, wanted) = (size(student), size(teacher));
    if own != wanted {
        let [height, width, channels] = wanted;
        return Err(format!(
            "sees images of {height}×{width} pixels with {channels} channels, and the network that \
             learns from it {}×{} with {}; both must see the same",
            own[0], own[1], own[2]
        ));
    }
    if student.normalisation == teacher.normalisation {
        return Ok(None);
    }
    let statistics = |of: &Normalisation| (of.mean().to_vec(), of.std().to_vec());
    let (means, deviations) = statistics(&student.normalisation);
    let (own_means, own_deviations) = statistics(&teacher.normalisation);
    let channels = 0..means.len();
    Ok(Some(Adaptation {
        factors: { channels.clone() }
            .map(|channel| deviations[channel] / own_deviations[channel])
            .collect(),
        offsets: channels
            .map(|channel| (means[channel] - own_means[channel]) / own_deviations[channel])
            .collect(),
    }))
}

impl Adaptation {
    fn apply(&self, images: Tensor<4>) -> Tensor<4> {
        let [.., channels] = images.dims();
        let device = images.device();
        let row = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, 1, 1, channels]);
            Tensor::<4>::from_data(data, &device)
        };
        images * row(&self.factors) + row(&self.offsets)
    }
}

#[cfg(test)]
mod tests {
    use residua_core::seed::SeedStream;
    use residua_graph::catalog::{self, BuildOptions};

    use super::*;

    fn teacher(adaptation: Option<Adaptation>, classes: Option<Vec<usize>>) -> Teacher {
        let options = BuildOptions {
            classes: Some(3),
            ..BuildOptions::default()
        };
        let graph = catalog::build("resnet8", &options).unwrap();
        Teacher {
            network: Network::initialise(graph, SeedStream::new(4), &Device::flex()),
            adaptation,
            classes,
            temperature: 2.0,
            share: 0.75,
        }
    }

    fn images() -> Tensor<4> {
        let numbers = (0..2 * 32 * 32 * 3).map(|index| ((index * 37 % 101) as f32 - 50.0) / 40.0);
        let data = TensorData::new(numbers.collect::<Vec<f32>>(), [2, 32, 32, 3]);
        Tensor::from_data(data, &Device::flex())
    }

    /// The definition, in 64 bits.
    fn divergence(teacher: &[f32], student: &[f32], temperature: f64) -> f64 {
        let probabilities = |row: &[f32]| -> Vec<f64> {
            let powers: Vec<f64> = { row.iter() }
                .map(|logit| (f64::from(*logit) / temperature).exp())
                .collect();
            let sum: f64 = powers.iter().sum();
            powers.iter().map(|power| power / sum).collect()
        };
        let (p, q) = (probabilities(teacher), probabilities(student));
        p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
    }

    #[test]
    fn the_loss_is_that_of_the_paper() {
        let teacher = teacher(None, None);
        let own = host_values(&teacher.network.evaluate(images()));
        let student = [[0.5_f32, -0.25, 1.0], [0.0, 2.0, -1.0]];
        let logits = Tensor::<2>::from_data(student, &Device::flex().autodiff()).require_grad();
        let labels = logits.clone().sum().mul_scalar(0.0).add_scalar(0.8);
        let loss = teacher.combine(labels, logits.clone(), images(), Precision::F32);
        let mean =
            (0..2).map(|row| divergence(&own[3 * row..3 * row + 3], &student[row], 2.0) / 2.0);
        let expected = 0.25 * 0.8 + 0.75 * 4.0 * mean.sum::<f64>();
        let found = f64::from(host_values(&loss)[0]);
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        // (q − p) · T · share / N
        let gradient = host_values(&logits.grad(&loss.backward()).unwrap());
        let sums: Vec<f32> = gradient.chunks(3).map(|row| row.iter().sum()).collect();
        assert!(sums.iter().all(|sum| sum.abs() < 1e-6), "{sums:?}");
        assert!(gradient.iter().any(|number| number.abs() > 1e-3));
    }

    #[test]
    fn classes_are_matched_by_name() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let record =
            |classes: Vec<String>| ModelRecord::new("resnet20", classes, Preprocessing::cifar10());
        let classes: Vec<String> = names(&["cat", "dog", "eel"]);
        let same = matched_classes(&classes, &record(classes.clone()));
        assert_eq!(same, Ok(None));
        let other = matched_classes(&classes, &record(names(&["eel", "cat", "dog"])));
        assert_eq!(other, Ok(Some(vec![1, 2, 0])));
        let numbered = ModelRecord::numbered("resnet20", 3, Preprocessing::cifar10());
        assert_eq!(matched_classes(&classes, &numbered), Ok(None));
        let message = matched_classes(&classes, &record(names(&["a", "cat", "dog"])));
        assert!(message.unwrap_err().contains("'eel'"));
        let turned = teacher(None, Some(vec![2, 0, 1]));
        let plain = teacher(None, None);
        let found = turned.probabilities(images(), 3, Precision::F32);
        let own = plain.probabilities(images(), 3, Precision::F32);
        assert_eq!(found[..3], [own[2], own[0], own[1]]);
    }

    #[test]
    fn a_teacher_sees_images_as_it_is_used_to() {
        let student = Preprocessing::cifar10();
        assert_eq!(adaptation(&student, &student), Ok(None));
        let imagenet = Preprocessing {
            normalisation: Normalisation::imagenet(),
            ..Preprocessing::cifar10()
        };
        let change = adaptation(&student, &imagenet).unwrap().unwrap();
        // The pixel 0.75 of the first channel, before and after.
        let before = (0.75 - student.normalisation.mean()[0]) / student.normalisation.std()[0];
        let after = before * change.factors[0] + change.offsets[0];
        let normalisation = &imagenet.normalisation;
        let expected = (0.75 - normalisation.mean()[0]) / normalisation.std()[0];
        assert!((after - expected).abs() < 1e-5, "{after} {expected}");
        let message = adaptation(&student, &Preprocessing::imagenet()).unwrap_err();
        assert!(message.contains("224×224"), "{message}");
    }
}
