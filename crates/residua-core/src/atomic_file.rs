//! Replacing a file so that a crash leaves either the old content or the new, never a part.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a file through a temporary neighbour: write, sync, rename, sync the folder.
///
/// `write` receives a buffered writer. The folder of `path` must exist.
///
/// # Errors
/// Any input/output error; the old file, if there was one, is then untouched and no
/// temporary file is left behind.
pub fn replace<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), E>,
) -> Result<(), E> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(".residua-")
        .suffix(".partial")
        .tempfile_in(folder)
        .map_err(|error| {
            // Not the name of the temporary file, which means nothing to anybody.
            let reason = error.kind();
            let message = format!("cannot write into '{}' ({reason})", folder.display());
            io::Error::new(reason, message)
        })?;
    let mut buffered = BufWriter::new(temporary.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    make_readable_as_usual(temporary.as_file())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|failure| failure.error)?;
    sync_folder(folder)?;
    Ok(())
}

/// Replaces a file by these bytes; see [`replace`].
///
/// # Errors
/// Any input/output error.
pub fn replace_with(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |writer| writer.write_all(bytes))
}

/// Temporary files are private to their owner; a finished result is not.
#[cfg(unix)]
fn make_readable_as_usual(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable_as_usual(_file: &File) -> io::Result<()> {
    Ok(())
}

/// The rename itself survives a power failure only once the folder is on disk.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::metadata(folder).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        replace_with(&path, b"old").unwrap();
        let failure = replace(&path, |writer| {
            writer.write_all(b"half of the new")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failure.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        replace_with(&path, b"old").unwrap();
        replace_with(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
