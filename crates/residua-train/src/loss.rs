//! Losses: a number that training makes small.
//!
//! Where images have one class each, targets are distributions over the classes. Where an image shows any
//! number of classes, each class is a question of its own, answered by the sigmoid of its logit: the
//! losses for that are binary cross entropy and the focal loss in its own form.

use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Device, Tensor, TensorData};
use residua_core::setting::SettingError;
use residua_core::task::Task;
use residua_data::{Labels, Mixture};
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
    /// "Focal Loss for Dense Object Detection", equation 4, over the softmax). Where an image shows any
    /// number of classes it is the same over the sigmoid of each logit, as in the paper, averaged over the
    /// classes.
    #[schemars(extend("default" = Self::focal()))]
    Focal {
        /// How much less; 0 is cross entropy, the paper takes 2.
        focus: f32,
        /// As of [`LossConfig::CrossEntropy`].
        label_smoothing: f32,
    },
    /// Every class is a yes or no of its own, by the sigmoid of its logit, averaged over the classes
    /// (Wightman et al. 2021, "ResNet strikes back", §2.1). It is the usual loss where an image shows any
    /// number of classes.
    #[schemars(extend("default" = Self::binary_cross_entropy()))]
    BinaryCrossEntropy {
        /// As of [`LossConfig::CrossEntropy`].
        label_smoothing: f32,
        /// Where images are mixed: a class of which an image has more than this share counts as a yes
        /// without reserve, any other as a no, as in Wightman et al. 2021 and timm (0.2). The
        /// shares themselves count unless set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_threshold: Option<f32>,
    },
    /// Squared difference between logits and one-hot targets, averaged over samples and
    /// classes.
    MeanSquaredError,
}

/// What the logits of a batch should say.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// What each image is labelled with.
    pub labels: &'a Labels,
    /// What each image is also labelled with, where images were mixed.
    pub mixture: Option<&'a Mixture>,
    /// How much an image of each class counts, or, where an image shows any number of classes, how much
    /// the answer counts where it should be yes; all the same if there are none.
    pub class_weights: Option<&'a [f32]>,
}

impl<'a> Targets<'a> {
    /// What images are labelled with, all of which count the same.
    pub fn new(labels: &'a Labels) -> Self {
        Self {
            labels,
            mixture: None,
            class_weights: None,
        }
    }

    /// How much each image counts, where images have one class each.
    fn image_weights(&self) -> Option<Vec<f32>> {
        let weights = self.class_weights?;
        let of = |classes: &[u32]| -> f32 { classes.iter().map(|c| weights[*c as usize]).sum() };
        let mixed = self.shown();
        Some(
            mixed
                .map(|(own, other, share)| share * of(own) + (1.0 - share) * of(other))
                .collect(),
        )
    }

    /// Of each image its classes, those of the other image in it, and the share of the first.
    fn shown(&self) -> impl Iterator<Item = (&[u32], &[u32], f32)> {
        (0..self.labels.len()).map(|image| {
            let own = self.labels.shown(image);
            match self.mixture {
                Some(mixture) => {
                    let other = mixture.partner_labels.shown(image);
                    (own, other, mixture.shares[image])
                }
                None => (own, own, 1.0),
            }
        })
    }

    /// How much of each image shows each class, 0 to 1, row by row.
    fn shares(&self, classes: usize) -> Vec<f32> {
        let mut rows = vec![0.0; self.labels.len() * classes];
        for (row, (own, other, share)) in rows.chunks_mut(classes).zip(self.shown()) {
            for class in own {
                row[*class as usize] += share;
            }
            for class in other {
                row[*class as usize] += 1.0 - share;
            }
        }
        rows
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
            target_threshold: None,
        }
    }

    /// The share of the target that is spread over all classes, where the loss knows such a thing.
    pub fn label_smoothing(&self) -> Option<f32> {
        match *self {
            Self::CrossEntropy { label_smoothing }
            | Self::Focal {
                label_smoothing, ..
            }
            | Self::BinaryCrossEntropy {
                label_smoothing, ..
            } => Some(label_smoothing),
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
            | Self::BinaryCrossEntropy {
                label_smoothing, ..
            } => *label_smoothing = share,
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
            Self::BinaryCrossEntropy {
                target_threshold: Some(threshold),
                ..
            } if !(0.0..1.0).contains(&threshold) => {
                let expected = "0 or more and less than 1";
                Err(SettingError::value("target_threshold", threshold, expected))
            }
            _ => Ok(()),
        }
    }

    /// Says whether it can be made small for a task, or why not and what else is there.
    pub(crate) fn check_task(&self, task: Task) -> Result<(), SettingError> {
        if task == Task::SingleLabel {
            return Ok(());
        }
        let advice = "--loss binary-cross-entropy and --loss focal judge each class on its own";
        match *self {
            Self::CrossEntropy { .. } => Err(SettingError::new(
                "kind",
                format!(
                    "is cross-entropy, which takes each image to be of one class, but these show any \
                     number of them; {advice}"
                ),
            )),
            Self::MeanSquaredError => Err(SettingError::new(
                "kind",
                format!(
                    "is mean-squared-error, which takes each image to be of one class, but these show \
                     any number of them; {advice}"
                ),
            )),
            Self::Focal {
                label_smoothing, ..
            }
            | Self::BinaryCrossEntropy {
                label_smoothing, ..
            } if label_smoothing > 0.0 => Err(SettingError::new(
                "label_smoothing",
                format!(
                    "is {label_smoothing}, which spreads the one class of an image over all, but these \
                     show any number of them; leave out --label-smoothing"
                ),
            )),
            Self::Focal { .. } | Self::BinaryCrossEntropy { .. } => Ok(()),
        }
    }

    /// The target distribution of each sample, row by row, where images have one class each.
    pub fn distributions(&self, targets: Targets<'_>, classes: usize) -> Vec<f32> {
        let smoothing = self.label_smoothing().unwrap_or(0.0);
        let rest = smoothing / classes as f32;
        let mut rows = vec![rest; targets.labels.len() * classes];
        for (row, (own, other, share)) in rows.chunks_mut(classes).zip(targets.shown()) {
            if own == other {
                for class in own {
                    row[*class as usize] = 1.0 - smoothing + rest;
                }
                continue;
            }
            for class in own {
                row[*class as usize] = (1.0 - smoothing) * share + rest;
            }
            for class in other {
                row[*class as usize] = (1.0 - smoothing) * (1.0 - share) + rest;
            }
        }
        if let Self::BinaryCrossEntropy {
            target_threshold: Some(threshold),
            ..
        } = *self
            && targets.mixture.is_some()
        {
            let is_yes = |share: &f32| f32::from(u8::from(*share > threshold));
            rows.iter_mut().for_each(|share| *share = is_yes(share));
        }
        rows
    }

    /// The loss of a batch, on the tape if the logits are: the mean over its images, each multiplied by
    /// its weight. Where an image shows any number of classes, the weight of a class multiplies the part
    /// of the loss that asks for a yes, as `pos_weight` of PyTorch's `BCEWithLogitsLoss` does.
    ///
    /// # Shapes
    /// `logits`: `[N, classes]`; labels, below `classes`, for each row; a weight for each class.
    pub fn compute(&self, logits: Tensor<2>, targets: Targets<'_>, device: &Device) -> Tensor<1> {
        let [batch, classes] = logits.dims();
        if targets.labels.task() == Task::MultiLabel {
            let shares = TensorData::new(targets.shares(classes), [batch, classes]);
            let shares = Tensor::<2>::from_data(shares, device);
            let weights = targets.class_weights.map(|weights| {
                Tensor::<2>::from_data(TensorData::new(weights.to_vec(), [1, classes]), device)
            });
            let losses = self.of_each_answer(logits, shares, weights);
            return losses.mean_dim(1).sum().div_scalar(batch as f64);
        }
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

    /// The loss of each answer about a class, `[N, classes]`, by the sigmoid of its logit: the focal loss
    /// of equation 4 (Lin et al. 2017), which is binary cross entropy where nothing is focused on.
    fn of_each_answer(
        &self,
        logits: Tensor<2>,
        yes: Tensor<2>,
        weights: Option<Tensor<2>>,
    ) -> Tensor<2> {
        let focus = match *self {
            Self::Focal { focus, .. } => focus,
            // The others do not pass `check_task`.
            Self::BinaryCrossEntropy { .. }
            | Self::CrossEntropy { .. }
            | Self::MeanSquaredError => 0.0,
        };
        // The logarithms of the probabilities of yes and no, each of which doubts the other.
        let log_yes = log_sigmoid(logits.clone());
        let log_no = log_sigmoid(logits.neg());
        let focused = |logarithms: Tensor<2>, doubts: &Tensor<2>| match focus {
            0.0 => logarithms,
            _ => logarithms * doubts.clone().mul_scalar(focus).exp(),
        };
        let no = yes.clone().neg() + 1.0;
        let of_yes = focused(log_yes.clone(), &log_no) * yes;
        let of_no = focused(log_no, &log_yes) * no;
        let of_yes = match weights {
            Some(weights) => of_yes * weights,
            None => of_yes,
        };
        (of_yes + of_no).neg()
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
mod tests;
