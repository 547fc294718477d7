//! Networks that differ from their published form, and what families refuse.

use residua_graph::catalog::{self, BuildOptions, CatalogError, VariationOptions};
use residua_graph::families::{Norm, Shortcut};
use residua_graph::{Activation, DropUnit, Graph, Initial, NodeId, Operation, Shape, StateRole};

fn published(name: &str) -> Graph {
    catalog::build(name, &BuildOptions::default()).unwrap()
}

fn try_varied(name: &str, variations: VariationOptions) -> Result<Graph, CatalogError> {
    let options = BuildOptions {
        variations,
        ..BuildOptions::default()
    };
    catalog::build(name, &options)
}

fn varied(name: &str, variations: VariationOptions) -> Graph {
    try_varied(name, variations).unwrap()
}

fn names(graph: &Graph) -> Vec<String> {
    graph.state().into_iter().map(|entry| entry.name).collect()
}

fn named<'a>(graph: &'a Graph, end: &'a str) -> impl Iterator<Item = NodeId> + 'a {
    let ids = graph.ids();
    ids.filter(move |id| graph.node(*id).name.ends_with(end))
}

fn count(graph: &Graph, wanted: impl Fn(&Operation) -> bool) -> usize {
    let nodes = graph.nodes().iter();
    nodes.filter(|node| wanted(&node.operation)).count()
}

/// One network of each family, and those with parts of their own.
const FAMILIES: [&str; 16] = [
    "resnet20",
    "resnet50d",
    "resnet26t",
    "resnext50_32x4d",
    "seresnet50",
    "ecaresnet26t",
    "resnet50_cbam",
    "cbam_resnet20",
    "skresnet18",
    "preact_resnet164",
    "wrn16_8",
    "resnetv2_50",
    "botnet26t_256",
    "densenet_bc100_k12",
    "vgg11_bn",
    "densenet40_k12",
];

/// The residual ones among them.
fn residual() -> impl Iterator<Item = &'static str> {
    FAMILIES.into_iter().take(13)
}

#[test]
fn what_varies_nothing_changes_nothing() {
    assert!(VariationOptions::default().is_default());
    let nothing = VariationOptions {
        norm: Some(Norm::Batch),
        activation: Some(Activation::Relu),
        dropout: Some(0.0),
        ..VariationOptions::default()
    };
    assert!(!nothing.is_default());
    // VGG drops by default.
    for name in FAMILIES.into_iter().filter(|name| *name != "vgg11_bn") {
        assert_eq!(varied(name, nothing), published(name), "{name}");
    }
}

#[test]
fn group_norms_have_no_running_statistics() {
    let group = Norm::Group { groups: 2 };
    let variations = VariationOptions {
        norm: Some(group),
        ..VariationOptions::default()
    };
    for name in FAMILIES {
        let (before, after) = (published(name), varied(name, variations));
        let norms = |graph: &Graph| {
            let state = graph.state().into_iter();
            let scales = state.filter(|entry| entry.role == StateRole::NormScale);
            scales.map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(norms(&before), norms(&after), "{name}");
        // The norms of gates are not varied: they see one pixel, or one channel.
        let kept = count(&after, |o| matches!(o, Operation::BatchNorm(_)));
        let expected = match name {
            "resnet50_cbam" => 16,
            "cbam_resnet20" => 9,
            "skresnet18" => 8,
            _ => 0,
        };
        assert_eq!(kept, expected, "{name}");
        let statistics = names(&after)
            .into_iter()
            .filter(|n| n.contains("running_mean"));
        assert_eq!(statistics.count(), expected, "{name}");
    }
    let message = try_varied(
        "resnet20",
        VariationOptions {
            norm: Some(Norm::Group { groups: 32 }),
            ..VariationOptions::default()
        },
    );
    assert_eq!(
        message.unwrap_err().to_string(),
        "resnet20 cannot be built for an image of 32×32×3: bn1 (group norm): 32 groups do not divide \
         16 channels"
    );
}

#[test]
fn all_activations_but_those_of_gates_are_exchanged() {
    let variations = VariationOptions {
        activation: Some(Activation::Silu),
        ..VariationOptions::default()
    };
    for name in FAMILIES {
        let graph = varied(name, variations);
        let relus = graph.nodes().iter();
        let mut relus = relus.filter(|node| node.operation == Operation::RELU);
        let is_gate = |name: &str| name.contains(".se.") || name.contains(".attn.");
        assert!(relus.all(|node| is_gate(&node.name)), "{name}");
        let before = count(&published(name), |o| *o == Operation::RELU);
        let silu = Operation::Activation(Activation::Silu);
        let after = count(&graph, |o| *o == Operation::RELU || *o == silu);
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn dropout_stands_before_the_last_convolution_of_each_branch() {
    let variations = VariationOptions {
        dropout: Some(0.3),
        ..VariationOptions::default()
    };
    for name in residual() {
        let graph = varied(name, variations);
        let consumers = graph.consumers();
        let dropouts: Vec<NodeId> = named(&graph, ".dropout").collect();
        let blocks = named(&graph, ".add").filter(|id| {
            let name = &graph.node(*id).name;
            !name.contains(".se.") && !name.contains(".attn.")
        });
        assert_eq!(dropouts.len(), blocks.count(), "{name}");
        for id in dropouts {
            let Operation::Dropout(dropout) = graph.node(id).operation else {
                panic!("{name}")
            };
            assert_eq!((dropout.unit, dropout.rate), (DropUnit::Number, 0.3));
            let [convolution] = consumers[id.index()][..] else {
                panic!("{name}")
            };
            let convolution = &graph.node(convolution).operation;
            assert!(matches!(convolution, Operation::Convolution(_)), "{name}");
        }
        assert_eq!(names(&graph), names(&published(name)));
    }
    // A DenseNet drops of what each layer adds, VGG and AlexNet of what hidden layers read or give.
    for (name, drops) in [
        ("densenet121", 58),
        ("densenet40_k12", 36),
        ("vgg16", 2),
        ("alexnet", 2),
        ("cifar_vgg16_bn", 1),
    ] {
        let graph = varied(name, variations);
        let is_dropout = |o: &Operation| matches!(o, Operation::Dropout(d) if d.rate == 0.3);
        assert_eq!(count(&graph, is_dropout), drops, "{name}");
        assert_eq!(names(&graph), names(&published(name)));
    }
}

#[test]
fn stochastic_depth_rises_linearly_to_its_rate() {
    let variations = VariationOptions {
        stochastic_depth: Some(0.5),
        ..VariationOptions::default()
    };
    for name in residual() {
        let graph = varied(name, variations);
        let drops: Vec<NodeId> = named(&graph, ".drop_path").collect();
        let blocks = drops.len() as f32;
        for (number, id) in (1_u16..).zip(&drops) {
            let Operation::Dropout(dropout) = graph.node(*id).operation else {
                panic!("{name}")
            };
            assert_eq!(dropout.unit, DropUnit::Sample);
            let expected = 0.5 * f32::from(number) / blocks;
            assert!((dropout.rate - expected).abs() < 1e-6, "{name}");
            // Right before the addition, as the residual branch.
            let [add] = graph.consumers()[id.index()][..] else {
                panic!("{name}")
            };
            assert_eq!(graph.node(add).operation, Operation::Add);
            assert_eq!(graph.node(add).inputs[0], *id);
        }
        assert_eq!(names(&graph), names(&published(name)), "{name}");
    }
    let graph = varied("resnet110", variations);
    let rates = named(&graph, ".drop_path").map(|id| graph.node(id).operation);
    let rates: Vec<Operation> = rates.collect();
    assert_eq!(rates.len(), 54);
    assert!(matches!(rates[53], Operation::Dropout(dropout) if dropout.rate == 0.5));
}

#[test]
fn exactly_the_last_norms_start_at_zero() {
    let variations = VariationOptions {
        zero_last_norm: Some(true),
        ..VariationOptions::default()
    };
    for (name, end, blocks) in [
        ("resnet20", ".bn2.weight", 9),
        ("resnet50", ".bn3.weight", 16),
        ("resnet50d", ".bn3.weight", 16),
        ("seresnet18", ".bn2.weight", 8),
        ("resnet50_cbam", ".bn3.weight", 16),
        ("skresnet18", ".conv2.bn.weight", 8),
        ("botnet26t_256", ".conv3_1x1.bn.weight", 8),
    ] {
        let state = varied(name, variations).state().into_iter();
        let zeros = state.filter(|entry| {
            entry.role == StateRole::NormScale && entry.initial == Initial::Constant(0.0)
        });
        let zeros: Vec<String> = zeros.map(|entry| entry.name).collect();
        assert_eq!(zeros.len(), blocks, "{name}");
        assert!(zeros.iter().all(|zero| zero.ends_with(end)), "{zeros:?}");
    }
}

#[test]
fn all_shortcuts_fit_all_residual_networks() {
    for name in residual() {
        let with = |shortcut| {
            let shortcut = Some(shortcut);
            let variations = VariationOptions {
                shortcut,
                ..VariationOptions::default()
            };
            varied(name, variations)
        };
        let projections = |graph: &Graph| {
            let nodes = graph.nodes().iter();
            let beside = |name: &str| {
                ["downsample.", "shortcut."]
                    .iter()
                    .any(|part| name.contains(part))
            };
            let convolutions = nodes.filter(|node| {
                beside(&node.name) && matches!(node.operation, Operation::Convolution(_))
            });
            convolutions.count()
        };
        let padded = |o: &Operation| matches!(o, Operation::ZeroPadShortcut(_));
        let (plain, identities) = (with(Shortcut::None), with(Shortcut::ZeroPad));
        let (some, all) = (with(Shortcut::Projection), with(Shortcut::AllProjections));
        let added = count(&all, |o| *o == Operation::Add) - count(&plain, |o| *o == Operation::Add);
        assert_eq!(
            (projections(&plain), count(&plain, padded)),
            (0, 0),
            "{name}"
        );
        assert_eq!(projections(&identities), 0, "{name}");
        assert_eq!(count(&identities, padded), projections(&some), "{name}");
        assert!((2..=4).contains(&projections(&some)), "{name}");
        assert_eq!(projections(&all), added, "{name}");
    }
}

#[test]
fn shortcuts_of_all_kinds_have_the_published_costs() {
    let parameters = |shortcut| {
        let variations = VariationOptions {
            shortcut: Some(shortcut),
            ..VariationOptions::default()
        };
        varied("resnet20", variations).trainable_parameters()
    };
    // He et al. 2015, Table 6: 0.27 M; the projections have (16·32 + 32·64) weights and two norms.
    assert_eq!(parameters(Shortcut::ZeroPad), 269_722);
    assert_eq!(parameters(Shortcut::None), 269_722);
    let option_b = 16 * 32 + 32 * 64 + 2 * (32 + 64);
    assert_eq!(parameters(Shortcut::Projection), 269_722 + option_b);
    let squares = 3 * 16 * 16 + 2 * 32 * 32 + 2 * 64 * 64;
    let norms = 2 * (3 * 16 + 2 * 32 + 2 * 64);
    let option_c = option_b + squares + norms;
    assert_eq!(parameters(Shortcut::AllProjections), 269_722 + option_c);
}

#[test]
fn what_a_family_lacks_is_refused() {
    let none = VariationOptions::default();
    let depth = VariationOptions {
        stochastic_depth: Some(0.1),
        ..none
    };
    let zero = VariationOptions {
        zero_last_norm: Some(true),
        ..none
    };
    let norm = VariationOptions {
        norm: Some(Norm::Batch),
        ..none
    };
    let plain = VariationOptions {
        shortcut: Some(Shortcut::None),
        ..depth
    };
    let dropout = |rate| VariationOptions {
        dropout: Some(rate),
        ..none
    };
    for (name, variations, message) in [
        (
            "vgg16",
            depth,
            "vgg16 takes no stochastic-depth, only activation and dropout",
        ),
        (
            "vgg16",
            norm,
            "vgg16 takes no norm, only activation and dropout",
        ),
        (
            "vgg16_bn",
            zero,
            "vgg16_bn takes no zero-last-norm, only norm, activation and dropout",
        ),
        (
            "alexnet",
            norm,
            "alexnet takes no norm, only activation and dropout",
        ),
        (
            "densenet121",
            plain,
            "densenet121 takes no shortcut, only norm, activation and dropout",
        ),
        (
            "wrn28_10",
            zero,
            "wrn28_10 takes no zero-last-norm, only shortcut, norm, activation, dropout and \
             stochastic-depth",
        ),
        (
            "resnet20",
            plain,
            "resnet20 takes no stochastic-depth, only shortcut, norm, activation and dropout",
        ),
        (
            "plain20",
            zero,
            "plain20 takes no zero-last-norm, only shortcut, norm, activation and dropout",
        ),
        (
            "wrn28_10",
            dropout(1.0),
            "wrn28_10 takes no dropout of 1; it must be at least 0 and less than 1",
        ),
        (
            "alexnet",
            dropout(-0.5),
            "alexnet takes no dropout of -0.5; it must be at least 0 and less than 1",
        ),
        (
            "resnet20",
            dropout(f32::NAN),
            "resnet20 takes no dropout of NaN; it must be at least 0 and less than 1",
        ),
    ] {
        let refused = try_varied(name, variations).unwrap_err();
        assert!(matches!(refused, CatalogError::Variation { .. }));
        assert_eq!(refused.to_string(), message);
    }
}

#[test]
fn options_are_written_with_short_names() {
    let text = r#"{"shortcut":"all-projections","norm":{"group":{"groups":8}},"activation":"leaky-relu","stochastic-depth":0.25,"zero-last-norm":true}"#;
    let options: VariationOptions = serde_json::from_str(text).unwrap();
    let expected = VariationOptions {
        shortcut: Some(Shortcut::AllProjections),
        norm: Some(Norm::Group { groups: 8 }),
        activation: Some(Activation::LeakyRelu),
        dropout: None,
        stochastic_depth: Some(0.25),
        zero_last_norm: Some(true),
    };
    assert_eq!(options, expected);
    assert_eq!(serde_json::to_string(&options).unwrap(), text);
    let nothing = VariationOptions::default();
    assert_eq!(serde_json::to_string(&nothing).unwrap(), "{}");
    assert!(serde_json::from_str::<VariationOptions>(r#"{"drop-out":0.5}"#).is_err());
}

#[test]
fn images_may_have_one_channel_or_four() {
    for entry in catalog::entries() {
        let [height, width] = entry.input.spatial();
        for channels in [1, 4] {
            let options = BuildOptions {
                input: Some(Shape::map(height, width, channels)),
                ..BuildOptions::default()
            };
            let graph = entry.build(&options).unwrap();
            let first = &graph.state()[0];
            assert_eq!(first.shape[1], channels, "{}", entry.name);
            let rest = |graph: &Graph| -> Vec<_> {
                let state = graph.state().into_iter().skip(1);
                state.map(|entry| (entry.name, entry.shape)).collect()
            };
            let published = entry.build(&BuildOptions::default()).unwrap();
            assert_eq!(rest(&graph), rest(&published), "{}", entry.name);
        }
    }
}

#[test]
fn graphs_for_other_sizes_are_told_from_other_graphs() {
    let sized = |name: &str, size: usize, variations: VariationOptions| {
        let options = BuildOptions {
            input: Some(Shape::map(size, size, 3)),
            variations,
            ..BuildOptions::default()
        };
        catalog::build(name, &options).unwrap()
    };
    let plain = |name: &str, size| sized(name, size, VariationOptions::default());
    let full = plain("resnet20", 32);
    assert!(full.differs_in_size_only(&plain("resnet20", 24)));
    assert!(full.differs_in_size_only(&full));
    assert!(!full.differs_in_size_only(&plain("resnet32", 32)));
    // Its classifier reads the pixels of the last map.
    let alexnet = plain("cifar_alexnet", 32);
    assert!(!alexnet.differs_in_size_only(&plain("cifar_alexnet", 48)));
    // Without parameters of its own, yet another network.
    let other = VariationOptions {
        activation: Some(Activation::Silu),
        ..VariationOptions::default()
    };
    assert!(!full.differs_in_size_only(&sized("resnet20", 32, other)));
}
