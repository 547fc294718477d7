//! `residua data show`: training images as a network gets them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use image::ImageFormat;
use residua::data::{Labels, contact_sheet};
use residua::train::training_batch;
use serde::Serialize;

use crate::commands::train::PlanArgs;
use crate::failure::Failure;
use crate::output::{self, write_file};

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct ShowArgs {
    /// The picture
    #[arg(long, value_name = "FILE.png", default_value = "batch.png")]
    out: PathBuf,
    /// How many images
    #[arg(long, value_name = "N", default_value = "64")]
    images: NonZeroUsize,
    /// How many images in a row
    #[arg(long, value_name = "N", default_value = "8")]
    columns: NonZeroUsize,
    /// Which epoch, from 1: each sees them differently
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    epoch: u64,
    #[command(flatten)]
    plan: PlanArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// `residua.data-show/1`
#[derive(Serialize)]
struct ShowReport<'a> {
    schema: &'static str,
    picture: &'a Path,
    /// Row by row.
    images: Vec<ShownImage>,
}

#[derive(Serialize)]
struct ShownImage {
    /// Index of its class, or the indices of all classes that it shows.
    class: ShownClasses,
    /// The same of the image that was mixed in, if any, and the share of the own image.
    mixed_with: Option<(ShownClasses, f32)>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownClasses {
    One(u32),
    Several(Vec<u32>),
}

impl ShownClasses {
    fn of(labels: &Labels, image: usize) -> Self {
        match (labels, labels.shown(image)) {
            (Labels::Classes(_), [class]) => Self::One(*class),
            (_, several) => Self::Several(several.to_vec()),
        }
    }
}

pub(super) fn run(args: &ShowArgs) -> Result<(), Failure> {
    if output::extension(&args.out) != "png" {
        return Err(Failure::usage(format!(
            "--out {}: expected a name that ends with .png",
            args.out.display()
        )));
    }
    let config = args.plan.finish(args.plan.begin()?)?;
    let batch = training_batch(&config, args.epoch - 1, args.images)
        .map_err(|error| args.plan.failure(error, &config))?;
    let normalisation = &config.preprocessing.normalisation;
    let sheet = contact_sheet(&batch, normalisation, args.columns).map_err(Failure::bad_input)?;
    let (height, width) = (sheet.height() as u32, sheet.width() as u32);
    let picture = image::RgbImage::from_raw(width, height, sheet.rgb().to_vec())
        .ok_or_else(|| Failure::failed("the sheet has another size than it says"))?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(Failure::failed)?;
    write_file(&args.out, bytes.get_ref())?;
    if !args.json {
        return output::print(&args.out.display().to_string());
    }
    let mixture = batch.mixture.as_ref();
    let images = (0..batch.labels.len()).map(|index| ShownImage {
        class: ShownClasses::of(&batch.labels, index),
        mixed_with: mixture.map(|mixture| {
            let partner = ShownClasses::of(&mixture.partner_labels, index);
            (partner, mixture.shares[index])
        }),
    });
    output::print_json(&ShowReport {
        schema: "residua.data-show/1",
        picture: &args.out,
        images: images.collect(),
    })
}
