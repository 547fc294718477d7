//! Dividing the training images into parts that are alike, for cross-validation.

use rand::seq::SliceRandom;
use residua_core::seed::SeedStream;
use residua_core::task::Task;

use super::{Indivisible, Unit, count_without_class, random_order, task_of, units};
use crate::dataset::{Sample, Split};
use crate::fold::Fold;

/// Divides `samples` into those of all other folds, for training, and those of this one, for
/// validation.
///
/// The folds of one seed are disjoint and together all samples. Without groups and with one class each, the
/// numbers of images of a class differ by one at most from fold to fold, and so do the sizes of the folds.
/// Samples of one group stay together, and a sample of several classes counts for each of them, so the folds
/// are then as even as a greedy division makes them. Samples without any class are a kind of their own,
/// where there are enough for all folds.
///
/// Which samples are in which fold depends on the seed and on their order in their class alone; both
/// parts keep the original order.
pub(crate) fn hold_out_fold(
    samples: &[Sample],
    classes: usize,
    fold: Fold,
    seed: SeedStream,
) -> Result<(Split, Split), Indivisible> {
    let mut units = units(samples);
    let least_units = fold.count() as usize;
    let kinds = classes + count_without_class(samples, &mut units, classes, least_units);
    let mut division = Division::of(&units, kinds, fold.count())?;
    let order = division.order(task_of(samples), seed);
    division.deal(&order);
    division.represent_every_class();
    division.even_out(&order);
    division.check_training(classes)?;
    let held_out = fold.index() as usize - 1;
    let mut is_held_out = vec![false; samples.len()];
    for (unit, own) in units.iter().zip(&division.fold_of) {
        for &position in &unit.positions {
            is_held_out[position] = *own == held_out;
        }
    }
    let part = |wanted: bool| {
        let own = samples.iter().zip(&is_held_out);
        let own = own.filter(|(_, is_held_out)| **is_held_out == wanted);
        Split {
            samples: own.map(|(sample, _)| sample.clone()).collect(),
        }
    };
    Ok((part(false), part(true)))
}

/// The search for more even folds ends after so many passes over all groups; it seldom needs three.
const MOST_PASSES: usize = 20;

/// A division into folds in the making.
struct Division<'a> {
    units: &'a [Unit],
    folds: Vec<Part>,
    /// The fold of each unit.
    fold_of: Vec<usize>,
    /// Samples of each kind, and indices of the units that have some.
    totals: Vec<usize>,
    units_of: Vec<Vec<usize>>,
}

/// What is in a fold so far.
#[derive(Clone)]
struct Part {
    samples: usize,
    /// Samples of each kind.
    counts: Vec<usize>,
    /// Units that have samples of it.
    units: Vec<usize>,
}

impl<'a> Division<'a> {
    /// `kinds` are the classes and, if it counts, that of samples without any.
    fn of(units: &'a [Unit], kinds: usize, folds: u32) -> Result<Self, Indivisible> {
        let mut totals = vec![0; kinds];
        let mut units_of = vec![Vec::new(); kinds];
        for (index, unit) in units.iter().enumerate() {
            for (&label, &count) in &unit.counts {
                totals[label] += count;
                units_of[label].push(index);
            }
        }
        for (label, own) in units_of.iter().enumerate() {
            if !own.is_empty() && own.len() < folds as usize {
                return Err(Indivisible::FewerThanFolds {
                    label,
                    found: own.len(),
                    are_groups: own.iter().any(|&unit| units[unit].is_group),
                    folds,
                });
            }
        }
        let empty = Part {
            samples: 0,
            counts: vec![0; kinds],
            units: vec![0; kinds],
        };
        Ok(Self {
            units,
            // As many as asked for, since no class has fewer units, unless there is no sample at all.
            folds: vec![empty; (folds as usize).min(units.len().max(1))],
            fold_of: vec![0; units.len()],
            totals,
            units_of,
        })
    }

    /// The units that are hardest to place first: those that are a large share of their classes. Equals
    /// stay in random order, class by class, and units that count for nothing come last: those without any
    /// class, where there are too few for all folds.
    fn order(&self, task: Task, seed: SeedStream) -> Vec<usize> {
        let units_of: Vec<&[usize]> = self.units_of.iter().map(Vec::as_slice).collect();
        let mut order = random_order(self.units, &units_of, task, seed);
        let numbered = self.units.iter().enumerate();
        let mut rest: Vec<usize> = numbered
            .filter(|(_, unit)| unit.counts.is_empty())
            .map(|(index, _)| index)
            .collect();
        rest.shuffle(&mut seed.child("without class").rng());
        order.extend(rest);
        let weight = |unit: usize| -> f64 {
            let shares = self.shares(unit);
            shares.map(|(_, _, share)| share * share).sum()
        };
        order.sort_by(|&one, &other| weight(other).total_cmp(&weight(one)));
        order
    }

    /// Label, samples, and share of all samples of the class, of each class of a unit.
    fn shares(&self, unit: usize) -> impl Iterator<Item = (usize, usize, f64)> {
        let counts = self.units[unit].counts.iter();
        counts.map(|(&label, &count)| (label, count, count as f64 / self.totals[label] as f64))
    }

    /// Gives each unit to the fold that has least of its classes so far, of equals to the smallest. That
    /// adds least to the sum of the squares of all shares, which is least where all folds are alike.
    fn deal(&mut self, order: &[usize]) {
        for &unit in order {
            let fullness = |fold: &Part| -> f64 {
                let shares = self.shares(unit);
                let products = shares.map(|(label, _, share)| {
                    share * fold.counts[label] as f64 / self.totals[label] as f64
                });
                products.sum()
            };
            let emptiest = (0..self.folds.len()).min_by(|&one, &other| {
                let (one, other) = (&self.folds[one], &self.folds[other]);
                let by_fullness = fullness(one).total_cmp(&fullness(other));
                by_fullness.then(one.samples.cmp(&other.samples))
            });
            if let Some(fold) = emptiest {
                self.fold_of[unit] = fold;
                self.count(unit, fold);
            }
        }
    }

    fn count(&mut self, unit: usize, fold: usize) {
        let fold = &mut self.folds[fold];
        fold.samples += self.units[unit].positions.len();
        for (&label, &count) in &self.units[unit].counts {
            fold.counts[label] += count;
            fold.units[label] += 1;
        }
    }

    fn move_over(&mut self, unit: usize, target: usize) {
        let fold = &mut self.folds[self.fold_of[unit]];
        fold.samples -= self.units[unit].positions.len();
        for (&label, &count) in &self.units[unit].counts {
            fold.counts[label] -= count;
            fold.units[label] -= 1;
        }
        self.fold_of[unit] = target;
        self.count(unit, target);
    }

    /// By how much a move raises the sum of the squares of all shares; halved.
    fn cost_of_move(&self, unit: usize, target: usize) -> f64 {
        let (from, to) = (&self.folds[self.fold_of[unit]], &self.folds[target]);
        let costs = self.shares(unit).map(|(label, count, share)| {
            let apart = (to.counts[label] + count) as f64 - from.counts[label] as f64;
            share * apart / self.totals[label] as f64
        });
        costs.sum()
    }

    /// Whether its fold keeps all its classes without it.
    fn may_leave(&self, unit: usize) -> bool {
        let fold = &self.folds[self.fold_of[unit]];
        let mut labels = self.units[unit].counts.keys();
        labels.all(|&label| fold.units[label] > 1)
    }

    /// Brings a unit of a class to each fold without one, where none of the others loses a class by it:
    /// groups of several classes stand in each other's way.
    fn represent_every_class(&mut self) {
        let mut labels: Vec<usize> = (0..self.totals.len()).collect();
        labels.sort_by_key(|&label| self.units_of[label].len());
        for label in labels {
            for target in 0..self.folds.len() {
                if self.folds[target].units[label] > 0 {
                    continue;
                }
                let candidates = self.units_of[label].iter().copied();
                let candidates = candidates.filter(|&unit| self.may_leave(unit));
                let best = candidates.min_by(|&one, &other| {
                    let cost = |unit| self.cost_of_move(unit, target);
                    cost(one).total_cmp(&cost(other))
                });
                if let Some(unit) = best {
                    self.move_over(unit, target);
                }
            }
        }
    }

    /// Moves groups to other folds as long as that makes the folds more alike.
    fn even_out(&mut self, order: &[usize]) {
        for _ in 0..MOST_PASSES {
            let mut has_moved = false;
            for &unit in order {
                let others = (0..self.folds.len()).filter(|&fold| fold != self.fold_of[unit]);
                let cost = |fold| self.cost_of_move(unit, fold);
                let best = others.min_by(|&one, &other| cost(one).total_cmp(&cost(other)));
                let Some(target) = best.filter(|&fold| cost(fold) < -f64::EPSILON) else {
                    continue;
                };
                if self.may_leave(unit) {
                    self.move_over(unit, target);
                    has_moved = true;
                }
            }
            if !has_moved {
                return;
            }
        }
    }

    /// A network must see every class, whichever fold it does without.
    fn check_training(&self, classes: usize) -> Result<(), Indivisible> {
        let in_one_fold = |label: &usize| {
            let all = self.units_of[*label].len();
            all > 0 && self.folds.iter().any(|fold| fold.units[*label] == all)
        };
        match (0..classes).find(in_one_fold) {
            None => Ok(()),
            Some(label) => Err(Indivisible::InOneFold {
                label,
                folds: self.folds.len() as u32,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
