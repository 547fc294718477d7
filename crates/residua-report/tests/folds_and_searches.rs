//! Pages and tables of what trains several runs: cross-validations and searches.

mod support {
    mod data;
    pub(crate) mod page;
    pub(crate) use data::*;
}

use residua_core::metrics::multilabel::MultilabelCounts;
use residua_core::task::Measure;
use residua_report::chart::Palette;
use residua_report::cross_validation::{FoldResults, MultiLabelFolds, SingleLabelFolds};
use residua_report::sweep::{SettingValue, TrialEnding};
use residua_report::{CrossValidation, Sweep};
use support::page::{check, select, text};
use support::{HOSTILE, cross_validation, multi_label_cross_validation, sweep};

#[test]
fn a_cross_validation_has_each_fold_and_all_together() {
    let validated = cross_validation();
    let page = check(&validated.html());
    assert!(text(&page, "header").contains("5\u{a0}folds, 2,000\u{a0}images"));
    assert_eq!(select(&page, "table").len(), 2);
    let [folds, classes] = validated.tables();
    assert_eq!(folds.rows.len(), 6);
    // Mean and standard deviation by hand.
    let FoldResults::SingleLabel(results) = &validated.results else {
        panic!("images of one class each");
    };
    let accuracies: Vec<f64> = { results.folds.iter() }
        .map(|fold| fold.results.evaluation.accuracy)
        .collect();
    let mean = accuracies.iter().sum::<f64>() / 5.0;
    let squares: f64 = accuracies.iter().map(|a| (a - mean).powi(2)).sum();
    let deviation = (squares / 4.0).sqrt();
    let expected = format!("{:.2}\u{a0}±\u{a0}{:.2}", mean * 100.0, deviation * 100.0);
    assert_eq!(folds.rows[5][2], expected);
    // Every image counts once.
    assert_eq!(classes.rows[10][..2], ["macro average", "2,000"]);
    assert!(classes.note.unwrap().contains("95 % confidence intervals"));
    for figure in validated.figures() {
        assert!(figure.to_png(600).unwrap().len() > 1000);
    }
}

#[test]
fn odd_cross_validations_have_pages() {
    let mut odd = cross_validation();
    odd.classes[0] = HOSTILE.to_owned();
    let of = |odd: &mut CrossValidation, change: fn(&mut SingleLabelFolds)| {
        let FoldResults::SingleLabel(results) = &mut odd.results else {
            panic!("images of one class each");
        };
        change(results);
    };
    of(&mut odd, |results| {
        results.folds.truncate(1);
        results.folds[0].name = HOSTILE.to_owned();
        results.folds[0].results.judgement = None;
    });
    let page = check(&odd.html());
    let [folds, _] = odd.tables();
    assert_eq!(folds.rows[0][5], "–");
    assert_eq!(folds.rows[1][5], "–");
    assert!(!folds.rows[1][2].contains('±'));
    assert!(text(&page, "#folds table").contains("<script>"));
    of(&mut odd, |results| results.folds.clear());
    check(&odd.html());
}

#[test]
fn folds_of_several_labels_have_areas_and_decisions() {
    let validated = multi_label_cross_validation();
    let page = check(&validated.html());
    let head = text(&page, "header");
    assert!(head.contains("3\u{a0}folds, 300\u{a0}images"), "{head}");
    assert!(head.contains("Mean ROC-AUC") && head.contains("All classes right"));
    assert!(!text(&page, "main").contains("ccuracy"));
    let FoldResults::MultiLabel(results) = &validated.results else {
        panic!("images of any number of classes");
    };
    // The area of a class is the mean of those of the folds; decisions are counted.
    let areas = results.folds.iter().map(|fold| {
        let ranking = &fold.results.multilabel.scores.ranking;
        ranking.per_label[1].roc_auc.unwrap()
    });
    let mean = areas.sum::<f64>() / 3.0;
    let found = results.of_classes();
    assert!((found[1].roc_auc.mean.unwrap() - mean).abs() < 1e-12);
    assert_eq!((found[3].roc_auc.mean, found[3].roc_auc.count), (None, 0));
    let [folds, classes] = validated.tables();
    insta::assert_snapshot!(folds.markdown() + "\n" + &classes.markdown());
    let titles = validated.figures().map(|figure| {
        assert!(figure.to_png(600).unwrap().len() > 1000);
        figure.title().to_owned()
    });
    assert_eq!(
        titles,
        ["ROC-AUC of each fold", "ROC-AUC of the hardest classes"]
    );
}

#[test]
fn odd_folds_of_several_labels_have_pages() {
    let mut odd = multi_label_cross_validation();
    odd.classes[0] = HOSTILE.to_owned();
    let of = |odd: &mut CrossValidation, change: fn(&mut MultiLabelFolds)| {
        let FoldResults::MultiLabel(results) = &mut odd.results else {
            panic!("images of any number of classes");
        };
        change(results);
    };
    of(&mut odd, |results| {
        results.folds.truncate(1);
        results.folds[0].name = HOSTILE.to_owned();
        let scores = &mut results.folds[0].results.multilabel.scores;
        scores.ranking.macro_roc_auc = None;
    });
    let page = check(&odd.html());
    assert!(text(&page, "#folds table").contains("<script>"));
    let [folds, _] = odd.tables();
    assert_eq!([&folds.rows[0][2], &folds.rows[1][2]], ["–", "–"]);
    assert!(!folds.rows[1][3].contains('±'));
    of(&mut odd, |results| {
        results.folds.clear();
        results.pooled = MultilabelCounts::new(4).summary();
    });
    check(&odd.html());
}

#[test]
fn a_search_shows_its_trials_and_a_chart_of_each_setting() {
    let searched = sweep();
    let page = check(&searched.html());
    assert!(text(&page, "header").contains("16\u{a0}trials"));
    assert!(text(&page, "#what-to-do-next").contains("residua train --config"));
    assert_eq!(select(&page, "figure").len(), 2);
    let table = searched.table();
    assert_eq!(table.columns[3].title, "optimiser.learning_rate");
    assert_eq!(table.rows.len(), 16);
    let last = &table.rows[15];
    assert_eq!([&last[0], &last[1], &last[7]], ["3", "–", "diverged"]);
    let [rates, networks] = &searched.figures()[..] else {
        panic!("a figure of each setting");
    };
    assert_eq!(rates.title(), "Accuracy against optimiser.learning_rate");
    let drawn = networks.to_svg(Palette::Light);
    let best = |network: &str| {
        let network = SettingValue::Words(network.to_owned());
        let own = searched.trials.iter().filter(|t| t.values[1] == network);
        let best = own.filter_map(|trial| trial.score).reduce(f64::max);
        format!("{:.1}\u{a0}%", best.unwrap() * 100.0)
    };
    for network in ["resnet20", "resnet32"] {
        let expected = format!("{network}: {}.", best(network));
        assert!(drawn.contains(&expected), "{expected} is not in {drawn}");
    }
}

#[test]
fn a_search_by_areas_has_no_accuracies() {
    let searched = Sweep {
        measure: Measure::RocAuc,
        ..sweep()
    };
    let page = check(&searched.html());
    assert!(text(&page, "header").contains("Best mean ROC-AUC"));
    assert!(!text(&page, "main").contains("ccuracy"));
    let table = searched.table();
    assert_eq!(table.columns[1].title, "ROC-AUC");
    let best = &searched.trials[0];
    assert_eq!(table.rows[0][1], format!("{:.4}", best.score.unwrap()));
    let figures = searched.figures();
    let titles: Vec<&str> = figures.iter().map(|figure| figure.title()).collect();
    assert_eq!(
        titles,
        [
            "ROC-AUC against optimiser.learning_rate",
            "Best mean ROC-AUC for each model"
        ]
    );
    let drawn = figures[1].to_svg(Palette::Light);
    assert!(!drawn.contains('%'), "{drawn}");
}

#[test]
fn odd_searches_have_pages() {
    let mut odd = sweep();
    odd.trials.truncate(2);
    for trial in &mut odd.trials {
        trial.score = None;
        trial.ending = TrialEnding::Diverged;
    }
    odd.trials[0].values[0] = SettingValue::Words(HOSTILE.to_owned());
    odd.settings[1].key = HOSTILE.to_owned();
    odd.commands[0].line = HOSTILE.to_owned();
    check(&odd.html());
    odd.trials.clear();
    check(&odd.html());
}
