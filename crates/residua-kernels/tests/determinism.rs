//! The same bits for any number of threads.

mod support;

use rayon::ThreadPoolBuilder;
use residua_kernels::batch_norm::{self, Epilogue, Incoming, Parameters};
use residua_kernels::convolution::{self, ConvolutionGeometry, ConvolutionSpec};
use residua_kernels::reduce;
use support::numbers;

/// The bits that `compute` returns in pools of 1, 2, 3 and 8 threads are equal.
fn assert_same_bits(name: &str, compute: impl Fn() -> Vec<f32> + Sync) {
    let bits = |threads: usize| -> Vec<u32> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| compute().into_iter().map(f32::to_bits).collect())
    };
    let single = bits(1);
    for threads in [2, 3, 8] {
        assert!(
            bits(threads) == single,
            "{name}: {threads} threads give other bits than 1"
        );
    }
}

#[test]
fn convolutions() {
    for (batch, size, channels, kernel, stride) in [
        (20, 16, [16, 24], 3, 1),
        (3, 40, [20, 16], 3, 2),
        (33, 4, [64, 80], 3, 1),
        (2, 15, [48, 33], 1, 1),
        (1, 7, [256, 130], 3, 1),
    ] {
        let geometry = ConvolutionGeometry::new(ConvolutionSpec {
            batch,
            input: [size, size],
            in_channels: channels[0],
            out_channels: channels[1],
            kernel: [kernel, kernel],
            stride: [stride, stride],
            padding: [kernel / 2, kernel / 2],
            ..ConvolutionSpec::default()
        })
        .unwrap();
        let input = numbers(1, geometry.input_length());
        let weight = numbers(2, geometry.weight_length());
        let gradient = numbers(3, geometry.output_length());
        assert_same_bits("forward", || {
            let mut output = vec![0.0; geometry.output_length()];
            convolution::forward(&geometry, &input, &weight, None, &mut output).unwrap();
            output
        });
        assert_same_bits("input gradient", || {
            let mut input_gradient = vec![0.0; geometry.input_length()];
            convolution::input_gradient(&geometry, &gradient, &weight, &mut input_gradient)
                .unwrap();
            input_gradient
        });
        assert_same_bits("weight gradient", || {
            let mut weight_gradient = vec![0.0; geometry.weight_length()];
            convolution::weight_gradient(&geometry, &input, &gradient, &mut weight_gradient)
                .unwrap();
            weight_gradient
        });
    }
}

#[test]
fn reductions() {
    let channels = 24;
    let input = numbers(1, 20_000 * channels);
    let gradient = numbers(2, input.len());
    let (gamma, beta) = (numbers(3, channels), numbers(4, channels));
    let parameters = Parameters {
        gamma: &gamma,
        beta: &beta,
    };
    assert_same_bits("channel sums", || {
        let mut sums = vec![0.0; channels];
        reduce::channel_sums(&input, &mut sums).unwrap();
        sums
    });
    assert_same_bits("batch norm", || {
        let mut numbers = vec![0.0; input.len()];
        let statistics = batch_norm::forward_train(
            &input,
            &parameters,
            1e-5,
            &Epilogue::default(),
            &mut numbers,
        )
        .unwrap();
        let incoming = Incoming {
            output_gradient: &gradient,
            relu_output: Some(&numbers),
        };
        let mut input_gradient = vec![0.0; input.len()];
        let gradients = batch_norm::backward_train(
            &input,
            &statistics,
            &gamma,
            incoming,
            None,
            &mut input_gradient,
        )
        .unwrap();
        [
            numbers,
            input_gradient,
            statistics.mean,
            statistics.variance,
            gradients.gamma,
            gradients.beta,
        ]
        .concat()
    });
}
