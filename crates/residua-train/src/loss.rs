//! Losses: a number that training makes small.

use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Device, Tensor, TensorData};
use residua_core::setting::SettingError;
use residua_data::Mixture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossConfig {
    /// Cross entropy of the softmax of the logits.
    #[schemars(extend("default" = Self::cross_entropy()))]
    CrossEntropy {
        /// Probability spread evenly over all classes (Szegedy et al. 2016, §7); 0 for none.
        label_smoothing: f32,
    },
    /// Cross entropy that counts the less the surer the network is of the right class (Lin et al. 2017,
    /// "Focal Loss for Dense Object Detection", equation 4, over the softmax).
    #[schemars(extend("default" = Self::focal()))]
    Focal {
        /// How much less; 0 is cross entropy, the paper takes 2.
        focus: f32,
        /// As of [`LossConfig::CrossEntropy`].
        label_smoothing: f32,
    },
    /// Every class is a yes or no of its own, by the sigmoid of its logit, averaged over the classes
    /// (Wightman et al. 2021, "ResNet strikes back", §2.1).
    #[schemars(extend("default" = Self::binary_cross_entropy()))]
    BinaryCrossEntropy {
        /// As of [`LossConfig::CrossEntropy`].
        label_smoothing: f32,
    },
    /// Squared difference between logits and one-hot targets, averaged over samples and
    /// classes.
    MeanSquaredError,
}

/// What the logits of a batch should say.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// The class of each image.
    pub labels: &'a [u32],
    /// Which other class each image also shows, where images were mixed.
    pub mixture: Option<&'a Mixture>,
    /// How much an image of each class counts; all the same if there are none.
    pub class_weights: Option<&'a [f32]>,
}

impl<'a> Targets<'a> {
    /// One class for each image, all of which count the same.
    pub fn new(labels: &'a [u32]) -> Self {
        Self {
            labels,
            mixture: None,
            class_weights: None,
        }
    }

    /// How much each image counts.
    fn image_weights(&self) -> Option<Vec<f32>> {
        let weights = self.class_weights?;
        let of = |(label, other, share): (u32, u32, f32)| {
            share * weights[label as usize] + (1.0 - share) * weights[other as usize]
        };
        Some(self.shown().map(of).collect())
    }

    /// Of each image its class, its other class, and the share of the first.
    fn shown(&self) -> impl Iterator<Item = (u32, u32, f32)> {
        self.labels.iter().enumerate().map(|(image, label)| {
            let other = self
                .mixture
                .map(|mixture| (mixture.partner_labels[image], mixture.shares[image]));
            let (other, share) = other.unwrap_or((*label, 1.0));
            (*label, other, share)
        })
    }
}

impl LossConfig {
    /// Cross entropy as it is, without smoothing.
    pub const fn cross_entropy() -> Self {
        Self::CrossEntropy {
            label_smoothing: 0.0,
        }
    }

    /// The focal loss with the paper's focus, without smoothing.
    pub const fn focal() -> Self {
        Self::Focal {
            focus: 2.0,
            label_smoothing: 0.0,
        }
    }

    /// A yes or no for each class, without smoothing.
    pub const fn binary_cross_entropy() -> Self {
        Self::BinaryCrossEntropy {
            label_smoothing: 0.0,
        }
    }

    /// The share of the target that is spread over all classes, where the loss knows such a thing.
    pub fn label_smoothing(&self) -> Option<f32> {
        match *self {
            Self::CrossEntropy { label_smoothing }
            | Self::Focal {
                label_smoothing, ..
            }
            | Self::BinaryCrossEntropy { label_smoothing } => Some(label_smoothing),
            Self::MeanSquaredError => None,
        }
    }

    /// The same with another share.
    ///
    /// # Errors
    /// With the loss itself, where it knows no such thing.
    pub fn with_label_smoothing(mut self, share: f32) -> Result<Self, Self> {
        match &mut self {
            Self::CrossEntropy { label_smoothing }
            | Self::Focal {
                label_smoothing, ..
            }
            | Self::BinaryCrossEntropy { label_smoothing } => *label_smoothing = share,
            Self::MeanSquaredError => return Err(self),
        }
        Ok(self)
    }

    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        if let Some(share) = self.label_smoothing()
            && !(0.0..1.0).contains(&share)
        {
            let expected = "0 or more and less than 1";
            return Err(SettingError::value("label_smoothing", share, expected));
        }
        match *self {
            Self::Focal { focus, .. } if !(0.0..=10.0).contains(&focus) => {
                let expected = "0 to 10, 2 in the paper";
                Err(SettingError::value("focus", focus, expected))
            }
            _ => Ok(()),
        }
    }

    /// The target distribution of each sample, row by row.
    pub fn distributions(&self, targets: Targets<'_>, classes: usize) -> Vec<f32> {
        let smoothing = self.label_smoothing().unwrap_or(0.0);
        let rest = smoothing / classes as f32;
        let mut rows = vec![rest; targets.labels.len() * classes];
        for (row, (label, other, share)) in rows.chunks_mut(classes).zip(targets.shown()) {
            if label == other {
                row[label as usize] = 1.0 - smoothing + rest;
            } else {
                row[label as usize] = (1.0 - smoothing) * share + rest;
                row[other as usize] = (1.0 - smoothing) * (1.0 - share) + rest;
            }
        }
        rows
    }

    /// The loss of a batch, on the tape if the logits are: the mean over its images, each multiplied by
    /// its weight.
    ///
    /// # Shapes
    /// `logits`: `[N, classes]`; one label, below `classes`, for each row; a weight for each class.
    pub fn compute(&self, logits: Tensor<2>, targets: Targets<'_>, device: &Device) -> Tensor<1> {
        let [batch, classes] = logits.dims();
        let labels = self.distributions(targets, classes);
        let labels = Tensor::<2>::from_data(TensorData::new(labels, [batch, classes]), device);
        // Row by row first: a sum over millions of values would depend on the threads.
        let losses = self.of_each(logits, labels);
        let losses = match targets.image_weights() {
            None => losses,
            Some(weights) => {
                losses * Tensor::<2>::from_data(TensorData::new(weights, [batch, 1]), device)
            }
        };
        losses.sum().div_scalar(batch as f64)
    }

    /// The loss of each image, `[N, 1]`.
    fn of_each(&self, logits: Tensor<2>, targets: Tensor<2>) -> Tensor<2> {
        match *self {
            Self::CrossEntropy { .. } => (log_softmax(logits, 1) * targets).sum_dim(1).neg(),
            Self::Focal { focus, .. } => {
                let logarithms = log_softmax(logits, 1);
                // A root has no slope at 0, which rounding reaches.
                let doubts = (logarithms.clone().exp().neg() + 1.0).clamp_min(f32::EPSILON);
                let factors = match focus {
                    0.0 => doubts.ones_like(),
                    _ => doubts.powf_scalar(focus),
                };
                (logarithms * factors * targets).sum_dim(1).neg()
            }
            Self::BinaryCrossEntropy { .. } => {
                let yes = log_sigmoid(logits.clone()) * targets.clone();
                let no = log_sigmoid(logits.neg()) * (targets.neg() + 1.0);
                (yes + no).mean_dim(1).neg()
            }
            Self::MeanSquaredError => {
                let difference = logits - targets;
                (difference.clone() * difference).mean_dim(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn floats(value: &Value) -> Vec<f32> {
        let list = value["data"].as_array().unwrap();
        list.iter().map(|v| v.as_f64().unwrap() as f32).collect()
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 1e-6 + 1e-5 * expected.abs(),
                "{found} is not {expected}"
            );
        }
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    fn assert_cross_entropy_agrees(text: &str, label_smoothing: f32) {
        let fixture: Value = serde_json::from_str(text).unwrap();
        let logits = &fixture["inputs"]["logits"];
        let rows = logits["shape"][0].as_u64().unwrap() as usize;
        let columns = logits["shape"][1].as_u64().unwrap() as usize;
        let labels = floats(&fixture["inputs"]["target"]);
        let labels: Vec<u32> = labels.iter().map(|label| *label as u32).collect();
        let device = Device::flex().autodiff();
        let data = TensorData::new(floats(logits), [rows, columns]);
        let logits = Tensor::<2>::from_data(data, &device).require_grad();
        let loss = LossConfig::CrossEntropy { label_smoothing };
        let loss = loss.compute(logits.clone(), Targets::new(&labels), &device);
        let gradient = logits.grad(&loss.backward()).unwrap();
        assert_close(&values(loss), &floats(&fixture["outputs"]["mean"]));
        assert_close(
            &values(gradient),
            &floats(&fixture["grad_of_logits"]["mean"]),
        );
    }

    #[test]
    fn cross_entropy_agrees_with_pytorch() {
        assert_cross_entropy_agrees(include_str!("../tests/fixtures/cross_entropy.json"), 0.0);
        let smoothed = include_str!("../tests/fixtures/cross_entropy_smoothing_0.1.json");
        assert_cross_entropy_agrees(smoothed, 0.1);
    }

    /// From PyTorch in 64 bits: losses of each image times the weight of its class, averaged. The focal
    /// loss is written out there, as PyTorch has none.
    #[test]
    fn all_losses_agree_with_pytorch() {
        let fixture: Value =
            serde_json::from_str(include_str!("../tests/fixtures/losses.json")).unwrap();
        let numbers = |value: &Value| -> Vec<f32> {
            let list = value.as_array().unwrap().iter();
            list.map(|number| number.as_f64().unwrap() as f32).collect()
        };
        let labels = numbers(&fixture["labels"]).into_iter();
        let labels: Vec<u32> = labels.map(|label| label as u32).collect();
        let weights = numbers(&fixture["class_weights"]);
        let device = Device::flex().autodiff();
        let cases = fixture["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 20);
        for case in cases {
            let mut settings = serde_json::Map::new();
            for key in ["kind", "focus", "label_smoothing"] {
                settings.extend(case.get(key).map(|value| (key.to_owned(), value.clone())));
            }
            let loss: LossConfig = serde_json::from_value(Value::Object(settings)).unwrap();
            let data = TensorData::new(numbers(&fixture["logits"]), [5, 4]);
            let logits = Tensor::<2>::from_data(data, &device).require_grad();
            let targets = Targets {
                labels: &labels,
                mixture: None,
                class_weights: case["weighted"].as_bool().unwrap().then_some(&weights),
            };
            let found = loss.compute(logits.clone(), targets, &device);
            let gradient = logits.grad(&found.backward()).unwrap();
            assert_close(&values(found), &[case["value"].as_f64().unwrap() as f32]);
            assert_close(&values(gradient), &numbers(&case["gradient"]));
        }
    }

    #[test]
    fn mixed_images_are_of_both_classes() {
        let mixture = Mixture {
            partner_labels: vec![2, 1, 0],
            shares: vec![0.25, 0.5, 1.0],
        };
        let weights = [1.0, 10.0, 100.0];
        let targets = Targets {
            labels: &[0, 1, 2],
            mixture: Some(&mixture),
            class_weights: Some(&weights),
        };
        let loss = LossConfig::CrossEntropy {
            label_smoothing: 0.3,
        };
        let expected = [
            0.7 * 0.25 + 0.1,
            0.1,
            0.7 * 0.75 + 0.1, //
            0.1,
            0.8,
            0.1, //
            0.1,
            0.1,
            0.8,
        ];
        assert_close(&loss.distributions(targets, 3), &expected);
        let expected = [0.25 + 75.0, 10.0, 100.0];
        assert_close(&targets.image_weights().unwrap(), &expected);
    }

    #[test]
    fn certainty_has_finite_gradients() {
        let device = Device::flex().autodiff();
        for kind in [
            LossConfig::Focal {
                focus: 0.5,
                label_smoothing: 0.0,
            },
            LossConfig::BinaryCrossEntropy {
                label_smoothing: 0.0,
            },
        ] {
            let logits = Tensor::<2>::from_data([[90.0, -90.0], [-90.0, 90.0]], &device);
            let logits = logits.require_grad();
            let loss = kind.compute(logits.clone(), Targets::new(&[0, 0]), &device);
            let gradient = values(logits.grad(&loss.backward()).unwrap());
            assert!(
                gradient.iter().all(|number| number.is_finite()),
                "{gradient:?}"
            );
            assert!(values(loss)[0] > 80.0 / 2.0);
        }
    }

    #[test]
    fn squared_error_is_the_mean_over_samples_and_classes() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<2>::from_data([[1.0, 0.5], [0.0, -1.0]], &device).require_grad();
        let loss =
            LossConfig::MeanSquaredError.compute(logits.clone(), Targets::new(&[0, 1]), &device);
        let gradient = logits.grad(&loss.backward()).unwrap();
        // Differences 0, 0.5, 0, -2.
        assert_close(&values(loss), &[4.25 / 4.0]);
        assert_close(&values(gradient), &[0.0, 0.25, 0.0, -1.0]);
    }
}
