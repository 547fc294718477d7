//! `residua data bench`: how fast images are loaded, without a network that waits for them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args;
use residua::train::{LoadingBenchmark, LoadingSpeed, measure_loading};
use serde::Serialize;

use crate::commands::progress::bar;
use crate::commands::train::PlanArgs;
use crate::failure::Failure;
use crate::output::{self, Column, counted, create_folder};

/// What the figures mean.
const FIGURES: &str = "\
Images per second. decoded: from files to pixels. loaded: also reduced, cropped, augmented and
normalised, as training needs them. cache filled: the same while a new cache is filled, as in the
first epoch; cache read: out of it, as in all others. A cache is measured where --shorter-side (or the
configuration) says to what pictures are reduced; it is made for this and removed.

Training keeps the processors busy as well: where loaded is not several times the images/s of
training, the loader will keep it waiting.";

#[derive(Debug, Args)]
#[command(args_override_self = true, after_help = FIGURES)]
pub(super) struct BenchArgs {
    /// How many threads load, repeated or separated by commas [default: 1, 2, 4, … up to all processors]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    workers: Vec<NonZeroUsize>,
    /// About how long each figure is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Measure a cache on the disk of this folder [default: that of temporary files]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected 0.01 to 3600 seconds".to_owned()),
    }
}

/// `residua.data-bench/1`
#[derive(Serialize)]
struct BenchReport {
    schema: &'static str,
    data: String,
    /// Different images that were loaded.
    images: usize,
    processors: usize,
    /// To which pictures are reduced; null where they are not.
    shorter_side: Option<usize>,
    rows: Vec<BenchRow>,
}

/// Images per second.
#[derive(Serialize)]
struct BenchRow {
    workers: usize,
    /// Null where the pixels are in memory already.
    decoded: Option<f64>,
    loaded: f64,
    /// Null where no cache is of use, as below.
    cache_filled: Option<f64>,
    cache_read: Option<f64>,
}

pub(super) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let config = args.plan.finish(args.plan.begin()?)?;
    let processors = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let folder = cache_folder(args)?;
    let benchmark = LoadingBenchmark {
        workers: match args.workers.is_empty() {
            true => worker_counts(processors),
            false => args.workers.clone(),
        },
        time: Duration::from_secs_f64(args.seconds),
        cache: Some(folder.path()),
    };
    let bar = bar(0, "{spinner} loading images  {elapsed}", args.quiet);
    let mut rows = Vec::new();
    let images = measure_loading(&config, &benchmark, &mut |speed| {
        rows.push(BenchRow::from(speed));
    });
    bar.finish_and_clear();
    let report = BenchReport {
        schema: "residua.data-bench/1",
        data: config.data.to_string(),
        images: images.map_err(|error| args.plan.failure(error, &config))?,
        processors: processors.get(),
        shorter_side: config.preprocessing.shorter_side,
        rows,
    };
    match args.json {
        true => output::print_json(&report),
        false => output::print(&report.text()),
    }
}

/// A folder of its own, which is removed in the end.
fn cache_folder(args: &BenchArgs) -> Result<tempfile::TempDir, Failure> {
    let made = match &args.cache {
        Some(parent) => {
            create_folder(parent)?;
            tempfile::tempdir_in(parent)
        }
        None => tempfile::tempdir(),
    };
    made.map_err(|error| Failure::failed(format!("cannot make a folder for a cache: {error}")))
}

/// Powers of two, and all processors.
fn worker_counts(processors: NonZeroUsize) -> Vec<NonZeroUsize> {
    let doubled = |count: &NonZeroUsize| count.checked_mul(NonZeroUsize::MIN.saturating_add(1));
    let powers = std::iter::successors(Some(NonZeroUsize::MIN), doubled);
    let mut counts: Vec<_> = powers.take_while(|count| *count < processors).collect();
    counts.push(processors);
    counts
}

impl From<LoadingSpeed> for BenchRow {
    fn from(speed: LoadingSpeed) -> Self {
        Self {
            workers: speed.workers,
            decoded: speed.decoded,
            loaded: speed.loaded,
            cache_filled: speed.cache_filled,
            cache_read: speed.cache_read,
        }
    }
}

impl BenchReport {
    fn text(&self) -> String {
        let columns = [
            Column::Right("workers"),
            Column::Right("decoded"),
            Column::Right("loaded"),
            Column::Right("cache filled"),
            Column::Right("cache read"),
        ];
        let figure = |speed: Option<f64>| speed.map_or_else(|| "–".to_owned(), short);
        let rows = self.rows.iter().map(|row| {
            let speeds = [
                row.decoded,
                Some(row.loaded),
                row.cache_filled,
                row.cache_read,
            ];
            let speeds = speeds.into_iter().map(figure);
            std::iter::once(row.workers.to_string())
                .chain(speeds)
                .collect()
        });
        let mut text = format!(
            "{}: images per second, over {}\n\n{}",
            self.data,
            counted(self.images as u64, "image", "images"),
            output::table(&columns, rows.collect())
        );
        let has_files = self.rows.iter().any(|row| row.decoded.is_some());
        if has_files && self.shorter_side.is_none() {
            text += "\n\n--shorter-side PIXELS also measures a cache of reduced pictures";
        }
        text
    }
}

/// Three digits are more than two runs agree on.
fn short(speed: f64) -> String {
    let digits = if speed < 10.0 {
        2
    } else if speed < 100.0 {
        1
    } else {
        0
    };
    format!("{speed:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_double_up_to_all_processors() {
        let counts = |processors: usize| {
            let counts = worker_counts(NonZeroUsize::new(processors).unwrap());
            counts
                .into_iter()
                .map(NonZeroUsize::get)
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(2), [1, 2]);
        assert_eq!(counts(6), [1, 2, 4, 6]);
    }
}
