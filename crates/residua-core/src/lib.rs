//! The words that every part of Residua shares.
//!
//! This crate knows nothing about networks, tensors or image files. It holds what several
//! crates must agree on: how random numbers are addressed ([`seed`]), how an image becomes
//! the input of a network ([`preprocessing`]), in which format it computes ([`precision`]) and what it
//! keeps for its reverse pass ([`checkpointing`]), what is asked about an image ([`task`]), what travels
//! with weights ([`model_record`]), what a run leaves on disk ([`run`]), how predictions are judged
//! ([`metrics`]), what is said of a wrong setting ([`setting`]), how a misspelt name is answered
//! ([`suggest`]), how numbers and markup are written ([`text`]), and how a file is replaced
//! without ever losing the old one ([`atomic_file`]).
//!
//! ```
//! use residua_core::metrics::Classification;
//!
//! let mut results = Classification::new(3);
//! results.record(&[2.0, 0.1, -1.0], 0)?; // right
//! results.record(&[0.3, 0.1, 0.2], 2)?; // wrong
//! let summary = results.summary();
//! assert_eq!(summary.accuracy, 0.5);
//! assert_eq!(summary.top5, 1.0);
//! # Ok::<(), residua_core::metrics::MetricError>(())
//! ```

pub mod atomic_file;
pub mod checkpointing;
pub mod metrics;
pub mod model_record;
pub mod precision;
pub mod preprocessing;
pub mod run;
pub mod seed;
pub mod setting;
pub mod suggest;
pub mod task;
pub mod text;
