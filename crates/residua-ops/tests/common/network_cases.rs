//! The operations at the sizes that ResNet-20 and the stem and the head of ResNet-18 give them:
//! a GPU divides these among many groups of threads and reads several values at a time, which
//! the small random shapes do not make it do.

use residua_ops::{ConvolutionOptions, MaxPoolOptions, NormOptions, ZeroPadOptions};

use super::Place;
use super::cases::{ConvolutionCase, LinearCase, NormCase, PoolCase, StepCase};

fn convolution(
    input: [usize; 4],
    out_channels: usize,
    kernel: usize,
    stride: usize,
) -> ConvolutionCase {
    ConvolutionCase {
        input,
        weight: [out_channels, input[3], kernel, kernel],
        options: ConvolutionOptions {
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            ..ConvolutionOptions::default()
        },
        seed: 1,
    }
}

/// Checks them all.
pub(crate) fn check(place: &Place) {
    for case in [
        convolution([4, 32, 32, 3], 16, 3, 1),
        convolution([4, 32, 32, 16], 16, 3, 1),
        convolution([4, 32, 32, 16], 32, 3, 2),
        convolution([4, 8, 8, 64], 64, 3, 1),
        convolution([4, 32, 32, 16], 32, 1, 2),
        convolution([1, 64, 64, 3], 64, 7, 2),
    ] {
        case.check(place);
    }
    for (shape, with_shortcut) in [
        ([4, 32, 32, 16], false),
        ([4, 32, 32, 16], true),
        ([4, 8, 8, 64], true),
    ] {
        let options = NormOptions {
            epsilon: 1e-5,
            relu: true,
        };
        NormCase {
            shape,
            options,
            with_shortcut,
            seed: 2,
        }
        .check(place);
    }
    PoolCase {
        shape: [2, 32, 32, 64],
        pool: MaxPoolOptions {
            kernel: [3; 2],
            stride: [2; 2],
            padding: [1; 2],
        },
        shortcut: ZeroPadOptions {
            stride: 2,
            before: 32,
            after: 32,
        },
        ties: true,
        seed: 3,
    }
    .check(place);
    LinearCase {
        rows: 32,
        inputs: 512,
        outputs: 100,
        seed: 4,
    }
    .check(place);
    StepCase {
        length: 9 * 64 * 64,
        nesterov: true,
        step: 7,
        seed: 5,
    }
    .check(place);
}
