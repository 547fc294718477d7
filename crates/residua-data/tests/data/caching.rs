//! A cache of reduced pictures changes how soon a batch is there, and nothing else.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use image::codecs::jpeg::JpegEncoder;
use residua_core::preprocessing::Preprocessing;
use residua_core::seed::SeedStream;
use residua_data::{
    Augmentation, CacheUsage, Dataset, HostBatch, LastBatch, Loader, LoaderOptions, PictureCache,
    PictureReader, Pixels, Progress, Split, SplitName, Transform, decode_file,
    quarantine_unreadable,
};
use tempfile::{TempDir, tempdir};

use crate::support::{folder, picture, with_validation};

const SHORTER_SIDE: usize = 40;

fn preprocessing() -> Preprocessing {
    Preprocessing {
        shorter_side: Some(SHORTER_SIDE),
        ..Preprocessing::cifar10()
    }
}

/// Two classes of pictures: JPEG and PNG, longer and shorter than [`SHORTER_SIDE`].
fn pictures() -> TempDir {
    let root = tempdir().unwrap();
    for (class, salt) in [("cat", 1_000), ("dog", 2_000)] {
        let folder = root.path().join(class);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..6 {
            let picture = picture(30 + 23 * index, 150 - 20 * index, salt + index);
            let png = folder.join(format!("{index}.png"));
            picture.save(png).unwrap();
            let jpeg = fs::File::create(folder.join(format!("{index}.jpg"))).unwrap();
            JpegEncoder::new(jpeg).encode_image(&picture).unwrap();
        }
    }
    root
}

fn train(root: &Path) -> Arc<Split> {
    let dataset = Dataset::open(&folder(root), &with_validation(0.25)).unwrap();
    Arc::clone(dataset.require(SplitName::Train).unwrap())
}

fn epoch(split: &Arc<Split>, cache: Option<&PictureCache>, workers: usize) -> Vec<HostBatch> {
    let transform = Transform::training(&preprocessing(), Augmentation::IMAGENET).unwrap();
    let batch_size = NonZeroUsize::new(4).unwrap();
    let options = LoaderOptions {
        last_batch: LastBatch::Keep,
        ..LoaderOptions::training(batch_size, SeedStream::new(1))
    };
    let reader = PictureReader::new(&preprocessing(), cache.cloned());
    let loader = Loader::new(Arc::clone(split), transform, options.with_workers(workers));
    let batches = loader.reading(reader).epoch(0);
    batches.map(Result::unwrap).collect()
}

/// The files of pictures in a cache.
fn entries(cache: &Path) -> Vec<PathBuf> {
    let mut entries = Vec::new();
    for shelf in fs::read_dir(cache).unwrap().map(Result::unwrap) {
        if shelf.file_type().unwrap().is_dir() {
            let files = fs::read_dir(shelf.path()).unwrap();
            entries.extend(files.map(|file| file.unwrap().path()));
        }
    }
    entries.sort();
    entries
}

#[test]
fn batches_are_the_same_bits_without_a_cache_and_with_one_cold_and_warm() {
    let root = pictures();
    let folder = tempdir().unwrap();
    let split = train(root.path());
    let expected = epoch(&split, None, 0);
    let cache = PictureCache::open(folder.path()).unwrap();
    for (state, workers) in [("cold", 2), ("warm", 0), ("warm", 3)] {
        let batches = epoch(&split, Some(&cache), workers);
        assert!(batches == expected, "{state} cache, {workers} workers");
        assert_eq!(entries(folder.path()).len(), split.len());
    }
    // Warm means that nothing is decoded: the pictures may even be replaced by nonsense, as long as
    // size and time say that they are the same.
    for sample in &split.samples {
        let path = sample.source.to_string();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let length = fs::metadata(&path).unwrap().len() as usize;
        fs::write(&path, vec![0; length]).unwrap();
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
    }
    let other_process = PictureCache::open(folder.path()).unwrap();
    assert!(epoch(&split, Some(&other_process), 1) == expected);
    assert_eq!(other_process.take_warning(), None);
}

#[test]
fn what_is_kept_is_the_reduced_picture() {
    let root = pictures();
    let folder = tempdir().unwrap();
    let cache = PictureCache::open(folder.path()).unwrap();
    let path = root.path().join("cat/4.jpg");
    let whole = decode_file(&path).unwrap();
    assert_eq!((whole.height(), whole.width()), (122, 70));
    let reduced = cache.pixels(&path, SHORTER_SIDE).unwrap();
    assert_eq!((reduced.height(), reduced.width()), (69, 40));
    // Each shorter side has its own, and larger pictures than there are do not exist.
    let smaller = cache.pixels(&path, 20).unwrap();
    assert_eq!((smaller.height(), smaller.width()), (34, 20));
    assert_eq!(cache.pixels(&path, 500).unwrap(), whole);
    assert_eq!(cache.usage().unwrap().pictures, 3);
}

#[test]
fn damaged_entries_are_passed_over_and_written_again() {
    let root = pictures();
    let folder = tempdir().unwrap();
    let split = train(root.path());
    let cache = PictureCache::open(folder.path()).unwrap();
    let expected = epoch(&split, Some(&cache), 0);
    let read = |path: &PathBuf| fs::read(path).unwrap();
    let whole: Vec<Vec<u8>> = entries(folder.path()).iter().map(read).collect();
    for (index, entry) in entries(folder.path()).iter().enumerate() {
        let mut bytes = read(entry);
        match index % 4 {
            0 => bytes.truncate(bytes.len() - 1),
            1 => bytes.clear(),
            2 => *bytes.last_mut().unwrap() ^= 1,
            _ => bytes.extend(b"more"),
        }
        fs::write(entry, bytes).unwrap();
    }
    assert!(epoch(&split, Some(&cache), 2) == expected);
    let mended: Vec<Vec<u8>> = entries(folder.path()).iter().map(read).collect();
    assert!(mended == whole);
    assert_eq!(cache.take_warning(), None);
}

#[test]
fn an_entry_under_a_wrong_name_is_not_taken() {
    let root = pictures();
    let folder = tempdir().unwrap();
    let cache = PictureCache::open(folder.path()).unwrap();
    let paths = ["cat/5.png", "dog/5.png"].map(|name| root.path().join(name));
    let expected = paths.clone().map(|path| cache.pixels(&path, 25).unwrap());
    let entries = entries(folder.path());
    let first = fs::read(&entries[0]).unwrap();
    fs::copy(&entries[1], &entries[0]).unwrap();
    fs::write(&entries[1], first).unwrap();
    assert_eq!(paths.map(|path| cache.pixels(&path, 25).unwrap()), expected);
}

#[test]
fn a_picture_that_changes_is_decoded_again() {
    let root = pictures();
    let folder = tempdir().unwrap();
    let cache = PictureCache::open(folder.path()).unwrap();
    let path = root.path().join("cat/5.png");
    let before = cache.pixels(&path, 25).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    picture(145, 50, 77).save(&path).unwrap();
    // An older time counts as a change, too.
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(modified - Duration::from_secs(1))
        .unwrap();
    let after = cache.pixels(&path, 25).unwrap();
    assert_ne!(before, after);
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(10))
        .unwrap();
    assert_eq!(cache.pixels(&path, 25).unwrap(), after);
    assert_eq!(cache.usage().unwrap().pictures, 3);
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let root = pictures();
    let folder = tempdir().unwrap();
    let split = train(root.path());
    let expected = epoch(&split, None, 0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let cache = PictureCache::open(folder.path()).unwrap();
                for _ in 0..5 {
                    assert!(epoch(&split, Some(&cache), 2) == expected);
                }
                assert_eq!(cache.take_warning(), None);
            });
        }
    });
    let usage = PictureCache::open(folder.path()).unwrap().usage().unwrap();
    assert_eq!(usage.pictures, split.len() as u64);
}

#[test]
fn where_nothing_can_be_written_there_is_one_warning_and_the_same_batches() {
    let root = pictures();
    let parent = tempdir().unwrap();
    let folder = parent.path().join("cache");
    let split = train(root.path());
    let expected = epoch(&split, None, 0);
    let cache = PictureCache::open(&folder).unwrap();
    // A file where the folder was fails as a full disk does, and for every user.
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    assert!(epoch(&split, Some(&cache), 2) == expected);
    let warning = cache.take_warning().unwrap();
    let begin = format!(
        "nothing more is put into the cache '{}': ",
        folder.display()
    );
    assert!(warning.starts_with(&begin), "{warning}");
    assert!(epoch(&split, Some(&cache), 2) == expected);
    assert_eq!(cache.take_warning(), None);
}

#[test]
fn a_cache_is_measured_and_cleared_with_what_killed_processes_left() {
    let root = pictures();
    let folder = tempdir().unwrap();
    let cache = PictureCache::open(folder.path()).unwrap();
    assert_eq!(cache.usage().unwrap(), CacheUsage::default());
    let pixels: Pixels<'_> = cache.pixels(&root.path().join("cat/0.png"), 20).unwrap();
    let bytes = 40 + pixels.rgb().len() as u64;
    assert_eq!(cache.usage().unwrap(), CacheUsage { pictures: 1, bytes });
    let entry = entries(folder.path()).remove(0);
    let shelf = entry.parent().unwrap();
    fs::write(shelf.join(".residua-x.partial"), "half").unwrap();
    fs::write(shelf.join("precious"), "not ours").unwrap();
    let bytes = bytes + 4;
    let existing = PictureCache::open_existing(folder.path()).unwrap();
    assert_eq!(existing.clear().unwrap(), CacheUsage { pictures: 1, bytes });
    assert_eq!(cache.usage().unwrap(), CacheUsage::default());
    assert!(shelf.join("precious").is_file());
    // It goes on being used.
    cache.pixels(&root.path().join("cat/0.png"), 20).unwrap();
    assert_eq!(cache.usage().unwrap().pictures, 1);
}

#[test]
fn a_folder_of_other_files_is_no_cache() {
    let root = pictures();
    let message = PictureCache::open(root.path()).unwrap_err().to_string();
    let begin = format!("'{}' holds other files", root.path().display());
    assert!(message.starts_with(&begin), "{message}");
    assert!(!root.path().join("CACHEDIR.TAG").exists());
    let message = PictureCache::open_existing(root.path()).unwrap_err();
    assert!(
        message.to_string().contains("is no cache of pictures"),
        "{message}"
    );
    let file = root.path().join("cat/0.png");
    let message = PictureCache::open(&file).unwrap_err().to_string();
    assert!(message.contains("cannot be used as a cache"), "{message}");
}

#[test]
fn unreadable_pictures_are_found_through_a_cache_too() {
    const SILENT: &(dyn Fn(Progress) + Sync) = &|_| ();
    let root = pictures();
    let folder_of_cache = tempdir().unwrap();
    fs::write(root.path().join("cat/broken.png"), "nonsense").unwrap();
    let cache = PictureCache::open(folder_of_cache.path()).unwrap();
    let reader = PictureReader::new(&preprocessing(), Some(cache.clone()));
    for _ in 0..2 {
        let mut dataset = Dataset::open(&folder(root.path()), &with_validation(0.25)).unwrap();
        let found = quarantine_unreadable(&mut dataset, 0.1, &reader, SILENT).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].path.ends_with("broken.png"), "{found:?}");
        // What was looked at is in the cache now, so that the first epoch finds it there.
        assert_eq!(cache.usage().unwrap().pictures, 24);
    }
}
