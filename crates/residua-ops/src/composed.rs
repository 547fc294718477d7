//! Operations that are made of Burn's own on every device: those that networks spend little time in.
//!
//! Feature maps are `[N, H, W, C]`. On the CPU whole networks run in `residua-engine`, which has
//! kernels for all of them.

use burn::tensor::activation::{gelu, leaky_relu, relu, sigmoid, silu, softmax};
use burn::tensor::module::{adaptive_avg_pool2d, avg_pool2d, conv1d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions};
use burn::tensor::{Int, Tensor, TensorData, s};
use residua_kernels::activation::Activation;
use residua_kernels::dropout::DropRule;

use crate::options::AveragePoolOptions;

/// A function of single numbers.
pub fn activation<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    match activation {
        Activation::Relu => relu(x),
        Activation::LeakyRelu => leaky_relu(x, 0.01),
        Activation::Sigmoid => sigmoid(x),
        Activation::Silu => silu(x),
        Activation::Gelu => gelu(x),
    }
}

/// The mean of each window; a window at the far edges may be smaller.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', C]`.
pub fn average_pool(x: Tensor<4>, options: AveragePoolOptions) -> Tensor<4> {
    let options = AvgPoolOptions {
        kernel_size: options.kernel,
        stride: options.stride,
        padding: [(0, 0); 2],
        count_include_pad: false,
        ceil_mode: options.keep_edges,
    };
    to_nhwc(avg_pool2d(to_nchw(x), options))
}

/// The mean of windows that divide the map into so many rows and columns.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, size[0], size[1], C]`.
pub fn adaptive_average_pool(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    to_nhwc(adaptive_avg_pool2d(to_nchw(x), size))
}

/// All numbers of a sample, channel by channel.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, C · H · W]`.
pub fn flatten(x: Tensor<4>) -> Tensor<2> {
    to_nchw(x).flatten(1, 3)
}

/// The mean over the channels, and the largest.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H, W, 2]`.
pub fn channel_summary(x: Tensor<4>) -> Tensor<4> {
    Tensor::cat(vec![x.clone().mean_dim(3), x.max_dim(3)], 3)
}

/// A convolution along the channels of one pixel, with zeros at the ends.
///
/// # Shapes
/// `x`: `[N, 1, 1, C]`, `weight`: `[kernel]`.
pub fn channel_convolution(x: Tensor<4>, weight: Tensor<1>) -> Tensor<4> {
    let ([batch, _, _, channels], [kernel]) = (x.dims(), weight.dims());
    let options = ConvOptions::new([1], [kernel / 2], [1], 1);
    let weight = weight.reshape([1, 1, kernel]);
    let y = conv1d(x.reshape([batch, 1, channels]), weight, None, options);
    y.reshape([batch, 1, 1, channels])
}

/// Softmax over the paths, for each channel of a path.
///
/// # Shapes
/// `[N, H, W, paths · C]`, path by path.
pub fn path_softmax(x: Tensor<4>, paths: usize) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let divided = x.reshape([batch * height * width, paths, channels / paths]);
    softmax(divided, 1).reshape([batch, height, width, channels])
}

/// Group normalisation (Wu and He 2018).
///
/// # Shapes
/// `x`: `[N, H, W, C]`; `scale` and `shift`: `[C]`.
pub fn group_norm(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    groups: usize,
    epsilon: f32,
) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let members = channels / groups;
    let grouped = x
        .reshape([batch, height * width, groups, members])
        .permute([0, 2, 1, 3])
        .reshape([batch, groups, height * width * members]);
    let centred = grouped.clone() - grouped.mean_dim(2);
    let variance = (centred.clone() * centred.clone()).mean_dim(2);
    let normal = centred / variance.add_scalar(epsilon).sqrt();
    let normal = normal
        .reshape([batch, groups, height * width, members])
        .permute([0, 2, 1, 3])
        .reshape([batch, height, width, channels]);
    let per_channel = [1, 1, 1, channels];
    normal * scale.reshape(per_channel) + shift.reshape(per_channel)
}

/// A map times a gate that has one pixel or one channel.
///
/// # Shapes
/// `x`: `[N, H, W, C]`; `gate`: `[N, 1, 1, C]` or `[N, H, W, 1]`.
pub fn gate(x: Tensor<4>, gate: Tensor<4>) -> Tensor<4> {
    x * gate
}

/// Random zeros, the other numbers scaled up to the same mean.
pub fn dropout<const D: usize>(x: Tensor<D>, rule: DropRule) -> Tensor<D> {
    let count = x.dims().iter().product();
    let factors: Vec<f32> = (0..count).map(|element| rule.factor(element)).collect();
    let mask = Tensor::from_data(TensorData::new(factors, x.dims()), &x.device());
    x * mask
}

/// Attention of all pixels to all pixels with relative positions (Bello et al. 2019).
///
/// # Shapes
/// `qkv`: `[N, H, W, 3 · heads · features]`, `height`: `[2 H - 1, features]`, `width`: `[2 W - 1,
/// features]`; result `[N, H, W, heads · features]`.
pub fn self_attention(
    qkv: Tensor<4>,
    height: Tensor<2>,
    width: Tensor<2>,
    heads: usize,
) -> Tensor<4> {
    let [batch, rows, columns, channels] = qkv.dims();
    let pixels = rows * columns;
    let features = channels / 3 / heads;
    let divided = qkv
        .reshape([batch, pixels, 3, heads * features])
        .permute([2, 0, 1, 3]);
    let part = |index: usize| -> Tensor<3> {
        let part = divided.clone().slice(s![index..index + 1]);
        part.reshape([batch, pixels, heads, features])
            .permute([0, 2, 1, 3])
            .reshape([batch * heads, pixels, features])
    };
    let (query, key, value) = (part(0), part(1), part(2));
    let scale = 1.0 / (features as f64).sqrt();
    let content = query.clone().matmul(key.transpose()).mul_scalar(scale);
    // [heads of the batch, row, column, features]
    let query = query.reshape([batch * heads, rows, columns, features]);
    let by_row = relative(query.clone(), height);
    let by_column = relative(query.permute([0, 2, 1, 3]), width).permute([0, 2, 1, 3]);
    let shape = [batch * heads, rows, columns, rows, columns];
    let positions = by_row
        .reshape([batch * heads, rows, columns, rows, 1])
        .expand(shape)
        + by_column
            .reshape([batch * heads, rows, columns, 1, columns])
            .expand(shape);
    let logits = content + positions.reshape([batch * heads, pixels, pixels]);
    let result = softmax(logits, 2).matmul(value);
    result
        .reshape([batch, heads, pixels, features])
        .permute([0, 2, 1, 3])
        .reshape([batch, rows, columns, heads * features])
}

/// `query[b, i, j] · table[k - i + size - 1]` for queries at place `i` of the first of two axes and
/// keys at place `k` of the same axis: `[B, size, other, features]` → `[B, size, other, size]`.
fn relative(query: Tensor<4>, table: Tensor<2>) -> Tensor<4> {
    let [batch, size, other, features] = query.dims();
    let device = query.device();
    let distances = (0..size).flat_map(|i| (0..size).map(move |k| (k + size - 1 - i) as i64));
    let distances: Vec<i64> = distances.collect();
    let count = distances.len();
    let distances = Tensor::<1, Int>::from_data(TensorData::new(distances, [count]), &device);
    // [size of queries, features, size of keys]
    let keys = table
        .select(0, distances)
        .reshape([size, size, features])
        .permute([0, 2, 1]);
    let query = query
        .permute([1, 0, 2, 3])
        .reshape([size, batch * other, features]);
    query
        .matmul(keys)
        .reshape([size, batch, other, size])
        .permute([1, 0, 2, 3])
}

fn to_nchw(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

fn to_nhwc(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}
