//! The CPU operations against their definitions in terms of Burn's own, forward and backward,
//! on random shapes; and the gradients on the tape against finite differences.

use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex, TensorMetadata};
use burn::tensor::TensorData;
use proptest::prelude::*;
use residua_ops::{
    AdamW, ConvolutionOptions, MaxPoolOptions, NormOptions, Sgd, VisionBackend, ZeroPadOptions,
    reference,
};

/// Pseudo-random values in [-1, 1) that depend on `seed` alone.
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn tensor<const D: usize>(seed: u64, shape: [usize; D]) -> FlexTensor {
    let data = TensorData::new(values(seed, shape.iter().product()), shape);
    Flex::float_from_data(data, &Default::default())
}

fn host(tensor: FlexTensor) -> (Vec<usize>, Vec<f32>) {
    let shape = tensor.shape();
    let shape = (0..shape.num_dims()).map(|axis| shape[axis]).collect();
    let data = tensor.to_contiguous().into_data();
    (shape, data.try_into_vec().unwrap())
}

/// Equal shapes, and values that differ by no more than rounding of sums of `terms` products.
#[track_caller]
fn assert_agree(found: FlexTensor, expected: FlexTensor, terms: usize) {
    let (shape, found) = host(found);
    let (expected_shape, expected) = host(expected);
    assert_eq!(shape, expected_shape);
    let tolerance = 1e-6 * (terms as f32).sqrt().max(4.0) * 4.0;
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * expected.abs().max(1.0),
            "value {index}: {found} is not {expected}"
        );
    }
}

prop_compose! {
    fn convolutions()(
        batch in 1usize..4,
        input in [3usize..12, 3usize..12],
        groups in 1usize..4,
        per_group in [1usize..7, 1usize..7],
        kernel in [1usize..4, 1usize..4],
        stride in [1usize..4, 1usize..4],
        padding in [0usize..3, 0usize..3],
        seed: u64,
    ) -> (FlexTensor, FlexTensor, ConvolutionOptions, u64) {
        let [in_channels, out_channels] = per_group.map(|channels| channels * groups);
        let x = tensor(seed, [batch, input[0], input[1], in_channels]);
        let weight = tensor(seed ^ 1, [out_channels, per_group[0], kernel[0], kernel[1]]);
        let options = ConvolutionOptions { stride, padding, groups, ..Default::default() };
        (x, weight, options, seed)
    }
}

prop_compose! {
    fn norms()(
        shape in [1usize..4, 1usize..7, 1usize..7, 1usize..40],
        epsilon in prop_oneof![Just(1e-5f32), Just(1e-3)],
        relu: bool,
        seed: u64,
    ) -> (FlexTensor, NormOptions, u64) {
        // Two images at least: with a single value a channel has no variance.
        let shape = [shape[0] + 1, shape[1], shape[2], shape[3]];
        (tensor(seed, shape), NormOptions { epsilon, relu }, seed)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolutions_agree((x, weight, options, seed) in convolutions()) {
        let [_, taps @ ..] = shape4(&weight);
        let terms: usize = taps.iter().product();
        let y = Flex::convolution(x.clone(), weight.clone(), options);
        let expected = reference::convolution::<Flex>(x.clone(), weight.clone(), options);
        assert_agree(y.clone(), expected, terms);

        let dy = tensor(seed ^ 2, shape4(&y));
        assert_agree(
            Flex::convolution_input_gradient(x.clone(), weight.clone(), dy.clone(), options),
            reference::convolution_input_gradient::<Flex>(
                x.clone(), weight.clone(), dy.clone(), options,
            ),
            terms,
        );
        let [batch, height, width, _] = shape4(&y);
        assert_agree(
            Flex::convolution_weight_gradient(x.clone(), weight.clone(), dy.clone(), options),
            reference::convolution_weight_gradient::<Flex>(x, weight, dy, options),
            batch * height * width,
        );
    }

    #[test]
    fn norms_agree((x, options, seed) in norms(), with_shortcut: bool) {
        let shape = shape4(&x);
        let channels = [shape[3]];
        let scale = tensor(seed ^ 1, channels);
        let shift = tensor(seed ^ 2, channels);
        let shortcut = with_shortcut.then(|| tensor(seed ^ 3, shape));
        let found = match shortcut.clone() {
            None => Flex::train_batch_norm(x.clone(), scale.clone(), shift.clone(), options),
            Some(shortcut) => Flex::train_batch_norm_add(
                x.clone(), scale.clone(), shift.clone(), shortcut, options,
            ),
        };
        let expected = reference::batch_norm::<Flex>(
            x.clone(), scale.clone(), shift.clone(), shortcut.clone(), options,
        );
        // Division by a small deviation magnifies rounding.
        let terms = 10_000;
        assert_agree(found.0.clone(), expected.0, terms);
        assert_agree(found.1.clone(), expected.1, terms);
        assert_agree(found.2.clone(), expected.2, terms);

        let (y, mean, variance) = found;
        let dy = tensor(seed ^ 4, shape);
        let found = Flex::train_batch_norm_backward(
            x.clone(), scale.clone(), y.clone(), mean.clone(), variance.clone(), dy.clone(), options,
        );
        let expected = reference::batch_norm_backward::<Flex>(
            x.clone(), scale.clone(), y, mean, variance, dy, options,
        );
        assert_agree(found.0, expected.0, terms);
        assert_agree(found.1, expected.1, terms);
        assert_agree(found.2, expected.2, terms);
        assert_agree(found.3, expected.3, 1);

        let found = match shortcut.clone() {
            None => Flex::channel_affine(x.clone(), scale.clone(), shift.clone(), options.relu),
            Some(shortcut) => Flex::channel_affine_add(
                x.clone(), scale.clone(), shift.clone(), shortcut, options.relu,
            ),
        };
        let expected = reference::channel_affine::<Flex>(x, scale, shift, shortcut, options.relu);
        assert_agree(found, expected, 1);
    }

    #[test]
    fn pools_and_shortcuts_agree(
        shape in [1usize..4, 3usize..12, 3usize..12, 1usize..20],
        kernel in 1usize..4,
        stride in 1usize..4,
        before in 0usize..5,
        after in 0usize..5,
        seed: u64,
    ) {
        let x = tensor(seed, shape);
        let pool = MaxPoolOptions {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
        };
        let y = Flex::max_pool(x.clone(), pool);
        assert_agree(y.clone(), reference::max_pool::<Flex>(x.clone(), pool), 1);
        let dy = tensor(seed ^ 1, shape4(&y));
        assert_agree(
            Flex::max_pool_backward(x.clone(), dy.clone(), pool),
            reference::max_pool_backward::<Flex>(x.clone(), dy, pool),
            9,
        );

        let y = Flex::global_average_pool(x.clone());
        assert_agree(y, reference::global_average_pool::<Flex>(x.clone()), shape[1] * shape[2]);
        let dy = tensor(seed ^ 2, [shape[0], shape[3]]);
        assert_agree(
            Flex::global_average_pool_backward(x.clone(), dy.clone()),
            reference::global_average_pool_backward::<Flex>(x.clone(), dy),
            1,
        );

        let options = ZeroPadOptions { stride, before, after };
        let y = Flex::zero_pad_shortcut(x.clone(), options);
        assert_agree(y.clone(), reference::zero_pad_shortcut::<Flex>(x.clone(), options), 1);
        let dy = tensor(seed ^ 3, shape4(&y));
        assert_agree(
            Flex::zero_pad_shortcut_backward(x.clone(), dy.clone(), options),
            reference::zero_pad_shortcut_backward::<Flex>(x, dy, options),
            1,
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn linear_layers_agree(rows in 1usize..9, inputs in 1usize..40, outputs in 1usize..40, seed: u64) {
        let x = tensor(seed, [rows, inputs]);
        let weight = tensor(seed ^ 1, [outputs, inputs]);
        let bias = tensor(seed ^ 2, [outputs]);
        assert_agree(
            Flex::linear_layer(x.clone(), weight.clone(), bias.clone()),
            reference::linear_layer::<Flex>(x.clone(), weight.clone(), bias),
            inputs,
        );
        let dy = tensor(seed ^ 3, [rows, outputs]);
        let found = Flex::linear_layer_backward(x.clone(), weight.clone(), dy.clone());
        let expected = reference::linear_layer_backward::<Flex>(x, weight, dy);
        assert_agree(found.0, expected.0, outputs);
        assert_agree(found.1, expected.1, rows);
        assert_agree(found.2, expected.2, rows);
    }

    #[test]
    fn optimiser_steps_agree(length in 1usize..100, nesterov: bool, step in 1u64..50, seed: u64) {
        let [parameter, gradient, mean, velocity] =
            std::array::from_fn(|index| tensor(seed ^ index as u64, [length]));
        let rule = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01, nesterov };
        let arguments = (parameter.clone(), gradient.clone(), velocity.clone());
        let found = Flex::sgd_step(arguments.0, arguments.1, arguments.2, rule);
        let expected = reference::sgd_step::<Flex>(
            parameter.clone(), gradient.clone(), velocity.clone(), rule,
        );
        assert_agree(found.0, expected.0, 1);
        assert_agree(found.1, expected.1, 1);

        let rule = AdamW { learning_rate: 0.1, betas: [0.9, 0.99], epsilon: 1e-6, weight_decay: 0.1 };
        // A mean square is not negative.
        let square = Flex::float_mul(velocity.clone(), velocity);
        let found = Flex::adam_w_step(
            parameter.clone(), gradient.clone(), mean.clone(), square.clone(), rule, step,
        );
        let expected = reference::adam_w_step::<Flex>(parameter, gradient, mean, square, rule, step);
        assert_agree(found.0, expected.0, 10_000);
        assert_agree(found.1, expected.1, 1);
        assert_agree(found.2, expected.2, 1);
    }
}

fn shape4(x: &FlexTensor) -> [usize; 4] {
    let shape = x.shape();
    std::array::from_fn(|axis| shape[axis])
}

/// The loss of the finite differences: `Σ y · direction`.
fn loss(y: FlexTensor, direction: &[f32]) -> f64 {
    let (_, y) = host(y);
    y.iter()
        .zip(direction)
        .map(|(y, d)| f64::from(*y) * f64::from(*d))
        .sum()
}

type Tape = Autodiff<Flex>;

/// Compares the tape's gradient of `operation` with central differences, for every input.
fn assert_gradients<const N: usize>(
    inputs: [FlexTensor; N],
    tracked: impl Fn([FloatTensor<Tape>; N]) -> FloatTensor<Tape>,
    operation: impl Fn([FlexTensor; N]) -> FlexTensor,
) {
    let y = operation(inputs.clone());
    let shape = y.shape();
    let direction = values(99, (0..shape.num_dims()).map(|axis| shape[axis]).product());
    let leaves = inputs
        .clone()
        .map(|input| Tape::float_set_require_grad(Tape::from_inner(input), true));
    let y = tracked(leaves.clone());
    let weights = TensorData::new(direction.clone(), shape);
    let weights = Tape::from_inner(Flex::float_from_data(weights, &Default::default()));
    let total = Tape::float_sum(Tape::float_mul(y, weights));
    let gradients = Tape::backward(total);
    for (position, leaf) in leaves.iter().enumerate() {
        let gradient = Tape::grad(leaf, &gradients).expect("every input has a gradient");
        let (_, gradient) = host(gradient);
        let (shape, original) = host(inputs[position].clone());
        for index in (0..original.len()).step_by(original.len() / 16 + 1) {
            const STEP: f32 = 5e-3;
            let moved = |by: f32| {
                let mut changed = original.clone();
                changed[index] += by;
                let mut inputs = inputs.clone();
                let data = TensorData::new(changed, shape.clone());
                inputs[position] = Flex::float_from_data(data, &Default::default());
                loss(operation(inputs), &direction)
            };
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
            let found = f64::from(gradient[index]);
            assert!(
                (found - difference).abs() <= 2e-2 * difference.abs().max(1.0),
                "input {position}, value {index}: {found}, by differences {difference}"
            );
        }
    }
}

#[test]
fn the_tape_differentiates_convolutions() {
    let options = ConvolutionOptions {
        stride: [2, 1],
        padding: [1, 1],
        ..Default::default()
    };
    assert_gradients(
        [tensor(1, [2, 5, 6, 3]), tensor(2, [4, 3, 3, 3])],
        |[x, weight]| Tape::convolution(x, weight, options),
        |[x, weight]| Flex::convolution(x, weight, options),
    );
}

#[test]
fn the_tape_differentiates_norms_with_shortcuts() {
    // No rectifier: its corner is no place for finite differences.
    let options = NormOptions {
        epsilon: 1e-5,
        relu: false,
    };
    let shape = [3, 4, 4, 2];
    assert_gradients(
        [
            tensor(1, shape),
            tensor(2, [2]),
            tensor(3, [2]),
            tensor(4, shape),
        ],
        |[x, scale, shift, add]| Tape::train_batch_norm_add(x, scale, shift, add, options).0,
        |[x, scale, shift, add]| Flex::train_batch_norm_add(x, scale, shift, add, options).0,
    );
    assert_gradients(
        [tensor(1, shape), tensor(2, [2]), tensor(3, [2])],
        |[x, scale, shift]| Tape::train_batch_norm(x, scale, shift, options).0,
        |[x, scale, shift]| Flex::train_batch_norm(x, scale, shift, options).0,
    );
    assert_gradients(
        [
            tensor(1, shape),
            tensor(2, [2]),
            tensor(3, [2]),
            tensor(4, shape),
        ],
        |[x, scale, shift, add]| Tape::channel_affine_add(x, scale, shift, add, false),
        |[x, scale, shift, add]| Flex::channel_affine_add(x, scale, shift, add, false),
    );
}

#[test]
fn the_tape_differentiates_pools_and_shortcuts() {
    let pool = MaxPoolOptions {
        kernel: [3; 2],
        stride: [2; 2],
        padding: [1; 2],
    };
    let shortcut = ZeroPadOptions {
        stride: 2,
        before: 1,
        after: 2,
    };
    let x = tensor(7, [2, 6, 5, 3]);
    assert_gradients(
        [x.clone()],
        |[x]| Tape::max_pool(x, pool),
        |[x]| Flex::max_pool(x, pool),
    );
    assert_gradients(
        [x.clone()],
        |[x]| Tape::global_average_pool(x),
        |[x]| Flex::global_average_pool(x),
    );
    assert_gradients(
        [x],
        |[x]| Tape::zero_pad_shortcut(x, shortcut),
        |[x]| Flex::zero_pad_shortcut(x, shortcut),
    );
}

#[test]
fn the_tape_differentiates_linear_layers() {
    assert_gradients(
        [tensor(1, [3, 5]), tensor(2, [4, 5]), tensor(3, [4])],
        |[x, weight, bias]| Tape::linear_layer(x, weight, bias),
        |[x, weight, bias]| Flex::linear_layer(x, weight, bias),
    );
}
