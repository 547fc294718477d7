//! Tables in their four forms.

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use residua_report::table::{Column, Table};

fn table(rows: Vec<Vec<String>>) -> Table {
    Table {
        caption: "Error of 2 networks, 100 % & more".to_owned(),
        columns: vec![Column::words("network"), Column::figures("error %")],
        rows,
        note: Some("±: standard deviation_s".to_owned()),
    }
}

fn example() -> Table {
    table(vec![
        vec!["resnet20".to_owned(), "8.75\u{a0}±\u{a0}0.12".to_owned()],
        vec!["<b>|\\_[x]\"".to_owned(), "–".to_owned()],
        vec!["short row".to_owned()],
        vec!["long row".to_owned(), "1".to_owned(), "2".to_owned()],
    ])
}

#[test]
fn markdown() {
    insta::assert_snapshot!(example().markdown());
}

#[test]
fn csv() {
    insta::assert_snapshot!(example().csv());
}

#[test]
fn latex() {
    insta::assert_snapshot!(example().latex());
}

#[test]
fn html() {
    insta::assert_snapshot!(example().html());
}

#[test]
fn tables_without_columns_or_rows_have_a_form() {
    for columns in [vec![], vec![Column::words("a")]] {
        let empty = Table {
            columns,
            ..table(Vec::new())
        };
        assert!(empty.markdown().contains('|'));
        assert!(empty.latex().contains("\\toprule"));
        assert!(empty.html().contains("<thead>"));
        assert_eq!(empty.csv().lines().count(), 1);
    }
}

/// The cells of all tables in a text, row by row.
fn markdown_cells(text: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut is_cell = false;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::TableHead | Tag::TableRow) => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => {
                is_cell = true;
                rows.last_mut().unwrap().push(String::new());
            }
            Event::End(TagEnd::TableCell) => is_cell = false,
            Event::Text(text) if is_cell => {
                *rows.last_mut().unwrap().last_mut().unwrap() += &text;
            }
            other => assert!(!is_cell, "{other:?} in {text}"),
        }
    }
    rows
}

fn cell() -> impl Strategy<Value = String> {
    "[ -~äß±\u{a0}\n\t]{0,16}"
}

proptest! {
    #[test]
    fn csv_reads_back(rows in prop::collection::vec(prop::collection::vec(cell(), 2), 0..5)) {
        let text = table(rows.clone()).csv();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let found: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect();
        prop_assert_eq!(found, rows);
    }

    #[test]
    fn csv_of_one_column_reads_back(cells in prop::collection::vec(cell(), 0..5)) {
        let rows = cells.into_iter().map(|cell| vec![cell]).collect::<Vec<_>>();
        let table = Table { columns: vec![Column::words("a")], ..table(rows.clone()) };
        let text = table.csv();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let found: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect();
        prop_assert_eq!(found, rows);
    }

    #[test]
    fn markdown_reads_back(rows in prop::collection::vec(prop::collection::vec(cell(), 2), 1..5)) {
        let text = table(rows.clone()).markdown();
        let found = markdown_cells(&text);
        prop_assert_eq!(found.len(), rows.len() + 1, "{}", text);
        let plain = |cell: &String| cell.replace(['\n', '\t'], " ");
        let blank = [' ', '\t', '\n'];
        for (found, row) in found[1..].iter().zip(&rows) {
            let found: Vec<&str> = found.iter().map(|cell| cell.trim_matches(blank)).collect();
            let row: Vec<String> = row.iter().map(plain).collect();
            let row: Vec<&str> = row.iter().map(|cell| cell.trim_matches(blank)).collect();
            prop_assert_eq!(found, row, "{}", text);
        }
    }

    #[test]
    fn latex_keeps_its_form(rows in prop::collection::vec(prop::collection::vec(cell(), 2), 0..5)) {
        let text = table(rows.clone()).latex();
        let plain = text.replace("$\\pm$", "+").replace("\\\\", "\u{1}");
        let mut depth = 0_i32;
        let mut separators = 0;
        let mut escaped = false;
        for character in plain.chars() {
            match character {
                _ if escaped => {
                    escaped = false;
                    continue;
                }
                '\\' => escaped = true,
                '{' => depth += 1,
                '}' => depth -= 1,
                '&' => separators += 1,
                '%' | '#' | '$' | '^' | '_' => prop_assert!(false, "{character} in {text}"),
                _ => {}
            }
            prop_assert!(depth >= 0, "{}", text);
        }
        prop_assert_eq!(depth, 0, "{}", text);
        prop_assert_eq!(separators, rows.len() + 1);
        prop_assert_eq!(plain.matches('\u{1}').count(), rows.len() + 1, "{}", text);
    }

    #[test]
    fn html_reads_back(rows in prop::collection::vec(prop::collection::vec(cell(), 2), 1..5)) {
        let document = scraper::Html::parse_fragment(&table(rows.clone()).html());
        let selector = scraper::Selector::parse("tbody > tr > *").unwrap();
        let found: Vec<String> = document.select(&selector).map(|e| e.text().collect()).collect();
        prop_assert_eq!(found, rows.concat());
    }
}
