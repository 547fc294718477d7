//! Derivatives of f64 references, and comparing what several threads compute.

use rayon::ThreadPoolBuilder;

use super::maps::{Format, assert_near};

/// The numbers in f64.
pub fn exact<E: Format>(numbers: &[E]) -> Vec<f64> {
    numbers.iter().map(|number| number.exact()).collect()
}

/// Checks a gradient against central differences of `Σ output_gradient · function(input)`, at up to
/// `most` of its numbers.
#[track_caller]
pub fn assert_gradient<E: Format>(
    name: &str,
    actual: &[E],
    input: &[f64],
    output_gradient: &[f64],
    [most, magnitude]: [usize; 2],
    function: impl Fn(&[f64]) -> Vec<f64>,
) {
    const STEP: f64 = 1e-5;
    assert_eq!(actual.len(), input.len(), "{name}");
    let mut moved = input.to_vec();
    let mut loss = |index: usize, step: f64| {
        moved[index] = input[index] + step;
        let output = function(&moved);
        moved[index] = input[index];
        assert_eq!(output.len(), output_gradient.len(), "{name}");
        let products = output.iter().zip(output_gradient);
        products
            .map(|(output, gradient)| output * gradient)
            .sum::<f64>()
    };
    // An odd distance, so that rows and columns are all met.
    let distance = input.len().div_ceil(most) | 1;
    for index in (0..input.len()).step_by(distance) {
        let expected = (loss(index, STEP) - loss(index, -STEP)) / (2.0 * STEP);
        let name = format!("{name} at {index}");
        assert_near(&name, &actual[index..=index], &[expected], magnitude as f64);
    }
}

/// The probability that a number of the standard normal distribution is less than `number`.
pub fn normal_probability(number: f64) -> f64 {
    let z = number.abs() / std::f64::consts::SQRT_2;
    let root = std::f64::consts::PI.sqrt();
    let beyond = if z < 2.5 {
        let (mut term, mut sum) = (z, z);
        for n in 1..50 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        0.5 - sum / root
    } else {
        // The continued fraction of Laplace, for the terms of the series would cancel.
        let continued = |rest: f64, n: i32| z + f64::from(n) / 2.0 / rest;
        0.5 * (-z * z).exp() / root / (1..50).rev().fold(z, continued)
    };
    if number < 0.0 { beyond } else { 1.0 - beyond }
}

/// Checks that `compute` returns the same bits in pools of 1 and 3 threads.
#[track_caller]
pub fn assert_same_bits<E: Format>(name: &str, compute: impl Fn() -> Vec<E> + Sync) {
    let bits = |threads: usize| -> Vec<u64> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let numbers = pool.unwrap().install(&compute);
        numbers
            .iter()
            .map(|number| number.exact().to_bits())
            .collect()
    };
    assert!(
        bits(1) == bits(3),
        "{name}: 3 threads give other bits than 1"
    );
}
