//! Losses: a number that training makes small.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Which loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossConfig {
    /// Cross entropy of the softmax of the logits.
    CrossEntropy {
        /// Probability spread evenly over all classes (Szegedy et al. 2016, §7); 0 for none.
        label_smoothing: f32,
    },
    /// Squared difference between logits and one-hot targets, averaged over samples and
    /// classes.
    MeanSquaredError,
}

impl LossConfig {
    /// The target distribution of each sample, row by row.
    pub fn targets(&self, labels: &[u32], classes: usize) -> Vec<f32> {
        let (rest, top) = match *self {
            Self::CrossEntropy { label_smoothing } => {
                let rest = label_smoothing / classes as f32;
                (rest, 1.0 - label_smoothing + rest)
            }
            Self::MeanSquaredError => (0.0, 1.0),
        };
        let mut targets = vec![rest; labels.len() * classes];
        for (row, label) in targets.chunks_mut(classes).zip(labels) {
            row[*label as usize] = top;
        }
        targets
    }

    /// The mean loss of a batch, on the tape if the logits are.
    ///
    /// # Shapes
    /// `logits`: `[N, classes]`; one label, below `classes`, for each row.
    pub fn compute(&self, logits: Tensor<2>, labels: &[u32], device: &Device) -> Tensor<1> {
        let [batch, classes] = logits.dims();
        let targets = TensorData::new(self.targets(labels, classes), [batch, classes]);
        let targets = Tensor::<2>::from_data(targets, device);
        match self {
            Self::CrossEntropy { .. } => {
                // Row by row first: a sum over millions of values would depend on the threads.
                let total = (log_softmax(logits, 1) * targets).sum_dim(1).sum();
                total.mul_scalar(-1.0 / batch as f64)
            }
            Self::MeanSquaredError => {
                let difference = logits - targets;
                (difference.clone() * difference).mean_dim(1).mean()
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
        let loss = loss.compute(logits.clone(), &labels, &device);
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

    #[test]
    fn squared_error_is_the_mean_over_samples_and_classes() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<2>::from_data([[1.0, 0.5], [0.0, -1.0]], &device).require_grad();
        let loss = LossConfig::MeanSquaredError.compute(logits.clone(), &[0, 1], &device);
        let gradient = logits.grad(&loss.backward()).unwrap();
        // Differences 0, 0.5, 0, -2.
        assert_close(&values(loss), &[4.25 / 4.0]);
        assert_close(&values(gradient), &[0.0, 0.25, 0.0, -1.0]);
    }
}
