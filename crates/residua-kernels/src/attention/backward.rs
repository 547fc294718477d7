//! The backward pass, which computes the weights again: nothing is stored.

use rayon::prelude::*;

use super::forward::head_weights;
use super::{AttentionGeometry, Head, StoreHead, weights};
use crate::feature_map::copy_pixels;
use crate::scratch::Scratch;
use crate::{Element, InstructionSet, ShapeError, linear, reduce, with_instruction_set};

/// The gradients of [`super::forward`] with respect to the map of queries, keys and values and to
/// the positions.
///
/// # Errors
/// If a slice's length differs from the geometry's.
#[expect(
    clippy::too_many_arguments,
    reason = "three inputs have three gradients"
)]
pub fn backward<E: Element>(
    geometry: &AttentionGeometry,
    qkv: &[E],
    height_positions: &[f32],
    width_positions: &[f32],
    output_gradient: &[E],
    qkv_gradient: &mut [E],
    height_gradient: &mut [f32],
    width_gradient: &mut [f32],
) -> Result<(), ShapeError> {
    let length = geometry.output_length();
    ShapeError::check_length("queries, keys and values", qkv.len(), 3 * length)?;
    geometry.check_positions(height_positions, width_positions)?;
    ShapeError::check_length("output gradient", output_gradient.len(), length)?;
    ShapeError::check_length(
        "gradient of queries, keys and values",
        qkv_gradient.len(),
        3 * length,
    )?;
    ShapeError::check_length(
        "gradient of height positions",
        height_gradient.len(),
        geometry.height_length(),
    )?;
    ShapeError::check_length(
        "gradient of width positions",
        width_gradient.len(),
        geometry.width_length(),
    )?;
    let set = InstructionSet::current();
    let image_length = geometry.pixels() * geometry.width();
    let positions_length = geometry.positions_length();
    // The gradients of the positions of each image, added in order at the end.
    let mut positions_gradients = vec![0.0f32; geometry.batch * positions_length];
    let inputs = qkv
        .par_chunks(3 * image_length)
        .zip(output_gradient.par_chunks(image_length));
    let targets = qkv_gradient
        .par_chunks_mut(3 * image_length)
        .zip(positions_gradients.par_chunks_mut(positions_length));
    targets.zip(inputs).try_for_each(
        |((qkv_gradient, positions_gradient), (qkv, output_gradient))| {
            let image = Image {
                set,
                geometry,
                qkv,
                positions: [height_positions, width_positions],
                output_gradient,
            };
            with_instruction_set(set, || {
                (0..geometry.heads)
                    .try_for_each(|head| image.head(head, qkv_gradient, positions_gradient))
            })
        },
    )?;
    let mut totals = vec![0.0; positions_length];
    reduce::channel_sums(&positions_gradients, &mut totals)?;
    let (height, width) = totals.split_at(height_gradient.len());
    height_gradient.copy_from_slice(height);
    width_gradient.copy_from_slice(width);
    Ok(())
}

struct Image<'a, E> {
    set: InstructionSet,
    geometry: &'a AttentionGeometry,
    qkv: &'a [E],
    positions: [&'a [f32]; 2],
    output_gradient: &'a [E],
}

impl<E: Element> Image<'_, E> {
    /// Writes the gradients of a head's queries, keys and values and adds those of its positions.
    fn head(
        &self,
        head: usize,
        qkv_gradient: &mut [E],
        positions_gradient: &mut [f32],
    ) -> Result<(), ShapeError> {
        let Self { set, geometry, .. } = *self;
        let dim = geometry.dim;
        let loaded = Head::load(set, geometry, self.qkv, head, self.positions);
        let weights = head_weights(set, geometry, &loaded)?;
        let mut gradient = Scratch::uninitialised(loaded.values.len());
        copy_pixels(
            set,
            dim,
            &self.output_gradient[head * dim..],
            geometry.width(),
            &mut gradient,
        );

        let mut store = |part: usize, scale: f32, numbers: &[f32]| {
            set.run(StoreHead {
                dim,
                head: numbers,
                scale,
                map: &mut qkv_gradient[part * geometry.width() + head * dim..],
                channels: 3 * geometry.width(),
            });
        };
        let mut result = Scratch::uninitialised(loaded.values.len());
        linear::weight_gradient(&geometry.values, &gradient, &weights, &mut result)?;
        store(2, 1.0, &result);

        let mut weights_gradient = Scratch::uninitialised(weights.len());
        linear::forward(
            &geometry.values,
            &gradient,
            &loaded.values,
            None,
            &mut weights_gradient,
        )?;
        let mut scores_gradient = Scratch::uninitialised(geometry.pixels() * geometry.columns());
        weights::softmax_gradient(
            set,
            geometry,
            &weights,
            &weights_gradient,
            &mut scores_gradient,
        );
        linear::input_gradient(
            &geometry.scores,
            &scores_gradient,
            &loaded.keys,
            &mut result,
        )?;
        store(0, 1.0, &result);

        let mut keys_gradient = Scratch::uninitialised(loaded.keys.len());
        linear::weight_gradient(
            &geometry.scores,
            &loaded.queries,
            &scores_gradient,
            &mut keys_gradient,
        )?;
        let (keys, positions) = keys_gradient.split_at(loaded.values.len());
        store(1, geometry.scale(), keys);
        for (total, term) in positions_gradient.iter_mut().zip(positions) {
            *total += term;
        }
        Ok(())
    }
}
