//! Pictures that explain.

mod common;

use std::fs;

use common::{assert_keys, failure, json, pictures, stdout, tiny_training};

#[test]
fn pictures_and_maps_are_written_for_every_method() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    for method in [
        "gradcam",
        "gradcam++",
        "layercam",
        "eigencam",
        "occlusion",
        "saliency",
    ] {
        let report = json(
            folder.path(),
            &[
                "explain",
                "--run",
                "run",
                "pictures/val",
                "--method",
                method,
                "--json",
                "--out",
                "maps",
                "--sanity",
            ],
        );
        assert_eq!(report["schema"], "residua.explain/1");
        assert_eq!(report["method"], method);
        let taps = !["occlusion", "saliency"].contains(&method);
        assert_eq!(report["layer"].is_string(), taps, "{method}");
        let explanations = report["explanations"].as_array().unwrap();
        assert!(explanations.len() > 2);
        for explanation in explanations {
            assert_keys(
                explanation,
                &["path", "class", "probability", "overlay", "map"],
            );
            let read = |key: &str| {
                fs::read(folder.path().join(explanation[key].as_str().unwrap())).unwrap()
            };
            let overlay = image::load_from_memory(&read("overlay")).unwrap();
            assert!(overlay.width() >= 256 && overlay.height() >= 256);
            assert!(read("map").starts_with(b"\x93NUMPY"));
        }
    }
}

#[test]
fn what_cannot_be_explained_is_said() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    let explain = |extra: &[&str], status| {
        let mut arguments = vec!["explain", "--run", "run", "pictures/val"];
        arguments.extend(extra);
        failure(folder.path(), &arguments, status)
    };
    let message = explain(&["--class", "nothing"], 3);
    assert!(message.contains("there is no class 'nothing'"), "{message}");
    let message = explain(&["--layer", "layer33"], 3);
    assert!(message.contains("has no layer 'layer33'"), "{message}");
    assert!(message.contains("did you mean"), "{message}");
    let message = explain(&["--layer", "linear"], 3);
    assert!(message.contains("gives a vector"), "{message}");
    let message = explain(&["--layer", "layer3", "--method", "saliency"], 2);
    assert!(message.contains("--layer goes with"), "{message}");
    fs::write(folder.path().join("pictures/val/broken.png"), b"no picture").unwrap();
    let message = explain(&["--out", "maps"], 3);
    assert!(message.contains("1 of"), "{message}");
    // The others are done all the same.
    assert!(fs::read_dir(folder.path().join("maps")).unwrap().count() > 2);
}
