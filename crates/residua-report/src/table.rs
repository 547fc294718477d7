//! Tables, in the forms that documents take them in.
//!
//! ```
//! use residua_report::table::{Column, Table};
//!
//! let table = Table {
//!     caption: "Test error".to_owned(),
//!     columns: vec![Column::words("network"), Column::figures("error %")],
//!     rows: vec![vec!["resnet20 | 2015".to_owned(), "8.75".to_owned()]],
//!     note: None,
//! };
//! assert_eq!(table.csv(), "network,error %\nresnet20 | 2015,8.75\n");
//! assert!(table.markdown().contains(r"| resnet20 \| 2015 | 8.75 |"));
//! ```

mod escape;

use maud::{Markup, html};

use escape::{csv_field, latex, markdown};

/// A table of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What the table shows.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows. Missing cells are empty, and cells without a column are left out.
    pub rows: Vec<Vec<String>>,
    /// How its figures came about, or what else the reader has to know.
    pub note: Option<String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands in it.
    pub title: String,
    /// How its cells are aligned.
    pub alignment: Alignment,
}

/// How the cells of a column are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// As words are.
    Left,
    /// As numbers are.
    Right,
}

impl Column {
    /// A column of words.
    pub fn words(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            alignment: Alignment::Left,
        }
    }

    /// A column of numbers.
    pub fn figures(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            alignment: Alignment::Right,
        }
    }
}

impl Table {
    /// The cells of each row, one for each column.
    fn cells(&self) -> impl Iterator<Item = impl Iterator<Item = &str>> {
        self.rows.iter().map(|row| {
            let columns = 0..self.columns.len();
            columns.map(|column| row.get(column).map_or("", String::as_str))
        })
    }

    fn titles(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.title.as_str())
    }

    /// As GitHub-flavoured Markdown, with the caption above and the note below.
    pub fn markdown(&self) -> String {
        fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
            let cells: Vec<String> = cells.map(markdown).collect();
            format!("| {} |\n", cells.join(" | "))
        }
        let mut text = format!("**{}**\n\n", markdown(&self.caption));
        text += &line(self.titles());
        let rules = self.columns.iter().map(|column| match column.alignment {
            Alignment::Left => " --- |",
            Alignment::Right => " ---: |",
        });
        text += "|";
        text.extend(rules);
        text += "\n";
        text.extend(self.cells().map(line));
        if let Some(note) = &self.note {
            text += &format!("\n{}\n", markdown(note));
        }
        text
    }

    /// As CSV (RFC 4180, but lines end as on Unix): titles and rows alone.
    pub fn csv(&self) -> String {
        fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
            let cells: Vec<_> = cells.map(csv_field).collect();
            match cells.as_slice() {
                // An empty line would be no row.
                [cell] if cell.is_empty() => "\"\"\n".to_owned(),
                _ => cells.join(",") + "\n",
            }
        }
        let mut text = line(self.titles());
        text.extend(self.cells().map(line));
        text
    }

    /// As a LaTeX table; it needs the package `booktabs`.
    pub fn latex(&self) -> String {
        fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
            let cells: Vec<String> = cells.map(latex).collect();
            format!("    {} \\\\\n", cells.join(" & "))
        }
        let alignments: String = { self.columns.iter() }
            .map(|column| match column.alignment {
                Alignment::Left => 'l',
                Alignment::Right => 'r',
            })
            .collect();
        let mut text = String::from("\\begin{table}\n  \\centering\n");
        text += &format!("  \\caption{{{}}}\n", latex(&self.caption));
        text += &format!("  \\begin{{tabular}}{{{alignments}}}\n    \\toprule\n");
        text += &line(self.titles());
        text += "    \\midrule\n";
        text.extend(self.cells().map(line));
        text += "    \\bottomrule\n  \\end{tabular}\n";
        if let Some(note) = &self.note {
            text += &format!("  \\par\\smallskip{{\\footnotesize {}}}\n", latex(note));
        }
        text + "\\end{table}\n"
    }

    /// As an HTML `table`.
    pub fn html(&self) -> String {
        self.markup().into_string()
    }

    /// The same, to be part of a page.
    pub(crate) fn markup(&self) -> Markup {
        let class = |column: usize| {
            let column = self.columns.get(column);
            let alignment = column.map_or(Alignment::Left, |column| column.alignment);
            (alignment == Alignment::Right).then_some("figure")
        };
        html! {
            table {
                @if !self.caption.is_empty() {
                    caption { (self.caption) }
                }
                thead {
                    tr {
                        @for (index, title) in self.titles().enumerate() {
                            th scope="col" class=[class(index)] { (title) }
                        }
                    }
                }
                tbody {
                    @for row in self.cells() {
                        tr {
                            @for (index, cell) in row.enumerate() {
                                @if index == 0 {
                                    th scope="row" class=[class(index)] { (cell) }
                                } @else {
                                    td class=[class(index)] { (cell) }
                                }
                            }
                        }
                    }
                }
                @if let Some(note) = &self.note {
                    tfoot {
                        tr {
                            td colspan=(self.columns.len().max(1)) { p { (note) } }
                        }
                    }
                }
            }
        }
    }
}
