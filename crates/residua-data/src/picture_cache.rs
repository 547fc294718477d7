//! Reduced pictures on disk, so that large photographs are decoded once and not in every epoch.
//!
//! An entry is a pure function of what its name says: the path of a picture, its size and time of
//! modification, and the shorter side that it is reduced to. So a cache changes no result; runs of
//! any kind share one, also at the same time; and a picture that changes gets another entry. Entries
//! that are damaged or cut off are passed over and written again. Nothing is ever removed but by
//! [`PictureCache::clear`].
//!
//! (A picture replaced by one of the same size within the clock tick of the file system, some
//! milliseconds, is not noticed.)

mod entry;

use std::ffi::OsStr;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use residua_core::atomic_file;
use serde::Serialize;
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use crate::decode::decode_file;
use crate::error::DataError;
use crate::pixels::Pixels;
use crate::reduction::reduced;
use entry::Key;

/// What decoding and reducing make of a file. Counted up when they make other pixels of it.
const PIXEL_FORM: u32 = 1;

/// Says that a folder is a cache, to us and to programs that leave caches out of backups
/// (<https://bford.info/cachedir>).
const TAG: &str = "CACHEDIR.TAG";
const TAG_TEXT: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # residua.picture-cache/1\n\
    # Reduced pictures. They are made again when they are gone.\n";

/// The end of the names of entries.
const ENDING: &str = "pixels";

/// A folder of reduced pictures.
///
/// Cloning is cheap; clones share what happens to the folder.
#[derive(Debug, Clone)]
pub struct PictureCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Until something could not be written.
    is_writing: AtomicBool,
    /// What nobody has been told yet.
    warning: Mutex<Option<String>>,
}

/// Why a folder cannot be a cache.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Something else is in it.
    #[error(
        "'{}' holds other files and is no cache of pictures; name an empty folder, or one that is to \
         be made",
        folder.display()
    )]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no cache.
    #[error(
        "'{}' is no cache of pictures; expected a folder that --cache of `residua train` was given",
        folder.display()
    )]
    NotACache {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be made, read or written.
    #[error("{}: cannot be used as a cache: {source}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What is in a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CacheUsage {
    /// Pictures.
    pub pictures: u64,
    /// Their size, with what killed processes left behind.
    pub bytes: u64,
}

impl PictureCache {
    /// Opens a cache, and makes its folder where there is none.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or holds other files.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let failed = |source| CacheError::Io {
            folder: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        if !is_cache(folder) {
            if !is_empty(folder).map_err(failed)? {
                return Err(CacheError::Occupied {
                    folder: folder.to_owned(),
                });
            }
            let tag = folder.join(TAG);
            atomic_file::replace_with(&tag, TAG_TEXT.as_bytes()).map_err(failed)?;
        }
        Ok(Self::of(folder))
    }

    /// Opens a cache that is there already.
    ///
    /// # Errors
    /// [`CacheError::NotACache`].
    pub fn open_existing(folder: &Path) -> Result<Self, CacheError> {
        match is_cache(folder) {
            true => Ok(Self::of(folder)),
            false => Err(CacheError::NotACache {
                folder: folder.to_owned(),
            }),
        }
    }

    fn of(folder: &Path) -> Self {
        Self {
            shared: Arc::new(Shared {
                folder: folder.to_owned(),
                is_writing: AtomicBool::new(true),
                warning: Mutex::new(None),
            }),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// The picture in a file, its shorter side reduced to at most `shorter_side` pixels: from the
    /// cache, or decoded and put there. That it could not be put there is no error; see
    /// [`PictureCache::take_warning`].
    ///
    /// # Errors
    /// [`DataError::Unreadable`] as [`decode_file`].
    pub fn pixels(&self, path: &Path, shorter_side: usize) -> Result<Pixels<'static>, DataError> {
        let Some(key) = key(path, shorter_side) else {
            return decode_reduced(path, shorter_side);
        };
        let entry = self.entry_path(key);
        if let Some(pixels) = entry::read(&entry, key) {
            return Ok(pixels);
        }
        let pixels = decode_reduced(path, shorter_side)?;
        // Not where the file was replaced while it was read: nobody knows which of both this is.
        let is_current = self::key(path, shorter_side) == Some(key);
        if is_current && self.shared.is_writing.load(Ordering::Relaxed) {
            let written = write_entry(&entry, key, &pixels);
            written.unwrap_or_else(|error| self.stop_writing(&error));
        }
        Ok(pixels)
    }

    /// What its user should know and has not been told yet: that nothing more is put into the cache,
    /// because the disk is full, say. It comes at most once.
    pub fn take_warning(&self) -> Option<String> {
        let warning = self.shared.warning.lock();
        warning.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How much is in it.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn usage(&self) -> Result<CacheUsage, CacheError> {
        let mut usage = CacheUsage::default();
        self.for_each_file(|file| usage.add(file))?;
        Ok(usage)
    }

    /// Removes all pictures, and says how much that was. Runs that use the cache at the moment put
    /// theirs there again.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<CacheUsage, CacheError> {
        let mut usage = CacheUsage::default();
        self.for_each_file(|file| {
            usage.add(file)?;
            ignore_absence(fs::remove_file(file.path()))
        })?;
        Ok(usage)
    }

    /// Calls `visit` with every entry, and with what killed processes left behind.
    fn for_each_file(
        &self,
        mut visit: impl FnMut(&DirEntry) -> io::Result<()>,
    ) -> Result<(), CacheError> {
        let mut visit_all = || -> io::Result<()> {
            for shelf in fs::read_dir(self.folder())? {
                let shelf = shelf?;
                if !is_shelf(&shelf.file_name()) {
                    continue;
                }
                for file in fs::read_dir(shelf.path())? {
                    let file = file?;
                    if is_entry(&file.file_name()) {
                        visit(&file)?;
                    }
                }
            }
            Ok(())
        };
        visit_all().map_err(|source| CacheError::Io {
            folder: self.folder().to_owned(),
            source,
        })
    }

    /// Entries are spread over 256 folders, because file systems and people are slow with folders of
    /// millions.
    fn entry_path(&self, key: Key) -> PathBuf {
        let name = format!("{key:032x}");
        let (shelf, rest) = name.split_at(2);
        self.folder().join(shelf).join(format!("{rest}.{ENDING}"))
    }

    fn stop_writing(&self, error: &io::Error) {
        if !self.shared.is_writing.swap(false, Ordering::Relaxed) {
            return;
        }
        let message = format!(
            "nothing more is put into the cache '{}': {error}; pictures that are not in it are decoded \
             in every epoch",
            self.folder().display()
        );
        let warning = self.shared.warning.lock();
        *warning.unwrap_or_else(PoisonError::into_inner) = Some(message);
    }
}

impl CacheUsage {
    fn add(&mut self, file: &DirEntry) -> io::Result<()> {
        match file.metadata() {
            Ok(metadata) => {
                self.bytes += metadata.len();
                self.pictures += u64::from(!atomic_file::is_temporary(&file.file_name()));
                Ok(())
            }
            Err(error) => ignore_absence(Err(error)),
        }
    }
}

/// Another process may have removed a file in the meantime.
fn ignore_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn is_cache(folder: &Path) -> bool {
    fs::read(folder.join(TAG)).is_ok_and(|text| text == TAG_TEXT.as_bytes())
}

/// Apart from the tag that another process is about to write.
fn is_empty(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name != TAG && !atomic_file::is_temporary(&name) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_shelf(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit)
}

fn is_entry(name: &OsStr) -> bool {
    atomic_file::is_temporary(name) || Path::new(name).extension() == Some(OsStr::new(ENDING))
}

/// What decides the pixels of a reduced picture; `None` where the file system does not say.
fn key(path: &Path, shorter_side: usize) -> Option<Key> {
    let metadata = fs::metadata(path).ok()?;
    let [seconds, nanoseconds] = modified(&metadata)?;
    let absolute = std::path::absolute(path).ok()?;
    let path = absolute.as_os_str().as_encoded_bytes();
    let mut hash = Xxh3::new();
    hash.update(&PIXEL_FORM.to_le_bytes());
    hash.update(&(shorter_side as u64).to_le_bytes());
    hash.update(&metadata.len().to_le_bytes());
    hash.update(&seconds.to_le_bytes());
    hash.update(&nanoseconds.to_le_bytes());
    hash.update(path);
    Some(hash.digest128())
}

/// Seconds and nanoseconds since 1970. Files may be older than that: then the distance to it, whose
/// seconds are told from those of younger files by their bits.
fn modified(metadata: &Metadata) -> Option<[u64; 2]> {
    let modified = metadata.modified().ok()?;
    Some(match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => [since.as_secs(), u64::from(since.subsec_nanos())],
        Err(before) => {
            let before = before.duration();
            [!before.as_secs(), u64::from(before.subsec_nanos())]
        }
    })
}

fn decode_reduced(path: &Path, shorter_side: usize) -> Result<Pixels<'static>, DataError> {
    let pixels = decode_file(path)?;
    let smaller = reduced(&pixels, shorter_side).map_err(|error| DataError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(smaller.unwrap_or(pixels))
}

fn write_entry(path: &Path, key: Key, pixels: &Pixels<'_>) -> io::Result<()> {
    match entry::write(path, key, pixels) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            entry::write(path, key, pixels)
        }
        result => result,
    }
}
