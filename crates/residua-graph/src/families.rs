//! The families: each a spec and a short builder that turns it into a graph.

mod pre_activation;
mod resnet;

pub use pre_activation::{PreActivationBlock, PreActivationSpec};
pub use resnet::{Block, Form, Paths, ResNetSpec, Shortcut, Stage};
