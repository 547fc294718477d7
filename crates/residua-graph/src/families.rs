//! The families: each a spec and a short builder that turns it into a graph.

mod resnet;

pub use resnet::{Block, Form, ResNetSpec, Shortcut, Stage};
