//! Gradients and running statistics of whole networks.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use residua_core::seed::SeedStream;
use residua_graph::catalog::{self, BuildOptions};
use residua_graph::families::{
    Block, Form, Paths, PoolPlace, ResNetSpec, ShallowSpec, ShallowStage, Shortcut, Stage,
};
use residua_graph::{Convolution, Graph, GraphBuilder, Shape};
use residua_train::{LossConfig, Network, NonFinite, Targets};

const LABELS: [u32; 4] = [0, 2, 1, 2];

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_into_vec().unwrap()
}

/// Images that depend on nothing else: the device's generator is shared by all tests.
fn images(channels: usize) -> Tensor<4> {
    let mut rng = SeedStream::new(5).child("images").rng();
    let values = (0..4 * 8 * 8 * channels).map(|_| rng.random_range(-1.8..2.4));
    let data = TensorData::new(values.collect::<Vec<f32>>(), [4, 8, 8, channels]);
    Tensor::from_data(data, &Device::flex())
}

fn network(graph: Graph) -> Network {
    Network::initialise(graph, SeedStream::new(3), &Device::flex())
}

fn loss_of(network: &Network) -> f64 {
    let pass = network.train_pass(images(3), SeedStream::new(9));
    let loss = LossConfig::CrossEntropy {
        label_smoothing: 0.1,
    };
    let loss = loss.compute(
        pass.logits,
        Targets::new(&LABELS.to_vec().into()),
        network.device(),
    );
    f64::from(values(&loss)[0])
}

/// Two bottlenecks with projections; in the CIFAR form, so that norms see more than four pixels,
/// over which they are too curved for differences.
fn bottlenecks() -> Graph {
    let stage = Stage {
        width: 4,
        blocks: 1,
    };
    let block = Block::Bottleneck(Paths::ONE);
    let spec = ResNetSpec {
        stem_width: 8,
        stages: vec![stage; 2],
        ..ResNetSpec::four_stages(Form::Cifar, block, [0; 4], Shortcut::Projection)
    };
    spec.build("bottlenecks", Shape::map(8, 8, 3), 3).unwrap()
}

/// Shallow networks with their max pool in either place, with and without a residual branch.
fn shallow() -> [Graph; 2] {
    let stage = |branch| ShallowStage { width: 8, branch };
    [PoolPlace::Last, PoolPlace::BeforeNorm].map(|pool| {
        let spec = ShallowSpec {
            stem: Convolution::square(8, 3),
            stages: vec![stage(2), stage(0)],
            pool,
            ..ShallowSpec::resnet9()
        };
        spec.build(&format!("shallow, {pool:?}"), Shape::map(8, 8, 3), 3)
            .unwrap()
    })
}

#[test]
fn gradients_agree_with_finite_differences() {
    let options = BuildOptions {
        classes: Some(3),
        input: Some(Shape::map(8, 8, 3)),
        ..BuildOptions::default()
    };
    let catalog = |name| catalog::build(name, &options).unwrap();
    let deep = [catalog("resnet8"), catalog("plain8"), bottlenecks()];
    for graph in deep.into_iter().chain(shallow()) {
        let mut network = network(graph);
        let pass = network.train_pass(images(3), SeedStream::new(9));
        let loss = LossConfig::CrossEntropy {
            label_smoothing: 0.1,
        };
        let loss = loss.compute(
            pass.logits.clone(),
            Targets::new(&LABELS.to_vec().into()),
            network.device(),
        );
        let gradients = pass.gradients(&loss);
        let trainable = network.entries().iter().filter(|e| e.role.is_trainable());
        assert_eq!(gradients.len(), trainable.count());
        // Along the gradient itself, so that corners of rectifiers cancel out: the loss must
        // change by the squared norm for each unit of the way.
        for position in [0, gradients.len() / 2, gradients.len() - 2] {
            let (entry, gradient) = &gradients[position];
            let slope: f64 = values(gradient).iter().map(|g| f64::from(*g).powi(2)).sum();
            let original = network.values(*entry).clone();
            let step = 5e-4 / slope.sqrt();
            let mut at = |distance: f64| {
                let moved = original.clone() + gradient.clone().mul_scalar(distance);
                network.set_values(*entry, moved);
                loss_of(&network)
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            network.set_values(*entry, original);
            assert!(
                (difference / slope - 1.0).abs() < 0.02,
                "{}, {}: {slope}, by differences {difference}",
                network.graph().name(),
                network.entries()[*entry].name
            );
        }
    }
}

#[test]
fn running_statistics_are_those_of_pytorch() {
    let mut builder = GraphBuilder::new("norm", Shape::map(8, 8, 2));
    let x = builder.batch_norm("bn", builder.input()).unwrap();
    let x = builder.global_average_pool("pool", x).unwrap();
    let logits = builder.linear("fc", x, 3).unwrap();
    let mut network = network(builder.finish(logits));
    let images = images(2);
    let pass = network.train_pass(images.clone(), SeedStream::new(9));
    network.absorb_statistics(&pass);
    let pixels = values(&images);
    for channel in 0..2 {
        let of_channel = pixels.iter().skip(channel).step_by(2);
        let of_channel: Vec<f64> = of_channel.map(|x| f64::from(*x)).collect();
        let count = of_channel.len() as f64;
        let mean = of_channel.iter().sum::<f64>() / count;
        let squares: f64 = of_channel.iter().map(|x| (x - mean).powi(2)).sum();
        // Momentum 0.1, and the unbiased variance.
        let expected = [0.1 * mean, 0.9 + 0.1 * squares / (count - 1.0)];
        let found = [2, 3].map(|entry| f64::from(values(network.values(entry))[channel]));
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }
    let state = network.state();
    let count = state.iter().find(|t| t.name == "bn.num_batches_tracked");
    assert_eq!(
        count.unwrap().values,
        residua_weights::Values::Integer(vec![1])
    );
}

#[test]
fn evaluation_does_not_depend_on_the_rest_of_the_batch() {
    let options = BuildOptions {
        classes: Some(3),
        input: Some(Shape::map(8, 8, 3)),
        ..BuildOptions::default()
    };
    let network = network(catalog::build("resnet8", &options).unwrap());
    let together = values(&network.evaluate(images(3)));
    let alone = values(&network.evaluate(images(3).narrow(0, 2, 1)));
    assert_eq!(together[6..9], alone);
}

#[test]
fn what_is_not_finite_is_found_where_it_begins() {
    let options = BuildOptions {
        classes: Some(3),
        input: Some(Shape::map(8, 8, 3)),
        ..BuildOptions::default()
    };
    let mut network = network(catalog::build("resnet8", &options).unwrap());
    assert_eq!(
        network.first_non_finite(images(3), SeedStream::new(9)),
        None
    );
    let nan = images(3).mul_scalar(f32::NAN);
    assert_eq!(
        network.first_non_finite(nan, SeedStream::new(9)),
        Some(NonFinite::Images)
    );
    let entries = network.entries();
    let scale = entries.iter().position(|e| e.name == "layer2.0.bn1.weight");
    let scale = scale.unwrap();
    // Finite, and too large for what follows.
    let huge = network.values(scale).clone().mul_scalar(1e38);
    network.set_values(scale, huge);
    assert_eq!(
        network.first_non_finite(images(3).mul_scalar(10.0), SeedStream::new(9)),
        Some(NonFinite::Layer("layer2.0.relu1".into()))
    );
    let broken = network.values(scale).clone().mul_scalar(f32::INFINITY);
    network.set_values(scale, broken);
    assert_eq!(
        network.first_non_finite(images(3), SeedStream::new(9)),
        Some(NonFinite::Parameter("layer2.0.bn1.weight".into()))
    );
}
