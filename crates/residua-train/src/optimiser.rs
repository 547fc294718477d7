//! Optimisers: from gradients to new parameters.

mod config;

use burn::tensor::Tensor;
use residua_graph::{NodeId, StateEntry, StateRole};
use residua_ops::{
    AdamW, DecayForm, Lamb, Muon, RmsProp, Sgd, TrustBound, adam_w_step, lamb_step, muon_step,
    rms_prop_step, sgd_step,
};

use crate::network::host_values;

pub use config::{MuonScale, OptimiserConfig, OtherParameters, RmsPropForm};

/// What optimisers need to know of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterRole {
    /// The weight of a convolution or a linear layer that is not the last one, as a matrix.
    Hidden {
        /// Outputs, and numbers that go into each.
        shape: [usize; 2],
    },
    /// A weight that is no such matrix: that of the last layer, or a table of positions.
    OtherWeight,
    /// Of a normalisation, or a bias: what many recipes exempt from weight decay.
    NormOrBias,
}

impl ParameterRole {
    /// Of a tensor of a network with this last layer.
    pub(crate) fn of(entry: &StateEntry, head: Option<NodeId>) -> Self {
        match &entry.shape[..] {
            _ if entry.role.is_norm_or_bias() => Self::NormOrBias,
            [rows, inputs @ ..]
                if entry.role == StateRole::Weight
                    && !inputs.is_empty()
                    && Some(entry.node) != head =>
            {
                Self::Hidden {
                    shape: [*rows, inputs.iter().product()],
                }
            }
            _ => Self::OtherWeight,
        }
    }
}

/// What an optimiser remembers of one parameter, in the order of [`OptimiserConfig::memory_names`].
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
    /// What it is.
    pub role: ParameterRole,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Momentum of this step (of Adam and its relatives the decay of the mean gradient), if it is
    /// not the configured one.
    pub momentum: Option<f64>,
    /// Weight decay, if it is not the configured one.
    pub weight_decay: Option<f64>,
    /// The step, counted from 1.
    pub step: u64,
}

impl Optimiser {
    /// An optimiser with these settings.
    pub fn new(config: OptimiserConfig) -> Self {
        Self { config }
    }

    /// What it remembers of a parameter before the first step.
    pub fn initial_memory(&self, parameter: &Tensor<1>, role: ParameterRole) -> Memory {
        let names = self.config.memory_names(role);
        let first = |name: &&str| match self.config {
            OptimiserConfig::RmsProp { form, .. } if *name == "mean_square" => {
                let value = residua_ops::RmsPropForm::from(form).first_mean_square();
                parameter.zeros_like().add_scalar(value)
            }
            _ => parameter.zeros_like(),
        };
        names.iter().map(first).collect()
    }

    /// The parameter and the memory after the step.
    ///
    /// # Panics
    /// When the memory is not one of this optimiser.
    pub fn apply(&self, update: Update) -> (Tensor<1>, Memory) {
        let learning_rate = update.learning_rate;
        let weight_decay = { update.weight_decay }.unwrap_or(self.config.decay(update.role));
        let moving = |configured: f64| update.momentum.unwrap_or(configured);
        match self.config {
            OptimiserConfig::Sgd {
                momentum, nesterov, ..
            } => {
                let rule = Sgd {
                    learning_rate,
                    momentum: moving(momentum),
                    weight_decay,
                    nesterov,
                };
                let [velocity] = tensors(update.memory);
                let (parameter, velocity) =
                    sgd_step(update.parameter, update.gradient, velocity, rule);
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
                    betas: [moving(beta1), beta2],
                    epsilon,
                    weight_decay,
                };
                adam_w(update, rule)
            }
            OptimiserConfig::Lamb {
                beta1,
                beta2,
                epsilon,
                ..
            } => {
                let rule = Lamb {
                    learning_rate,
                    betas: [moving(beta1), beta2],
                    epsilon,
                    weight_decay,
                    form: DecayForm::Coupled,
                    bound: TrustBound::Unbounded,
                };
                let moments = tensors(update.memory);
                let (parameter, moments) = lamb_step(
                    update.parameter,
                    update.gradient,
                    moments,
                    rule,
                    update.step,
                );
                (parameter, moments.into())
            }
            OptimiserConfig::RmsProp {
                smoothing,
                epsilon,
                momentum,
                form,
                ..
            } => {
                let rule = RmsProp {
                    learning_rate,
                    smoothing,
                    epsilon,
                    momentum: moving(momentum),
                    weight_decay,
                    form: form.into(),
                };
                let state = tensors(update.memory);
                let (parameter, state) =
                    rms_prop_step(update.parameter, update.gradient, state, rule);
                (parameter, state.into())
            }
            OptimiserConfig::Muon {
                momentum,
                nesterov,
                scale,
                others,
                learning_rate: peak,
                ..
            } => match update.role {
                ParameterRole::Hidden { shape } => {
                    let rule = Muon {
                        learning_rate,
                        momentum: moving(momentum),
                        nesterov,
                        weight_decay,
                        scale: scale.into(),
                    };
                    let [velocity] = tensors(update.memory);
                    let (parameter, velocity) =
                        muon_step(shape, update.parameter, update.gradient, velocity, rule);
                    (parameter, vec![velocity])
                }
                ParameterRole::OtherWeight | ParameterRole::NormOrBias => {
                    let rule = AdamW {
                        learning_rate: learning_rate / peak * others.learning_rate,
                        betas: [others.beta1, others.beta2],
                        epsilon: others.epsilon,
                        weight_decay,
                    };
                    adam_w(update, rule)
                }
            },
        }
    }
}

fn adam_w(update: Update, rule: AdamW) -> (Tensor<1>, Memory) {
    let moments = tensors(update.memory);
    let (parameter, moments) = adam_w_step(
        update.parameter,
        update.gradient,
        moments,
        rule,
        update.step,
    );
    (parameter, moments.into())
}

impl From<RmsPropForm> for residua_ops::RmsPropForm {
    fn from(form: RmsPropForm) -> Self {
        match form {
            RmsPropForm::PyTorch => Self::PyTorch,
            RmsPropForm::TensorFlow => Self::TensorFlow,
        }
    }
}

impl From<MuonScale> for residua_ops::MuonScale {
    fn from(scale: MuonScale) -> Self {
        match scale {
            MuonScale::Original => Self::Original,
            MuonScale::MatchRms => Self::MatchRms,
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
        let role = ParameterRole::OtherWeight;
        let mut memory = optimiser.initial_memory(&parameter, role);
        let gradients = trace["gradients_per_step"].as_array().unwrap();
        let results = trace["parameters_after_each_step"].as_array().unwrap();
        for (step, (gradient, expected)) in (1..).zip(gradients.iter().zip(results)) {
            (parameter, memory) = optimiser.apply(Update {
                parameter,
                gradient: tensor(&floats(gradient)),
                memory,
                role,
                learning_rate: config.learning_rate(),
                momentum: None,
                weight_decay: None,
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
        let rms_prop = OptimiserConfig::RmsProp {
            learning_rate: 0.01,
            smoothing: 0.9,
            epsilon: 1e-8,
            momentum: 0.9,
            weight_decay: 0.0,
            decay_norms_and_biases: true,
            form: RmsPropForm::PyTorch,
        };
        assert_trace_agrees("rmsprop", rms_prop);
    }

    #[test]
    fn norms_and_biases_can_be_exempt_from_decay() {
        let config = OptimiserConfig::adam_w(0.1);
        let norm = ParameterRole::NormOrBias;
        assert_eq!(config.decay(norm), 0.0);
        assert_eq!(config.decay(ParameterRole::OtherWeight), 0.05);
        assert_eq!(OptimiserConfig::sgd(0.1).decay(norm), 5e-4);
        let muon = OptimiserConfig::muon(0.1).with_weight_decay(0.3);
        assert_eq!(muon.decay(norm), 0.0);
        assert_eq!(muon.decay(ParameterRole::OtherWeight), 0.3);
        assert_eq!(muon.decay(ParameterRole::Hidden { shape: [1, 2] }), 0.3);
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
