//! Every operator against values and gradients that PyTorch computed in f64 (`tests/fixtures/ops`).

mod support;

use residua_kernels::batch_norm::{self, Epilogue, Incoming, Parameters, Statistics};
use residua_kernels::convolution::{self, ConvolutionGeometry, ConvolutionSpec};
use residua_kernels::linear::{self, LinearGeometry};
use residua_kernels::optimiser::{AdamW, Sgd};
use residua_kernels::pooling::{self, AverageGeometry, MaxGeometry, PoolingSpec};
use residua_kernels::{InstructionSet, elementwise, reduce, with_instruction_set};
use serde_json::Value;

/// A tensor of a fixture; images were transposed from `[N, C, H, W]` to `[N, H, W, C]`.
struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

struct Fixture {
    name: String,
    json: Value,
}

impl Fixture {
    fn load(name: &str) -> Self {
        let path = format!(
            "{}/tests/fixtures/ops/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self {
            name: name.to_owned(),
            json: serde_json::from_str(&text).unwrap(),
        }
    }

    /// A tensor as stored.
    fn raw(&self, section: &str, name: &str) -> Tensor {
        let tensor = &self.json[section][name];
        Tensor {
            shape: sizes(&tensor["shape"]),
            data: floats(&tensor["data"]),
        }
    }

    /// An image tensor, transposed.
    fn image(&self, section: &str, name: &str) -> Tensor {
        transposed(self.raw(section, name))
    }

    fn output_gradient(&self) -> Tensor {
        let tensor = &self.json["grad_output"];
        transposed(Tensor {
            shape: sizes(&tensor["shape"]),
            data: floats(&tensor["data"]),
        })
    }

    fn attribute(&self, name: &str) -> &Value {
        &self.json["attributes"][name]
    }

    fn pair(&self, name: &str) -> [usize; 2] {
        match self.attribute(name) {
            Value::Null => [usize::from(name != "padding"); 2],
            Value::Number(number) => [number.as_u64().unwrap() as usize; 2],
            list => sizes(list).try_into().unwrap(),
        }
    }

    fn check(&self, what: &str, actual: &[f32], expected: &Tensor) {
        assert_eq!(actual.len(), expected.data.len(), "{} {what}", self.name);
        for (index, (actual, expected)) in actual.iter().zip(&expected.data).enumerate() {
            let tolerance = 1e-5 * expected.abs() + 4e-6;
            assert!(
                (actual - expected).abs() <= tolerance,
                "{} {what}[{index}] is {actual}, expected {expected}",
                self.name
            );
        }
    }
}

fn sizes(value: &Value) -> Vec<usize> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|size| size.as_u64().unwrap() as usize)
        .collect()
}

fn floats(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap() as f32)
        .collect()
}

fn transposed(tensor: Tensor) -> Tensor {
    let [batch, channels, height, width] = tensor.shape[..] else {
        return tensor;
    };
    let mut data = Vec::with_capacity(tensor.data.len());
    for image in tensor.data.chunks_exact(channels * height * width) {
        for pixel in 0..height * width {
            data.extend((0..channels).map(|channel| image[channel * height * width + pixel]));
        }
    }
    Tensor {
        shape: vec![batch, height, width, channels],
        data,
    }
}

fn for_each_set(test: impl Fn()) {
    for set in InstructionSet::available() {
        with_instruction_set(set, &test);
    }
}

fn convolution_matches(name: &str) {
    let fixture = Fixture::load(name);
    let input = fixture.image("inputs", "x");
    let weight = fixture.raw("inputs", "weight");
    let geometry = ConvolutionGeometry::new(ConvolutionSpec {
        batch: input.shape[0],
        input: [input.shape[1], input.shape[2]],
        in_channels: input.shape[3],
        out_channels: weight.shape[0],
        kernel: fixture.pair("kernel"),
        stride: fixture.pair("stride"),
        padding: fixture.pair("padding"),
        dilation: fixture.pair("dilation"),
        groups: fixture.attribute("groups").as_u64().unwrap() as usize,
    })
    .unwrap();
    let has_bias = fixture.attribute("bias").as_bool().unwrap();
    let bias = has_bias.then(|| fixture.raw("inputs", "bias"));
    let gradient = fixture.output_gradient();

    let mut output = vec![0.0; geometry.output_length()];
    let bias_data = bias.as_ref().map(|bias| &bias.data[..]);
    convolution::forward(&geometry, &input.data, &weight.data, bias_data, &mut output).unwrap();
    fixture.check("y", &output, &fixture.image("outputs", "y"));

    let mut input_gradient = vec![0.0; geometry.input_length()];
    convolution::input_gradient(&geometry, &gradient.data, &weight.data, &mut input_gradient)
        .unwrap();
    fixture.check("grad_x", &input_gradient, &fixture.image("grads", "grad_x"));

    let mut weight_gradient = vec![0.0; geometry.weight_length()];
    convolution::weight_gradient(&geometry, &input.data, &gradient.data, &mut weight_gradient)
        .unwrap();
    fixture.check(
        "grad_weight",
        &weight_gradient,
        &fixture.raw("grads", "grad_weight"),
    );

    if has_bias {
        let mut bias_gradient = vec![0.0; geometry.spec().out_channels];
        reduce::channel_sums(&gradient.data, &mut bias_gradient).unwrap();
        fixture.check(
            "grad_bias",
            &bias_gradient,
            &fixture.raw("grads", "grad_bias"),
        );
    }
}

#[test]
fn convolutions() {
    let names = [
        "conv2d_1x1_s1",
        "conv2d_1x1_s2",
        "conv2d_3x3_dilation2",
        "conv2d_3x3_groups4",
        "conv2d_3x3_groups4_s2",
        "conv2d_3x3_nobias",
        "conv2d_3x3_s1_p1",
        "conv2d_3x3_s2_p1",
        "conv2d_7x7_s2_p3",
        "conv2d_depthwise_3x3",
        "conv2d_odd_7x5_3to5",
        "conv2d_odd_7x5_3to5_s2",
    ];
    for_each_set(|| names.into_iter().for_each(convolution_matches));
}

#[test]
fn linear_layer() {
    for_each_set(|| {
        let fixture = Fixture::load("linear");
        let [input, weight, bias] = ["x", "weight", "bias"].map(|name| fixture.raw("inputs", name));
        let gradient = fixture.output_gradient();
        let geometry =
            LinearGeometry::new(input.shape[0], input.shape[1], weight.shape[0]).unwrap();

        let mut output = vec![0.0; gradient.data.len()];
        linear::forward(
            &geometry,
            &input.data,
            &weight.data,
            Some(&bias.data),
            &mut output,
        )
        .unwrap();
        fixture.check("y", &output, &fixture.raw("outputs", "y"));

        let mut input_gradient = vec![0.0; input.data.len()];
        linear::input_gradient(&geometry, &gradient.data, &weight.data, &mut input_gradient)
            .unwrap();
        fixture.check("grad_x", &input_gradient, &fixture.raw("grads", "grad_x"));

        let mut weight_gradient = vec![0.0; weight.data.len()];
        linear::weight_gradient(&geometry, &input.data, &gradient.data, &mut weight_gradient)
            .unwrap();
        fixture.check(
            "grad_weight",
            &weight_gradient,
            &fixture.raw("grads", "grad_weight"),
        );

        let mut bias_gradient = vec![0.0; bias.data.len()];
        reduce::channel_sums(&gradient.data, &mut bias_gradient).unwrap();
        fixture.check(
            "grad_bias",
            &bias_gradient,
            &fixture.raw("grads", "grad_bias"),
        );
    });
}

#[test]
fn batch_norm_in_training() {
    for_each_set(|| {
        for name in ["batchnorm_train", "batchnorm1d_train"] {
            let fixture = Fixture::load(name);
            let input = fixture.image("inputs", "x");
            let [gamma, beta] = ["weight", "bias"].map(|name| fixture.raw("inputs", name));
            let [mut mean, mut variance] =
                ["running_mean", "running_var"].map(|name| fixture.raw("inputs", name));
            let parameters = Parameters {
                gamma: &gamma.data,
                beta: &beta.data,
            };

            let mut output = vec![0.0; input.data.len()];
            let statistics = batch_norm::forward_train(
                &input.data,
                &parameters,
                1e-5,
                &Epilogue::default(),
                &mut output,
            )
            .unwrap();
            fixture.check("y", &output, &fixture.image("outputs", "y"));
            fixture.check(
                "mean",
                &statistics.mean,
                &fixture.raw("outputs", "batch_mean"),
            );
            fixture.check(
                "variance",
                &statistics.variance,
                &fixture.raw("outputs", "batch_var_biased"),
            );
            statistics
                .update_running(0.1, &mut mean.data, &mut variance.data)
                .unwrap();
            fixture.check(
                "running mean",
                &mean.data,
                &fixture.raw("outputs", "running_mean"),
            );
            fixture.check(
                "running variance",
                &variance.data,
                &fixture.raw("outputs", "running_var"),
            );

            let gradient = fixture.output_gradient();
            let incoming = Incoming {
                output_gradient: &gradient.data,
                relu_output: None,
            };
            let mut input_gradient = vec![0.0; input.data.len()];
            let parameter_gradients = batch_norm::backward_train(
                &input.data,
                &statistics,
                &gamma.data,
                incoming,
                None,
                &mut input_gradient,
            )
            .unwrap();
            fixture.check("grad_x", &input_gradient, &fixture.image("grads", "grad_x"));
            fixture.check(
                "grad_weight",
                &parameter_gradients.gamma,
                &fixture.raw("grads", "grad_weight"),
            );
            fixture.check(
                "grad_bias",
                &parameter_gradients.beta,
                &fixture.raw("grads", "grad_bias"),
            );
        }
    });
}

#[test]
fn batch_norm_in_inference() {
    for_each_set(|| {
        let fixture = Fixture::load("batchnorm_eval");
        let input = fixture.image("inputs", "x");
        let [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|name| fixture.raw("inputs", name));
        let parameters = Parameters {
            gamma: &gamma.data,
            beta: &beta.data,
        };
        let statistics = Statistics::given(&mean.data, &variance.data, 1e-5);

        let mut output = vec![0.0; input.data.len()];
        batch_norm::forward_inference(
            &input.data,
            &statistics,
            &parameters,
            &Epilogue::default(),
            &mut output,
        )
        .unwrap();
        fixture.check("y", &output, &fixture.image("outputs", "y"));

        let gradient = fixture.output_gradient();
        let incoming = Incoming {
            output_gradient: &gradient.data,
            relu_output: None,
        };
        let mut input_gradient = vec![0.0; input.data.len()];
        let parameter_gradients = batch_norm::backward_inference(
            &input.data,
            &statistics,
            &gamma.data,
            incoming,
            None,
            &mut input_gradient,
        )
        .unwrap();
        fixture.check("grad_x", &input_gradient, &fixture.image("grads", "grad_x"));
        fixture.check(
            "grad_weight",
            &parameter_gradients.gamma,
            &fixture.raw("grads", "grad_weight"),
        );
        fixture.check(
            "grad_bias",
            &parameter_gradients.beta,
            &fixture.raw("grads", "grad_bias"),
        );
    });
}

fn pooling_spec(fixture: &Fixture, input: &Tensor) -> PoolingSpec {
    PoolingSpec {
        batch: input.shape[0],
        input: [input.shape[1], input.shape[2]],
        channels: input.shape[3],
        kernel: fixture.pair("kernel"),
        stride: fixture.pair("stride"),
        padding: fixture.pair("padding"),
        ceil_mode: fixture.attribute("ceil_mode").as_bool().unwrap_or(false),
        ..PoolingSpec::default()
    }
}

fn average_matches(fixture: &Fixture, geometry: &AverageGeometry) {
    let mut output = vec![0.0; geometry.output_length()];
    pooling::average_forward(geometry, &fixture.image("inputs", "x").data, &mut output).unwrap();
    fixture.check("y", &output, &fixture.image("outputs", "y"));
    let mut input_gradient = vec![0.0; geometry.input_length()];
    pooling::average_backward(
        geometry,
        &fixture.output_gradient().data,
        &mut input_gradient,
    )
    .unwrap();
    fixture.check("grad_x", &input_gradient, &fixture.image("grads", "grad_x"));
}

#[test]
fn average_pooling() {
    for_each_set(|| {
        for name in ["avgpool_2x2_s2_ceil_mode_no_pad_count", "avgpool_3x3_s2_p1"] {
            let fixture = Fixture::load(name);
            let spec = pooling_spec(&fixture, &fixture.image("inputs", "x"));
            let count_include_pad = fixture.attribute("count_include_pad").as_bool().unwrap();
            average_matches(
                &fixture,
                &AverageGeometry::sliding(&spec, count_include_pad).unwrap(),
            );
        }
        for name in [
            "adaptive_avg_pool_3to7",
            "adaptive_avg_pool_7x5to3",
            "global_avg_pool",
        ] {
            let fixture = Fixture::load(name);
            let [batch, height, width, channels] = fixture.image("inputs", "x").shape[..] else {
                unreachable!()
            };
            let input = [height, width];
            let geometry = match name {
                "global_avg_pool" => AverageGeometry::global(batch, input, channels),
                _ => AverageGeometry::adaptive(batch, input, channels, fixture.pair("output")),
            };
            average_matches(&fixture, &geometry.unwrap());
        }
    });
}

#[test]
fn max_pooling() {
    for_each_set(|| {
        for name in ["maxpool_2x2_s2_ceil_mode", "maxpool_3x3_s2_p1_ties"] {
            let fixture = Fixture::load(name);
            let input = fixture.image("inputs", "x");
            let geometry = MaxGeometry::new(pooling_spec(&fixture, &input)).unwrap();
            let mut output = vec![0.0; geometry.output_length()];
            let mut positions = vec![0; geometry.output_length()];
            pooling::max_forward(&geometry, &input.data, &mut output, &mut positions).unwrap();
            fixture.check("y", &output, &fixture.image("outputs", "y"));
            if name.ends_with("ties") {
                let positions: Vec<_> = positions.iter().map(|&position| position as f32).collect();
                fixture.check(
                    "argmax",
                    &positions,
                    &fixture.image("outputs", "argmax_in_plane"),
                );
            }
            let mut input_gradient = vec![0.0; geometry.input_length()];
            pooling::max_backward(
                &geometry,
                &positions,
                &fixture.output_gradient().data,
                &mut input_gradient,
            )
            .unwrap();
            fixture.check("grad_x", &input_gradient, &fixture.image("grads", "grad_x"));
        }
    });
}

#[test]
fn relu() {
    for_each_set(|| {
        let fixture = Fixture::load("relu");
        let input = fixture.image("inputs", "x");
        let mut output = vec![0.0; input.data.len()];
        elementwise::relu(&input.data, &mut output).unwrap();
        fixture.check("y", &output, &fixture.image("outputs", "y"));
        let mut input_gradient = vec![0.0; input.data.len()];
        elementwise::relu_backward(
            &output,
            &fixture.output_gradient().data,
            &mut input_gradient,
        )
        .unwrap();
        fixture.check("grad_x", &input_gradient, &fixture.image("grads", "grad_x"));
    });
}

/// Replays the trace of an optimiser with `step(number of the step, parameter, gradient)`.
fn trace_matches(name: &str, mut step: impl FnMut(&Value, u64, &mut [f32], &[f32])) {
    let fixture = Fixture::load("optimizers");
    let trace = &fixture.json[name];
    let mut parameter = floats(&trace["initial"]["data"]);
    let gradients = trace["gradients_per_step"].as_array().unwrap();
    let expected = trace["parameters_after_each_step"].as_array().unwrap();
    for (index, (gradient, expected)) in gradients.iter().zip(expected).enumerate() {
        step(
            &trace["options"],
            index as u64 + 1,
            &mut parameter,
            &floats(gradient),
        );
        let expected = Tensor {
            shape: vec![parameter.len()],
            data: floats(expected),
        };
        fixture.check(name, &parameter, &expected);
    }
}

#[test]
fn optimisers() {
    for_each_set(|| {
        for name in ["sgd", "sgd_momentum", "sgd_momentum_wd", "sgd_nesterov_wd"] {
            let mut velocity = vec![0.0; 6];
            trace_matches(name, |options, _, parameter, gradient| {
                let rule = Sgd {
                    learning_rate: options["lr"].as_f64().unwrap(),
                    momentum: options["momentum"].as_f64().unwrap(),
                    weight_decay: options["weight_decay"].as_f64().unwrap(),
                    nesterov: options["nesterov"].as_bool().unwrap(),
                };
                rule.step(parameter, gradient, &mut velocity).unwrap();
            });
        }
        let mut moments = [vec![0.0; 6], vec![0.0; 6]];
        trace_matches("adamw", |options, step, parameter, gradient| {
            let rule = AdamW {
                learning_rate: options["lr"].as_f64().unwrap(),
                betas: [0, 1].map(|index| options["betas"][index].as_f64().unwrap()),
                epsilon: options["eps"].as_f64().unwrap(),
                weight_decay: options["weight_decay"].as_f64().unwrap(),
            };
            let [first, second] = &mut moments;
            rule.step(step, parameter, gradient, first, second).unwrap();
        });
    });
}
