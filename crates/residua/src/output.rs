//! Results go to stdout; everything else goes to stderr.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use residua::core::atomic_file;
pub(crate) use residua::core::text::{counted, grouped};
use residua::report::chart::{Chart, Palette};
use serde::Serialize;

use crate::failure::Failure;

/// Writes a result and ends the line. A reader that has gone away (`residua models | head`)
/// is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| {
            if text.ends_with('\n') {
                Ok(())
            } else {
                stdout.write_all(b"\n")
            }
        })
        .and_then(|()| stdout.flush());
    match written {
        Err(failure) if failure.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::failed),
    }
}

/// Writes one JSON object.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).map_err(Failure::failed)?)
}

/// Writes a file, or leaves the one that is there.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    create_parent(path)?;
    atomic_file::replace_with(path, bytes)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

/// Makes the folder that a file is to lie in, if it is not there.
pub(crate) fn create_parent(path: &Path) -> Result<(), Failure> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => create_folder(parent),
        _ => Ok(()),
    }
}

/// Makes a folder for results, if it is not there.
pub(crate) fn create_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| {
        Failure::failed(format!(
            "cannot make the folder {}: {error}",
            path.display()
        ))
    })
}

/// How a column is aligned.
#[derive(Clone, Copy)]
pub(crate) enum Column<'a> {
    /// Words.
    Left(&'a str),
    /// Numbers.
    Right(&'a str),
}

/// A table without rules, whose columns are separated by two spaces.
pub(crate) fn table(columns: &[Column<'_>], rows: Vec<Vec<String>>) -> String {
    filled(Table::new(), columns, rows)
}

/// The same for sentences, which go on in further lines.
pub(crate) fn table_of_sentences(columns: &[Column<'_>], rows: Vec<Vec<String>>) -> String {
    const WIDTH: u16 = 100;
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH);
    filled(table, columns, rows)
}

fn filled(mut table: Table, columns: &[Column<'_>], rows: Vec<Vec<String>>) -> String {
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(columns.iter().map(|column| match column {
        Column::Left(title) | Column::Right(title) => *title,
    }));
    table.add_rows(rows);
    for (index, kind) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if matches!(kind, Column::Right(_)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// `40551040` as `40.6 M`.
pub(crate) fn scaled(number: u64) -> String {
    let value = number as f64;
    for (unit, size) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] {
        if value >= size {
            let digits = if value >= 100.0 * size {
                0
            } else if value >= 10.0 * size {
                1
            } else {
                2
            };
            return format!("{:.digits$} {unit}", value / size);
        }
    }
    number.to_string()
}

/// `75` as `1m 15s`, `7500` as `2h 05m`.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m {rest:02}s"),
        _ => format!("{hours}h {minutes:02}m"),
    }
}

/// A title as the name of a file: lower case, words joined by hyphens.
pub(crate) fn file_stem(title: &str) -> String {
    let lower = title.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// A fraction as a percentage with two digits.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2} %", fraction * 100.0)
}

/// The form of a picture, by the end of its name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PictureForm {
    Svg,
    Png,
}

impl PictureForm {
    /// Of the file that `--plot` names.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        match extension(path).as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(Failure::usage(format!(
                "--plot {}: expected a name that ends with .svg or .png",
                path.display()
            ))),
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }

    pub(crate) fn bytes(self, chart: &Chart) -> Result<Vec<u8>, Failure> {
        /// Enough for a page.
        const WIDTH: u32 = 1600;
        match self {
            Self::Svg => Ok(chart.to_svg(Palette::Light).into_bytes()),
            Self::Png => chart.to_png(WIDTH).map_err(Failure::failed),
        }
    }
}

/// The end of a file's name, in small letters.
pub(crate) fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(scaled(40_551_040), "40.6 M");
        assert_eq!(scaled(1_814_073_344), "1.81 G");
        assert_eq!(scaled(269_722), "270 k");
        assert_eq!(scaled(12), "12");
        assert_eq!(percent(0.91734), "91.73 %");
        assert_eq!(duration(59.6), "1m 00s");
        assert_eq!(duration(9.0), "9s");
        assert_eq!(duration(7500.0), "2h 05m");
        assert_eq!(file_stem("Error, against depth (%)"), "error-against-depth");
    }

    #[test]
    fn columns_are_aligned() {
        let text = table(
            &[Column::Left("name"), Column::Right("size")],
            vec![
                vec!["a".into(), "10".into()],
                vec!["long".into(), "5".into()],
            ],
        );
        assert_eq!(text, "name  size\na       10\nlong     5");
    }
}
