//! The rows of the catalog, and the rules that make more of them.

mod cifar;
mod imagenet;
mod papers;
mod rules;

use super::{Entry, ModelSpec, PublishedWeights, Statistics};
use crate::shape::Shape;

pub(super) use rules::by_rule;

/// All networks that have a name of their own.
pub(super) fn named() -> Vec<Entry> {
    let mut entries = imagenet::named();
    entries.extend(cifar::named());
    entries
}

/// Layers of VGG's configurations A, B, D and E.
const VGG_DEPTHS: [usize; 4] = [11, 13, 16, 19];

const TORCHVISION: PublishedWeights = PublishedWeights {
    by: "torchvision",
    statistics: Statistics::ImageNet,
};
const TIMM: PublishedWeights = PublishedWeights {
    by: "timm",
    statistics: Statistics::ImageNet,
};
/// timm's weights of pre-activation networks.
const TIMM_HALVES: PublishedWeights = PublishedWeights {
    by: "timm",
    statistics: Statistics::Halves,
};
/// Trained on CIFAR-10, with images normalised as ImageNet's.
const IDELBAYEV: PublishedWeights = PublishedWeights {
    by: "pytorch_resnet_cifar10 (Y. Idelbayev)",
    statistics: Statistics::ImageNet,
};

/// For ImageNet's thousand classes.
fn imagenet(name: impl Into<String>, paper: &'static str, spec: ModelSpec) -> Entry {
    Entry {
        name: name.into(),
        paper,
        input: Shape::map(224, 224, 3),
        classes: 1000,
        weights: None,
        spec,
    }
}

/// For CIFAR-10.
fn cifar(name: impl Into<String>, paper: &'static str, spec: ModelSpec) -> Entry {
    Entry {
        name: name.into(),
        paper,
        input: Shape::map(32, 32, 3),
        classes: 10,
        weights: None,
        spec,
    }
}

impl Entry {
    /// The same row with these weights.
    fn with(self, weights: PublishedWeights) -> Self {
        Self {
            weights: Some(weights),
            ..self
        }
    }

    /// The same row for square images of this many pixels, as its weights were published.
    fn of_size(self, side: usize) -> Self {
        Self {
            input: Shape::map(side, side, 3),
            ..self
        }
    }
}
