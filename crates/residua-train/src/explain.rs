//! Why a network decides as it does: maps of the parts of an image that a class score comes from, and
//! images as points among others.
//!
//! An [`Attribution`] is what a network computes at one place, the tap, and how a class score changes
//! with it; [`CamMethod`] makes maps of it. [`saliency`] asks the image itself, and [`occlusion`] only
//! looks at what happens when a part of the image is covered. [`embed`] gives the values of a layer, and
//! [`principal_components`] draws them in the plane.

mod attribution;
mod embedding;
mod maps;
mod perturbation;
mod projection;

pub use attribution::{Attribution, attribute, last_map};
pub use embedding::{before_classifier, embed, embedding_length};
pub use maps::{CamMethod, HeatMap};
pub use perturbation::{Occlusion, occlusion, saliency};
pub use projection::{Projection, principal_components};
