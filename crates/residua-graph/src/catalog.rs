//! The catalog: names that people know, and the networks behind them.
//!
//! For ImageNet, with torchvision's names of parameters or timm's:
//!
//! | names | networks |
//! | --- | --- |
//! | `resnet18`, `34`, `50`, `101`, `152` | He et al. 2015, Table 1 |
//! | `plain18` … `152` | the same without shortcuts |
//! | `resnext50_32x4d`, `resnext101_32x8d`, `resnext101_64x4d` | grouped bottlenecks (Xie et al. 2017) |
//! | `wide_resnet50_2`, `wide_resnet101_2` | bottlenecks of twice the width |
//! | `resnet50c` | a stem of three convolutions (He et al. 2019) |
//! | `resnet18d`, `26d`, `34d`, `50d`, `101d`, `152d`, `26t` | the same, and shortcuts that average |
//! | `seresnet18`, `34`, `50`, `101`, `152`, `seresnext50_32x4d`, `seresnext101_32x8d` | squeeze and excitation (Hu et al. 2018) |
//! | `ecaresnet26t`, `50d`, `101d` | efficient channel attention (Wang et al. 2020) |
//! | `resnet18_cbam`, `34`, `50`, `101` | gates on channels and pixels (Woo et al. 2018) |
//! | `skresnet18`, `34` | selective kernels (Li et al. 2019) |
//! | `resnetv2_50`, `101`, `152` | norms first (He et al. 2016) |
//! | `botnet26t_256` | self-attention in the last blocks (Srinivas et al. 2021) |
//! | `densenet121`, `161`, `169`, `201` | Huang et al. 2017, Table 1 |
//! | `vgg11`, `13`, `16`, `19`, each also with `_bn` | Simonyan and Zisserman 2015 |
//! | `alexnet` | Krizhevsky 2014 |
//!
//! For CIFAR:
//!
//! | names | networks |
//! | --- | --- |
//! | `resnet20`, `32`, `44`, `56`, `110`, `1202`, any 6n + 2 | He et al. 2015, §4.2, option-A shortcuts |
//! | `plain20` … `1202`, any 6n + 2 | the same without shortcuts |
//! | `se_resnet20`, `56`, `110`, any 6n + 2; `cbam_resnet…` | the same with gates |
//! | `cifar_resnet18` … `152`, `cifar_plain18` … `152` | the ImageNet networks with a 3×3 stem and no max pool |
//! | `preact_resnet110`, any 6n + 2; `164`, `1001`, any other 9n + 2 | norms first; basic blocks, bottlenecks (He et al. 2016) |
//! | `wrn16_8`, `wrn28_10`, `wrn40_4`, any `wrn<6n+4>_<k>` | Wide ResNets (Zagoruyko and Komodakis 2016) |
//! | `resnext29_8x64d`, `resnext29_16x64d`, any `resnext29_<paths>x<width>d` | Xie et al. 2017, §5.2 |
//! | `densenet40_k12`, any `densenet<3n+4>_k<growth>` | Huang et al. 2017 |
//! | `densenet_bc100_k12`, `190_k40`, `250_k24`, any `densenet_bc<6n+4>_k<growth>` | with bottlenecks and compression |
//! | `cifar_vgg11_bn`, `13`, `16`, `19` | one fully connected layer |
//! | `resnet9`, `fast_resnet10` | few convolutions, made to be trained fast (Page 2018; after Jordan 2024) |
//! | `cifar_alexnet` | 3×3 convolutions and 2×2 pools |
//!
//! Where a number fits several forms (50 and 152 are 6n + 2 too), the published network has it;
//! `se_resnet50` however is the CIFAR form of 50 layers, and `seresnet50` the ImageNet network.

mod rows;
mod variation;

pub use variation::{VariationError, VariationOptions};

use globset::GlobBuilder;
use residua_core::suggest;
use thiserror::Error;

use crate::families::{
    AlexNetSpec, BottleneckTransformerSpec, DenseNetSpec, PreActivationSpec, ResNetSpec,
    ShallowSpec, VggSpec,
};
use crate::graph::{Graph, GraphError};
use crate::shape::Shape;

/// What of a catalog network may differ from its published form.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BuildOptions {
    /// Number of classes; `None`: as published.
    pub classes: Option<usize>,
    /// Shape of the image; `None`: as published.
    pub input: Option<Shape>,
    /// Shortcuts, norms, activations and regularisers; by default as published.
    pub variations: VariationOptions,
}

/// A family with the settings of one member.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelSpec {
    /// Residual and plain networks, with their wider, grouped and gated descendants.
    ResNet(ResNetSpec),
    /// Norms before convolutions, narrow or wide.
    PreActivation(PreActivationSpec),
    /// Residual networks with self-attention.
    BottleneckTransformer(BottleneckTransformerSpec),
    /// Densely connected networks.
    DenseNet(DenseNetSpec),
    /// VGG.
    Vgg(VggSpec),
    /// AlexNet.
    AlexNet(AlexNetSpec),
    /// Shallow residual networks.
    Shallow(ShallowSpec),
}

/// Weights that others publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedWeights {
    /// Who does.
    pub by: &'static str,
    /// Of which images the channel statistics are that inputs are normalised with.
    pub statistics: Statistics,
}

/// Images with well-known channel means and deviations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// CIFAR-10's training images.
    Cifar10,
    /// ImageNet's training images.
    ImageNet,
    /// None: 0.5 for both means and deviations, which takes values from `[0, 1]` to `[-1, 1]`.
    Halves,
}

/// A row of the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Where the network comes from.
    pub paper: &'static str,
    /// Shape of the image as published.
    pub input: Shape,
    /// Number of classes as published.
    pub classes: usize,
    /// Weights that others publish with these names and shapes.
    pub weights: Option<PublishedWeights>,
    /// The network.
    pub spec: ModelSpec,
}

impl Entry {
    /// Builds the graph.
    ///
    /// # Errors
    /// When the network cannot be varied like that, or cannot take such an image.
    pub fn build(&self, options: &BuildOptions) -> Result<Graph, CatalogError> {
        let input = options.input.unwrap_or(self.input);
        let classes = options.classes.unwrap_or(self.classes);
        let name = &self.name;
        let spec = self.spec.vary(&options.variations);
        let graph = match spec.map_err(|source| CatalogError::Variation {
            name: name.clone(),
            source,
        })? {
            ModelSpec::ResNet(spec) => spec.build(name, input, classes),
            ModelSpec::PreActivation(spec) => spec.build(name, input, classes),
            ModelSpec::BottleneckTransformer(spec) => spec.build(name, input, classes),
            ModelSpec::DenseNet(spec) => spec.build(name, input, classes),
            ModelSpec::Vgg(spec) => spec.build(name, input, classes),
            ModelSpec::AlexNet(spec) => spec.build(name, input, classes),
            ModelSpec::Shallow(spec) => spec.build(name, input, classes),
        };
        graph.map_err(|source| CatalogError::Build {
            name: name.clone(),
            input,
            source,
        })
    }
}

/// Why a name did not lead to a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogError {
    /// Nothing has this name.
    #[error(
        "there is no model named '{name}'{}; `residua models` lists all names",
        suggest::did_you_mean(suggestions)
    )]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The nearest names.
        suggestions: Vec<String>,
    },
    /// No name matches the pattern.
    #[error("no model matches '{pattern}'; `residua models` lists all names")]
    NoMatch {
        /// What was asked for.
        pattern: String,
    },
    /// The pattern itself is wrong.
    #[error("'{pattern}' is not a valid pattern: {message}")]
    BadPattern {
        /// What was asked for.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// The family does not have what was to be varied.
    #[error("{name} {source}")]
    Variation {
        /// The model.
        name: String,
        /// What it does not take.
        source: VariationError,
    },
    /// The network cannot be built for this image.
    #[error("{name} cannot be built for an image of {input}: {source}")]
    Build {
        /// The model.
        name: String,
        /// The image.
        input: Shape,
        /// The operation that failed.
        source: GraphError,
    },
}

/// All networks that have a name of their own. More are reachable by rule; see [`find`].
pub fn entries() -> Vec<Entry> {
    rows::named()
}

/// The network with this name, or the one that a rule makes of it (see the table above).
///
/// # Errors
/// [`CatalogError::UnknownModel`] with the nearest names.
pub fn find(name: &str) -> Result<Entry, CatalogError> {
    let named = entries();
    if let Some(entry) = named.iter().find(|entry| entry.name == name) {
        return Ok(entry.clone());
    }
    rows::by_rule(name).ok_or_else(|| {
        let names = named.iter().map(|entry| entry.name.as_str());
        let suggestions = suggest::closest(name, names);
        CatalogError::UnknownModel {
            name: name.to_owned(),
            suggestions: suggestions.into_iter().map(str::to_owned).collect(),
        }
    })
}

/// The networks whose names match a shell pattern; a name without wildcards is looked up
/// as [`find`] does.
///
/// # Errors
/// When the pattern is malformed or nothing matches.
pub fn matching(pattern: &str) -> Result<Vec<Entry>, CatalogError> {
    if !pattern.contains(['*', '?', '[', '{']) {
        return find(pattern).map(|entry| vec![entry]);
    }
    let matcher = GlobBuilder::new(pattern)
        .case_insensitive(true)
        .build()
        .map_err(|failure| CatalogError::BadPattern {
            pattern: pattern.to_owned(),
            message: failure.kind().to_string(),
        })?
        .compile_matcher();
    let mut found = entries();
    found.retain(|entry| matcher.is_match(&entry.name));
    if found.is_empty() {
        return Err(CatalogError::NoMatch {
            pattern: pattern.to_owned(),
        });
    }
    Ok(found)
}

/// Finds and builds a network.
///
/// # Errors
/// When the name is unknown, or as [`Entry::build`].
pub fn build(name: &str, options: &BuildOptions) -> Result<Graph, CatalogError> {
    find(name)?.build(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let entries = entries();
        for entry in &entries {
            assert_eq!(&find(&entry.name).unwrap(), entry);
        }
    }

    #[test]
    fn any_valid_depth_is_reachable() {
        let graph = build("resnet26", &BuildOptions::default()).unwrap();
        let convolutions = graph.nodes().iter().filter(|node| {
            matches!(
                node.operation,
                crate::Operation::Convolution(_) | crate::Operation::Linear(_)
            )
        });
        assert_eq!(convolutions.count(), 26);
        assert!(find("resnet21").is_err());
        assert!(find("resnet020").is_err());
        assert!(find("resnet99999999999999999999").is_err());
        assert!(find("plain8").is_ok());
        assert!(find("plain2").is_err());
    }

    #[test]
    fn rules_make_networks_of_every_family() {
        let kinds = |name: &str| build(name, &BuildOptions::default()).is_ok();
        for name in [
            "preact_resnet20",
            "preact_resnet29",
            "wrn10_1",
            "resnext29_4x24d",
            "se_resnet32",
            "cbam_resnet44",
            "densenet100_k24",
            "densenet_bc40_k8",
        ] {
            assert!(kinds(name), "{name}");
        }
        for name in [
            "preact_resnet21",
            "wrn29_10",
            "wrn28_0",
            "wrn28",
            "wrn028_10",
            "resnext29_0x64d",
            "resnext29_8x64",
            "resnext50_4x4d",
            "se_resnet21",
            "seresnet20",
            "cbam_resnet",
            "densenet41_k12",
            "densenet40_k0",
            "densenet40",
            "densenet_bc41_k12",
            "densenet_bc100_k012",
            "densenet_bc1000000_k12",
            "cifar_vgg12_bn",
            "vgg12",
        ] {
            assert!(!kinds(name), "{name}");
        }
    }

    #[test]
    fn unknown_names_suggest_near_ones() {
        assert_eq!(
            find("resnet51").unwrap_err().to_string(),
            "there is no model named 'resnet51'; did you mean 'resnet50', 'resnet56' or \
             'resnet152'?; `residua models` lists all names"
        );
    }

    #[test]
    fn depths_count_convolutions_and_the_last_layer() {
        for (name, depth) in [
            ("densenet40_k12", 40),
            ("densenet_bc100_k12", 100),
            ("densenet121", 121),
            ("densenet201", 201),
            ("cifar_vgg13_bn", 10 + 1),
            ("vgg19", 19),
        ] {
            let graph = build(name, &BuildOptions::default()).unwrap();
            let layers = graph.nodes().iter().filter(|node| {
                matches!(
                    node.operation,
                    crate::Operation::Convolution(_) | crate::Operation::Linear(_)
                )
            });
            assert_eq!(layers.count(), depth, "{name}");
        }
    }

    #[test]
    fn short_names_lead_to_the_whole_ones() {
        for (short, whole) in [
            ("densenet_bc100", "densenet_bc100_k12"),
            ("botnet26t", "botnet26t_256"),
            ("cifar_vgg16", "cifar_vgg16_bn"),
            ("se_resnet18", "seresnet18"),
        ] {
            let Err(CatalogError::UnknownModel { suggestions, .. }) = find(short) else {
                panic!("{short}")
            };
            assert!(suggestions.iter().any(|name| name == whole), "{short}");
        }
    }

    #[test]
    fn patterns_select_names() {
        let names = |pattern| -> Vec<String> {
            let found = matching(pattern).unwrap();
            found.into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names("cifar_plain*").len(), 5);
        assert_eq!(names("resnet{20,56}"), ["resnet20", "resnet56"]);
        assert!(matches!(
            matching("inception*"),
            Err(CatalogError::NoMatch { .. })
        ));
        assert!(matches!(
            matching("a[b*"),
            Err(CatalogError::BadPattern { .. })
        ));
    }

    #[test]
    fn an_input_that_is_no_image_is_refused_with_the_layer() {
        let options = BuildOptions {
            input: Some(Shape::vector(3)),
            ..BuildOptions::default()
        };
        let message = build("resnet18", &options).unwrap_err().to_string();
        assert!(
            message.contains("conv1 (convolution): needs a feature map"),
            "{message}"
        );
    }

    #[test]
    fn a_plain_network_is_its_residual_twin_without_shortcuts() {
        for (residual, plain) in [("resnet20", "plain20"), ("cifar_resnet50", "cifar_plain50")] {
            let residual = build(residual, &BuildOptions::default()).unwrap();
            let plain = build(plain, &BuildOptions::default()).unwrap();
            let mut names: Vec<_> = residual.state().into_iter().map(|e| e.name).collect();
            names.retain(|name| !name.contains("shortcut"));
            let plain_names: Vec<_> = plain.state().into_iter().map(|e| e.name).collect();
            assert_eq!(names, plain_names);
            let adds = |g: &Graph| {
                let nodes = g.nodes().iter();
                nodes
                    .filter(|n| n.operation == crate::Operation::Add)
                    .count()
            };
            assert_eq!(adds(&plain), 0);
            assert!(adds(&residual) > 0);
        }
    }
}
