//! Figures taken while a network trains, kept beside its run.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use residua::train::probe::LayerFigure;
use residua::train::{Network, Observer, Probe};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Moment {
    /// Updates so far.
    pub(super) step: u64,
    /// Norm of the gradient of each weight, in the order of the layers.
    pub(super) gradients: Vec<LayerFigure>,
    /// Standard deviation of the output of each normalisation of the main path.
    pub(super) responses: Vec<LayerFigure>,
}

/// Takes figures every so many steps.
pub(super) struct Recorder {
    probe: Probe,
    every: u64,
    path: PathBuf,
    file: BufWriter<File>,
    has_warned: bool,
}

impl Recorder {
    /// Goes on with a file; steps that are done again are recorded again.
    pub(super) fn append(path: &Path, probe: Probe, every: u64) -> Result<Self, Failure> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        Ok(Self {
            probe,
            every,
            path: path.to_owned(),
            file: BufWriter::new(file),
            has_warned: false,
        })
    }

    fn record(&mut self, step: u64, network: &Network) -> std::io::Result<()> {
        let moment = Moment {
            step,
            gradients: self.probe.gradient_norms(network),
            responses: self.probe.responses(network),
        };
        let line = serde_json::to_string(&moment)?;
        writeln!(self.file, "{line}")?;
        self.file.flush()
    }
}

impl Observer for Recorder {
    fn network(&mut self, step: u64, network: &Network) {
        if !step.is_multiple_of(self.every) {
            return;
        }
        // An observer cannot stop a training; what is missing is noticed when the file is read.
        if let Err(error) = self.record(step, network)
            && !std::mem::replace(&mut self.has_warned, true)
        {
            eprintln!("warning: {}: {error}", self.path.display());
        }
    }
}

/// The figures of a finished run, in the order of the steps.
pub(super) fn read(path: &Path) -> Result<Vec<Moment>, Failure> {
    let place = |message: String| Failure::bad_input(format!("{}: {message}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| {
        place(format!(
            "{error}; the run was not trained by this command: remove its folder to train it again"
        ))
    })?;
    let mut moments = BTreeMap::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        match serde_json::from_str::<Moment>(line) {
            Ok(moment) => {
                moments.insert(moment.step, moment);
            }
            // What a killed process leaves; the step was done again.
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => return Err(place(format!("line {number}: {error}"))),
        }
    }
    Ok(moments.into_values().collect())
}
