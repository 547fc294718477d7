//! The cases: each makes its inputs, computes an operation and its gradients at a place, and
//! compares them with the definitions in `residua_ops::reference` computed on the CPU.

use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Autodiff, AutodiffBackend, Flex};
use burn::tensor::Tensor;
use proptest::prelude::*;
use residua_ops::{
    AdamW, ConvolutionOptions, MaxPoolOptions, NormOptions, Sgd, ZeroPadOptions, reference,
};

use super::{Host, Place, gradient};

/// The allowance of a normalisation: division by a small deviation magnifies rounding.
const NORM_TERMS: usize = 10_000;

/// A convolution with random operands.
#[derive(Debug, Clone)]
pub(crate) struct ConvolutionCase {
    /// `[N, H, W, in]`.
    pub(crate) input: [usize; 4],
    /// `[out, in / groups, height, width]`.
    pub(crate) weight: [usize; 4],
    pub(crate) options: ConvolutionOptions,
    pub(crate) seed: u64,
}

prop_compose! {
    pub(crate) fn convolutions()(
        batch in 1usize..4,
        image in [3usize..12, 3usize..12],
        groups in 1usize..4,
        per_group in [1usize..7, 1usize..7],
        kernel in [1usize..4, 1usize..4],
        stride in [1usize..4, 1usize..4],
        padding in [0usize..3, 0usize..3],
        dilation in [1usize..3, 1usize..3],
        seed: u64,
    ) -> ConvolutionCase {
        let [in_channels, out_channels] = per_group.map(|channels| channels * groups);
        let dilation = std::array::from_fn(|axis| {
            let reach = (kernel[axis] - 1) * dilation[axis] + 1;
            let fits = reach <= image[axis] + 2 * padding[axis];
            if fits { dilation[axis] } else { 1 }
        });
        ConvolutionCase {
            input: [batch, image[0], image[1], in_channels],
            weight: [out_channels, per_group[0], kernel[0], kernel[1]],
            options: ConvolutionOptions { stride, padding, dilation, groups },
            seed,
        }
    }
}

impl ConvolutionCase {
    pub(crate) fn check(&self, place: &Place) {
        let Self { options, seed, .. } = *self;
        let x = Host::random(seed, self.input);
        let weight = Host::random(seed ^ 1, self.weight);
        let (x_leaf, weight_leaf) = (place.leaf(&x), place.leaf(&weight));
        let y = residua_ops::convolution(x_leaf.clone(), weight_leaf.clone(), options);
        let [_, taps @ ..] = self.weight;
        let terms: usize = taps.iter().product();
        let expected = reference::convolution::<Flex>(x.flex(), weight.flex(), options);
        place.assert_convolutions_agree(y.clone(), expected, terms);

        let dy = Host::random(seed ^ 2, y.dims());
        let gradients = place.backward(y, &dy);
        let expected = reference::convolution_input_gradient::<Flex>(
            x.flex(),
            weight.flex(),
            dy.flex(),
            options,
        );
        // Each input is read by the outputs of its group, through each tap.
        let read = self.weight[0] / options.groups * self.weight[2] * self.weight[3];
        place.assert_convolutions_agree(gradient(&x_leaf, &gradients), expected, read);
        let expected = reference::convolution_weight_gradient::<Flex>(
            x.flex(),
            weight.flex(),
            dy.flex(),
            options,
        );
        let [batch, height, width, _] = dy.shape;
        place.assert_convolutions_agree(
            gradient(&weight_leaf, &gradients),
            expected,
            batch * height * width,
        );
    }
}

/// Both normalisations, that of training and that of evaluation, of the same feature map.
#[derive(Debug, Clone)]
pub(crate) struct NormCase {
    /// `[N, H, W, C]`.
    pub(crate) shape: [usize; 4],
    pub(crate) options: NormOptions,
    pub(crate) with_shortcut: bool,
    pub(crate) seed: u64,
}

prop_compose! {
    pub(crate) fn norms()(
        shape in [1usize..4, 1usize..7, 1usize..7, 1usize..40],
        epsilon in prop_oneof![Just(1e-5f32), Just(1e-3)],
        relu: bool,
        with_shortcut: bool,
        seed: u64,
    ) -> NormCase {
        // Two images at least: with a single value a channel has no variance.
        let shape = [shape[0] + 1, shape[1], shape[2], shape[3]];
        NormCase { shape, options: NormOptions { epsilon, relu }, with_shortcut, seed }
    }
}

/// The operands of a [`NormCase`], of the host or of a device.
struct NormOperands<Map, Channels> {
    x: Map,
    scale: Channels,
    shift: Channels,
    shortcut: Option<Map>,
}

impl NormCase {
    pub(crate) fn check(&self, place: &Place) {
        let channels = [self.shape[3]];
        let shortcut = self
            .with_shortcut
            .then(|| Host::random(self.seed ^ 3, self.shape));
        let host = NormOperands {
            x: Host::random(self.seed, self.shape),
            scale: Host::random(self.seed ^ 1, channels),
            shift: Host::random(self.seed ^ 2, channels),
            shortcut,
        };
        let dy = Host::random(self.seed ^ 4, self.shape);
        self.check_batch_norm(place, &host, &dy);
        self.check_channel_affine(place, &host, &dy);
    }

    fn leaves(
        place: &Place,
        host: &NormOperands<Host<4>, Host<1>>,
    ) -> NormOperands<Tensor<4>, Tensor<1>> {
        NormOperands {
            x: place.leaf(&host.x),
            scale: place.leaf(&host.scale),
            shift: place.leaf(&host.shift),
            shortcut: host.shortcut.as_ref().map(|shortcut| place.leaf(shortcut)),
        }
    }

    fn check_batch_norm(&self, place: &Place, host: &NormOperands<Host<4>, Host<1>>, dy: &Host<4>) {
        let leaves = Self::leaves(place, host);
        let found = residua_ops::batch_norm(
            leaves.x.clone(),
            leaves.scale.clone(),
            leaves.shift.clone(),
            leaves.shortcut.clone(),
            self.options,
        );
        let expected = reference::batch_norm::<Flex>(
            host.x.flex(),
            host.scale.flex(),
            host.shift.flex(),
            host.shortcut.as_ref().map(Host::flex),
            self.options,
        );
        place.assert_agree(found.y.clone(), expected.0, NORM_TERMS);
        place.assert_agree(found.mean.clone(), expected.1, NORM_TERMS);
        place.assert_agree(found.variance.clone(), expected.2, NORM_TERMS);

        // From the values found, not those expected: where the rectifier's input is within
        // rounding of 0, the two may differ in whether they let the gradient pass.
        let expected = reference::batch_norm_backward::<Flex>(
            host.x.flex(),
            host.scale.flex(),
            place.fetch(found.y.clone()).flex(),
            place.fetch(found.mean).flex(),
            place.fetch(found.variance).flex(),
            dy.flex(),
            self.options,
        );
        let gradients = place.backward(found.y, dy);
        place.assert_agree(gradient(&leaves.x, &gradients), expected.0, NORM_TERMS);
        place.assert_agree(gradient(&leaves.scale, &gradients), expected.1, NORM_TERMS);
        place.assert_agree(gradient(&leaves.shift, &gradients), expected.2, NORM_TERMS);
        if let Some(shortcut) = &leaves.shortcut {
            place.assert_agree(gradient(shortcut, &gradients), expected.3, 1);
        }
    }

    fn check_channel_affine(
        &self,
        place: &Place,
        host: &NormOperands<Host<4>, Host<1>>,
        dy: &Host<4>,
    ) {
        let leaves = Self::leaves(place, host);
        let relu = self.options.relu;
        let found = residua_ops::channel_affine(
            leaves.x.clone(),
            leaves.scale.clone(),
            leaves.shift.clone(),
            leaves.shortcut.clone(),
            relu,
        );
        let expected = reference::channel_affine::<Flex>(
            host.x.flex(),
            host.scale.flex(),
            host.shift.flex(),
            host.shortcut.as_ref().map(Host::flex),
            relu,
        );
        place.assert_agree(found.clone(), expected, 1);

        // The rectifier's gradient from the values found, for the reason above.
        let mut passed = dy.clone();
        let y = place.fetch(found.clone());
        for (value, y) in passed.values.iter_mut().zip(&y.values) {
            if relu && *y <= 0.0 {
                *value = 0.0;
            }
        }
        let gradients = place.backward(found, dy);
        let pixels = self.shape[0] * self.shape[1] * self.shape[2];
        let [dx, dscale, dshift] = affine_gradients(host, &passed);
        place.assert_agree(gradient(&leaves.x, &gradients), dx, 1);
        place.assert_agree(gradient(&leaves.scale, &gradients), dscale, pixels);
        place.assert_agree(gradient(&leaves.shift, &gradients), dshift, pixels);
        if let Some(shortcut) = &leaves.shortcut {
            place.assert_agree(gradient(shortcut, &gradients), passed.flex(), 1);
        }
    }
}

/// The gradients of `x · scale + shift` with respect to each, on the CPU's tape.
fn affine_gradients(host: &NormOperands<Host<4>, Host<1>>, dy: &Host<4>) -> [FlexTensor; 3] {
    type Tape = Autodiff<Flex>;
    let leaf = |tensor| Tape::float_set_require_grad(Tape::from_inner(tensor), true);
    let leaves = [host.x.flex(), host.scale.flex(), host.shift.flex()].map(leaf);
    let [x, scale, shift] = leaves.clone();
    let y = reference::channel_affine::<Tape>(x, scale, shift, None, false);
    let total = Tape::float_sum(Tape::float_mul(y, Tape::from_inner(dy.flex())));
    let gradients = Tape::backward(total);
    leaves.map(|leaf| Tape::grad(&leaf, &gradients).expect("every leaf has a gradient"))
}

/// The pools and the option-A shortcut, of the same feature map.
#[derive(Debug, Clone)]
pub(crate) struct PoolCase {
    /// `[N, H, W, C]`.
    pub(crate) shape: [usize; 4],
    pub(crate) pool: MaxPoolOptions,
    pub(crate) shortcut: ZeroPadOptions,
    /// Whether values repeat, so that the largest of a window is often not the only one.
    pub(crate) ties: bool,
    pub(crate) seed: u64,
}

prop_compose! {
    pub(crate) fn pools()(
        shape in [1usize..4, 3usize..12, 3usize..12, 1usize..20],
        kernel in 1usize..4,
        stride in 1usize..4,
        before in 0usize..5,
        after in 0usize..5,
        ties: bool,
        seed: u64,
    ) -> PoolCase {
        PoolCase {
            shape,
            pool: MaxPoolOptions {
                kernel: [kernel; 2],
                stride: [stride; 2],
                padding: [kernel / 2; 2],
            },
            shortcut: ZeroPadOptions { stride, before, after },
            ties,
            seed,
        }
    }
}

impl PoolCase {
    pub(crate) fn check(&self, place: &Place) {
        let mut x = Host::random(self.seed, self.shape);
        if self.ties {
            x = x.map(|value| (value * 2.0).round());
        }
        let leaf = place.leaf(&x);
        let y = residua_ops::max_pool(leaf.clone(), self.pool);
        let expected = reference::max_pool::<Flex>(x.flex(), self.pool);
        place.assert_agree(y.clone(), expected, 1);
        let dy = Host::random(self.seed ^ 1, y.dims());
        let gradients = place.backward(y, &dy);
        let expected = reference::max_pool_backward::<Flex>(x.flex(), dy.flex(), self.pool);
        place.assert_agree(gradient(&leaf, &gradients), expected, 9);

        let leaf = place.leaf(&x);
        let y = residua_ops::global_average_pool(leaf.clone());
        let expected = reference::global_average_pool::<Flex>(x.flex());
        place.assert_agree(y.clone(), expected, self.shape[1] * self.shape[2]);
        let dy = Host::random(self.seed ^ 2, y.dims());
        let gradients = place.backward(y, &dy);
        let expected = reference::global_average_pool_backward::<Flex>(x.flex(), dy.flex());
        place.assert_agree(gradient(&leaf, &gradients), expected, 1);

        let leaf = place.leaf(&x);
        let y = residua_ops::zero_pad_shortcut(leaf.clone(), self.shortcut);
        let expected = reference::zero_pad_shortcut::<Flex>(x.flex(), self.shortcut);
        place.assert_agree(y.clone(), expected, 1);
        let dy = Host::random(self.seed ^ 3, y.dims());
        let gradients = place.backward(y, &dy);
        let expected =
            reference::zero_pad_shortcut_backward::<Flex>(x.flex(), dy.flex(), self.shortcut);
        place.assert_agree(gradient(&leaf, &gradients), expected, 1);
    }
}

/// A fully connected layer.
#[derive(Debug, Clone)]
pub(crate) struct LinearCase {
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) seed: u64,
}

prop_compose! {
    pub(crate) fn linear_layers()(
        rows in 1usize..9,
        inputs in 1usize..40,
        outputs in 1usize..40,
        seed: u64,
    ) -> LinearCase {
        LinearCase { rows, inputs, outputs, seed }
    }
}

impl LinearCase {
    pub(crate) fn check(&self, place: &Place) {
        let Self {
            rows,
            inputs,
            outputs,
            seed,
        } = *self;
        let x = Host::random(seed, [rows, inputs]);
        let weight = Host::random(seed ^ 1, [outputs, inputs]);
        let bias = Host::random(seed ^ 2, [outputs]);
        let x_leaf = place.leaf(&x);
        let weight_leaf = place.leaf(&weight);
        let bias_leaf = place.leaf(&bias);
        let y = residua_ops::linear(x_leaf.clone(), weight_leaf.clone(), bias_leaf.clone());
        let expected = reference::linear_layer::<Flex>(x.flex(), weight.flex(), bias.flex());
        place.assert_products_agree(y.clone(), expected, inputs);

        let dy = Host::random(seed ^ 3, [rows, outputs]);
        let gradients = place.backward(y, &dy);
        let (dx, dweight, dbias) =
            reference::linear_layer_backward::<Flex>(x.flex(), weight.flex(), dy.flex());
        place.assert_products_agree(gradient(&x_leaf, &gradients), dx, outputs);
        place.assert_products_agree(gradient(&weight_leaf, &gradients), dweight, rows);
        place.assert_agree(gradient(&bias_leaf, &gradients), dbias, rows);
    }
}

/// A step of each optimiser on a flat tensor.
#[derive(Debug, Clone)]
pub(crate) struct StepCase {
    pub(crate) length: usize,
    pub(crate) nesterov: bool,
    /// Number of the step, from 1.
    pub(crate) step: u64,
    pub(crate) seed: u64,
}

prop_compose! {
    pub(crate) fn optimiser_steps()(
        length in 1usize..100,
        nesterov: bool,
        step in 1u64..50,
        seed: u64,
    ) -> StepCase {
        StepCase { length, nesterov, step, seed }
    }
}

impl StepCase {
    pub(crate) fn check(&self, place: &Place) {
        let [parameter, gradient, mean, velocity] =
            std::array::from_fn(|index| Host::random(self.seed ^ index as u64, [self.length]));
        let rule = Sgd {
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 0.01,
            nesterov: self.nesterov,
        };
        let found = residua_ops::sgd_step(
            place.tensor(&parameter),
            place.tensor(&gradient),
            place.tensor(&velocity),
            rule,
        );
        let expected =
            reference::sgd_step::<Flex>(parameter.flex(), gradient.flex(), velocity.flex(), rule);
        place.assert_agree(found.0, expected.0, 1);
        place.assert_agree(found.1, expected.1, 1);

        let rule = AdamW {
            learning_rate: 0.1,
            betas: [0.9, 0.99],
            epsilon: 1e-6,
            weight_decay: 0.1,
        };
        // A mean square is not negative.
        let square = velocity.map(|value| value * value);
        let found = residua_ops::adam_w_step(
            place.tensor(&parameter),
            place.tensor(&gradient),
            [place.tensor(&mean), place.tensor(&square)],
            rule,
            self.step,
        );
        let expected = reference::adam_w_step::<Flex>(
            parameter.flex(),
            gradient.flex(),
            mean.flex(),
            square.flex(),
            rule,
            self.step,
        );
        let (parameter, [mean, mean_square]) = found;
        // Division by a small deviation magnifies rounding.
        place.assert_agree(parameter, expected.0, NORM_TERMS);
        place.assert_agree(mean, expected.1, 1);
        place.assert_agree(mean_square, expected.2, 1);
    }
}
