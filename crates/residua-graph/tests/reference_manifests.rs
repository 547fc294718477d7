//! Names, shapes, parameter counts and costs against the libraries that published the networks.

use residua_graph::catalog::{self, BuildOptions};
use residua_graph::{Graph, Shape, StateRole};
use serde_json::Value;

/// Catalog name and the manifest that describes it.
const MANIFESTS: [(&str, &str); 34] = [
    ("resnet18", "torchvision_resnet18"),
    ("resnet34", "torchvision_resnet34"),
    ("resnet50", "torchvision_resnet50"),
    ("resnet101", "torchvision_resnet101"),
    ("resnet152", "torchvision_resnet152"),
    ("resnet20", "cifar_resnet20"),
    ("resnet56", "cifar_resnet56"),
    ("resnet110", "cifar_resnet110"),
    ("resnet1202", "cifar_resnet1202"),
    ("cifar_resnet18", "cifar_resnet18"),
    ("resnext50_32x4d", "torchvision_resnext50_32x4d"),
    ("resnext101_32x8d", "torchvision_resnext101_32x8d"),
    ("wide_resnet50_2", "torchvision_wide_resnet50_2"),
    ("preact_resnet164", "cifar_preact_resnet164"),
    ("resnext29_8x64d", "cifar_resnext29_8x64d"),
    ("wrn16_8", "cifar_wrn16_8"),
    ("wrn28_10", "cifar_wrn28_10"),
    ("densenet_bc100_k12", "cifar_densenet_bc100_k12"),
    ("cifar_vgg16_bn", "cifar_vgg16_bn"),
    ("alexnet", "torchvision_alexnet"),
    ("densenet121", "torchvision_densenet121"),
    ("densenet169", "torchvision_densenet169"),
    ("vgg11", "torchvision_vgg11"),
    ("vgg16", "torchvision_vgg16"),
    ("vgg16_bn", "torchvision_vgg16_bn"),
    ("vgg19_bn", "torchvision_vgg19_bn"),
    ("resnet26t", "timm_resnet26t"),
    ("resnet50d", "timm_resnet50d"),
    ("seresnet50", "timm_seresnet50"),
    ("ecaresnet26t", "timm_ecaresnet26t"),
    ("resnet50_cbam", "timm_resnet50_cbam"),
    ("skresnet18", "timm_skresnet18"),
    ("resnetv2_50", "timm_resnetv2_50"),
    ("botnet26t_256", "timm_botnet26t_256"),
];

fn manifest(file: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models");
    let text = std::fs::read_to_string(format!("{folder}/{file}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn graph(name: &str) -> Graph {
    catalog::build(name, &BuildOptions::default()).unwrap()
}

#[test]
fn the_state_has_the_names_shapes_and_order_of_the_original() {
    for (name, file) in MANIFESTS {
        let state = graph(name).state();
        let manifest = manifest(file);
        let expected = manifest["state_dict"].as_array().unwrap();
        assert_eq!(state.len(), expected.len(), "{name}");
        for (entry, expected) in state.iter().zip(expected) {
            assert_eq!(entry.name, expected[0].as_str().unwrap(), "{name}");
            assert_eq!(
                serde_json::json!(entry.shape),
                expected[1],
                "{name}: {}",
                entry.name
            );
            let integer = entry.role == StateRole::BatchCount;
            assert_eq!(
                integer,
                expected[2].as_str().unwrap().contains("int64"),
                "{name}: {}",
                entry.name
            );
        }
    }
}

#[test]
fn parameters_and_macs_agree() {
    for (name, file) in MANIFESTS {
        let manifest = manifest(file);
        let input: Vec<usize> = serde_json::from_value(manifest["macs"]["input"].clone()).unwrap();
        let options = BuildOptions {
            input: Some(Shape::map(input[2], input[3], input[1])),
            ..BuildOptions::default()
        };
        let graph = catalog::build(name, &options).unwrap();
        let parameters = manifest["trainable_parameters"].as_u64().unwrap();
        let macs = manifest["macs"]["value"].as_u64().unwrap();
        assert_eq!(
            (graph.trainable_parameters(), graph.macs()),
            (parameters, macs),
            "{name}"
        );
    }
}

#[test]
fn published_counts_of_networks_without_a_manifest() {
    // He et al. 2015, Table 6: 0.46 M and 0.66 M for 32 and 44 layers.
    assert_eq!(graph("resnet32").trainable_parameters(), 464_154);
    assert_eq!(graph("resnet44").trainable_parameters(), 658_586);
    // Shortcuts of option A have no parameters, so a plain network has as many.
    assert_eq!(
        graph("plain56").trainable_parameters(),
        graph("resnet56").trainable_parameters()
    );
}
