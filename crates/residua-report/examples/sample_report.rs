//! Writes a page of each kind about made-up runs:
//! `cargo run --release -p residua-report --example sample_report -- FOLDER`.

#[path = "../tests/support/data.rs"]
mod support;

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1).ok_or("name a folder for the pages")?;
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder)?;
    let comparison = support::comparison();
    for (name, page) in [
        ("run.html", support::run_report().html()),
        ("interrupted.html", support::interrupted_report().html()),
        ("comparison.html", comparison.html()),
        ("cross-validation.html", support::cross_validation().html()),
        (
            "cross-validation-labels.html",
            support::multi_label_cross_validation().html(),
        ),
        ("sweep.html", support::sweep().html()),
        ("study.html", support::study().html()),
    ] {
        fs::write(folder.join(name), page)?;
    }
    for (number, figure) in (1..).zip(comparison.figures()) {
        let path = folder.join(format!("figure-{number}.png"));
        fs::write(path, figure.to_png(1600)?)?;
    }
    println!("Pages and figures are in {}", folder.display());
    Ok(())
}
