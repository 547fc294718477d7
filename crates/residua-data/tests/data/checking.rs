//! The data check sees everything, also in data that could not be trained on.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use residua_core::task::Task;
use residua_data::check::CheckOptions;
use residua_data::{DataReport, DataSpec, Progress, SplitName, check};
use tempfile::tempdir;

use crate::support::{cifar, folder, picture, write_cifar, write_class};

fn report(spec: &DataSpec) -> DataReport {
    check(spec, &CheckOptions::default(), &|_| ())
}

#[test]
fn sound_data_have_no_problems() {
    let seen = AtomicUsize::new(0);
    let count = |progress: Progress| {
        assert_eq!(progress.total, 2_500);
        seen.fetch_add(1, Ordering::Relaxed);
    };
    let report = check(&DataSpec::Builtin, &CheckOptions::default(), &count);
    assert_eq!(seen.into_inner(), 2_500);
    assert_eq!(report.schema, "residua.data-check/1");
    assert!(report.is_usable());
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(report.splits[0].split, SplitName::Train);
    assert_eq!(report.splits[0].images, 2_000);
    assert!(
        report.splits[1]
            .classes
            .iter()
            .all(|class| class.images == 50)
    );
    let sizes = report.splits[0].sizes.as_ref().unwrap();
    assert_eq!((sizes.median, sizes.different), ([32, 32], 1));

    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<DataReport>(&json).unwrap(), report);
}

#[test]
fn everything_that_is_wrong_is_listed() {
    let root = tempdir().unwrap();
    let path = root.path();
    write_class(&path.join("train/cat"), 30, 1);
    write_class(&path.join("train/dog"), 2, 2);
    write_class(&path.join("val/cat"), 3, 3);
    fs::create_dir_all(path.join("train/eel")).unwrap();
    fs::write(path.join("train/dog/bad.png"), "not a png").unwrap();
    // The same pixels in other formats: one copy within training, one in validation under
    // another class.
    let twin = picture(30, 31, 77);
    fs::create_dir_all(path.join("val/dog")).unwrap();
    for copy in ["train/cat/a.png", "train/cat/b.bmp", "val/dog/c.png"] {
        twin.save(path.join(copy)).unwrap();
    }

    let report = report(&folder(path));
    assert!(!report.is_usable());
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].contains("eel: no images"));

    assert_eq!(report.unreadable.len(), 1);
    assert!(report.unreadable[0].path.ends_with("bad.png"));

    assert_eq!(report.duplicates.len(), 1);
    let names: Vec<&str> = report.duplicates[0]
        .images
        .iter()
        .map(|image| &image.source[image.source.len() - 5..])
        .collect();
    assert_eq!(names, ["a.png", "b.bmp"]);

    assert_eq!(report.leakage.len(), 1);
    assert_eq!(report.leakage[0].first.class, "cat");
    assert_eq!(report.leakage[0].second.class, "dog");
    assert_eq!(report.label_conflicts(), 1);

    assert_eq!(
        report.warnings,
        [
            "the classes of the train split are very uneven: cat has 32 images, dog has 3",
            "the train split has no images of eel",
            "the validation split has no images of eel",
            "1 unreadable image would be left out of training",
            "1 image is of one split also in another: results on them say nothing",
            "1 image occurs more than once in the same split",
            "1 image occurs with different classes: at most one label can be right",
        ]
    );
    let sizes = report.splits[0].sizes.as_ref().unwrap();
    assert_eq!(sizes.smallest, [20, 24]);
    assert_eq!(sizes.largest, [30, 31]);
    assert_eq!(sizes.different, 4);
}

#[test]
fn classes_of_images_that_show_any_number_are_counted() {
    let root = tempdir().unwrap();
    let path = root.path();
    for (name, salt) in [("a", 1), ("b", 2), ("c", 1), ("d", 4), ("e", 5)] {
        picture(20, 21, salt)
            .save(path.join(format!("{name}.png")))
            .unwrap();
    }
    let table = "path,labels,split\na.png,x|y,train\nb.png,x,train\nc.png,y,train\n\
                 d.png,,val\ne.png,x|y,val\n";
    let file = path.join("labels.csv");
    fs::write(&file, table).unwrap();
    let report = report(&DataSpec::Csv { file });
    assert!(report.is_usable(), "{:?}", report.problems);
    assert_eq!(report.task, Task::MultiLabel);
    let counts = |split: usize| {
        let classes = report.splits[split].classes.iter();
        classes.map(|class| class.images).collect::<Vec<_>>()
    };
    assert_eq!((counts(0), counts(1)), (vec![2, 2], vec![1, 1]));
    let cardinality = |split: usize| {
        let found = report.splits[split].cardinality.unwrap();
        (found.none, found.mean, found.most)
    };
    assert_eq!(
        (cardinality(0), cardinality(1)),
        ((0, 4.0 / 3.0, 2), (1, 1.0, 2))
    );
    // The first and the third are the same picture.
    assert_eq!(report.duplicates[0].images[0].class, "x|y");
    assert_eq!(report.label_conflicts(), 1);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<DataReport>(&json).unwrap(), report);
}

#[test]
fn all_damaged_files_of_cifar_are_listed() {
    let root = tempdir().unwrap();
    write_cifar(root.path());
    fs::write(root.path().join("data_batch_2.bin"), "short").unwrap();
    fs::remove_file(root.path().join("data_batch_4.bin")).unwrap();
    let report = report(&cifar(root.path()));
    assert_eq!(report.problems.len(), 2);
    assert!(report.problems[0].contains("data_batch_2.bin: found 5 bytes"));
    assert!(report.problems[1].contains("data_batch_4.bin is missing"));
    assert_eq!(report.splits[0].images, 60);
}

#[test]
fn a_missing_split_and_too_many_unreadable_images_are_problems() {
    let root = tempdir().unwrap();
    write_class(&root.path().join("cat"), 3, 1);
    write_class(&root.path().join("dog"), 3, 2);
    fs::write(root.path().join("cat/bad.gif"), "bad").unwrap();
    let spec = folder(root.path());
    let found = report(&spec);
    assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
    assert!(found.problems[0].contains("there is no validation split"));
    assert!(found.problems[1].starts_with("1 of 7 images are unreadable"));

    let options = CheckOptions {
        max_unreadable: 0.5,
        has_validation_fraction: true,
    };
    assert!(check(&spec, &options, &|_| ()).is_usable());
}

#[test]
fn data_that_do_not_exist_are_a_problem() {
    let root = tempdir().unwrap();
    let report = report(&folder(&root.path().join("absent")));
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].ends_with("expected a folder, found nothing"));
    assert!(report.splits.is_empty());
}
