//! Why a network decides as it does: maps of the parts of an image that a class score comes from.
//!
//! An [`Attribution`] is what a network computes at one place, the tap, and how a class score changes
//! with it; [`CamMethod`] makes maps of it. [`saliency`] asks the image itself, and [`occlusion`] only
//! looks at what happens when a part of the image is covered.

mod attribution;
mod maps;
mod perturbation;

pub use attribution::{Attribution, attribute, last_map};
pub use maps::{CamMethod, HeatMap};
pub use perturbation::{Occlusion, occlusion, saliency};
