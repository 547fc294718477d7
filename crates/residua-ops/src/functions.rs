//! The operations as functions of tensors, for any device and with or without the tape.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use residua_kernels::optimiser::{AdamW, Sgd};

use crate::backend::VisionBackend;
use crate::options::{ConvolutionOptions, MaxPoolOptions, NormOptions, ZeroPadOptions};

/// A convolution without bias.
///
/// # Shapes
/// `x`: `[N, H, W, in]`, `weight`: `[out, in / groups, height, width]`; result
/// `[N, H', W', out]`.
pub fn convolution(x: Tensor<4>, weight: Tensor<4>, options: ConvolutionOptions) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as VisionBackend>::convolution(
        x.into_dispatch(),
        weight.into_dispatch(),
        options,
    ))
}

/// What [`batch_norm`] gives.
#[derive(Debug, Clone)]
pub struct BatchNormOutput {
    /// The normalised feature map, `[N, H, W, C]`.
    pub y: Tensor<4>,
    /// Mean of the batch, `[C]`; not on the tape.
    pub mean: Tensor<1>,
    /// Biased variance of the batch, `[C]`; not on the tape.
    pub variance: Tensor<1>,
}

/// Batch normalisation in training mode, with the shortcut and the rectifier that follow it:
/// `relu(scale · (x − mean) / √(variance + ε) + shift + shortcut)`.
///
/// # Shapes
/// `x` and `shortcut`: `[N, H, W, C]`; `scale` and `shift`: `[C]`.
pub fn batch_norm(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    shortcut: Option<Tensor<4>>,
    options: NormOptions,
) -> BatchNormOutput {
    let (x, scale, shift) = (
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
    );
    let (y, mean, variance) = match shortcut {
        None => <Dispatch as VisionBackend>::train_batch_norm(x, scale, shift, options),
        Some(shortcut) => <Dispatch as VisionBackend>::train_batch_norm_add(
            x,
            scale,
            shift,
            shortcut.into_dispatch(),
            options,
        ),
    };
    BatchNormOutput {
        y: Tensor::from_dispatch(y),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

/// `x · scale + shift + shortcut` per channel, with an optional rectifier: batch
/// normalisation in evaluation mode, its statistics folded into `scale` and `shift`.
///
/// # Shapes
/// `x` and `shortcut`: `[N, H, W, C]`; `scale` and `shift`: `[C]`.
pub fn channel_affine(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    shortcut: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let (x, scale, shift) = (
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
    );
    Tensor::from_dispatch(match shortcut {
        None => <Dispatch as VisionBackend>::channel_affine(x, scale, shift, relu),
        Some(shortcut) => <Dispatch as VisionBackend>::channel_affine_add(
            x,
            scale,
            shift,
            shortcut.into_dispatch(),
            relu,
        ),
    })
}

/// The largest value of each window; the gradient goes to the first largest.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', C]`.
pub fn max_pool(x: Tensor<4>, options: MaxPoolOptions) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as VisionBackend>::max_pool(
        x.into_dispatch(),
        options,
    ))
}

/// The mean over all pixels.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, C]`.
pub fn global_average_pool(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as VisionBackend>::global_average_pool(
        x.into_dispatch(),
    ))
}

/// The option-A shortcut of He et al. 2015, §3.3: every `stride`-th pixel, with zero channels
/// before and after.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, ⌈H / stride⌉, ⌈W / stride⌉, before + C + after]`.
pub fn zero_pad_shortcut(x: Tensor<4>, options: ZeroPadOptions) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as VisionBackend>::zero_pad_shortcut(
        x.into_dispatch(),
        options,
    ))
}

/// A fully connected layer.
///
/// # Shapes
/// `x`: `[N, in]`, `weight`: `[out, in]`, `bias`: `[out]`; result `[N, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as VisionBackend>::linear_layer(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// One step of stochastic gradient descent, in one pass: `(parameter, velocity)`.
///
/// # Shapes
/// All tensors `[elements]`, off the tape.
pub fn sgd_step(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    velocity: Tensor<1>,
    rule: Sgd,
) -> (Tensor<1>, Tensor<1>) {
    let (parameter, velocity) = <Dispatch as VisionBackend>::sgd_step(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        velocity.into_dispatch(),
        rule,
    );
    (
        Tensor::from_dispatch(parameter),
        Tensor::from_dispatch(velocity),
    )
}

/// Step number `step`, counted from 1, of AdamW, in one pass.
///
/// `moments` are the running means of the gradient and of its square; the result is
/// `(parameter, moments)`.
///
/// # Shapes
/// All tensors `[elements]`, off the tape.
pub fn adam_w_step(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: [Tensor<1>; 2],
    rule: AdamW,
    step: u64,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let [mean, mean_square] = moments;
    let (parameter, mean, mean_square) = <Dispatch as VisionBackend>::adam_w_step(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        mean.into_dispatch(),
        mean_square.into_dispatch(),
        rule,
        step,
    );
    let moments = [mean, mean_square].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(parameter), moments)
}
