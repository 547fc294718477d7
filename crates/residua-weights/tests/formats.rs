//! One small network in every format, written by PyTorch and its safetensors package, against the
//! values that it was made of (fixtures/formats/tiny.json).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use residua_graph::{Convolution, Graph, GraphBuilder, GraphError, Shape};
use residua_weights::{ElementType, NamedTensor, TensorFile, Values, class_count, fit};
use serde::Deserialize;

#[derive(Deserialize)]
struct Tiny {
    state_dict: Vec<(String, Vec<usize>, String)>,
    generated_values: BTreeMap<String, Vec<f64>>,
    stepped_values: BTreeMap<String, Vec<f64>>,
}

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats");
    folder.join(name)
}

fn tiny() -> Tiny {
    serde_json::from_slice(&std::fs::read(path("tiny.json")).unwrap()).unwrap()
}

/// 3×3 convolution, batch norm, rectifier, mean, linear: the network of the files.
fn graph() -> Result<Graph, GraphError> {
    let mut builder = GraphBuilder::new("tiny", Shape::map(8, 8, 3));
    let x = builder.convolution("conv", builder.input(), Convolution::square(4, 3))?;
    let x = builder.batch_norm("bn", x)?;
    let x = builder.relu("relu", x)?;
    let x = builder.global_average_pool("mean", x)?;
    let logits = builder.linear("fc", x, 5)?;
    Ok(builder.finish(logits))
}

/// Every tensor of the network must be found, with these values after `rounded`.
fn assert_reads(name: &str, values: &BTreeMap<String, Vec<f64>>, rounded: fn(f32) -> f32) {
    let file = TensorFile::read(&path(name)).unwrap();
    let fit = fit(&graph().unwrap(), &file);
    assert!(fit.report.is_complete(), "{name}: {}", fit.report);
    for (tensor, shape, _) in tiny().state_dict {
        let found = fit.tensor(&tensor).unwrap();
        assert_eq!(found.shape, shape, "{name}: {tensor}");
        let expected = &values[&tensor];
        match &found.values {
            Values::Float(found) => {
                let expected: Vec<f32> = expected.iter().map(|&x| rounded(x as f32)).collect();
                assert_eq!(found, &expected, "{name}: {tensor}");
            }
            Values::Integer(found) => {
                let expected: Vec<i64> = expected.iter().map(|&x| x as i64).collect();
                assert_eq!(found, &expected, "{name}: {tensor}");
            }
        }
    }
}

#[test]
fn all_formats_hold_the_same_values() {
    let values = tiny().generated_values;
    for name in [
        "float32.safetensors",
        "float64.pth",
        "legacy.pth",
        "strided_views_shared_storage.pth",
        "zip.pth",
    ] {
        assert_reads(name, &values, |x| x);
    }
}

#[test]
fn half_precision_is_read_as_it_was_rounded() {
    let values = tiny().generated_values;
    let half = |x| f16::from_f32(x).to_f32();
    assert_reads("float16.pth", &values, half);
    assert_reads("float16.safetensors", &values, half);
    assert_reads("bfloat16.safetensors", &values, |x| {
        bf16::from_f32(x).to_f32()
    });
    let file = TensorFile::read(&path("float16.pth")).unwrap();
    let weight = file.by_name()["conv.weight"];
    assert_eq!(weight.stored_as, ElementType::F16);
}

#[test]
fn a_checkpoint_of_parallel_training_is_unwrapped() {
    let name = "checkpoint_stepped_module_prefix.pth";
    assert_reads(name, &tiny().stepped_values, |x| x);
    let file = TensorFile::read(&path(name)).unwrap();
    let report = fit(&graph().unwrap(), &file).report;
    assert_eq!(report.prefix, "state_dict.module.");
    assert!(
        !report.outside.is_empty(),
        "the optimiser's memory lies beside it"
    );
}

#[test]
fn truncated_checkpoints_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("truncated");
    for name in ["zip.pth", "legacy.pth", "float32.safetensors"] {
        let bytes = std::fs::read(path(name)).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            std::fs::write(&target, &bytes[..length]).unwrap();
            let file = TensorFile::read(&target);
            assert!(file.is_err(), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn damaged_checkpoints_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("damaged");
    for name in ["zip.pth", "legacy.pth", "strided_views_shared_storage.pth"] {
        let bytes = std::fs::read(path(name)).unwrap();
        for position in (0..bytes.len()).step_by(3) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x55;
            std::fs::write(&target, &damaged).unwrap();
            // Some damage goes unnoticed, in a name or a value for instance.
            let _ = TensorFile::read(&target);
        }
    }
}

/// Files of `fixtures/pytorch`, each with one thing wrong.
#[test]
fn what_is_wrong_with_a_checkpoint_is_said() {
    for (name, expected) in [
        ("two_of_one_name.pth", "two tensors are named 'a.b'"),
        (
            "repeated_without_bound.pth",
            "its tensors would take 2147483648 bytes",
        ),
    ] {
        let message = TensorFile::read(&path(&format!("../pytorch/{name}"))).unwrap_err();
        assert!(message.to_string().contains(expected), "{name}: {message}");
    }
}

#[test]
fn not_a_number_is_read_and_found() {
    let file = TensorFile::read(&path("../pytorch/not_a_number.pth")).unwrap();
    let (position, value) = file.tensors[0].first_non_finite().unwrap();
    assert!(position == 1 && value.is_nan());
}

#[test]
fn bfloat16_of_a_checkpoint_is_read() {
    let file = TensorFile::read(&path("../pytorch/bfloat16.pth")).unwrap();
    let expected = [1.5, -2.0, bf16::from_f32(0.1).to_f32()];
    assert_eq!(file.tensors[0].values, Values::Float(expected.to_vec()));
    assert_eq!(file.tensors[0].stored_as, ElementType::Bf16);
}

#[test]
fn the_name_of_an_archive_does_not_matter() {
    // Some versions of the zip library take this for an archive with something before it.
    let file = TensorFile::read(&path("../pytorch/stem_of_21_letters.pth")).unwrap();
    assert_eq!(file.tensors[0].name, "a.weight");
    assert_eq!(file.tensors[0].values, Values::Float(vec![1.0; 12]));
}

#[test]
fn a_head_of_absurd_shape_gives_no_class_count() {
    let graph = graph().unwrap();
    for shape in [&[0, 4][..], &[1_000_000_000_000, 0], &[7], &[7, 5]] {
        let file = TensorFile {
            tensors: vec![NamedTensor::float("fc.weight", shape, Vec::new())],
            ..TensorFile::default()
        };
        assert_eq!(class_count(&graph, &file), 5, "{shape:?}");
    }
    let file = TensorFile {
        tensors: vec![NamedTensor::float("fc.weight", &[3, 4], vec![0.0; 12])],
        ..TensorFile::default()
    };
    assert_eq!(class_count(&graph, &file), 3);
}

/// A stored archive with these entries.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in entries {
        writer.start_file(*name, stored).unwrap();
        std::io::Write::write_all(&mut writer, content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn names_that_lead_out_of_an_archive_or_come_twice_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.pth");
    let message = |bytes: &[u8]| {
        std::fs::write(&target, bytes).unwrap();
        TensorFile::read(&target).unwrap_err().to_string()
    };
    let outside = archive(&[("archive/data.pkl", b"N."), ("../../outside", b"x")]);
    assert!(message(&outside).contains("lies outside of it"));
    // The same length, so that the names can be made equal afterwards.
    let twice = archive(&[("archive/data.pkl", b"N."), ("archive/data.pkm", b"x")]);
    let twice: Vec<u8> = {
        let text = b"archive/data.pkm";
        let mut bytes = twice;
        let places: Vec<usize> = (0..bytes.len() - text.len())
            .filter(|at| bytes[*at..].starts_with(text))
            .collect();
        for place in places {
            bytes[place + text.len() - 1] = b'l';
        }
        bytes
    };
    assert!(message(&twice).contains("the same name"));
}

#[test]
fn an_archive_that_unpacks_to_more_than_it_is_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("bomb.pth");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&target).unwrap());
    let deflated = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    archive.start_file("archive/data.pkl", deflated).unwrap();
    std::io::Write::write_all(&mut archive, &vec![b'N'; 1 << 20]).unwrap();
    archive.finish().unwrap();
    let message = TensorFile::read(&target).unwrap_err().to_string();
    assert!(message.contains("larger than the file"), "{message}");
}
