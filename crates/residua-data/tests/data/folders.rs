//! Folders of images, sound and not.

use std::fs;
use std::path::Path;

use residua_data::{
    DataError, Dataset, DatasetOptions, PictureReader, Progress, Purpose, SplitName,
    quarantine_unreadable,
};
use tempfile::tempdir;

use crate::support::{folder, refusal, with_validation, write_class};

const SILENT: &(dyn Fn(Progress) + Sync) = &|_| ();

fn write_splits(root: &Path) {
    for split in ["train", "val", "test"] {
        write_class(&root.join(split).join("cat"), 6, 1);
        write_class(&root.join(split).join("dog"), 4, 2);
    }
}

#[test]
fn split_folders_are_found() {
    let root = tempdir().unwrap();
    write_splits(root.path());
    fs::write(root.path().join("train/cat/notes.txt"), "not an image").unwrap();
    fs::write(root.path().join("train/cat/.hidden.png"), "not an image").unwrap();
    let dataset = Dataset::open(&folder(root.path()), &DatasetOptions::default()).unwrap();
    assert_eq!(dataset.classes(), ["cat", "dog"]);
    let train = dataset.require(SplitName::Train).unwrap();
    assert_eq!(train.class_counts(2), [6, 4]);
    assert!(train.samples[7].source.to_string().ends_with("001.png"));
    let (name, _) = dataset.evaluation().unwrap();
    assert_eq!(name, SplitName::Validation);
}

#[test]
fn one_folder_is_divided_the_same_way_every_time() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("cat"), 10, 1);
    write_class(&root.path().join("dog"), 20, 2);
    let spec = folder(root.path());
    let held_out = |seed: u64| {
        let options = DatasetOptions {
            seed,
            ..with_validation(0.3)
        };
        let dataset = Dataset::open(&spec, &options).unwrap();
        let validation = dataset.require(SplitName::Validation).unwrap();
        assert_eq!(validation.class_counts(2), [3, 6]);
        assert_eq!(dataset.require(SplitName::Train).unwrap().len(), 21);
        validation
            .samples
            .iter()
            .map(|sample| sample.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(held_out(1), held_out(1));
    assert_ne!(held_out(1), held_out(2));
}

#[test]
fn without_validation_images_training_is_refused() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("cat"), 3, 1);
    write_class(&root.path().join("dog"), 3, 2);
    assert_eq!(
        refusal(
            &folder(root.path()),
            &DatasetOptions::default(),
            root.path()
        ),
        "DIR: there is no validation split; add a folder val, or have a part of the training \
         images put aside with a validation fraction (--val-fraction 0.1)"
    );
}

#[test]
fn without_training_images_training_is_refused() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("val/cat"), 3, 1);
    write_class(&root.path().join("val/dog"), 3, 2);
    assert_eq!(
        refusal(
            &folder(root.path()),
            &DatasetOptions::default(),
            root.path()
        ),
        "DIR: there is no train split; expected a folder train, or class folders"
    );
}

#[test]
fn evaluation_takes_what_there_is() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("dog"), 3, 2);
    let options = DatasetOptions {
        purpose: Purpose::Evaluation,
        ..DatasetOptions::default()
    };
    let dataset = Dataset::open(&folder(root.path()), &options).unwrap();
    let (name, split) = dataset.evaluation().unwrap();
    assert_eq!((name, split.len()), (SplitName::Test, 3));

    let of_model = ["ant", "cat", "dog"].map(String::from);
    let relabelled = dataset.with_classes(&of_model).unwrap();
    assert_eq!(
        relabelled.evaluation().unwrap().1.samples[0].label.class(),
        Some(2)
    );

    let error = dataset
        .with_classes(&of_model[..2])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("class \"dog\" is not one of those that the network knows (ant, cat)"),
        "{error}"
    );
}

#[test]
fn badly_arranged_folders_are_named() {
    let root = tempdir().unwrap();
    let path = root.path();
    let refused = || refusal(&folder(path), &DatasetOptions::default(), path);

    assert_eq!(
        refused(),
        "DIR: no images (jpg, jpeg, png, webp, bmp, gif); expected train/CLASS/* and \
         val/CLASS/*, or CLASS/*"
    );

    write_splits(path);
    fs::create_dir(path.join("train/eel")).unwrap();
    assert_eq!(
        refused(),
        "DIR/train/eel: no images; expected at least one (jpg, jpeg, png, webp, bmp, gif), or \
         remove the folder"
    );
    fs::remove_dir(path.join("train/eel")).unwrap();

    write_class(&path.join("val/eel"), 1, 3);
    assert_eq!(
        refused(),
        "DIR/val/eel: class \"eel\" is not among the training classes (cat, dog); add training \
         images of it or remove the folder"
    );
    fs::remove_dir_all(path.join("val/eel")).unwrap();

    assert_eq!(
        refusal(&folder(path), &with_validation(0.1), path),
        "DIR: there is a validation split already; leave out the validation fraction (0.1) or \
         remove the folder"
    );

    fs::remove_dir_all(path.join("val")).unwrap();
    fs::remove_dir_all(path.join("train/dog")).unwrap();
    fs::remove_dir_all(path.join("test")).unwrap();
    assert_eq!(
        refused(),
        "DIR/train: found 1 class folder; expected at least 2, one folder of images per class"
    );

    write_class(&path.join("train/dog"), 1, 4);
    assert_eq!(
        refusal(&folder(path), &with_validation(0.1), path),
        "DIR: class \"dog\" has 1 image; expected at least 2, to put one aside for validation"
    );
}

#[test]
fn unreadable_images_are_put_aside_and_named() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("cat"), 20, 1);
    write_class(&root.path().join("dog"), 20, 2);
    let broken = root.path().join("cat/zzz.jpg");
    fs::write(&broken, b"\xFF\xD8\xFF\xE0 no more").unwrap();

    let mut dataset = Dataset::open(&folder(root.path()), &with_validation(0.2)).unwrap();
    let before: usize = dataset.splits().map(|(_, split)| split.len()).sum();
    let unreadable =
        quarantine_unreadable(&mut dataset, 0.05, &PictureReader::default(), SILENT).unwrap();
    assert_eq!(unreadable.len(), 1);
    assert_eq!(unreadable[0].path, broken.display().to_string());
    assert!(!unreadable[0].reason.is_empty());
    let after: usize = dataset.splits().map(|(_, split)| split.len()).sum();
    assert_eq!((before, after), (41, 40));
}

#[test]
fn too_many_unreadable_images_are_an_error() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("cat"), 9, 1);
    write_class(&root.path().join("dog"), 9, 2);
    fs::write(root.path().join("cat/bad.png"), "not a png").unwrap();
    fs::write(root.path().join("dog/bad.png"), "not a png").unwrap();
    let mut dataset = Dataset::open(&folder(root.path()), &with_validation(0.2)).unwrap();

    let error =
        quarantine_unreadable(&mut dataset, 0.05, &PictureReader::default(), SILENT).unwrap_err();
    let message = error
        .to_string()
        .replace(&root.path().display().to_string(), "DIR");
    assert!(
        message.starts_with(
            "2 of 20 images are unreadable, more than the allowed share of 0.05; mend or remove \
             them, or raise the share. The first: DIR/"
        ) && message.ends_with("bad.png: not a JPEG, PNG, WebP, BMP or GIF image"),
        "{message}"
    );
    assert_eq!(
        quarantine_unreadable(&mut dataset, 0.1, &PictureReader::default(), SILENT)
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_class_that_is_all_unreadable_is_an_error() {
    let root = tempdir().unwrap();
    write_splits(root.path());
    write_class(&root.path().join("train/cat"), 60, 1);
    for index in 0..4 {
        fs::write(root.path().join(format!("train/dog/{index:03}.png")), "bad").unwrap();
    }
    let mut dataset = Dataset::open(&folder(root.path()), &DatasetOptions::default()).unwrap();
    let error =
        quarantine_unreadable(&mut dataset, 0.1, &PictureReader::default(), SILENT).unwrap_err();
    assert!(matches!(error, DataError::ClassUnreadable { .. }));
    assert_eq!(
        error.to_string(),
        "class \"dog\": none of its images in the train split can be decoded; mend the files or \
         remove the class"
    );
}
