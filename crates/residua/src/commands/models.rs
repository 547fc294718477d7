//! `residua models`: the catalog, and one network in detail.

use std::path::PathBuf;

use super::variations::VariationArgs;
use clap::{Args, Subcommand};
use residua::core::atomic_file;
use residua::graph::catalog::{self, BuildOptions, Entry, VariationOptions};
use residua::graph::{Axis, Graph, NodeId, Operation, Shape, svg};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Column, grouped, scaled};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ModelsArgs {
    /// A name, or a pattern such as 'resnet*' or '*{20,56}'
    glob: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print the table of docs/models.md
    #[arg(long, hide = true, conflicts_with = "json")]
    markdown: bool,
    #[command(subcommand)]
    command: Option<ModelsCommand>,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Print the layer table of one network, and draw it
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The network
    name: String,
    /// Write a drawing to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Number of classes [default: as published]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    classes: Option<u32>,
    /// Height and width of the image [default: as published]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..))]
    input_size: Option<u16>,
    #[command(flatten)]
    variations: VariationArgs,
}

pub(crate) fn run(args: &ModelsArgs) -> Result<(), Failure> {
    match &args.command {
        Some(ModelsCommand::Show(show)) => run_show(show),
        None => run_list(args),
    }
}

/// `residua.models/1`
#[derive(Serialize)]
struct ModelsReport {
    schema: &'static str,
    models: Vec<ModelRow>,
}

#[derive(Serialize)]
struct ModelRow {
    name: String,
    parameters: u64,
    macs: u64,
    /// Height, width, channels.
    input: [usize; 3],
    classes: usize,
    paper: &'static str,
    /// Who publishes weights that fit.
    weights: Option<&'static str>,
}

impl ModelRow {
    fn new(entry: &Entry, graph: &Graph) -> Self {
        Self {
            name: graph.name().to_owned(),
            parameters: graph.trainable_parameters(),
            macs: graph.macs(),
            input: dimensions(graph.input_shape()),
            classes: graph.output_shape().channels(),
            paper: entry.paper,
            weights: entry.weights.map(|weights| weights.by),
        }
    }

    fn input(&self) -> String {
        let [height, width, channels] = self.input;
        format!("{height}×{width}×{channels}")
    }
}

fn dimensions(shape: Shape) -> [usize; 3] {
    let [height, width] = shape.spatial();
    [height, width, shape.channels()]
}

fn run_list(args: &ModelsArgs) -> Result<(), Failure> {
    let entries = match &args.glob {
        Some(pattern) => catalog::matching(pattern).map_err(Failure::bad_input)?,
        None => catalog::entries(),
    };
    let mut models = Vec::with_capacity(entries.len());
    for entry in &entries {
        let graph = entry
            .build(&BuildOptions::default())
            .map_err(Failure::failed)?;
        models.push(ModelRow::new(entry, &graph));
    }
    if args.json {
        return output::print_json(&ModelsReport {
            schema: "residua.models/1",
            models,
        });
    }
    if args.markdown {
        return output::print(&markdown(&models));
    }
    let rows = models.iter().map(|model| {
        vec![
            model.name.clone(),
            grouped(model.parameters),
            scaled(model.macs),
            model.input(),
            model.classes.to_string(),
        ]
    });
    let columns = [
        Column::Left("model"),
        Column::Right("parameters"),
        Column::Right("MACs"),
        Column::Right("input"),
        Column::Right("classes"),
    ];
    output::print(&output::table(&columns, rows.collect()))?;
    if args.glob.is_none() {
        eprintln!(
            "\nThere are more by rule: resnetN, plainN, se_resnetN, cbam_resnetN and preact_resnetN for \
             other depths N = 6n + 2, wrnN_K for N = 6n + 4, resnext29_PxWd, densenetN_kG for \
             N = 3n + 4, densenet_bcN_kG for N = 6n + 4."
        );
    }
    Ok(())
}

/// The page about the catalog in the documentation.
fn markdown(models: &[ModelRow]) -> String {
    let mut page = include_str!("models_page.md").to_owned();
    page += "| name | parameters | MACs | input | classes | weights | paper |\n";
    page += "| --- | ---: | ---: | --- | ---: | --- | --- |\n";
    for model in models {
        page += &format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |\n",
            model.name,
            grouped(model.parameters),
            scaled(model.macs),
            model.input(),
            model.classes,
            model.weights.unwrap_or(""),
            model.paper
        );
    }
    page
}

/// `residua.model-layers/1`
#[derive(Serialize)]
struct LayersReport {
    schema: &'static str,
    #[serde(flatten)]
    model: ModelRow,
    layers: Vec<LayerRow>,
}

#[derive(Serialize)]
struct LayerRow {
    name: String,
    operation: String,
    inputs: Vec<String>,
    /// Shape of one sample: height, width, channels; or features.
    output: Vec<usize>,
    parameters: u64,
    macs: u64,
}

fn run_show(args: &ShowArgs) -> Result<(), Failure> {
    let entry = catalog::find(&args.name).map_err(Failure::bad_input)?;
    let mut variations = VariationOptions::default();
    args.variations.apply(&mut variations);
    let options = BuildOptions {
        variations,
        classes: args.classes.map(|classes| classes as usize),
        input: args
            .input_size
            .map(|side| Shape::map(side.into(), side.into(), entry.input.channels())),
    };
    let graph = catalog::build(&args.name, &options).map_err(Failure::bad_input)?;
    if let Some(file) = &args.svg {
        atomic_file::replace_with(file, svg(&graph).as_bytes())
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    }
    let layers: Vec<LayerRow> = graph.ids().map(|id| layer(&graph, id)).collect();
    let model = ModelRow::new(&entry, &graph);
    if args.json {
        return output::print_json(&LayersReport {
            schema: "residua.model-layers/1",
            model,
            layers,
        });
    }
    output::print(&layer_table(&graph, layers))?;
    output::print(&format!(
        "\n{}: {} parameters, {} multiply-accumulates for an image of {}\n{}",
        graph.name(),
        grouped(graph.trainable_parameters()),
        scaled(graph.macs()),
        graph.input_shape(),
        entry.paper
    ))?;
    if let Some(file) = &args.svg {
        eprintln!("Drawing written to {}", file.display());
    }
    Ok(())
}

fn layer_table(graph: &Graph, layers: Vec<LayerRow>) -> String {
    let shapes = graph.ids().map(|id| graph.shape_of(id).to_string());
    let number = |value: u64, format: fn(u64) -> String| match value {
        0 => String::new(),
        _ => format(value),
    };
    let rows = layers.into_iter().zip(shapes).map(|(layer, shape)| {
        vec![
            layer.name,
            layer.operation,
            shape,
            number(layer.parameters, grouped),
            number(layer.macs, scaled),
        ]
    });
    let columns = [
        Column::Left("layer"),
        Column::Left("operation"),
        Column::Right("output"),
        Column::Right("parameters"),
        Column::Right("MACs"),
    ];
    output::table(&columns, rows.collect())
}

fn layer(graph: &Graph, id: NodeId) -> LayerRow {
    let node = graph.node(id);
    let output = match node.shape {
        Shape::Map { .. } => dimensions(node.shape).to_vec(),
        Shape::Vector { features } => vec![features],
    };
    let state = graph.state_of(id);
    let trained = state.iter().filter(|entry| entry.role.is_trainable());
    LayerRow {
        name: node.name.clone(),
        operation: describe(graph, id),
        inputs: node
            .inputs
            .iter()
            .map(|input| graph.node(*input).name.clone())
            .collect(),
        output,
        parameters: trained.map(|entry| entry.elements() as u64).sum(),
        macs: graph.macs_of(id),
    }
}

/// The operation in the field's notation, `3×3 convolution, 64, /2` for instance.
fn describe(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let window = |[height, width]: [usize; 2], [stride, _]: [usize; 2], name: String| {
        let stride = if stride > 1 {
            format!(", /{stride}")
        } else {
            String::new()
        };
        format!("{height}×{width} {name}{stride}")
    };
    let inputs = |separator: &str| {
        let names = node.inputs.iter();
        let names: Vec<&str> = names.map(|id| graph.node(*id).name.as_str()).collect();
        names.join(separator)
    };
    let kind = node.operation.kind();
    match node.operation {
        Operation::Convolution(c) => window(
            c.kernel,
            c.stride,
            format!("convolution, {}", c.out_channels),
        ),
        Operation::MaxPool(pool) => window(pool.kernel, pool.stride, kind.to_owned()),
        Operation::AveragePool(pool) => window(pool.kernel, pool.stride, kind.to_owned()),
        Operation::AdaptiveAveragePool([height, width]) => {
            format!("average pool to {height}×{width}")
        }
        Operation::GroupNorm(norm) => format!("{kind}, {} groups", norm.groups),
        Operation::Dropout(dropout) => {
            let rate = (dropout.rate * 1000.0).round() / 1000.0;
            format!("{kind} {rate}")
        }
        Operation::ChannelConvolution(c) => format!("convolution over {} channels", c.kernel),
        Operation::PathSoftmax { paths } => format!("softmax over {paths} paths"),
        Operation::SelfAttention(attention) => format!("{kind}, {} heads", attention.heads),
        Operation::Slice(slice) => {
            let unit = match slice.axis {
                Axis::Rows => "rows",
                Axis::Channels => "channels",
            };
            let (first, last) = (slice.begin + 1, slice.begin + slice.length);
            format!("{unit} {first} to {last} of {}", inputs(""))
        }
        Operation::Concat(_) => format!("concatenate {}", inputs(", ")),
        Operation::Add => format!("add {}", inputs(" + ")),
        Operation::Gate => format!("multiply {}", inputs(" × ")),
        _ => kind.to_owned(),
    }
}
