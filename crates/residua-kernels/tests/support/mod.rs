//! Plain f64 references and helpers of the integration tests.
#![allow(dead_code, unreachable_pub)]

pub mod maps;
pub mod reference;

use half::bf16;
use residua_kernels::convolution::{ConvolutionGeometry, ConvolutionSpec};

/// Pseudo-random numbers in [-1, 1), the same for the same seed.
pub fn numbers(seed: u64, length: usize) -> Vec<f32> {
    let mut state = seed
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(0xD1B5_4A32_D192_ED03);
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Calls `product(input index, weight index, output index)` for every product of a convolution.
pub fn for_each_product(
    geometry: &ConvolutionGeometry,
    mut product: impl FnMut(usize, usize, usize),
) {
    let ConvolutionSpec {
        batch,
        input,
        in_channels,
        out_channels,
        kernel,
        stride,
        padding,
        dilation,
        groups,
    } = geometry.spec().clone();
    let output = geometry.output();
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    for image in 0..batch {
        for row in 0..output[0] {
            for column in 0..output[1] {
                for kernel_row in 0..kernel[0] {
                    for kernel_column in 0..kernel[1] {
                        let y = row * stride[0] + kernel_row * dilation[0];
                        let x = column * stride[1] + kernel_column * dilation[1];
                        if y < padding[0]
                            || y - padding[0] >= input[0]
                            || x < padding[1]
                            || x - padding[1] >= input[1]
                        {
                            continue;
                        }
                        let pixel = (image * input[0] + y - padding[0]) * input[1] + x - padding[1];
                        let target = (image * output[0] + row) * output[1] + column;
                        for out in 0..out_channels {
                            for channel in 0..group_in {
                                let weight = ((out * group_in + channel) * kernel[0] + kernel_row)
                                    * kernel[1];
                                product(
                                    pixel * in_channels + out / group_out * group_in + channel,
                                    weight + kernel_column,
                                    target * out_channels + out,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A sum in f64 together with the sum of the magnitudes, to which rounding errors are proportional.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    pub value: f64,
    pub magnitude: f64,
}

impl Sum {
    pub fn add(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
    }
}

/// Checks that each number is within `ulps` roundings (relative to the magnitude of its sum) of the
/// reference.
pub fn assert_close(name: &str, actual: &[f32], expected: &[Sum], ulps: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}: length");
    for (index, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
        let tolerance = ulps * f64::from(f32::EPSILON) * expected.magnitude + 1e-30;
        let error = (f64::from(actual) - expected.value).abs();
        assert!(
            error <= tolerance,
            "{name}[{index}] is {actual}, the reference {}, {error:e} apart, allowed {tolerance:e}",
            expected.value,
        );
    }
}

/// Checks that each number is within `ulps` roundings of the reference, relative to the largest
/// magnitude of all sums: for algorithms that add numbers of neighbouring sums on the way.
pub fn assert_close_to_largest(name: &str, actual: &[f32], expected: &[Sum], ulps: f64) {
    let magnitudes = expected.iter().map(|sum| sum.magnitude);
    let magnitude = magnitudes.fold(0.0, f64::max);
    let widened: Vec<_> = expected
        .iter()
        .map(|&Sum { value, .. }| Sum { value, magnitude })
        .collect();
    assert_close(name, actual, &widened, ulps);
}

/// Numbers that bfloat16 has.
pub fn exact_numbers(seed: u64, length: usize) -> Vec<f32> {
    round(&numbers(seed, length))
        .into_iter()
        .map(bf16::to_f32)
        .collect()
}

/// The numbers in bfloat16.
pub fn round(numbers: &[f32]) -> Vec<bf16> {
    numbers.iter().copied().map(bf16::from_f32).collect()
}
