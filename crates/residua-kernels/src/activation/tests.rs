//! The functions themselves, in every instruction set.

use super::functions::{exp, normal, sigmoid};
use crate::InstructionSet;
use crate::simd::{Kernel, Simd};

/// Evaluates the functions of many numbers as kernels do.
struct Evaluate<'a>(&'a [f32]);

struct Values {
    exp: Vec<f32>,
    sigmoid: Vec<[f32; 2]>,
    normal: Vec<[f32; 2]>,
}

impl Kernel for Evaluate<'_> {
    type Output = Values;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Values {
        let mut values = Values {
            exp: vec![0.0; self.0.len()],
            sigmoid: vec![[0.0; 2]; self.0.len()],
            normal: vec![[0.0; 2]; self.0.len()],
        };
        for (index, &number) in self.0.iter().enumerate() {
            values.exp[index] = exp(number);
            values.sigmoid[index] = sigmoid(number);
            values.normal[index] = normal(number);
        }
        values
    }
}

/// Distance of the numbers under test; a power of two, so that `f32` has all of them.
const STEP: f64 = 1.0 / 1024.0;

fn normal_density(number: f64) -> f64 {
    (-0.5 * number * number).exp() / std::f64::consts::TAU.sqrt()
}

#[test]
fn functions_are_precise() {
    let numbers: Vec<f32> = (-90_000..=90_000)
        .map(|step| (f64::from(step) * STEP) as f32)
        .collect();
    for set in InstructionSet::available() {
        let values = set.run(Evaluate(&numbers));
        let mut integral = 0.0;
        for (index, &number) in numbers.iter().enumerate() {
            let wide = f64::from(number);
            let check = |name: &str, actual: f32, expected: f64, allowed: f64| {
                let error = (f64::from(actual) - expected).abs();
                assert!(
                    error <= allowed,
                    "{set} {name}({number}) is {actual}, not {expected}: {error:e} apart"
                );
            };
            // What is denormal has a fixed distance.
            let relative = |expected: f64, error: f64| error * expected + 1e-44;
            let expected = wide.exp();
            check("exp", values.exp[index], expected, relative(expected, 1e-7));
            let [value, rest] = values.sigmoid[index];
            let expected = 1.0 / (1.0 + (-wide).exp());
            check("sigmoid", value, expected, relative(expected, 2e-7));
            let expected = 1.0 / (1.0 + wide.exp());
            check("1 - sigmoid", rest, expected, relative(expected, 2e-7));

            let [below, slope] = values.normal[index];
            let density = normal_density(wide);
            check("density", slope, density, 1e-7);
            // The trapezoidal rule with its first correction of Euler and Maclaurin, within 1e-12.
            integral += 0.5 * STEP * (normal_density(wide - STEP) + density);
            let expected = integral + STEP * STEP / 12.0 * wide * density;
            check("normal", below, expected, 1e-7);
        }
    }
}

#[test]
fn functions_have_their_limits() {
    let numbers = [
        f32::NEG_INFINITY,
        f32::MIN,
        -200.0,
        -0.0,
        0.0,
        200.0,
        f32::MAX,
        f32::INFINITY,
    ];
    for set in InstructionSet::available() {
        let values = set.run(Evaluate(&numbers));
        let infinity = f32::INFINITY;
        assert_eq!(
            values.exp,
            [0.0, 0.0, 0.0, 1.0, 1.0, infinity, infinity, infinity],
            "{set}"
        );
        let [zero, half, one] = [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]];
        assert_eq!(
            values.sigmoid,
            [zero, zero, zero, half, half, one, one, one],
            "{set}"
        );
        let below: Vec<f32> = values.normal.iter().map(|[below, _]| *below).collect();
        assert_eq!(below, [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0], "{set}");
        let nan = set.run(Evaluate(&[f32::NAN; 17]));
        assert!(nan.exp.iter().all(|number| number.is_nan()), "{set}");
        let pairs = nan.sigmoid.iter().chain(&nan.normal);
        assert!(pairs.flatten().all(|number| number.is_nan()), "{set}");
    }
}
