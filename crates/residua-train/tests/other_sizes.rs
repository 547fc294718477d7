//! Networks that see images of more than one size.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use residua_core::seed::SeedStream;
use residua_data::HostBatch;
use residua_graph::catalog::{self, BuildOptions};
use residua_graph::{Graph, Shape};
use residua_train::{
    Learner, LearnerSettings, LossConfig, Network, OptimiserConfig, Pace, ParameterPlan, Precision,
    StageRules, Targets, TrainError,
};

const LABELS: [u32; 6] = [0, 2, 1, 2, 3, 0];
const SIZES: [[usize; 2]; 2] = [[24, 24], [18, 20]];

fn graph(name: &str, [height, width]: [usize; 2]) -> Graph {
    let options = BuildOptions {
        classes: Some(4),
        input: Some(Shape::map(height, width, 3)),
        ..BuildOptions::default()
    };
    catalog::build(name, &options).unwrap()
}

fn network(name: &str, size: [usize; 2]) -> Network {
    Network::initialise(graph(name, size), SeedStream::new(3), &Device::flex())
}

/// For the first size, and the second one too.
fn of_both(name: &str) -> Network {
    let mut network = network(name, SIZES[0]);
    network.accept_size(graph(name, SIZES[1])).unwrap();
    network
}

fn batch([height, width]: [usize; 2]) -> HostBatch {
    let mut rng = SeedStream::new(5).child("images").rng();
    let count = LABELS.len() * height * width * 3;
    HostBatch {
        epoch: 0,
        index: 0,
        shape: [LABELS.len(), height, width, 3],
        images: (0..count).map(|_| rng.random_range(-1.8..2.4)).collect(),
        labels: LABELS.to_vec().into(),
        mixture: None,
        samples: (0..LABELS.len()).collect(),
    }
}

fn images(size: [usize; 2]) -> Tensor<4> {
    let batch = batch(size);
    let data = TensorData::new(batch.images, batch.shape);
    Tensor::from_data(data, &Device::flex())
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_into_vec().unwrap()
}

fn state(network: &Network) -> Vec<Vec<f32>> {
    let entries = 0..network.entries().len();
    entries.map(|entry| values(network.values(entry))).collect()
}

fn learner(network: Network, precision: Precision, frozen: usize) -> Learner {
    let mut network = network;
    network.set_precision(precision).unwrap();
    let rules = StageRules {
        frozen,
        ..StageRules::default()
    };
    let plan = ParameterPlan::new(network.graph(), network.entries(), Some(rules), &[]);
    let loss = LossConfig::CrossEntropy {
        label_smoothing: 0.1,
    };
    let settings = LearnerSettings {
        plan: plan.unwrap(),
        ..LearnerSettings::new(loss, OptimiserConfig::sgd(0.05))
    };
    Learner::new(network, settings)
}

/// What a learner of one size becomes of the state of another, by one batch.
fn learned_alone(before: &Network, name: &str, size: [usize; 2], frozen: usize) -> Vec<Vec<f32>> {
    let mut alone = network(name, size);
    for entry in 0..before.entries().len() {
        alone.set_values(entry, before.values(entry).clone());
    }
    let mut alone = learner(alone, before.precision(), frozen);
    alone.learn(batch(size), Pace::rate(0.05), 1).unwrap();
    state(alone.network())
}

#[test]
fn each_size_is_learned_from_as_by_a_network_of_its_own() {
    // Some with pools over whole maps, whose windows depend on the size.
    for name in ["resnet8", "fast_resnet10", "resnet9", "cbam_resnet8"] {
        for (precision, frozen) in [
            (Precision::F32, 0),
            (Precision::Bf16, 0),
            (Precision::F32, 1),
        ] {
            for size in SIZES {
                let mut both = learner(of_both(name), precision, frozen);
                let expected = learned_alone(both.network(), name, size, frozen);
                both.learn(batch(size), Pace::rate(0.05), 1).unwrap();
                let place = format!("{name}, {precision}, {frozen} frozen, {size:?}");
                assert!(state(both.network()) == expected, "{place}");
            }
        }
    }
}

#[test]
fn gradients_of_the_tape_are_those_of_the_engine_for_both_sizes() {
    let loss = LossConfig::CrossEntropy {
        label_smoothing: 0.1,
    };
    for (size, frozen) in [(SIZES[0], false), (SIZES[1], false), (SIZES[1], true)] {
        let mut network = of_both("resnet8");
        let cut = network.graph().cuts().into_iter().nth(1);
        network.freeze_before(cut.filter(|_| frozen));
        let gradients = |network: &Network| -> Vec<(usize, Vec<f32>)> {
            let pass = network.train_pass(images(size), SeedStream::new(9));
            let labels = LABELS.to_vec().into();
            let loss = loss.compute(pass.logits.clone(), Targets::new(&labels), network.device());
            let gradients = pass.gradients(&loss).into_iter();
            gradients
                .map(|(entry, gradient)| (entry, values(&gradient)))
                .collect()
        };
        let of_engine = gradients(&network);
        let of_tape = gradients(&network.on_tape());
        assert_eq!(of_engine.len(), of_tape.len());
        for ((entry, found), (_, expected)) in of_engine.iter().zip(&of_tape) {
            let square = |numbers: &mut dyn Iterator<Item = f32>| {
                numbers.map(|number| f64::from(number).powi(2)).sum::<f64>()
            };
            let pairs = found.iter().zip(expected);
            let error = square(&mut pairs.map(|(found, expected)| found - expected));
            let whole = square(&mut expected.iter().copied());
            assert!(
                error <= 1e-4 * whole.max(1e-8),
                "{size:?}, {entry}: {error:e} of {whole:e}"
            );
        }
    }
}

#[test]
fn evaluation_and_the_tape_see_both_sizes() {
    let both = of_both("resnet8");
    for size in SIZES {
        let images = images(size);
        let expected = values(&network("resnet8", size).evaluate(images.clone()));
        assert_eq!(values(&both.evaluate(images.clone())), expected);
        let on_tape = values(&both.clone().on_tape().evaluate(images));
        for (found, expected) in on_tape.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-3,
                "{size:?}: {found} {expected}"
            );
        }
    }
}

#[test]
fn a_network_whose_head_depends_on_the_size_is_refused() {
    let mut network = network("cifar_alexnet", [32, 32]);
    let error = network
        .accept_size(graph("cifar_alexnet", [48, 48]))
        .unwrap_err();
    assert!(matches!(error, TrainError::OtherState { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "cifar_alexnet has other parameters for images of 48×48×3, so that it cannot see both sizes"
    );
}
