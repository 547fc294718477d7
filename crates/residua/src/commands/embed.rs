//! `residua embed`: pictures as points.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use npyz::{DType, TypeStr, WriterBuilder};
use residua::core::atomic_file;
use residua::core::metrics::MetricError;
use residua::core::task::Task;
use residua::data::Transform;
use residua::graph::NodeId;
use residua::report::chart::{Axis, Chart, CloudChart, CloudGroup, Point, Size};
use residua::train::explain::{
    Projection, before_classifier, embed, embedding_length, principal_components,
};
use residua::train::{LoadedModel, RankedClass, class_probabilities, image_tensor, rank_classes};
use serde::Serialize;
use zip::write::SimpleFileOptions;

use super::device::ComputeArgs;
use super::explain::names::layer;
use super::model_source::{ModelArgs, chosen_classes, class_name};
use super::pictures::{self, PictureBatch, Skipped};
use super::progress::image_bar;
use crate::failure::Failure;
use crate::output::{self, PictureForm};

#[derive(Debug, Args)]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Image files, or folders of them
    #[arg(required = true, value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
    /// Where the points go: a .csv or a .npz file
    #[arg(long, value_name = "FILE", default_value = "embeddings.csv")]
    out: PathBuf,
    /// A picture of the points in the plane (.svg or .png): their two principal components, coloured by
    /// the folder of each image
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The layer whose values are taken; a map is averaged over its pixels [default: what the classifier
    /// reads]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Images that are computed at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

/// `residua.embed/1`
#[derive(Serialize)]
struct EmbedReport<'a> {
    schema: &'static str,
    model: &'a str,
    layer: &'a str,
    /// Values for each image.
    length: usize,
    images: usize,
    embeddings: &'a Path,
    plot: Option<&'a Path>,
    /// Share of the points' variance that each axis of the plot shows.
    explained: Option<[f64; 2]>,
    /// Images that could not be read, or that the network computes no numbers for.
    skipped: Skipped,
}

pub(crate) fn run(args: &EmbedArgs) -> Result<(), Failure> {
    let form = Form::of(&args.out)?;
    let picture = args.plot.as_deref().map(PictureForm::of).transpose()?;
    let device = args.compute.device()?;
    let model = args.model.load(&device)?;
    let graph = model.network.graph();
    let tap = match &args.layer {
        Some(name) => layer(graph, name)?,
        None => before_classifier(graph).ok_or_else(|| {
            Failure::bad_input("this network has no linear classifier; name a --layer")
        })?,
    };
    let length = embedding_length(graph, tap);
    let Embedded { points, skipped } = embed_all(args, &model, tap)?;
    if points.is_empty() {
        return skipped.ending(0);
    }
    let table = PointTable {
        points: &points,
        length,
    };
    output::create_parent(&args.out)?;
    let place = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| Failure::failed(format!("{path}: {error}"))
    };
    match form {
        Form::Csv => table.write_csv(&args.out),
        Form::Npz => table.write_npz(&args.out),
    }
    .map_err(place(&args.out))?;
    let mut explained = None;
    if let (Some(form), Some(path)) = (picture, &args.plot) {
        let values: Vec<f32> = { points.iter() }
            .flat_map(|point| point.values.iter().copied())
            .collect();
        let projection = principal_components(&values, length);
        explained = Some(projection.explained);
        let chart = chart(&model, &points, &projection);
        let bytes = form.bytes(&chart)?;
        output::write_file(path, &bytes)?;
    }
    let report = EmbedReport {
        schema: "residua.embed/1",
        model: &model.record.model,
        layer: &graph.node(tap).name,
        length,
        images: points.len(),
        embeddings: &args.out,
        plot: args.plot.as_deref(),
        explained,
        skipped,
    };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text())?;
    }
    report.skipped.ending(report.images)
}

impl EmbedReport<'_> {
    fn text(&self) -> String {
        let mut text = format!(
            "{} images as {} values of {} each: {}\n",
            self.images,
            self.length,
            self.layer,
            self.embeddings.display()
        );
        if let (Some(plot), Some([first, second])) = (self.plot, self.explained) {
            text += &format!(
                "Their two principal components ({} and {} of the variance): {}\n",
                output::percent(first),
                output::percent(second),
                plot.display()
            );
        }
        text
    }
}

/// An image as a point.
struct EmbeddedImage {
    path: PathBuf,
    predicted: String,
    values: Vec<f32>,
}

struct Embedded {
    points: Vec<EmbeddedImage>,
    skipped: Skipped,
}

fn embed_all(args: &EmbedArgs, model: &LoadedModel, tap: NodeId) -> Result<Embedded, Failure> {
    let (files, mut skipped) = pictures::find(&args.images)?;
    let transform =
        Transform::evaluation(&model.record.preprocessing).map_err(Failure::bad_input)?;
    let length = embedding_length(model.network.graph(), tap);
    let bar = image_bar("embedding", files.len() as u64, args.quiet);
    let mut points = Vec::new();
    for files in files.chunks(args.batch_size as usize) {
        let PictureBatch { paths, images } =
            PictureBatch::read(files, &transform, &bar, &mut skipped);
        if paths.is_empty() {
            continue;
        }
        let predicted = predicted(model, images.clone());
        let values = embed(&model.network, image_tensor(&model.network, images), tap)?;
        let found = paths.into_iter().zip(predicted).zip(values.chunks(length));
        for ((path, predicted), values) in found {
            match predicted {
                Ok(predicted) => points.push(EmbeddedImage {
                    path: path.to_owned(),
                    predicted,
                    values: values.to_vec(),
                }),
                Err(error) => skipped.add(&bar, path, format!("{}: {error}", path.display())),
            }
        }
    }
    bar.finish_and_clear();
    Ok(Embedded { points, skipped })
}

/// What each image is taken for: its class, or all the classes that it shows; or why that is unknown.
fn predicted(model: &LoadedModel, images: Vec<f32>) -> Vec<Result<String, MetricError>> {
    let LoadedModel { network, record } = model;
    match record.task() {
        Task::SingleLabel => {
            let name = |best: Vec<RankedClass>| class_name(record, best[0].class).to_owned();
            let ranked = rank_classes(network, images, 1, 1.0).into_iter();
            ranked.map(|ranked| ranked.map(name)).collect()
        }
        Task::MultiLabel => {
            let name = |probabilities: Vec<f32>| chosen_classes(record, &probabilities);
            let found = class_probabilities(network, images).into_iter();
            found.map(|found| found.map(name)).collect()
        }
    }
}

/// The form of a file of points.
#[derive(Clone, Copy)]
enum Form {
    Csv,
    Npz,
}

impl Form {
    fn of(path: &Path) -> Result<Self, Failure> {
        match output::extension(path).as_str() {
            "csv" => Ok(Self::Csv),
            "npz" => Ok(Self::Npz),
            _ => Err(Failure::usage(format!(
                "--out {}: expected a name that ends with .csv or .npz",
                path.display()
            ))),
        }
    }
}

/// The points as a file.
struct PointTable<'a> {
    points: &'a [EmbeddedImage],
    length: usize,
}

impl PointTable<'_> {
    fn write_csv(&self, path: &Path) -> io::Result<()> {
        atomic_file::replace(path, |writer| {
            let mut csv = csv::Writer::from_writer(writer);
            let names = (0..self.length).map(|index| format!("value_{index}"));
            let head = ["image".to_owned(), "predicted".to_owned()];
            csv.write_record(head.into_iter().chain(names))?;
            for point in self.points {
                let values = point.values.iter().map(|value| value.to_string());
                let image = point.path.display().to_string();
                csv.write_record([image, point.predicted.clone()].into_iter().chain(values))?;
            }
            csv.flush()
        })
    }

    /// Arrays `embeddings` (`[N, length]`, 32-bit), `images` and `predicted` (`[N]`, UTF-8 bytes).
    fn write_npz(&self, path: &Path) -> io::Result<()> {
        let images = { self.points.iter() }.map(|point| point.path.display().to_string());
        let predicted = self.points.iter().map(|point| point.predicted.clone());
        let arrays = [
            ("embeddings", self.values()?),
            ("images", text_array(images.collect())?),
            ("predicted", text_array(predicted.collect())?),
        ];
        atomic_file::replace(path, |writer| {
            let mut archive = zip::ZipWriter::new(writer);
            for (name, bytes) in arrays {
                archive.start_file(format!("{name}.npy"), SimpleFileOptions::default())?;
                archive.write_all(&bytes)?;
            }
            archive.finish()?;
            Ok::<(), io::Error>(())
        })
    }

    fn values(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&[self.points.len() as u64, self.length as u64])
            .writer(&mut bytes)
            .begin_nd()?;
        for point in self.points {
            writer.extend(point.values.iter().copied())?;
        }
        writer.finish()?;
        Ok(bytes)
    }
}

/// Texts as NumPy's byte strings, as long as the longest.
fn text_array(texts: Vec<String>) -> io::Result<Vec<u8>> {
    let longest = texts.iter().map(String::len).max().unwrap_or(0).max(1);
    let kind: TypeStr = format!("|S{longest}")
        .parse()
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .dtype(DType::Plain(kind))
        .shape(&[texts.len() as u64])
        .writer(&mut bytes)
        .begin_nd()?;
    writer.extend(texts.into_iter().map(String::into_bytes))?;
    writer.finish()?;
    Ok(bytes)
}

/// The points in the plane, in groups by the folders they lie in, or else by what they were taken for.
fn chart(model: &LoadedModel, points: &[EmbeddedImage], projection: &Projection) -> Chart {
    let folder = |point: &EmbeddedImage| {
        let parent = point.path.parent().and_then(Path::file_name);
        parent.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let folders: BTreeSet<String> = points.iter().map(folder).collect();
    let group = |point: &EmbeddedImage| match folders.len() {
        1 => point.predicted.clone(),
        _ => folder(point),
    };
    let mut groups: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for (point, [x, y]) in points.iter().zip(&projection.points) {
        let group = groups.entry(group(point)).or_default();
        group.push(Point::new(*x, *y));
    }
    let axis = |number: &str, share: f64| {
        Axis::new(format!(
            "{number} principal component, {} of the variance",
            output::percent(share)
        ))
    };
    let [first, second] = projection.explained;
    CloudChart {
        title: format!(
            "{} images as {} sees them",
            points.len(),
            model.record.model
        ),
        horizontal: axis("first", first),
        vertical: axis("second", second),
        groups: groups
            .into_iter()
            .map(|(name, points)| CloudGroup { name, points })
            .collect(),
        size: Size::PAGE,
    }
    .into()
}
