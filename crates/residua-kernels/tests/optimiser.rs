//! Optimiser steps against plain f64, of any length and for every instruction set of the machine.

mod support;

use proptest::prelude::*;
use residua_kernels::optimiser::{
    AdamW, DecayForm, Lamb, RmsProp, RmsPropForm, Sgd, TrustBound, move_average,
};
use support::maps::in_every_set;
use support::numbers;
use support::reference::assert_same_bits;

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
    #[test]
    fn rms_prop_matches_the_reference(
        length in prop_oneof![1usize..200, Just(70_000)],
        smoothing in 0.0f64..0.99,
        momentum in 0.0f64..0.95,
        weight_decay in 0.0f64..0.1,
        form in prop_oneof![Just(RmsPropForm::PyTorch), Just(RmsPropForm::TensorFlow)],
    ) {
        let (learning_rate, epsilon) = (0.01, 1e-2);
        let rule = RmsProp { learning_rate, smoothing, epsilon, momentum, weight_decay, form };
        let mut expected = exact(&numbers(1, length));
        let mut squares = vec![f64::from(form.first_mean_square()); length];
        let mut velocity = vec![0.0; length];
        for gradient in gradients(length) {
            for (index, gradient) in exact(&gradient).into_iter().enumerate() {
                let gradient = gradient + weight_decay * expected[index];
                let square = smoothing * squares[index] + (1.0 - smoothing) * gradient * gradient;
                squares[index] = square;
                let root = match form {
                    RmsPropForm::PyTorch => square.sqrt() + epsilon,
                    _ => (square + epsilon).sqrt(),
                };
                velocity[index] = momentum * velocity[index] + gradient / root;
                expected[index] -= learning_rate * velocity[index];
            }
        }
        in_every_set(|| {
            let mut parameter = numbers(1, length);
            let mut found = [vec![form.first_mean_square(); length], vec![0.0; length]];
            for gradient in gradients(length) {
                let [squares, velocity] = &mut found;
                rule.step(&mut parameter, &gradient, squares, velocity).unwrap();
            }
            assert_near("parameter", &parameter, &expected);
            assert_near("mean square", &found[0], &squares);
        });
    }

    #[test]
    fn lamb_matches_the_reference(
        length in prop_oneof![1usize..200, Just(1024), Just(70_000)],
        weight_decay in prop_oneof![Just(0.0), 0.001f64..0.5],
        form in prop_oneof![Just(DecayForm::Coupled), Just(DecayForm::Decoupled)],
        bound in prop_oneof![Just(TrustBound::Unbounded), Just(TrustBound::One)],
        magnitude in prop_oneof![Just(0.0f32), Just(0.1), Just(3.0)],
    ) {
        let (betas, epsilon, learning_rate) = ([0.9, 0.99], 1e-6, 0.01);
        let rule = Lamb { learning_rate, betas, epsilon, weight_decay, form, bound };
        let initial: Vec<f32> = numbers(1, length).iter().map(|number| magnitude * number).collect();
        let norm = |numbers: &[f64]| numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
        let mut expected = exact(&initial);
        let mut moments = [vec![0.0; length], vec![0.0; length]];
        for (step, gradient) in (1i32..).zip(gradients(length)) {
            let mut update = vec![0.0; length];
            for (index, gradient) in exact(&gradient).into_iter().enumerate() {
                let [mean, square] = &mut moments;
                mean[index] = betas[0] * mean[index] + (1.0 - betas[0]) * gradient;
                square[index] = betas[1] * square[index] + (1.0 - betas[1]) * gradient * gradient;
                let mean = mean[index] / (1.0 - betas[0].powi(step));
                let square = square[index] / (1.0 - betas[1].powi(step));
                update[index] = mean / (square.sqrt() + epsilon);
                match form {
                    DecayForm::Coupled => update[index] += weight_decay * expected[index],
                    _ => expected[index] *= 1.0 - learning_rate * weight_decay,
                }
            }
            let norms = [norm(&expected), norm(&update)];
            let mut ratio = norms[0] / norms[1];
            if weight_decay == 0.0 || norms[0] == 0.0 {
                ratio = 1.0;
            } else if bound == TrustBound::One {
                ratio = ratio.min(1.0);
            }
            for (number, update) in expected.iter_mut().zip(update) {
                *number -= learning_rate * ratio * update;
            }
        }
        in_every_set(|| {
            let mut parameter = initial.clone();
            let mut found = [vec![0.0; length], vec![0.0; length]];
            for (step, gradient) in (1..).zip(gradients(length)) {
                let [mean, square] = &mut found;
                rule.step(step, &mut parameter, &gradient, mean, square).unwrap();
            }
            assert_near("parameter", &parameter, &expected);
        });
    }

    #[test]
    fn averages_match_the_reference(
        length in prop_oneof![1usize..200, Just(70_000)],
        keep in 0.0f64..=1.0,
    ) {
        let (average, values) = (numbers(1, length), numbers(2, length));
        let mixed = average.iter().zip(&values);
        let expected: Vec<f64> = mixed
            .map(|(&old, &new)| keep * f64::from(old) + (1.0 - keep) * f64::from(new))
            .collect();
        in_every_set(|| {
            let mut average = average.clone();
            move_average(&mut average, &values, keep).unwrap();
            assert_near("average", &average, &expected);
        });
    }

    #[test]
    fn an_average_that_has_arrived_stays(length in 1usize..50, keep in 0.0f64..=1.0) {
        let values = numbers(1, length);
        let mut average = values.clone();
        move_average(&mut average, &values, keep).unwrap();
        prop_assert!(average == values);
    }
}

#[test]
fn shares_of_zero_and_one_are_exact() {
    // Numbers whose difference is not exact.
    let (old, new) = ([1e8, -3.0, 0.1, f32::MAX], [0.3, 1e-9, 7e6, 1.0]);
    let mut average = old;
    move_average(&mut average, &new, 1.0).unwrap();
    assert_eq!(average, old);
    move_average(&mut average, &new, 0.0).unwrap();
    assert_eq!(average, new);
}

#[test]
fn norms_of_numbers_whose_squares_f32_does_not_have() {
    for magnitude in [1e-30f32, 1e30] {
        let rule = Lamb {
            learning_rate: 0.5,
            betas: [0.0, 0.0],
            epsilon: 0.0,
            weight_decay: 1e-6,
            form: DecayForm::Decoupled,
            bound: TrustBound::Unbounded,
        };
        // The update is the sign of the gradient, so the norms differ by the magnitude.
        let mut parameter = [magnitude; 21];
        let (mut mean, mut square) = ([0.0; 21], [0.0; 21]);
        rule.step(1, &mut parameter, &[1.0; 21], &mut mean, &mut square)
            .unwrap();
        for found in parameter {
            assert!((found / magnitude - 0.5).abs() < 1e-5, "{found}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    let length = 300_000;
    let gradient = numbers(2, length);
    assert_same_bits("lamb", || {
        let rule = Lamb {
            learning_rate: 0.1,
            betas: [0.9, 0.999],
            epsilon: 1e-6,
            weight_decay: 0.01,
            form: DecayForm::Coupled,
            bound: TrustBound::Unbounded,
        };
        let mut parameter = numbers(1, length);
        let (mut mean, mut square) = (vec![0.0; length], vec![0.0; length]);
        rule.step(1, &mut parameter, &gradient, &mut mean, &mut square)
            .unwrap();
        parameter
    });
}

#[test]
fn arguments_are_checked() {
    let mut one = [1.0];
    let error = move_average(&mut one, &[1.0, 2.0], 0.5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "values has 2 elements, but the shape needs 1"
    );
    for keep in [-0.1, 1.1, f64::NAN] {
        let error = move_average(&mut one, &[2.0], keep).unwrap_err();
        assert!(error.to_string().contains("between 0 and 1"), "{error}");
    }
    let rms_prop = RmsProp {
        learning_rate: 0.1,
        smoothing: 0.9,
        epsilon: 1e-8,
        momentum: 0.9,
        weight_decay: 0.0,
        form: RmsPropForm::PyTorch,
    };
    let lamb = Lamb {
        learning_rate: 0.1,
        betas: [0.9, 0.999],
        epsilon: 1e-6,
        weight_decay: 0.0,
        form: DecayForm::default(),
        bound: TrustBound::default(),
    };
    // Which of the three others is too long, and its names.
    let names = [
        ["gradient"; 2],
        ["mean square", "first moment"],
        ["velocity", "second moment"],
    ];
    for (wrong, names) in names.into_iter().enumerate() {
        let gradient = vec![1.0; 1 + usize::from(wrong == 0)];
        let mut states = [1, 2].map(|index| vec![1.0; 1 + usize::from(wrong == index)]);
        let [first, second] = &mut states;
        let errors = [
            rms_prop
                .step(&mut one, &gradient, first, second)
                .unwrap_err(),
            lamb.step(1, &mut one, &gradient, first, second)
                .unwrap_err(),
        ];
        for (error, name) in errors.iter().zip(names) {
            assert_eq!(
                error.to_string(),
                format!("{name} has 2 elements, but the shape needs 1")
            );
        }
    }
    let error = lamb
        .step(0, &mut one, &[1.0], &mut [0.0], &mut [0.0])
        .unwrap_err();
    assert_eq!(error.to_string(), "step is 0, but steps count from 1");
    assert_eq!(one, [1.0]);
}
