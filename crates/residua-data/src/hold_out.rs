//! Putting a part of the training images aside for validation.

use rand::seq::SliceRandom;
use residua_core::seed::SeedStream;

use crate::dataset::{Sample, Split};
use crate::fraction::Fraction;

/// A class that cannot be divided because it has only one sample.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClassTooSmall {
    pub(crate) label: usize,
    pub(crate) samples: usize,
}

/// Divides `samples` into training and validation so that every class gives the same share.
///
/// Which samples are put aside depends on the seed and on their order in their class alone;
/// both parts keep the original order.
pub(crate) fn hold_out(
    samples: &[Sample],
    classes: usize,
    fraction: Fraction,
    seed: SeedStream,
) -> Result<(Split, Split), ClassTooSmall> {
    let mut positions_of_class = vec![Vec::new(); classes];
    for (position, sample) in samples.iter().enumerate() {
        positions_of_class[sample.label as usize].push(position);
    }
    let mut is_held_out = vec![false; samples.len()];
    for (label, mut positions) in positions_of_class.into_iter().enumerate() {
        if positions.len() == 1 {
            return Err(ClassTooSmall { label, samples: 1 });
        }
        let count = fraction.of(positions.len());
        positions.shuffle(&mut seed.child_index(label as u64).rng());
        for &position in &positions[..count] {
            is_held_out[position] = true;
        }
    }
    let part = |held_out: bool| Split {
        samples: samples
            .iter()
            .zip(&is_held_out)
            .filter(|&(_, &is_held_out)| is_held_out == held_out)
            .map(|(sample, _)| sample.clone())
            .collect(),
    };
    Ok((part(false), part(true)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::dataset::Source;

    use super::*;

    fn samples(labels: &[u32]) -> Vec<Sample> {
        let sample = |(id, &label): (usize, &u32)| Sample {
            id: id as u64,
            label,
            source: Source::File(PathBuf::from(format!("{id}.png"))),
        };
        labels.iter().enumerate().map(sample).collect()
    }

    fn ids(split: &Split) -> Vec<u64> {
        split.samples.iter().map(|sample| sample.id).collect()
    }

    #[test]
    fn every_class_gives_its_share() {
        let labels: Vec<u32> = (0..100).map(|index| u32::from(index % 5 == 0)).collect();
        let samples = samples(&labels);
        let fraction = Fraction::new(0.25).unwrap();
        let (train, validation) = hold_out(&samples, 2, fraction, SeedStream::new(1)).unwrap();
        assert_eq!(validation.class_counts(2), [20, 5]);
        assert_eq!(train.class_counts(2), [60, 15]);
        assert!(ids(&validation).is_sorted());

        let mut all = [ids(&train), ids(&validation)].concat();
        all.sort();
        assert_eq!(all, (0..100).collect::<Vec<_>>());

        let (_, again) = hold_out(&samples, 2, fraction, SeedStream::new(1)).unwrap();
        assert_eq!(ids(&again), ids(&validation));
        let (_, other) = hold_out(&samples, 2, fraction, SeedStream::new(2)).unwrap();
        assert_ne!(ids(&other), ids(&validation));
    }

    #[test]
    fn one_sample_cannot_be_divided() {
        let fraction = Fraction::new(0.5).unwrap();
        let error = hold_out(&samples(&[0, 0, 1]), 2, fraction, SeedStream::new(1)).unwrap_err();
        assert_eq!(
            error,
            ClassTooSmall {
                label: 1,
                samples: 1
            }
        );
    }
}
