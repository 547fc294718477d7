//! The figures of a comparison.

use residua_core::metrics::convergence::Summary;
use residua_core::task::Measure;

use super::{ComparedNetwork, ComparedRun, Comparison, EpochPoint};
use crate::chart::{
    Axis, Chart, LabelledPoint, LineChart, Point, Scale, ScatterChart, Series, Size, Unit,
};
use crate::measure;

/// The means over the runs of a network at an epoch that all of them have.
struct MeanEpoch {
    epoch: u64,
    seconds: f64,
    score: Summary,
}

impl ComparedNetwork {
    fn mean_epochs(&self) -> Vec<MeanEpoch> {
        let with_epochs: Vec<&ComparedRun> = { self.runs.iter() }
            .filter(|run| !run.epochs.is_empty())
            .collect();
        let Some(first) = with_epochs.first() else {
            return Vec::new();
        };
        { first.epochs.iter() }
            .filter_map(|point| {
                let same: Option<Vec<&EpochPoint>> = { with_epochs.iter() }
                    .map(|run| run.epochs.iter().find(|other| other.epoch == point.epoch))
                    .collect();
                let same = same?;
                let summary = |figure: fn(&EpochPoint) -> f64| {
                    let values: Vec<f64> = same.iter().map(|point| figure(point)).collect();
                    Summary::of(&values).ok()
                };
                Some(MeanEpoch {
                    epoch: point.epoch,
                    seconds: summary(|point| point.seconds_since_start)?.mean?,
                    score: summary(EpochPoint::score)?,
                })
            })
            .collect()
    }
}

/// A unit of time that gives handy numbers up to this many seconds.
fn time_unit(longest: f64) -> (f64, &'static str) {
    if longest >= 2.0 * 3600.0 {
        (3600.0, "hours")
    } else if longest >= 120.0 {
        (60.0, "minutes")
    } else {
        (1.0, "seconds")
    }
}

impl Comparison {
    /// Figure 1: the error against the trainable parameters.
    pub fn error_against_parameters(&self) -> Chart {
        let points = self.networks.iter().filter_map(|network| {
            let error = network.summary(|run| Some(run.error()));
            Some(LabelledPoint {
                label: network.name.clone(),
                x: network.parameters as f64,
                y: error.mean?,
                spread: error.standard_deviation,
            })
        });
        let measure = self.measure();
        let title = match measure {
            Measure::Accuracy => "Error against parameters",
            Measure::RocAuc => "ROC-AUC lacking against parameters",
        };
        ScatterChart {
            title: title.to_owned(),
            horizontal: Axis::new("trainable parameters")
                .scaled(Scale::Logarithmic)
                .written(Unit::Compact),
            vertical: Axis::new(self.error_name()).written(measure::unit(measure)),
            points: points.collect(),
            size: Size::PAGE,
        }
        .into()
    }

    /// Figure 2: validation accuracy against epochs.
    pub fn accuracy_against_epochs(&self) -> Chart {
        let axis = Axis::new("epoch").written(Unit::Whole);
        let title = format!("{} against epochs", measure::title(self.measure()));
        self.curves(&title, axis, |point| point.epoch as f64)
    }

    /// Figure 3: validation accuracy against the time spent.
    pub fn accuracy_against_time(&self) -> Chart {
        let times = self.runs().flat_map(|(_, run)| run.epochs.iter());
        let times = times.map(|epoch| epoch.seconds_since_start);
        let (unit, name) = time_unit(times.filter(|t| t.is_finite()).fold(0.0, f64::max));
        let axis = Axis::new(name).including(0.0);
        let title = format!("{} against time", measure::title(self.measure()));
        self.curves(&title, axis, |point| point.seconds / unit)
    }

    /// Scores below this are left out of the curves, so that those of trained networks can be told
    /// apart; `None` where too much would be missing.
    pub(super) fn lowest_shown(&self) -> Option<f64> {
        /// This much of the scale below the best score is shown.
        const REACH: f64 = 0.25;
        /// At least this share of the epochs must be.
        const LEAST_SHOWN: f64 = 0.8;
        let epochs = || self.runs().flat_map(|(_, run)| &run.epochs);
        let scores = || epochs().map(EpochPoint::score);
        let best = scores().filter(|a| a.is_finite()).reduce(f64::max)?;
        let lowest = ((best - REACH) * 20.0).floor() / 20.0;
        let shown = scores().filter(|&score| score >= lowest).count();
        let is_enough = shown as f64 >= LEAST_SHOWN * epochs().count() as f64;
        (is_enough && lowest > 0.0).then_some(lowest)
    }

    fn curves(&self, title: &str, horizontal: Axis, x: impl Fn(&MeanEpoch) -> f64) -> Chart {
        let lowest = self.lowest_shown().unwrap_or(f64::NEG_INFINITY);
        let series = self.networks.iter().map(|network| {
            let points = network.mean_epochs();
            let points = points.iter().map(|point| Point {
                x: x(point),
                y: { point.score.mean }
                    .filter(|&score| score >= lowest)
                    .unwrap_or(f64::NAN),
                spread: point.score.standard_deviation,
            });
            Series::new(network.name.clone(), points.collect())
        });
        let measure = self.measure();
        let label = format!("validation {}", measure.name());
        let vertical = Axis::new(label).written(measure::unit(measure));
        let chart = LineChart::new(title, horizontal, vertical).with_series(series.collect());
        LineChart {
            size: Size::PAGE,
            ..chart
        }
        .into()
    }
}
