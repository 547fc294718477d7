//! Pooling against plain references, for every instruction set of the machine.

mod support;

use proptest::prelude::*;
use residua_kernels::pooling::{self, AverageGeometry, MaxGeometry, PoolingSpec};
use residua_kernels::{InstructionSet, with_instruction_set};
use support::{exact_numbers as exact, numbers, round};

prop_compose! {
    fn specs()(
        batch in 1usize..3,
        input in [1usize..10, 1usize..10],
        channels in 1usize..20,
        kernel in [1usize..5, 1usize..5],
        stride in [1usize..4, 1usize..4],
        padding in [0usize..3, 0usize..3],
        dilation in [1usize..3, 1usize..3],
        ceil_mode: bool,
    ) -> PoolingSpec {
        PoolingSpec { batch, input, channels, kernel, stride, padding, dilation, ceil_mode }
    }
}

/// PyTorch's output size.
fn output_size(spec: &PoolingSpec, axis: usize) -> usize {
    let extent = spec.dilation[axis] * (spec.kernel[axis] - 1) + 1;
    let room = spec.input[axis] + 2 * spec.padding[axis] - extent;
    let up = if spec.ceil_mode {
        spec.stride[axis] - 1
    } else {
        0
    };
    let size = (room + up) / spec.stride[axis] + 1;
    let begins_behind = (size - 1) * spec.stride[axis] >= spec.input[axis] + spec.padding[axis];
    if begins_behind { size - 1 } else { size }
}

/// Padded coordinates of a window's elements, as signed input coordinates.
fn window(spec: &PoolingSpec, axis: usize, position: usize) -> impl Iterator<Item = isize> + Clone {
    let first = (position * spec.stride[axis]) as isize - spec.padding[axis] as isize;
    let dilation = spec.dilation[axis] as isize;
    (0..spec.kernel[axis] as isize).map(move |element| first + element * dilation)
}

fn for_each_window(spec: &PoolingSpec, mut visit: impl FnMut(usize, usize, usize, usize)) {
    let [height, width] = [output_size(spec, 0), output_size(spec, 1)];
    for image in 0..spec.batch {
        for row in 0..height {
            for column in 0..width {
                visit(image, row, column, (image * height + row) * width + column);
            }
        }
    }
}

proptest! {
    #[test]
    fn max_matches_the_reference(spec in specs(), levels in 1u32..40) {
        let geometry = MaxGeometry::new(spec.clone());
        prop_assume!(geometry.is_ok());
        let geometry = geometry.unwrap();
        prop_assert_eq!(geometry.output(), [output_size(&spec, 0), output_size(&spec, 1)]);
        // Few levels, so that there are ties.
        let coarse = |number: f32| (number * levels as f32).round();
        let input: Vec<_> = numbers(1, geometry.input_length()).into_iter().map(coarse).collect();
        let gradient = numbers(2, geometry.output_length());

        let mut expected = vec![f32::NEG_INFINITY; geometry.output_length()];
        let mut expected_positions = vec![pooling::NO_POSITION; geometry.output_length()];
        let mut expected_gradient = vec![0.0; geometry.input_length()];
        for_each_window(&spec, |image, row, column, target| for channel in 0..spec.channels {
            let index = target * spec.channels + channel;
            let mut winner = None;
            for y in window(&spec, 0, row) {
                for x in window(&spec, 1, column) {
                    if (0..spec.input[0] as isize).contains(&y) && (0..spec.input[1] as isize).contains(&x) {
                        let position = y as usize * spec.input[1] + x as usize;
                        let pixel = image * spec.input[0] * spec.input[1] + position;
                        let source = pixel * spec.channels + channel;
                        if winner.is_none() || input[source] > expected[index] {
                            winner = Some(source);
                            expected[index] = input[source];
                            expected_positions[index] = position as u32;
                        }
                    }
                }
            }
            if let Some(source) = winner {
                expected_gradient[source] += gradient[index];
            }
        });

        for set in InstructionSet::available() {
            with_instruction_set(set, || {
                let mut output = vec![f32::NAN; geometry.output_length()];
                let mut positions = vec![7; geometry.output_length()];
                pooling::max_forward(&geometry, &input, &mut output, &mut positions).unwrap();
                assert_eq!(output, expected);
                assert_eq!(positions, expected_positions);
                let mut input_gradient = vec![f32::NAN; geometry.input_length()];
                pooling::max_backward(&geometry, &positions, &gradient, &mut input_gradient).unwrap();
                assert_eq!(input_gradient, expected_gradient);
            });
        }
    }

    #[test]
    fn average_matches_the_reference(mut spec in specs(), count_include_pad: bool) {
        spec.dilation = [1, 1];
        let geometry = AverageGeometry::sliding(&spec, count_include_pad);
        prop_assume!(geometry.is_ok());
        let geometry = geometry.unwrap();
        prop_assert_eq!(geometry.output(), [output_size(&spec, 0), output_size(&spec, 1)]);
        let input = numbers(1, geometry.input_length());
        let gradient = numbers(2, geometry.output_length());

        let mut expected = vec![0.0f64; geometry.output_length()];
        let mut expected_gradient = vec![0.0f64; geometry.input_length()];
        for_each_window(&spec, |image, row, column, target| {
            let mut counted = 0;
            let mut pixels = Vec::new();
            for y in window(&spec, 0, row) {
                for x in window(&spec, 1, column) {
                    let inside = (0..spec.input[0] as isize).contains(&y) && (0..spec.input[1] as isize).contains(&x);
                    // Elements that rounding up added beyond the padding are never counted.
                    let padded = y < (spec.input[0] + spec.padding[0]) as isize
                        && x < (spec.input[1] + spec.padding[1]) as isize;
                    counted += usize::from(inside || (padded && count_include_pad));
                    if inside {
                        pixels.push((image * spec.input[0] + y as usize) * spec.input[1] + x as usize);
                    }
                }
            }
            for pixel in pixels {
                for channel in 0..spec.channels {
                    let (source, target) = (pixel * spec.channels + channel, target * spec.channels + channel);
                    expected[target] += f64::from(input[source]) / counted as f64;
                    expected_gradient[source] += f64::from(gradient[target]) / counted as f64;
                }
            }
        });

        for set in InstructionSet::available() {
            with_instruction_set(set, || {
                let mut output = vec![f32::NAN; geometry.output_length()];
                pooling::average_forward(&geometry, &input, &mut output).unwrap();
                let mut input_gradient = vec![f32::NAN; geometry.input_length()];
                pooling::average_backward(&geometry, &gradient, &mut input_gradient).unwrap();
                let pairs = output.iter().zip(&expected).chain(input_gradient.iter().zip(&expected_gradient));
                for (&actual, &expected) in pairs {
                    assert!((f64::from(actual) - expected).abs() < 2e-6, "{actual} instead of {expected}");
                }
            });
        }
    }
}

/// Maps in bfloat16 give what the same numbers give in `f32`, rounded once.
#[test]
fn pools_in_bfloat16_round_once() {
    let spec = PoolingSpec {
        batch: 2,
        input: [13, 10],
        channels: 37,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        ..PoolingSpec::default()
    };
    let global = AverageGeometry::global(2, [13, 10], 37).unwrap();
    let sliding = AverageGeometry::sliding(&spec, true).unwrap();
    let max = MaxGeometry::new(spec).unwrap();
    let input = exact(1, max.input_length());
    let gradient = exact(2, max.output_length());
    for set in InstructionSet::available() {
        with_instruction_set(set, || {
            let mut wide = vec![f32::NAN; max.output_length()];
            let mut narrow = round(&wide);
            let [mut positions, mut narrow_positions] = [vec![7; wide.len()], vec![7; wide.len()]];
            pooling::max_forward(&max, &input, &mut wide, &mut positions).unwrap();
            pooling::max_forward(&max, &round(&input), &mut narrow, &mut narrow_positions).unwrap();
            assert_eq!(narrow, round(&wide), "{set} maxima");
            assert_eq!(narrow_positions, positions, "{set}");
            let mut wide = vec![f32::NAN; max.input_length()];
            let mut narrow = round(&wide);
            pooling::max_backward(&max, &positions, &gradient, &mut wide).unwrap();
            pooling::max_backward(&max, &positions, &round(&gradient), &mut narrow).unwrap();
            for (narrow, wide) in narrow.iter().zip(&wide) {
                // Of up to four contributions each sum may be rounded.
                let allowed = 3.0 * wide.abs().max(1.0) / 256.0;
                assert!(
                    (narrow.to_f32() - wide).abs() <= allowed,
                    "{set} {narrow} {wide}"
                );
            }

            // Windows that do not overlap and windows that do, with both formats on either side.
            for average in [&global, &sliding] {
                let gradient = exact(3, average.output_length());
                let mut wide = vec![f32::NAN; average.output_length()];
                let mut mixed = wide.clone();
                let mut narrow = round(&wide);
                pooling::average_forward(average, &input, &mut wide).unwrap();
                pooling::average_forward(average, &round(&input), &mut mixed).unwrap();
                pooling::average_forward(average, &round(&input), &mut narrow).unwrap();
                assert_eq!(mixed, wide, "{set} means");
                assert_eq!(narrow, round(&wide), "{set} means");
                let mut wide = vec![f32::NAN; average.input_length()];
                let [mut mixed, mut narrow] = [round(&wide), round(&wide)];
                pooling::average_backward(average, &gradient, &mut wide).unwrap();
                pooling::average_backward(average, &gradient, &mut mixed).unwrap();
                pooling::average_backward(average, &round(&gradient), &mut narrow).unwrap();
                assert_eq!(mixed, round(&wide), "{set} gradient of means");
                assert_eq!(narrow, round(&wide), "{set} gradient of means");
            }
        });
    }
}

#[test]
fn the_maximum_with_nan_is_nan() {
    let spec = PoolingSpec {
        batch: 1,
        input: [1, 4],
        channels: 1,
        kernel: [1, 4],
        ..PoolingSpec::default()
    };
    let geometry = MaxGeometry::new(spec).unwrap();
    for set in InstructionSet::available() {
        with_instruction_set(set, || {
            let (mut output, mut positions) = ([0.0], [0]);
            pooling::max_forward(
                &geometry,
                &[1.0, f32::NAN, 3.0, 2.0],
                &mut output,
                &mut positions,
            )
            .unwrap();
            assert!(output[0].is_nan());
            assert_eq!(positions, [1]);
        });
    }
}

#[test]
fn impossible_geometries_are_named() {
    let spec = PoolingSpec {
        batch: 1,
        input: [4, 4],
        channels: 1,
        kernel: [3, 3],
        ..PoolingSpec::default()
    };
    let message = |spec: PoolingSpec| MaxGeometry::new(spec).unwrap_err().to_string();
    assert_eq!(
        message(PoolingSpec {
            padding: [2, 0],
            ..spec.clone()
        }),
        "height padding 2 is more than half of kernel 3"
    );
    assert_eq!(
        message(PoolingSpec {
            kernel: [3, 5],
            ..spec.clone()
        }),
        "pooling kernel 5 with dilation 1 does not fit the padded input width 4"
    );
    assert_eq!(
        message(PoolingSpec {
            stride: [0, 1],
            ..spec
        }),
        "pooling along the height with kernel 3, stride 0, dilation 1: each must be at least 1"
    );
}
