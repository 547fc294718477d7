//! The moving average of a network's weights, which is often better than the weights themselves.

use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::Network;

/// An exponential moving average of weights and running statistics over the steps of a run (Polyak and
/// Juditsky 1992; Tarvainen and Valpola 2017). Validation, `best.safetensors` and the final evaluation
/// are the average's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightAverage {
    /// Share of the average that each step keeps, at least 0 and less than 1. In the first steps it is
    /// less: (1 + step) / (10 + step), as TensorFlow's `ExponentialMovingAverage` has it, so that the
    /// values of the beginning are soon forgotten.
    pub decay: f64,
}

impl WeightAverage {
    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        if (0.0..1.0).contains(&self.decay) {
            return Ok(());
        }
        let expected = "0 or more and less than 1";
        Err(SettingError::value("decay", self.decay, expected))
    }

    /// What is kept at a step, counted from 1.
    fn kept_at(&self, step: u64) -> f64 {
        let step = step as f64;
        self.decay.min((1.0 + step) / (10.0 + step))
    }
}

/// A network of averaged weights.
#[derive(Debug, Clone)]
pub(crate) struct AveragedNetwork {
    settings: WeightAverage,
    network: Network,
}

impl AveragedNetwork {
    /// Begins, or goes on, with these weights.
    pub(crate) fn new(settings: WeightAverage, network: Network) -> Self {
        Self { settings, network }
    }

    /// The average.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Takes in the weights after a step, counted from 1.
    pub(crate) fn absorb(&mut self, network: &Network, step: u64) {
        let taken = 1.0 - self.settings.kept_at(step);
        self.network.move_towards(network, taken);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use residua_core::seed::SeedStream;
    use residua_graph::catalog::{self, BuildOptions};

    use super::*;
    use crate::network::host_values;

    fn network(seed: u64) -> Network {
        let graph = catalog::build("resnet8", &BuildOptions::default()).unwrap();
        Network::initialise(graph, SeedStream::new(seed), &Device::flex())
    }

    #[test]
    fn the_average_is_that_of_the_formula() {
        let networks: Vec<Network> = (0..4).map(network).collect();
        let settings = WeightAverage { decay: 0.3 };
        let mut average = AveragedNetwork::new(settings, networks[0].clone());
        let first = |network: &Network| f64::from(host_values(network.values(0))[0]);
        let mut expected = first(&networks[0]);
        for (step, network) in (1..).zip(&networks[1..]) {
            average.absorb(network, step);
            // 2/11, 3/12, and then the decay, which 4/13 exceeds.
            let kept = [2.0 / 11.0, 0.25, 0.3][step as usize - 1];
            expected = kept * expected + (1.0 - kept) * first(network);
            assert!((first(average.network()) - expected).abs() < 1e-6);
        }
        // What is averaged is left alone.
        assert_eq!(networks[3].state(), network(3).state());
    }
}
