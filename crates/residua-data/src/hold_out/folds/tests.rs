use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::dataset::Source;
use crate::label::Label;

use super::*;

fn samples(members: &[(u32, Option<u32>)]) -> Vec<Sample> {
    let members = members.iter().enumerate();
    members
        .map(|(id, &(label, group))| Sample {
            id: id as u64,
            label: label.into(),
            group,
            source: Source::File(PathBuf::from(format!("{id}.png"))),
        })
        .collect()
}

fn divide(
    samples: &[Sample],
    classes: usize,
    count: u32,
    seed: u64,
) -> Result<Vec<(Split, Split)>, Indivisible> {
    let seed = SeedStream::new(seed);
    Fold::all(count)
        .map(|fold| hold_out_fold(samples, classes, fold, seed))
        .collect()
}

fn ids(split: &Split) -> Vec<u64> {
    split.samples.iter().map(|sample| sample.id).collect()
}

fn groups(split: &Split) -> HashSet<u32> {
    let samples = split.samples.iter();
    samples.filter_map(|sample| sample.group).collect()
}

fn spread(numbers: impl Iterator<Item = usize> + Clone) -> usize {
    numbers.clone().max().unwrap() - numbers.min().unwrap()
}

/// What holds of all folds together: every sample is held out once, each fold trains on all others, in
/// the original order, and no group is on both sides.
fn check_partition(samples: &[Sample], divided: &[(Split, Split)]) {
    let mut held_out: Vec<u64> = divided.iter().flat_map(|(_, own)| ids(own)).collect();
    held_out.sort_unstable();
    assert_eq!(held_out, (0..samples.len() as u64).collect::<Vec<_>>());
    for (train, own) in divided {
        assert!(ids(train).is_sorted() && ids(own).is_sorted());
        assert_eq!(train.len() + own.len(), samples.len());
        let both = ids(train).into_iter().chain(ids(own));
        assert_eq!(both.collect::<HashSet<_>>().len(), samples.len());
        assert!(groups(train).is_disjoint(&groups(own)));
    }
}

#[test]
fn folds_are_random_and_repeatable() {
    let members: Vec<_> = (0..60).map(|index| (index % 3, None)).collect();
    let samples = samples(&members);
    let held_out = |seed| {
        let divided = divide(&samples, 3, 4, seed).unwrap();
        divided.iter().map(|(_, own)| ids(own)).collect::<Vec<_>>()
    };
    assert_eq!(held_out(1), held_out(1));
    assert_ne!(held_out(1), held_out(2));
    // Not the first, second, third, … of each class.
    assert_ne!(held_out(1)[0], (0..15).collect::<Vec<_>>());
}

#[test]
fn classes_with_fewer_images_or_groups_than_folds_are_named() {
    let few = samples(&[(0, None), (0, None), (0, None), (1, None), (1, None)]);
    assert_eq!(
        divide(&few, 2, 3, 0).unwrap_err(),
        Indivisible::FewerThanFolds {
            label: 1,
            found: 2,
            are_groups: false,
            folds: 3
        }
    );
    let one_patient = samples(&[
        (0, None),
        (0, None),
        (1, Some(0)),
        (1, Some(0)),
        (1, Some(1)),
    ]);
    assert!(divide(&one_patient, 2, 2, 0).is_ok());
    assert_eq!(
        divide(&one_patient, 2, 3, 0).unwrap_err(),
        Indivisible::FewerThanFolds {
            label: 0,
            found: 2,
            are_groups: false,
            folds: 3
        }
    );
    let grouped = samples(&[(0, Some(0)), (0, Some(0)), (1, Some(1)), (1, Some(2))]);
    assert_eq!(
        divide(&grouped, 2, 2, 0).unwrap_err(),
        Indivisible::FewerThanFolds {
            label: 0,
            found: 1,
            are_groups: true,
            folds: 2
        }
    );
    // A class without any image stands in nobody's way.
    assert!(divide(&few, 7, 2, 0).is_ok());
    assert!(divide(&[], 2, 1_000_000, 0).is_ok());
}

proptest! {
    #[test]
    fn without_groups_folds_differ_by_one_image(
        labels in vec(0_u32..5, 50..300),
        count in 2_u32..8,
        seed: u64,
    ) {
        let members: Vec<_> = labels.iter().map(|&label| (label, None)).collect();
        let samples = samples(&members);
        let Ok(divided) = divide(&samples, 5, count, seed) else {
            return Ok(());
        };
        check_partition(&samples, &divided);
        for label in 0..5 {
            prop_assert!(spread(divided.iter().map(|(_, own)| own.class_counts(5)[label])) <= 1);
        }
        prop_assert!(spread(divided.iter().map(|(_, own)| own.len())) <= 1);
    }

    /// Patients with one diagnosis each: no fold has more of a class than another and its largest group.
    #[test]
    fn groups_of_one_class_stay_together_and_even(
        sizes in vec((0_u32..3, 1_usize..12), 20..80),
        count in 2_u32..6,
        seed: u64,
    ) {
        let mut members = Vec::new();
        for (group, &(label, size)) in sizes.iter().enumerate() {
            members.extend(vec![(label, Some(group as u32)); size]);
        }
        let samples = samples(&members);
        let Ok(divided) = divide(&samples, 3, count, seed) else {
            return Ok(());
        };
        check_partition(&samples, &divided);
        for label in 0..3 {
            let of_label = sizes.iter().filter(|(of, _)| *of as usize == label);
            let Some(largest) = of_label.map(|(_, size)| *size).max() else {
                continue;
            };
            let counts = divided.iter().map(|(_, own)| own.class_counts(3)[label]);
            prop_assert!(counts.clone().min() > Some(0));
            prop_assert!(spread(counts) <= largest);
        }
    }

    /// Patients with images of several classes, and images of no group among them.
    #[test]
    fn mixed_groups_stay_together_and_classes_in_every_fold(
        members in vec((0_u32..3, option::weighted(0.8, 0_u32..40)), 150..300),
        count in 2_u32..6,
        seed: u64,
    ) {
        let samples = samples(&members);
        let divided = divide(&samples, 3, count, seed).unwrap();
        check_partition(&samples, &divided);
        let mut sizes = HashMap::new();
        for (_, group) in members.iter().filter(|(_, group)| group.is_some()) {
            *sizes.entry(group).or_insert(0) += 1;
        }
        let largest = sizes.values().copied().max().unwrap_or(1);
        prop_assert!(spread(divided.iter().map(|(_, own)| own.len())) <= 2 * largest);
        for (train, own) in &divided {
            prop_assert!(own.class_counts(3).iter().all(|&count| count > 0));
            prop_assert!(train.class_counts(3).iter().all(|&count| count > 0));
        }
    }

    /// However much few groups stand in each other's way, training has every class, or it is said.
    #[test]
    fn training_never_lacks_a_class(
        members in vec((0_u32..4, 0_u32..6), 4..20),
        count in 2_u32..4,
        seed: u64,
    ) {
        let members: Vec<_> = members.into_iter().map(|(label, group)| (label, Some(group))).collect();
        let samples = samples(&members);
        let Ok(divided) = divide(&samples, 4, count, seed) else {
            return Ok(());
        };
        check_partition(&samples, &divided);
        let present = members.iter().map(|(label, _)| label).collect::<BTreeSet<_>>().len();
        for (train, _) in &divided {
            let kept: BTreeSet<u32> = train.samples.iter().filter_map(|sample| sample.label.class()).collect();
            prop_assert_eq!(kept.len(), present);
        }
    }
}

/// Images without any class, and rare ones of two: each fold has its share of both.
#[test]
fn images_of_any_number_of_classes_are_spread_too() {
    let sets: Vec<&[u32]> = [&[][..]; 25]
        .into_iter()
        .chain([&[0][..]; 30])
        .chain([&[0, 1][..]; 5])
        .collect();
    let samples: Vec<Sample> = { sets.iter().enumerate() }
        .map(|(id, set)| Sample {
            id: id as u64,
            label: Label::Classes(set.iter().copied().collect()),
            group: None,
            source: Source::File(PathBuf::from(format!("{id}.png"))),
        })
        .collect();
    let divided = divide(&samples, 2, 5, 3).unwrap();
    check_partition(&samples, &divided);
    for (_, own) in &divided {
        let with = |wanted: &[u32]| {
            let own = own.samples.iter();
            own.filter(|sample| sample.label.classes() == wanted)
                .count()
        };
        assert_eq!((with(&[]), with(&[0]), with(&[0, 1])), (5, 6, 1));
    }
    // Too few without a class for all folds: they are dealt, and nobody minds where they lack.
    let mut few = samples[22..].to_vec();
    for (id, sample) in (0..).zip(&mut few) {
        sample.id = id;
    }
    let divided = divide(&few, 2, 5, 3).unwrap();
    check_partition(&few, &divided);
    let without = |own: &Split| {
        let own = own.samples.iter();
        own.filter(|sample| sample.label.classes().is_empty())
            .count()
    };
    let counts: Vec<usize> = divided.iter().map(|(_, own)| without(own)).collect();
    assert_eq!(
        (counts.iter().sum::<usize>(), counts.iter().max()),
        (3, Some(&1))
    );
}

/// Sets of any number of three classes, the last of which is rare, and patients.
fn labelled(members: &[([bool; 3], Option<u32>)]) -> Vec<Sample> {
    let members = members.iter().enumerate();
    members
        .map(|(id, (shown, group))| {
            let classes = (0..3).filter(|class| shown[*class as usize]);
            Sample {
                id: id as u64,
                label: Label::Classes(classes.collect()),
                group: *group,
                source: Source::File(PathBuf::from(format!("{id}.png"))),
            }
        })
        .collect()
}

/// Samples of each class, and of none.
fn kinds(split: &Split) -> [usize; 4] {
    let mut counts = split.class_counts(3);
    let samples = split.samples.iter();
    let without = samples.filter(|sample| sample.label.classes().is_empty());
    counts.push(without.count());
    [counts[0], counts[1], counts[2], counts[3]]
}

proptest! {
    /// What one threshold or area in each fold needs: images with each class and without it, in shares that
    /// are nearly the same.
    #[test]
    fn sets_of_classes_and_none_are_spread_evenly(
        shown in vec((0_u8..5, 0_u8..3, 0_u8..8), 120..300),
        count in 2_u32..6,
        seed: u64,
    ) {
        let members: Vec<_> = { shown.iter() }
            .map(|(one, two, three)| ([*one == 0, *two == 0, *three == 0], None))
            .collect();
        let samples = labelled(&members);
        let all = kinds(&Split { samples: samples.clone() });
        prop_assume!(all.iter().all(|kind| *kind >= count as usize));
        let divided = divide(&samples, 3, count, seed).unwrap();
        check_partition(&samples, &divided);
        for kind in 0..4 {
            let counts = divided.iter().map(|(_, own)| kinds(own)[kind]);
            prop_assert!(counts.clone().min() > Some(0));
            prop_assert!(spread(counts) <= 2, "{all:?}");
        }
    }

    /// A patient has images with findings and many without: the latter are spread as well.
    #[test]
    fn patients_without_findings_are_spread_too(
        members in vec(((0_u8..5, 0_u8..3, 0_u8..8), 0_u32..50), 200..300),
        count in 2_u32..6,
        seed: u64,
    ) {
        let members: Vec<_> = { members.iter() }
            .map(|((one, two, three), group)| ([*one == 0, *two == 0, *three == 0], Some(*group)))
            .collect();
        let samples = labelled(&members);
        let divided = divide(&samples, 3, count, seed).unwrap();
        check_partition(&samples, &divided);
        let largest = { samples.iter() }
            .map(|sample| samples.iter().filter(|other| other.group == sample.group).count())
            .max();
        for kind in 0..4 {
            let counts = divided.iter().map(|(_, own)| kinds(own)[kind]);
            prop_assert!(Some(spread(counts)) <= largest);
        }
    }
}
