//! Pictures that a command is given: found, read, and what becomes of those that nothing can be said
//! about.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use residua::core::seed::SeedStream;
use residua::data::{Transform, decode_file, list_images};
use serde::Serialize;

use crate::failure::{Failure, Status};
use crate::output::grouped;

/// The pictures that a command passed over. Each is told when it happens; the others are done.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Skipped(Vec<SkippedPicture>);

#[derive(Serialize)]
struct SkippedPicture {
    path: PathBuf,
    reason: String,
}

impl Skipped {
    /// `reason` names the picture.
    pub(crate) fn add(&mut self, bar: &ProgressBar, path: &Path, reason: impl Display) {
        let reason = reason.to_string();
        bar.suspend(|| eprintln!("warning: {reason}"));
        self.0.push(SkippedPicture {
            path: path.to_owned(),
            reason,
        });
    }

    /// How the command ends that did `done` pictures.
    pub(crate) fn ending(&self, done: usize) -> Result<(), Failure> {
        let skipped = self.0.len();
        let message = match (skipped, done) {
            (0, _) => return Ok(()),
            (_, 0) => "nothing was done: see the warnings above".to_owned(),
            _ => format!(
                "{} of {} images were skipped: see the warnings above",
                grouped(skipped as u64),
                grouped((skipped + done) as u64)
            ),
        };
        Err(Failure::new(Status::BadInput, message))
    }
}

/// The image files among files and folders, and the paths that cannot be looked into; an error if there
/// is neither.
pub(crate) fn find(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Skipped), Failure> {
    let mut files = Vec::new();
    let mut skipped = Skipped::default();
    for path in paths {
        match list_images(path) {
            Ok(found) => files.extend(found),
            Err(error) => skipped.add(&ProgressBar::hidden(), path, error),
        }
    }
    if files.is_empty() && skipped.0.is_empty() {
        return Err(Failure::bad_input(
            "no images found; expected JPEG, PNG, WebP, BMP or GIF files",
        ));
    }
    Ok((files, skipped))
}

/// A picture as a network takes it, or why it cannot be read.
pub(crate) fn prepare(path: &Path, transform: &Transform) -> Result<Vec<f32>, String> {
    let pixels = decode_file(path).map_err(|error| error.to_string())?;
    transform
        .apply(&pixels, SeedStream::new(0))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Pictures that a network takes at once.
#[derive(Default)]
pub(crate) struct PictureBatch<'a> {
    pub(crate) paths: Vec<&'a Path>,
    /// `[N, H, W, C]`
    pub(crate) images: Vec<f32>,
}

impl<'a> PictureBatch<'a> {
    /// Those of `files` that can be read.
    pub(crate) fn read(
        files: &'a [PathBuf],
        transform: &Transform,
        bar: &ProgressBar,
        skipped: &mut Skipped,
    ) -> Self {
        let mut batch = Self::default();
        for path in files {
            match prepare(path, transform) {
                Ok(image) => {
                    batch.images.extend(image);
                    batch.paths.push(path);
                }
                Err(reason) => skipped.add(bar, path, reason),
            }
        }
        bar.inc(files.len() as u64);
        batch
    }
}
