//! Optimisers: from gradients to new parameters.

use burn::tensor::Tensor;
use residua_core::setting::SettingError;
use residua_ops::{AdamW, Sgd, adam_w_step, sgd_step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::host_values;

/// Which optimiser, with which settings. The formulas are PyTorch's.
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

    /// Peak learning rate.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd { learning_rate, .. } | Self::AdamW { learning_rate, .. } => *learning_rate,
        }
    }

    /// The same with another peak learning rate.
    pub fn with_learning_rate(mut self, rate: f64) -> Self {
        match &mut self {
            Self::Sgd { learning_rate, .. } | Self::AdamW { learning_rate, .. } => {
                *learning_rate = rate;
            }
        }
        self
    }

    /// The same with another weight decay.
    pub fn with_weight_decay(mut self, decay: f64) -> Self {
        match &mut self {
            Self::Sgd { weight_decay, .. } | Self::AdamW { weight_decay, .. } => {
                *weight_decay = decay;
            }
        }
        self
    }

    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        let within = |key: &str, value: f64, range: std::ops::Range<f64>| {
            if range.contains(&value) {
                return Ok(());
            }
            let std::ops::Range { start, end } = range;
            let expected = format!("at least {start} and less than {end}");
            Err(SettingError::value(key, value, expected))
        };
        let rate = self.learning_rate();
        if !(rate.is_finite() && rate > 0.0) {
            let expected = "a number above 0";
            return Err(SettingError::value("learning_rate", rate, expected));
        }
        within("weight_decay", self.decay(false), 0.0..f64::INFINITY)?;
        match *self {
            Self::Sgd { momentum, .. } => within("momentum", momentum, 0.0..1.0),
            Self::AdamW {
                beta1,
                beta2,
                epsilon,
                ..
            } => {
                within("beta1", beta1, 0.0..1.0)?;
                within("beta2", beta2, 0.0..1.0)?;
                within("epsilon", epsilon, 0.0..f64::INFINITY)
            }
        }
    }

    /// The names of the tensors that it keeps for each parameter.
    pub fn memory_names(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { .. } => &["velocity"],
            Self::AdamW { .. } => &["mean", "mean_square"],
        }
    }

    fn decay(&self, is_norm_or_bias: bool) -> f64 {
        let (Self::Sgd {
            weight_decay,
            decay_norms_and_biases,
            ..
        }
        | Self::AdamW {
            weight_decay,
            decay_norms_and_biases,
            ..
        }) = *self;
        if is_norm_or_bias && !decay_norms_and_biases {
            0.0
        } else {
            weight_decay
        }
    }
}

/// What an optimiser remembers of one parameter: zeros at first, in the order of
/// [`OptimiserConfig::memory_names`].
pub type Memory = Vec<Tensor<1>>;

/// The optimiser of one run.
#[derive(Debug, Clone)]
pub struct Optimiser {
    config: OptimiserConfig,
}

/// One parameter at one step.
#[derive(Debug)]
pub struct Update {
    /// Its values, `[elements]`.
    pub parameter: Tensor<1>,
    /// Its gradient, `[elements]`.
    pub gradient: Tensor<1>,
    /// What the optimiser remembers of it.
    pub memory: Memory,
    /// Whether it belongs to a norm or is a bias, which may be exempt from decay.
    pub is_norm_or_bias: bool,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// The step, counted from 1.
    pub step: u64,
}

impl Optimiser {
    /// An optimiser with these settings.
    pub fn new(config: OptimiserConfig) -> Self {
        Self { config }
    }

    /// What it remembers of a parameter before the first step.
    pub fn initial_memory(&self, parameter: &Tensor<1>) -> Memory {
        let names = self.config.memory_names();
        names.iter().map(|_| parameter.zeros_like()).collect()
    }

    /// The parameter and the memory after the step.
    ///
    /// # Panics
    /// When the memory is not one of this optimiser.
    pub fn apply(&self, update: Update) -> (Tensor<1>, Memory) {
        let Update {
            parameter,
            gradient,
            memory,
            is_norm_or_bias,
            learning_rate,
            step,
        } = update;
        let weight_decay = self.config.decay(is_norm_or_bias);
        match self.config {
            OptimiserConfig::Sgd {
                momentum, nesterov, ..
            } => {
                let rule = Sgd {
                    learning_rate,
                    momentum,
                    weight_decay,
                    nesterov,
                };
                let [velocity] = tensors(memory);
                let (parameter, velocity) = sgd_step(parameter, gradient, velocity, rule);
                (parameter, vec![velocity])
            }
            OptimiserConfig::AdamW {
                beta1,
                beta2,
                epsilon,
                ..
            } => {
                let rule = AdamW {
                    learning_rate,
                    betas: [beta1, beta2],
                    epsilon,
                    weight_decay,
                };
                let moments = tensors(memory);
                let (parameter, moments) = adam_w_step(parameter, gradient, moments, rule, step);
                (parameter, moments.into())
            }
        }
    }
}

fn tensors<const N: usize>(memory: Memory) -> [Tensor<1>; N] {
    let found = memory.len();
    memory
        .try_into()
        .unwrap_or_else(|_| panic!("the optimiser remembers {N} tensors, and was given {found}"))
}

/// The factor that brings gradients of this global norm down to `limit` (Pascanu et al. 2013),
/// as PyTorch's `clip_grad_norm_` computes it; at most 1.
pub fn clip_factor(norm: f64, limit: f64) -> f64 {
    (limit / (norm + 1e-6)).min(1.0)
}

/// The square root of the sum of the squares of all gradients.
///
/// Summed on the host in 64 bits and in order: Burn divides a sum among threads as it likes,
/// and the same seed must give the same bits.
pub fn global_norm(gradients: &[Tensor<1>]) -> f64 {
    let square_sum = |gradient: &Tensor<1>| {
        let values = host_values(gradient);
        values.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>()
    };
    gradients.iter().map(square_sum).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use serde_json::Value;

    fn floats(value: &Value) -> Vec<f32> {
        let list = value.as_array().unwrap();
        list.iter().map(|v| v.as_f64().unwrap() as f32).collect()
    }

    fn tensor(values: &[f32]) -> Tensor<1> {
        Tensor::from_floats(values, &Device::flex())
    }

    /// Replays a trace of PyTorch.
    fn assert_trace_agrees(name: &str, config: OptimiserConfig) {
        let text = include_str!("../tests/fixtures/optimizers.json");
        let trace = &serde_json::from_str::<Value>(text).unwrap()[name];
        let optimiser = Optimiser::new(config);
        let mut parameter = tensor(&floats(&trace["initial"]["data"]));
        let mut memory = optimiser.initial_memory(&parameter);
        let gradients = trace["gradients_per_step"].as_array().unwrap();
        let results = trace["parameters_after_each_step"].as_array().unwrap();
        for (step, (gradient, expected)) in (1..).zip(gradients.iter().zip(results)) {
            (parameter, memory) = optimiser.apply(Update {
                parameter,
                gradient: tensor(&floats(gradient)),
                memory,
                is_norm_or_bias: false,
                learning_rate: config.learning_rate(),
                step,
            });
            let found: Vec<f32> = parameter.to_data().try_into_vec().unwrap();
            for (found, expected) in found.iter().zip(floats(expected)) {
                assert!(
                    (found - expected).abs() <= 2e-6,
                    "{name}, step {step}: {found} is not {expected}"
                );
            }
        }
    }

    fn sgd_config(momentum: f64, nesterov: bool, weight_decay: f64) -> OptimiserConfig {
        OptimiserConfig::Sgd {
            learning_rate: 0.1,
            momentum,
            nesterov,
            weight_decay,
            decay_norms_and_biases: true,
        }
    }

    #[test]
    fn traces_agree_with_pytorch() {
        assert_trace_agrees("sgd", sgd_config(0.0, false, 0.0));
        assert_trace_agrees("sgd_momentum", sgd_config(0.9, false, 0.0));
        assert_trace_agrees("sgd_momentum_wd", sgd_config(0.9, false, 0.05));
        assert_trace_agrees("sgd_nesterov_wd", sgd_config(0.9, true, 0.05));
        assert_trace_agrees("adamw", OptimiserConfig::adam_w(0.01));
    }

    #[test]
    fn norms_and_biases_can_be_exempt_from_decay() {
        let config = OptimiserConfig::adam_w(0.1);
        assert_eq!(config.decay(true), 0.0);
        assert_eq!(config.decay(false), 0.05);
        assert_eq!(OptimiserConfig::sgd(0.1).decay(true), 5e-4);
    }

    #[test]
    fn the_global_norm_is_brought_down_to_the_limit() {
        let gradients = [tensor(&[3.0]), tensor(&[0.0, 4.0])];
        let norm = global_norm(&gradients);
        assert!((norm - 5.0).abs() < 1e-6);
        assert!((clip_factor(norm, 1.0) - 0.2).abs() < 1e-6);
        assert_eq!(clip_factor(norm, 10.0), 1.0);
    }
}
