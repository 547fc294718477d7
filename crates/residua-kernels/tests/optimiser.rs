//! Optimiser steps against plain f64, of any length and for every instruction set of the machine.

mod support;

use proptest::prelude::*;
use residua_kernels::optimiser::{AdamW, Sgd};
use support::maps::in_every_set;
use support::numbers;

const STEPS: u64 = 3;

fn gradients(length: usize) -> Vec<Vec<f32>> {
    (0..STEPS).map(|step| numbers(10 + step, length)).collect()
}

#[track_caller]
fn assert_near(name: &str, actual: &[f32], expected: &[f64]) {
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs();
        let allowed = 4e-6 * (1.0 + expected.abs());
        assert!(
            error <= allowed,
            "{name}[{index}] is {actual}, the reference {expected}"
        );
    }
}

fn exact(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&number| f64::from(number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn sgd_matches_the_reference(
        length in prop_oneof![1usize..200, Just(70_000)],
        momentum in 0.0f64..0.95,
        weight_decay in 0.0f64..0.1,
        nesterov: bool,
    ) {
        let rule = Sgd { learning_rate: 0.1, momentum, weight_decay, nesterov };
        let mut expected = exact(&numbers(1, length));
        let mut velocity = vec![0.0; length];
        for gradient in gradients(length) {
            for (index, gradient) in exact(&gradient).into_iter().enumerate() {
                let gradient = gradient + weight_decay * expected[index];
                velocity[index] = momentum * velocity[index] + gradient;
                let step = if nesterov {
                    gradient + momentum * velocity[index]
                } else {
                    velocity[index]
                };
                expected[index] -= 0.1 * step;
            }
        }
        in_every_set(|| {
            let mut parameter = numbers(1, length);
            let mut state = vec![0.0; length];
            for gradient in gradients(length) {
                rule.step(&mut parameter, &gradient, &mut state).unwrap();
            }
            assert_near("parameter", &parameter, &expected);
            assert_near("velocity", &state, &velocity);
        });
    }

    #[test]
    fn adam_w_matches_the_reference(
        length in prop_oneof![1usize..200, Just(70_000)],
        weight_decay in 0.0f64..0.1,
    ) {
        let (betas, epsilon, learning_rate) = ([0.9, 0.999], 1e-8, 0.01);
        let rule = AdamW { learning_rate, betas, epsilon, weight_decay };
        let mut expected = exact(&numbers(1, length));
        let mut moments = [vec![0.0; length], vec![0.0; length]];
        for (step, gradient) in (1i32..).zip(gradients(length)) {
            for (index, gradient) in exact(&gradient).into_iter().enumerate() {
                let [mean, square] = &mut moments;
                mean[index] = betas[0] * mean[index] + (1.0 - betas[0]) * gradient;
                square[index] = betas[1] * square[index] + (1.0 - betas[1]) * gradient * gradient;
                let mean = mean[index] / (1.0 - betas[0].powi(step));
                let square = square[index] / (1.0 - betas[1].powi(step));
                expected[index] *= 1.0 - learning_rate * weight_decay;
                expected[index] -= learning_rate * mean / (square.sqrt() + epsilon);
            }
        }
        in_every_set(|| {
            let mut parameter = numbers(1, length);
            let mut found = [vec![0.0; length], vec![0.0; length]];
            for (step, gradient) in (1..).zip(gradients(length)) {
                let [mean, square] = &mut found;
                rule.step(step, &mut parameter, &gradient, mean, square).unwrap();
            }
            assert_near("parameter", &parameter, &expected);
            for (found, expected) in found.iter().zip(&moments) {
                assert_near("moment", found, expected);
            }
        });
    }
}
