//! Made-up runs that look like real ones, for tests and for the example.

// Neither the tests nor the example use all of it.
#![allow(dead_code)]

use residua_core::metrics::Classification;
use residua_core::metrics::judgement::{JudgedImages, Judgement};
use residua_core::metrics::multilabel::LabelledImages;
use residua_core::precision::Precision;
use residua_core::run::{
    Environment, Event, MultiLabelResults, RunMetrics, RunResults, SingleLabelResults,
};
use residua_core::task::Task;
use residua_report::chart::{Axis, Chart, Line, LineChart, Look, Point, Scale, Series, Size, Unit};
use residua_report::comparison::{ComparedNetwork, ComparedRun, Comparison, EpochPoint};
use residua_report::study::{Section, Study};
use residua_report::table::{Column, Table};
use residua_report::{GalleryItem, NetworkFacts, RunReport};
use resvg::tiny_skia::{Color, Pixmap, PremultipliedColorU8};

#[path = "sets.rs"]
mod sets;
#[allow(unused_imports)]
pub(crate) use sets::*;

/// What a name must not do to a page.
pub(crate) const HOSTILE: &str =
    "</title></style></pre><script>alert('1')</script>\"><img src=x onerror=\"y\">&";

pub(crate) const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Numbers between 0 and 1 that look random and are always the same.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub(crate) fn class_names(count: usize) -> Vec<String> {
    (0..count)
        .map(|class| match CLASSES.get(class) {
            Some(name) => (*name).to_owned(),
            None => format!("class {class}"),
        })
        .collect()
}

/// The evaluation of a network that confuses neighbouring classes and is too sure of itself.
pub(crate) fn metrics(classes: &[String], images: usize, seed: u64) -> RunMetrics {
    let count = classes.len();
    let mut noise = Noise::new(seed);
    let mut results = Classification::new(count);
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    for image in 0..images {
        let label = image % count.max(1);
        let clearness = 2.0 + 5.0 * noise.next() - if label % 5 == 3 { 1.5 } else { 0.0 };
        let row: Vec<f32> = (0..count)
            .map(|class| {
                let near = if class.abs_diff(label) == 2 { 1.4 } else { 0.0 };
                let own = if class == label { clearness } else { near };
                (1.6 * (own + 2.2 * noise.next() * noise.next())) as f32
            })
            .collect();
        results.record(&row, label).expect("finite logits");
        logits.extend(row);
        labels.push(label as u32);
    }
    let judged = JudgedImages {
        classes,
        logits: &logits,
        labels: &labels,
    };
    let name = |index: usize| format!("/data/cifar10/test_batch.bin, record {index}");
    let judgement = Judgement::new(judged, name, 24).expect("finite logits");
    let evaluation = results.summary();
    RunMetrics {
        schema: "residua.run-metrics/1".to_owned(),
        model: "resnet20".to_owned(),
        data: "cifar10:/data/cifar10".to_owned(),
        split: "test".to_owned(),
        classes: classes.to_vec(),
        parameters: 269_722,
        precision: Precision::F32,
        epochs: 30,
        best_epoch: 28,
        seconds: 1312.4,
        train_images_per_second: 1274.5,
        waiting_share: Some(0.004),
        results: RunResults::SingleLabel(Box::new(SingleLabelResults {
            last_accuracy: evaluation.accuracy - 0.002,
            evaluation,
            judgement: Some(judgement),
        })),
    }
}

/// The results of a run of images of one class each, to be changed.
pub(crate) fn single(metrics: &mut RunMetrics) -> &mut SingleLabelResults {
    match &mut metrics.results {
        RunResults::SingleLabel(results) => results,
        RunResults::MultiLabel(_) => panic!("expected images of one class each"),
    }
}

/// The evaluation of a network on images that show any number of classes: the later the class, the
/// harder, and nobody shows the last one.
pub(crate) fn multi_label_metrics(classes: &[String], images: usize, seed: u64) -> RunMetrics {
    let count = classes.len();
    let mut noise = Noise::new(seed);
    let (mut logits, mut truth) = (Vec::new(), Vec::new());
    for _ in 0..images {
        for class in 0..count {
            let is_shown = class + 1 < count && noise.next() < 0.25;
            let clearness = 4.0 / (1.0 + 0.5 * class as f64);
            let logit = if is_shown { clearness } else { 0.0 } + 3.0 * noise.next() - 3.0;
            logits.push(logit as f32);
            truth.push(is_shown);
        }
    }
    let labelled = LabelledImages {
        logits: &logits,
        truth: &truth,
        classes: count,
    };
    let thresholds = labelled.best_thresholds().expect("finite logits");
    let multilabel = labelled.evaluate(&thresholds).expect("finite logits");
    RunMetrics {
        split: "validation".to_owned(),
        data: "csv:/data/chests/labels.csv".to_owned(),
        results: RunResults::MultiLabel(Box::new(MultiLabelResults {
            last_roc_auc: multilabel.scores.score() - 0.01,
            multilabel,
        })),
        ..metrics(classes, 0, seed)
    }
}

/// The events of a run of images of any number of classes.
pub(crate) fn multi_label_events(epochs: u64, classes: &[String]) -> Vec<Event> {
    let mut events = events(epochs, epochs, classes);
    for event in &mut events {
        match event {
            Event::Start { task, .. } => *task = Task::MultiLabel,
            Event::Epoch {
                validation_accuracy,
                validation_roc_auc,
                ..
            } => *validation_roc_auc = Some(0.5 + 0.4 * *validation_accuracy),
            _ => {}
        }
    }
    events
}

pub(crate) fn start(epochs: u64, classes: &[String]) -> Event {
    Event::Start {
        schema: "residua.events/1".to_owned(),
        time: "2026-11-25T22:44:21Z".to_owned(),
        model: "resnet20".to_owned(),
        data: "cifar10:/data/cifar10".to_owned(),
        parameters: 269_722,
        precision: Precision::F32,
        train_images: 50_000,
        validation_images: 10_000,
        steps: 391 * epochs,
        epochs,
        seed: 0,
        task: Task::SingleLabel,
        classes: classes.to_vec(),
        environment: Environment {
            version: "0.1.0".to_owned(),
            system: "linux x86_64".to_owned(),
            processor: "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz".to_owned(),
            instruction_set: "AVX-512".to_owned(),
            threads: 2,
            device: "cpu".to_owned(),
        },
    }
}

/// How good a network is after an epoch, from 0 to 1.
fn progress(epoch: u64, noise: &mut Noise) -> f64 {
    1.0 - 1.0 / (1.0 + 0.45 * epoch as f64) + 0.01 * (noise.next() - 0.5)
}

/// What a run of `epochs` epochs records, if it ends after `finished` of them.
pub(crate) fn events(epochs: u64, finished: u64, classes: &[String]) -> Vec<Event> {
    let mut noise = Noise::new(7);
    let mut events = vec![start(epochs, classes)];
    let mut best = 0.0;
    for epoch in 1..=finished {
        let good = progress(epoch, &mut noise);
        for part in 1..=4 {
            let step = (epoch - 1) * 391 + part * 97;
            let share = step as f64 / (391 * epochs) as f64;
            events.push(Event::Step {
                step,
                epoch,
                loss: 2.3 * (1.0 - 0.9 * good),
                accuracy: 0.1 + 0.8 * good,
                learning_rate: 0.4 * (1.0 - (2.0 * share - 0.6).abs() / 1.4),
                images_per_second: 1200.0 + 100.0 * noise.next(),
            });
        }
        let validation_accuracy = 0.1 + 0.83 * progress(epoch, &mut noise);
        events.push(Event::Epoch {
            step: epoch * 391,
            epoch,
            train_loss: 2.3 * (1.0 - 0.92 * good),
            train_accuracy: 0.08 + 0.87 * good,
            validation_loss: 2.3 * (1.0 - 0.86 * good),
            validation_accuracy,
            learning_rate: 0.01,
            train_seconds: 39.0 + noise.next(),
            waiting_seconds: 0.0,
            validation_seconds: 2.4,
            images_per_second: 1270.0 + 60.0 * noise.next(),
            class_accuracies: Vec::new(),
            validation_roc_auc: None,
            class_roc_aucs: Vec::new(),
        });
        let mut checkpoint = |name: &str| {
            events.push(Event::Checkpoint {
                step: epoch * 391,
                name: name.to_owned(),
            });
        };
        checkpoint("last");
        if validation_accuracy > best {
            best = validation_accuracy;
            checkpoint("best");
        }
    }
    events
}

/// A small picture that is different for each number.
pub(crate) fn picture(number: u64, side: u32) -> Vec<u8> {
    let mut noise = Noise::new(number + 1);
    let mut pixels = Pixmap::new(side, side).expect("a side of at least 1");
    let base: Vec<f64> = (0..3).map(|_| noise.next()).collect();
    pixels.fill(Color::WHITE);
    for (index, pixel) in pixels.pixels_mut().iter_mut().enumerate() {
        let across = (index as u32 % side) as f64 / f64::from(side);
        let down = (index as u32 / side) as f64 / f64::from(side);
        let channel = |c: usize| {
            let wave = ((across * (3.0 + base[c] * 5.0)).sin() + (down * 6.0).cos()) / 4.0;
            (255.0 * (base[c] * 0.6 + 0.2 + wave).clamp(0.0, 1.0)) as u8
        };
        let opaque = PremultipliedColorU8::from_rgba(channel(0), channel(1), channel(2), 255);
        *pixel = opaque.expect("an opaque colour");
    }
    pixels.encode_png().expect("a picture in memory")
}

pub(crate) const CONFIG: &str = "schema = \"residua.config/1\"\nmodel = \"resnet20\"\nepochs = 30\n\n\
                          [loss]\nkind = \"cross-entropy\"\nlabel_smoothing = 0.0\n\n\
                          [optimiser]\n# He et al. 2015\nkind = \"sgd\"\nlearning_rate = 0.4\n";

pub(crate) fn network() -> NetworkFacts {
    NetworkFacts {
        name: "resnet20".to_owned(),
        parameters: 269_722,
        multiply_accumulates: 40_551_040,
        input: [32, 32, 3],
        svg: Some(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 20\" width=\"40\" \
             height=\"20\"><rect width=\"40\" height=\"20\" fill=\"#84a3cd\"/></svg>"
                .to_owned(),
        ),
    }
}

/// A run of 30 epochs that was continued once.
pub(crate) fn run_report() -> RunReport {
    let classes = class_names(10);
    let metrics = metrics(&classes, 2000, 3);
    let mut events = events(30, 30, &classes);
    events.insert(
        1,
        Event::Quarantine {
            path: "/data/cifar10/broken.png".to_owned(),
            reason: "not a PNG file: the signature is missing".to_owned(),
        },
    );
    let twelfth = |event: &Event| matches!(event, Event::Epoch { epoch: 12, .. });
    let place = events.iter().position(twelfth).unwrap_or(0) + 2;
    let step = 12 * 391;
    events.insert(
        place,
        Event::Interrupted {
            step,
            time: "2026-11-25T22:52:40Z".to_owned(),
        },
    );
    events.insert(
        place + 1,
        Event::Resume {
            step,
            finished_epochs: 12,
            time: "2026-11-26T08:01:12Z".to_owned(),
        },
    );
    events.push(Event::End {
        step: 30 * 391,
        time: "2026-11-26T08:14:32Z".to_owned(),
        best_accuracy: 0.86,
        best_roc_auc: None,
        seconds: 1312.4,
    });
    let judgement = metrics
        .single_label()
        .and_then(|results| results.judgement.as_ref());
    let mistakes = judgement.iter().flat_map(|judgement| &judgement.mistakes);
    let gallery = mistakes
        .take(8)
        .zip(0..)
        .map(|(mistake, number)| GalleryItem {
            mistake: mistake.clone(),
            picture: picture(number, 32),
            overlay: Some(picture(number + 100, 32)),
        });
    RunReport {
        name: "2026-11-25-resnet20-1".to_owned(),
        config_toml: CONFIG.to_owned(),
        events,
        network: network(),
        gallery: gallery.collect(),
        metrics: Some(metrics),
        notes: vec!["1 unreadable image was left out.".to_owned()],
    }
}

/// A run that stopped in its seventh epoch.
pub(crate) fn interrupted_report() -> RunReport {
    let mut events = events(30, 6, &class_names(10));
    events.push(Event::Interrupted {
        step: 2500,
        time: "2026-11-25T22:48:40Z".to_owned(),
    });
    RunReport {
        events,
        metrics: None,
        gallery: Vec::new(),
        notes: Vec::new(),
        ..run_report()
    }
}

/// A run of a network in a comparison.
pub(crate) fn compared_run(name: &str, quality: f64, seconds: f64, seed: u64) -> ComparedRun {
    let mut noise = Noise::new(seed * 31 + name.len() as u64 + (quality * 1e4) as u64);
    let epochs: Vec<EpochPoint> = (1..=40)
        .map(|epoch| {
            let good = progress(epoch, &mut noise).min(0.97) / 0.97 * quality;
            EpochPoint {
                epoch,
                seconds_since_start: epoch as f64 * seconds,
                train_loss: 2.3 * (1.0 - good),
                train_accuracy: good + 0.02,
                validation_loss: 2.4 * (1.0 - good),
                validation_accuracy: good,
                validation_roc_auc: None,
                train_seconds: seconds * 0.93,
            }
        })
        .collect();
    let mut metrics = metrics(&class_names(10), 400, seed + 1);
    metrics.model = name.to_owned();
    metrics.epochs = 40;
    metrics.best_epoch = 39;
    metrics.seconds = 40.0 * seconds;
    let jitter = 0.004 * (noise.next() - 0.5);
    let evaluation = &mut single(&mut metrics).evaluation;
    evaluation.accuracy = quality + jitter;
    evaluation.macro_average.recall = quality + jitter;
    evaluation.macro_average.precision = quality + jitter - 0.001;
    evaluation.macro_average.f1 = quality + jitter - 0.0005;
    ComparedRun {
        folder: format!("runs/{name}-{seed}"),
        seed,
        recipe: "epochs = 40".to_owned(),
        epochs,
        metrics,
    }
}

pub(crate) fn comparison() -> Comparison {
    let rows = [
        ("resnet20", 269_722, 40_551_040, 0.915, 41.0),
        ("resnet32", 464_154, 69_124_736, 0.925, 66.0),
        ("resnet56", 853_018, 125_747_840, 0.931, 118.0),
        ("resnet110", 1_727_962, 252_887_680, 0.934, 240.0),
        ("resnet18", 11_173_962, 555_422_720, 0.945, 310.0),
        ("vgg16_bn", 14_728_266, 313_200_000, 0.931, 190.0),
    ];
    let networks = rows.map(
        |(name, parameters, multiply_accumulates, quality, seconds)| ComparedNetwork {
            name: name.to_owned(),
            parameters,
            multiply_accumulates,
            runs: (0..3)
                .map(|seed| compared_run(name, quality, seconds, seed))
                .collect(),
        },
    );
    Comparison {
        title: "Residual networks on CIFAR-10".to_owned(),
        recipe: "All networks were trained for 40 epochs with stochastic gradient descent (momentum \
                 0.9, weight decay 0.0005) and a one-cycle learning rate of at most 0.4, in batches of \
                 128, on images that were padded by 4, cropped and flipped at random."
            .to_owned(),
        networks: networks.into(),
    }
}

/// Test error against depth, and how it came about.
pub(crate) fn study() -> Study {
    let depths = [20.0, 32.0, 44.0, 56.0];
    let line = |errors: [f64; 4], hue, line| {
        let points = depths.iter().zip(errors);
        let points = points
            .map(|(&depth, error)| Point::new(depth, error))
            .collect();
        let name = match (hue, line) {
            (0, Line::Solid) => "residual, test",
            (0, _) => "residual, training",
            (_, Line::Solid) => "plain, test",
            _ => "plain, training",
        };
        Series::new(name, points).looking(Look { hue, line })
    };
    let axis = Axis::new("layers").written(Unit::Whole);
    let errors: Chart = LineChart::new(
        "Error against depth, of plain and of residual networks",
        axis,
        Axis::new("error").written(Unit::Percent).including(0.0),
    )
    .with_series(vec![
        line([0.0875, 0.0751, 0.0717, 0.0697], 0, Line::Solid),
        line([0.021, 0.009, 0.005, 0.002], 0, Line::Dashed),
        line([0.093, 0.098, 0.108, 0.131], 1, Line::Solid),
        line([0.038, 0.047, 0.066, 0.094], 1, Line::Dashed),
    ])
    .into();
    let norms = (1..=5).map(|layer| {
        let points = (0..200).map(|step| {
            let decay = (-f64::from(step) / (20.0 * f64::from(layer))).exp();
            Point::new(f64::from(step), 0.3 * decay + 0.002 * f64::from(layer))
        });
        Series::new(format!("layer {}", layer * 4), points.collect())
    });
    let norms = LineChart::new(
        "Norm of the gradient of each layer through training",
        Axis::new("step").written(Unit::Whole),
        Axis::new("norm of the gradient").scaled(Scale::Logarithmic),
    )
    .with_series(norms.collect());
    let norms = LineChart {
        size: Size::PAGE,
        ..norms
    };
    let table = Table {
        caption: "Test error in percent".to_owned(),
        columns: vec![
            Column::figures("layers"),
            Column::figures("plain"),
            Column::figures("residual"),
        ],
        rows: [("20", "9.30", "8.75"), ("56", "13.10", "6.97")]
            .map(|(layers, plain, residual)| [layers, plain, residual].map(str::to_owned).into())
            .into(),
        note: Some("One seed each.".to_owned()),
    };
    Study {
        title: "The degradation of plain networks".to_owned(),
        question: "Do deeper networks without shortcuts train worse?".to_owned(),
        answer: "Yes. From 20 to 56 layers the training error of plain networks rises, so it is not \
                 overfitting; with identity shortcuts it falls."
            .to_owned(),
        notes: vec!["These numbers are made up.".to_owned()],
        sections: vec![
            Section::new(
                "Error against depth",
                "Plain and residual networks have the same layers.\n\nThey differ in shortcuts alone.",
            )
            .with_figure(errors)
            .with_table(table),
            Section::new("Gradients", "Layers far from the output learn first.").with_figure(norms),
        ],
    }
}
