//! What must travel with weights so that they can be used again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// Class names in the order of the logits; their numbers from 0 where nobody has named them.
    pub classes: Vec<String>,
    /// From an image to the network's input.
    pub preprocessing: Preprocessing,
    /// In what the network differs from the catalog's, in the catalog's words.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub variations: Map<String, Value>,
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
            variations: Map::new(),
        }
    }

    /// A record of classes without names.
    pub fn numbered(
        model: impl Into<String>,
        classes: usize,
        preprocessing: Preprocessing,
    ) -> Self {
        let numbers = (0..classes).map(|class| class.to_string());
        Self::new(model, numbers.collect(), preprocessing)
    }

    /// Whether the classes have names, not just their numbers.
    pub fn names_classes(&self) -> bool {
        let mut classes = self.classes.iter().enumerate();
        classes.any(|(number, class)| *class != number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_no_names() {
        let preprocessing = Preprocessing::cifar10();
        let numbered = ModelRecord::numbered("resnet20", 11, preprocessing.clone());
        assert_eq!(numbered.classes[10], "10");
        assert!(!numbered.names_classes());
        // A folder of digits, in the order of the alphabet.
        let digits = ["0", "1", "10", "2"].map(str::to_owned).to_vec();
        assert!(ModelRecord::new("resnet20", digits, preprocessing).names_classes());
    }
}
