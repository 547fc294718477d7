//! Makes the file of builtin images from a folder with CIFAR-10:
//!
//! ```text
//! cargo run --release -p residua-data --example make_builtin -- DIR OUT [EXCLUDED]
//! ```
//!
//! `DIR` holds the official binary files, plain, xz-compressed or in their archive. `OUT`
//! is usually `crates/residua-data/assets/builtin.bin.xz`. `EXCLUDED` lists records that must
//! not be chosen (those that are not the original pixels), one a line: the name of the
//! file without ending, a space, and the record from 0; lines that start with `#` are skipped.
//!
//! From the records that remain, 200 training and 50 test images of every class are chosen with
//! a fixed seed. The same input gives the same file.

use std::collections::HashSet;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use lzma_rust2::{FilterType, XzOptions, XzWriter};
use rand::seq::SliceRandom;
use residua_core::seed::SeedStream;
use residua_data::{DataSpec, Dataset, DatasetOptions, Sample, Source, Split, SplitName};

const TRAIN_PER_CLASS: usize = 200;
const TEST_PER_CLASS: usize = 50;
const SEED: u64 = 2_015;

/// Predicting a byte from the one a row above compresses better than any other distance.
const DELTA_DISTANCE: u32 = 32;

type Excluded = HashSet<(String, usize)>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (folder, output, excluded) = match &arguments[..] {
        [folder, output] => (folder, output, Excluded::new()),
        [folder, output, excluded] => (folder, output, read_excluded(excluded)?),
        _ => return Err("usage: make_builtin DIR OUT [EXCLUDED]".into()),
    };
    let spec = DataSpec::Cifar10 {
        folder: folder.clone(),
    };
    let dataset = Dataset::open(&spec, &DatasetOptions::default())?;
    let seed = SeedStream::new(SEED).child("builtin");
    let mut records = Vec::new();
    for (name, per_class) in [
        (SplitName::Train, TRAIN_PER_CLASS),
        (SplitName::Test, TEST_PER_CLASS),
    ] {
        let split = dataset.require(name)?;
        for sample in choose(split, per_class, &excluded, seed.child(&name.to_string()))? {
            write_record(sample, &mut records)?;
        }
    }
    compress(&records, output)?;
    let bytes = fs::metadata(output)?.len();
    println!("{}: {bytes} bytes", output.display());
    Ok(())
}

fn read_excluded(path: &Path) -> Result<Excluded, Box<dyn Error>> {
    let mut excluded = Excluded::new();
    for line in fs::read_to_string(path)?.lines() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let (file, record) = line
            .split_once(' ')
            .ok_or_else(|| format!("expected \"FILE RECORD\", found \"{line}\""))?;
        excluded.insert((file.to_owned(), record.trim().parse()?));
    }
    Ok(excluded)
}

/// The first `per_class` of every class in a random order, which is also the order they get.
fn choose<'a>(
    split: &'a Split,
    per_class: usize,
    excluded: &Excluded,
    seed: SeedStream,
) -> Result<Vec<&'a Sample>, Box<dyn Error>> {
    let mut samples: Vec<&Sample> = split.samples.iter().collect();
    samples.retain(|sample| !is_excluded(sample, excluded));
    samples.shuffle(&mut seed.rng());
    let mut taken = [0; 10];
    samples.retain(|sample| {
        let taken = &mut taken[sample.label.classes()[0] as usize];
        *taken += 1;
        *taken <= per_class
    });
    if samples.len() < 10 * per_class {
        return Err(format!("a class has fewer than {per_class} images").into());
    }
    Ok(samples)
}

fn is_excluded(sample: &Sample, excluded: &Excluded) -> bool {
    match &sample.source {
        Source::File(_) => false,
        Source::Record { file, record } => {
            let name = file.path().file_name().unwrap_or_default();
            let name = name.to_string_lossy();
            let stem = name.split('.').next().unwrap_or_default();
            excluded.contains(&(stem.to_owned(), *record))
        }
    }
}

/// The official layout: the label, then the red, green and blue planes.
fn write_record(sample: &Sample, records: &mut Vec<u8>) -> Result<(), Box<dyn Error>> {
    let pixels = sample.pixels()?;
    records.push(u8::try_from(sample.label.classes()[0])?);
    for channel in 0..3 {
        records.extend(pixels.rgb().iter().skip(channel).step_by(3));
    }
    Ok(())
}

fn compress(records: &[u8], output: &Path) -> Result<(), Box<dyn Error>> {
    let mut options = XzOptions::with_preset(9);
    options.prepend_pre_filter(FilterType::Delta, DELTA_DISTANCE);
    let mut writer = XzWriter::new(File::create(output)?, options)?;
    writer.write_all(records)?;
    writer.finish()?;
    Ok(())
}
