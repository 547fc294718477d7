//! The extension of Burn's backends.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use residua_kernels::optimiser::{AdamW, Sgd};

use crate::options::{ConvolutionOptions, MaxPoolOptions, NormOptions, ZeroPadOptions};
use crate::reference;

/// What a backend computes for residual networks, forward and backward.
///
/// Feature maps are `[N, H, W, C]`, convolution weights `[out, in / groups, height, width]`,
/// everything per channel `[C]`. The backward methods are called by the tape; they are methods
/// of their own so that a backend may replace them one by one.
#[backend_extension(
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu", feature = "vulkan", feature = "metal")),
    Autodiff
)]
pub trait VisionBackend: Backend {
    /// `[N, H, W, in]` → `[N, H', W', out]`.
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvolutionOptions,
    ) -> FloatTensor<Self> {
        reference::convolution::<Self>(x, weight, options)
    }

    /// Gradient of a convolution with respect to `x` (of which only the shape is read).
    fn convolution_input_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        options: ConvolutionOptions,
    ) -> FloatTensor<Self> {
        reference::convolution_input_gradient::<Self>(x, weight, dy, options)
    }

    /// Gradient of a convolution with respect to `weight` (of which only the shape is read).
    fn convolution_weight_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        options: ConvolutionOptions,
    ) -> FloatTensor<Self> {
        reference::convolution_weight_gradient::<Self>(x, weight, dy, options)
    }

    /// Normalisation with the statistics of the batch: `(y, mean, biased variance)`.
    fn train_batch_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        options: NormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::batch_norm::<Self>(x, scale, shift, None, options)
    }

    /// [`VisionBackend::train_batch_norm`] with `shortcut` added before the rectifier.
    fn train_batch_norm_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
        options: NormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::batch_norm::<Self>(x, scale, shift, Some(shortcut), options)
    }

    /// Gradients `(dx, dscale, dshift, dsum)` of either normalisation, where `dsum` is the
    /// gradient before the rectifier, that is, of the shortcut. `y` is the forward result.
    #[allow(clippy::too_many_arguments)] // The extension macro takes tensors only one by one.
    fn train_batch_norm_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        y: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        options: NormOptions,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        reference::batch_norm_backward::<Self>(x, scale, y, mean, variance, dy, options)
    }

    /// `x · scale + shift` per channel, with an optional rectifier: a normalisation whose
    /// statistics are constants.
    fn channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        reference::channel_affine::<Self>(x, scale, shift, None, relu)
    }

    /// [`VisionBackend::channel_affine`] with `shortcut` added before the rectifier.
    fn channel_affine_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        reference::channel_affine::<Self>(x, scale, shift, Some(shortcut), relu)
    }

    /// The largest value of each window, `[N, H, W, C]` → `[N, H', W', C]`.
    fn max_pool(x: FloatTensor<Self>, options: MaxPoolOptions) -> FloatTensor<Self> {
        reference::max_pool::<Self>(x, options)
    }

    /// Gradient of [`VisionBackend::max_pool`]: to the first largest value of each window.
    fn max_pool_backward(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        options: MaxPoolOptions,
    ) -> FloatTensor<Self> {
        reference::max_pool_backward::<Self>(x, dy, options)
    }

    /// The mean over all pixels, `[N, H, W, C]` → `[N, C]`.
    fn global_average_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::global_average_pool::<Self>(x)
    }

    /// Gradient of [`VisionBackend::global_average_pool`] (of `x` only the shape is read).
    fn global_average_pool_backward(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::global_average_pool_backward::<Self>(x, dy)
    }

    /// A fully connected layer: `x` `[N, in]`, `weight` `[out, in]`, `bias` `[out]` → `[N, out]`.
    fn linear_layer(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::linear_layer::<Self>(x, weight, bias)
    }

    /// Gradients `(dx, dweight, dbias)` of [`VisionBackend::linear_layer`].
    fn linear_layer_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::linear_layer_backward::<Self>(x, weight, dy)
    }

    /// One step of stochastic gradient descent on flat tensors: `(parameter, velocity)`.
    fn sgd_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        rule: Sgd,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference::sgd_step::<Self>(parameter, gradient, velocity, rule)
    }

    /// Step number `step`, from 1, of AdamW on flat tensors: `(parameter, mean gradient, mean
    /// squared gradient)`.
    fn adam_w_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        mean_square: FloatTensor<Self>,
        rule: AdamW,
        step: u64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::adam_w_step::<Self>(parameter, gradient, mean, mean_square, rule, step)
    }

    /// The option-A shortcut: every `stride`-th pixel, zero channels before and after.
    fn zero_pad_shortcut(x: FloatTensor<Self>, options: ZeroPadOptions) -> FloatTensor<Self> {
        reference::zero_pad_shortcut::<Self>(x, options)
    }

    /// Gradient of [`VisionBackend::zero_pad_shortcut`] (of `x` only the shape is read).
    fn zero_pad_shortcut_backward(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        options: ZeroPadOptions,
    ) -> FloatTensor<Self> {
        reference::zero_pad_shortcut_backward::<Self>(x, dy, options)
    }
}

/// Every GPU runtime uses the default bodies.
#[cfg(any(
    feature = "cuda",
    feature = "rocm",
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal"
))]
impl VisionBackend for burn::backend::Cube {}
