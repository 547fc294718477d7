//! A folder with a page, and what is on it as files.

use std::path::{Path, PathBuf};

use residua::report::chart::Chart;
use residua::report::table::Table;

use crate::failure::Failure;
use crate::output::{PictureForm, create_folder, file_stem, write_file};

/// What such a folder holds.
pub(crate) struct PageFolder {
    /// The page, an HTML document.
    pub(crate) html: String,
    /// The tables, in the order of their numbers.
    pub(crate) tables: Vec<Table>,
    /// The figures; their titles give the names.
    pub(crate) figures: Vec<Chart>,
}

impl PageFolder {
    /// Writes `index.html`, each table of `tables/` in four forms and each figure of `figures/` in two. The
    /// page comes last: where it is, all is there. Gives its path.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, Failure> {
        if !self.tables.is_empty() {
            self.write_tables(&folder.join("tables"))?;
        }
        self.write_figures(&folder.join("figures"))?;
        let page = folder.join("index.html");
        write_file(&page, self.html.as_bytes())?;
        Ok(page)
    }

    fn write_tables(&self, folder: &Path) -> Result<(), Failure> {
        create_folder(folder)?;
        for (number, table) in (1..).zip(&self.tables) {
            for (extension, text) in [
                ("md", table.markdown()),
                ("csv", table.csv()),
                ("tex", table.latex()),
                ("html", table.html()),
            ] {
                let name = format!("table-{number}.{extension}");
                write_file(&folder.join(name), text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn write_figures(&self, folder: &Path) -> Result<(), Failure> {
        create_folder(folder)?;
        for chart in &self.figures {
            let stem = file_stem(chart.title());
            for form in [PictureForm::Svg, PictureForm::Png] {
                let name = format!("{stem}.{}", form.extension());
                write_file(&folder.join(name), &form.bytes(chart)?)?;
            }
        }
        Ok(())
    }
}
