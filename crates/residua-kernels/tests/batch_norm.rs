//! Batch normalisation against a plain f64 reference, for every instruction set of the machine.

mod support;

use proptest::prelude::*;
use residua_kernels::batch_norm::{self, Activation, Epilogue, Incoming, Parameters};
use residua_kernels::{InstructionSet, with_instruction_set};
use support::numbers;

const EPSILON: f32 = 1e-5;

/// The forward and backward pass in f64, written as the formulas.
struct Reference {
    mean: Vec<f64>,
    variance: Vec<f64>,
    output: Vec<f64>,
    input_gradient: Vec<f64>,
    residual_gradient: Vec<f64>,
    gamma_gradient: Vec<f64>,
    beta_gradient: Vec<f64>,
}

struct Case {
    channels: usize,
    input: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Option<Vec<f32>>,
    activation: Activation,
    output_gradient: Vec<f32>,
}

impl Case {
    fn new(
        pixels: usize,
        channels: usize,
        offset: f32,
        with_residual: bool,
        activation: Activation,
    ) -> Self {
        let length = pixels * channels;
        Self {
            channels,
            input: numbers(1, length)
                .into_iter()
                .map(|number| number + offset)
                .collect(),
            gamma: numbers(2, channels),
            beta: numbers(3, channels),
            residual: with_residual.then(|| numbers(4, length)),
            activation,
            output_gradient: numbers(5, length),
        }
    }

    fn reference(&self, output: &[f32]) -> Reference {
        let channels = self.channels;
        let count = (self.input.len() / channels) as f64;
        let per_channel = |term: &dyn Fn(usize) -> f64| {
            let mut sums = vec![0.0; channels];
            for index in 0..self.input.len() {
                sums[index % channels] += term(index);
            }
            sums
        };
        let x = |index: usize| f64::from(self.input[index]);
        let mean: Vec<_> = per_channel(&x).iter().map(|sum| sum / count).collect();
        let variance: Vec<_> = per_channel(&|index| (x(index) - mean[index % channels]).powi(2));
        let variance: Vec<_> = variance.iter().map(|sum| sum / count).collect();
        let std = |channel: usize| (variance[channel] + f64::from(EPSILON)).sqrt();
        let normalised = |index: usize| (x(index) - mean[index % channels]) / std(index % channels);
        let before = |index: usize| {
            let residual = self
                .residual
                .as_ref()
                .map_or(0.0, |residual| f64::from(residual[index]));
            normalised(index) * f64::from(self.gamma[index % channels])
                + f64::from(self.beta[index % channels])
                + residual
        };
        let relu = self.activation == Activation::Relu;
        let gradient = |index: usize| {
            // By the kernel's own output: within rounding of zero either answer is right.
            let passes = !relu || output[index] > 0.0;
            if passes {
                f64::from(self.output_gradient[index])
            } else {
                0.0
            }
        };
        let beta_gradient = per_channel(&gradient);
        let gamma_gradient = per_channel(&|index| gradient(index) * normalised(index));
        let input_gradient = |index: usize| {
            let channel = index % channels;
            let through_statistics =
                beta_gradient[channel] + normalised(index) * gamma_gradient[channel];
            f64::from(self.gamma[channel]) / std(channel)
                * (gradient(index) - through_statistics / count)
        };
        let all = 0..self.input.len();
        Reference {
            output: all
                .clone()
                .map(|index| {
                    if relu {
                        before(index).max(0.0)
                    } else {
                        before(index)
                    }
                })
                .collect(),
            input_gradient: all.clone().map(input_gradient).collect(),
            residual_gradient: all.map(gradient).collect(),
            mean,
            variance,
            gamma_gradient,
            beta_gradient,
        }
    }

    fn check(&self) {
        let mut output = vec![f32::NAN; self.input.len()];
        let parameters = Parameters {
            gamma: &self.gamma,
            beta: &self.beta,
        };
        let epilogue = Epilogue {
            residual: self.residual.as_deref(),
            activation: self.activation,
        };
        let statistics =
            batch_norm::forward_train(&self.input, &parameters, EPSILON, &epilogue, &mut output)
                .unwrap();
        let reference = self.reference(&output);
        // With few pixels the variance may be tiny, and whatever is divided by its root large.
        let spread = reference
            .variance
            .iter()
            .fold(f64::MAX, |least, &variance| least.min(variance));
        let magnitude = self
            .input
            .iter()
            .fold(1.0f64, |most, number| most.max(f64::from(number.abs())));
        let scale = magnitude / (spread + f64::from(EPSILON)).sqrt();
        let count = (self.input.len() / self.channels) as f64;
        assert_near("mean", &statistics.mean, &reference.mean, 1e-6 * magnitude);
        assert_near(
            "variance",
            &statistics.variance,
            &reference.variance,
            2e-6 * magnitude,
        );
        assert_near("output", &output, &reference.output, 2e-6 * scale);

        for with_residual_gradient in [false, true] {
            let mut input_gradient = vec![f32::NAN; self.input.len()];
            let mut residual_gradient = vec![f32::NAN; self.input.len()];
            let incoming = Incoming {
                output_gradient: &self.output_gradient,
                relu_output: (self.activation == Activation::Relu).then_some(&output[..]),
            };
            let gradients = batch_norm::backward_train(
                &self.input,
                &statistics,
                &self.gamma,
                incoming,
                with_residual_gradient.then_some(&mut residual_gradient[..]),
                &mut input_gradient,
            )
            .unwrap();
            assert_near(
                "input gradient",
                &input_gradient,
                &reference.input_gradient,
                4e-6 * scale * scale,
            );
            assert_near(
                "gamma gradient",
                &gradients.gamma,
                &reference.gamma_gradient,
                1e-6 * scale * count,
            );
            assert_near(
                "beta gradient",
                &gradients.beta,
                &reference.beta_gradient,
                1e-6 * count,
            );
            if with_residual_gradient {
                assert_near(
                    "residual gradient",
                    &residual_gradient,
                    &reference.residual_gradient,
                    0.0,
                );
            }
        }
    }
}

fn assert_near(name: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}: length");
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs();
        assert!(
            error <= tolerance,
            "{name}[{index}] is {actual}, the reference {expected}, allowed {tolerance:e}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn passes_match_the_reference(
        pixels in prop_oneof![1usize..70, 1000usize..1300],
        channels in prop_oneof![1usize..20, 60usize..70, Just(130usize)],
        with_residual: bool,
        relu: bool,
    ) {
        let activation = if relu { Activation::Relu } else { Activation::Identity };
        let case = Case::new(pixels, channels, 0.0, with_residual, activation);
        for set in InstructionSet::available() {
            with_instruction_set(set, || case.check());
        }
    }
}

/// A variance of 1/3 behind a mean of 1000 needs more than sums of squares in f32.
#[test]
fn the_variance_survives_a_large_mean() {
    for set in InstructionSet::available() {
        with_instruction_set(set, || {
            Case::new(20_000, 3, 1000.0, false, Activation::Identity).check()
        });
    }
}

#[test]
fn relu_lets_nan_through() {
    let parameters = Parameters {
        gamma: &[1.0],
        beta: &[0.0],
    };
    let statistics = batch_norm::Statistics::given(&[0.0], &[1.0], 0.0);
    let epilogue = Epilogue {
        residual: None,
        activation: Activation::Relu,
    };
    let mut output = [0.0; 3];
    batch_norm::forward_inference(
        &[-1.0, f32::NAN, 2.0],
        &statistics,
        &parameters,
        &epilogue,
        &mut output,
    )
    .unwrap();
    assert_eq!((output[0], output[2]), (0.0, 2.0));
    assert!(output[1].is_nan());
}
