//! The families: each a spec and a short builder that turns it into a graph.

mod alexnet;
mod attention;
mod bottleneck_transformer;
mod densenet;
mod pre_activation;
mod resnet;
mod selective_kernel;
mod shallow;
mod shortcut;
mod stages;
mod stem;
mod variations;
mod vgg;

pub use alexnet::AlexNetSpec;
pub use attention::{Attention, Reduction};
pub use bottleneck_transformer::{AttentionStage, BottleneckTransformerSpec};
pub use densenet::{DenseNetKind, DenseNetSpec};
pub use pre_activation::{PreActivationBlock, PreActivationSpec};
pub use resnet::{Block, Downsampling, Form, Paths, ResNetSpec};
pub use shallow::{FeaturePool, PoolPlace, ShallowSpec, ShallowStage};
pub use shortcut::Shortcut;
pub use stages::Stage;
pub use stem::Stem;
pub(crate) use variations::Variable;
pub use variations::{Norm, Variations};
pub use vgg::VggSpec;
