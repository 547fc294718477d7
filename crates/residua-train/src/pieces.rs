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
        .zip(batch.labels.chunks(size))
        .zip(batch.samples.chunks(size));
    parts
        .enumerate()
        .map(|(piece, ((images, labels), samples))| HostBatch {
            epoch: batch.epoch,
            index: batch.index,
            shape: [labels.len(), height, width, channels],
            images: images.to_vec(),
            labels: labels.to_vec(),
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
    use residua_data::Mixture;

    use super::*;

    fn batch(count: usize) -> HostBatch {
        HostBatch {
            epoch: 0,
            index: 0,
            shape: [count, 1, 2, 1],
            images: (0..2 * count).map(|value| value as f32).collect(),
            labels: (0..count as u32).collect(),
            mixture: Some(Mixture {
                partner_labels: (0..count as u32).rev().collect(),
                shares: (0..count).map(|image| image as f32 / 8.0).collect(),
            }),
            samples: (10..10 + count).collect(),
        }
    }

    #[test]
    fn pieces_are_the_batch_in_order() {
        for (count, size, expected) in [(7, 3, 3), (6, 3, 2), (2, 3, 1)] {
            let pieces = pieces(batch(count), size);
            assert_eq!(pieces.len(), expected);
            let joined = pieces.iter().fold(batch(0), |mut joined, piece| {
                assert_eq!(piece.shape, [piece.labels.len(), 1, 2, 1]);
                joined.images.extend(&piece.images);
                joined.labels.extend(&piece.labels);
                joined.samples.extend(&piece.samples);
                let (all, part) = (
                    joined.mixture.as_mut().unwrap(),
                    piece.mixture.as_ref().unwrap(),
                );
                all.partner_labels.extend(&part.partner_labels);
                all.shares.extend(&part.shares);
                joined
            });
            let whole = batch(count);
            assert_eq!(
                (joined.images, joined.labels, joined.samples),
                (whole.images, whole.labels, whole.samples)
            );
            assert_eq!(joined.mixture, whole.mixture);
        }
    }
}
