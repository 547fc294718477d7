//! What came of the folds.

use residua::core::metrics::Classification;
use residua::core::metrics::bootstrap::{BootstrapSettings, classification_intervals};
use residua::core::metrics::multilabel::MultilabelCounts;
use residua::core::run::{RunFolder, RunMetrics, RunResults};
use residua::core::seed::SeedStream;
use residua::core::task::Task;
use residua::report::cross_validation::{
    FoldResult, FoldResults, MultiLabelFolds, SingleLabelFolds,
};

use crate::commands::run_set::PlannedRun;
use crate::failure::Failure;

/// A run that is there.
pub(super) struct Member<'a> {
    /// Which fold: `2/5`.
    pub(super) fold: String,
    pub(super) folder: &'a RunFolder,
    pub(super) metrics: RunMetrics,
}

impl<'a> Member<'a> {
    pub(super) fn read(run: &PlannedRun, folder: &'a RunFolder) -> Result<Self, Failure> {
        Ok(Self {
            fold: { run.config.fold }.map_or_else(|| run.name.clone(), |fold| fold.to_string()),
            folder,
            metrics: folder.read_metrics().map_err(Failure::bad_input)?,
        })
    }

    fn fold_result<R: Clone>(&self, results: &R) -> FoldResult<R> {
        FoldResult {
            name: self.fold.clone(),
            results: results.clone(),
            best_epoch: self.metrics.best_epoch,
            epochs: self.metrics.epochs,
        }
    }

    /// All runs of a set have the same data.
    fn of_another_task(&self) -> Failure {
        let folder = self.folder.root().display();
        Failure::bad_input(format!(
            "{folder}: its results are not those of the task that its data set; remove it, and the same \
             command trains it anew"
        ))
    }
}

/// The results of all folds, and of all together.
pub(super) fn gather(members: &[Member<'_>], task: Task) -> Result<FoldResults, Failure> {
    match task {
        Task::SingleLabel => Ok(FoldResults::SingleLabel(Box::new(single_label(members)?))),
        Task::MultiLabel => Ok(FoldResults::MultiLabel(Box::new(multi_label(members)?))),
    }
}

fn class_count(members: &[Member<'_>]) -> usize {
    { members.first() }.map_or(0, |member| member.metrics.classes.len())
}

fn single_label(members: &[Member<'_>]) -> Result<SingleLabelFolds, Failure> {
    let mut pooled = Classification::new(class_count(members));
    let mut folds = Vec::new();
    for member in members {
        let RunResults::SingleLabel(results) = &member.metrics.results else {
            return Err(member.of_another_task());
        };
        pooled
            .absorb(&results.evaluation)
            .map_err(Failure::bad_input)?;
        folds.push(member.fold_result(&**results));
    }
    let pooled = pooled.summary();
    let seed = SeedStream::new(0).child("bootstrap");
    let settings = BootstrapSettings::default();
    let intervals = classification_intervals(&pooled.confusion, settings, seed);
    Ok(SingleLabelFolds {
        folds,
        intervals: intervals.map_err(Failure::failed)?,
        pooled,
    })
}

fn multi_label(members: &[Member<'_>]) -> Result<MultiLabelFolds, Failure> {
    let mut pooled = MultilabelCounts::new(class_count(members));
    let mut folds = Vec::new();
    for member in members {
        let RunResults::MultiLabel(results) = &member.metrics.results else {
            return Err(member.of_another_task());
        };
        pooled
            .absorb(&results.multilabel.decisions)
            .map_err(Failure::bad_input)?;
        folds.push(member.fold_result(&**results));
    }
    Ok(MultiLabelFolds {
        folds,
        pooled: pooled.summary(),
    })
}
