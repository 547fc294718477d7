//! A run's curves as event files of TensorBoard.
//!
//! `tensorboard --logdir FOLDER` shows them under *Scalars*, against steps:
//!
//! | tag | from | value |
//! | --- | --- | --- |
//! | `loss/train`, `accuracy/train` | steps and epochs | mean since the epoch began, as the events have it |
//! | `learning_rate` | steps and epochs | of the step |
//! | `images_per_second` | steps and epochs | mean since the epoch began |
//! | `loss/validation`, `accuracy/validation` | epochs | of the validation split |
//! | `class_accuracy/<name>` | epochs | share of the class's images that were recognised |
//! | `roc_auc/validation`, `class_roc_auc/<name>` | epochs | area under the ROC curve, where images show any number of classes |
//!
//! Accuracies are fractions. Values are written as `simple_value`, which every version of TensorBoard
//! and every reader of its files knows; 32 bits hold them.
//!
//! **Times.** Wall times are those of [`Timeline::time`]: derived from what the run states, so that a
//! run that is converted years later has the times at which it was trained.
//!
//! **Resumed runs.** The events of a run are written from the first in each file, and a file begins
//! with the start of a session at step 0. So each file is whole, and TensorBoard drops what it has
//! read from an earlier file of the folder. Where the run was continued from step *s*, the start of
//! a session at step *s* + 1 follows, at which TensorBoard drops what is done again.

mod follow;
mod message;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use residua_core::run::{Event, RunFolder};

use crate::error::WatchError;
use crate::tail::EventTail;
use crate::timeline::Timeline;

pub use follow::TensorBoardFollower;

/// Writes one event file.
#[derive(Debug)]
pub struct TensorBoardWriter {
    path: PathBuf,
    file: BufWriter<File>,
    timeline: Timeline,
    has_header: bool,
}

impl TensorBoardWriter {
    /// Creates an event file with a new name in `folder`, and the folder where it is missing.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn create(folder: &Path) -> Result<Self, WatchError> {
        fs::create_dir_all(folder).map_err(WatchError::io(folder))?;
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |passed| passed.as_secs());
        let host = host_name();
        let process = process::id();
        let mut number: u64 = 0;
        loop {
            // TensorBoard reads the files of a folder in the order of their names.
            let name = format!("events.out.tfevents.{seconds}.{host}.{process}.{number}");
            let path = folder.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self {
                        path,
                        file: BufWriter::new(file),
                        timeline: Timeline::default(),
                        has_header: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(WatchError::io(&path)(error)),
            }
        }
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes in the next event of the run, beginning with the first ever recorded.
    ///
    /// # Errors
    /// Any input/output error.
    pub fn write_event(&mut self, event: &Event) -> Result<(), WatchError> {
        let step_before = self.timeline.steps().last().map(|step| step.step);
        self.timeline.apply(event);
        match event {
            Event::Start { .. } => self.begin_session(0),
            Event::Resume { step, .. } => self.begin_session(step.saturating_add(1)),
            Event::Step {
                step,
                loss,
                accuracy,
                learning_rate,
                images_per_second,
                ..
            } => self.write_scalars(
                *step,
                &[
                    ("loss/train", *loss),
                    ("accuracy/train", *accuracy),
                    ("learning_rate", *learning_rate),
                    ("images_per_second", *images_per_second),
                ],
            ),
            Event::Epoch {
                step,
                train_loss,
                train_accuracy,
                validation_loss,
                validation_accuracy,
                learning_rate,
                images_per_second,
                class_accuracies,
                validation_roc_auc,
                class_roc_aucs,
                ..
            } => {
                let mut scalars = vec![
                    ("loss/validation", *validation_loss),
                    ("accuracy/validation", *validation_accuracy),
                ];
                // A step that was recorded has the same means already.
                if step_before != Some(*step) {
                    scalars.extend([
                        ("loss/train", *train_loss),
                        ("accuracy/train", *train_accuracy),
                        ("learning_rate", *learning_rate),
                        ("images_per_second", *images_per_second),
                    ]);
                }
                scalars.extend(validation_roc_auc.map(|area| ("roc_auc/validation", area)));
                let mut classes = self.class_scalars("class_accuracy", class_accuracies);
                classes.extend(self.class_scalars("class_roc_auc", class_roc_aucs));
                scalars.extend(classes.iter().map(|(tag, value)| (&**tag, *value)));
                self.write_scalars(*step, &scalars)
            }
            Event::Quarantine { .. }
            | Event::Checkpoint { .. }
            | Event::Warning { .. }
            | Event::Interrupted { .. }
            | Event::Failed { .. }
            | Event::End { .. } => Ok(()),
        }
    }

    /// Hands what was written to the operating system, where TensorBoard finds it.
    ///
    /// # Errors
    /// Any input/output error.
    pub fn flush(&mut self) -> Result<(), WatchError> {
        self.file.flush().map_err(WatchError::io(&self.path))
    }

    fn class_scalars(&self, tag: &str, scores: &[Option<f64>]) -> Vec<(String, f64)> {
        let name = |label| match self.timeline.start() {
            Some(start) => start.class_name(label),
            None => format!("class {label}"),
        };
        let scalar = |(label, score): (usize, &Option<f64>)| {
            score.map(|value| (format!("{tag}/{}", name(label)), value))
        };
        scores.iter().enumerate().filter_map(scalar).collect()
    }

    fn begin_session(&mut self, step: u64) -> Result<(), WatchError> {
        let time = self.wall_time();
        self.write_message(&message::session_start(time, step))
    }

    fn write_scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), WatchError> {
        let time = self.wall_time();
        self.write_message(&message::scalars(time, step, scalars))
    }

    /// The first message of a file is its version.
    fn write_message(&mut self, message: &[u8]) -> Result<(), WatchError> {
        if !self.has_header {
            let version = message::file_version(self.wall_time());
            record::write(&mut self.file, &version).map_err(WatchError::io(&self.path))?;
            self.has_header = true;
        }
        record::write(&mut self.file, message).map_err(WatchError::io(&self.path))
    }

    /// Seconds since 1970; those of now where the run does not tell.
    fn wall_time(&self) -> f64 {
        let time = self.timeline.time().unwrap_or_else(Timestamp::now);
        time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9
    }
}

/// The host as it may stand in a file name.
fn host_name() -> String {
    let name = gethostname::gethostname();
    let allowed = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => letter,
        _ => '-',
    };
    let name: String = name.to_string_lossy().chars().map(allowed).collect();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

/// Writes what a run has recorded so far into a new event file in `target`; gives the file.
///
/// # Errors
/// As [`EventTail::poll`], before anything is written; and any error in writing.
pub fn convert(run: &RunFolder, target: &Path) -> Result<PathBuf, WatchError> {
    // `File::open` tells that there are no events; the tail would wait for them.
    let path = run.events_path();
    File::open(&path).map_err(WatchError::io(&path))?;
    let mut tail = EventTail::new(run);
    let mut events = Vec::new();
    loop {
        let news = tail.poll()?;
        if news.restarted {
            events.clear();
        }
        if news.events.is_empty() {
            break;
        }
        events.extend(news.events);
    }
    let mut writer = TensorBoardWriter::create(target)?;
    for event in &events {
        writer.write_event(event)?;
    }
    writer.flush()?;
    Ok(writer.path)
}

#[cfg(test)]
mod tests;
