//! The CPU: the operations on the kernels of `residua-kernels`, in single precision.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use residua_kernels::ShapeError;
use residua_kernels::batch_norm::{self, Activation, Epilogue, Incoming, Parameters, Statistics};
use residua_kernels::convolution::{self, ConvolutionGeometry, ConvolutionSpec};
use residua_kernels::linear::{self, LinearGeometry};
use residua_kernels::optimiser::{AdamW, Sgd};
use residua_kernels::pooling::{self, AverageGeometry, MaxGeometry, PoolingSpec};
use residua_kernels::reduce;
use residua_kernels::shortcut::{self, ShortcutGeometry};

use crate::backend::VisionBackend;
use crate::options::{ConvolutionOptions, MaxPoolOptions, NormOptions, ZeroPadOptions};

/// Shapes have been checked where the network was built; what is wrong now is a bug.
fn checked<T>(result: Result<T, ShapeError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn dims<const D: usize>(x: &FlexTensor) -> [usize; D] {
    let shape = x.shape();
    assert_eq!(
        shape.num_dims(),
        D,
        "expected {D} dimensions, found {shape:?}"
    );
    std::array::from_fn(|axis| shape[axis])
}

/// The values in row-major order; views are copied.
fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() {
        x
    } else {
        x.to_contiguous()
    }
}

/// The values of a contiguous tensor.
fn slice(x: &FlexTensor) -> &[f32] {
    x.as_slice()
        .expect("contiguous tensors of 32-bit floating point have a slice")
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::new(shape));
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// The values of a contiguous tensor, to be changed; copied first if others read them.
fn slice_mut(x: &mut FlexTensor) -> &mut [f32] {
    x.storage_mut()
}

fn linear_geometry(x: &FlexTensor, weight: &FlexTensor) -> LinearGeometry {
    let [rows, inputs] = dims(x);
    let [outputs, _] = dims(weight);
    checked(LinearGeometry::new(rows, inputs, outputs))
}

fn geometry(
    x: &FlexTensor,
    weight: &FlexTensor,
    options: ConvolutionOptions,
) -> ConvolutionGeometry {
    let [batch, height, width, in_channels] = dims(x);
    let [out_channels, _, kernel_height, kernel_width] = dims(weight);
    checked(ConvolutionGeometry::new(ConvolutionSpec {
        batch,
        input: [height, width],
        in_channels,
        out_channels,
        kernel: [kernel_height, kernel_width],
        stride: options.stride,
        padding: options.padding,
        dilation: options.dilation,
        groups: options.groups,
    }))
}

fn activation(relu: bool) -> Activation {
    if relu {
        Activation::Relu
    } else {
        Activation::Identity
    }
}

fn train_batch_norm(
    x: FlexTensor,
    scale: FlexTensor,
    shift: FlexTensor,
    shortcut: Option<FlexTensor>,
    options: NormOptions,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
    let shortcut = shortcut.map(contiguous);
    let shape: [usize; 4] = dims(&x);
    let mut y = vec![0.0; slice(&x).len()];
    let parameters = Parameters {
        gamma: slice(&scale),
        beta: slice(&shift),
    };
    let epilogue = Epilogue {
        residual: shortcut.as_ref().map(slice),
        activation: activation(options.relu),
    };
    let statistics = checked(batch_norm::forward_train(
        slice(&x),
        &parameters,
        options.epsilon,
        &epilogue,
        &mut y,
    ));
    let channels = [shape[3]];
    (
        tensor(y, shape),
        tensor(statistics.mean, channels),
        tensor(statistics.variance, channels),
    )
}

fn channel_affine(
    x: FlexTensor,
    scale: FlexTensor,
    shift: FlexTensor,
    shortcut: Option<FlexTensor>,
    relu: bool,
) -> FlexTensor {
    let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
    let shortcut = shortcut.map(contiguous);
    let shape: [usize; 4] = dims(&x);
    let channels = shape[3];
    let mut y = vec![0.0; slice(&x).len()];
    // A normalisation with mean 0 and deviation 1.
    let neutral = Statistics {
        count: 0,
        mean: vec![0.0; channels],
        variance: vec![1.0; channels],
        inverse_std: vec![1.0; channels],
    };
    let parameters = Parameters {
        gamma: slice(&scale),
        beta: slice(&shift),
    };
    let epilogue = Epilogue {
        residual: shortcut.as_ref().map(slice),
        activation: activation(relu),
    };
    checked(batch_norm::forward_inference(
        slice(&x),
        &neutral,
        &parameters,
        &epilogue,
        &mut y,
    ));
    tensor(y, shape)
}

fn max_geometry(x: &FlexTensor, options: MaxPoolOptions) -> MaxGeometry {
    let [batch, height, width, channels] = dims(x);
    checked(MaxGeometry::new(PoolingSpec {
        batch,
        input: [height, width],
        channels,
        kernel: options.kernel,
        stride: options.stride,
        padding: options.padding,
        ..PoolingSpec::default()
    }))
}

/// The maxima and where they were found.
fn max_forward(x: &FlexTensor, geometry: &MaxGeometry) -> (Vec<f32>, Vec<u32>) {
    let mut y = vec![0.0; geometry.output_length()];
    let mut positions = vec![0; geometry.output_length()];
    checked(pooling::max_forward(
        geometry,
        slice(x),
        &mut y,
        &mut positions,
    ));
    (y, positions)
}

fn average_geometry(x: &FlexTensor) -> AverageGeometry {
    let [batch, height, width, channels] = dims(x);
    checked(AverageGeometry::global(batch, [height, width], channels))
}

fn shortcut_geometry(x: &FlexTensor, options: ZeroPadOptions) -> ShortcutGeometry {
    let [batch, height, width, channels] = dims(x);
    checked(ShortcutGeometry::new(
        batch,
        [height, width],
        channels,
        options.stride,
        [options.before, options.after],
    ))
}

impl VisionBackend for Flex {
    fn convolution(x: FlexTensor, weight: FlexTensor, options: ConvolutionOptions) -> FlexTensor {
        let (x, weight) = (contiguous(x), contiguous(weight));
        let geometry = geometry(&x, &weight, options);
        let mut y = vec![0.0; geometry.output_length()];
        checked(convolution::forward(
            &geometry,
            slice(&x),
            slice(&weight),
            None,
            &mut y,
        ));
        let [height, width] = geometry.output();
        let spec = geometry.spec();
        tensor(y, [spec.batch, height, width, spec.out_channels])
    }

    fn convolution_input_gradient(
        x: FlexTensor,
        weight: FlexTensor,
        dy: FlexTensor,
        options: ConvolutionOptions,
    ) -> FlexTensor {
        let (weight, dy) = (contiguous(weight), contiguous(dy));
        let geometry = geometry(&x, &weight, options);
        let mut dx = vec![0.0; geometry.input_length()];
        checked(convolution::input_gradient(
            &geometry,
            slice(&dy),
            slice(&weight),
            &mut dx,
        ));
        tensor(dx, dims::<4>(&x))
    }

    fn convolution_weight_gradient(
        x: FlexTensor,
        weight: FlexTensor,
        dy: FlexTensor,
        options: ConvolutionOptions,
    ) -> FlexTensor {
        let (x, dy) = (contiguous(x), contiguous(dy));
        let geometry = geometry(&x, &weight, options);
        let mut dweight = vec![0.0; geometry.weight_length()];
        checked(convolution::weight_gradient(
            &geometry,
            slice(&x),
            slice(&dy),
            &mut dweight,
        ));
        tensor(dweight, dims::<4>(&weight))
    }

    fn train_batch_norm(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        options: NormOptions,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        train_batch_norm(x, scale, shift, None, options)
    }

    fn train_batch_norm_add(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        shortcut: FlexTensor,
        options: NormOptions,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        train_batch_norm(x, scale, shift, Some(shortcut), options)
    }

    fn train_batch_norm_backward(
        x: FlexTensor,
        scale: FlexTensor,
        y: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        dy: FlexTensor,
        options: NormOptions,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let (x, scale, y, dy) = (
            contiguous(x),
            contiguous(scale),
            contiguous(y),
            contiguous(dy),
        );
        let (mean, variance) = (contiguous(mean), contiguous(variance));
        let shape: [usize; 4] = dims(&x);
        let [batch, height, width, channels] = shape;
        let statistics = Statistics {
            count: batch * height * width,
            ..Statistics::given(slice(&mean), slice(&variance), options.epsilon)
        };
        let mut dx = vec![0.0; slice(&x).len()];
        // Without a rectifier the gradient of the sum is the incoming one, not a copy of it.
        let mut dsum = options.relu.then(|| vec![0.0; slice(&x).len()]);
        let gradients = checked(batch_norm::backward_train(
            slice(&x),
            &statistics,
            slice(&scale),
            Incoming {
                output_gradient: slice(&dy),
                relu_output: options.relu.then(|| slice(&y)),
            },
            dsum.as_deref_mut(),
            &mut dx,
        ));
        let dsum = dsum.map_or(dy, |dsum| tensor(dsum, shape));
        (
            tensor(dx, shape),
            tensor(gradients.gamma, [channels]),
            tensor(gradients.beta, [channels]),
            dsum,
        )
    }

    fn channel_affine(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        relu: bool,
    ) -> FlexTensor {
        channel_affine(x, scale, shift, None, relu)
    }

    fn channel_affine_add(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        shortcut: FlexTensor,
        relu: bool,
    ) -> FlexTensor {
        channel_affine(x, scale, shift, Some(shortcut), relu)
    }

    fn max_pool(x: FlexTensor, options: MaxPoolOptions) -> FlexTensor {
        let x = contiguous(x);
        let geometry = max_geometry(&x, options);
        let (y, _) = max_forward(&x, &geometry);
        let [batch, _, _, channels] = dims(&x);
        let [height, width] = geometry.output();
        tensor(y, [batch, height, width, channels])
    }

    fn max_pool_backward(x: FlexTensor, dy: FlexTensor, options: MaxPoolOptions) -> FlexTensor {
        let (x, dy) = (contiguous(x), contiguous(dy));
        let geometry = max_geometry(&x, options);
        // Found again rather than kept: a network pools once, and positions are as large as y.
        let (_, positions) = max_forward(&x, &geometry);
        let mut dx = vec![0.0; geometry.input_length()];
        checked(pooling::max_backward(
            &geometry,
            &positions,
            slice(&dy),
            &mut dx,
        ));
        tensor(dx, dims::<4>(&x))
    }

    fn global_average_pool(x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let geometry = average_geometry(&x);
        let mut y = vec![0.0; geometry.output_length()];
        checked(pooling::average_forward(&geometry, slice(&x), &mut y));
        let [batch, _, _, channels] = dims(&x);
        tensor(y, [batch, channels])
    }

    fn global_average_pool_backward(x: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let dy = contiguous(dy);
        let geometry = average_geometry(&x);
        let mut dx = vec![0.0; geometry.input_length()];
        checked(pooling::average_backward(&geometry, slice(&dy), &mut dx));
        tensor(dx, dims::<4>(&x))
    }

    fn linear_layer(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
        let geometry = linear_geometry(&x, &weight);
        let [rows, _] = dims(&x);
        let [outputs] = dims(&bias);
        let mut y = vec![0.0; rows * outputs];
        checked(linear::forward(
            &geometry,
            slice(&x),
            slice(&weight),
            Some(slice(&bias)),
            &mut y,
        ));
        tensor(y, [rows, outputs])
    }

    fn linear_layer_backward(
        x: FlexTensor,
        weight: FlexTensor,
        dy: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (x, weight, dy) = (contiguous(x), contiguous(weight), contiguous(dy));
        let geometry = linear_geometry(&x, &weight);
        let [outputs, _] = dims(&weight);
        let mut dx = vec![0.0; slice(&x).len()];
        let mut dweight = vec![0.0; slice(&weight).len()];
        let mut dbias = vec![0.0; outputs];
        checked(linear::input_gradient(
            &geometry,
            slice(&dy),
            slice(&weight),
            &mut dx,
        ));
        checked(linear::weight_gradient(
            &geometry,
            slice(&x),
            slice(&dy),
            &mut dweight,
        ));
        checked(reduce::channel_sums(slice(&dy), &mut dbias));
        (
            tensor(dx, dims::<2>(&x)),
            tensor(dweight, dims::<2>(&weight)),
            tensor(dbias, [outputs]),
        )
    }

    fn sgd_step(
        parameter: FlexTensor,
        gradient: FlexTensor,
        velocity: FlexTensor,
        rule: Sgd,
    ) -> (FlexTensor, FlexTensor) {
        let gradient = contiguous(gradient);
        let (mut parameter, mut velocity) = (contiguous(parameter), contiguous(velocity));
        checked(rule.step(
            slice_mut(&mut parameter),
            slice(&gradient),
            slice_mut(&mut velocity),
        ));
        (parameter, velocity)
    }

    fn adam_w_step(
        parameter: FlexTensor,
        gradient: FlexTensor,
        mean: FlexTensor,
        mean_square: FlexTensor,
        rule: AdamW,
        step: u64,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (mut parameter, gradient) = (contiguous(parameter), contiguous(gradient));
        let (mut mean, mut mean_square) = (contiguous(mean), contiguous(mean_square));
        checked(rule.step(
            step,
            slice_mut(&mut parameter),
            slice(&gradient),
            slice_mut(&mut mean),
            slice_mut(&mut mean_square),
        ));
        (parameter, mean, mean_square)
    }

    fn zero_pad_shortcut(x: FlexTensor, options: ZeroPadOptions) -> FlexTensor {
        let x = contiguous(x);
        let geometry = shortcut_geometry(&x, options);
        let mut y = vec![0.0; geometry.output_length()];
        checked(shortcut::forward(&geometry, slice(&x), &mut y));
        let [batch, ..] = dims::<4>(&x);
        let [height, width] = geometry.output();
        tensor(y, [batch, height, width, geometry.out_channels()])
    }

    fn zero_pad_shortcut_backward(
        x: FlexTensor,
        dy: FlexTensor,
        options: ZeroPadOptions,
    ) -> FlexTensor {
        let dy = contiguous(dy);
        let geometry = shortcut_geometry(&x, options);
        let mut dx = vec![0.0; geometry.input_length()];
        checked(shortcut::backward(&geometry, slice(&dy), &mut dx));
        tensor(dx, dims::<4>(&x))
    }
}
