//! Which column holds what.

use residua_core::suggest::{closest, did_you_mean};

use super::problem::LineProblem;

/// The names of the columns that are used; of those that mean the same the first one counts.
const PATH: [&str; 3] = ["path", "image", "file"];
const LABEL: [&str; 2] = ["label", "class"];
const SPLIT: [&str; 1] = ["split"];
const GROUP: [&str; 1] = ["group"];

/// What may separate fields.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The positions of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) path: usize,
    pub(super) label: usize,
    pub(super) split: Option<usize>,
    pub(super) group: Option<usize>,
    /// How many columns there are.
    pub(super) all: usize,
}

/// The delimiter that finds the most names in a line of names, or else the most fields.
pub(super) fn delimiter(text: &str) -> u8 {
    let known = |name: &&str| [&PATH[..], &LABEL, &SPLIT, &GROUP].concat().contains(name);
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
            label: required(&names, &LABEL, "their classes")?,
            split: optional(&names, &SPLIT)?,
            group: optional(&names, &GROUP)?,
            all: names.len(),
        })
    }
}

fn required(
    names: &[String],
    wanted: &'static [&'static str],
    content: &'static str,
) -> Result<usize, LineProblem> {
    optional(names, wanted)?.ok_or_else(|| {
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
    })
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
