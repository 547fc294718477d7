//! `residua bench` from the outside.

mod common;

use common::{assert_keys, failure, json, run, stdout, text};

/// A case of milliseconds.
const TINY: [&str; 10] = [
    "bench", "--model", "resnet8", "--batch", "2", "--size", "8", "--steps", "2", "--quiet",
];

fn tiny<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&TINY[..], more].concat()
}

#[test]
fn figures_are_reported_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--mode", "train,infer", "--precision", "f32,bf16", "--json"];
    let report = json(folder.path(), &tiny(&more));
    assert_eq!(report["schema"], "residua.bench/1");
    let rows = report["rows"].as_array().unwrap();
    let kinds = rows.iter().map(|row| (&row["mode"], &row["precision"]));
    let kinds: Vec<_> = kinds
        .map(|(mode, precision)| (mode.as_str().unwrap(), precision.as_str().unwrap()))
        .collect();
    let product = [
        ("train", "f32"),
        ("train", "bf16"),
        ("infer", "f32"),
        ("infer", "bf16"),
    ];
    assert_eq!(kinds, product);
    for row in rows {
        assert_eq!(row["model"], "resnet8");
        assert_eq!((&row["batch"], &row["steps"]), (&2.into(), &2.into()));
        assert_eq!(row["size"], serde_json::json!([8, 8]));
        for figure in [
            "threads",
            "images_per_second",
            "gflops",
            "milliseconds",
            "lower_quartile_milliseconds",
            "upper_quartile_milliseconds",
        ] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{figure} in {row}");
        }
        assert_keys(row, &["peak_memory_bytes"]);
        if cfg!(target_os = "linux") {
            assert!(row["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
        }
    }
}

#[test]
fn figures_are_tabulated() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = tiny(&["--model", "plain8", "--threads", "1"]);
    let table = stdout(folder.path(), &arguments);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let lines: Vec<Vec<String>> = table.lines().map(words).collect();
    let header = "model mode precision batch size threads images/s GFLOP/s ms/step quartiles";
    assert_eq!(lines[0][..10].join(" "), header);
    assert_eq!(lines[0][10..].join(" "), "peak MiB");
    for (line, model) in lines[1..].iter().zip(["resnet8", "plain8"]) {
        assert_eq!(line[..6].join(" "), format!("{model} train f32 2 8×8 1"));
        assert!(line[6].parse::<f64>().unwrap() > 0.0, "{table}");
    }
    assert_eq!(lines.len(), 3, "{table}");
}

#[test]
fn what_cannot_be_measured_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    // Before anything is measured, also where an earlier name is right.
    let message = failure(folder.path(), &["bench", "--model", "resnet8,resent20"], 3);
    assert!(message.contains("did you mean 'resnet20'"), "{message}");
    failure(folder.path(), &tiny(&["--batch-size", "0"]), 2);
    failure(folder.path(), &["bench", "--batch", "0"], 2);
    failure(folder.path(), &["bench", "--steps", "0"], 2);
    failure(folder.path(), &["bench", "--size", "0"], 2);
    let message = failure(folder.path(), &["bench", "--precision", "f16"], 2);
    assert!(message.contains("possible values: f32, bf16"), "{message}");
    let huge = ["bench", "--batch", "1000000000"];
    let message = failure(folder.path(), &huge, 3);
    assert!(message.contains("does not fit into memory"), "{message}");
    let help = text(&run(folder.path(), &["bench", "--help"]).stdout);
    assert!(help.contains("2 × multiply-accumulates"), "{help}");
}
