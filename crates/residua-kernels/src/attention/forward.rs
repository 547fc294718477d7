//! The forward pass.

use rayon::prelude::*;

use super::{AttentionGeometry, Head, StoreHead, weights};
use crate::scratch::Scratch;
use crate::{Element, InstructionSet, ShapeError, linear, with_instruction_set};

/// Writes the attention of `qkv` `[N, H, W, 3 · heads · dim]` to `output` `[N, H, W, heads · dim]`,
/// with the positions `height_positions` `[2 H − 1, dim]` and `width_positions` `[2 W − 1, dim]`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn forward<E: Element>(
    geometry: &AttentionGeometry,
    qkv: &[E],
    height_positions: &[f32],
    width_positions: &[f32],
    output: &mut [E],
) -> Result<(), ShapeError> {
    ShapeError::check_length("queries, keys and values", qkv.len(), geometry.qkv_length())?;
    geometry.check_positions(height_positions, width_positions)?;
    ShapeError::check_length("output", output.len(), geometry.output_length())?;
    let set = InstructionSet::current();
    let image_length = geometry.pixels() * geometry.width();
    // Images are independent; where there are few, the matrix products of each use all threads.
    output
        .par_chunks_mut(image_length)
        .zip(qkv.par_chunks(3 * image_length))
        .try_for_each(|(output, qkv)| {
            with_instruction_set(set, || {
                (0..geometry.heads).try_for_each(|head| {
                    let positions = [height_positions, width_positions];
                    let loaded = Head::load(set, geometry, qkv, head, positions);
                    let weights = head_weights(set, geometry, &loaded)?;
                    let mut result = Scratch::uninitialised(loaded.values.len());
                    linear::input_gradient(
                        &geometry.values,
                        &weights,
                        &loaded.values,
                        &mut result,
                    )?;
                    set.run(StoreHead {
                        dim: geometry.dim,
                        head: &result,
                        scale: 1.0,
                        map: &mut output[head * geometry.dim..],
                        channels: geometry.width(),
                    });
                    Ok(())
                })
            })
        })
}

/// The weights `[pixels, pixels]` of one image and head.
pub(super) fn head_weights(
    set: InstructionSet,
    geometry: &AttentionGeometry,
    head: &Head,
) -> Result<Scratch, ShapeError> {
    let mut scores = Scratch::uninitialised(geometry.pixels() * geometry.columns());
    linear::forward(
        &geometry.scores,
        &head.queries,
        &head.keys,
        None,
        &mut scores,
    )?;
    let mut weights = Scratch::uninitialised(geometry.pixels() * geometry.pixels());
    weights::softmax(set, geometry, &scores, &mut weights);
    Ok(weights)
}
