//! The rows of the catalog, and the rules that make more of them.

use super::{Entry, ModelSpec, PublishedWeights, Statistics};
use crate::families::{
    Block, Form, Paths, PreActivationBlock, PreActivationSpec, ResNetSpec, Shortcut,
};
use crate::shape::Shape;

const HE_2015: &str = "He et al. 2015, Deep Residual Learning for Image Recognition";
const HE_2016: &str = "He et al. 2016, Identity Mappings in Deep Residual Networks";
const XIE_2017: &str =
    "Xie et al. 2017, Aggregated Residual Transformations for Deep Neural Networks";
const ZAGORUYKO_2016: &str = "Zagoruyko and Komodakis 2016, Wide Residual Networks";

const TORCHVISION: PublishedWeights = PublishedWeights {
    by: "torchvision",
    statistics: Statistics::ImageNet,
};
/// Trained on CIFAR-10, with images normalised as ImageNet's.
const IDELBAYEV: PublishedWeights = PublishedWeights {
    by: "pytorch_resnet_cifar10 (Y. Idelbayev)",
    statistics: Statistics::ImageNet,
};

/// Depths of the CIFAR form in He et al. 2015, Table 6.
const PUBLISHED_DEPTHS: [usize; 6] = [20, 32, 44, 56, 110, 1202];

/// Far beyond what anybody trains, and small enough to build in an instant.
const DEEPEST: usize = 10_000;
/// The same for multiples of a width; some billions of parameters.
const WIDEST: usize = 100;

/// All networks that have a name of their own.
pub(super) fn named() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(TABLE_1.iter().map(|row| row.entry(Form::ImageNet, true)));
    entries.extend(PATHS.iter().map(PathsRow::entry));
    entries.extend(TABLE_1.iter().map(|row| row.entry(Form::ImageNet, false)));
    for residual in [true, false] {
        entries.extend(TABLE_1.iter().map(|row| row.entry(Form::Cifar, residual)));
    }
    for residual in [true, false] {
        let depths = PUBLISHED_DEPTHS.into_iter();
        entries.extend(depths.filter_map(|depth| cifar_resnet(depth, residual)));
    }
    entries.extend([110, 164, 1001].into_iter().filter_map(pre_activation));
    let wide = [(16, 8), (28, 10), (40, 4)].into_iter();
    entries.extend(wide.filter_map(|(depth, widening)| wide_resnet(depth, widening)));
    entries.extend([8, 16].map(|count| resnext29(Paths { count, width: 64 })));
    entries
}

/// The network that a rule makes of a name.
pub(super) fn by_rule(name: &str) -> Option<Entry> {
    let entry = if let Some(depth) = name.strip_prefix("preact_resnet") {
        pre_activation(number(depth, DEEPEST)?)
    } else if let Some(paths) = name.strip_prefix("resnext29_") {
        let (count, width) = paths.strip_suffix('d')?.split_once('x')?;
        let (count, width) = (number(count, WIDEST)?, number(width, WIDEST)?);
        (count > 0 && width > 0).then(|| resnext29(Paths { count, width }))
    } else if let Some(sizes) = name.strip_prefix("wrn") {
        let (depth, widening) = sizes.split_once('_')?;
        wide_resnet(number(depth, DEEPEST)?, number(widening, WIDEST)?)
    } else if let Some(depth) = name.strip_prefix(kind(true)) {
        cifar_resnet(number(depth, DEEPEST)?, true)
    } else {
        cifar_resnet(number(name.strip_prefix(kind(false))?, DEEPEST)?, false)
    };
    // Refuses spellings such as `resnet020`, so that a network has one name.
    entry.filter(|entry| entry.name == name)
}

fn number(digits: &str, most: usize) -> Option<usize> {
    digits.parse().ok().filter(|number| *number <= most)
}

/// For ImageNet's thousand classes.
fn imagenet(name: String, paper: &'static str, spec: ResNetSpec) -> Entry {
    Entry {
        name,
        paper,
        input: Shape::map(224, 224, 3),
        classes: 1000,
        weights: None,
        spec: ModelSpec::ResNet(spec),
    }
}

/// For CIFAR-10.
fn cifar(name: String, paper: &'static str, spec: ModelSpec) -> Entry {
    Entry {
        name,
        paper,
        input: Shape::map(32, 32, 3),
        classes: 10,
        weights: None,
        spec,
    }
}

/// A network of He et al. 2015, Table 1.
struct TableRow {
    depth: usize,
    block: Block,
    blocks: [usize; 4],
}

const BOTTLENECK: Block = Block::Bottleneck(Paths::ONE);
const TABLE_1: [TableRow; 5] = [
    TableRow {
        depth: 18,
        block: Block::Basic,
        blocks: [2, 2, 2, 2],
    },
    TableRow {
        depth: 34,
        block: Block::Basic,
        blocks: [3, 4, 6, 3],
    },
    TableRow {
        depth: 50,
        block: BOTTLENECK,
        blocks: [3, 4, 6, 3],
    },
    TableRow {
        depth: 101,
        block: BOTTLENECK,
        blocks: [3, 4, 23, 3],
    },
    TableRow {
        depth: 152,
        block: BOTTLENECK,
        blocks: [3, 8, 36, 3],
    },
];

fn kind(residual: bool) -> &'static str {
    if residual { "resnet" } else { "plain" }
}

impl TableRow {
    fn entry(&self, form: Form, residual: bool) -> Entry {
        let shortcut = if residual {
            Shortcut::Projection
        } else {
            Shortcut::None
        };
        let name = format!("{}{}", kind(residual), self.depth);
        let spec = ResNetSpec::four_stages(form, self.block, self.blocks, shortcut);
        match form {
            Form::ImageNet => Entry {
                weights: residual.then_some(TORCHVISION),
                ..imagenet(name, HE_2015, spec)
            },
            Form::Cifar => cifar(format!("cifar_{name}"), HE_2015, ModelSpec::ResNet(spec)),
        }
    }
}

/// A network of Table 1 with other paths through its bottlenecks.
struct PathsRow {
    name: &'static str,
    paper: &'static str,
    blocks: [usize; 4],
    paths: Paths,
}

const PATHS: [PathsRow; 5] = [
    PathsRow {
        name: "resnext50_32x4d",
        paper: XIE_2017,
        blocks: [3, 4, 6, 3],
        paths: Paths {
            count: 32,
            width: 4,
        },
    },
    PathsRow {
        name: "resnext101_32x8d",
        paper: XIE_2017,
        blocks: [3, 4, 23, 3],
        paths: Paths {
            count: 32,
            width: 8,
        },
    },
    PathsRow {
        name: "resnext101_64x4d",
        paper: XIE_2017,
        blocks: [3, 4, 23, 3],
        paths: Paths {
            count: 64,
            width: 4,
        },
    },
    PathsRow {
        name: "wide_resnet50_2",
        paper: ZAGORUYKO_2016,
        blocks: [3, 4, 6, 3],
        paths: Paths {
            count: 1,
            width: 128,
        },
    },
    PathsRow {
        name: "wide_resnet101_2",
        paper: ZAGORUYKO_2016,
        blocks: [3, 4, 23, 3],
        paths: Paths {
            count: 1,
            width: 128,
        },
    },
];

impl PathsRow {
    fn entry(&self) -> Entry {
        let block = Block::Bottleneck(self.paths);
        let shortcut = Shortcut::Projection;
        let spec = ResNetSpec::four_stages(Form::ImageNet, block, self.blocks, shortcut);
        Entry {
            weights: Some(TORCHVISION),
            ..imagenet(self.name.to_owned(), self.paper, spec)
        }
    }
}

fn cifar_resnet(depth: usize, residual: bool) -> Option<Entry> {
    let shortcut = if residual {
        Shortcut::ZeroPad
    } else {
        Shortcut::None
    };
    let spec = ResNetSpec::cifar_depth(depth, shortcut)?;
    let name = format!("{}{depth}", kind(residual));
    let is_published = residual && PUBLISHED_DEPTHS.contains(&depth);
    Some(Entry {
        weights: is_published.then_some(IDELBAYEV),
        ..cifar(name, HE_2015, ModelSpec::ResNet(spec))
    })
}

/// Basic blocks where the depth allows them, except for the network of 164 layers, which was published
/// with bottlenecks.
fn pre_activation(depth: usize) -> Option<Entry> {
    let basic = PreActivationSpec::resnet(depth, PreActivationBlock::Basic);
    let bottleneck = PreActivationSpec::resnet(depth, PreActivationBlock::Bottleneck);
    let spec = basic.filter(|_| depth != 164).or(bottleneck)?;
    let name = format!("preact_resnet{depth}");
    Some(cifar(name, HE_2016, ModelSpec::PreActivation(spec)))
}

fn wide_resnet(depth: usize, widening: usize) -> Option<Entry> {
    let spec = PreActivationSpec::wide(depth, widening)?;
    let name = format!("wrn{depth}_{widening}");
    Some(cifar(name, ZAGORUYKO_2016, ModelSpec::PreActivation(spec)))
}

fn resnext29(paths: Paths) -> Entry {
    let name = format!("resnext29_{}x{}d", paths.count, paths.width);
    cifar(
        name,
        XIE_2017,
        ModelSpec::ResNet(ResNetSpec::resnext29(paths)),
    )
}
