//! The runs in a folder, and where each stands.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use residua_core::run::{RunError, RunFolder};
use residua_core::task::Measure;

use crate::error::WatchError;
use crate::tail::EventTail;
use crate::timeline::{RunStatus, Timeline};

/// One run of a list. What is not known is none.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEntry {
    /// The run folder.
    pub path: PathBuf,
    /// The folder's name; `outer/inner` for a run in a folder of runs.
    pub name: String,
    /// Catalog name of the network.
    pub model: Option<String>,
    /// Data specification.
    pub data: Option<String>,
    /// Where the run stands.
    pub status: RunStatus,
    /// Epochs that were finished.
    pub finished_epochs: u64,
    /// Epochs planned.
    pub epochs: Option<u64>,
    /// By which figure it is judged; unknown before its beginning.
    pub measure: Option<Measure>,
    /// The best validation so far, by that figure.
    pub best_score: Option<f64>,
    /// The final evaluation, in `metrics.json`, by that figure.
    pub final_score: Option<f64>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// Seconds spent training and validating, over all processes of the run.
    pub seconds: f64,
    /// What is wrong with the folder; what could be read is there all the same.
    pub problem: Option<String>,
}

/// The runs in `parent`, the earliest first, and those without a beginning last.
///
/// Runs lie directly in it or one folder deeper, as those of a comparison do. `parent` may be a
/// run itself, which is then the only one. Damaged runs are listed with what is wrong with them.
///
/// # Errors
/// [`WatchError::NoFolder`], or that the folder cannot be read.
pub fn list_runs(parent: &Path) -> Result<Vec<RunEntry>, WatchError> {
    if !parent.is_dir() {
        return Err(WatchError::NoFolder {
            path: parent.to_owned(),
        });
    }
    if is_run(parent) {
        return Ok(vec![entry(parent, name(parent))]);
    }
    let mut runs = Vec::new();
    for folder in folders(parent)? {
        if is_run(&folder) {
            runs.push(entry(&folder, name(&folder)));
            continue;
        }
        match folders(&folder) {
            Ok(inner) => runs.extend(inner.iter().filter(|folder| is_run(folder)).map(|run| {
                let name = format!("{}/{}", name(&folder), name(run));
                entry(run, name)
            })),
            Err(error) => runs.push(damaged(&folder, name(&folder), error.to_string())),
        }
    }
    runs.sort_by(|first, second| {
        let key = |run: &RunEntry| (run.started.is_none(), run.started);
        (key(first), &first.name).cmp(&(key(second), &second.name))
    });
    Ok(runs)
}

/// Whether a folder is a run, or what is left of one.
fn is_run(folder: &Path) -> bool {
    ["config.toml", "events.jsonl", "metrics.json"]
        .iter()
        .any(|file| folder.join(file).is_file())
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>, WatchError> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(parent).map_err(WatchError::io(parent))? {
        let path = entry.map_err(WatchError::io(parent))?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

fn name(folder: &Path) -> String {
    match folder.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => folder.display().to_string(),
    }
}

fn damaged(folder: &Path, name: String, problem: String) -> RunEntry {
    RunEntry {
        path: folder.to_owned(),
        name,
        model: None,
        data: None,
        status: RunStatus::Stopped,
        finished_epochs: 0,
        epochs: None,
        measure: None,
        best_score: None,
        final_score: None,
        started: None,
        seconds: 0.0,
        problem: Some(problem),
    }
}

fn entry(folder: &Path, name: String) -> RunEntry {
    let run = match RunFolder::open(folder) {
        Ok(run) => run,
        Err(error) => return damaged(folder, name, error.to_string()),
    };
    let (timeline, events_problem) = timeline(&run);
    let (final_score, metrics_problem) = final_score(&run);
    let start = timeline.start();
    RunEntry {
        path: folder.to_owned(),
        name,
        model: start.map(|start| start.model.clone()),
        data: start.map(|start| start.data.clone()),
        status: status(&run, &timeline),
        finished_epochs: timeline.finished_epochs(),
        epochs: start.map(|start| start.epochs),
        measure: start.map(|start| start.task.measure()),
        best_score: timeline.best_score(),
        final_score,
        started: start.and_then(|start| start.time),
        seconds: timeline.elapsed_seconds(),
        problem: events_problem.or(metrics_problem),
    }
}

/// A run without a beginning whose log nobody holds will not begin any more.
fn status(run: &RunFolder, timeline: &Timeline) -> RunStatus {
    match timeline.status(true) {
        over if over.is_over() => over,
        _ if !run.is_being_written() => RunStatus::Stopped,
        status => status,
    }
}

fn timeline(run: &RunFolder) -> (Timeline, Option<String>) {
    let mut tail = EventTail::new(run);
    let mut timeline = Timeline::default();
    loop {
        match tail.poll() {
            Ok(news) => {
                if news.restarted {
                    timeline = Timeline::default();
                }
                if news.events.is_empty() {
                    return (timeline, None);
                }
                news.events.iter().for_each(|event| timeline.apply(event));
            }
            Err(error) => return (timeline, Some(error.to_string())),
        }
    }
}

/// None, and no problem, for a run that has not ended.
fn final_score(run: &RunFolder) -> (Option<f64>, Option<String>) {
    match run.read_metrics() {
        Ok(metrics) => (Some(metrics.score()), None),
        Err(RunError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            (None, None)
        }
        Err(error) => (None, Some(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_run_is_listed_whatever_state_it_is_in() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let run = fixture::create(&folder, name);
            fs::write(run.events_path(), text).unwrap();
            run
        };
        let two = fixture::text(&fixture::epochs(2));
        write("killed", two.clone() + "{\"half");
        let going_on = write("going-on", two.replace("T22:55", "T23:55"));
        let log = going_on.append_events().unwrap();
        write("study/inner", two.replace("T22:55", "T21:55"));
        let mut finished = fixture::epochs(2);
        finished.push(fixture::end());
        write("finished", fixture::text(&finished));
        write("malformed", two.clone() + "nonsense\n");
        let newer = two.replace("residua.events/1", "residua.events/2");
        write("newer", newer);
        fixture::create(&folder, "never-began");
        let no_config = write("no-config", two);
        fs::remove_file(no_config.config()).unwrap();
        fs::create_dir(folder.path().join("not-a-run")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();

        let runs = list_runs(folder.path()).unwrap();
        let summary: Vec<_> = runs
            .iter()
            .map(|run| (&*run.name, run.status, run.problem.is_some()))
            .collect();
        assert_eq!(
            summary,
            [
                ("study/inner", RunStatus::Stopped, false),
                ("finished", RunStatus::Finished, false),
                ("killed", RunStatus::Stopped, false),
                ("malformed", RunStatus::Stopped, true),
                ("going-on", RunStatus::Training, false),
                ("never-began", RunStatus::Stopped, false),
                ("newer", RunStatus::Stopped, true),
                ("no-config", RunStatus::Stopped, true),
            ]
        );
        drop(log);

        let killed = &runs[2];
        assert_eq!(killed.model.as_deref(), Some("resnet20"));
        assert_eq!(killed.data.as_deref(), Some("cifar10:/data"));
        assert_eq!((killed.finished_epochs, killed.epochs), (2, Some(10)));
        assert_eq!(killed.best_score, Some(0.4499));
        assert_eq!(killed.measure, Some(Measure::Accuracy));
        assert_eq!(killed.final_score, None);
        assert!((killed.seconds - 84.1).abs() < 1e-9);
        let malformed = &runs[3];
        assert_eq!(malformed.finished_epochs, 2);
        let problem = malformed.problem.as_deref().unwrap();
        assert!(problem.contains("events.jsonl, line "), "{problem}");
        let problem = runs[7].problem.as_deref().unwrap();
        assert!(problem.contains("config.toml is missing"), "{problem}");

        let itself = list_runs(&folder.path().join("killed")).unwrap();
        assert_eq!(itself[..], runs[2..3]);
    }

    #[test]
    fn a_final_evaluation_that_cannot_be_read_is_a_problem() {
        let (folder, run) = fixture::empty_run();
        fs::write(run.metrics(), "{}").unwrap();
        let runs = list_runs(folder.path()).unwrap();
        let problem = runs[0].problem.as_deref().unwrap();
        assert!(problem.contains("metrics.json, line 1: "), "{problem}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(list_runs(folder.path()).unwrap(), []);
        let missing = folder.path().join("runs");
        let message = list_runs(&missing).unwrap_err().to_string();
        assert!(message.contains("runs' is not a folder; `residua train`"));
    }
}
