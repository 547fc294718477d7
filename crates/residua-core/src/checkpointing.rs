//! What a forward pass keeps for the reverse pass.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether feature maps are kept or computed again (Chen et al. 2016, "Training Deep Nets with
/// Sublinear Memory Cost", §4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GradientCheckpointing {
    /// All feature maps are kept.
    #[default]
    Off,
    /// A few are kept, and the others are computed a second time: about a third more work, and for a
    /// network of n layers a memory of the order of √n of them.
    On,
}
