//! What must travel with weights so that they can be used again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::preprocessing::Preprocessing;
use crate::task::{Decision, Task};

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
    /// How the logits become an answer; where nothing is said, by the largest of them.
    #[serde(default, skip_serializing_if = "Decision::is_most_likely")]
    pub decision: Decision,
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
            decision: Decision::default(),
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

    /// What the network is asked about an image.
    pub fn task(&self) -> Task {
        self.decision.task()
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
    fn a_record_without_a_decision_is_one_of_single_labels() {
        let mut record = ModelRecord::numbered("resnet20", 2, Preprocessing::cifar10());
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("decision"), "{text}");
        assert_eq!(serde_json::from_str::<ModelRecord>(&text).unwrap(), record);
        assert_eq!(record.task(), Task::SingleLabel);
        record.decision = Decision::Thresholds {
            thresholds: vec![0.25, 0.5],
        };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<ModelRecord>(&text).unwrap(), record);
        assert_eq!(record.task(), Task::MultiLabel);
    }

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
