//! Every family of the catalog trains: its loss falls on real images.

use std::num::NonZeroUsize;

use burn::tensor::Device;
use residua_core::preprocessing::Preprocessing;
use residua_core::seed::SeedStream;
use residua_data::{
    Augmentation, DataSpec, Dataset, DatasetOptions, HostBatch, Loader, LoaderOptions, SplitName,
    Transform,
};
use residua_graph::catalog::{self, BuildOptions, VariationOptions};
use residua_graph::families::{
    Attention, AttentionStage, Block, BottleneckTransformerSpec, Downsampling, Form, Norm, Paths,
    PreActivationSpec, Reduction, ResNetSpec, Shortcut, Stage, Stem,
};
use residua_graph::{Activation, Graph, Shape};
use residua_train::{
    Learner, LearnerSettings, LossConfig, Network, OptimiserConfig, Pace, Precision,
};

/// The builtin photographs of 32×32 pixels.
fn builtin(batch: usize) -> Loader {
    let dataset = Dataset::open(&DataSpec::Builtin, &DatasetOptions::default()).unwrap();
    let train = dataset.require(SplitName::Train).unwrap().clone();
    let transform = Transform::training(&Preprocessing::cifar10(), Augmentation::NONE).unwrap();
    let size = NonZeroUsize::new(batch).unwrap();
    let options = LoaderOptions::training(size, SeedStream::new(1));
    Loader::new(train, transform, options)
}

fn build(name: &str, variations: VariationOptions) -> Graph {
    let options = BuildOptions {
        classes: Some(10),
        input: Some(IMAGES),
        variations,
    };
    catalog::build(name, &options).unwrap()
}

const IMAGES: Shape = Shape::Map {
    height: 32,
    width: 32,
    channels: 3,
};

/// A network of ImageNet's form with two small stages.
fn small(name: &str, block: Block, change: impl FnOnce(&mut ResNetSpec)) -> Graph {
    let stage = |width| Stage { width, blocks: 1 };
    let form = Form::ImageNet;
    let mut spec = ResNetSpec {
        stem_width: 16,
        stages: vec![stage(16), stage(32)],
        ..ResNetSpec::four_stages(form, block, [0; 4], Shortcut::Projection)
    };
    change(&mut spec);
    spec.build(name, IMAGES, 10).unwrap()
}

/// ResNeXt, ResNet-D, and the gates of others.
fn imagenet_forms() -> Vec<Graph> {
    let bottleneck = Block::Bottleneck(Paths {
        count: 2,
        width: 32,
    });
    let reduction = Reduction {
        ratio: 4,
        divisor: 1,
    };
    let deep = |spec: &mut ResNetSpec| {
        spec.stem = Stem::Deep { widths: [8, 12] };
        spec.downsampling = Downsampling::AveragePool;
    };
    let mut graphs = vec![
        small("resnext", bottleneck, |_| {}),
        small("resnet-d", bottleneck, deep),
        small("selective kernels", Block::SelectiveKernel, |_| {}),
    ];
    for (name, attention) in [
        (
            "squeeze and excitation",
            Attention::SqueezeExcitation(reduction),
        ),
        ("eca", Attention::EfficientChannel),
        ("cbam", Attention::Cbam(reduction)),
    ] {
        graphs.push(small(name, Block::Basic, |spec| {
            spec.attention = Some(attention);
        }));
    }
    graphs
}

/// Self-attention in the second of two stages.
fn transformer() -> Graph {
    let stage = |width, convolutions, attentions| AttentionStage {
        width,
        convolutions,
        attentions,
    };
    let spec = BottleneckTransformerSpec {
        stem_widths: [8, 12, 16],
        stages: vec![stage(16, 1, 0), stage(32, 0, 2)],
        ..BottleneckTransformerSpec::botnet26t()
    };
    spec.build("transformer", IMAGES, 10).unwrap()
}

/// Norms first, in ImageNet's form.
fn resnet_v2() -> Graph {
    let stage = |width| Stage { width, blocks: 1 };
    let spec = PreActivationSpec {
        stem_width: 16,
        stages: vec![stage(8), stage(16)],
        ..PreActivationSpec::imagenet([0; 4])
    };
    spec.build("resnetv2", IMAGES, 10).unwrap()
}

fn learner(graph: Graph, precision: Precision, optimiser: OptimiserConfig) -> Learner {
    let mut network = Network::initialise(graph, SeedStream::new(1), &Device::flex());
    network.set_precision(precision).unwrap();
    Learner::new(
        network,
        LearnerSettings {
            clip_norm: Some(5.0),
            seed: 6,
            ..LearnerSettings::new(
                LossConfig::CrossEntropy {
                    label_smoothing: 0.0,
                },
                optimiser,
            )
        },
    )
}

/// Mean losses of the first and of the last few steps.
fn losses(graph: Graph, precision: Precision, training: Training) -> [f64; 2] {
    const FEW: usize = 5;
    let rate = training.optimiser.learning_rate();
    let mut learner = learner(graph, precision, training.optimiser);
    let loader = builtin(32);
    let batches = (0..).flat_map(|epoch| loader.epoch(epoch));
    let mut learn = |(step, batch): (u64, Result<HostBatch, _>)| {
        let batch = batch.unwrap();
        let learned = learner.learn(batch, Pace::rate(rate), step).unwrap();
        learned.loss / learned.images as f64
    };
    let losses: Vec<f64> = (1..=training.steps).zip(batches).map(&mut learn).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    [mean(&losses[..FEW]), mean(&losses[losses.len() - FEW..])]
}

/// How a network is trained here.
#[derive(Clone, Copy)]
struct Training {
    optimiser: OptimiserConfig,
    steps: u64,
}

const TRAINING: Training = Training {
    optimiser: OptimiserConfig::sgd(0.05),
    steps: 60,
};

fn check(graph: &Graph, training: Training) {
    for precision in Precision::ALL {
        let name = graph.name();
        let [first, last] = losses(graph.clone(), precision, training);
        println!("{name}, {precision}: {first:.3} to {last:.3}");
        assert!(
            last < 0.95 * first,
            "{name}, {precision}: {first} to {last}"
        );
    }
}

fn published(names: &[&str]) {
    for name in names {
        check(&build(name, VariationOptions::default()), TRAINING);
    }
}

#[test]
fn residual_families_learn() {
    published(&["resnet8", "preact_resnet11", "wrn10_1", "fast_resnet10"]);
    check(&resnet_v2(), TRAINING);
}

#[test]
fn gated_families_learn() {
    published(&["se_resnet8", "cbam_resnet8"]);
    for graph in imagenet_forms() {
        check(&graph, TRAINING);
    }
    check(&transformer(), TRAINING);
}

#[test]
fn families_without_shortcuts_learn() {
    published(&["plain8", "densenet10_k8", "densenet_bc16_k8"]);
    let wide = Training {
        optimiser: OptimiserConfig::sgd(0.01),
        steps: 30,
    };
    check(&build("cifar_vgg11_bn", VariationOptions::default()), wide);
    // No norm helps this one over its first steps.
    let adaptive = Training {
        optimiser: OptimiserConfig::adam_w(5e-4),
        ..wide
    };
    check(
        &build("cifar_alexnet", VariationOptions::default()),
        adaptive,
    );
}

#[test]
fn variations_learn() {
    let none = VariationOptions::default();
    for variations in [
        VariationOptions {
            norm: Some(Norm::Group { groups: 4 }),
            activation: Some(Activation::Silu),
            ..none
        },
        VariationOptions {
            dropout: Some(0.2),
            stochastic_depth: Some(0.3),
            zero_last_norm: Some(true),
            activation: Some(Activation::Gelu),
            ..none
        },
    ] {
        check(&build("resnet14", variations), TRAINING);
    }
}
