//! `residua data cache`: what is in a cache of reduced pictures.

use std::path::{Path, PathBuf};

use clap::Args;
use residua::data::{CacheUsage, PictureCache};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, counted};

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    /// The folder that --cache was given
    folder: PathBuf,
    /// Remove all pictures from it
    #[arg(long)]
    clear: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// `residua.data-cache/1`
#[derive(Serialize)]
struct CacheReport<'a> {
    schema: &'static str,
    folder: &'a Path,
    /// What is in it, or what was removed.
    #[serde(flatten)]
    usage: CacheUsage,
    cleared: bool,
}

pub(super) fn run(args: &CacheArgs) -> Result<(), Failure> {
    let cache = PictureCache::open_existing(&args.folder).map_err(Failure::bad_input)?;
    let usage = match args.clear {
        true => cache.clear(),
        false => cache.usage(),
    };
    let usage = usage.map_err(Failure::failed)?;
    if args.json {
        return output::print_json(&CacheReport {
            schema: "residua.data-cache/1",
            folder: &args.folder,
            usage,
            cleared: args.clear,
        });
    }
    let what = format!(
        "{}, {}",
        counted(usage.pictures, "picture", "pictures"),
        size(usage.bytes)
    );
    output::print(&match args.clear {
        true => format!("{}: removed {what}", args.folder.display()),
        false => format!("{}: {what}", args.folder.display()),
    })
}

fn size(bytes: u64) -> String {
    let unit = if bytes < 1000 { " B" } else { "B" };
    format!("{}{unit}", output::scaled(bytes))
}
