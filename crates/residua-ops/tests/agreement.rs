//! The CPU operations against their definitions in terms of Burn's own, forward and backward,
//! on random shapes and on those of networks; and the gradients on the tape against finite
//! differences. `gpu.rs` runs the same cases on GPUs.

mod common;

use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex, TensorMetadata};
use burn::tensor::{Device, TensorData};
use proptest::prelude::*;
use residua_ops::{ConvolutionOptions, MaxPoolOptions, NormOptions, VisionBackend, ZeroPadOptions};

use common::{Host, Place, cases, network_cases, values};

fn cpu() -> Place {
    Place {
        device: Device::flex(),
        operand_rounding: 0.0,
        // 16 rounding units: Winograd's algorithm, where the kernels choose it.
        transform_rounding: 1e-6,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolutions_agree(case in cases::convolutions()) {
        case.check(&cpu());
    }

    #[test]
    fn norms_agree(case in cases::norms()) {
        case.check(&cpu());
    }

    #[test]
    fn pools_and_shortcuts_agree(case in cases::pools()) {
        case.check(&cpu());
    }

    #[test]
    fn linear_layers_agree(case in cases::linear_layers()) {
        case.check(&cpu());
    }

    #[test]
    fn optimiser_steps_agree(case in cases::optimiser_steps()) {
        case.check(&cpu());
    }
}

#[test]
fn the_operations_of_networks_agree() {
    network_cases::check(&cpu());
}

fn tensor<const D: usize>(seed: u64, shape: [usize; D]) -> FlexTensor {
    Host::random(seed, shape).flex()
}

fn host(tensor: FlexTensor) -> (Vec<usize>, Vec<f32>) {
    let shape = tensor.shape();
    let shape = (0..shape.num_dims()).map(|axis| shape[axis]).collect();
    let data = tensor.to_contiguous().into_data();
    (shape, data.try_into_vec().unwrap())
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
