//! Lines to rows.

use csv::{ReaderBuilder, StringRecord, Trim};
use residua_core::suggest::{closest, did_you_mean};
use residua_core::task::Task;

use super::BadLine;
use super::columns::{Columns, LabelColumn, delimiter};
use super::problem::LineProblem;
use crate::dataset::SplitName;
use crate::label::{SEPARATOR, means_no_class};

/// The words for splits.
const SPLITS: [(&str, SplitName); 4] = [
    ("train", SplitName::Train),
    ("val", SplitName::Validation),
    ("validation", SplitName::Validation),
    ("test", SplitName::Test),
];

/// What a text lists.
pub(super) struct Rows {
    pub(super) task: Task,
    pub(super) rows: Vec<Row>,
}

/// One image. The path is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The line that it begins in, from 1.
    pub(super) line: usize,
    pub(super) path: String,
    /// What the field of its label says.
    pub(super) label: String,
    /// The classes in it, sorted: one, or any number.
    pub(super) classes: Vec<String>,
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
pub(super) fn parse(text: &str, default_split: SplitName, bad: &mut Vec<BadLine>) -> Rows {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let delimiter = delimiter(text);
    match Columns::find(text, delimiter) {
        Ok(columns) => Rows {
            task: columns.label.task(),
            rows: read_rows(text, delimiter, columns, default_split, bad),
        },
        Err(problem) => {
            bad.push((1, problem));
            Rows {
                task: Task::default(),
                rows: Vec::new(),
            }
        }
    }
}

/// The task that the names of the columns tell, if they are sound.
pub(super) fn task(first_line: &str) -> Task {
    let columns = Columns::find(first_line, delimiter(first_line));
    columns.map_or(Task::default(), |columns| columns.label.task())
}

fn read_rows(
    text: &str,
    delimiter: u8,
    columns: Columns,
    default_split: SplitName,
    bad: &mut Vec<BadLine>,
) -> Vec<Row> {
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
    let path = field(columns.path);
    if path.is_empty() {
        return Err(LineProblem::EmptyPath);
    }
    let (label, classes) = match columns.label {
        LabelColumn::One(column) => (field(column), one_class(field(column))?),
        LabelColumn::Several(column) => (field(column), any_classes(field(column))?),
    };
    let split = match columns.split {
        Some(column) => split(field(column))?,
        None => default_split,
    };
    let group = columns.group.map(field).filter(|group| !group.is_empty());
    Ok(Row {
        line,
        path: path.to_owned(),
        label: label.to_owned(),
        classes,
        split,
        group: group.map(String::from),
    })
}

fn one_class(field: &str) -> Result<Vec<String>, LineProblem> {
    match field {
        "" => Err(LineProblem::EmptyLabel),
        class => Ok(vec![class.to_owned()]),
    }
}

/// The classes of an image that may show any number of them.
fn any_classes(field: &str) -> Result<Vec<String>, LineProblem> {
    if field.is_empty() || means_no_class(field) {
        return Ok(Vec::new());
    }
    let mut classes: Vec<&str> = field.split(SEPARATOR).map(str::trim).collect();
    let found = || field.to_owned();
    if classes.contains(&"") {
        return Err(LineProblem::EmptyClass { found: found() });
    }
    if classes.iter().any(|class| means_no_class(class)) {
        return Err(LineProblem::NoneAndClasses { found: found() });
    }
    classes.sort_unstable();
    match classes.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(LineProblem::RepeatedClass {
            class: pair[0].to_owned(),
        }),
        None => Ok(classes.into_iter().map(String::from).collect()),
    }
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
