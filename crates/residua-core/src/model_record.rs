//! What must travel with weights so that they can be used again.

use serde::{Deserialize, Serialize};

use crate::preprocessing::Preprocessing;

/// Names the network that weights belong to, its classes, and how images are prepared for it.
///
/// It is stored as JSON in the metadata of every weight file that Residua writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Form of this record: [`ModelRecord::SCHEMA`].
    pub schema: String,
    /// Catalog name of the network.
    pub model: String,
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// From an image to the network's input.
    pub preprocessing: Preprocessing,
}

impl ModelRecord {
    /// The form that this version writes and reads.
    pub const SCHEMA: &'static str = "residua.model/1";

    /// A record in the current form.
    pub fn new(
        model: impl Into<String>,
        classes: Vec<String>,
        preprocessing: Preprocessing,
    ) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            model: model.into(),
            classes,
            preprocessing,
        }
    }
}
