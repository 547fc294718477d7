//! Where a run was trained.

use serde::{Deserialize, Serialize};

/// The program and the machine of a run, for those who compare its times or repeat it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of Residua.
    pub version: String,
    /// Operating system and architecture, `linux x86_64` for instance.
    pub system: String,
    /// What the processor calls itself; empty where the system does not tell.
    pub processor: String,
    /// Vector instructions that the kernels use.
    pub instruction_set: String,
    /// Threads that compute.
    pub threads: usize,
    /// The device of the network.
    pub device: String,
}
