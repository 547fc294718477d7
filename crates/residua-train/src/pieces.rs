//! Dividing a batch, to save memory.

use residua_data::HostBatch;

/// Divides a batch into pieces of at most `size` images.
pub(crate) fn pieces(batch: HostBatch, size: usize) -> Vec<HostBatch> {
    let [count, height, width, channels] = batch.shape;
    if size >= count {
        return vec![batch];
    }
    let image = height * width * channels;
    let parts = batch
        .images
        .chunks(size * image)
        .zip(batch.samples.chunks(size));
    parts
        .enumerate()
        .map(|(piece, (images, samples))| HostBatch {
            epoch: batch.epoch,
            index: batch.index,
            shape: [samples.len(), height, width, channels],
            images: images.to_vec(),
            labels: batch.labels.part(piece * size, size),
            mixture: batch
                .mixture
                .as_ref()
                .map(|mixture| mixture.part(piece * size, size)),
            samples: samples.to_vec(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use residua_data::{ClassSet, Labels, Mixture};

    use super::*;

    /// Each image shows its number and 9.
    fn sets(numbers: impl Iterator<Item = u32>) -> Labels {
        let set = |number| ClassSet::from_iter([number, 9]);
        Labels::Sets(numbers.map(set).collect())
    }

    fn batch(count: usize) -> HostBatch {
        HostBatch {
            epoch: 0,
            index: 0,
            shape: [count, 1, 2, 1],
            images: (0..2 * count).map(|value| value as f32).collect(),
            labels: (0..count as u32).collect(),
            mixture: Some(Mixture {
                partner_labels: sets((0..count as u32).rev()),
                shares: (0..count).map(|image| image as f32 / 8.0).collect(),
            }),
            samples: (10..10 + count).collect(),
        }
    }

    #[test]
    fn pieces_are_the_batch_in_order() {
        for (count, size, expected) in [(7, 3, 3), (6, 3, 2), (2, 3, 1)] {
            let whole = batch(count);
            let pieces = pieces(batch(count), size);
            assert_eq!(pieces.len(), expected);
            let mut first = 0;
            for piece in pieces {
                let length = piece.samples.len();
                assert_eq!(piece.shape, [length, 1, 2, 1]);
                assert_eq!(piece.images, whole.images[2 * first..][..2 * length]);
                assert_eq!(piece.labels, whole.labels.part(first, length));
                assert_eq!(piece.samples, whole.samples[first..][..length]);
                let mixture = whole.mixture.as_ref().unwrap();
                assert_eq!(piece.mixture, Some(mixture.part(first, length)));
                first += length;
            }
            assert_eq!(first, count);
        }
    }
}
