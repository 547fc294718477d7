//! Putting a part of the training images aside for validation.

mod folds;

use std::collections::{BTreeMap, HashMap};

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use residua_core::seed::SeedStream;
use residua_core::task::Task;

use crate::dataset::{Sample, Split, SplitName};
use crate::fold::Fold;
use crate::fraction::Fraction;

/// Which of the training images are put aside.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum HoldOut {
    /// This share of each class; approximate where [groups](Sample::group) have to stay together.
    Fraction(Fraction),
    /// One of several parts that are disjoint and together are all training images, for
    /// cross-validation. Each has its share of each class, and of the images without any, as far as groups
    /// and images of several classes permit.
    Fold(Fold),
}

impl HoldOut {
    /// Divides `samples` into training and what is put aside.
    pub(crate) fn divide(
        self,
        samples: &[Sample],
        classes: usize,
        seed: SeedStream,
    ) -> Result<(Split, Split), Indivisible> {
        match self {
            Self::Fraction(fraction) => hold_out(samples, classes, fraction, seed),
            Self::Fold(fold) => folds::hold_out_fold(samples, classes, fold, seed),
        }
    }

    /// What to do where the split is there already that this would make.
    pub(crate) fn advice(self, split: SplitName, removal: &str) -> String {
        match self {
            Self::Fraction(fraction) => {
                format!("leave out the {split} fraction ({fraction}) or {removal}")
            }
            Self::Fold(_) => format!("to validate on folds of the training images, {removal}"),
        }
    }
}

/// A class that cannot be on both sides.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Indivisible {
    OneSample {
        label: usize,
    },
    OneGroup {
        label: usize,
        samples: usize,
    },
    FewerThanFolds {
        label: usize,
        found: usize,
        are_groups: bool,
        folds: u32,
    },
    InOneFold {
        label: usize,
        folds: u32,
    },
}

/// Divides `samples` into training and validation so that every class gives the same share, and so do
/// the samples without any class. A sample of several classes counts for each of them.
///
/// Samples of one group stay together, so with groups the shares are approximate. Classes come
/// before shares: none loses all its groups to validation, and none is left out of it where its
/// groups permit.
///
/// Which samples are put aside depends on the seed and on their order in their class alone;
/// both parts keep the original order.
fn hold_out(
    samples: &[Sample],
    classes: usize,
    fraction: Fraction,
    seed: SeedStream,
) -> Result<(Split, Split), Indivisible> {
    let mut division = Division::of(samples, classes, fraction)?;
    let units_of = division.shares.iter().map(|share| &share.units[..]);
    let units_of: Vec<&[usize]> = units_of.collect();
    let order = random_order(&division.units, &units_of, task_of(samples), seed);
    division.represent_every_class(&order);
    division.exchange_for_representation(seed);
    division.fill_without_excess(&order);
    division.approach_the_shares(&order);
    Ok(division.split(samples))
}

/// How many exchanges are tried for each class before the search for a division that represents
/// every class is given up. Whether there is one is a hard question in general (hypergraph
/// 2-colouring); where classes have more than a few groups the first attempt succeeds.
const EXCHANGES_PER_CLASS: usize = 500;

/// The share of exchanges that are made at random, to get out of circles (the walk is that of Selman,
/// Kautz and Cohen 1994, "Noise strategies for improving local search"; the share is ours).
const NOISE: f64 = 0.3;

/// What goes to one side as a whole: a group, or a sample of none.
#[derive(Default)]
struct Unit {
    positions: Vec<usize>,
    /// Samples of each class that it has.
    counts: BTreeMap<usize, usize>,
    is_group: bool,
    is_held_out: bool,
}

/// One class in a division.
#[derive(Default)]
struct Share {
    samples: usize,
    /// Indices of the units that have samples of it.
    units: Vec<usize>,
    /// How many of them are still in training.
    training_units: usize,
    /// How many samples should be held out, and how many are.
    wanted: usize,
    held_out: usize,
}

impl Share {
    /// The square of the distance to what is wanted, in shares of the class, if so many samples
    /// were held out.
    fn distance(&self, held_out: usize) -> f64 {
        let apart = held_out as f64 - self.wanted as f64;
        (apart / self.samples as f64).powi(2)
    }

    /// Number of units that are held out, or that are not.
    fn units_on(&self, is_held_out: bool) -> usize {
        match is_held_out {
            true => self.units.len() - self.training_units,
            false => self.training_units,
        }
    }

    fn is_on_one_side(&self) -> bool {
        !self.units.is_empty() && (self.units_on(true) == 0 || self.units_on(false) == 0)
    }
}

/// A division in the making: all is in training at first.
struct Division {
    units: Vec<Unit>,
    shares: Vec<Share>,
}

impl Division {
    fn of(samples: &[Sample], classes: usize, fraction: Fraction) -> Result<Self, Indivisible> {
        let mut units = units(samples);
        // One unit alone could not be on both sides, and need not.
        let kinds = classes + count_without_class(samples, &mut units, classes, 2);
        let mut shares: Vec<Share> = (0..kinds).map(|_| Share::default()).collect();
        for (index, unit) in units.iter().enumerate() {
            for (&label, &count) in &unit.counts {
                shares[label].samples += count;
                shares[label].units.push(index);
            }
        }
        for (label, share) in shares.iter_mut().enumerate() {
            match (share.units.len(), share.samples) {
                (1, 1) => return Err(Indivisible::OneSample { label }),
                (1, samples) => return Err(Indivisible::OneGroup { label, samples }),
                _ => {}
            }
            share.training_units = share.units.len();
            share.wanted = fraction.of(share.samples);
        }
        Ok(Self { units, shares })
    }

    /// Holds out a unit of every class that has none there, the classes with the fewest units
    /// first: of those that do not exceed a share the first, or else the one that exceeds least.
    fn represent_every_class(&mut self, order: &[usize]) {
        let mut place = vec![0; self.units.len()];
        for (index, &unit) in order.iter().enumerate() {
            place[unit] = index;
        }
        let mut labels: Vec<usize> = (0..self.shares.len()).collect();
        labels.sort_by_key(|&label| self.shares[label].units.len());
        for label in labels {
            if self.shares[label].held_out > 0 {
                continue;
            }
            let candidates = self.shares[label].units.iter().copied();
            let candidates = candidates.filter(|&unit| self.may_be_held_out(unit));
            let excess = |unit| match self.fits(unit) {
                true => 0.0,
                false => self.distance_after_move(unit),
            };
            let best = candidates.min_by(|&one, &other| {
                let by_excess = excess(one).total_cmp(&excess(other));
                by_excess.then(place[one].cmp(&place[other]))
            });
            if let Some(unit) = best {
                self.move_over(unit);
            }
        }
    }

    /// Where classes stand in each other's way, moves units to and fro until none does, or puts
    /// everything back if that is not found.
    fn exchange_for_representation(&mut self, seed: SeedStream) {
        let mut rng = seed.child("exchange").rng();
        let before: Vec<bool> = self.units.iter().map(|unit| unit.is_held_out).collect();
        for _ in 0..EXCHANGES_PER_CLASS * self.shares.len() {
            let Some(share) = self.shares.iter().find(|share| share.is_on_one_side()) else {
                return;
            };
            let best = share.units.iter().min_by_key(|&&unit| self.last_of(unit));
            let unit = match rng.random_bool(NOISE) {
                true => share.units.choose(&mut rng),
                false => best,
            };
            if let Some(&unit) = unit {
                self.move_over(unit);
            }
        }
        for (unit, was_held_out) in before.into_iter().enumerate() {
            if self.units[unit].is_held_out != was_held_out {
                self.move_over(unit);
            }
        }
    }

    /// Holds out whatever exceeds no share.
    fn fill_without_excess(&mut self, order: &[usize]) {
        for &unit in order {
            if self.may_be_held_out(unit) && self.fits(unit) {
                self.move_over(unit);
            }
        }
    }

    /// Moves what brings the whole nearer to what is wanted.
    fn approach_the_shares(&mut self, order: &[usize]) {
        for &unit in order {
            let labels = self.units[unit]
                .counts
                .keys()
                .map(|&label| &self.shares[label]);
            let distance: f64 = labels.map(|share| share.distance(share.held_out)).sum();
            if self.last_of(unit) == 0 && self.distance_after_move(unit) < distance {
                self.move_over(unit);
            }
        }
    }

    /// How many of its classes have no other unit on its side.
    fn last_of(&self, unit: usize) -> usize {
        let unit = &self.units[unit];
        let is_last = |label: &&usize| self.shares[**label].units_on(unit.is_held_out) == 1;
        unit.counts.keys().filter(is_last).count()
    }

    /// Whether it is in training, and every class of it has another unit there.
    fn may_be_held_out(&self, unit: usize) -> bool {
        !self.units[unit].is_held_out && self.last_of(unit) == 0
    }

    fn fits(&self, unit: usize) -> bool {
        self.units[unit].counts.iter().all(|(&label, &count)| {
            let share = &self.shares[label];
            share.held_out + count <= share.wanted
        })
    }

    /// The distance of its classes from what is wanted if it were on the other side.
    fn distance_after_move(&self, unit: usize) -> f64 {
        let unit = &self.units[unit];
        let distances = unit.counts.iter().map(|(&label, &count)| {
            let share = &self.shares[label];
            share.distance(match unit.is_held_out {
                true => share.held_out - count,
                false => share.held_out + count,
            })
        });
        distances.sum()
    }

    fn move_over(&mut self, unit: usize) {
        let unit = &mut self.units[unit];
        for (&label, &count) in &unit.counts {
            let share = &mut self.shares[label];
            if unit.is_held_out {
                share.held_out -= count;
                share.training_units += 1;
            } else {
                share.held_out += count;
                share.training_units -= 1;
            }
        }
        unit.is_held_out = !unit.is_held_out;
    }

    fn split(&self, samples: &[Sample]) -> (Split, Split) {
        let part = |held_out: bool| {
            let units = self.units.iter();
            let units = units.filter(|unit| unit.is_held_out == held_out);
            let mut positions: Vec<usize> =
                units.flat_map(|unit| &unit.positions).copied().collect();
            positions.sort_unstable();
            let samples = positions.iter().map(|&position| samples[position].clone());
            Split {
                samples: samples.collect(),
            }
        };
        (part(false), part(true))
    }
}

/// All units that have a class, class after class, those of a class in random order. A unit of several
/// classes comes with the first of them. Where samples show any number of classes, the rarest class
/// comes first, as it has the least choice (as in the iterative stratification of Sechidis et al. 2011,
/// "On the Stratification of Multi-Label Data"). `units_of` are the units of each class.
fn random_order(units: &[Unit], units_of: &[&[usize]], task: Task, seed: SeedStream) -> Vec<usize> {
    let precedence = |label: usize| match task {
        Task::SingleLabel => (0, label),
        Task::MultiLabel => (units_of[label].len(), label),
    };
    let mut labels: Vec<usize> = (0..units_of.len()).collect();
    labels.sort_by_key(|&label| precedence(label));
    let mut order = Vec::with_capacity(units.len());
    for label in labels {
        let first = |unit: usize| {
            let labels = units[unit].counts.keys().copied();
            labels.min_by_key(|&label| precedence(label))
        };
        let is_first = |unit: &usize| first(*unit) == Some(label);
        let mut own: Vec<usize> = units_of[label].iter().copied().filter(is_first).collect();
        own.shuffle(&mut seed.child_index(label as u64).rng());
        order.extend(own);
    }
    order
}

/// What is asked about samples.
fn task_of(samples: &[Sample]) -> Task {
    { samples.first() }.map_or(Task::default(), |sample| sample.label.task())
}

/// Groups and single samples, in the order in which they first occur.
fn units(samples: &[Sample]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut unit_of_group = HashMap::new();
    for (position, sample) in samples.iter().enumerate() {
        let next = units.len();
        let index = match sample.group {
            Some(group) => *unit_of_group.entry(group).or_insert(next),
            None => next,
        };
        if index == next {
            units.push(Unit::default());
        }
        let unit = &mut units[index];
        unit.positions.push(position);
        unit.is_group = sample.group.is_some();
        for class in sample.label.classes() {
            *unit.counts.entry(*class as usize).or_insert(0) += 1;
        }
    }
    units
}

/// Counts the samples that show none of the classes as one kind more, with the number `kind`, if at least
/// so many units have such; gives the number of kinds that this adds.
fn count_without_class(
    samples: &[Sample],
    units: &mut [Unit],
    kind: usize,
    least_units: usize,
) -> usize {
    let counts: Vec<usize> = units
        .iter()
        .map(|unit| {
            let positions = unit.positions.iter();
            let shows_none = |position: &&usize| samples[**position].label.classes().is_empty();
            positions.filter(shows_none).count()
        })
        .collect();
    if counts.iter().filter(|count| **count > 0).count() < least_units {
        return 0;
    }
    for (unit, count) in units.iter_mut().zip(counts) {
        if count > 0 {
            unit.counts.insert(kind, count);
        }
    }
    1
}

#[cfg(test)]
mod tests;
