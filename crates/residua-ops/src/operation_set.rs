//! The operations that a backend may compute with code of its own, as a value: those that it has, or
//! their definitions.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::functions::{
    BatchNormOutput, batch_norm, channel_affine, convolution, global_average_pool, linear,
    max_pool, zero_pad_shortcut,
};
use crate::options::{ConvolutionOptions, MaxPoolOptions, NormOptions, ZeroPadOptions};
use crate::reference;

/// One body of each operation. The fields are those of the functions of the same names.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // Each is documented as a function.
#[allow(clippy::type_complexity)] // The signatures of those functions.
pub struct OperationSet {
    pub convolution: fn(Tensor<4>, Tensor<4>, ConvolutionOptions) -> Tensor<4>,
    pub batch_norm:
        fn(Tensor<4>, Tensor<1>, Tensor<1>, Option<Tensor<4>>, NormOptions) -> BatchNormOutput,
    pub channel_affine: fn(Tensor<4>, Tensor<1>, Tensor<1>, Option<Tensor<4>>, bool) -> Tensor<4>,
    pub max_pool: fn(Tensor<4>, MaxPoolOptions) -> Tensor<4>,
    pub global_average_pool: fn(Tensor<4>) -> Tensor<2>,
    pub zero_pad_shortcut: fn(Tensor<4>, ZeroPadOptions) -> Tensor<4>,
    pub linear: fn(Tensor<2>, Tensor<2>, Tensor<1>) -> Tensor<2>,
}

impl OperationSet {
    /// What the device has: kernels on the CPU, the definitions elsewhere.
    pub const OF_DEVICE: Self = Self {
        convolution,
        batch_norm,
        channel_affine,
        max_pool,
        global_average_pool,
        zero_pad_shortcut,
        linear,
    };

    /// The definitions in [`mod@reference`], on every device: to compare with.
    pub const DEFAULT: Self = Self {
        convolution: |x, weight, options| {
            Tensor::from_dispatch(reference::convolution::<Dispatch>(
                x.into_dispatch(),
                weight.into_dispatch(),
                options,
            ))
        },
        batch_norm: |x, scale, shift, shortcut, options| {
            let (y, mean, variance) = reference::batch_norm::<Dispatch>(
                x.into_dispatch(),
                scale.into_dispatch(),
                shift.into_dispatch(),
                shortcut.map(Tensor::into_dispatch),
                options,
            );
            BatchNormOutput {
                y: Tensor::from_dispatch(y),
                mean: Tensor::from_dispatch(mean),
                variance: Tensor::from_dispatch(variance),
            }
        },
        channel_affine: |x, scale, shift, shortcut, relu| {
            Tensor::from_dispatch(reference::channel_affine::<Dispatch>(
                x.into_dispatch(),
                scale.into_dispatch(),
                shift.into_dispatch(),
                shortcut.map(Tensor::into_dispatch),
                relu,
            ))
        },
        max_pool: |x, options| {
            Tensor::from_dispatch(reference::max_pool::<Dispatch>(x.into_dispatch(), options))
        },
        global_average_pool: |x| {
            Tensor::from_dispatch(reference::global_average_pool::<Dispatch>(
                x.into_dispatch(),
            ))
        },
        zero_pad_shortcut: |x, options| {
            Tensor::from_dispatch(reference::zero_pad_shortcut::<Dispatch>(
                x.into_dispatch(),
                options,
            ))
        },
        linear: |x, weight, bias| {
            Tensor::from_dispatch(reference::linear_layer::<Dispatch>(
                x.into_dispatch(),
                weight.into_dispatch(),
                bias.into_dispatch(),
            ))
        },
    };
}
