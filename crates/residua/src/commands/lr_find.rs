//! `residua lr-find`: a learning rate to begin with.

use std::path::{Path, PathBuf};

use clap::Args;
use residua::graph::catalog;
use residua::report::chart::{Axis, LineChart, Point, Scale, Series, Size};
use residua::train::{RateCurve, RateSearch, RunOptions, search_rate};
use serde::Serialize;

use super::device::{ComputeArgs, LoadingArgs};
use super::progress::{TrainingProgress, bar};
use super::train::{PlanArgs, stop_on_signals};
use super::variations::VariationArgs;
use crate::failure::Failure;
use crate::output::{self, PictureForm, write_file};

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct LrFindArgs {
    /// A network of the catalog [default: resnet20; resnet18 for folders]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Rate of the first step
    #[arg(long, value_name = "RATE", default_value_t = RateSearch::default().lowest)]
    from: f64,
    /// Rate of the last step
    #[arg(long, value_name = "RATE", default_value_t = RateSearch::default().highest)]
    to: f64,
    /// Steps from one to the other
    #[arg(long, value_name = "N", default_value_t = RateSearch::default().steps)]
    steps: u64,
    /// Also draw the curve (.svg or .png)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    variations: VariationArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    loading: LoadingArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

/// `residua.lr-find/1`
#[derive(Serialize)]
struct LrFindReport<'a> {
    schema: &'static str,
    model: &'a str,
    /// A peak rate to begin with; null where the loss never fell.
    suggestion: Option<f64>,
    /// Of the least smoothed loss.
    lowest_loss_rate: Option<f64>,
    points: Vec<PointReport>,
    plot: Option<&'a Path>,
}

#[derive(Serialize)]
struct PointReport {
    learning_rate: f64,
    /// Smoothed.
    loss: f64,
}

pub(crate) fn run(args: &LrFindArgs) -> Result<(), Failure> {
    let form = args.plot.as_deref().map(PictureForm::of).transpose()?;
    let mut config = args.plan.begin()?;
    if let Some(model) = &args.model {
        catalog::find(model).map_err(Failure::bad_input)?;
        config.model.clone_from(model);
    }
    args.variations.apply(&mut config.variations);
    let config = args.plan.finish(config)?;
    let options = RunOptions {
        device: args.compute.device()?,
        workers: args.loading.workers,
        cache: args.loading.cache.clone(),
        stop: stop_on_signals()?,
        stop_after_epoch: None,
    };
    let search = RateSearch {
        lowest: args.from,
        highest: args.to,
        steps: args.steps,
    };
    let mut progress = TrainingProgress::new(args.quiet);
    let template = "searching {bar:30} {pos}/{len} steps  {elapsed}";
    let bar = bar(search.steps, template, args.quiet);
    let found = search_rate(&config, &options, &search, &mut progress, &mut |_| {
        bar.inc(1);
    });
    bar.finish_and_clear();
    progress.clear();
    let curve = found.map_err(|error| args.plan.failure(error, &config))?;
    if let (Some(form), Some(path)) = (form, &args.plot) {
        let chart = chart(&config.model, &curve).into();
        write_file(path, &form.bytes(&chart)?)?;
    }
    let lowest = curve.lowest_loss().map(|point| point.learning_rate);
    if args.json {
        let points = curve.points.iter().map(|point| PointReport {
            learning_rate: point.learning_rate,
            loss: point.loss,
        });
        return output::print_json(&LrFindReport {
            schema: "residua.lr-find/1",
            model: &config.model,
            suggestion: curve.suggestion(),
            lowest_loss_rate: lowest,
            points: points.collect(),
            plot: args.plot.as_deref(),
        });
    }
    output::print(&text(&curve, args.plot.as_deref()))
}

fn text(curve: &RateCurve, plot: Option<&Path>) -> String {
    let mut text = match (curve.suggestion(), curve.lowest_loss()) {
        (Some(suggestion), Some(lowest)) => format!(
            "The loss was least, {:.3}, at a rate of {rate}. Begin with a tenth of it, --lr {}; as \
             the peak of a one-cycle schedule, --lr {rate} itself is worth a try\n",
            lowest.loss,
            short(suggestion),
            rate = short(lowest.learning_rate),
        ),
        _ => "The loss never fell: try lower rates with --from, and look at the data\n".to_owned(),
    };
    if let Some(plot) = plot {
        text += &format!("Curve: {}\n", plot.display());
    }
    text
}

/// Two digits are more than the search can tell.
fn short(rate: f64) -> String {
    let digits = (1 - rate.log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{rate:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn chart(model: &str, curve: &RateCurve) -> LineChart {
    let points = curve.points.iter();
    let points = points.map(|point| Point::new(point.learning_rate, point.loss));
    LineChart::new(
        format!("Loss of {model} while the learning rate rises"),
        Axis::new("learning rate").scaled(Scale::Logarithmic),
        Axis::new("training loss, smoothed"),
    )
    .with_series(vec![Series::new("loss", points.collect())])
    .sized(Size::PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        let texts = [0.123456, 0.1, 0.00061234, 3.21, 14.2, 250.0].map(short);
        assert_eq!(texts, ["0.12", "0.1", "0.00061", "3.2", "14", "250"]);
    }
}
