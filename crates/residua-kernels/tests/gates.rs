//! Gates and what they are made of, for every instruction set of the machine.

mod support;

use half::bf16;
use residua_kernels::gate::{self, Gate, GateGeometry};
use residua_kernels::{channel_convolution, channel_summary, path_softmax};
use support::maps::{Format, assert_near, in_every_set, map};
use support::reference::{assert_gradient, assert_same_bits, exact};

fn unset<E: Format>(length: usize) -> Vec<E> {
    vec![E::rounded(f32::NAN); length]
}

/// Images, pixels and channels; the last two are larger than the work of a task.
const SIZES: [[usize; 3]; 8] = [
    [1, 1, 1],
    [2, 1, 5],
    [3, 7, 1],
    [2, 9, 16],
    [2, 30, 37],
    [3, 4, 150],
    [1, 2100, 37],
    [1, 70_000, 1],
];

fn gate_matches_the_reference<E: Format>(gate: Gate, [batch, pixels, channels]: [usize; 3]) {
    let geometry = GateGeometry::new(gate, batch, pixels, channels).unwrap();
    let numbers: Vec<E> = map(1, geometry.map_length());
    let factors: Vec<E> = map(2, geometry.gate_length());
    let gradient: Vec<E> = map(3, geometry.map_length());
    let (mut output, mut map_gradient) = (Vec::new(), Vec::new());
    let mut sums = vec![0.0; factors.len()];
    let mut magnitude = vec![0.0; factors.len()];
    for index in 0..numbers.len() {
        let place = match gate {
            Gate::Channels => index / (pixels * channels) * channels + index % channels,
            Gate::Pixels => index / channels,
        };
        output.push(numbers[index].exact() * factors[place].exact());
        map_gradient.push(gradient[index].exact() * factors[place].exact());
        let product = gradient[index].exact() * numbers[index].exact();
        sums[place] += product;
        magnitude[place] += f64::abs(product);
    }
    let magnitude = magnitude.into_iter().fold(0.0, f64::max);
    let name = format!("{gate:?} {batch} {pixels} {channels}");
    in_every_set(|| {
        let mut actual = unset::<E>(output.len());
        gate::forward(&geometry, &numbers, &factors, &mut actual).unwrap();
        assert_near(&name, &actual, &output, 0.0);
        let mut actual = unset::<E>(output.len());
        let mut actual_sums = unset::<E>(sums.len());
        gate::backward(
            &geometry,
            &numbers,
            &factors,
            &gradient,
            &mut actual,
            &mut actual_sums,
        )
        .unwrap();
        assert_near(&name, &actual, &map_gradient, 0.0);
        assert_near(&name, &actual_sums, &sums, 0.25 * magnitude);
    });
}

#[test]
fn gates_match_the_reference() {
    for sizes in SIZES {
        for gate in [Gate::Channels, Gate::Pixels] {
            gate_matches_the_reference::<f32>(gate, sizes);
            gate_matches_the_reference::<bf16>(gate, sizes);
        }
    }
}

fn summary_matches_the_reference<E: Format>(pixels: usize, channels: usize) {
    // Few levels, so that there are several largest channels.
    let levels = map::<f32>(1, pixels * channels).into_iter();
    let input: Vec<E> = levels
        .map(|number| E::rounded((8.0 * number).round() / 8.0))
        .collect();
    let gradient: Vec<E> = map(2, pixels * 2);
    let (mut output, mut input_gradient) = (Vec::new(), Vec::new());
    for (pixel, gradient) in exact(&input)
        .chunks_exact(channels)
        .zip(exact(&gradient).chunks_exact(2))
    {
        let largest = pixel.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = pixel.iter().position(|&number| number == largest);
        output.extend([pixel.iter().sum::<f64>() / channels as f64, largest]);
        for channel in 0..channels {
            let of_maximum = if Some(channel) == first {
                gradient[1]
            } else {
                0.0
            };
            input_gradient.push(gradient[0] / channels as f64 + of_maximum);
        }
    }
    let name = format!("summary of {pixels} pixels of {channels} channels");
    in_every_set(|| {
        let mut actual = unset::<E>(output.len());
        channel_summary::forward(channels, &input, &mut actual).unwrap();
        assert_near(&name, &actual, &output, 0.5);
        let mut actual = unset::<E>(input.len());
        channel_summary::backward(channels, &input, &gradient, &mut actual).unwrap();
        assert_near(&name, &actual, &input_gradient, 0.5);
    });
}

#[test]
fn summaries_match_the_reference() {
    for [batch, pixels, channels] in SIZES {
        summary_matches_the_reference::<f32>(batch * pixels, channels);
        summary_matches_the_reference::<bf16>(batch * pixels, channels);
    }
}

#[test]
fn the_largest_channel_with_nan_is_nan() {
    for channels in [3, 40] {
        let mut input = vec![1.0f32; channels];
        input[channels - 2] = f32::NAN;
        in_every_set(|| {
            let mut output = [0.0; 2];
            channel_summary::forward(channels, &input, &mut output).unwrap();
            assert!(output[0].is_nan() && output[1].is_nan());
            let mut gradient = vec![5.0; channels];
            channel_summary::backward(channels, &input, &[0.0, 1.0], &mut gradient).unwrap();
            let first = gradient.iter().position(|&number| number == 1.0);
            assert_eq!(first, Some(channels - 2));
        });
    }
}

fn channel_convolution_matches_the_reference<E: Format>(
    batch: usize,
    channels: usize,
    taps: usize,
) {
    let length = batch * channels;
    let (input, gradient): (Vec<E>, Vec<E>) = (map(1, length), map(2, length));
    let weight: Vec<f32> = map(3, taps);
    let mut output = vec![0.0; length];
    let mut input_gradient = vec![0.0; length];
    let mut weight_gradient = vec![0.0; taps];
    for (index, output) in output.iter_mut().enumerate() {
        for tap in 0..taps {
            let channel = (index % channels + tap).wrapping_sub(taps / 2);
            if channel < channels {
                let from = index / channels * channels + channel;
                *output += weight[tap].exact() * input[from].exact();
                input_gradient[from] += weight[tap].exact() * gradient[index].exact();
                weight_gradient[tap] += input[from].exact() * gradient[index].exact();
            }
        }
    }
    let name = format!("{batch} {channels} {taps}");
    in_every_set(|| {
        let mut actual = unset::<E>(length);
        channel_convolution::forward(channels, &input, &weight, &mut actual).unwrap();
        assert_near(&name, &actual, &output, 1.0);
        let mut actual = unset::<E>(length);
        let mut actual_weight = unset::<f32>(taps);
        channel_convolution::backward(
            channels,
            &input,
            &weight,
            &gradient,
            &mut actual,
            &mut actual_weight,
        )
        .unwrap();
        assert_near(&name, &actual, &input_gradient, 1.0);
        assert_near(
            &name,
            &actual_weight,
            &weight_gradient,
            length as f64 / 32.0,
        );
    });
}

#[test]
fn channel_convolutions_match_the_reference() {
    for (batch, channels, taps) in [
        (1, 1, 1),
        (1, 1, 3),
        (3, 2, 5),
        (2, 17, 3),
        (5, 64, 5),
        (4, 100, 7),
        (50, 700, 5),
    ] {
        channel_convolution_matches_the_reference::<f32>(batch, channels, taps);
        channel_convolution_matches_the_reference::<bf16>(batch, channels, taps);
    }
}

fn softmax(paths: usize, channels: usize, input: &[f64]) -> Vec<f64> {
    let mut output = vec![0.0; input.len()];
    for (index, output) in output.iter_mut().enumerate() {
        let first = index / (paths * channels) * paths * channels + index % channels;
        let all = (0..paths).map(|path| input[first + path * channels].exp());
        *output = input[index].exp() / all.sum::<f64>();
    }
    output
}

fn softmax_matches_the_reference<E: Format>([batch, paths, channels]: [usize; 3]) {
    let length = batch * paths * channels;
    let numbers = map::<f32>(1, length).into_iter();
    let input: Vec<E> = numbers.map(|number| E::rounded(10.0 * number)).collect();
    let gradient: Vec<E> = map(2, length);
    let name = format!("softmax {batch} {paths} {channels}");
    let expected = softmax(paths, channels, &exact(&input));
    // The backward pass starts from the rounded output, from which the gradient follows exactly.
    let mut output = unset::<E>(length);
    in_every_set(|| {
        output = unset(length);
        path_softmax::forward(paths, channels, &input, &mut output).unwrap();
        assert_near(&name, &output, &expected, 1.0);
        let mut actual = unset::<E>(length);
        path_softmax::backward(paths, channels, &output, &gradient, &mut actual).unwrap();
        let mut input_gradient = vec![0.0; length];
        for (index, target) in input_gradient.iter_mut().enumerate() {
            let first = index / (paths * channels) * paths * channels + index % channels;
            let product: f64 = (0..paths)
                .map(|path| first + path * channels)
                .map(|other| output[other].exact() * gradient[other].exact())
                .sum();
            *target = output[index].exact() * (gradient[index].exact() - product);
        }
        assert_near(&name, &actual, &input_gradient, 0.5);
    });
}

#[test]
fn softmax_over_paths_matches_the_reference() {
    for sizes in [
        [1, 1, 1],
        [2, 2, 1],
        [1, 3, 5],
        [4, 2, 32],
        [3, 4, 37],
        [60, 2, 300],
    ] {
        softmax_matches_the_reference::<f32>(sizes);
        softmax_matches_the_reference::<bf16>(sizes);
    }
}

/// The formula that the test above uses is the derivative.
#[test]
fn softmax_over_paths_has_its_derivative() {
    let (paths, channels) = (3, 5);
    let (input, gradient): (Vec<f32>, Vec<f32>) = (map(1, 30), map(2, 30));
    let (mut output, mut input_gradient) = (unset(30), unset(30));
    path_softmax::forward(paths, channels, &input, &mut output).unwrap();
    path_softmax::backward(paths, channels, &output, &gradient, &mut input_gradient).unwrap();
    assert_gradient::<f32>(
        "softmax",
        &input_gradient,
        &exact(&input),
        &exact(&gradient),
        [30, 1],
        |input| softmax(paths, channels, input),
    );
}

#[test]
fn softmax_of_large_numbers_is_finite() {
    let input = [3000.0f32, -3000.0, 2999.0, -3000.0];
    let mut output = [f32::NAN; 4];
    path_softmax::forward(2, 2, &input, &mut output).unwrap();
    assert_near(
        "softmax",
        &output,
        &softmax(2, 2, &[1.0, 0.0, 0.0, 0.0]),
        1.0,
    );
}

#[test]
fn threads_do_not_matter() {
    for gate in [Gate::Channels, Gate::Pixels] {
        let geometry = GateGeometry::new(gate, 2, 3000, 50).unwrap();
        let numbers: Vec<f32> = map(1, geometry.map_length());
        let factors: Vec<f32> = map(2, geometry.gate_length());
        let gradient: Vec<f32> = map(3, geometry.map_length());
        assert_same_bits("gate", || {
            let (mut output, mut sums) = (unset(numbers.len()), unset(factors.len()));
            gate::backward(
                &geometry,
                &numbers,
                &factors,
                &gradient,
                &mut output,
                &mut sums,
            )
            .unwrap();
            [output, sums].concat()
        });
    }
    let (input, gradient): (Vec<f32>, Vec<f32>) = (map(1, 200_000), map(2, 200_000));
    assert_same_bits("channel convolution", || {
        let (mut output, mut weight) = (unset(input.len()), unset(5));
        channel_convolution::backward(1000, &input, &[0.5; 5], &gradient, &mut output, &mut weight)
            .unwrap();
        [output, weight].concat()
    });
    assert_same_bits("channel summary", || {
        let mut output = unset(input.len() / 25);
        channel_summary::forward(50, &input, &mut output).unwrap();
        let mut input_gradient = unset(input.len());
        channel_summary::backward(50, &input, &output, &mut input_gradient).unwrap();
        [output, input_gradient].concat()
    });
    assert_same_bits("softmax", || {
        let mut output = unset(input.len());
        path_softmax::forward(4, 500, &input, &mut output).unwrap();
        let mut input_gradient = unset(input.len());
        path_softmax::backward(4, 500, &output, &gradient, &mut input_gradient).unwrap();
        [output, input_gradient].concat()
    });
}

#[test]
fn impossible_sizes_are_named() {
    let error = GateGeometry::new(Gate::Pixels, 2, 0, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a gate of 2 images of 0 pixels and 3 channels is empty or too large"
    );
    assert!(GateGeometry::new(Gate::Pixels, 2, usize::MAX, 3).is_err());
    let geometry = GateGeometry::new(Gate::Channels, 2, 4, 3).unwrap();
    assert_eq!([geometry.map_length(), geometry.gate_length()], [24, 6]);
    for lengths in [[23, 6, 24], [24, 5, 24], [24, 6, 25]] {
        let [numbers, factors, mut output] = lengths.map(|length| vec![0.0f32; length]);
        assert!(gate::forward(&geometry, &numbers, &factors, &mut output).is_err());
    }
    for wrong in 0..5 {
        let mut lengths = [24, 6, 24, 24, 6];
        lengths[wrong] -= 1;
        let [
            numbers,
            factors,
            gradient,
            mut map_gradient,
            mut gate_gradient,
        ] = lengths.map(|length| vec![0.0f32; length]);
        let result = gate::backward(
            &geometry,
            &numbers,
            &factors,
            &gradient,
            &mut map_gradient,
            &mut gate_gradient,
        );
        assert!(result.is_err(), "{wrong}");
    }

    let mut output = [0.0f32; 6];
    assert!(channel_summary::forward(0, &[0.0; 6], &mut output).is_err());
    assert!(channel_summary::forward(4, &[0.0; 6], &mut output).is_err());
    assert!(channel_summary::forward(3, &[0.0; 6], &mut output).is_err());
    assert!(channel_summary::backward(3, &[0.0; 6], &[0.0; 3], &mut output).is_err());
    assert!(channel_summary::backward(3, &[0.0; 3], &[0.0; 2], &mut output).is_err());

    let error = channel_convolution::forward(3, &[0.0; 6], &[0.0; 2], &mut output).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a convolution over channels needs an odd number of taps, not 2"
    );
    assert!(channel_convolution::forward(3, &[0.0; 6], &[], &mut output).is_err());
    assert!(channel_convolution::forward(4, &[0.0; 6], &[0.0; 3], &mut output).is_err());
    assert!(channel_convolution::forward(3, &[0.0; 3], &[0.0; 3], &mut output).is_err());
    let mut weight = [0.0; 3];
    for [gradient, taps] in [[6, 2], [5, 3]] {
        let gradient = vec![0.0f32; gradient];
        let result = channel_convolution::backward(
            3,
            &[0.0; 6],
            &[0.0; 3],
            &gradient,
            &mut output,
            &mut weight[..taps],
        );
        assert!(result.is_err());
    }

    assert!(path_softmax::forward(0, 3, &[0.0; 6], &mut output).is_err());
    assert!(path_softmax::forward(2, 2, &[0.0; 6], &mut output).is_err());
    assert!(path_softmax::forward(2, 3, &[0.0; 12], &mut output).is_err());
    assert!(path_softmax::forward(usize::MAX, 3, &[0.0; 6], &mut output).is_err());
    assert!(path_softmax::backward(2, 3, &[0.0; 6], &[0.0; 5], &mut output).is_err());
}
