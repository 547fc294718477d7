//! The catalog: names that people know, and the networks behind them.
//!
//! | names | networks |
//! | --- | --- |
//! | `resnet18`, `34`, `50`, `101`, `152` | ImageNet form (He et al. 2015, Table 1) |
//! | `resnet20`, `32`, `44`, `56`, `110`, `1202`, any 6n + 2 | CIFAR form (§4.2), option-A shortcuts |
//! | `cifar_resnet18` … `152` | the ImageNet networks with a 3×3 stem and no max pool |
//! | `plain…`, `cifar_plain…` | each of them without shortcuts |
//!
//! Where a number fits both forms (50 and 152 are 6n + 2 too), the ImageNet network has it.

use globset::Glob;
use residua_core::suggest;
use thiserror::Error;

use crate::families::{Block, Form, ResNetSpec, Shortcut};
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
    /// Residual and plain networks.
    ResNet(ResNetSpec),
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
    const CIFAR_DEPTHS: [usize; 6] = [20, 32, 44, 56, 110, 1202];
    let mut entries = Vec::new();
    for form in [Form::ImageNet, Form::Cifar] {
        for residual in [true, false] {
            entries.extend(FOUR_STAGES.iter().map(|row| row.entry(form, residual)));
        }
    }
    for residual in [true, false] {
        let depths = CIFAR_DEPTHS.into_iter();
        entries.extend(depths.filter_map(|depth| cifar_entry(depth, residual)));
    }
    entries
}

/// The network with this name, which may also be any `resnet<6n+2>` or `plain<6n+2>`.
///
/// # Errors
/// [`CatalogError::UnknownModel`] with the nearest names.
pub fn find(name: &str) -> Result<Entry, CatalogError> {
    let named = entries();
    if let Some(entry) = named.iter().find(|entry| entry.name == name) {
        return Ok(entry.clone());
    }
    by_rule(name).ok_or_else(|| {
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

/// A network of Table 1.
struct FourStages {
    depth: usize,
    block: Block,
    blocks: [usize; 4],
}

const FOUR_STAGES: [FourStages; 5] = [
    FourStages {
        depth: 18,
        block: Block::Basic,
        blocks: [2, 2, 2, 2],
    },
    FourStages {
        depth: 34,
        block: Block::Basic,
        blocks: [3, 4, 6, 3],
    },
    FourStages {
        depth: 50,
        block: Block::Bottleneck,
        blocks: [3, 4, 6, 3],
    },
    FourStages {
        depth: 101,
        block: Block::Bottleneck,
        blocks: [3, 4, 23, 3],
    },
    FourStages {
        depth: 152,
        block: Block::Bottleneck,
        blocks: [3, 8, 36, 3],
    },
];

const HE_2015: &str = "He et al. 2015, Deep Residual Learning for Image Recognition";

fn kind(residual: bool) -> &'static str {
    if residual { "resnet" } else { "plain" }
}

impl FourStages {
    fn entry(&self, form: Form, residual: bool) -> Entry {
        let shortcut = if residual {
            Shortcut::Projection
        } else {
            Shortcut::None
        };
        let (prefix, input, classes) = match form {
            Form::ImageNet => ("", Shape::map(224, 224, 3), 1000),
            Form::Cifar => ("cifar_", Shape::map(32, 32, 3), 10),
        };
        let spec = ResNetSpec::four_stages(form, self.block, self.blocks, shortcut);
        Entry {
            name: format!("{prefix}{}{}", kind(residual), self.depth),
            paper: HE_2015,
            input,
            classes,
            spec: ModelSpec::ResNet(spec),
        }
    }
}

fn cifar_entry(depth: usize, residual: bool) -> Option<Entry> {
    let shortcut = if residual {
        Shortcut::ZeroPad
    } else {
        Shortcut::None
    };
    let spec = ResNetSpec::cifar_depth(depth, shortcut)?;
    Some(Entry {
        name: format!("{}{depth}", kind(residual)),
        paper: HE_2015,
        input: Shape::map(32, 32, 3),
        classes: 10,
        spec: ModelSpec::ResNet(spec),
    })
}

fn by_rule(name: &str) -> Option<Entry> {
    // Far beyond what anybody trains, and small enough to build in an instant.
    const DEEPEST: usize = 10_000;
    let parse = |digits: &str| digits.parse().ok().filter(|&depth| depth <= DEEPEST);
    let (residual, depth) = match name.strip_prefix(kind(true)) {
        Some(digits) => (true, parse(digits)?),
        None => (false, parse(name.strip_prefix(kind(false))?)?),
    };
    // Refuses spellings such as `resnet020`, so that a network has one name.
    cifar_entry(depth, residual).filter(|entry| entry.name == name)
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
