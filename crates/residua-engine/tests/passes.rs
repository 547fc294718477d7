//! The engine's passes against finite differences, against each other, and for their promises.

mod support;

use residua_engine::{Engine, Gradient, Precision};
use residua_graph::families::{
    AttentionStage, Block, BottleneckTransformerSpec, Form, Paths, PreActivationSpec, ResNetSpec,
    Shortcut as ShortcutKind, Stage,
};
use residua_graph::{Convolution, Graph, GraphBuilder, Shape};

use support::{Case, cosine, norm, settings};

/// Every operation, and every way in which values are shared, in few layers.
fn small_network() -> Graph {
    let mut builder = GraphBuilder::new("small", Shape::map(13, 11, 3));
    let image = builder.input();
    let x = builder
        .convolution("conv1", image, Convolution::square(12, 3))
        .unwrap();
    let x = builder.batch_norm("bn1", x).unwrap();
    let stem = builder.relu("relu1", x).unwrap();
    // An identity shortcut.
    let x = builder
        .convolution("conv2", stem, Convolution::square(12, 3))
        .unwrap();
    let x = builder.batch_norm("bn2", x).unwrap();
    let x = builder.add("add2", x, stem).unwrap();
    let block = builder.relu("relu2", x).unwrap();
    // A projection, with a grouped convolution and a bias beside it.
    let grouped = Convolution {
        groups: 2,
        bias: true,
        ..Convolution::square(20, 3).stride(2)
    };
    let x = builder.convolution("conv3", block, grouped).unwrap();
    let x = builder.batch_norm("bn3", x).unwrap();
    let shortcut = builder
        .convolution("conv4", block, Convolution::square(20, 1).stride(2))
        .unwrap();
    let shortcut = builder.batch_norm("bn4", shortcut).unwrap();
    let x = builder.add("add4", x, shortcut).unwrap();
    let x = builder.relu("relu4", x).unwrap();
    // A sum that a normalisation, an addition and a convolution without norm read.
    let biased = Convolution {
        bias: true,
        ..Convolution::square(20, 3)
    };
    let y = builder.convolution("conv5", x, biased).unwrap();
    let sum = builder.add("add5", x, y).unwrap();
    let normed = builder.batch_norm("bn6", sum).unwrap();
    let x = builder.add("add6", normed, sum).unwrap();
    let x = builder.relu("relu6", x).unwrap();
    let x = builder.global_average_pool("pool", x).unwrap();
    let logits = builder.linear("fc", x, 5).unwrap();
    builder.finish(logits)
}

/// A small network of the form of ResNet-50: 7×7 stem, max pool, bottlenecks, projections.
fn bottleneck_network(paths: Paths) -> Graph {
    let stage = |width| Stage { width, blocks: 1 };
    let spec = ResNetSpec {
        stem_width: 8,
        stages: vec![stage(8), stage(16)],
        ..ResNetSpec::four_stages(
            Form::ImageNet,
            Block::Bottleneck(paths),
            [0; 4],
            ShortcutKind::Projection,
        )
    };
    spec.build("bottlenecks", Shape::map(40, 36, 3), 5).unwrap()
}

#[test]
fn gradients_are_slopes_of_a_small_network() {
    Case::new(small_network(), 6).check_derivatives(0.03);
}

#[test]
fn gradients_are_slopes_of_residual_networks() {
    Case::named("resnet20", 16, 8).check_derivatives(0.1);
    Case::new(bottleneck_network(Paths::ONE), 6).check_derivatives(0.1);
    Case::named("preact_resnet11", 16, 8).check_derivatives(0.1);
    Case::named("wrn10_2", 16, 8).check_derivatives(0.1);
    let grouped = Paths {
        count: 4,
        width: 64,
    };
    Case::new(bottleneck_network(grouped), 6).check_derivatives(0.1);
}

#[test]
fn gradients_are_slopes_of_every_other_family() {
    for (model, size) in [
        ("densenet10_k6", 16),
        ("densenet_bc10_k6", 16),
        ("se_resnet8", 16),
        ("cbam_resnet8", 16),
    ] {
        Case::named(model, size, 8).check_derivatives(0.1);
    }
    let images = Shape::map(32, 32, 3);
    let stage = |width| Stage { width, blocks: 1 };
    let selective = ResNetSpec {
        stem_width: 16,
        stages: vec![stage(16)],
        ..ResNetSpec::four_stages(
            Form::ImageNet,
            Block::SelectiveKernel,
            [0; 4],
            ShortcutKind::Projection,
        )
    };
    let attention = |convolutions, attentions| AttentionStage {
        width: 8,
        convolutions,
        attentions,
    };
    let transformer = BottleneckTransformerSpec {
        stem_widths: [4, 6, 8],
        stages: vec![attention(1, 0), attention(0, 1)],
        ..BottleneckTransformerSpec::botnet26t()
    };
    let first = PreActivationSpec {
        stem_width: 8,
        stages: vec![stage(8)],
        ..PreActivationSpec::imagenet([0; 4])
    };
    for graph in [
        selective.build("selective kernels", images, 5).unwrap(),
        transformer.build("transformer", images, 5).unwrap(),
        first.build("norms first", images, 5).unwrap(),
    ] {
        Case::new(graph, 6).check_derivatives(0.1);
    }
}

#[test]
fn bfloat16_follows_f32() {
    let case = Case::new(small_network(), 6);
    let exact = case.gradients(Precision::F32);
    for (exact, rounded) in exact.iter().zip(case.gradients(Precision::Bf16)) {
        if norm(&exact.values) < 1e-4 {
            continue;
        }
        let similarity = cosine(&exact.values, &rounded.values);
        assert!(similarity > 0.95, "entry {}: {similarity}", exact.entry);
    }
}

#[test]
fn threads_change_no_bit() {
    let case = Case::named("resnet20", 32, 9);
    for precision in Precision::ALL {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| case.gradients(precision))
        };
        let one = run(1);
        for threads in 2..4 {
            for (left, right) in one.iter().zip(run(threads)) {
                let bits = |gradient: &Gradient| -> Vec<u32> {
                    gradient.values.iter().map(|x| x.to_bits()).collect()
                };
                assert_eq!(bits(left), bits(&right), "{precision}, {threads} threads");
            }
        }
    }
}

#[test]
fn a_second_step_uses_the_memory_of_the_first() {
    let case = Case::named("resnet20", 32, 4);
    let state: Vec<&[f32]> = case.state.iter().map(Vec::as_slice).collect();
    let engine = Engine::new(&case.graph);
    let step = || {
        let pass = engine.train_forward(settings(Precision::F32), &case.images, case.batch, &state);
        let gradients = engine.backward(pass.record, &case.weights, &state);
        (pass.logits, gradients[0].values.clone())
    };
    // Stale contents of buffers must not shine through.
    assert_eq!(step(), step());
}

#[test]
fn inference_uses_the_running_statistics() {
    let case = Case::named("resnet20", 32, 3);
    let state: Vec<&[f32]> = case.state.iter().map(Vec::as_slice).collect();
    let engine = Engine::new(&case.graph);
    let together = engine.infer(Precision::F32, &case.images, 3, &state);
    let image = case.graph.input_shape().elements();
    for (index, logits) in together.chunks(10).enumerate() {
        // An image's logits do not depend on its neighbours.
        let alone = &case.images[index * image..][..image];
        assert_eq!(engine.infer(Precision::F32, alone, 1, &state), logits);
    }
    let trained = engine.train_forward(settings(Precision::F32), &case.images, 3, &state);
    assert_ne!(trained.logits, together);
    assert_eq!(trained.statistics.len(), 19);
}

#[test]
fn gradients_do_not_depend_on_what_reused_vectors_hold() {
    for case in [
        Case::named("resnet8", 16, 3),
        Case::named("resnet18", 32, 2),
    ] {
        let state: Vec<&[f32]> = case.state.iter().map(Vec::as_slice).collect();
        let engine = Engine::new(&case.graph);
        let gradients = || {
            let pass =
                engine.train_forward(settings(Precision::F32), &case.images, case.batch, &state);
            engine.backward(pass.record, &case.weights, &state)
        };
        let first = gradients();
        for gradient in &first {
            engine.reuse(vec![f32::NAN; gradient.values.len()]);
        }
        for (first, second) in first.iter().zip(gradients()) {
            assert_eq!(first.values, second.values, "entry {}", first.entry);
        }
    }
}
