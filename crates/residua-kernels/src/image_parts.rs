//! Cutting the images of a map into tasks, and checking its size.

use std::ops::Range;

use crate::ShapeError;

/// A part of one image.
pub(crate) struct ImagePart<'a, E> {
    pub(crate) image: usize,
    /// Where the part lies in the whole map.
    pub(crate) range: Range<usize>,
    /// Its numbers.
    pub(crate) numbers: &'a mut [E],
}

/// Cuts every image of `map` into parts of at most `part_length` numbers, in the order of memory.
pub(crate) fn image_parts<E>(
    map: &mut [E],
    image_length: usize,
    part_length: usize,
) -> Vec<ImagePart<'_, E>> {
    let images = map.chunks_mut(image_length).enumerate();
    images
        .flat_map(|(image, numbers)| {
            let parts = numbers.chunks_mut(part_length).enumerate();
            parts.map(move |(part, numbers)| {
                let begin = image * image_length + part * part_length;
                ImagePart {
                    image,
                    range: begin..begin + numbers.len(),
                    numbers,
                }
            })
        })
        .collect()
}

/// Checks that a map of `what` is not empty and fits into memory.
pub(crate) fn check_map(
    what: &str,
    batch: usize,
    pixels: usize,
    channels: usize,
) -> Result<(), ShapeError> {
    let elements = batch
        .checked_mul(pixels)
        .and_then(|pixels| pixels.checked_mul(channels));
    if elements.is_some_and(|count| (1..=isize::MAX as usize / 16).contains(&count)) {
        return Ok(());
    }
    Err(ShapeError::new(format!(
        "{what} of {batch} images of {pixels} pixels and {channels} channels is empty or too large"
    )))
}
