//! Pictures as points.

mod common;

use std::fs;

use common::{failure, json, pictures, stdout, tiny_training};

#[test]
fn points_are_written_in_both_forms_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    let embed = |more: &[&str]| {
        let mut arguments = vec!["embed", "--run", "run", "pictures/val", "--json", "-q"];
        arguments.extend(more);
        json(folder.path(), &arguments)
    };
    let report = embed(&["--out", "points.csv", "--plot", "points.svg"]);
    assert_eq!(report["images"], 36);
    assert_eq!(report["length"], 64);
    let csv = fs::read_to_string(folder.path().join("points.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 37);
    assert_eq!(lines[1].split(',').count(), 2 + 64);
    let plot = fs::read_to_string(folder.path().join("points.svg")).unwrap();
    assert!(plot.contains("columns") && plot.contains("of the variance"));
    embed(&[
        "--out",
        "points.npz",
        "--plot",
        "points.png",
        "--layer",
        "layer2",
    ]);
    let archive = fs::File::open(folder.path().join("points.npz")).unwrap();
    let mut archive = zip::ZipArchive::new(archive).unwrap();
    let array = npyz::NpyFile::new(archive.by_name("embeddings.npy").unwrap()).unwrap();
    assert_eq!(array.shape(), [36, 32]);
    let values: Vec<f32> = array.into_vec().unwrap();
    assert!(values.iter().all(|value| value.is_finite()));
    let plot = fs::read(folder.path().join("points.png")).unwrap();
    assert!(image::load_from_memory(&plot).unwrap().width() >= 1000);
}

#[test]
fn names_and_pictures_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 12);
    stdout(folder.path(), &tiny_training("run", &["--epochs", "1"]));
    let embed = |more: &[&str], status| {
        let mut arguments = vec!["embed", "--run", "run", "pictures/val", "-q"];
        arguments.extend(more);
        failure(folder.path(), &arguments, status)
    };
    assert!(embed(&["--out", "points.txt"], 2).contains(".csv or .npz"));
    assert!(embed(&["--plot", "points.gif"], 2).contains(".svg or .png"));
    assert!(embed(&["--layer", "layer33"], 3).contains("has no layer 'layer33'"));
    fs::write(folder.path().join("pictures/val/broken.png"), b"no picture").unwrap();
    assert!(embed(&[], 3).contains("1 of 37 images were skipped"));
    let csv = fs::read_to_string(folder.path().join("embeddings.csv")).unwrap();
    assert_eq!(csv.lines().count(), 37);
}
