//! The time line of a run.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Environment, RunError, schema};
use crate::precision::Precision;
use crate::task::Task;

/// One line of `events.jsonl`.
///
/// Steps count optimiser updates from 1; epochs count from 1. Accuracies are fractions: of images of
/// one class, those that are recognised; of images of any number of classes, the decisions about a
/// class (yes from a probability of a half on) that are right.
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
        /// What is asked about an image.
        #[serde(default)]
        task: Task,
        /// Class names in the order of the labels.
        #[serde(default)]
        classes: Vec<String>,
        /// Where it is trained.
        #[serde(default)]
        environment: Environment,
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
        /// Those of them in which training waited for the loader's next batch.
        #[serde(default)]
        waiting_seconds: f64,
        /// Seconds spent on validation.
        validation_seconds: f64,
        /// Training images per second.
        images_per_second: f64,
        /// Share of each class's validation images that were recognised, in the order of the labels;
        /// `None` for a class without images.
        #[serde(default)]
        class_accuracies: Vec<Option<f64>>,
        /// The mean area under the ROC curve on the validation images, by which epochs are compared
        /// where an image has any number of classes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation_roc_auc: Option<f64>,
        /// The area of each class, in the order of the labels; `None` where it is undefined.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        class_roc_aucs: Vec<Option<f64>>,
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
    /// Something that does not stop the run, and that its user should know.
    Warning {
        /// Last finished step.
        step: u64,
        /// RFC 3339 time.
        time: String,
        /// What it is.
        message: String,
    },
    /// Training stopped before its end, after a checkpoint.
    Interrupted {
        /// Last finished step.
        step: u64,
        /// RFC 3339 time.
        time: String,
    },
    /// Training cannot go on: its loss is no number any more, an image vanished, or the disk is full.
    Failed {
        /// Last finished step.
        step: u64,
        /// RFC 3339 time.
        time: String,
        /// What happened.
        reason: String,
    },
    /// Training ended.
    End {
        /// Last step.
        step: u64,
        /// RFC 3339 time.
        time: String,
        /// Validation accuracy of the best epoch.
        best_accuracy: f64,
        /// Its mean area under the ROC curve, where an image has any number of classes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        best_roc_auc: Option<f64>,
        /// Seconds spent training and validating, over all processes of the run.
        seconds: f64,
    },
}

impl Event {
    /// Reads one whole line of `events.jsonl`; a blank line is none. Errors name `path` and `line`,
    /// which counts from 1.
    ///
    /// # Errors
    /// [`RunError::Newer`] for the first line of a newer version's file, and
    /// [`RunError::Malformed`] for anything that is not an event.
    pub fn from_line(text: &[u8], path: &Path, line: usize) -> Result<Option<Self>, RunError> {
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        let parsed = serde_json::from_slice(text);
        if matches!(parsed, Ok(Self::Start { .. }) | Err(_)) {
            schema::refuse_newer(text, schema::EVENTS, path)?;
        }
        parsed.map(Some).map_err(|failure| RunError::Malformed {
            path: path.to_owned(),
            line,
            message: failure.to_string(),
        })
    }
}

/// The checkpoint from which a run goes on. What an interrupted process recorded after it is done
/// again, and does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePoint {
    /// Step of the checkpoint.
    pub step: u64,
    /// Epochs that the checkpoint has finished.
    pub finished_epochs: u64,
}

impl ResumePoint {
    /// Whether this step was done before the checkpoint.
    pub fn keeps_step(self, step: u64) -> bool {
        step <= self.step
    }

    /// Whether this epoch was finished, and validated, before the checkpoint.
    pub fn keeps_epoch(self, epoch: u64) -> bool {
        epoch <= self.finished_epochs
    }

    /// Whether the event still counts.
    pub fn keeps(self, event: &Event) -> bool {
        match event {
            Event::Start { .. } | Event::Quarantine { .. } => true,
            Event::Step { step, .. }
            | Event::Checkpoint { step, .. }
            | Event::Warning { step, .. } => self.keeps_step(*step),
            Event::Epoch { epoch, .. } => self.keeps_epoch(*epoch),
            Event::Resume { .. }
            | Event::Interrupted { .. }
            | Event::Failed { .. }
            | Event::End { .. } => false,
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
    pub(super) fn open(path: PathBuf) -> Result<Self, RunError> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(RunError::io(&path))?;
        match lock(&file) {
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

/// Times that the lock is tried, and the pause in between: [`is_locked`] holds it for a moment.
const LOCK_TRIES: u32 = 3;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            result => return result,
        }
    }
    file.try_lock()
}

/// Whether a process, be it this one, has an [`EventLog`] on the file. There is no way to ask but
/// to take the lock, which is given back at once.
pub(super) fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| {
        let locked = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        // Closing the file gives the lock back; a failure to do it earlier changes nothing.
        let _ = file.unlock();
        locked
    })
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
