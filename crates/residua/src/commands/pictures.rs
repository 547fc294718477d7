//! Pictures that a command is given: found, read, and what becomes of those that cannot be.

use std::path::{Path, PathBuf};

use residua::core::seed::SeedStream;
use residua::data::{Transform, decode_file, list_images};
use serde::Serialize;

use crate::failure::{Failure, Status};

/// A picture that could not be read.
#[derive(Serialize)]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

/// The image files among files and folders; an error if there are none.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(list_images(path).map_err(Failure::bad_input)?);
    }
    if files.is_empty() {
        return Err(Failure::bad_input(
            "no images found; expected JPEG, PNG, WebP, BMP or GIF files",
        ));
    }
    Ok(files)
}

/// A picture as a network takes it, or why it cannot be read.
pub(crate) fn prepare(path: &Path, transform: &Transform) -> Result<Vec<f32>, String> {
    let pixels = decode_file(path).map_err(|error| error.to_string())?;
    transform
        .apply(&pixels, SeedStream::new(0))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// How a command ends that was given `count` pictures: the others are done.
pub(crate) fn ending(unreadable: &[Unreadable], count: usize) -> Result<(), Failure> {
    match unreadable.len() {
        0 => Ok(()),
        unread => Err(Failure::new(
            Status::BadInput,
            format!("{unread} of {count} images could not be read"),
        )),
    }
}
