//! Linear layers, sums, elementwise operations and the shortcut, for every instruction set of the
//! machine.

mod support;

use half::bf16;
use proptest::prelude::*;
use residua_kernels::linear::{self, LinearGeometry};
use residua_kernels::shortcut::{self, ShortcutGeometry};
use residua_kernels::{InstructionSet, elementwise, reduce, with_instruction_set};
use support::{Sum, assert_close, exact_numbers as exact, numbers, round};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn linear_matches_the_reference(rows in 1usize..40, inputs in 1usize..90, outputs in 1usize..90) {
        let geometry = LinearGeometry::new(rows, inputs, outputs).unwrap();
        let (input, weight) = (numbers(1, rows * inputs), numbers(2, outputs * inputs));
        let (bias, gradient) = (numbers(3, outputs), numbers(4, rows * outputs));
        let mut expected = vec![Sum::default(); rows * outputs];
        let mut expected_input = vec![Sum::default(); rows * inputs];
        let mut expected_weight = vec![Sum::default(); outputs * inputs];
        for row in 0..rows {
            for out in 0..outputs {
                let gradient = f64::from(gradient[row * outputs + out]);
                expected[row * outputs + out].add(f64::from(bias[out]));
                for index in 0..inputs {
                    let number = f64::from(input[row * inputs + index]);
                    let weight = f64::from(weight[out * inputs + index]);
                    expected[row * outputs + out].add(number * weight);
                    expected_input[row * inputs + index].add(gradient * weight);
                    expected_weight[out * inputs + index].add(gradient * number);
                }
            }
        }
        for set in InstructionSet::available() {
            with_instruction_set(set, || {
                let mut output = vec![f32::NAN; rows * outputs];
                linear::forward(&geometry, &input, &weight, Some(&bias), &mut output).unwrap();
                assert_close("output", &output, &expected, 8.0);
                let mut input_gradient = vec![f32::NAN; rows * inputs];
                linear::input_gradient(&geometry, &gradient, &weight, &mut input_gradient).unwrap();
                assert_close("input gradient", &input_gradient, &expected_input, 8.0);
                let mut weight_gradient = vec![f32::NAN; outputs * inputs];
                linear::weight_gradient(&geometry, &input, &gradient, &mut weight_gradient).unwrap();
                assert_close("weight gradient", &weight_gradient, &expected_weight, 8.0);
            });
        }
    }

    #[test]
    fn channel_sums_match_the_reference(pixels in 1usize..5000, channels in 1usize..100) {
        let input = numbers(1, pixels * channels);
        let mut expected = vec![Sum::default(); channels];
        for (index, &number) in input.iter().enumerate() {
            expected[index % channels].add(f64::from(number));
        }
        for set in InstructionSet::available() {
            with_instruction_set(set, || {
                let mut sums = vec![f32::NAN; channels];
                reduce::channel_sums(&input, &mut sums).unwrap();
                assert_close("sums", &sums, &expected, 4.0);
            });
        }
    }

    #[test]
    fn elementwise_operations_are_exact(length in prop_oneof![0usize..50, 65_530usize..65_550]) {
        let (left, right) = (numbers(1, length), numbers(2, length));
        let expected = |operation: fn(f32, f32) -> f32| -> Vec<f32> {
            left.iter().zip(&right).map(|(&left, &right)| operation(left, right)).collect()
        };
        for set in InstructionSet::available() {
            with_instruction_set(set, || {
                let mut output = vec![f32::NAN; length];
                elementwise::add(&left, &right, &mut output).unwrap();
                assert_eq!(output, expected(|left, right| left + right));
                elementwise::relu(&left, &mut output).unwrap();
                assert_eq!(output, expected(|left, _| left.max(0.0)));
                elementwise::relu_backward(&left, &right, &mut output).unwrap();
                assert_eq!(output, expected(|left, right| if left > 0.0 { right } else { 0.0 }));
                let mut total = left.clone();
                elementwise::add_assign(&mut total, &right).unwrap();
                assert_eq!(total, expected(|left, right| left + right));
            });
        }
    }

    #[test]
    fn the_shortcut_takes_and_returns_pixels(
        batch in 1usize..3,
        input in [1usize..8, 1usize..8],
        channels in 1usize..5,
        stride in 1usize..4,
        zeros in [0usize..4, 0usize..4],
    ) {
        let geometry = ShortcutGeometry::new(batch, input, channels, stride, zeros).unwrap();
        let [height, width] = geometry.output();
        let source = numbers(1, geometry.input_length());
        let gradient = numbers(2, geometry.output_length());
        let mut output = vec![f32::NAN; geometry.output_length()];
        shortcut::forward(&geometry, &source, &mut output).unwrap();
        let mut input_gradient = vec![f32::NAN; geometry.input_length()];
        shortcut::backward(&geometry, &gradient, &mut input_gradient).unwrap();

        let mut expected = vec![0.0; geometry.output_length()];
        let mut expected_gradient = vec![0.0; geometry.input_length()];
        for image in 0..batch {
            for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
                for channel in 0..channels {
                    let pixel = (image * input[0] + row * stride) * input[1] + column * stride;
                    let from = pixel * channels + channel;
                    let to = ((image * height + row) * width + column) * geometry.out_channels() + zeros[0] + channel;
                    expected[to] = source[from];
                    expected_gradient[from] = gradient[to];
                }
            }
        }
        prop_assert_eq!(output, expected);
        prop_assert_eq!(input_gradient, expected_gradient);
    }
}

/// Maps in bfloat16 are those in `f32` of the same numbers, rounded once.
#[test]
fn operations_in_bfloat16_round_once() {
    let (pixels, channels) = (300, 37);
    let geometry = ShortcutGeometry::new(3, [20, 5], channels, 2, [2, 3]).unwrap();
    let length = pixels * channels;
    let (left, right) = (exact(1, length), exact(2, length));
    let gradient = exact(3, geometry.output_length());
    let (narrow_left, narrow_right) = (round(&left), round(&right));
    for set in InstructionSet::available() {
        with_instruction_set(set, || {
            let (mut wide, mut narrow) = (vec![f32::NAN; length], vec![bf16::NAN; length]);
            elementwise::add(&left, &right, &mut wide).unwrap();
            elementwise::add(&narrow_left, &narrow_right, &mut narrow).unwrap();
            assert_eq!(narrow, round(&wide), "{set} add");
            elementwise::relu(&left, &mut wide).unwrap();
            elementwise::relu(&narrow_left, &mut narrow).unwrap();
            assert_eq!(narrow, round(&wide), "{set} relu");
            elementwise::relu_backward(&left, &right, &mut wide).unwrap();
            elementwise::relu_backward(&narrow_left, &narrow_right, &mut narrow).unwrap();
            assert_eq!(narrow, round(&wide), "{set} relu_backward");
            let (mut wide, mut narrow) = (left.clone(), narrow_left.clone());
            elementwise::add_assign(&mut wide, &right).unwrap();
            elementwise::add_assign(&mut narrow, &narrow_right).unwrap();
            assert_eq!(narrow, round(&wide), "{set} add_assign");

            let (mut wide, mut narrow) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
            reduce::channel_sums(&left, &mut wide).unwrap();
            reduce::channel_sums(&narrow_left, &mut narrow).unwrap();
            assert_eq!(narrow, wide, "{set} sums");

            let mut wide = vec![f32::NAN; geometry.output_length()];
            let mut narrow = round(&wide);
            shortcut::forward(&geometry, &left, &mut wide).unwrap();
            shortcut::forward(&geometry, &narrow_left, &mut narrow).unwrap();
            assert_eq!(narrow, round(&wide), "{set} shortcut");
            let mut wide = vec![f32::NAN; length];
            let mut narrow = round(&wide);
            shortcut::backward(&geometry, &gradient, &mut wide).unwrap();
            shortcut::backward(&geometry, &round(&gradient), &mut narrow).unwrap();
            assert_eq!(narrow, round(&wide), "{set} shortcut's gradient");
        });
    }
}

#[test]
fn wrong_lengths_are_named() {
    let error = elementwise::add(&[1.0; 3], &[1.0; 4], &mut [0.0; 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "left has 3 elements, but the shape needs 4"
    );
    let error = reduce::channel_sums(&[1.0; 7], &mut [0.0; 3]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "input has 7 elements, which is not a number of pixels of 3 channels"
    );
    let geometry = LinearGeometry::new(2, 3, 4).unwrap();
    let error = linear::forward(&geometry, &[0.0; 6], &[0.0; 11], None, &mut [0.0; 8]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "weight has 11 elements, but the shape needs 12"
    );
}
