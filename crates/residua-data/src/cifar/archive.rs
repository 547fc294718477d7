//! Finding and unpacking the files of CIFAR-10: plain, xz-compressed, or in the official
//! archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use lzma_rust2::XzReader;

use super::RECORD_BYTES;
use crate::error::DataError;

/// The folder in the official archive, and the archive itself.
const INNER_FOLDER: &str = "cifar-10-batches-bin";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// No file may unpack to more than ten times the official number of records: a bound on what
/// a damaged or malicious archive can make us hold.
const MAX_FILE_BYTES: u64 = 100_000 * RECORD_BYTES as u64;

/// What the xz decoder may allocate, in KiB: 64 MiB is the dictionary of the strongest preset
/// and some room.
const XZ_MEMORY_KIB: u32 = 80 * 1024;

/// Where a file was found on disk.
pub(super) enum Place {
    Plain(PathBuf),
    Xz(PathBuf),
}

/// The content of a file, still to be unpacked where it is compressed on its own.
pub(super) enum Content {
    OnDisk(Place),
    FromArchive(PathBuf, Vec<u8>),
}

impl Content {
    /// The path to name in messages, and the unpacked bytes.
    pub(super) fn unpack(self) -> Result<(PathBuf, Vec<u8>), DataError> {
        let (path, bytes) = match self {
            Self::FromArchive(path, bytes) => return Ok((path, bytes)),
            Self::OnDisk(Place::Plain(path)) => {
                let file = File::open(&path).map_err(DataError::read(&path))?;
                let bytes = read_limited(&path, file, DataError::read(&path))?;
                (path, bytes)
            }
            Self::OnDisk(Place::Xz(path)) => {
                let file = File::open(&path).map_err(DataError::read(&path))?;
                let bytes = unpack_xz(&path, BufReader::new(file))?;
                (path, bytes)
            }
        };
        Ok((path, bytes))
    }
}

/// Where `name` is in `folder` or its inner folder, the first being the one to use.
pub(super) fn places(folder: &Path, name: &str) -> impl Iterator<Item = Place> {
    [folder.to_owned(), folder.join(INNER_FOLDER)]
        .into_iter()
        .flat_map(move |folder| {
            let plain = folder.join(name);
            let xz = folder.join(format!("{name}.xz"));
            let plain = plain.is_file().then_some(Place::Plain(plain));
            let xz = xz.is_file().then_some(Place::Xz(xz));
            plain.into_iter().chain(xz)
        })
}

/// The content of every file of `names`, in that order. Files on disk are only found; the
/// archive, which can only be read from its start, is read once for all that are not on disk.
pub(super) fn read_all(folder: &Path, names: &[&str]) -> Vec<Result<Content, DataError>> {
    let mut found: Vec<Option<Place>> = names
        .iter()
        .map(|name| places(folder, name).next())
        .collect();
    let missing: Vec<&str> = names
        .iter()
        .zip(&found)
        .filter(|(_, place)| place.is_none())
        .map(|(&name, _)| name)
        .collect();
    let archive = [folder.to_owned(), folder.join(INNER_FOLDER)]
        .map(|folder| folder.join(ARCHIVE))
        .into_iter()
        .find(|path| path.is_file());

    let mut archived = HashMap::new();
    let mut archive_problem = None;
    if let (false, Some(archive)) = (missing.is_empty(), archive) {
        archive_problem = read_archive(&archive, &missing, &mut archived).err();
    }
    let mut contents = Vec::with_capacity(names.len());
    for (&name, place) in names.iter().zip(found.drain(..)) {
        contents.push(match (place, archived.remove(name)) {
            (Some(place), _) => Ok(Content::OnDisk(place)),
            (None, Some((path, bytes))) => Ok(Content::FromArchive(path, bytes)),
            (None, None) => Err(archive_problem.take().unwrap_or(DataError::MissingFile {
                folder: folder.to_owned(),
                file: name.to_owned(),
            })),
        });
    }
    contents
}

/// Reads the wanted files of a tar.gz archive, wherever they are in it, until all are found.
fn read_archive(
    archive: &Path,
    wanted: &[&str],
    found: &mut HashMap<String, (PathBuf, Vec<u8>)>,
) -> Result<(), DataError> {
    let damaged = |error: std::io::Error| DataError::Archive {
        path: archive.to_owned(),
        reason: error.to_string(),
    };
    let file = File::open(archive).map_err(DataError::read(archive))?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in tar.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let inner = entry.path().map_err(damaged)?.into_owned();
        let Some(name) = inner.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if wanted.contains(&name) && entry.header().entry_type().is_file() {
            let bytes = read_limited(&archive.join(&inner), entry, damaged)?;
            found.insert(name.to_owned(), (archive.join(&inner), bytes));
            if found.len() == wanted.len() {
                break;
            }
        }
    }
    Ok(())
}

/// Unpacks an xz stream that holds at most [`MAX_FILE_BYTES`].
pub(crate) fn unpack_xz(path: &Path, compressed: impl Read) -> Result<Vec<u8>, DataError> {
    let reader = XzReader::new_mem_limit(compressed, true, XZ_MEMORY_KIB);
    read_limited(path, reader, |error| DataError::Archive {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn read_limited(
    path: &Path,
    reader: impl Read,
    describe: impl FnOnce(std::io::Error) -> DataError,
) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(describe)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(DataError::TooManyRecords {
            path: path.to_owned(),
            limit: MAX_FILE_BYTES,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn arbitrary_xz_bytes_never_panic(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), magic: bool) {
            if magic {
                bytes.splice(0..0, *b"\xFD7zXZ\0");
            }
            let _ = unpack_xz(Path::new("x.xz"), &bytes[..]);
        }
    }
}
