//! Residual blocks in training against PyTorch: results, gradients and statistics, which the
//! fixtures hold as computed in 64 bits.

use residua_engine::{
    Engine, GradientCheckpointing, Precision, SeedStream, TrainingSettings, state_entries,
};
use residua_graph::{Convolution, Graph, GraphBuilder, NodeId, Operation, Shape};
use serde_json::Value;

fn tensor(tensor: &Value) -> (Vec<usize>, Vec<f64>) {
    let list = |key: &str| tensor[key].as_array().expect(key).iter();
    (
        list("shape")
            .map(|size| size.as_u64().unwrap() as usize)
            .collect(),
        list("data")
            .map(|number| number.as_f64().unwrap())
            .collect(),
    )
}

/// `[N, C, H, W]` as `[N, H, W, C]`.
fn map(value: &Value) -> ([usize; 4], Vec<f64>) {
    let (shape, data) = tensor(value);
    let [batch, channels, height, width] = shape[..] else {
        panic!("a map has four axes, not {shape:?}");
    };
    let pixels = height * width;
    let mut map = vec![0.0; data.len()];
    for (index, number) in data.into_iter().enumerate() {
        let (image, rest) = (index / (channels * pixels), index % (channels * pixels));
        let (channel, pixel) = (rest / pixels, rest % pixels);
        map[(image * pixels + pixel) * channels + channel] = number;
    }
    ([batch, height, width, channels], map)
}

struct Fixture(Value);

impl Fixture {
    fn tensor(&self, part: &str, name: &str) -> (Vec<usize>, Vec<f64>) {
        tensor(&self.0[part][name])
    }

    fn map(&self, part: &str, name: &str) -> ([usize; 4], Vec<f64>) {
        map(&self.0[part][name])
    }

    fn is_present(&self, name: &str) -> bool {
        !self.0["state_dict"][name].is_null()
    }

    /// The block, behind a 1×1 convolution `before`, whose weight gradient shows the gradient of the
    /// block's input.
    fn graph(&self) -> Graph {
        let ([_, height, width, channels], _) = self.map("inputs", "x");
        let mut builder = GraphBuilder::new("block", Shape::map(height, width, channels));
        let image = builder.input();
        let input = Convolution::square(channels, 1);
        let input = builder.convolution("before", image, input).unwrap();
        let stride = self.0["attributes"]["stride"].as_u64().unwrap() as usize;
        let groups = self.0["attributes"]["groups"].as_u64().unwrap_or(1) as usize;
        let convolutions = (1..).take_while(|n| self.is_present(&format!("conv{n}.weight")));
        let convolutions = convolutions.count();
        // In a bottleneck the 3×3 convolution has stride and groups, otherwise the first one.
        let strided = if convolutions == 3 { 2 } else { 1 };
        let mut x = input;
        for number in 1..=convolutions {
            if number > 1 {
                x = builder.relu(format!("relu{}", number - 1), x).unwrap();
            }
            let (stride, groups) = if number == strided {
                (stride, groups)
            } else {
                (1, 1)
            };
            let [convolution, norm] = ["conv", "bn"].map(|kind| format!("{kind}{number}"));
            x = self.normalised(&mut builder, x, [&convolution, &norm], stride, groups);
        }
        let shortcut = if self.is_present("downsample.0.weight") {
            let names = ["downsample.0", "downsample.1"];
            self.normalised(&mut builder, input, names, stride, 1)
        } else {
            input
        };
        let sum = builder.add("add", x, shortcut).unwrap();
        let output = builder.relu("relu", sum).unwrap();
        builder.finish(output)
    }

    fn normalised(
        &self,
        builder: &mut GraphBuilder,
        input: NodeId,
        [convolution, norm]: [&str; 2],
        stride: usize,
        groups: usize,
    ) -> NodeId {
        let (shape, _) = self.tensor("state_dict", &format!("{convolution}.weight"));
        let settings = Convolution {
            groups,
            ..Convolution::square(shape[0], shape[2]).stride(stride)
        };
        let x = builder.convolution(convolution, input, settings).unwrap();
        builder.batch_norm(norm, x).unwrap()
    }
}

fn narrow(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}

/// Compares with a tolerance relative to the largest number.
fn assert_near(name: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for (index, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
        let difference = (f64::from(actual) - expected).abs();
        assert!(
            difference <= tolerance * largest.max(1.0),
            "{name}[{index}]: {actual} is not {expected}"
        );
    }
}

fn check(text: &str) {
    let fixture = Fixture(serde_json::from_str(text).unwrap());
    let graph = fixture.graph();
    let ([batch, _, _, channels], images) = fixture.map("inputs", "x");
    let identity = (0..channels * channels).map(|index| {
        if index % (channels + 1) == 0 {
            1.0
        } else {
            0.0
        }
    });
    let state: Vec<Vec<f32>> = state_entries(&graph)
        .map(|entry| match entry.name.as_str() {
            "before.weight" => identity.clone().collect(),
            name => narrow(&fixture.tensor("state_dict", name).1),
        })
        .collect();
    let state: Vec<&[f32]> = state.iter().map(Vec::as_slice).collect();
    let engine = Engine::new(&graph);
    let settings = TrainingSettings {
        precision: Precision::F32,
        checkpointing: GradientCheckpointing::Off,
        randomness: SeedStream::new(0),
    };
    let pass = engine.train_forward(settings, &narrow(&images), batch, &state);
    assert_near("y", &pass.logits, &fixture.map("outputs", "y").1, 2e-6);

    for statistics in &pass.statistics {
        let node = graph.node(statistics.node);
        let Operation::BatchNorm(settings) = node.operation else {
            panic!("{} has statistics", node.name);
        };
        let momentum = f64::from(settings.momentum);
        let count = statistics.count as f64;
        for (buffer, taken, correction) in [
            ("running_mean", &statistics.mean, 1.0),
            ("running_var", &statistics.variance, count / (count - 1.0)),
        ] {
            let name = format!("{}.{buffer}", node.name);
            let before = fixture.tensor("state_dict", &name).1;
            let updated = before.iter().zip(taken).map(|(before, &taken)| {
                ((1.0 - momentum) * before + momentum * correction * f64::from(taken)) as f32
            });
            let expected = fixture.tensor("updated_buffers", &name).1;
            assert_near(&name, &updated.collect::<Vec<_>>(), &expected, 1e-6);
        }
    }

    let gradient = narrow(&map(&fixture.0["grad_output"]).1);
    for gradient in engine.backward(pass.record, &gradient, &state) {
        let entry = state_entries(&graph).nth(gradient.entry).unwrap();
        let expected = if entry.name == "before.weight" {
            let input_gradient = fixture.map("grads", "grad_x").1;
            let mut sums = vec![0.0; channels * channels];
            for (x, gradient) in images
                .chunks_exact(channels)
                .zip(input_gradient.chunks_exact(channels))
            {
                for (index, sum) in sums.iter_mut().enumerate() {
                    *sum += gradient[index / channels] * x[index % channels];
                }
            }
            sums
        } else {
            fixture.tensor("grads", &format!("grad_{}", entry.name)).1
        };
        assert_near(&entry.name, &gradient.values, &expected, 5e-6);
    }
}

#[test]
fn basic_blocks() {
    check(include_str!("fixtures/basicblock_train_identity.json"));
    check(include_str!("fixtures/basicblock_train_projection.json"));
}

#[test]
fn bottlenecks() {
    check(include_str!("fixtures/bottleneck_train_identity.json"));
    check(include_str!("fixtures/bottleneck_train_projection.json"));
    check(include_str!("fixtures/bottleneck_train_grouped.json"));
}
