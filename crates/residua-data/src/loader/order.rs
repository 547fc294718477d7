//! The order in which an epoch shows its samples.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use residua_core::seed::SeedStream;

use crate::dataset::Split;

/// The order of the samples in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// That of the split, in every epoch.
    Sequential,
    /// Another one in every epoch, found from seed and epoch.
    Shuffled,
    /// Every class as often as any other, in another order in every epoch, found from seed and epoch.
    /// An epoch has as many samples as the split for all that: it shows images of a rare class several
    /// times, and of a frequent one a part. No image of a class is shown again before all of that class
    /// were shown, and the next epoch goes on where the last one stopped. Where images show any number of
    /// classes, every combination of them counts as a class.
    Balanced,
}

impl Order {
    /// The positions of the first `count` samples that an epoch shows; at most as many as the split has.
    pub(super) fn positions(
        self,
        split: &Split,
        count: usize,
        seed: SeedStream,
        epoch: u64,
    ) -> Vec<usize> {
        let count = count.min(split.len());
        let mut positions = match self {
            Self::Sequential | Self::Shuffled => (0..split.len()).collect(),
            Self::Balanced => balanced(split, count, seed, epoch),
        };
        if self != Self::Sequential {
            let seed = seed.child("shuffle").child_index(epoch);
            positions.shuffle(&mut seed.rng());
        }
        positions.truncate(count);
        positions
    }
}

/// The samples of an epoch class by class.
///
/// All epochs together are one row of draws, which the classes take in turn. So their numbers differ by
/// one at most, in an epoch and in all; and how many draws a class had before an epoch follows from the
/// number of the epoch alone.
fn balanced(split: &Split, count: usize, seed: SeedStream, epoch: u64) -> Vec<usize> {
    let classes = positions_by_class(split);
    let in_turn = classes.len() as u128;
    let drawn_before = u128::from(epoch) * count as u128;
    let mut positions = Vec::with_capacity(count);
    for (turn, (label, members)) in classes.iter().enumerate() {
        let had = |draws: u128| (draws + (in_turn - 1 - turn as u128)) / in_turn;
        let own = had(drawn_before)..had(drawn_before + count as u128);
        let seed = label.iter().fold(seed.child("class"), |seed, class| {
            seed.child_index(u64::from(*class))
        });
        positions.extend(draws(members, own, seed));
    }
    positions
}

/// Draws from an endless row in which all `members` come before any of them comes again, each time in
/// another order.
fn draws(members: &[usize], wanted: std::ops::Range<u128>, seed: SeedStream) -> Vec<usize> {
    let size = members.len() as u128;
    let mut pass = None;
    let mut order = Vec::new();
    let mut drawn = Vec::with_capacity((wanted.end - wanted.start) as usize);
    for draw in wanted {
        if pass != Some(draw / size) {
            pass = Some(draw / size);
            order = members.to_vec();
            order.shuffle(&mut seed.child_index((draw / size) as u64).rng());
        }
        drawn.push(order[(draw % size) as usize]);
    }
    drawn
}

/// The positions of the samples of each class that has any, or of each combination of classes.
fn positions_by_class(split: &Split) -> BTreeMap<&[u32], Vec<usize>> {
    let mut classes: BTreeMap<&[u32], Vec<usize>> = BTreeMap::new();
    for (position, sample) in split.samples.iter().enumerate() {
        classes
            .entry(sample.label.classes())
            .or_default()
            .push(position);
    }
    classes
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::dataset::{Sample, Source};

    /// So many samples of each class; a class may have none.
    fn split(sizes: &[usize]) -> Split {
        let labels = { sizes.iter().enumerate() }
            .flat_map(|(label, &size)| std::iter::repeat_n(label as u32, size));
        let sample = |label: u32| Sample {
            id: 0,
            label: label.into(),
            group: None,
            source: Source::File(PathBuf::new()),
        };
        Split {
            samples: labels.map(sample).collect(),
        }
    }

    /// How often each sample is shown in these epochs.
    fn showings(split: &Split, count: usize, epochs: std::ops::Range<u64>) -> Vec<usize> {
        let mut shown = vec![0; split.len()];
        for epoch in epochs {
            let order = Order::Balanced.positions(split, count, SeedStream::new(3), epoch);
            assert_eq!(order.len(), count);
            order.into_iter().for_each(|position| shown[position] += 1);
        }
        shown
    }

    /// The least and the most.
    fn range(numbers: impl IntoIterator<Item = usize>) -> [usize; 2] {
        let start = [usize::MAX, 0];
        { numbers.into_iter() }.fold(start, |[least, most], number| {
            [least.min(number), most.max(number)]
        })
    }

    fn class_totals(split: &Split, shown: &[usize]) -> Vec<usize> {
        let classes = positions_by_class(split).into_values();
        let total = |members: Vec<usize>| members.iter().map(|&member| shown[member]).sum();
        classes.map(total).collect()
    }

    proptest! {
        #[test]
        fn classes_are_equally_frequent_and_no_image_is_ahead_of_another_of_its_class(
            sizes in prop::collection::vec(0_usize..30, 1..8),
            first in 0_u64..1000, epochs in 1_u64..6, share in 1_usize..4,
        ) {
            let split = split(&sizes);
            let count = split.len().div_ceil(share);
            for epoch in first..first + epochs {
                let shown = showings(&split, count, epoch..epoch + 1);
                let [least, most] = range(class_totals(&split, &shown));
                prop_assert!(least == usize::MAX || most - least <= 1, "{least} to {most}");
            }
            // Over all epochs from the beginning, whatever their number.
            let shown = showings(&split, count, 0..epochs);
            let [least, most] = range(class_totals(&split, &shown));
            prop_assert!(least == usize::MAX || most - least <= 1, "{least} to {most}");
            for members in positions_by_class(&split).into_values() {
                let [least, most] = range(members.iter().map(|&member| shown[member]));
                prop_assert!(most - least <= 1, "{least} to {most}");
            }
        }
    }

    #[test]
    fn a_rare_class_is_repeated_and_a_frequent_one_takes_several_epochs() {
        let split = split(&[90, 10]);
        let shown = showings(&split, 100, 0..1);
        assert_eq!(class_totals(&split, &shown), [50, 50]);
        assert_eq!(range(shown[..90].iter().copied()), [0, 1]);
        assert_eq!(range(shown[90..].iter().copied()), [5, 5]);
        // 9 × 50 are 5 × 90: each image of the frequent class five times.
        let shown = showings(&split, 100, 0..9);
        assert_eq!(range(shown[..90].iter().copied()), [5, 5]);
        assert_eq!(range(shown[90..].iter().copied()), [45, 45]);
    }

    #[test]
    fn classes_of_one_size_are_all_shown_once() {
        let split = split(&[7, 7, 7]);
        for epoch in 0..5 {
            assert_eq!(showings(&split, 21, epoch..epoch + 1), [1; 21]);
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch() {
        let split = split(&[30, 5]);
        let order = |seed, epoch| {
            Order::Balanced.positions(&split, split.len(), SeedStream::new(seed), epoch)
        };
        assert_eq!(order(1, 4), order(1, 4));
        assert_ne!(order(1, 4), order(1, 5));
        assert_ne!(order(1, 4), order(2, 4));
        // Classes are mixed, not one after the other.
        let labels = order(1, 4).into_iter();
        let labels = labels.filter_map(|at| split.samples[at].label.class());
        let labels: Vec<u32> = labels.collect();
        assert!(!labels.is_sorted(), "{labels:?}");
    }

    #[test]
    fn the_last_epoch_that_can_be_named_has_an_order_too() {
        let split = split(&[3, 1]);
        let order = Order::Balanced.positions(&split, 4, SeedStream::new(1), u64::MAX);
        assert_eq!(order.len(), 4);
        assert!(
            Order::Balanced
                .positions(&Split::default(), 4, SeedStream::new(1), 0)
                .is_empty()
        );
    }
}
