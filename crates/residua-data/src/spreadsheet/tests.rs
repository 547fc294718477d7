use std::fs;

use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::dataset::DatasetOptions;
use crate::fraction::Fraction;
use crate::hold_out::HoldOut;
use crate::spec::DataSpec;

/// A folder with the images `a.png` to `f.png`, which nobody decodes here, and a spreadsheet.
struct Table {
    root: TempDir,
}

impl Table {
    fn new() -> Self {
        let root = tempdir().unwrap();
        for name in ["a", "b", "c", "d", "e", "f"] {
            fs::write(root.path().join(format!("{name}.png")), name).unwrap();
        }
        Self { root }
    }

    fn open(&self, text: &[u8], options: &DatasetOptions) -> Result<Dataset, DataError> {
        let file = self.root.path().join("labels.csv");
        fs::write(&file, text).unwrap();
        Dataset::open(&DataSpec::Csv { file }, options)
    }

    fn refusal(&self, text: &str) -> String {
        self.refusal_of(text.as_bytes(), Some(0.5))
    }

    fn refusal_of(&self, text: &[u8], validation: Option<f64>) -> String {
        let error = self.open(text, &options(validation)).expect_err("accepted");
        assert!(error.is_bad_data());
        let root = self.root.path().display().to_string();
        error.to_string().replace(&root, "DIR")
    }
}

fn options(validation: Option<f64>) -> DatasetOptions {
    DatasetOptions {
        hold_out: validation.map(|share| HoldOut::Fraction(Fraction::new(share).unwrap())),
        ..DatasetOptions::default()
    }
}

/// Name of the file and class of each sample.
fn listing(dataset: &Dataset, split: SplitName) -> Vec<(String, &str)> {
    let samples = dataset.require(split).unwrap().samples.iter();
    let name = |sample: &Sample| {
        let source = sample.source.to_string();
        source.rsplit('/').next().unwrap().to_owned()
    };
    let class = |sample: &Sample| dataset.classes()[sample.label.classes()[0] as usize].as_str();
    samples
        .map(|sample| (name(sample), class(sample)))
        .collect()
}

const SPLITS: &str = "path,label,split\n\
                      a.png,dog,train\n\
                      b.png,cat,TRAIN\n\
                      c.png,cat,Val\n\
                      d.png,dog,test\n";

#[test]
fn splits_classes_and_their_order_are_those_of_the_file() {
    let table = Table::new();
    let dataset = table.open(SPLITS.as_bytes(), &options(None)).unwrap();
    assert_eq!(dataset.classes(), ["cat", "dog"]);
    let expected = [("a.png".to_owned(), "dog"), ("b.png".to_owned(), "cat")];
    assert_eq!(listing(&dataset, SplitName::Train), expected);
    let expected = [("c.png".to_owned(), "cat")];
    assert_eq!(listing(&dataset, SplitName::Validation), expected);
    let expected = [("d.png".to_owned(), "dog")];
    assert_eq!(listing(&dataset, SplitName::Test), expected);
    assert_eq!(dataset.evaluation().unwrap().0, SplitName::Validation);
}

#[test]
fn delimiters_names_quotes_and_line_ends_do_not_matter() {
    let table = Table::new();
    let expected = table.open(SPLITS.as_bytes(), &options(None)).unwrap();
    for text in [
        SPLITS.replace(',', ";"),
        SPLITS.replace(',', "\t"),
        SPLITS.replace('\n', "\r\n"),
        SPLITS.replace('\n', "\r"),
        SPLITS.replace('\n', "\n\n \n,,\n"),
        SPLITS.replace("path,label", "Image , CLASS"),
        SPLITS.replace("path,label", "file,label"),
        SPLITS.replace("a.png,dog", "\" a.png\",\"dog\""),
        SPLITS
            .replace("dog,t", "dog,TEST")
            .replace("TESTrain", "train")
            .replace("TESTest", "TEST"),
        SPLITS.replace("Val", "validation"),
        SPLITS.replace("a.png", "./a.png"),
        SPLITS.trim_end().to_owned(),
        format!("\u{feff}{SPLITS}"),
        // A comma within a field of a file that separates by semicolons.
        SPLITS
            .replace(',', ";")
            .replace("path", "age, at visit;path")
            .replace("\na", "\n9;a")
            .replace("\nb", "\n9;b")
            .replace("\nc", "\n9;c")
            .replace("\nd", "\n9;d"),
    ] {
        let dataset = table.open(text.as_bytes(), &options(None)).unwrap();
        assert_eq!(dataset.classes(), expected.classes(), "{text}");
        for split in SplitName::ALL {
            assert_eq!(
                listing(&dataset, split),
                listing(&expected, split),
                "{text}"
            );
        }
    }
}

#[test]
fn without_splits_all_is_for_training_or_for_testing() {
    let table = Table::new();
    let text = b"extra,path,label\n1,a.png,x\n2,b.png,y\n3,c.png,x\n4,d.png,y\n";
    let dataset = table.open(text, &options(Some(0.5))).unwrap();
    assert_eq!(
        dataset.require(SplitName::Train).unwrap().class_counts(2),
        [1, 1]
    );
    let (name, split) = dataset.evaluation().unwrap();
    assert_eq!(
        (name, split.class_counts(2)),
        (SplitName::Validation, vec![1, 1])
    );
    assert_eq!(
        table.refusal_of(text, None),
        "DIR/labels.csv: there is no validation split; add lines with val in a column split, or have \
         a part of the training images put aside with a validation fraction (--val-fraction 0.1)"
    );
    let evaluation = DatasetOptions {
        purpose: Purpose::Evaluation,
        ..DatasetOptions::default()
    };
    let dataset = table.open(b"path,label\na.png,x\n", &evaluation).unwrap();
    let (name, split) = dataset.evaluation().unwrap();
    assert_eq!((name, split.len()), (SplitName::Test, 1));
}

#[test]
fn groups_stay_together() {
    let table = Table::new();
    let text =
        "path,label,group\na.png,x,1\nb.png,y,2\nc.png,x,1\nd.png,y,\ne.png,x,3\nf.png,y,2\n";
    let dataset = table.open(text.as_bytes(), &options(Some(0.5))).unwrap();
    let side = |split| {
        let samples = &dataset.require(split).unwrap().samples;
        let groups = samples.iter().filter_map(|sample| sample.group);
        groups.collect::<BTreeSet<u32>>()
    };
    let (train, validation) = (side(SplitName::Train), side(SplitName::Validation));
    assert!(train.is_disjoint(&validation));
    assert_eq!(train.len() + validation.len(), 3);
    let text = "path,label,group\na.png,x,1\nb.png,y,2\nc.png,x,1\nd.png,y,4\n";
    assert_eq!(
        table.refusal(text),
        "DIR/labels.csv: all 2 images of class \"x\" are of one group; expected at least 2 groups, to \
         put one aside for validation"
    );
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let table = Table::new();
    for (text, expected) in [
        (
            "",
            "1: the file is empty; expected a line with the names of the columns, such as path,label",
        ),
        (
            "path,label\n",
            "1: the file has names of columns only; expected a line for each image",
        ),
        (
            "path,lable,x\na.png,1,2\n",
            "1: there is no column with their classes; expected label or class or labels or finding \
             labels, found path, lable, x; did you mean 'label' or 'labels'?",
        ),
        (
            "a.png;cat\nb.png;dog\n",
            "1: there is no column with the image files; expected path or image or file or image index, found \
             a.png, cat",
        ),
        (
            "path,label,path\na.png,x,b.png\n",
            "1: there are two columns path; expected one",
        ),
        (
            "path,label\na.png,x\n\nb.png\n",
            "4: has 1 field; expected 2, one for each column (fields with delimiters in them have to \
             be quoted)",
        ),
        (
            "path,label\na.png,x\nb.png,big, round\n",
            "3: has 3 fields; expected 2, one for each column (fields with delimiters in them have to \
             be quoted)",
        ),
        (
            "path,label,note\r\na.png,x,\"two\r\nlines\"\r\n,y,\r\n",
            "4: names no image file; fill the field, or remove the line",
        ),
        (
            "path,label\na.png,x\nb.png, \n",
            "3: has no label; fill the field, or remove the line",
        ),
        (
            "path,label,split\na.png,x,train\nb.png,y,valid\n",
            "3: \"valid\" is no split; expected train, val, validation or test; did you mean 'val'?",
        ),
        (
            "path,label,split\na.png,x,\n",
            "2: \"\" is no split; expected train, val, validation or test",
        ),
        (
            "path,label\na.png,x\nb.png,y\n./a.png,x\n",
            "4: ./a.png is in line 2 already; remove one of the two",
        ),
        (
            "path,label\na.png,x\nb.png,y\nc/../a.png,x\n",
            "4: c/../a.png is in line 2 already; remove one of the two",
        ),
        (
            "path,label\na.png,x\nb.png,y\na.png,y\n",
            "4: a.png is labelled \"y\", but \"x\" in line 2; remove the wrong one",
        ),
        (
            "path,label,split,group\na.png,x,train,7\nb.png,y,train,8\nc.png,x,test,7\n",
            "4: group \"7\" is in the test split, but in the train split in line 2; results on images \
             of groups that were trained on say nothing: put all of it into one split",
        ),
        (
            "path,label,split\na.png,x,train\nb.png,y,train\nc.png,z,val\nd.png,z,val\n",
            "4: class \"z\" is not among the training classes (x, y); add training images of it or \
             remove its lines",
        ),
    ] {
        assert_eq!(
            table.refusal(text),
            format!("DIR/labels.csv, line {expected}")
        );
    }
    assert_eq!(
        table.refusal("path,label\na.png,x\nb.png,x\n"),
        "DIR/labels.csv: found 1 class among the training images; expected at least 2"
    );
    assert_eq!(
        table.refusal("path,label\na.png,x\nlost.png,y\nb.png,y\ngone/c.png,x\n"),
        "DIR/labels.csv: 2 of the images listed are missing, expected in DIR: lost.png (line 3), \
         gone/c.png (line 5)"
    );
    assert_eq!(
        table.refusal_of(b"path,label\na.png,x\nb.png,\xFCber\n", None),
        "DIR/labels.csv, line 3: is not UTF-8; save the spreadsheet as \"CSV UTF-8\""
    );
    assert_eq!(
        table.refusal(SPLITS),
        "DIR/labels.csv: there is a validation split already; leave out the validation fraction (0.5) \
         or remove its lines"
    );
    assert_eq!(
        table.refusal_of(b"path,label,split\na.png,x,val\nb.png,y,val\n", None),
        "DIR/labels.csv: there is no train split; expected lines with train in the column split, or \
         no such column"
    );
}

#[test]
fn many_mistakes_are_counted() {
    let table = Table::new();
    let mut text = "path,label\n".to_owned();
    for index in 0..25 {
        text += &format!("{index}.png,\n{index}.png,x\n");
    }
    let file = table.root.path().join("labels.csv");
    fs::write(&file, text).unwrap();
    let problems = inspect(&file, Purpose::Training).problems;
    let messages: Vec<String> = problems.iter().map(DataError::to_string).collect();
    assert_eq!(messages.len(), 12);
    assert!(
        messages[9]
            .ends_with("labels.csv, line 20: has no label; fill the field, or remove the line")
    );
    assert!(messages[10].ends_with("labels.csv: 15 more lines cannot be used"));
    assert!(
        messages[11].contains(": 25 of the images listed are missing"),
        "{}",
        messages[11]
    );
    assert!(
        messages[11].ends_with(", 9.png (line 21), …"),
        "{}",
        messages[11]
    );
}

#[test]
fn a_changed_label_or_file_changes_the_fingerprint() {
    let table = Table::new();
    let fingerprint = |text: &str| {
        let dataset = table.open(text.as_bytes(), &options(None)).unwrap();
        dataset.require(SplitName::Train).unwrap().fingerprint()
    };
    let first = fingerprint(SPLITS);
    assert_eq!(fingerprint(&SPLITS.replace(',', ";")), first);
    let swapped = SPLITS
        .replace("a.png,dog", "a.png,cat")
        .replace("b.png,cat", "b.png,dog");
    assert_ne!(fingerprint(&swapped), first);
    fs::write(table.root.path().join("a.png"), "larger").unwrap();
    assert_ne!(fingerprint(SPLITS), first);
}

const LABELS: &str = "path,labels,split\n\
                      a.png,Mass|Effusion,train\n\
                      b.png,,train\n\
                      c.png,Mass,val\n\
                      d.png,No Finding,val\n\
                      e.png, Effusion | Mass ,test\n";

/// The classes of each sample.
fn sets(dataset: &Dataset, split: SplitName) -> Vec<String> {
    let samples = dataset.require(split).unwrap().samples.iter();
    samples
        .map(|sample| sample.label.named(dataset.classes()))
        .collect()
}

#[test]
fn an_image_may_show_any_number_of_classes() {
    let table = Table::new();
    for text in [
        LABELS.to_owned(),
        LABELS.replace(',', ";"),
        LABELS.replace("path,labels", "Image Index,Finding Labels"),
        LABELS.replace("No Finding", "no finding"),
        LABELS.replace('\n', "\r\n"),
        format!("\u{feff}\n{LABELS}"),
    ] {
        let dataset = table.open(text.as_bytes(), &options(None)).unwrap();
        assert_eq!(dataset.task(), Task::MultiLabel);
        assert_eq!(dataset.classes(), ["Effusion", "Mass"]);
        assert_eq!(
            sets(&dataset, SplitName::Train),
            ["Effusion|Mass", "No Finding"]
        );
        assert_eq!(
            sets(&dataset, SplitName::Validation),
            ["Mass", "No Finding"]
        );
        assert_eq!(sets(&dataset, SplitName::Test), ["Effusion|Mass"]);
        let train = dataset.require(SplitName::Train).unwrap();
        assert_eq!(train.class_counts(2), [1, 1]);
        let file = table.root.path().join("labels.csv");
        assert_eq!(DataSpec::Csv { file }.task(), Task::MultiLabel);
    }
    let dataset = table.open(SPLITS.as_bytes(), &options(None)).unwrap();
    assert_eq!(dataset.task(), Task::SingleLabel);
    let file = table.root.path().join("labels.csv");
    assert_eq!(DataSpec::Csv { file }.task(), Task::SingleLabel);
    let file = "gone.csv".into();
    assert_eq!(DataSpec::Csv { file }.task(), Task::SingleLabel);
    // One class can be asked about alone.
    let dataset = table.open(
        b"path,labels\na.png,x\nb.png,\nc.png,x\n",
        &options(Some(0.5)),
    );
    assert_eq!(dataset.unwrap().classes(), ["x"]);
}

#[test]
fn mistakes_in_sets_of_classes_are_named_with_their_line() {
    let table = Table::new();
    for (text, expected) in [
        (
            "path,label,labels\na.png,x,y\n",
            "1: there is a column label, for one class of each image, and a column labels, for any number \
             of them; expected one of the two",
        ),
        (
            "path,labels\na.png,x|y|x\nb.png,y\n",
            "2: names class \"x\" twice; expected each class of an image once",
        ),
        (
            "path,labels\na.png,x\nb.png,x||y\n",
            "3: has an empty class in \"x||y\"; expected classes with | between them, or nothing for an \
             image that shows none",
        ),
        (
            "path,labels\na.png,x\nb.png,No Finding|x\n",
            "3: says No Finding beside classes (\"No Finding|x\"); expected either of them",
        ),
        (
            "path,labels\na.png,x|y\n./a.png,y|x\n",
            "3: ./a.png is in line 2 already; remove one of the two",
        ),
        (
            "path,labels\na.png,x|y\na.png,y\n",
            "3: a.png is labelled \"y\", but \"x|y\" in line 2; remove the wrong one",
        ),
        (
            "path,labels,split\na.png,x|y,train\nb.png,x|z,val\n",
            "3: class \"z\" is not among the training classes (x, y); add training images of it or \
             remove its lines",
        ),
    ] {
        assert_eq!(
            table.refusal(text),
            format!("DIR/labels.csv, line {expected}")
        );
    }
    assert_eq!(
        table.refusal("path,labels\na.png,\nb.png,No Finding\n"),
        "DIR/labels.csv: none of the training images shows any class; expected classes in the column \
         labels, with | between them"
    );
}

#[test]
fn a_class_that_passes_to_the_next_image_changes_the_fingerprint() {
    let table = Table::new();
    let fingerprint = |text: &str| {
        let dataset = table.open(text.as_bytes(), &options(None)).unwrap();
        dataset.require(SplitName::Train).unwrap().fingerprint()
    };
    let rest = "\nc.png,x,val\nd.png,,val\n";
    // Images of one name, so that nothing but the sets tells them apart.
    for folder in ["1", "2"] {
        fs::create_dir(table.root.path().join(folder)).unwrap();
        fs::write(table.root.path().join(folder).join("a.png"), "a").unwrap();
    }
    let both = |first: &str, second: &str| {
        fingerprint(&format!(
            "path,labels,split\n1/a.png,{first},train\n2/a.png,{second},train{rest}"
        ))
    };
    assert_ne!(both("x|y", ""), both("x", "y"));
    assert_ne!(both("x|y", "x"), both("x", "x|y"));
    assert_eq!(both("x|y", "x"), both("y|x", "x"));
}

#[test]
fn sets_of_classes_get_the_numbers_of_a_network() {
    let table = Table::new();
    let dataset = table.open(LABELS.as_bytes(), &options(None)).unwrap();
    let known = ["Mass", "Other", "Effusion"].map(str::to_owned);
    let relabelled = dataset.with_classes(&known).unwrap();
    let train = relabelled.require(SplitName::Train).unwrap();
    assert_eq!(train.samples[0].label.classes(), [0, 2]);
    assert_eq!(sets(&relabelled, SplitName::Test), ["Mass|Effusion"]);
    assert_eq!(train.class_counts(3), [1, 0, 1]);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "[a-b,;|\t\"\r\n \u{feff}é]{0,60}", has_header: bool) {
        let text = match has_header {
            true if text.len() % 2 == 0 => format!("path,labels,split,group\n{text}"),
            true => format!("path,label,split,group\n{text}"),
            false => text,
        };
        let mut problems = Vec::new();
        let mut dataset = Dataset::new("x.csv", Vec::new(), Layout::Rows);
        list(Path::new("none/x.csv"), &text, Purpose::Training, &mut dataset, &mut problems);
        prop_assert!(!problems.is_empty());
    }

    #[test]
    fn damaged_files_never_panic(position in 0_usize..80, byte: u8, cut in 0_usize..90) {
        let mut bytes = SPLITS.as_bytes().to_vec();
        let position = position % bytes.len();
        bytes[position] = byte;
        bytes.truncate(cut);
        let mut bad = Vec::new();
        let text = String::from_utf8_lossy(&bytes);
        for row in rows::parse(&text, SplitName::Train, &mut bad).rows {
            let text = text.replace("\r\n", "\n");
            let line = text.split(['\r', '\n']).nth(row.line - 1);
            prop_assert!(line.is_some_and(|line| line.contains(&row.path) || text.contains('"')));
        }
        prop_assert!(bad.iter().all(|(line, _)| (1..=6).contains(line)));
    }
}
