//! Learning from batches: the same bits for any number of threads, and what diverges.

use burn::tensor::Device;
use rand::RngExt;
use rayon::ThreadPoolBuilder;
use residua_core::seed::SeedStream;
use residua_data::HostBatch;
use residua_graph::catalog::{self, BuildOptions};
use residua_graph::families::{Block, Form, Paths, ResNetSpec, Shortcut, Stage};
use residua_graph::{Graph, Shape};
use residua_train::{
    Learner, LearnerSettings, LossConfig, Network, NonFinite, OptimiserConfig, Precision,
};
use residua_weights::NamedTensor;

fn batch(number: u64) -> HostBatch {
    let mut rng = SeedStream::new(number).child("batch").rng();
    let shape = [8, 16, 16, 3];
    HostBatch {
        epoch: 0,
        index: 0,
        shape,
        images: (0..shape.iter().product())
            .map(|_| rng.random_range(-2.0..2.0))
            .collect(),
        labels: (0..8).map(|_| rng.random_range(0..4)).collect(),
        mixture: None,
        samples: (0..8).collect(),
    }
}

fn cataloged(name: &str) -> Graph {
    let options = BuildOptions {
        classes: Some(4),
        input: Some(Shape::map(16, 16, 3)),
        ..BuildOptions::default()
    };
    catalog::build(name, &options).unwrap()
}

/// Bottlenecks with projections.
fn bottlenecks() -> Graph {
    let stage = |width| Stage { width, blocks: 2 };
    let spec = ResNetSpec {
        stem_width: 16,
        stages: [16, 24, 40].map(stage).to_vec(),
        ..ResNetSpec::four_stages(
            Form::Cifar,
            Block::Bottleneck(Paths::ONE),
            [0; 4],
            Shortcut::Projection,
        )
    };
    let images = Shape::map(16, 16, 3);
    spec.build("bottlenecks", images, 4).unwrap()
}

fn learner(graph: Graph, precision: Precision) -> Learner {
    let mut network = Network::initialise(graph, SeedStream::new(1), &Device::flex());
    network.set_precision(precision).unwrap();
    Learner::new(
        network,
        LearnerSettings {
            clip_norm: Some(5.0),
            seed: 6,
            ..LearnerSettings::new(
                LossConfig::CrossEntropy {
                    label_smoothing: 0.1,
                },
                OptimiserConfig::sgd(0.05),
            )
        },
    )
}

/// The state after a few steps, and the losses on the way.
fn trained(graph: Graph, precision: Precision, threads: usize) -> (Vec<NamedTensor>, Vec<f64>) {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(|| {
        let mut learner = learner(graph, precision);
        let steps = 1..=3;
        let losses = steps.map(|step| learner.learn(batch(step), 0.05, step).unwrap().loss);
        let losses = losses.collect();
        (learner.network().state(), losses)
    })
}

#[test]
fn bits_do_not_depend_on_threads() {
    for precision in Precision::ALL {
        for graph in [cataloged("resnet8"), cataloged("plain14"), bottlenecks()] {
            let one = trained(graph.clone(), precision, 1);
            for threads in [2, 3] {
                let more = trained(graph.clone(), precision, threads);
                let name = graph.name();
                assert!(one == more, "{name}, {precision}, {threads} threads");
            }
        }
    }
}

#[test]
fn a_batch_is_learned() {
    for precision in Precision::ALL {
        let mut learner = learner(cataloged("resnet8"), precision);
        let mut learn = |step| learner.learn(batch(1), 0.05, step).unwrap();
        let first = learn(1);
        let last = (2..=25).map(&mut learn).last().unwrap();
        assert_eq!((first.images, last.images), (8, 8));
        assert!(last.loss < 0.7 * first.loss, "{first:?} to {last:?}");
        assert!(last.correct > 6.0, "{last:?}");
    }
}

#[test]
fn nothing_is_learned_from_what_is_not_finite() {
    for precision in Precision::ALL {
        let mut learner = learner(cataloged("resnet8"), precision);
        let before = learner.network().state();
        let mut broken = batch(1);
        broken.images[1000] = f32::NAN;
        let divergence = learner.learn(broken, 0.05, 1).unwrap_err();
        assert!(divergence.loss.is_nan());
        assert_eq!(divergence.place, Some(NonFinite::Images));
        assert_eq!(learner.network().state(), before);
    }
}
