//! How training went.

use maud::{Markup, html};
use residua_core::run::RunMetrics;
use residua_core::task::Measure;

use super::digest::{Digest, Epoch, Step};
use crate::chart::{Axis, Chart, LineChart, Look, Moment, Point, Series, Unit};
use crate::page::{figure, figures, prose};

/// Training stands back behind validation, which is what counts.
const TRAINING: Look = Look {
    hue: 1,
    line: crate::chart::Line::Solid,
};
const VALIDATION: Look = Look {
    hue: 0,
    line: crate::chart::Line::Solid,
};

pub(super) fn section(digest: &Digest<'_>, metrics: Option<&RunMetrics>) -> Markup {
    let curves = if digest.epochs.is_empty() {
        by_step(&digest.steps, digest.measure())
    } else {
        by_epoch(digest, metrics)
    };
    html! {
        @if curves.is_empty() {
            (prose("No step of this run was recorded."))
        }
        (figures(&curves))
    }
}

fn by_epoch(digest: &Digest<'_>, metrics: Option<&RunMetrics>) -> Vec<Markup> {
    let epochs = &digest.epochs;
    let line = |value: fn(&Epoch) -> f64| -> Vec<Point> {
        let points = epochs.iter();
        points
            .map(|e| Point::new(e.epoch as f64, value(e)))
            .collect()
    };
    let axis = || Axis::new("epoch").written(Unit::Whole);
    let recorded = metrics.map(|metrics| metrics.best_epoch);
    let best = recorded.or(digest.best().map(|best| best.epoch));
    let pointed_out: Vec<Moment> = { best.filter(|_| epochs.len() > 1).into_iter() }
        .map(|epoch| Moment {
            x: epoch as f64,
            name: format!("best, epoch {epoch}"),
        })
        .collect();
    let pair = |title: &str, vertical, training, validation| -> Chart {
        let series = vec![
            Series::new("training", training).looking(TRAINING),
            Series::new("validation", validation).looking(VALIDATION),
        ];
        let chart = LineChart::new(title, axis(), vertical).with_series(series);
        let events = pointed_out.clone();
        LineChart { events, ..chart }.into()
    };
    let score = match digest.measure() {
        Measure::Accuracy => figure(
            &pair(
                "Accuracy of each epoch",
                Axis::new("accuracy").written(Unit::Percent),
                line(|epoch| epoch.train_accuracy),
                line(|epoch| epoch.validation_accuracy),
            ),
            "Accuracy. In training it is measured on augmented images while the weights change, so it \
             may be lower than in validation.",
        ),
        Measure::RocAuc => {
            let axis = axis();
            let area = line(Epoch::score);
            let series = vec![Series::new("validation", area).looking(VALIDATION)];
            let chart = LineChart::new("ROC-AUC of each epoch", axis, Axis::new("mean ROC-AUC"));
            let chart = LineChart {
                events: pointed_out.clone(),
                ..chart.with_series(series)
            };
            figure(
                &chart.into(),
                "Area under the ROC curve on the validation images, as the mean over classes: by it \
                 epochs are compared.",
            )
        }
    };
    let loss = pair(
        "Loss of each epoch",
        Axis::new("loss").including(0.0),
        line(|epoch| epoch.train_loss),
        line(|epoch| epoch.validation_loss),
    );
    let rate: Vec<Point> = match digest
        .steps_per_epoch()
        .filter(|_| !digest.steps.is_empty())
    {
        Some(steps_per_epoch) => { digest.steps.iter() }
            .map(|step| Point::new(step.step as f64 / steps_per_epoch, step.learning_rate))
            .collect(),
        None => line(|epoch| epoch.learning_rate),
    };
    // From the begin of the first epoch to the end of the last, where it steps only almost.
    let last = rate.last().map_or(0.0, |point| point.x.ceil());
    let epochs = axis().including(0.0).including(last);
    let rate = single("Learning rate", epochs, "learning rate", rate);
    let speed = line(|epoch| epoch.images_per_second);
    let speed = single("Speed of training", axis(), "images per second", speed);
    vec![
        score,
        figure(
            &loss,
            "Loss: the mean over the images of an epoch, as it is made small.",
        ),
        figure(&rate, "Learning rate."),
        figure(
            &speed,
            "Speed: training images per second, without validation.",
        ),
    ]
}

/// The first epoch of a run that has not finished it.
fn by_step(steps: &[Step], measure: Measure) -> Vec<Markup> {
    if steps.is_empty() {
        return Vec::new();
    }
    let line = |value: fn(&Step) -> f64| -> Vec<Point> {
        let points = steps.iter();
        points
            .map(|s| Point::new(s.step as f64, value(s)))
            .collect()
    };
    let axis = || Axis::new("step").written(Unit::Whole);
    let [title, label, caption] = match measure {
        Measure::Accuracy => [
            "Training accuracy",
            "accuracy",
            "Training accuracy, averaged since the epoch began.",
        ],
        Measure::RocAuc => [
            "Right answers in training",
            "right answers",
            "Share of the answers about classes that are right in training, averaged since the epoch \
             began.",
        ],
    };
    let accuracy = LineChart::new(title, axis(), Axis::new(label).written(Unit::Percent));
    let points = line(|step| step.accuracy);
    let accuracy: Chart = accuracy
        .with_series(vec![Series::new("training", points).looking(TRAINING)])
        .into();
    let loss = single("Training loss", axis(), "loss", line(|step| step.loss));
    let rate = single(
        "Learning rate",
        axis(),
        "learning rate",
        line(|step| step.learning_rate),
    );
    let speed = single(
        "Speed of training",
        axis(),
        "images per second",
        line(|step| step.images_per_second),
    );
    vec![
        figure(&accuracy, caption),
        figure(&loss, "Training loss, averaged since the epoch began."),
        figure(&rate, "Learning rate."),
        figure(&speed, "Training images per second since the epoch began."),
    ]
}

fn single(title: &str, horizontal: Axis, label: &str, points: Vec<Point>) -> Chart {
    let vertical = Axis::new(label).including(0.0);
    LineChart::new(title, horizontal, vertical)
        .with_series(vec![Series::new(label, points)])
        .into()
}
