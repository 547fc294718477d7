//! `residua explain`: the parts of pictures that a decision comes from.

pub(crate) mod names;
mod sanity;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use residua::core::metrics::{MetricError, ranking};
use residua::core::seed::SeedStream;
use residua::core::task::Task;
use residua::data::Transform;
use residua::graph::NodeId;
use residua::train::explain::{
    CamMethod, HeatMap, Occlusion, attribute, last_map, occlusion, saliency,
};
use residua::train::{
    LoadedModel, Network, RankedClass, TrainError, class_probabilities, image_tensor, rank_classes,
};
use serde::Serialize;

use super::device::ComputeArgs;
use super::model_source::{ModelArgs, class_name};
use super::overlay;
use super::pictures::{self, Skipped, prepare};
use super::progress::image_bar;
use crate::failure::Failure;
use crate::output::{self, Column, percent};
use names::{OutputNames, class_index};

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Image files, or folders of them
    #[arg(required = true, value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
    /// The class to explain, by name or number [default: the predicted one of each image]
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// How the map is made
    #[arg(long, value_enum, default_value = "gradcam")]
    method: MethodName,
    /// The layer whose values are weighed, for the methods with 'cam' in their names [default: the last
    /// one that gives a map]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Folder for the pictures and maps
    #[arg(long, value_name = "DIR", default_value = "explanations")]
    out: PathBuf,
    /// Compare each map with that of a network of random weights: one that hardly differs says nothing
    /// about what was learned
    #[arg(long)]
    sanity: bool,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MethodName {
    /// Channels weighed by their mean gradients (Selvaraju et al. 2017)
    Gradcam,
    /// Channels weighed by their positive gradients (Chattopadhay et al. 2018)
    #[value(name = "gradcam++")]
    GradcamPlusPlus,
    /// Every number weighed by its own gradient (Jiang et al. 2021)
    Layercam,
    /// The direction in which values differ most, whatever the class (Muhammad and Yeasin 2020)
    Eigencam,
    /// The probability that is lost where a patch covers the image (Zeiler and Fergus 2014)
    Occlusion,
    /// The change of the score with each pixel (Simonyan et al. 2014)
    Saliency,
}

impl MethodName {
    fn cam(self) -> Option<CamMethod> {
        match self {
            Self::Gradcam => Some(CamMethod::GradCam),
            Self::GradcamPlusPlus => Some(CamMethod::GradCamPlusPlus),
            Self::Layercam => Some(CamMethod::LayerCam),
            Self::Eigencam => Some(CamMethod::EigenCam),
            Self::Occlusion | Self::Saliency => None,
        }
    }
}

/// `residua.explain/1`
#[derive(Serialize)]
struct ExplainReport<'a> {
    schema: &'static str,
    model: &'a str,
    method: String,
    /// The layer that was tapped, where the method taps one.
    layer: Option<&'a str>,
    explanations: Vec<Explanation<'a>>,
    /// Images that could not be read, or that the network computes no numbers for.
    skipped: Skipped,
}

#[derive(Serialize)]
struct Explanation<'a> {
    path: PathBuf,
    class: &'a str,
    /// Of that class.
    probability: f64,
    /// The image with the map on it.
    overlay: PathBuf,
    /// The map as a NumPy array.
    map: PathBuf,
    /// With the map of a network of random weights, between -1 and 1; null where one of them is the same
    /// everywhere, or nobody asked.
    correlation_with_random: Option<f64>,
}

pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let device = args.compute.device()?;
    let model = args.model.load(&device)?;
    let explainer = Explainer::new(args, &model)?;
    let report = explainer.explain_all()?;
    print(args, &report)?;
    report.skipped.ending(report.explanations.len())
}

/// Everything that explanations have in common.
struct Explainer<'a> {
    args: &'a ExplainArgs,
    model: &'a LoadedModel,
    transform: Transform,
    class: Option<usize>,
    tap: Option<NodeId>,
    /// The same network with random weights.
    random: Option<Network>,
}

/// The map of an image, before it is written.
struct FoundMap {
    class: usize,
    probability: f64,
    image: Vec<f32>,
    map: HeatMap,
    correlation_with_random: Option<f64>,
}

impl<'a> Explainer<'a> {
    fn new(args: &'a ExplainArgs, model: &'a LoadedModel) -> Result<Self, Failure> {
        let graph = model.network.graph();
        let tap = match (&args.layer, args.method.cam()) {
            (Some(_), None) => {
                return Err(Failure::usage(
                    "--layer goes with the methods that weigh a layer's values: gradcam, gradcam++, \
                     layercam, eigencam",
                ));
            }
            (None, None) => None,
            (Some(name), Some(_)) => Some(names::layer(graph, name)?),
            (None, Some(_)) => last_map(graph),
        };
        let class = match &args.class {
            Some(text) => Some(class_index(&model.record, text)?),
            None => None,
        };
        let random = args.sanity.then(|| {
            let device = model.network.device();
            Network::initialise(graph.clone(), SeedStream::new(0).child("sanity"), device)
        });
        Ok(Self {
            args,
            model,
            transform: Transform::evaluation(&model.record.preprocessing)
                .map_err(Failure::bad_input)?,
            class,
            tap,
            random,
        })
    }

    fn explain_all(&self) -> Result<ExplainReport<'a>, Failure> {
        let (files, mut skipped) = pictures::find(&self.args.images)?;
        let bar = image_bar("explaining", files.len() as u64, self.args.quiet);
        let mut names = OutputNames::new(&self.args.out);
        let mut explanations = Vec::new();
        for path in &files {
            let found = prepare(path, &self.transform).and_then(|image| self.find_map(path, image));
            match found {
                Ok(found) => explanations.push(self.write(path, found, &mut names)?),
                Err(reason) => skipped.add(&bar, path, reason),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let graph = self.model.network.graph();
        Ok(ExplainReport {
            schema: "residua.explain/1",
            model: &self.model.record.model,
            method: method_name(self.args.method),
            layer: self.tap.map(|tap| graph.node(tap).name.as_str()),
            explanations,
            skipped,
        })
    }

    /// What an image is taken for, and why; or why that cannot be told.
    fn find_map(&self, path: &Path, image: Vec<f32>) -> Result<FoundMap, String> {
        let place = |error: TrainError| format!("{}: {error}", path.display());
        let ranked = self
            .ranked(image.clone())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let class = self.class.unwrap_or(ranked[0].class);
        let chosen = ranked.iter().find(|ranked| ranked.class == class);
        let map = self
            .map(&self.model.network, &image, class)
            .map_err(place)?;
        let correlation_with_random = match &self.random {
            Some(random) => {
                let other = self.map(random, &image, class).map_err(place)?;
                sanity::rank_correlation(&map.values, &other.values)
            }
            None => None,
        };
        Ok(FoundMap {
            class,
            probability: chosen.map_or(0.0, |ranked| ranked.probability),
            image,
            map,
            correlation_with_random,
        })
    }

    /// All classes, the most probable first: each by its own probability, where an image shows any number
    /// of them.
    fn ranked(&self, image: Vec<f32>) -> Result<Vec<RankedClass>, MetricError> {
        let LoadedModel { network, record } = self.model;
        match record.task() {
            Task::SingleLabel => {
                rank_classes(network, image, record.classes.len(), 1.0).swap_remove(0)
            }
            Task::MultiLabel => {
                let probabilities = class_probabilities(network, image).swap_remove(0)?;
                let of = |class| RankedClass {
                    class,
                    probability: f64::from(probabilities[class]),
                };
                Ok(ranking(&probabilities).into_iter().map(of).collect())
            }
        }
    }

    fn write(
        &self,
        path: &Path,
        found: FoundMap,
        names: &mut OutputNames,
    ) -> Result<Explanation<'a>, Failure> {
        let class = class_name(&self.model.record, found.class);
        let mut method = method_name(self.args.method);
        if let Some(layer) = &self.args.layer {
            method += &format!(".{layer}");
        }
        let files = names.next(path, &method, class);
        let out = &self.args.out;
        fs::create_dir_all(out)
            .map_err(|error| Failure::failed(format!("{}: {error}", out.display())))?;
        let picture = overlay::draw(&found.image, &self.model.record.preprocessing, &found.map);
        picture
            .save(&files.overlay)
            .map_err(|error| Failure::failed(format!("{}: {error}", files.overlay.display())))?;
        overlay::write_map(&files.map, &found.map)
            .map_err(|error| Failure::failed(format!("{}: {error}", files.map.display())))?;
        Ok(Explanation {
            path: path.to_owned(),
            class,
            probability: found.probability,
            overlay: files.overlay,
            map: files.map,
            correlation_with_random: found.correlation_with_random,
        })
    }

    /// The map of one prepared image.
    fn map(&self, network: &Network, image: &[f32], class: usize) -> Result<HeatMap, TrainError> {
        let images = || image_tensor(network, image.to_vec());
        match (self.args.method.cam(), self.tap) {
            (Some(method), Some(tap)) => {
                let found = attribute(network, images(), tap, Some(class))?;
                Ok(method.maps(&found).swap_remove(0))
            }
            _ if self.args.method == MethodName::Occlusion => {
                let size = network.graph().input_shape().spatial();
                let settings = Occlusion::for_size(size);
                let task = self.model.record.task();
                Ok(occlusion(network, image, Some(class), task, settings))
            }
            _ => Ok(saliency(network, images(), Some(class)).swap_remove(0)),
        }
    }
}

fn method_name(method: MethodName) -> String {
    let value = method.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn print(args: &ExplainArgs, report: &ExplainReport<'_>) -> Result<(), Failure> {
    if args.json {
        return output::print_json(report);
    }
    if report.explanations.is_empty() {
        return Ok(());
    }
    let rows = report.explanations.iter().map(|explanation| {
        let mut row = vec![
            explanation.path.display().to_string(),
            format!("{} {}", explanation.class, percent(explanation.probability)),
            explanation.overlay.display().to_string(),
        ];
        if args.sanity {
            let correlation = explanation.correlation_with_random;
            row.push(correlation.map_or_else(|| "–".to_owned(), |number| format!("{number:.2}")));
        }
        row
    });
    let mut columns = vec![
        Column::Left("image"),
        Column::Left("class"),
        Column::Left("picture"),
    ];
    if args.sanity {
        columns.push(Column::Right("random weights"));
    }
    output::print(&output::table(&columns, rows.collect()))?;
    if args.sanity {
        eprintln!("{}", sanity::MEANING);
    }
    Ok(())
}
