//! Which optimiser, with which settings.

use std::ops::Range;

use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ParameterRole;

/// Which optimiser, with which settings. The formulas are PyTorch's, and timm's for LAMB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimiserConfig {
    /// Stochastic gradient descent with momentum, without dampening.
    #[schemars(extend("default" = Self::sgd(0.1)))]
    Sgd {
        /// Peak learning rate.
        learning_rate: f64,
        /// Share of the velocity that is kept.
        momentum: f64,
        /// Look ahead along the velocity (Sutskever et al. 2013).
        nesterov: bool,
        /// Added to the gradient for each unit of the parameter.
        weight_decay: f64,
        /// Whether norms and biases decay too.
        decay_norms_and_biases: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    #[serde(rename = "adamw")]
    #[schemars(extend("default" = Self::adam_w(1e-3)))]
    AdamW {
        /// Peak learning rate.
        learning_rate: f64,
        /// Decay of the mean gradient.
        beta1: f64,
        /// Decay of the mean squared gradient.
        beta2: f64,
        /// Added to the root of the mean squared gradient.
        epsilon: f64,
        /// Share of the parameter removed for each unit of learning rate.
        weight_decay: f64,
        /// Whether norms and biases decay too.
        decay_norms_and_biases: bool,
    },
    /// Adam whose steps are as long as the parameter is large, for big batches (You et al. 2019,
    /// algorithm 2). What does not decay takes the steps of Adam. Published settings also clip
    /// gradients to a global norm of 1 (`clip_norm`).
    #[schemars(extend("default" = Self::lamb(5e-3)))]
    Lamb {
        /// Peak learning rate.
        learning_rate: f64,
        /// Decay of the mean gradient.
        beta1: f64,
        /// Decay of the mean squared gradient.
        beta2: f64,
        /// Added to the root of the mean squared gradient.
        epsilon: f64,
        /// Part of the step for each unit of the parameter.
        weight_decay: f64,
        /// Whether norms and biases decay too.
        decay_norms_and_biases: bool,
    },
    /// Steps divided by the root of the mean squared gradient (Tieleman and Hinton 2012, lecture 6e),
    /// with momentum.
    #[schemars(extend("default" = Self::rms_prop(0.01)))]
    RmsProp {
        /// Peak learning rate.
        learning_rate: f64,
        /// Share of the mean squared gradient that is kept.
        smoothing: f64,
        /// Added to the mean squared gradient or to its root, as the form says.
        epsilon: f64,
        /// Share of the velocity that is kept.
        momentum: f64,
        /// Added to the gradient for each unit of the parameter.
        weight_decay: f64,
        /// Whether norms and biases decay too.
        decay_norms_and_biases: bool,
        /// Whose rule it is.
        form: RmsPropForm,
    },
    /// Orthogonal steps for the weights of convolutions and hidden linear layers (Jordan et al. 2024),
    /// AdamW for the last layer, norms and biases.
    #[schemars(extend("default" = Self::muon(0.02)))]
    Muon {
        /// Peak learning rate.
        learning_rate: f64,
        /// Share of the velocity that is kept.
        momentum: f64,
        /// Look ahead along the velocity.
        nesterov: bool,
        /// Share of the parameter removed for each unit of learning rate.
        weight_decay: f64,
        /// How long steps are.
        scale: MuonScale,
        /// How all other parameters learn.
        others: OtherParameters,
    },
}

/// Whose RMSProp it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RmsPropForm {
    /// `torch.optim.RMSprop`: epsilon is added to the root.
    PyTorch,
    /// TensorFlow's, timm's `rmsproptf`, with which EfficientNets are trained: epsilon is added below
    /// the root, and the mean square begins as ones.
    TensorFlow,
}

/// What the steps of a matrix are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MuonScale {
    /// `√max(1, rows / columns)` (Jordan et al. 2024).
    Original,
    /// `0.2 · √max(rows, columns)`: steps as long as AdamW's (Liu et al. 2025, section 2.2).
    MatchRms,
}

/// AdamW for what Muon does not change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherParameters {
    /// Peak learning rate; the schedule changes both in proportion.
    pub learning_rate: f64,
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    pub epsilon: f64,
    /// Share of the last layer's weight removed for each unit of learning rate; norms and biases do
    /// not decay.
    pub weight_decay: f64,
}

impl OptimiserConfig {
    /// SGD with the momentum and decay that most CIFAR recipes use, Nesterov included.
    pub const fn sgd(learning_rate: f64) -> Self {
        Self::Sgd {
            learning_rate,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 5e-4,
            decay_norms_and_biases: true,
        }
    }

    /// AdamW with PyTorch's betas and the usual decay of vision recipes.
    pub fn adam_w(learning_rate: f64) -> Self {
        Self::AdamW {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.05,
            decay_norms_and_biases: false,
        }
    }

    /// LAMB with the settings of Wightman et al. 2021 ("ResNet strikes back", table 2).
    pub fn lamb(learning_rate: f64) -> Self {
        Self::Lamb {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-6,
            weight_decay: 0.02,
            decay_norms_and_biases: false,
        }
    }

    /// RMSProp with the settings of EfficientNets (Tan and Le 2019, section 5).
    pub fn rms_prop(learning_rate: f64) -> Self {
        Self::RmsProp {
            learning_rate,
            smoothing: 0.9,
            epsilon: 1e-3,
            momentum: 0.9,
            weight_decay: 1e-5,
            decay_norms_and_biases: false,
            form: RmsPropForm::TensorFlow,
        }
    }

    /// Muon with the momentum of Jordan et al. 2024; the other parameters learn a twentieth as fast.
    pub fn muon(learning_rate: f64) -> Self {
        Self::Muon {
            learning_rate,
            momentum: 0.95,
            nesterov: true,
            weight_decay: 0.01,
            scale: MuonScale::Original,
            others: OtherParameters {
                learning_rate: learning_rate / 20.0,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-8,
                weight_decay: 0.01,
            },
        }
    }

    /// Peak learning rate.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd { learning_rate, .. }
            | Self::AdamW { learning_rate, .. }
            | Self::Lamb { learning_rate, .. }
            | Self::RmsProp { learning_rate, .. }
            | Self::Muon { learning_rate, .. } => *learning_rate,
        }
    }

    /// The same with another peak learning rate; that of Muon's other parameters moves along.
    pub fn with_learning_rate(mut self, rate: f64) -> Self {
        let former = self.learning_rate();
        match &mut self {
            Self::Sgd { learning_rate, .. }
            | Self::AdamW { learning_rate, .. }
            | Self::Lamb { learning_rate, .. }
            | Self::RmsProp { learning_rate, .. } => *learning_rate = rate,
            Self::Muon {
                learning_rate,
                others,
                ..
            } => {
                *learning_rate = rate;
                others.learning_rate *= rate / former;
            }
        }
        self
    }

    /// The same with another weight decay.
    pub fn with_weight_decay(mut self, decay: f64) -> Self {
        match &mut self {
            Self::Sgd { weight_decay, .. }
            | Self::AdamW { weight_decay, .. }
            | Self::Lamb { weight_decay, .. }
            | Self::RmsProp { weight_decay, .. } => *weight_decay = decay,
            Self::Muon {
                weight_decay,
                others,
                ..
            } => {
                *weight_decay = decay;
                others.weight_decay = decay;
            }
        }
        self
    }

    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        within(
            "learning_rate",
            self.learning_rate(),
            f64::MIN_POSITIVE..f64::INFINITY,
        )?;
        match *self {
            Self::Sgd {
                momentum,
                weight_decay,
                ..
            } => {
                share("momentum", momentum)?;
                not_negative("weight_decay", weight_decay)
            }
            Self::AdamW {
                beta1,
                beta2,
                epsilon,
                weight_decay,
                ..
            }
            | Self::Lamb {
                beta1,
                beta2,
                epsilon,
                weight_decay,
                ..
            } => validate_moments([beta1, beta2], epsilon, weight_decay),
            Self::RmsProp {
                smoothing,
                epsilon,
                momentum,
                weight_decay,
                ..
            } => {
                share("smoothing", smoothing)?;
                share("momentum", momentum)?;
                not_negative("epsilon", epsilon)?;
                not_negative("weight_decay", weight_decay)
            }
            Self::Muon {
                momentum,
                weight_decay,
                others,
                ..
            } => {
                share("momentum", momentum)?;
                not_negative("weight_decay", weight_decay)?;
                others.validate().map_err(|error| error.within("others"))
            }
        }
    }

    /// The names of the tensors that it keeps for a parameter.
    pub fn memory_names(&self, role: ParameterRole) -> &'static [&'static str] {
        match (self, role) {
            (Self::Sgd { .. }, _) | (Self::Muon { .. }, ParameterRole::Hidden { .. }) => {
                &["velocity"]
            }
            (Self::RmsProp { .. }, _) => &["mean_square", "velocity"],
            (Self::AdamW { .. } | Self::Lamb { .. } | Self::Muon { .. }, _) => {
                &["mean", "mean_square"]
            }
        }
    }

    /// The weight decay of a parameter.
    pub(super) fn decay(&self, role: ParameterRole) -> f64 {
        let is_norm_or_bias = role == ParameterRole::NormOrBias;
        match *self {
            Self::Sgd {
                weight_decay,
                decay_norms_and_biases,
                ..
            }
            | Self::AdamW {
                weight_decay,
                decay_norms_and_biases,
                ..
            }
            | Self::Lamb {
                weight_decay,
                decay_norms_and_biases,
                ..
            }
            | Self::RmsProp {
                weight_decay,
                decay_norms_and_biases,
                ..
            } if decay_norms_and_biases || !is_norm_or_bias => weight_decay,
            Self::Muon { weight_decay, .. } if matches!(role, ParameterRole::Hidden { .. }) => {
                weight_decay
            }
            Self::Muon { others, .. } if !is_norm_or_bias => others.weight_decay,
            _ => 0.0,
        }
    }
}

impl OtherParameters {
    fn validate(&self) -> Result<(), SettingError> {
        not_negative("learning_rate", self.learning_rate)?;
        validate_moments([self.beta1, self.beta2], self.epsilon, self.weight_decay)
    }
}

/// The settings that Adam, AdamW and LAMB have in common.
fn validate_moments(
    [beta1, beta2]: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
) -> Result<(), SettingError> {
    share("beta1", beta1)?;
    share("beta2", beta2)?;
    not_negative("epsilon", epsilon)?;
    not_negative("weight_decay", weight_decay)
}

fn share(key: &str, value: f64) -> Result<(), SettingError> {
    within(key, value, 0.0..1.0)
}

fn not_negative(key: &str, value: f64) -> Result<(), SettingError> {
    within(key, value, 0.0..f64::INFINITY)
}

fn within(key: &str, value: f64, range: Range<f64>) -> Result<(), SettingError> {
    if range.contains(&value) {
        return Ok(());
    }
    let Range { start, end } = range;
    let expected = match (start, end) {
        (f64::MIN_POSITIVE, _) => "a number above 0".to_owned(),
        (_, f64::INFINITY) => format!("at least {start}"),
        _ => format!("at least {start} and less than {end}"),
    };
    Err(SettingError::value(key, value, expected))
}
