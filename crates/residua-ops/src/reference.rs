//! The operations in terms of Burn's own, for any backend.
//!
//! These are the definitions: they serve the GPUs, and the faster implementations are tested
//! against them. Burn's convolutions and pools are `[N, C, H, W]`, so those permute on the
//! way in and out.

use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Scalar, TensorMetadata};
use burn::tensor::{FloatDType, IntDType, Shape, Slice};
use residua_kernels::optimiser::{AdamW, Sgd};

use crate::options::{ConvolutionOptions, MaxPoolOptions, NormOptions, ZeroPadOptions};

type Float<B> = FloatTensor<B>;

fn to_nchw<B: Backend>(x: Float<B>) -> Float<B> {
    B::float_permute(x, &[0, 3, 1, 2])
}

fn to_nhwc<B: Backend>(x: Float<B>) -> Float<B> {
    B::float_permute(x, &[0, 2, 3, 1])
}

fn scalar(value: f64) -> Scalar {
    Scalar::Float(value)
}

fn dims4<B: Backend>(x: &Float<B>) -> [usize; 4] {
    let shape = x.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

/// `[C]` as `[1, 1, 1, C]`, which broadcasts over a feature map.
fn per_channel<B: Backend>(values: Float<B>) -> Float<B> {
    let channels = values.shape()[0];
    B::float_reshape(values, Shape::new([1, 1, 1, channels]))
}

/// The sum over everything but channels, `[N, H, W, C]` → `[C]`.
fn channel_sums<B: Backend>(x: Float<B>) -> Float<B> {
    let [batch, height, width, channels] = dims4::<B>(&x);
    let rows = B::float_reshape(x, Shape::new([batch * height * width, channels]));
    B::float_reshape(B::float_sum_dim(rows, 0), Shape::new([channels]))
}

fn channel_means<B: Backend>(x: Float<B>) -> Float<B> {
    let [batch, height, width, _] = dims4::<B>(&x);
    let count = (batch * height * width) as f64;
    B::float_div_scalar(channel_sums::<B>(x), scalar(count))
}

fn burn_options(options: ConvolutionOptions) -> ConvOptions<2> {
    ConvOptions::new(
        options.stride,
        options.padding,
        options.dilation,
        options.groups,
    )
}

/// See [`VisionBackend::convolution`](crate::VisionBackend::convolution).
pub fn convolution<B: Backend>(
    x: Float<B>,
    weight: Float<B>,
    options: ConvolutionOptions,
) -> Float<B> {
    to_nhwc::<B>(B::conv2d(
        to_nchw::<B>(x),
        weight,
        None,
        burn_options(options),
    ))
}

/// See [`VisionBackend::convolution_input_gradient`](crate::VisionBackend::convolution_input_gradient).
pub fn convolution_input_gradient<B: Backend>(
    x: Float<B>,
    weight: Float<B>,
    dy: Float<B>,
    options: ConvolutionOptions,
) -> Float<B> {
    let dy = to_nchw::<B>(dy);
    to_nhwc::<B>(B::conv2d_x_backward(
        to_nchw::<B>(x),
        weight,
        dy,
        burn_options(options),
    ))
}

/// See [`VisionBackend::convolution_weight_gradient`](crate::VisionBackend::convolution_weight_gradient).
pub fn convolution_weight_gradient<B: Backend>(
    x: Float<B>,
    weight: Float<B>,
    dy: Float<B>,
    options: ConvolutionOptions,
) -> Float<B> {
    let dy = to_nchw::<B>(dy);
    B::conv2d_weight_backward(to_nchw::<B>(x), weight, dy, burn_options(options))
}

/// See [`VisionBackend::train_batch_norm`](crate::VisionBackend::train_batch_norm).
pub fn batch_norm<B: Backend>(
    x: Float<B>,
    scale: Float<B>,
    shift: Float<B>,
    shortcut: Option<Float<B>>,
    options: NormOptions,
) -> (Float<B>, Float<B>, Float<B>) {
    let mean = channel_means::<B>(x.clone());
    let centred = B::float_sub(x, per_channel::<B>(mean.clone()));
    let variance = channel_means::<B>(B::float_mul(centred.clone(), centred.clone()));
    let factor = B::float_mul(
        inverse_deviation::<B>(variance.clone(), options.epsilon),
        scale,
    );
    let y = channel_affine::<B>(centred, factor, shift, shortcut, options.relu);
    (y, mean, variance)
}

fn inverse_deviation<B: Backend>(variance: Float<B>, epsilon: f32) -> Float<B> {
    B::float_recip(B::float_sqrt(B::float_add_scalar(
        variance,
        scalar(epsilon.into()),
    )))
}

/// See [`VisionBackend::train_batch_norm_backward`](crate::VisionBackend::train_batch_norm_backward).
pub fn batch_norm_backward<B: Backend>(
    x: Float<B>,
    scale: Float<B>,
    y: Float<B>,
    mean: Float<B>,
    variance: Float<B>,
    dy: Float<B>,
    options: NormOptions,
) -> (Float<B>, Float<B>, Float<B>, Float<B>) {
    let dsum = if options.relu {
        B::relu_backward(y, dy)
    } else {
        dy
    };
    let inverse = inverse_deviation::<B>(variance, options.epsilon);
    let centred = B::float_sub(x, per_channel::<B>(mean));
    let normalised = B::float_mul(centred, per_channel::<B>(inverse.clone()));
    let [batch, height, width, _] = dims4::<B>(&normalised);
    let count = scalar((batch * height * width) as f64);
    let dshift = channel_sums::<B>(dsum.clone());
    let dscale = channel_sums::<B>(B::float_mul(dsum.clone(), normalised.clone()));
    // dx = scale / deviation · (dsum − mean(dsum) − normalised · mean(dsum · normalised)),
    // the derivative through mean and variance (Ioffe and Szegedy 2015, §3).
    let mean_dsum = B::float_div_scalar(dshift.clone(), count);
    let mean_product = B::float_div_scalar(dscale.clone(), count);
    let projection = B::float_mul(normalised, per_channel::<B>(mean_product));
    let centred_dsum = B::float_sub(dsum.clone(), per_channel::<B>(mean_dsum));
    let dx = B::float_mul(
        B::float_sub(centred_dsum, projection),
        per_channel::<B>(B::float_mul(scale, inverse)),
    );
    (dx, dscale, dshift, dsum)
}

/// See [`VisionBackend::channel_affine`](crate::VisionBackend::channel_affine).
pub fn channel_affine<B: Backend>(
    x: Float<B>,
    scale: Float<B>,
    shift: Float<B>,
    shortcut: Option<Float<B>>,
    relu: bool,
) -> Float<B> {
    let scaled = B::float_mul(x, per_channel::<B>(scale));
    let mut y = B::float_add(scaled, per_channel::<B>(shift));
    if let Some(shortcut) = shortcut {
        y = B::float_add(y, shortcut);
    }
    if relu { B::relu(y) } else { y }
}

/// See [`VisionBackend::max_pool`](crate::VisionBackend::max_pool).
pub fn max_pool<B: Backend>(x: Float<B>, options: MaxPoolOptions) -> Float<B> {
    let MaxPoolOptions {
        kernel,
        stride,
        padding,
    } = options;
    let x = to_nchw::<B>(x);
    to_nhwc::<B>(B::max_pool2d(x, kernel, stride, padding, [1, 1], false))
}

/// See [`VisionBackend::max_pool_backward`](crate::VisionBackend::max_pool_backward).
pub fn max_pool_backward<B: Backend>(
    x: Float<B>,
    dy: Float<B>,
    options: MaxPoolOptions,
) -> Float<B> {
    let MaxPoolOptions {
        kernel,
        stride,
        padding,
    } = options;
    let x = to_nchw::<B>(x);
    let dilation = [1, 1];
    let forward = B::max_pool2d_with_indices(
        x.clone(),
        kernel,
        stride,
        padding,
        dilation,
        false,
        IntDType::I32,
    );
    let backward = B::max_pool2d_with_indices_backward(
        x,
        kernel,
        stride,
        padding,
        dilation,
        false,
        to_nchw::<B>(dy),
        forward.indices,
    );
    to_nhwc::<B>(backward.x_grad)
}

/// See [`VisionBackend::global_average_pool`](crate::VisionBackend::global_average_pool).
pub fn global_average_pool<B: Backend>(x: Float<B>) -> Float<B> {
    let [batch, height, width, channels] = dims4::<B>(&x);
    let pixels = B::float_reshape(x, Shape::new([batch, height * width, channels]));
    B::float_reshape(B::float_mean_dim(pixels, 1), Shape::new([batch, channels]))
}

/// See [`VisionBackend::global_average_pool_backward`](crate::VisionBackend::global_average_pool_backward).
pub fn global_average_pool_backward<B: Backend>(x: Float<B>, dy: Float<B>) -> Float<B> {
    let [batch, height, width, channels] = dims4::<B>(&x);
    let share = B::float_div_scalar(dy, scalar((height * width) as f64));
    let share = B::float_reshape(share, Shape::new([batch, 1, 1, channels]));
    B::float_expand(share, Shape::new([batch, height, width, channels]))
}

/// See [`VisionBackend::linear_layer`](crate::VisionBackend::linear_layer).
pub fn linear_layer<B: Backend>(x: Float<B>, weight: Float<B>, bias: Float<B>) -> Float<B> {
    let out_features = bias.shape()[0];
    let product = B::float_matmul(x, B::float_swap_dims(weight, 0, 1));
    B::float_add(
        product,
        B::float_reshape(bias, Shape::new([1, out_features])),
    )
}

/// See [`VisionBackend::linear_layer_backward`](crate::VisionBackend::linear_layer_backward).
pub fn linear_layer_backward<B: Backend>(
    x: Float<B>,
    weight: Float<B>,
    dy: Float<B>,
) -> (Float<B>, Float<B>, Float<B>) {
    let out_features = dy.shape()[1];
    let dx = B::float_matmul(dy.clone(), weight);
    let dweight = B::float_matmul(B::float_swap_dims(dy.clone(), 0, 1), x);
    let dbias = B::float_reshape(B::float_sum_dim(dy, 0), Shape::new([out_features]));
    (dx, dweight, dbias)
}

/// See [`VisionBackend::sgd_step`](crate::VisionBackend::sgd_step).
pub fn sgd_step<B: Backend>(
    parameter: Float<B>,
    gradient: Float<B>,
    velocity: Float<B>,
    rule: Sgd,
) -> (Float<B>, Float<B>) {
    let times = |tensor: &Float<B>, factor| B::float_mul_scalar(tensor.clone(), scalar(factor));
    let gradient = B::float_add(gradient, times(&parameter, rule.weight_decay));
    let velocity = B::float_add(times(&velocity, rule.momentum), gradient.clone());
    let direction = if rule.nesterov {
        B::float_add(gradient, times(&velocity, rule.momentum))
    } else {
        velocity.clone()
    };
    let parameter = B::float_sub(parameter, times(&direction, rule.learning_rate));
    (parameter, velocity)
}

/// See [`VisionBackend::adam_w_step`](crate::VisionBackend::adam_w_step).
pub fn adam_w_step<B: Backend>(
    parameter: Float<B>,
    gradient: Float<B>,
    mean: Float<B>,
    mean_square: Float<B>,
    rule: AdamW,
    step: u64,
) -> (Float<B>, Float<B>, Float<B>) {
    let times = |tensor: &Float<B>, factor| B::float_mul_scalar(tensor.clone(), scalar(factor));
    let [beta1, beta2] = rule.betas;
    let [correction1, correction2] = rule.betas.map(|beta| 1.0 - beta.powf(step as f64));
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let mean = B::float_add(times(&mean, beta1), times(&gradient, 1.0 - beta1));
    let mean_square = B::float_add(times(&mean_square, beta2), times(&square, 1.0 - beta2));
    let deviation = times(
        &B::float_sqrt(mean_square.clone()),
        correction2.sqrt().recip(),
    );
    let deviation = B::float_add_scalar(deviation, scalar(rule.epsilon));
    let direction = B::float_div(times(&mean, rule.learning_rate / correction1), deviation);
    let shrunk = times(&parameter, 1.0 - rule.learning_rate * rule.weight_decay);
    (B::float_sub(shrunk, direction), mean, mean_square)
}

/// See [`VisionBackend::zero_pad_shortcut`](crate::VisionBackend::zero_pad_shortcut).
pub fn zero_pad_shortcut<B: Backend>(x: Float<B>, options: ZeroPadOptions) -> Float<B> {
    let ZeroPadOptions {
        stride,
        before,
        after,
    } = options;
    let kept = Slice::new(0, None, stride as isize);
    let x = B::float_slice(x, &[Slice::full(), kept, kept]);
    let [batch, height, width, channels] = dims4::<B>(&x);
    let padded = Shape::new([batch, height, width, before + channels + after]);
    let zeros = B::float_zeros(padded, &x.device(), float_dtype::<B>(&x));
    let place = [
        Slice::full(),
        Slice::full(),
        Slice::full(),
        Slice::from(before..before + channels),
    ];
    B::float_slice_assign(zeros, &place, x)
}

/// See [`VisionBackend::zero_pad_shortcut_backward`](crate::VisionBackend::zero_pad_shortcut_backward).
pub fn zero_pad_shortcut_backward<B: Backend>(
    x: Float<B>,
    dy: Float<B>,
    options: ZeroPadOptions,
) -> Float<B> {
    let ZeroPadOptions { stride, before, .. } = options;
    let shape = x.shape();
    let channels = shape[3];
    let place = [
        Slice::full(),
        Slice::full(),
        Slice::full(),
        Slice::from(before..before + channels),
    ];
    let dy = B::float_slice(dy, &place);
    let zeros = B::float_zeros(shape, &x.device(), float_dtype::<B>(&x));
    let kept = Slice::new(0, None, stride as isize);
    B::float_slice_assign(zeros, &[Slice::full(), kept, kept, Slice::full()], dy)
}

fn float_dtype<B: Backend>(x: &Float<B>) -> FloatDType {
    x.dtype().into()
}
