//! A batch as one picture, for people who want to see what a network gets.

use std::num::NonZeroUsize;

use residua_core::preprocessing::Normalisation;
use thiserror::Error;

use crate::loader::HostBatch;
use crate::pixels::Pixels;

/// Pixels between neighbouring images.
const GAP: usize = 2;

/// Value of all channels in the gaps and where no image is.
const BACKGROUND: u8 = 255;

/// Why a batch is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContactSheetError {
    /// There is nothing to be seen.
    #[error("the batch has no pixels; expected at least one image of at least one pixel")]
    Empty,
    /// The images were normalised by something else.
    #[error(
        "the images have {found} channels and the normalisation has {expected}; expected the \
         normalisation that the batch was made with"
    )]
    Channels {
        /// Channels of the normalisation.
        expected: usize,
        /// Channels of the batch.
        found: usize,
    },
    /// The shape says something else than the values.
    #[error("the batch has {found} values; expected {expected} of its shape")]
    Values {
        /// Product of the shape.
        expected: usize,
        /// Length of the images.
        found: usize,
    },
    /// No memory is as large as the picture.
    #[error("a sheet of {columns} columns is too large; use fewer")]
    Size {
        /// The number of columns that was asked for.
        columns: usize,
    },
}

/// Lays the images of a batch out in rows of `columns`, in their order, with 2 white pixels between
/// them. A sheet is no wider than the batch has images.
///
/// The images are taken back to 0 to 255 by the inverse of `normalisation`, rounded and clipped
/// (noise of random erasing goes beyond); those of one channel become grey.
///
/// # Errors
/// If the batch is empty, was normalised with another number of channels or contradicts its shape,
/// or if the picture would be too large.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// use residua_core::preprocessing::Normalisation;
/// use residua_data::{HostBatch, contact_sheet};
///
/// let batch = HostBatch {
///     epoch: 0,
///     index: 0,
///     shape: [5, 32, 32, 3],
///     images: vec![0.0; 5 * 32 * 32 * 3],
///     labels: vec![0; 5].into(),
///     mixture: None,
///     samples: (0..5).collect(),
/// };
/// let columns = NonZeroUsize::new(3).unwrap();
/// let sheet = contact_sheet(&batch, &Normalisation::cifar10(), columns)?;
/// assert_eq!([sheet.height(), sheet.width()], [2 * 32 + 2, 3 * 32 + 2 * 2]);
/// # Ok::<(), residua_data::ContactSheetError>(())
/// ```
pub fn contact_sheet(
    batch: &HostBatch,
    normalisation: &Normalisation,
    columns: NonZeroUsize,
) -> Result<Pixels<'static>, ContactSheetError> {
    let [count, height, width, channels] = batch.shape;
    check(batch, normalisation)?;
    let columns = columns.get().min(count);
    let rows = count.div_ceil(columns);
    let too_large = ContactSheetError::Size { columns };
    let side = |images: usize, length: usize| {
        let with_gap = length.checked_add(GAP)?;
        Some(images.checked_mul(with_gap)? - GAP)
    };
    let sheet_height = side(rows, height).ok_or(too_large)?;
    let sheet_width = side(columns, width).ok_or(too_large)?;
    let bytes = sheet_height
        .checked_mul(sheet_width)
        .and_then(|pixels| pixels.checked_mul(3))
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or(too_large)?;
    let mut rgb = vec![BACKGROUND; bytes];
    let images = batch.images.chunks_exact(height * width * channels);
    for (index, image) in images.enumerate() {
        let top = index / columns * (height + GAP);
        let left = index % columns * (width + GAP);
        for (row, values) in image.chunks_exact(width * channels).enumerate() {
            let start = ((top + row) * sheet_width + left) * 3;
            let target = &mut rgb[start..start + width * 3];
            for (pixel, values) in target
                .chunks_exact_mut(3)
                .zip(values.chunks_exact(channels))
            {
                pixel.copy_from_slice(&colour(values, normalisation));
            }
        }
    }
    Pixels::new(sheet_height, sheet_width, rgb).ok_or(ContactSheetError::Empty)
}

fn check(batch: &HostBatch, normalisation: &Normalisation) -> Result<(), ContactSheetError> {
    let channels = batch.shape[3];
    if batch.shape.contains(&0) {
        return Err(ContactSheetError::Empty);
    }
    if channels != normalisation.mean().len() {
        return Err(ContactSheetError::Channels {
            expected: normalisation.mean().len(),
            found: channels,
        });
    }
    let expected = batch.shape.into_iter().fold(1, usize::saturating_mul);
    if batch.images.len() != expected {
        return Err(ContactSheetError::Values {
            expected,
            found: batch.images.len(),
        });
    }
    Ok(())
}

/// The colour of one pixel of one or three normalised values.
fn colour(values: &[f32], normalisation: &Normalisation) -> [u8; 3] {
    std::array::from_fn(|channel| {
        // Grey has the same value in every channel.
        let channel = channel.min(values.len() - 1);
        let value = values[channel] * normalisation.std()[channel] + normalisation.mean()[channel];
        (value * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use residua_core::preprocessing::Preprocessing;
    use residua_core::seed::SeedStream;

    use super::*;
    use crate::transform::Transform;

    fn batch(shape: [usize; 4], images: Vec<f32>) -> HostBatch {
        HostBatch {
            epoch: 0,
            index: 0,
            shape,
            images,
            labels: vec![0; shape[0]].into(),
            mixture: None,
            samples: (0..shape[0]).collect(),
        }
    }

    fn columns(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    /// Mean 0 and deviation 1/255: the values are those of pixels.
    fn plain(channels: usize) -> Normalisation {
        Normalisation::new(vec![0.0; channels], vec![1.0 / 255.0; channels]).unwrap()
    }

    #[test]
    fn images_stand_in_rows_with_gaps() {
        let shape = [3, 1, 2, 1];
        let values = vec![10.0, 20.0, 30.0, 40.0, 50.0, 60.0];
        let sheet = contact_sheet(&batch(shape, values), &plain(1), columns(2)).unwrap();
        assert_eq!([sheet.height(), sheet.width()], [4, 6]);
        let grey: Vec<u8> = sheet.rgb().chunks_exact(3).map(|pixel| pixel[0]).collect();
        #[rustfmt::skip]
        let expected = [
            10, 20, 255, 255, 30, 40,
            255, 255, 255, 255, 255, 255,
            255, 255, 255, 255, 255, 255,
            50, 60, 255, 255, 255, 255,
        ];
        assert_eq!(grey, expected);
        assert!(
            sheet
                .rgb()
                .chunks_exact(3)
                .all(|pixel| pixel == [pixel[0]; 3])
        );
    }

    #[test]
    fn normalised_images_are_seen_as_they_were() {
        let bytes: Vec<u8> = (0..32 * 32 * 3).map(|index| (index % 256) as u8).collect();
        let image = Pixels::new(32, 32, bytes).unwrap();
        let preprocessing = Preprocessing::cifar10();
        let transform = Transform::evaluation(&preprocessing).unwrap();
        let values = transform.apply(&image, SeedStream::new(0)).unwrap();
        let sheet = contact_sheet(
            &batch([1, 32, 32, 3], values),
            &preprocessing.normalisation,
            columns(8),
        );
        assert_eq!(sheet.unwrap(), image);
    }

    #[test]
    fn values_beyond_the_range_are_clipped() {
        let values = vec![-5.0, 300.0, f32::NAN];
        let sheet = contact_sheet(&batch([1, 1, 1, 3], values), &plain(3), columns(1));
        assert_eq!(sheet.unwrap().rgb(), [0, 255, 0]);
    }

    #[test]
    fn bad_batches_are_refused() {
        let message = |shape, values: usize, normalisation| {
            let batch = batch(shape, vec![0.0; values]);
            contact_sheet(&batch, &normalisation, columns(4))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            message([0, 2, 2, 3], 0, plain(3)),
            "the batch has no pixels; expected at least one image of at least one pixel"
        );
        assert_eq!(
            message([1, 2, 2, 3], 12, plain(1)),
            "the images have 3 channels and the normalisation has 1; expected the normalisation \
             that the batch was made with"
        );
        assert_eq!(
            message([1, 2, 2, 3], 11, plain(3)),
            "the batch has 11 values; expected 12 of its shape"
        );
    }
}
