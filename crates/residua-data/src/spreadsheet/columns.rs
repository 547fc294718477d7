//! Which column holds what.

use residua_core::suggest::{closest, did_you_mean};
use residua_core::task::Task;

use super::problem::LineProblem;

/// The names of the columns that are used; of those that mean the same the first one counts.
const PATH: [&str; 4] = ["path", "image", "file", "image index"];
const LABEL: [&str; 2] = ["label", "class"];
/// The last is what ChestX-ray14 (Wang et al. 2017) calls it.
const LABELS: [&str; 2] = ["labels", "finding labels"];
const SPLIT: [&str; 1] = ["split"];
const GROUP: [&str; 2] = ["group", "patient id"];

/// What may separate fields.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The positions of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) path: usize,
    pub(super) label: LabelColumn,
    pub(super) split: Option<usize>,
    pub(super) group: Option<usize>,
    /// How many columns there are.
    pub(super) all: usize,
}

/// The position of the column that says what images are labelled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelColumn {
    /// A class.
    One(usize),
    /// Any number of classes.
    Several(usize),
}

/// The delimiter that finds the most names in a line of names, or else the most fields.
pub(super) fn delimiter(text: &str) -> u8 {
    let known = |name: &&str| {
        [&PATH[..], &LABEL, &LABELS, &SPLIT, &GROUP]
            .concat()
            .contains(name)
    };
    let found = |delimiter: &u8| {
        let names = names(text, *delimiter);
        let known = names.iter().filter(|name| known(&name.as_str())).count();
        (known, names.len())
    };
    // The last of equals is taken: a comma.
    let delimiters = DELIMITERS.into_iter().rev();
    delimiters.max_by_key(found).unwrap_or(b',')
}

/// The names in the first line, in lower case.
fn names(text: &str, delimiter: u8) -> Vec<String> {
    let mut header = csv::StringRecord::new();
    match super::rows::reader(text, delimiter).read_record(&mut header) {
        Ok(true) => header.iter().map(str::to_lowercase).collect(),
        _ => Vec::new(),
    }
}

impl Columns {
    /// Finds the columns by the names in the first line.
    pub(super) fn find(text: &str, delimiter: u8) -> Result<Self, LineProblem> {
        let names = names(text, delimiter);
        if names.is_empty() {
            return Err(LineProblem::Empty);
        }
        Ok(Self {
            path: required(&names, &PATH, "the image files")?,
            label: LabelColumn::find(&names)?,
            split: optional(&names, &SPLIT)?,
            group: optional(&names, &GROUP)?,
            all: names.len(),
        })
    }
}

impl LabelColumn {
    fn find(names: &[String]) -> Result<Self, LineProblem> {
        let several = optional(names, &LABELS)?;
        match (optional(names, &LABEL)?, several) {
            (Some(one), Some(several)) => Err(LineProblem::TwoLabelColumns {
                one: names[one].clone(),
                several: names[several].clone(),
            }),
            (None, Some(several)) => Ok(Self::Several(several)),
            (Some(one), None) => Ok(Self::One(one)),
            (None, None) => {
                let wanted = [LABEL, LABELS].concat();
                Err(missing(names, &wanted, "their classes"))
            }
        }
    }

    pub(super) fn task(self) -> Task {
        match self {
            Self::One(_) => Task::SingleLabel,
            Self::Several(_) => Task::MultiLabel,
        }
    }
}

fn required(
    names: &[String],
    wanted: &'static [&'static str],
    content: &'static str,
) -> Result<usize, LineProblem> {
    optional(names, wanted)?.ok_or_else(|| missing(names, wanted, content))
}

fn missing(names: &[String], wanted: &[&str], content: &'static str) -> LineProblem {
    let mut meant: Vec<&str> = Vec::new();
    for name in names {
        meant.extend(closest(name, wanted.iter().copied()));
    }
    meant.sort();
    meant.dedup();
    LineProblem::MissingColumn {
        content,
        expected: wanted.join(" or "),
        found: crate::dataset::abbreviated(names),
        hint: did_you_mean(&meant),
    }
}

fn optional(names: &[String], wanted: &[&str]) -> Result<Option<usize>, LineProblem> {
    for wanted in wanted {
        let mut places = (0..names.len()).filter(|&index| names[index] == *wanted);
        let first = places.next();
        if places.next().is_some() {
            return Err(LineProblem::RepeatedColumn {
                name: (*wanted).to_owned(),
            });
        }
        if first.is_some() {
            return Ok(first);
        }
    }
    Ok(None)
}
