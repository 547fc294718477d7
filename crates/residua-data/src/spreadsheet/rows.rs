//! Lines to rows.

use csv::{ReaderBuilder, StringRecord, Trim};
use residua_core::suggest::{closest, did_you_mean};

use super::BadLine;
use super::columns::{Columns, delimiter};
use super::problem::LineProblem;
use crate::dataset::SplitName;

/// The words for splits.
const SPLITS: [(&str, SplitName); 4] = [
    ("train", SplitName::Train),
    ("val", SplitName::Validation),
    ("validation", SplitName::Validation),
    ("test", SplitName::Test),
];

/// One image. Neither the path nor the label is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The line that it begins in, from 1.
    pub(super) line: usize,
    pub(super) path: String,
    pub(super) label: String,
    pub(super) split: SplitName,
    pub(super) group: Option<String>,
}

pub(super) fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes())
}

/// The rows of a text; what cannot be used of it goes to `bad`. Without a column of splits all rows
/// are of the default one.
pub(super) fn parse(text: &str, default_split: SplitName, bad: &mut Vec<BadLine>) -> Vec<Row> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let delimiter = delimiter(text);
    let columns = match Columns::find(text, delimiter) {
        Ok(columns) => columns,
        Err(problem) => {
            bad.push((1, problem));
            return Vec::new();
        }
    };
    let mut lines = LineCounter::new(text);
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    let mut is_header = true;
    let mut reader = reader(text, delimiter);
    loop {
        let start = reader.position().byte() as usize;
        match reader.read_record(&mut record) {
            Ok(true) if is_header => is_header = false,
            Ok(true) if record.iter().all(str::is_empty) => {}
            Ok(true) => {
                let line = lines.of_record(start);
                match row(line, &record, columns, default_split) {
                    Ok(row) => rows.push(row),
                    Err(problem) => bad.push((line, problem)),
                }
            }
            Ok(false) => return rows,
            Err(error) => {
                let problem = LineProblem::Malformed(error.to_string());
                bad.push((lines.of_record(start), problem));
                return rows;
            }
        }
    }
}

fn row(
    line: usize,
    record: &StringRecord,
    columns: Columns,
    default_split: SplitName,
) -> Result<Row, LineProblem> {
    // Programs for spreadsheets end lines with delimiters as they please.
    let has_surplus = record
        .iter()
        .skip(columns.all)
        .any(|field| !field.is_empty());
    if record.len() < columns.all || has_surplus {
        return Err(LineProblem::Fields {
            found: record.len(),
            expected: columns.all,
        });
    }
    let field = |column: usize| record.get(column).unwrap_or_default();
    let (path, label) = (field(columns.path), field(columns.label));
    if path.is_empty() {
        return Err(LineProblem::EmptyPath);
    }
    if label.is_empty() {
        return Err(LineProblem::EmptyLabel);
    }
    let split = match columns.split {
        Some(column) => split(field(column))?,
        None => default_split,
    };
    let group = columns.group.map(field).filter(|group| !group.is_empty());
    Ok(Row {
        line,
        path: path.to_owned(),
        label: label.to_owned(),
        split,
        group: group.map(String::from),
    })
}

fn split(word: &str) -> Result<SplitName, LineProblem> {
    let known = SPLITS
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name));
    known
        .map(|(_, split)| *split)
        .ok_or_else(|| LineProblem::UnknownSplit {
            found: word.to_owned(),
            hint: did_you_mean(&closest(word, SPLITS.map(|(name, _)| name))),
        })
}

/// Counts lines up to positions that do not descend.
struct LineCounter<'a> {
    text: &'a [u8],
    position: usize,
    line_ends: usize,
}

impl<'a> LineCounter<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            position: 0,
            line_ends: 0,
        }
    }

    /// The line of a record that the reader found from `start` on: it skips empty lines first, and
    /// the rest of a line end.
    fn of_record(&mut self, start: usize) -> usize {
        let rest = self.text.get(start..).unwrap_or_default();
        let skipped = rest
            .iter()
            .take_while(|byte| b"\r\n".contains(byte))
            .count();
        let position = start + skipped;
        let passed = self.text.get(self.position..position).unwrap_or_default();
        self.line_ends += count_line_ends(passed);
        self.position = position;
        self.line_ends + 1
    }
}

/// Line feeds, and carriage returns that are not followed by one.
pub(super) fn count_line_ends(text: &[u8]) -> usize {
    let next = text.iter().skip(1).map(Some).chain([None]);
    let pairs = text.iter().zip(next);
    pairs
        .filter(|&(&byte, next)| byte == b'\n' || byte == b'\r' && next != Some(&b'\n'))
        .count()
}
