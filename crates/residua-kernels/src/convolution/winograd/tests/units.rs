//! Every function against direct sums in f64.

use proptest::prelude::*;

use super::super::*;
use super::reference::*;
use crate::{InstructionSet, with_instruction_set};

fn shape(images: usize, [rows, columns]: [usize; 2], channels: [usize; 2]) -> UnitShape {
    UnitShape {
        images,
        rows,
        columns,
        in_channels: channels[0],
        out_channels: channels[1],
    }
}

/// The largest difference, relative to the largest sum of magnitudes in the reference: a tile's
/// transforms mix all its numbers, so its error is not in proportion to each sum alone.
fn error(actual: &[f32], expected: &[Sum]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let magnitudes = expected.iter().map(|sum| sum.magnitude);
    let largest = magnitudes.fold(0.0, f64::max);
    let mut difference = 0.0;
    for (&actual, expected) in actual.iter().zip(expected) {
        let this = (f64::from(actual) - expected.value).abs();
        assert!(!this.is_nan(), "not a number");
        difference = this.max(difference);
    }
    difference / (largest + 1e-30)
}

fn correlated(
    set: InstructionSet,
    direction: Direction,
    shape: &UnitShape,
    weight: &[f32],
    window: &[f32],
) -> Vec<f32> {
    let (outputs, inputs) = match direction {
        Direction::Forward => (shape.out_channels, shape.in_channels),
        Direction::InputGradient => (shape.in_channels, shape.out_channels),
    };
    let weights = with_instruction_set(set, || {
        TransformedWeights::new(direction, weight, outputs, inputs)
    });
    let mut result = vec![f32::NAN; shape.result_length()];
    correlate(shape, &weights, window, &mut result);
    result
}

/// The errors of forward, input gradient and weight gradient.
fn errors(set: InstructionSet, shape: &UnitShape, seed: u64) -> [f64; 3] {
    let window = numbers(seed, shape.window_length());
    let weight = numbers(seed + 1, shape.out_channels * shape.in_channels * 9);
    let gradient = numbers(seed + 2, shape.result_length());
    let expected = direct_result(shape, &window, &weight);
    let forward = correlated(set, Direction::Forward, shape, &weight, &window);
    let turned = exchanged(&weight, shape.out_channels, shape.in_channels);
    let backward = correlated(set, Direction::InputGradient, shape, &turned, &window);
    let units = [(*shape, &window[..], &gradient[..])];
    let weight_gradient = whole_weight_gradient(set, shape, &units, 5);
    [
        error(&forward, &expected),
        error(&backward, &expected),
        error(
            &weight_gradient,
            &direct_gradient(shape, &window, &gradient),
        ),
    ]
}

/// Allowed error relative to the largest sum of magnitudes.
///
/// The transforms' coefficients let intermediate numbers grow beyond the sums that they make up, by
/// a factor that does not depend on the channels. The worst that `print_errors` finds is 2.9e-6
/// (many seeds of few channels) and 1.3e-6 for layers of usual sizes, six times the error of direct
/// sums in f32, which is 1.5e-7 to 2.2e-7: a loss of 0.8 decimal digits.
const TOLERANCE: f64 = 1e-5;

#[test]
fn odd_shapes_agree_with_direct_sums() {
    let shapes = [
        shape(1, [1, 1], [1, 1]),
        shape(2, [1, 1], [3, 17]),
        shape(1, [4, 4], [16, 16]),
        shape(3, [5, 7], [17, 3]),
        shape(1, [9, 13], [33, 47]),
        shape(2, [8, 8], [64, 64]),
        shape(2, [14, 6], [20, 80]),
        shape(5, [3, 2], [5, 130]),
        shape(1, [56, 3], [16, 16]),
    ];
    for set in InstructionSet::available() {
        for shape in &shapes {
            for (name, error) in ["forward", "input gradient", "weight gradient"]
                .iter()
                .zip(errors(set, shape, 7))
            {
                assert!(error < TOLERANCE, "{set} {shape:?} {name}: {error:e}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn random_shapes_agree_with_direct_sums(
        images in 1..4usize,
        rows in 1..19usize,
        columns in 1..19usize,
        in_channels in 1..40usize,
        out_channels in 1..70usize,
        seed in 0..1000u64,
    ) {
        let shape = shape(images, [rows, columns], [in_channels, out_channels]);
        for set in InstructionSet::available() {
            for error in errors(set, &shape, seed) {
                prop_assert!(error < TOLERANCE, "{set} {shape:?}: {error:e}");
            }
        }
    }
}

/// Where every intermediate number is an integer below 2²⁴, nothing is rounded.
#[test]
fn small_integers_are_exact() {
    for set in InstructionSet::available() {
        for shape in [shape(2, [7, 9], [5, 19]), shape(1, [8, 8], [16, 32])] {
            let window = integers(1, shape.window_length(), 2.0);
            let gradient = integers(2, shape.result_length(), 2.0);
            let weight: Vec<f32> = integers(3, shape.out_channels * shape.in_channels * 9, 1.0)
                .into_iter()
                .map(|number| 576.0 * number)
                .collect();
            let forward = correlated(set, Direction::Forward, &shape, &weight, &window);
            assert_eq!(
                error(&forward, &direct_result(&shape, &window, &weight)),
                0.0
            );
            let units = [(shape, &window[..], &gradient[..])];
            let weight_gradient = whole_weight_gradient(set, &shape, &units, 1);
            let expected = direct_gradient(&shape, &window, &gradient);
            assert_eq!(error(&weight_gradient, &expected), 0.0);
        }
    }
}

/// A tile has the same bits in a unit of many images as in one of its own image.
#[test]
fn results_do_not_depend_on_the_unit() {
    for set in InstructionSet::available() {
        for (size, channels) in [([13, 30], [16, 16]), ([9, 9], [70, 33])] {
            let whole = shape(11, size, channels);
            let one = shape(1, size, channels);
            let window = numbers(1, whole.window_length());
            let weight = numbers(2, whole.out_channels * whole.in_channels * 9);
            let gradient = numbers(3, whole.result_length());
            let result = correlated(set, Direction::Forward, &whole, &weight, &window);
            let windows = window.chunks_exact(one.window_length());
            let results = result.chunks_exact(one.result_length());
            for (window, result) in windows.clone().zip(results) {
                let alone = correlated(set, Direction::Forward, &one, &weight, window);
                assert_eq!(alone, result);
            }
            let gradients = gradient.chunks_exact(one.result_length());
            let units: Vec<_> = windows
                .zip(gradients)
                .map(|(window, gradient)| (one, window, gradient))
                .collect();
            assert_eq!(
                whole_weight_gradient(set, &whole, &units, 7),
                whole_weight_gradient(set, &whole, &[(whole, &window, &gradient)], 1),
            );
        }
    }
}

#[test]
fn partial_sums_are_added() {
    for set in InstructionSet::available() {
        let shape = shape(1, [6, 6], [7, 21]);
        let length = sums_length(set, 7, 21);
        let (left, right) = (integers(1, length, 9.0), integers(2, length, 9.0));
        let together: Vec<_> = left.iter().zip(&right).map(|(a, b)| a + b).collect();
        let finish = |sums: &[&[f32]]| {
            let mut rows = vec![0.0; 21 * 7 * 9];
            finish_weight_gradient(
                set,
                shape.in_channels,
                shape.out_channels,
                sums,
                0,
                &mut rows,
            );
            rows
        };
        assert_eq!(finish(&[&left, &right]), finish(&[&together]));
    }
}

/// Prints the errors of layers of usual sizes, and of direct sums in f32; see [`TOLERANCE`].
#[test]
#[ignore = "prints"]
fn print_errors() {
    let set = InstructionSet::detect();
    let mut worst = [0.0f64; 3];
    for seed in 0..300 {
        let size = [1 + seed % 17, 1 + seed % 13].map(|size| size as usize);
        let channels = [1 + seed % 5, 1 + seed % 3].map(|channels| channels as usize);
        let errors = errors(set, &shape(1, size, channels), seed);
        for (worst, error) in worst.iter_mut().zip(errors) {
            *worst = worst.max(error);
        }
    }
    println!(
        "worst of small shapes: {:.1e} {:.1e} {:.1e}",
        worst[0], worst[1], worst[2]
    );
    for (size, channels) in [(32, 16), (16, 32), (16, 64), (8, 128), (8, 256), (4, 512)] {
        let shape = shape(2, [size, size], [channels, channels]);
        let [forward, _, weight] = errors(set, &shape, 3);
        let window = numbers(1, shape.window_length());
        let weights = numbers(2, channels * channels * 9);
        let mut direct = vec![0.0f32; shape.result_length()];
        for_each_product(&shape, |source, tap, target| {
            direct[target] = window[source].mul_add(weights[tap], direct[target]);
        });
        let direct = error(&direct, &direct_result(&shape, &window, &weights));
        println!(
            "{channels}: forward {forward:.1e} (direct {direct:.1e}), weight gradient {weight:.1e}"
        );
    }
}
