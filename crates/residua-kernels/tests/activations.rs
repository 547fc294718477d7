//! Activation functions, for every instruction set of the machine.

mod support;

use half::bf16;
use residua_kernels::activation::{self, Activation};
use support::maps::{Format, assert_near, in_every_set, map};
use support::reference::{assert_gradient, assert_same_bits, exact, normal_probability};

const ALL: [Activation; 5] = [
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Sigmoid,
    Activation::Silu,
    Activation::Gelu,
];

fn reference(activation: Activation, number: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-number).exp());
    match activation {
        Activation::Relu => number.max(0.0),
        Activation::LeakyRelu => number.max(0.01 * number),
        Activation::Sigmoid => sigmoid,
        Activation::Silu => number * sigmoid,
        Activation::Gelu => number * normal_probability(number),
    }
}

fn matches_the_reference<E: Format>(length: usize) {
    // Between −8 and 8, and not so close to 0 that a difference would see both sides of a kink.
    let input: Vec<E> = map::<f32>(1, length)
        .into_iter()
        .map(|number| E::rounded(8.0 * number + 0.01_f32.copysign(number)))
        .collect();
    let gradient: Vec<E> = map(2, length);
    for activation in ALL {
        let values = |input: &[f64]| -> Vec<f64> {
            let values = input.iter().map(|&number| reference(activation, number));
            values.collect()
        };
        let name = format!("{activation:?} of {length}");
        in_every_set(|| {
            let mut output = vec![E::rounded(f32::NAN); length];
            activation::forward(activation, &input, &mut output).unwrap();
            assert_near(&name, &output, &values(&exact(&input)), 1.0);
            let mut input_gradient = vec![E::rounded(f32::NAN); length];
            activation::backward(activation, &input, &gradient, &mut input_gradient).unwrap();
            // The reference of a single number is enough: others do not matter to it.
            for index in (0..length).step_by(length.div_ceil(300)) {
                assert_gradient(
                    &name,
                    &input_gradient[index..=index],
                    &exact(&input[index..=index]),
                    &exact(&gradient[index..=index]),
                    [1, 1],
                    values,
                );
            }
        });
    }
}

#[test]
fn activations_match_the_reference() {
    for length in [1, 17, 300, 16 * 1024 + 5] {
        matches_the_reference::<f32>(length);
        matches_the_reference::<bf16>(length);
    }
}

#[test]
fn extremes_have_their_limits() {
    let infinity = f32::INFINITY;
    let input = [f32::NAN, infinity, 1e30, 0.0, -0.0, -1e30, -infinity];
    for activation in ALL {
        in_every_set(|| {
            let mut output = [5.0; 7];
            activation::forward(activation, &input, &mut output).unwrap();
            let mut slopes = [5.0; 7];
            activation::backward(activation, &input, &[1.0; 7], &mut slopes).unwrap();
            assert!(output[0].is_nan(), "{activation:?}");
            let at_zero = if activation == Activation::Sigmoid {
                0.5
            } else {
                0.0
            };
            assert_eq!(output[3..5], [at_zero; 2], "{activation:?}");
            let (far, slopes_at_zero) = match activation {
                Activation::Relu => ([infinity, 1e30, 0.0, 0.0], 0.0),
                Activation::LeakyRelu => ([infinity, 1e30, -1e28, -infinity], 0.01),
                Activation::Sigmoid => ([1.0, 1.0, 0.0, 0.0], 0.25),
                Activation::Silu | Activation::Gelu => ([infinity, 1e30, 0.0, f32::NAN], 0.5),
            };
            let actual = [output[1], output[2], output[5], output[6]];
            for (actual, expected) in actual.into_iter().zip(far) {
                assert!(
                    actual == expected || (actual.is_nan() && expected.is_nan()),
                    "{activation:?}: {actual} instead of {expected}"
                );
            }
            assert_eq!(slopes[3..5], [slopes_at_zero; 2], "{activation:?}");
            let at_most = if activation == Activation::Sigmoid {
                0.0
            } else {
                1.0
            };
            assert_eq!(slopes[2], at_most, "{activation:?}");
        });
    }
}

#[test]
fn threads_do_not_matter() {
    let (input, gradient): (Vec<bf16>, Vec<bf16>) = (map(1, 50_001), map(2, 50_001));
    assert_same_bits("gelu", || {
        let mut output = vec![bf16::NAN; 2 * input.len()];
        let (forward, backward) = output.split_at_mut(input.len());
        activation::forward(Activation::Gelu, &input, forward).unwrap();
        activation::backward(Activation::Gelu, &input, &gradient, backward).unwrap();
        output
    });
}

#[test]
fn wrong_lengths_are_named() {
    let error = activation::forward(Activation::Silu, &[0.0; 3], &mut [0.0; 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "output has 4 elements, but the shape needs 3"
    );
    for [gradient, target] in [[2, 3], [3, 2]] {
        let (gradient, mut target) = (vec![0.0; gradient], vec![0.0; target]);
        let result = activation::backward(Activation::Relu, &[0.0; 3], &gradient, &mut target);
        assert!(result.is_err());
    }
}
