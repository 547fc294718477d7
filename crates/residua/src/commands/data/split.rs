//! `residua data split`: splits and folds as spreadsheets.

use std::path::{Path, PathBuf};

use clap::Args;
use residua::data::{DataSpec, Dataset, Fold, Fraction, HoldOut, SplitName, spreadsheet};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Column, create_parent, grouped};

#[derive(Debug, Args)]
pub(super) struct SplitArgs {
    /// Images: folder:DIR or csv:FILE
    #[arg(long, value_name = "SPEC")]
    data: DataSpec,
    /// The spreadsheet; with --folds one for each, labels-fold1.csv and so on for labels.csv
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Share of the training images for validation
    #[arg(
        long,
        value_name = "SHARE",
        required_unless_present = "folds",
        conflicts_with = "folds"
    )]
    validation: Option<Fraction>,
    /// Share of the training images for testing
    #[arg(long, value_name = "SHARE", requires = "validation")]
    test: Option<Fraction>,
    /// Parts of the training images, each of which validates in one of the spreadsheets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    folds: Option<u32>,
    /// Chooses the images; the same seed gives the same splits as in training
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Replace spreadsheets that are there
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// `residua.data-split/1`
#[derive(Serialize)]
struct SplitReport {
    schema: &'static str,
    files: Vec<FileReport>,
}

#[derive(Serialize)]
struct FileReport {
    file: PathBuf,
    splits: Vec<Counts>,
}

#[derive(Serialize)]
struct Counts {
    split: SplitName,
    images: usize,
    classes: Vec<ClassCount>,
}

#[derive(Serialize)]
struct ClassCount {
    class: String,
    images: usize,
}

/// A spreadsheet that is to be written.
struct Sheet {
    file: PathBuf,
    dataset: Dataset,
}

pub(super) fn run(args: &SplitArgs) -> Result<(), Failure> {
    if output::extension(&args.out) != "csv" {
        return Err(Failure::usage(format!(
            "--out {}: expected a name that ends with .csv",
            args.out.display()
        )));
    }
    require_files(&args.data)?;
    let sheets = sheets(args)?;
    refuse_overwriting(args, &sheets)?;
    for sheet in &sheets {
        create_parent(&sheet.file)?;
        spreadsheet::write(&sheet.dataset, &sheet.file).map_err(|error| {
            match error.is_bad_data() {
                true => Failure::bad_input(error),
                false => Failure::failed(error),
            }
        })?;
    }
    let files: Vec<FileReport> = sheets.into_iter().map(FileReport::of).collect();
    if args.json {
        return output::print_json(&SplitReport {
            schema: "residua.data-split/1",
            files,
        });
    }
    let mut texts: Vec<String> = files.iter().map(FileReport::text).collect();
    texts.push(next(&files));
    output::print(&texts.join("\n\n"))
}

/// A spreadsheet lists files.
fn require_files(data: &DataSpec) -> Result<(), Failure> {
    match data {
        DataSpec::Folder { .. } | DataSpec::Csv { .. } => Ok(()),
        other => Err(Failure::bad_input(format!(
            "{other}: these images are not files of their own, so that no spreadsheet can list them; \
             `residua train` holds some of them out with --val-fraction 0.1 or --fold 1/5, and `residua \
             cross-validate` each fold in turn"
        ))),
    }
}

fn sheets(args: &SplitArgs) -> Result<Vec<Sheet>, Failure> {
    let undivided = Dataset::open_undivided(&args.data).map_err(Failure::bad_input)?;
    let put_aside = |dataset: &mut Dataset, name, part| {
        let done = dataset.put_aside(name, part, args.seed);
        done.map_err(Failure::bad_input)
    };
    if let Some(folds) = args.folds {
        return Fold::all(folds)
            .map(|fold| {
                let mut dataset = undivided.clone();
                put_aside(&mut dataset, SplitName::Validation, HoldOut::Fold(fold))?;
                let file = fold_file(&args.out, fold);
                Ok(Sheet { file, dataset })
            })
            .collect();
    }
    let mut dataset = undivided;
    let shares = [
        (SplitName::Test, args.test),
        (SplitName::Validation, args.validation),
    ];
    // Each share is one of all training images, though those before are gone already.
    let mut rest = 1.0;
    for (name, share) in shares {
        let Some(share) = share else { continue };
        let of_rest = Fraction::new(share.get() / rest).map_err(|_| {
            Failure::usage(
                "--validation and --test leave nothing for training; name smaller shares",
            )
        })?;
        put_aside(&mut dataset, name, HoldOut::Fraction(of_rest))?;
        rest -= share.get();
    }
    let file = args.out.clone();
    Ok(vec![Sheet { file, dataset }])
}

/// `labels-fold2.csv` for `labels.csv`.
fn fold_file(out: &Path, fold: Fold) -> PathBuf {
    let mut name = out.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-fold{}.csv", fold.index()));
    out.with_file_name(name)
}

fn refuse_overwriting(args: &SplitArgs, sheets: &[Sheet]) -> Result<(), Failure> {
    match sheets.iter().find(|sheet| sheet.file.exists()) {
        Some(sheet) if !args.force => Err(Failure::usage(format!(
            "'{}' exists already; name another file with --out, or replace it with --force",
            sheet.file.display()
        ))),
        _ => Ok(()),
    }
}

impl FileReport {
    fn of(sheet: Sheet) -> Self {
        let Sheet { file, dataset } = sheet;
        let classes = dataset.classes();
        let splits = dataset.splits().map(|(split, samples)| Counts {
            split,
            images: samples.len(),
            classes: { classes.iter().zip(samples.class_counts(classes.len())) }
                .map(|(class, images)| ClassCount {
                    class: class.clone(),
                    images,
                })
                .collect(),
        });
        let splits = splits.collect();
        Self { file, splits }
    }

    fn text(&self) -> String {
        let names: Vec<String> = { self.splits.iter() }
            .map(|counts| counts.split.to_string())
            .collect();
        let file = self.file.display().to_string();
        let mut columns = vec![Column::Left(&file)];
        columns.extend(names.iter().map(|name| Column::Right(name)));
        let classes = self.splits.first().map_or(&[][..], |first| &first.classes);
        let row = |name: &str, count: &dyn Fn(&Counts) -> usize| {
            let counts = self.splits.iter().map(|split| grouped(count(split) as u64));
            std::iter::once(name.to_owned()).chain(counts).collect()
        };
        let mut rows: Vec<Vec<String>> = { classes.iter().enumerate() }
            .map(|(index, class)| row(&class.class, &|split| split.classes[index].images))
            .collect();
        rows.push(row("all", &|split| split.images));
        output::table(&columns, rows)
    }
}

/// What can be done with them.
fn next(files: &[FileReport]) -> String {
    match files.first() {
        Some(first) => format!("Next: residua train --data 'csv:{}'", first.file.display()),
        None => String::new(),
    }
}
