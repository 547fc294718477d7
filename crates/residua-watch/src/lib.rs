//! Watching runs: on the terminal, in TensorBoard, in a list.
//!
//! A run appends to `events.jsonl` in its folder while it goes on
//! ([`residua_core::run`]). Everything here is a reader of that file and of nothing else, so it
//! makes no difference whether this process trains the run, another one does, or the run ended
//! long ago; and training neither waits for a reader nor fails with it.
//!
//! ```
//! use residua_core::run::RunFolder;
//! use residua_watch::tail::EventTail;
//! use residua_watch::timeline::Timeline;
//!
//! fn say_how_it_goes(folder: &str) -> Result<(), Box<dyn std::error::Error>> {
//!     let run = RunFolder::open(folder)?;
//!     let mut tail = EventTail::new(&run);
//!     let mut timeline = Timeline::default();
//!     for event in tail.poll()?.events {
//!         timeline.apply(&event); // call `poll` again for what was appended since
//!     }
//!     println!("{}: epoch {}", timeline.status(run.is_being_written()), timeline.current_epoch());
//!     Ok(())
//! }
//! ```
//!
//! [`tail`] follows the file and [`timeline`] makes the state of the run of it; the others show that:
//!
//! - [`dashboard`] draws it on the terminal: [`dashboard::watch`] for the run of another process,
//!   [`dashboard::Dashboard`] for that of this one;
//! - [`tensorboard`] writes event files: [`tensorboard::convert`] at once,
//!   [`tensorboard::TensorBoardFollower`] as the run goes on;
//! - [`listing`] tells of every run in a folder.

pub mod dashboard;
mod error;
#[cfg(test)]
mod fixture;
mod format;
pub mod listing;
pub mod tail;
pub mod tensorboard;
pub mod timeline;

pub use error::WatchError;
