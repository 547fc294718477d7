use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::dataset::Source;
use crate::label::Label;

use super::*;

fn sample(id: usize, label: u32, group: Option<u32>) -> Sample {
    Sample {
        id: id as u64,
        label: label.into(),
        group,
        source: Source::File(PathBuf::from(format!("{id}.png"))),
    }
}

fn samples(labels: &[u32]) -> Vec<Sample> {
    let labels = labels.iter().enumerate();
    labels.map(|(id, &label)| sample(id, label, None)).collect()
}

fn grouped(members: &[(u32, Option<u32>)]) -> Vec<Sample> {
    let members = members.iter().enumerate();
    members
        .map(|(id, &(label, group))| sample(id, label, group))
        .collect()
}

fn ids(split: &Split) -> Vec<u64> {
    split.samples.iter().map(|sample| sample.id).collect()
}

fn fraction(value: f64) -> Fraction {
    Fraction::new(value).unwrap()
}

#[test]
fn every_class_gives_its_share() {
    let labels: Vec<u32> = (0..100).map(|index| u32::from(index % 5 == 0)).collect();
    let samples = samples(&labels);
    let hold_out = |seed| hold_out(&samples, 2, fraction(0.25), SeedStream::new(seed)).unwrap();
    let (train, validation) = hold_out(1);
    assert_eq!(validation.class_counts(2), [20, 5]);
    assert_eq!(train.class_counts(2), [60, 15]);
    assert!(ids(&validation).is_sorted());

    let mut all = [ids(&train), ids(&validation)].concat();
    all.sort();
    assert_eq!(all, (0..100).collect::<Vec<_>>());

    assert_eq!(ids(&hold_out(1).1), ids(&validation));
    assert_ne!(ids(&hold_out(2).1), ids(&validation));
}

/// The images that runs without groups put aside: others would make their results incomparable
/// with those of earlier runs.
#[test]
fn without_groups_the_first_of_each_shuffled_class_are_held_out() {
    let labels: Vec<u32> = (0..500).map(|index| index * index % 7).collect();
    let samples = samples(&labels);
    let seed = SeedStream::new(11);
    let mut expected = Vec::new();
    for label in 0..7 {
        let of_label = samples
            .iter()
            .filter(|sample| sample.label.class() == Some(label));
        let mut ids: Vec<u64> = of_label.map(|sample| sample.id).collect();
        ids.shuffle(&mut seed.child_index(u64::from(label)).rng());
        ids.truncate(fraction(0.13).of(ids.len()));
        expected.extend(ids);
    }
    expected.sort();
    let (_, validation) = hold_out(&samples, 7, fraction(0.13), seed).unwrap();
    assert_eq!(ids(&validation), expected);
}

/// Images that show any number of classes.
fn labelled(sets: &[&[u32]]) -> Vec<Sample> {
    let sets = sets.iter().enumerate();
    sets.map(|(id, set)| Sample {
        label: Label::Classes(set.iter().copied().collect()),
        ..sample(id, 0, None)
    })
    .collect()
}

#[test]
fn classes_that_occur_together_and_images_without_any_give_their_share() {
    let sets: Vec<&[u32]> = (0..200)
        .map(|index| match index % 20 {
            0..=7 => &[][..],
            8..=12 => &[0],
            13..=15 => &[0, 1],
            16..=18 => &[1, 2],
            _ => &[0, 1, 2],
        })
        .collect();
    let samples = labelled(&sets);
    let hold_out = |seed| hold_out(&samples, 3, fraction(0.2), SeedStream::new(seed)).unwrap();
    let (train, validation) = hold_out(1);
    let none = |split: &Split| {
        let samples = split.samples.iter();
        samples
            .filter(|sample| sample.label.classes().is_empty())
            .count()
    };
    assert_eq!((none(&train), none(&validation)), (64, 16));
    // Of 90, 70 and 40 images.
    for (found, wanted) in validation.class_counts(3).into_iter().zip([18, 14, 8]) {
        assert!(found.abs_diff(wanted) <= 1, "{found} of {wanted}");
    }
    let mut all = [ids(&train), ids(&validation)].concat();
    all.sort();
    assert_eq!(all, (0..200).collect::<Vec<_>>());
    assert_eq!(ids(&hold_out(1).1), ids(&validation));
    assert_ne!(ids(&hold_out(2).1), ids(&validation));

    // One image without a class alone cannot be on both sides.
    let samples = labelled(&[&[0], &[], &[0], &[0, 1], &[1]]);
    let (train, validation) =
        super::hold_out(&samples, 2, fraction(0.4), SeedStream::new(0)).unwrap();
    assert!(ids(&train).contains(&1) && !validation.is_empty());
}

#[test]
fn what_cannot_be_divided_is_named() {
    let refused =
        |samples: &[Sample]| hold_out(samples, 2, fraction(0.5), SeedStream::new(1)).unwrap_err();
    assert_eq!(
        refused(&samples(&[0, 0, 1])),
        Indivisible::OneSample { label: 1 }
    );
    let samples = grouped(&[(0, None), (0, None), (1, Some(3)), (1, Some(3))]);
    assert_eq!(
        refused(&samples),
        Indivisible::OneGroup {
            label: 1,
            samples: 2
        }
    );
}

#[test]
fn a_class_in_the_way_of_another_is_still_represented() {
    // Only the middle group is free to go: the others are the last of their classes in turn.
    let samples = grouped(&[
        (0, Some(0)),
        (1, Some(0)),
        (0, Some(1)),
        (1, Some(2)),
        (1, Some(2)),
    ]);
    for seed in 0..20 {
        let (train, validation) =
            hold_out(&samples, 2, fraction(0.3), SeedStream::new(seed)).unwrap();
        for part in [train, validation] {
            assert!(part.class_counts(2).iter().all(|&count| count > 0));
        }
    }
}

fn groups(split: &Split) -> HashSet<u32> {
    split
        .samples
        .iter()
        .filter_map(|sample| sample.group)
        .collect()
}

/// The largest number of samples that have to stay together.
fn largest_unit(samples: &[Sample]) -> usize {
    units(samples)
        .iter()
        .map(|unit| unit.positions.len())
        .max()
        .unwrap()
}

/// How many classes a division leaves without samples on one side.
fn unrepresented(samples: &[Sample], classes: usize, is_held_out: impl Fn(usize) -> bool) -> usize {
    let side = |held_out: bool| {
        let positions = (0..samples.len()).filter(|&position| is_held_out(position) == held_out);
        let labels = positions.map(|position| samples[position].label.class());
        labels.collect::<BTreeSet<_>>().len()
    };
    2 * classes - side(true) - side(false)
}

proptest! {
    /// Groups of patients, each with one diagnosis.
    #[test]
    fn groups_of_one_class_stay_together_and_near_the_share(
        sizes in vec((0_u32..4, 1_usize..12), 20..80),
        share in 0.1_f64..0.5,
        seed: u64,
    ) {
        let mut members = Vec::new();
        for (group, &(label, size)) in sizes.iter().enumerate() {
            members.extend(vec![(label, Some(group as u32)); size]);
        }
        let samples = grouped(&members);
        let groups_of = |label| sizes.iter().filter(|(of, _)| *of == label).count();
        prop_assume!((0..4).all(|label| groups_of(label) != 1));
        let divided = hold_out(&samples, 4, fraction(share), SeedStream::new(seed)).unwrap();
        let (train, validation) = &divided;
        prop_assert!(groups(train).is_disjoint(&groups(validation)));
        prop_assert_eq!(train.len() + validation.len(), samples.len());
        prop_assert!(ids(train).is_sorted() && ids(validation).is_sorted());
        let all = Split { samples: samples.clone() }.class_counts(4);
        let held_out = validation.class_counts(4);
        for label in 0..4 {
            prop_assert_eq!(held_out[label] > 0, all[label] > 0);
            prop_assert_eq!(held_out[label] < all[label], all[label] > 0);
            // At most a group away from the share.
            let wanted = share * all[label] as f64;
            let apart = (held_out[label] as f64 - wanted).abs();
            prop_assert!(apart <= 12.0, "{} of {}, wanted {wanted}", held_out[label], all[label]);
        }
        let again = hold_out(&samples, 4, fraction(share), SeedStream::new(seed)).unwrap();
        prop_assert_eq!(ids(&again.1), ids(validation));
    }

    /// Patients with images of several classes, and images of no group among them.
    #[test]
    fn mixed_groups_stay_together_and_near_the_share(
        members in vec((0_u32..3, option::weighted(0.8, 0_u32..40)), 100..300),
        share in 0.1_f64..0.5,
        seed: u64,
    ) {
        let samples = grouped(&members);
        let (train, validation) =
            hold_out(&samples, 3, fraction(share), SeedStream::new(seed)).unwrap();
        prop_assert!(groups(&train).is_disjoint(&groups(&validation)));
        prop_assert_eq!(train.len() + validation.len(), samples.len());
        prop_assert_eq!(train.class_counts(3).iter().filter(|&&count| count == 0).count(), 0);
        prop_assert_eq!(validation.class_counts(3).iter().filter(|&&count| count == 0).count(), 0);
        let apart = (validation.len() as f64 - share * samples.len() as f64).abs();
        prop_assert!(apart <= largest_unit(&samples) as f64, "{apart}");
    }

    /// Against all divisions there are: where one represents every class on both sides, ours does.
    /// Training always keeps every class.
    #[test]
    fn every_class_is_on_both_sides_where_that_is_possible(
        members in vec((0_u32..4, 0_u32..6), 4..14),
        seed: u64,
    ) {
        let members: Vec<_> = members.into_iter().map(|(label, group)| (label, Some(group))).collect();
        let samples = grouped(&members);
        let Ok((train, validation)) = hold_out(&samples, 4, fraction(0.3), SeedStream::new(seed))
        else {
            return Ok(());
        };
        let present = members.iter().map(|(label, _)| label).collect::<BTreeSet<_>>().len();
        let fewest = (0..1_u32 << 6).map(|held_out| {
            let is_held_out = |group: Option<u32>| held_out >> group.unwrap() & 1 == 1;
            unrepresented(&samples, present, |position| is_held_out(samples[position].group))
        });
        let held_out: HashSet<u64> = ids(&validation).into_iter().collect();
        let ours = unrepresented(&samples, present, |position| held_out.contains(&(position as u64)));
        prop_assert!(ours == 0 || fewest.min() > Some(0));
        let kept = train.samples.iter().filter_map(|sample| sample.label.class()).collect::<BTreeSet<_>>();
        prop_assert_eq!(kept.len(), present);
    }
}
