//! A cross-validation as JSON.

use std::path::Path;

use residua::core::metrics::bootstrap::ClassificationIntervals;
use residua::core::metrics::convergence::Summary;
use residua::core::metrics::multilabel::MultilabelSummary;
use residua::core::metrics::{ClassScore, ClassificationSummary};
use residua::report::CrossValidation;
use residua::report::cross_validation::{FoldResults, MultiLabelFolds, SingleLabelFolds};
use serde::Serialize;

use super::folds::Member;

/// What was made, by the task.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum CrossValidationReport<'a> {
    SingleLabel(SingleLabelReport<'a>),
    MultiLabel(MultiLabelReport<'a>),
}

/// What all tasks have.
#[derive(Serialize)]
struct Head<'a> {
    schema: &'static str,
    page: &'a Path,
    /// What each image was taken for by the network that has not seen it.
    predictions: &'a Path,
    notes: &'a [String],
}

/// `residua.cross-validation/1`; accuracies and F1 are fractions.
#[derive(Serialize)]
pub(super) struct SingleLabelReport<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    folds: Vec<SingleLabelFold<'a>>,
    /// Over folds, each counting the same.
    accuracy: Summary,
    last_accuracy: Summary,
    macro_f1: Summary,
    roc_auc: Summary,
    /// Class names in the order of the labels.
    classes: &'a [String],
    /// All folds together.
    pooled: &'a ClassificationSummary,
    intervals: &'a ClassificationIntervals,
}

#[derive(Serialize)]
struct SingleLabelFold<'a> {
    fold: &'a str,
    run: &'a Path,
    images: u64,
    accuracy: f64,
    /// Of the weights after the last epoch.
    last_accuracy: f64,
    macro_f1: f64,
    /// Null where it is not defined.
    roc_auc: Option<f64>,
}

/// `residua.cross-validation-labels/1`; F1 and shares of images are fractions.
#[derive(Serialize)]
pub(super) struct MultiLabelReport<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    folds: Vec<MultiLabelFold<'a>>,
    /// Over folds, each counting the same.
    roc_auc: Summary,
    last_roc_auc: Summary,
    average_precision: Summary,
    macro_f1: Summary,
    micro_f1: Summary,
    exact_match: Summary,
    /// Class names in the order of the labels.
    classes: &'a [String],
    per_class: Vec<ClassReport<'a>>,
    /// The decisions of all folds together, each at its thresholds.
    pooled: &'a MultilabelSummary,
}

#[derive(Serialize)]
struct MultiLabelFold<'a> {
    fold: &'a str,
    run: &'a Path,
    images: u64,
    /// Mean over classes; null where no class has it.
    roc_auc: Option<f64>,
    /// Of the weights after the last epoch; null likewise.
    last_roc_auc: Option<f64>,
    average_precision: Option<f64>,
    macro_f1: f64,
    micro_f1: f64,
    /// Share of the images of which all classes are right.
    exact_match: Option<f64>,
    /// Probability from which each class is predicted.
    thresholds: &'a [f32],
}

#[derive(Serialize)]
struct ClassReport<'a> {
    class: &'a str,
    /// Over the folds that have images with the class and without it.
    roc_auc: Summary,
    average_precision: Summary,
    /// All folds together.
    #[serde(flatten)]
    score: &'a ClassScore,
}

/// Where things lie.
pub(super) struct Places<'a> {
    pub(super) page: &'a Path,
    pub(super) predictions: &'a Path,
}

impl<'a> CrossValidationReport<'a> {
    pub(super) fn new(
        members: &'a [Member<'_>],
        result: &'a CrossValidation,
        places: &Places<'a>,
    ) -> Self {
        let head = |schema| Head {
            schema,
            page: places.page,
            predictions: places.predictions,
            notes: &result.notes,
        };
        match &result.results {
            FoldResults::SingleLabel(folds) => Self::SingleLabel(single_label(
                head("residua.cross-validation/1"),
                members,
                folds,
                &result.classes,
            )),
            FoldResults::MultiLabel(folds) => Self::MultiLabel(multi_label(
                head("residua.cross-validation-labels/1"),
                members,
                folds,
                &result.classes,
            )),
        }
    }
}

fn single_label<'a>(
    head: Head<'a>,
    members: &'a [Member<'_>],
    result: &'a SingleLabelFolds,
    classes: &'a [String],
) -> SingleLabelReport<'a> {
    let summaries = result.summaries();
    let folds = members.iter().zip(&result.folds).map(|(member, fold)| {
        let results = &fold.results;
        let judgement = results.judgement.as_ref();
        SingleLabelFold {
            fold: &fold.name,
            run: member.folder.root(),
            images: results.evaluation.images,
            accuracy: results.evaluation.accuracy,
            last_accuracy: results.last_accuracy,
            macro_f1: results.evaluation.macro_average.f1,
            roc_auc: judgement.and_then(|judgement| judgement.ranking.macro_roc_auc),
        }
    });
    SingleLabelReport {
        head,
        folds: folds.collect(),
        accuracy: summaries.accuracy,
        last_accuracy: summaries.last_accuracy,
        macro_f1: summaries.macro_f1,
        roc_auc: summaries.roc_auc,
        classes,
        pooled: &result.pooled,
        intervals: &result.intervals,
    }
}

fn multi_label<'a>(
    head: Head<'a>,
    members: &'a [Member<'_>],
    result: &'a MultiLabelFolds,
    classes: &'a [String],
) -> MultiLabelReport<'a> {
    let summaries = result.summaries();
    let folds = members.iter().zip(&result.folds).map(|(member, fold)| {
        let found = &fold.results.multilabel;
        MultiLabelFold {
            fold: &fold.name,
            run: member.folder.root(),
            images: found.scores.images,
            roc_auc: found.scores.ranking.macro_roc_auc,
            last_roc_auc: fold.last_roc_auc(),
            average_precision: found.scores.ranking.macro_average_precision,
            macro_f1: found.decisions.macro_average.f1,
            micro_f1: found.decisions.micro_average.f1,
            exact_match: found.decisions.exact_match_ratio,
            thresholds: &found.thresholds,
        }
    });
    let scores = classes.iter().zip(&result.pooled.per_label);
    let of_classes = scores.zip(result.of_classes());
    let per_class = of_classes.map(|((class, score), areas)| ClassReport {
        class,
        roc_auc: areas.roc_auc,
        average_precision: areas.average_precision,
        score,
    });
    MultiLabelReport {
        head,
        folds: folds.collect(),
        roc_auc: summaries.roc_auc,
        last_roc_auc: summaries.last_roc_auc,
        average_precision: summaries.average_precision,
        macro_f1: summaries.macro_f1,
        micro_f1: summaries.micro_f1,
        exact_match: summaries.exact_match,
        classes,
        per_class: per_class.collect(),
        pooled: &result.pooled,
    }
}
