//! Self-attention of a feature map with relative positions (Bello et al. 2019), as in bottleneck
//! transformers (Srinivas et al. 2021).
//!
//! The map of queries, keys and values is `[N, H, W, 3 · heads · dim]`: its channels are all queries,
//! then all keys, then all values, each head by head. For each image and head, the query at `(y, x)`
//! weighs the key at `(y', x')` with the softmax over all keys of
//!
//! `q · k / √dim + q · height[y' − y + H − 1] + q · width[x' − x + W − 1]`,
//!
//! where `height` is `[2 H − 1, dim]` and `width` is `[2 W − 1, dim]`; the output `[N, H, W, heads · dim]`
//! is the weighted sum of the values.
//!
//! All three terms are one matrix product: that of the queries with a matrix of the keys, scaled,
//! and below them the height and the width positions. The module of the weights gathers its columns.

mod backward;
mod forward;
mod weights;

pub use backward::backward;
pub use forward::forward;

use crate::feature_map::copy_pixels;
use crate::linear::LinearGeometry;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// The sizes of a self-attention, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionGeometry {
    batch: usize,
    map: [usize; 2],
    heads: usize,
    dim: usize,
    /// From queries to the products with keys and positions, of one image and head.
    scores: LinearGeometry,
    /// From values to the products with weights, of one image and head.
    values: LinearGeometry,
}

impl AttentionGeometry {
    /// Attention within each of `batch` images of height and width `map`, by `heads` heads whose
    /// queries, keys and values have `dim` numbers each.
    ///
    /// # Errors
    /// If a size is zero or a matrix does not fit into memory.
    pub fn new(
        batch: usize,
        map: [usize; 2],
        heads: usize,
        dim: usize,
    ) -> Result<Self, ShapeError> {
        let elements = [batch, map[0], map[1], 3, heads, dim]
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        let pixels = map[0].saturating_mul(map[1]);
        // Positions and scores of one head have to fit too; twice the pixels bound the positions.
        let scores = pixels
            .checked_mul(pixels.saturating_mul(4))
            .and_then(|scores| scores.checked_add(pixels.checked_mul(4)?.checked_mul(dim)?));
        let fits = |count: Option<usize>| {
            count.is_some_and(|count| (1..=isize::MAX as usize / 16).contains(&count))
        };
        if !fits(elements) || !fits(scores) {
            return Err(ShapeError::new(format!(
                "attention of {heads} heads of {dim} numbers in {batch} images of {} by {} pixels is empty \
                 or too large",
                map[0], map[1]
            )));
        }
        let columns = pixels + 2 * map[0] - 1 + 2 * map[1] - 1;
        Ok(Self {
            batch,
            map,
            heads,
            dim,
            scores: LinearGeometry::new(pixels, dim, columns)?,
            values: LinearGeometry::new(pixels, dim, pixels)?,
        })
    }

    /// Elements of queries, keys and values `[N, H, W, 3 · heads · dim]`.
    pub fn qkv_length(&self) -> usize {
        3 * self.output_length()
    }

    /// Elements of the output `[N, H, W, heads · dim]`.
    pub fn output_length(&self) -> usize {
        self.batch * self.pixels() * self.width()
    }

    /// Elements of the height positions `[2 H − 1, dim]`.
    pub fn height_length(&self) -> usize {
        (2 * self.map[0] - 1) * self.dim
    }

    /// Elements of the width positions `[2 W − 1, dim]`.
    pub fn width_length(&self) -> usize {
        (2 * self.map[1] - 1) * self.dim
    }

    fn pixels(&self) -> usize {
        self.map[0] * self.map[1]
    }

    /// Channels of the output.
    fn width(&self) -> usize {
        self.heads * self.dim
    }

    /// Numbers of all positions.
    fn positions_length(&self) -> usize {
        self.height_length() + self.width_length()
    }

    /// Columns of the scores: keys, height positions, width positions.
    fn columns(&self) -> usize {
        self.pixels() + self.positions_length() / self.dim
    }

    fn check_positions(&self, height: &[f32], width: &[f32]) -> Result<(), ShapeError> {
        ShapeError::check_length("height positions", height.len(), self.height_length())?;
        ShapeError::check_length("width positions", width.len(), self.width_length())
    }

    /// What products of queries and keys are multiplied by.
    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
}

/// One head of one image in f32.
struct Head {
    /// `[pixels, dim]`.
    queries: Scratch,
    /// The scaled keys and below them the positions, `[columns, dim]`.
    keys: Scratch,
    /// `[pixels, dim]`.
    values: Scratch,
}

impl Head {
    /// Reads head number `head` of an image of queries, keys and values.
    fn load<E: Element>(
        set: InstructionSet,
        geometry: &AttentionGeometry,
        image: &[E],
        head: usize,
        positions: [&[f32]; 2],
    ) -> Self {
        let length = geometry.pixels() * geometry.dim;
        let mut loaded = Self {
            queries: Scratch::uninitialised(length),
            keys: Scratch::uninitialised(length + geometry.positions_length()),
            values: Scratch::uninitialised(length),
        };
        let (keys, rest) = loaded.keys.split_at_mut(length);
        let targets = [&mut *loaded.queries, &mut *keys, &mut *loaded.values];
        for (part, target) in targets.into_iter().enumerate() {
            let first = part * geometry.width() + head * geometry.dim;
            copy_pixels(
                set,
                geometry.dim,
                &image[first..],
                3 * geometry.width(),
                target,
            );
        }
        let scale = geometry.scale();
        for key in keys {
            *key *= scale;
        }
        let (height, width) = rest.split_at_mut(geometry.height_length());
        height.copy_from_slice(positions[0]);
        width.copy_from_slice(positions[1]);
        loaded
    }
}

/// Rounds one head `[pixels, dim]` to its place in a map.
struct StoreHead<'a, E> {
    dim: usize,
    head: &'a [f32],
    scale: f32,
    /// From the head's first number on.
    map: &'a mut [E],
    /// Channels of the map.
    channels: usize,
}

impl<E: Element> Kernel for StoreHead<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let pixels = self.map.chunks_mut(self.channels);
        for (target, numbers) in pixels.zip(self.head.chunks_exact(self.dim)) {
            for (target, &number) in target.iter_mut().zip(numbers) {
                *target = E::from_f32(number * self.scale);
            }
        }
    }
}
