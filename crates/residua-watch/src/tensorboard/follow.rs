//! Event files that grow with the run.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use residua_core::run::RunFolder;

use super::TensorBoardWriter;
use crate::error::WatchError;
use crate::tail::EventTail;

/// TensorBoard itself looks for news every few seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// A thread that writes an event file as the run goes on, for `residua train --tensorboard`.
///
/// It reads the run folder as any other process would; training does not wait for it.
#[derive(Debug)]
pub struct TensorBoardFollower {
    stop: Sender<()>,
    thread: JoinHandle<Result<PathBuf, WatchError>>,
}

impl TensorBoardFollower {
    /// Begins an event file in `target` with what `run` has recorded so far, and goes on.
    ///
    /// # Errors
    /// When the file cannot be created. What goes wrong later is said by [`Self::stop`].
    pub fn spawn(run: &RunFolder, target: &Path) -> Result<Self, WatchError> {
        let writer = TensorBoardWriter::create(target)?;
        let tail = EventTail::new(run);
        let target = target.to_owned();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("tensorboard".to_owned())
            .spawn(move || follow(tail, writer, &target, &stopped))
            .map_err(WatchError::io(run.root()))?;
        Ok(Self { stop, thread })
    }

    /// Writes what is left and ends; gives the file.
    ///
    /// # Errors
    /// The first that happened on the thread, after which it wrote nothing.
    pub fn stop(self) -> Result<PathBuf, WatchError> {
        // A thread that ended early does not listen any more.
        let _ = self.stop.send(());
        let what = "the thread that writes for TensorBoard";
        let ended = self.thread.join();
        ended.unwrap_or(Err(WatchError::Panicked { what }))
    }
}

fn follow(
    mut tail: EventTail,
    mut writer: TensorBoardWriter,
    target: &Path,
    stopped: &Receiver<()>,
) -> Result<PathBuf, WatchError> {
    loop {
        // Asked before reading, so that nothing recorded before the call of `stop` is missed.
        let is_last = match stopped.recv_timeout(PAUSE) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        };
        let news = tail.poll()?;
        if news.restarted {
            writer = TensorBoardWriter::create(target)?;
        }
        for event in &news.events {
            writer.write_event(event)?;
        }
        writer.flush()?;
        if is_last {
            return Ok(writer.path);
        }
    }
}
