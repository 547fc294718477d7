//! Replacing a file so that a crash leaves either the old content or the new, never a part.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

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
    let folder = folder_of(path);
    let mut temporary = temporary_in(folder)?;
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

/// Replaces a file by these bytes without waiting for the disk: other processes see the old content
/// or the new, never a part, but a power failure may leave a file that is cut off or empty. For files
/// that carry a checksum and can be made again, of which there are too many to wait for each.
///
/// # Errors
/// Any input/output error.
pub fn replace_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = temporary_in(folder_of(path))?;
    temporary.as_file_mut().write_all(bytes)?;
    make_readable_as_usual(temporary.as_file())?;
    temporary.persist(path).map_err(|failure| failure.error)?;
    Ok(())
}

/// Whether a file of this name is what a killed process left of a replacement.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

/// How the names of temporary files begin and end.
const PREFIX: &str = ".residua-";
const SUFFIX: &str = ".partial";

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .tempfile_in(folder)
        .map_err(|error| {
            // Not the name of the temporary file, which means nothing to anybody.
            let reason = error.kind();
            let message = format!("cannot write into '{}' ({reason})", folder.display());
            io::Error::new(reason, message)
        })
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
        for replace in [replace_with, replace_unsynced] {
            replace(&path, b"old").unwrap();
            replace(&path, b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_a_killed_process_leaves_is_known_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let left = temporary_in(folder.path()).unwrap();
        assert!(is_temporary(left.path().file_name().unwrap()));
        for other in ["state", ".residua", "x.partial", ".residua-x.pixels"] {
            assert!(!is_temporary(OsStr::new(other)), "{other}");
        }
    }
}
