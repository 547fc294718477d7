//! The run folder: the only channel between training and everything that comes after it.
//!
//! ```text
//! runs/2026-11-24-resnet20-1/
//! ├── config.toml              every setting, resolved
//! ├── events.jsonl             one JSON object a line, appended while training goes on
//! ├── metrics.json             the final evaluation, written at the end
//! └── checkpoints/
//!     ├── last.safetensors     weights and training state: what `--resume` continues from
//!     └── best.safetensors     the weights with the best validation accuracy
//! ```
//!
//! A folder may be looked at while it grows, after its process was killed, or as a copy on
//! another machine. Only the data lie elsewhere: `config.toml` says where.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::atomic_file;
use crate::metrics::ClassificationSummary;
use crate::precision::Precision;

/// The names of the files in a run folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

/// Why a run folder could not be used.
#[derive(Debug, Error)]
pub enum RunError {
    /// The folder does not exist or lacks its configuration.
    #[error(
        "'{}' is not a run folder: {missing} is missing. \
         A run folder is what `residua train` writes, by default under 'runs/'",
        root.display()
    )]
    NotARun {
        /// The folder that was named.
        root: PathBuf,
        /// The file that every run has.
        missing: &'static str,
    },
    /// A new run was to be written over something.
    #[error(
        "'{}' already exists and is not empty; choose another --out, or continue that run \
         with `residua train --resume '{}'`",
        root.display(), root.display()
    )]
    Occupied {
        /// The folder that was named.
        root: PathBuf,
    },
    /// Another process is training this run.
    #[error(
        "'{}' is being written by another process; wait for it or stop it first",
        root.display()
    )]
    InUse {
        /// The folder of the run.
        root: PathBuf,
    },
    /// A file of the run does not have the expected form.
    #[error("{}, line {line}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl RunError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

/// Where a new run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Exactly here.
    Folder(PathBuf),
    /// Into the first of `<parent>/<stem>-1`, `-2`, … that nothing has taken.
    Numbered {
        /// The folder of runs.
        parent: PathBuf,
        /// What the names of the runs begin with.
        stem: String,
    },
}

/// Creating a folder takes its name in one step, so that runs started together get different
/// numbers.
fn create_numbered(parent: &Path, stem: &str) -> Result<PathBuf, RunError> {
    fs::create_dir_all(parent).map_err(RunError::io(parent))?;
    let mut number: u64 = 1;
    loop {
        let root = parent.join(format!("{stem}-{number}"));
        match fs::create_dir(&root) {
            Ok(()) => return Ok(root),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(RunError::io(&root)(error)),
        }
    }
}

impl RunFolder {
    /// Creates the folder of a new run.
    ///
    /// # Errors
    /// [`RunError::Occupied`] when something is there already.
    pub fn create(destination: &Destination) -> Result<Self, RunError> {
        let root = match destination {
            Destination::Folder(root) => root.clone(),
            Destination::Numbered { parent, stem } => create_numbered(parent, stem)?,
        };
        let run = Self { root };
        let occupied = fs::read_dir(&run.root).is_ok_and(|mut entries| entries.next().is_some())
            || run.root.is_file();
        if occupied {
            return Err(RunError::Occupied { root: run.root });
        }
        let checkpoints = run.root.join("checkpoints");
        fs::create_dir_all(&checkpoints).map_err(RunError::io(&checkpoints))?;
        Ok(run)
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// [`RunError::NotARun`] when it is not one.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, RunError> {
        let run = Self { root: root.into() };
        if run.config().is_file() {
            Ok(run)
        } else {
            Err(RunError::NotARun {
                root: run.root,
                missing: "config.toml",
            })
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `config.toml`, every setting of the run.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// `metrics.json`, the final evaluation ([`RunMetrics`]).
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.json")
    }

    /// `checkpoints/last.safetensors`, from which a run is resumed.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.root.join("checkpoints/last.safetensors")
    }

    /// `checkpoints/best.safetensors`, the weights to use.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.root.join("checkpoints/best.safetensors")
    }

    fn events_path(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// Opens `events.jsonl` for appending. While the log is open no other process can open it,
    /// so a run has one writer at a time.
    ///
    /// # Errors
    /// [`RunError::InUse`], or any input/output error.
    pub fn append_events(&self) -> Result<EventLog, RunError> {
        EventLog::open(self.events_path())
    }

    /// The time line of the run as it counts: when a run was continued from step *s*, what an
    /// interrupted process had recorded after *s* is left out, since it was done again.
    ///
    /// A last line without an end, which a killed process leaves, is ignored.
    ///
    /// # Errors
    /// [`RunError::Malformed`] for any other line that is not an event.
    pub fn events(&self) -> Result<Vec<Event>, RunError> {
        let path = self.events_path();
        let text = fs::read_to_string(&path).map_err(RunError::io(&path))?;
        let mut events = Vec::new();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str(line) {
                Ok(Event::Resume {
                    step,
                    finished_epochs,
                    ..
                }) => {
                    events.retain(|event: &Event| event.remains(step, finished_epochs));
                }
                Ok(event) => events.push(event),
                Err(_) if !line.ends_with('\n') => {}
                Err(failure) => {
                    return Err(RunError::Malformed {
                        path,
                        line: index + 1,
                        message: failure.to_string(),
                    });
                }
            }
        }
        Ok(events)
    }

    /// Writes `metrics.json`.
    ///
    /// # Errors
    /// Any input/output error.
    pub fn write_metrics(&self, metrics: &RunMetrics) -> Result<(), RunError> {
        let path = self.metrics();
        atomic_file::replace(&path, |writer| {
            serde_json::to_writer_pretty(&mut *writer, metrics)?;
            writer.write_all(b"\n")
        })
        .map_err(RunError::io(&path))
    }

    /// Reads `metrics.json`.
    ///
    /// # Errors
    /// When it is absent (the run has not ended) or malformed.
    pub fn read_metrics(&self) -> Result<RunMetrics, RunError> {
        let path = self.metrics();
        let text = fs::read_to_string(&path).map_err(RunError::io(&path))?;
        serde_json::from_str(&text).map_err(|failure| RunError::Malformed {
            path,
            line: failure.line(),
            message: failure.to_string(),
        })
    }
}

/// One line of `events.jsonl`.
///
/// Steps count optimiser updates from 1; epochs count from 1. Accuracies are fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Training began.
    Start {
        /// Form of this file: `residua.events/1`.
        schema: String,
        /// RFC 3339 time.
        time: String,
        /// Catalog name of the network.
        model: String,
        /// Data specification.
        data: String,
        /// Trainable parameters.
        parameters: u64,
        /// The format of feature maps in training.
        #[serde(default)]
        precision: Precision,
        /// Training images.
        train_images: u64,
        /// Validation images.
        validation_images: u64,
        /// Optimiser updates planned.
        steps: u64,
        /// Epochs planned.
        epochs: u64,
        /// The seed of the run.
        seed: u64,
    },
    /// An image that could not be decoded and is left out.
    Quarantine {
        /// Where it is.
        path: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// Progress, every few steps.
    Step {
        /// Step just finished.
        step: u64,
        /// Epoch it belongs to.
        epoch: u64,
        /// Loss averaged since the epoch began.
        loss: f64,
        /// Training accuracy averaged since the epoch began.
        accuracy: f64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Images per second since the epoch began.
        images_per_second: f64,
    },
    /// An epoch ended and was validated.
    Epoch {
        /// Last step of the epoch.
        step: u64,
        /// The epoch.
        epoch: u64,
        /// Mean training loss.
        train_loss: f64,
        /// Mean training accuracy (in training mode, on augmented images).
        train_accuracy: f64,
        /// Validation loss.
        validation_loss: f64,
        /// Validation accuracy.
        validation_accuracy: f64,
        /// Learning rate of the last step.
        learning_rate: f64,
        /// Seconds spent on training steps.
        train_seconds: f64,
        /// Seconds spent on validation.
        validation_seconds: f64,
        /// Training images per second.
        images_per_second: f64,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Step it holds.
        step: u64,
        /// `last` or `best`.
        name: String,
    },
    /// A run was continued from a checkpoint.
    Resume {
        /// Step of the checkpoint.
        step: u64,
        /// Epochs that the checkpoint has finished.
        finished_epochs: u64,
        /// RFC 3339 time.
        time: String,
    },
    /// Training stopped before its end, after a checkpoint.
    Interrupted {
        /// Last finished step.
        step: u64,
        /// RFC 3339 time.
        time: String,
    },
    /// Training ended.
    End {
        /// Last step.
        step: u64,
        /// RFC 3339 time.
        time: String,
        /// Best validation accuracy.
        best_accuracy: f64,
        /// Seconds spent training and validating, over all processes of the run.
        seconds: f64,
    },
}

impl Event {
    /// Whether the event still counts when the run goes on from this checkpoint.
    fn remains(&self, from_step: u64, finished_epochs: u64) -> bool {
        match self {
            Self::Start { .. } | Self::Quarantine { .. } => true,
            Self::Step { step, .. } | Self::Checkpoint { step, .. } => *step <= from_step,
            Self::Epoch { epoch, .. } => *epoch <= finished_epochs,
            Self::Resume { .. } | Self::Interrupted { .. } | Self::End { .. } => false,
        }
    }
}

/// `events.jsonl`, open for appending. Every event is handed to the operating system at once.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    fn open(path: PathBuf) -> Result<Self, RunError> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(RunError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let root = path.parent().unwrap_or(&path).to_owned();
                return Err(RunError::InUse { root });
            }
            // Some network file systems have no locks; the run is then as safe as its user.
            Err(TryLockError::Error(_)) => {}
        }
        end_last_line(&mut file).map_err(RunError::io(&path))?;
        Ok(Self { path, file })
    }

    /// Appends one event.
    ///
    /// # Errors
    /// Any input/output error.
    pub fn record(&mut self, event: &Event) -> Result<(), RunError> {
        let mut line = serde_json::to_string(event)
            .map_err(io::Error::from)
            .map_err(RunError::io(&self.path))?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(RunError::io(&self.path))
    }
}

/// Cuts off the half line that a killed process leaves.
fn end_last_line(file: &mut File) -> io::Result<()> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    if text.last().is_some_and(|&byte| byte != b'\n') {
        let keep = text.iter().rposition(|&byte| byte == b'\n');
        file.set_len(keep.map_or(0, |position| position as u64 + 1))?;
    }
    Ok(())
}

/// `metrics.json`: how good the run's best checkpoint is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMetrics {
    /// Form of this file: `residua.run-metrics/1`.
    pub schema: String,
    /// Catalog name of the network.
    pub model: String,
    /// Data specification.
    pub data: String,
    /// Name of the split that was evaluated.
    pub split: String,
    /// Class names in the order of the labels.
    pub classes: Vec<String>,
    /// Trainable parameters.
    pub parameters: u64,
    /// The format of feature maps in training.
    #[serde(default)]
    pub precision: Precision,
    /// Epochs trained.
    pub epochs: u64,
    /// Epoch of the best checkpoint.
    pub best_epoch: u64,
    /// Accuracy of the weights after the last epoch.
    pub last_accuracy: f64,
    /// Seconds spent training and validating, over all processes of the run.
    pub seconds: f64,
    /// Median over epochs of training images per second.
    pub train_images_per_second: f64,
    /// The evaluation of the best checkpoint.
    pub evaluation: ClassificationSummary,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(root: &Path) -> Result<RunFolder, RunError> {
        RunFolder::create(&Destination::Folder(root.to_owned()))
    }

    fn checkpoint(step: u64) -> Event {
        Event::Checkpoint {
            step,
            name: "last".into(),
        }
    }

    #[test]
    fn a_new_run_does_not_overwrite_anything() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("precious"), "").unwrap();
        let error = create(folder.path()).unwrap_err().to_string();
        assert!(error.contains("already exists and is not empty"), "{error}");
    }

    #[test]
    fn a_folder_without_configuration_is_not_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let error = RunFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is not a run folder"), "{error}");
    }

    #[test]
    fn one_writer_at_a_time_and_a_time_line_without_what_was_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let run = create(&folder.path().join("run")).unwrap();
        let mut log = run.append_events().unwrap();
        let second = run.append_events().unwrap_err().to_string();
        assert!(second.contains("written by another process"), "{second}");
        for step in [10, 20] {
            log.record(&checkpoint(step)).unwrap();
        }
        log.record(&Event::Resume {
            step: 10,
            finished_epochs: 0,
            time: String::new(),
        })
        .unwrap();
        assert_eq!(run.events().unwrap(), [checkpoint(10)]);
        log.record(&checkpoint(20)).unwrap();
        assert_eq!(run.events().unwrap(), [checkpoint(10), checkpoint(20)]);
    }

    #[test]
    fn a_half_written_line_is_ignored_and_then_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let run = create(&folder.path().join("run")).unwrap();
        run.append_events().unwrap().record(&checkpoint(1)).unwrap();
        let path = run.events_path();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(r#"{"event":"chec"#);
        fs::write(&path, text).unwrap();
        assert_eq!(run.events().unwrap(), [checkpoint(1)]);
        run.append_events().unwrap().record(&checkpoint(2)).unwrap();
        assert_eq!(run.events().unwrap(), [checkpoint(1), checkpoint(2)]);
    }

    #[test]
    fn a_malformed_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = create(&folder.path().join("run")).unwrap();
        fs::write(run.events_path(), "{}\n").unwrap();
        let error = run.events().unwrap_err().to_string();
        assert!(error.contains("events.jsonl, line 1: "), "{error}");
    }

    #[test]
    fn runs_started_together_get_different_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::Numbered {
            parent: folder.path().join("runs"),
            stem: "run".to_owned(),
        };
        let roots: Vec<PathBuf> = std::thread::scope(|scope| {
            let start = || RunFolder::create(&destination).unwrap().root;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let mut names: Vec<_> = roots.iter().map(|root| root.file_name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 8);
        assert!(folder.path().join("runs/run-8/checkpoints").is_dir());
    }
}
