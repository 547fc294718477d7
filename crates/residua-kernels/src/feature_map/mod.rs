//! Feature maps that are computed where they are read.
//!
//! Between two convolutions of a residual network lie a normalisation, perhaps an addition, and a
//! rectifier. Each costs a pass over memory when it is done by itself. A [`Source`] describes such a
//! value without storing it; a convolution evaluates it while it fetches its input. In the backward
//! pass an [`OutputGradient`] does the same for the gradient behind a normalisation, and a
//! [`Finish`] masks a new gradient and takes the sums that the normalisation before it needs, while
//! the gradient is still in cache.
//!
//! What is stored may be the first channels of a wider map ([`MapView`]): a dense block keeps the
//! maps of all its layers in one.

mod finish;
mod lines;
mod moments;
mod output_gradient;
mod source;
mod stores;
mod view;

pub use finish::{Finish, GradientSums, finish};
pub(crate) use finish::{PartialSums, UnitGradient, finish_pixels};
pub(crate) use lines::{Lines, run_lines};
pub use moments::{BatchMoments, measure};
pub(crate) use moments::{PartialMoments, store_pixels};
pub use output_gradient::{NormGradient, OutputGradient};
pub(crate) use source::copy_pixels;
pub use source::{Affine, Shortcut, Source, convert, evaluate};
pub(crate) use stores::{MapWriter, Stores};
pub use view::{MapView, MapViewMut};
