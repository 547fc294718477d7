//! Following `events.jsonl` while it grows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use residua_core::run::{Event, RunError, RunFolder};

/// Reads the events of a run as they are appended, each once.
///
/// Only whole lines are read: a half-written last line waits for its rest, and is read anew then,
/// because a process that continues the run cuts it off and writes something else.
#[derive(Debug)]
pub struct EventTail {
    path: PathBuf,
    /// Bytes of whole lines read so far.
    position: u64,
    /// Their number.
    lines: usize,
}

/// What was appended since the last look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct News {
    /// The file is another than before, since lines that had been read are gone. What was made of
    /// earlier events does not count any more; `events` begin with the first line.
    pub restarted: bool,
    /// The new events in their order, as they were written: a [`Event::Resume`] takes back what
    /// went before it.
    pub events: Vec<Event>,
}

impl EventTail {
    /// Follows the events of `run` from the first. They need not exist yet.
    pub fn new(run: &RunFolder) -> Self {
        Self {
            path: run.events_path(),
            position: 0,
            lines: 0,
        }
    }

    /// The file that is followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was appended since the last call: nothing when there is no file (yet).
    ///
    /// # Errors
    /// As [`RunFolder::events`]. What stands before a malformed line is returned first; the next
    /// call, and each after it, fails.
    pub fn poll(&mut self) -> Result<News, RunError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(News {
                    restarted: self.restart_if(self.position > 0),
                    events: Vec::new(),
                });
            }
            Err(error) => return Err(self.failure(error)),
        };
        let length = file.metadata().map_err(|error| self.failure(error))?.len();
        let mut news = News {
            restarted: self.restart_if(length < self.position),
            events: Vec::new(),
        };
        file.seek(SeekFrom::Start(self.position))
            .map_err(|error| self.failure(error))?;
        match self.read_lines(BufReader::new(file), &mut news.events) {
            Err(error) if news.events.is_empty() && !news.restarted => Err(error),
            _ => Ok(news),
        }
    }

    fn read_lines(
        &mut self,
        mut reader: impl BufRead,
        events: &mut Vec<Event>,
    ) -> Result<(), RunError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let bytes = reader
                .read_until(b'\n', &mut line)
                .map_err(|error| self.failure(error))?;
            if !line.ends_with(b"\n") {
                return Ok(());
            }
            events.extend(Event::from_line(&line, &self.path, self.lines + 1)?);
            self.position += bytes as u64;
            self.lines += 1;
        }
    }

    fn restart_if(&mut self, other_file: bool) -> bool {
        if other_file {
            self.position = 0;
            self.lines = 0;
        }
        other_file
    }

    fn failure(&self, source: io::Error) -> RunError {
        RunError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fixture;

    const FIRST: &str = "{\"event\":\"checkpoint\",\"step\":1,\"name\":\"last\"}\n";
    const SECOND: &str = "{\"event\":\"checkpoint\",\"step\":2,\"name\":\"last\"}\n";

    fn steps(news: &News) -> Vec<u64> {
        let step = |event: &Event| match event {
            Event::Checkpoint { step, .. } => *step,
            _ => 0,
        };
        news.events.iter().map(step).collect()
    }

    #[test]
    fn a_file_that_is_not_there_yet_has_no_news() {
        let (_folder, run) = fixture::empty_run();
        let mut tail = EventTail::new(&run);
        assert_eq!(tail.poll().unwrap(), News::default());
        fs::write(run.events_path(), FIRST).unwrap();
        assert_eq!(steps(&tail.poll().unwrap()), [1]);
        assert_eq!(tail.poll().unwrap(), News::default());
    }

    #[test]
    fn half_a_line_waits_for_its_rest_or_for_another_line() {
        let (_folder, run) = fixture::empty_run();
        let mut tail = EventTail::new(&run);
        fs::write(run.events_path(), format!("{FIRST}{}", &SECOND[..20])).unwrap();
        assert_eq!(steps(&tail.poll().unwrap()), [1]);
        fs::write(run.events_path(), FIRST).unwrap();
        assert_eq!(tail.poll().unwrap(), News::default());
        fs::write(run.events_path(), format!("{FIRST}{SECOND}")).unwrap();
        assert_eq!(steps(&tail.poll().unwrap()), [2]);
    }

    #[test]
    fn another_file_is_read_from_its_beginning() {
        let (_folder, run) = fixture::empty_run();
        let mut tail = EventTail::new(&run);
        fs::write(run.events_path(), format!("{FIRST}{SECOND}")).unwrap();
        assert_eq!(steps(&tail.poll().unwrap()), [1, 2]);
        fs::write(run.events_path(), SECOND).unwrap();
        let news = tail.poll().unwrap();
        assert!(news.restarted);
        assert_eq!(steps(&news), [2]);
        fs::remove_file(run.events_path()).unwrap();
        assert!(tail.poll().unwrap().restarted);
        assert!(!tail.poll().unwrap().restarted);
    }

    #[test]
    fn a_malformed_line_is_named_after_what_stands_before_it() {
        let (_folder, run) = fixture::empty_run();
        let mut tail = EventTail::new(&run);
        fs::write(run.events_path(), format!("{FIRST}\nnonsense\n{SECOND}")).unwrap();
        assert_eq!(steps(&tail.poll().unwrap()), [1]);
        for _ in 0..2 {
            let message = tail.poll().unwrap_err().to_string();
            assert!(message.contains("events.jsonl, line 3: "), "{message}");
        }
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let (_folder, run) = fixture::empty_run();
        let line = "{\"event\":\"start\",\"schema\":\"residua.events/2\"}\n";
        fs::write(run.events_path(), line).unwrap();
        let error = EventTail::new(&run).poll().unwrap_err();
        assert!(matches!(error, RunError::Newer { .. }), "{error}");
    }
}
