//! The catalog: names that people know, and the networks behind them.
//!
//! | names | networks |
//! | --- | --- |
//! | `resnet18`, `34`, `50`, `101`, `152` | ImageNet form (He et al. 2015, Table 1) |
//! | `resnext50_32x4d`, `resnext101_32x8d`, `resnext101_64x4d` | grouped bottlenecks (Xie et al. 2017) |
//! | `wide_resnet50_2`, `wide_resnet101_2` | bottlenecks of twice the width |
//! | `resnet20`, `32`, `44`, `56`, `110`, `1202`, any 6n + 2 | CIFAR form (§4.2), option-A shortcuts |
//! | `cifar_resnet18` … `152` | the ImageNet networks with a 3×3 stem and no max pool |
//! | `plain…`, `cifar_plain…` | each of the ResNets without shortcuts |
//! | `preact_resnet110`, any 6n + 2; `164`, `1001`, any other 9n + 2 | CIFAR form, norms first; basic blocks, bottlenecks (He et al. 2016) |
//! | `wrn16_8`, `wrn28_10`, `wrn40_4`, any `wrn<6n+4>_<k>` | Wide ResNets (Zagoruyko and Komodakis 2016) |
//! | `resnext29_8x64d`, `resnext29_16x64d`, any `resnext29_<paths>x<width>d` | CIFAR form (Xie et al. 2017) |
//!
//! Where a number fits several forms (50 and 152 are 6n + 2 too), the published network has it.

mod rows;

use globset::Glob;
use residua_core::suggest;
use thiserror::Error;

use crate::families::{PreActivationSpec, ResNetSpec};
use crate::graph::{Graph, GraphError};
use crate::shape::Shape;

/// What of a catalog network may differ from its published form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Number of classes; `None`: as published.
    pub classes: Option<usize>,
    /// Shape of the image; `None`: as published.
    pub input: Option<Shape>,
}

/// A family with the settings of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSpec {
    /// Residual and plain networks, with their wider and grouped descendants.
    ResNet(ResNetSpec),
    /// Norms before convolutions, narrow or wide.
    PreActivation(PreActivationSpec),
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
}

/// A row of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// When the network cannot take such an image.
    pub fn build(&self, options: &BuildOptions) -> Result<Graph, GraphError> {
        let input = options.input.unwrap_or(self.input);
        let classes = options.classes.unwrap_or(self.classes);
        match &self.spec {
            ModelSpec::ResNet(spec) => spec.build(&self.name, input, classes),
            ModelSpec::PreActivation(spec) => spec.build(&self.name, input, classes),
        }
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
    let matcher = Glob::new(pattern)
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
/// When the name is unknown or the network cannot take such an image.
pub fn build(name: &str, options: &BuildOptions) -> Result<Graph, CatalogError> {
    let entry = find(name)?;
    entry.build(options).map_err(|source| CatalogError::Build {
        name: entry.name.clone(),
        input: options.input.unwrap_or(entry.input),
        source,
    })
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
    fn patterns_select_names() {
        let names = |pattern| -> Vec<String> {
            let found = matching(pattern).unwrap();
            found.into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names("cifar_plain*").len(), 5);
        assert_eq!(names("resnet{20,56}"), ["resnet20", "resnet56"]);
        assert!(matches!(
            matching("vgg*"),
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
            classes: None,
            input: Some(Shape::vector(3)),
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
