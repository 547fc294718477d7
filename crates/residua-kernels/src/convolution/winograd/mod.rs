//! Winograd minimal filtering F(4 × 4, 3 × 3): convolutions with a kernel of 3 × 3, stride 1,
//! dilation 1 and one group, with a quarter of the multiplications.
//!
//! The target is cut into tiles of 4 × 4 pixels. The 6 × 6 window of each and the weights are
//! transformed, multiplied position by position (36 matrix products over the channels), and the
//! sums transformed back; see [`transforms`]. A result loses about one decimal digit against the
//! direct sum.
//!
//! The functions work on *units*: some images, or bands of images, on the calling thread. Whoever
//! calls them spreads units over threads and cuts out their windows.
//!
//! A tile's bits do not depend on the unit that it is in.

mod accumulate;
mod correlate;
mod finish;
mod gradient;
mod layout;
mod product;
mod result;
#[cfg(test)]
mod tests;
mod transforms;
mod weights;
mod window;

pub(crate) use accumulate::{
    TransformedUnit, accumulate, sums_length, sums_position_length, transform_gradient,
    transform_window, transformed_gradient_length, transformed_window_length,
};
pub(crate) use correlate::{correlate, tiles_per_unit};
pub(crate) use finish::finish_weight_gradient;
pub(crate) use layout::{POSITIONS, TILE, UnitShape};
pub(crate) use weights::{Direction, TransformedWeights};
