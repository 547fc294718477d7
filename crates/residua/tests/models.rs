//! `residua models` from the outside.

mod common;

use common::{assert_keys, failure, json, stdout};

#[test]
fn the_catalog_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!("catalog", stdout(folder.path(), &["models"]));
}

#[test]
fn a_network_is_shown_layer_by_layer() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(
        "resnet20",
        stdout(folder.path(), &["models", "show", "resnet20"])
    );
}

#[test]
fn a_pattern_selects_and_json_has_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let report = json(
        folder.path(),
        &[
            "models",
            "{resnet,plain,cifar_resnet,cifar_plain}{20,18}",
            "--json",
        ],
    );
    assert_eq!(report["schema"], "residua.models/1");
    let models = report["models"].as_array().unwrap();
    let names: Vec<_> = models.iter().map(|m| m["name"].as_str().unwrap()).collect();
    let expected = [
        "resnet18",
        "plain18",
        "cifar_resnet18",
        "cifar_plain18",
        "resnet20",
        "plain20",
    ];
    assert_eq!(names, expected);
    assert_eq!(models[0]["parameters"], 11_689_512);
    assert_eq!(models[0]["macs"], 1_814_073_344u64);
    assert_eq!(models[0]["input"], serde_json::json!([224, 224, 3]));
}

#[test]
fn a_network_is_shown_for_other_classes_and_images() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "models",
        "show",
        "resnet50",
        "--classes",
        "7",
        "--input-size",
        "64",
        "--json",
    ];
    let report = json(folder.path(), &arguments);
    assert_keys(&report, &["schema", "name", "parameters", "macs", "layers"]);
    assert_eq!(report["classes"], 7);
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.last().unwrap()["output"], serde_json::json!([7]));
    assert_eq!(layers[1]["output"], serde_json::json!([32, 32, 64]));
}

#[test]
fn a_network_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    stdout(
        folder.path(),
        &["models", "show", "resnet18", "--svg", "net.svg"],
    );
    let drawing = std::fs::read_to_string(folder.path().join("net.svg")).unwrap();
    assert!(
        drawing.starts_with("<svg") || drawing.starts_with("<?xml"),
        "{drawing:.80}"
    );
    assert!(drawing.contains("resnet18"));
}

#[test]
fn wrong_names_and_patterns_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let message = failure(folder.path(), &["models", "show", "resnet81"], 3);
    assert!(
        message.contains("there is no model named 'resnet81'; did you mean"),
        "{message}"
    );
    let message = failure(folder.path(), &["models", "lenet*"], 3);
    assert!(message.contains("no model matches 'lenet*'"), "{message}");
    let message = failure(
        folder.path(),
        &["models", "show", "resnet18", "--svg", "no/where.svg"],
        1,
    );
    assert!(message.contains("no/where.svg"), "{message}");
    failure(folder.path(), &["models", "--jsn"], 2);
}

#[test]
fn the_page_about_the_catalog_is_current() {
    let folder = tempfile::tempdir().unwrap();
    let page = stdout(folder.path(), &["models", "--markdown"]);
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/models.md");
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(
        page == kept,
        "write it again: cargo run --release -- models --markdown > docs/models.md"
    );
}
