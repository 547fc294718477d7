//! The run folder: the only channel between training and everything that comes after it.
//!
//! ```text
//! runs/2026-11-24-resnet20-1/
//! ├── config.toml              every setting, resolved
//! ├── events.jsonl             one JSON object a line, appended while training goes on
//! ├── metrics.json             the final evaluation, written at the end
//! ├── predictions.csv          what the network says of each evaluated image
//! ├── report.html              all of it as a page
//! └── checkpoints/
//!     ├── last.safetensors     weights and training state: what `--resume` continues from
//!     └── best.safetensors     the weights of the best validation
//! ```
//!
//! A folder may be looked at while it grows, after its process was killed, or as a copy on
//! another machine. Only the data lie elsewhere: `config.toml` says where.

mod environment;
mod events;
mod metrics;
mod schema;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::atomic_file;

pub use environment::Environment;
pub use events::{Event, EventLog, ResumePoint};
pub use metrics::{MultiLabelResults, RunMetrics, RunResults, SingleLabelResults};
pub use schema::refuse_newer_schema;

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
    /// A file of the run has a form that came later than this version.
    #[error(
        "'{}' was written by a newer version of Residua: it is '{found}', and this version reads \
         up to '{understood}'; update Residua, or read the run with the version that wrote it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The form that the file says it has.
        found: String,
        /// The latest form that this version reads.
        understood: &'static str,
    },
    /// A run folder lacks its time line.
    #[error(
        "'{}' is missing: the folder is not whole, and the run cannot be looked at",
        path.display()
    )]
    NoEvents {
        /// The file.
        path: PathBuf,
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

    /// `predictions.csv`: for each evaluated image its name, class, predicted class, the probability
    /// of the predicted class and that of the true one; where an image has any number of classes its
    /// name, classes, predicted classes and the probability of every class.
    pub fn predictions(&self) -> PathBuf {
        self.root.join("predictions.csv")
    }

    /// `report.html`, the run as a page.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// `checkpoints/last.safetensors`, from which a run is resumed.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.root.join("checkpoints/last.safetensors")
    }

    /// `checkpoints/best.safetensors`, the weights to use.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.root.join("checkpoints/best.safetensors")
    }

    /// `events.jsonl`, one [`Event`] a line ([`RunFolder::events`]).
    pub fn events_path(&self) -> PathBuf {
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
    /// [`RunError::Malformed`] for any other line that is not an event, and [`RunError::Newer`] when
    /// a newer version has written them.
    pub fn events(&self) -> Result<Vec<Event>, RunError> {
        let path = self.events_path();
        let text = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => RunError::NoEvents { path: path.clone() },
            _ => RunError::io(&path)(source),
        })?;
        let mut events = Vec::new();
        let whole_lines = text.split_inclusive(|&byte| byte == b'\n');
        for (index, line) in whole_lines.enumerate() {
            if !line.ends_with(b"\n") {
                break;
            }
            match Event::from_line(line, &path, index + 1)? {
                Some(Event::Resume {
                    step,
                    finished_epochs,
                    ..
                }) => {
                    let point = ResumePoint {
                        step,
                        finished_epochs,
                    };
                    events.retain(|event| point.keeps(event));
                }
                Some(event) => events.push(event),
                None => {}
            }
        }
        Ok(events)
    }

    /// Whether a process is training this run at the moment. A process that ended, in whatever way,
    /// is not. On a file system without locks the answer is always no.
    pub fn is_being_written(&self) -> bool {
        events::is_locked(&self.events_path())
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
    /// When it is absent (the run has not ended), malformed or of a newer version.
    pub fn read_metrics(&self) -> Result<RunMetrics, RunError> {
        let path = self.metrics();
        let text = fs::read(&path).map_err(RunError::io(&path))?;
        schema::refuse_newer(&text, schema::METRICS, &path)?;
        serde_json::from_slice(&text).map_err(|failure| RunError::Malformed {
            path,
            line: failure.line(),
            message: format!(
                "the file is damaged ({failure}); remove it, and `residua train --resume '{}'` \
                 evaluates the run again",
                self.root.display()
            ),
        })
    }
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
    fn a_killed_process_may_leave_half_a_letter() {
        let folder = tempfile::tempdir().unwrap();
        let run = create(&folder.path().join("run")).unwrap();
        let mut text = b"{\"event\":\"quarantine\",\"path\":\"caf\xc3".to_vec();
        fs::write(run.events_path(), &text).unwrap();
        assert_eq!(run.events().unwrap(), []);
        text.push(b'\n');
        fs::write(run.events_path(), &text).unwrap();
        let error = run.events().unwrap_err().to_string();
        assert!(error.contains("events.jsonl, line 1: "), "{error}");
    }

    #[test]
    fn files_of_a_newer_version_are_refused_whatever_else_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let run = create(&folder.path().join("run")).unwrap();
        let start = r#"{"event":"start","schema":"residua.events/2","networks":["resnet20"]}"#;
        fs::write(
            run.events_path(),
            format!("{start}\n{{\"event\":\"new\"}}\n"),
        )
        .unwrap();
        let error = run.events().unwrap_err();
        assert!(matches!(error, RunError::Newer { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("events.jsonl' was written by a newer version"));
        assert!(message.contains("it is 'residua.events/2'"), "{message}");
        fs::write(run.metrics(), r#"{"schema":"residua.run-metrics/7"}"#).unwrap();
        let message = run.read_metrics().unwrap_err().to_string();
        assert!(
            message.contains("up to 'residua.run-metrics/1'"),
            "{message}"
        );
        fs::write(run.metrics(), r#"{"schema":"residua.run-metrics/1"}"#).unwrap();
        let error = run.read_metrics().unwrap_err();
        assert!(
            matches!(error, RunError::Malformed { line: 1, .. }),
            "{error}"
        );
    }

    #[test]
    fn asking_for_the_writer_does_not_disturb_it() {
        let folder = tempfile::tempdir().unwrap();
        let run = create(&folder.path().join("run")).unwrap();
        assert!(!run.is_being_written());
        let log = run.append_events().unwrap();
        assert!(run.is_being_written());
        assert!(run.append_events().is_err());
        drop(log);
        assert!(!run.is_being_written());
        // Many who ask at once do not keep a writer out.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..200).for_each(|_| {
                        run.is_being_written();
                    })
                });
            }
            for _ in 0..20 {
                run.append_events().unwrap();
            }
        });
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
