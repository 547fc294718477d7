//! Made-up cross-validations and searches.

use residua_core::metrics::Classification;
use residua_core::metrics::bootstrap::{BootstrapSettings, classification_intervals};
use residua_core::metrics::multilabel::MultilabelCounts;
use residua_core::run::{MultiLabelResults, RunMetrics};
use residua_core::seed::SeedStream;
use residua_core::task::Measure;
use residua_report::chart::Scale;
use residua_report::cross_validation::{
    CrossValidation, FoldResult, FoldResults, MultiLabelFolds, SingleLabelFolds,
};
use residua_report::sweep::{
    NextCommand, SettingValue, Sweep, SweptSetting, SweptTrial, TrialEnding,
};

use super::{Noise, class_names, metrics, multi_label_metrics, single};

/// Five folds of ten classes.
pub(crate) fn cross_validation() -> CrossValidation {
    let classes = class_names(10);
    let folds: Vec<_> = (1..=5)
        .map(|fold| {
            let mut metrics = metrics(&classes, 400, fold);
            let results = single(&mut metrics).clone();
            fold_result(format!("{fold}/5"), results, &metrics)
        })
        .collect();
    let mut pooled = Classification::new(classes.len());
    for fold in &folds {
        pooled
            .absorb(&fold.results.evaluation)
            .expect("as many classes");
    }
    let pooled = pooled.summary();
    let seed = SeedStream::new(0);
    let intervals = classification_intervals(&pooled.confusion, BootstrapSettings::default(), seed);
    validated(
        classes,
        FoldResults::SingleLabel(Box::new(SingleLabelFolds {
            folds,
            pooled,
            intervals: intervals.expect("a square matrix"),
        })),
    )
}

/// Three folds of images that show any number of four classes; nobody shows the last one.
pub(crate) fn multi_label_cross_validation() -> CrossValidation {
    let classes = class_names(4);
    let folds: Vec<FoldResult<MultiLabelResults>> = (1..=3)
        .map(|fold| {
            let metrics = multi_label_metrics(&classes, 100, fold);
            let results = metrics.multi_label().expect("several labels").clone();
            fold_result(format!("{fold}/3"), results, &metrics)
        })
        .collect();
    let mut pooled = MultilabelCounts::new(classes.len());
    for fold in &folds {
        pooled
            .absorb(&fold.results.multilabel.decisions)
            .expect("as many classes");
    }
    let pooled = pooled.summary();
    validated(
        classes,
        FoldResults::MultiLabel(Box::new(MultiLabelFolds { folds, pooled })),
    )
}

fn fold_result<R>(name: String, results: R, metrics: &RunMetrics) -> FoldResult<R> {
    FoldResult {
        name,
        results,
        best_epoch: metrics.best_epoch,
        epochs: metrics.epochs,
    }
}

fn validated(classes: Vec<String>, results: FoldResults) -> CrossValidation {
    CrossValidation {
        title: "Cross-validation".to_owned(),
        recipe: "resnet20: 30 epochs in batches of 128.".to_owned(),
        notes: vec!["These numbers are made up.".to_owned()],
        classes,
        results,
    }
}

/// A search for a learning rate and a network, in which one trial diverged.
pub(crate) fn sweep() -> Sweep {
    let mut noise = Noise::new(11);
    let mut trials: Vec<SweptTrial> = (0..16)
        .map(|number| {
            let rate = 10_f64.powf(-3.0 + 3.0 * noise.next());
            let score = 0.9 - 0.08 * (rate.log10() + 1.0).powi(2) - 0.02 * noise.next();
            let ending = match number {
                3 => TrialEnding::Diverged,
                5 | 9 => TrialEnding::Finished,
                _ => TrialEnding::LeftBehind,
            };
            let is_finished = ending == TrialEnding::Finished;
            let network = if number % 2 == 0 {
                "resnet20"
            } else {
                "resnet32"
            };
            SweptTrial {
                number,
                values: vec![
                    SettingValue::Number(format!("{rate:.3e}").parse().expect("a number")),
                    SettingValue::Words(network.to_owned()),
                ],
                score: (ending != TrialEnding::Diverged).then_some(score),
                interval: is_finished.then_some([score - 0.01, score + 0.01]),
                epochs: if is_finished { 27 } else { 3 },
                seconds: 40.0,
                ending,
            }
        })
        .collect();
    let key = |trial: &SweptTrial| trial.score.unwrap_or(f64::NEG_INFINITY);
    trials.sort_by(|one, other| key(other).total_cmp(&key(one)));
    let setting = |key: &str, scale| SweptSetting {
        key: key.to_owned(),
        scale,
    };
    Sweep {
        title: "Settings searched".to_owned(),
        recipe: "16 trials of 27 epochs.".to_owned(),
        warnings: vec!["These numbers are made up.".to_owned()],
        measure: Measure::Accuracy,
        settings: vec![
            setting("optimiser.learning_rate", Scale::Logarithmic),
            setting("model", Scale::Linear),
        ],
        trials,
        commands: vec![NextCommand {
            purpose: "trains with the best settings anew".to_owned(),
            line: "residua train --config 'found/runs/trial-005/config.toml' --seed 1".to_owned(),
        }],
    }
}
