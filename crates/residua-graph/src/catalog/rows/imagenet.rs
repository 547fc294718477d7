//! Networks for ImageNet, and those of them that also have a form for CIFAR.

use super::papers::{
    HE_2015, HE_2016, HE_2019, HU_2018, HUANG_2017, KRIZHEVSKY_2014, LI_2019, SIMONYAN_2015,
    SRINIVAS_2021, WANG_2020, WOO_2018, XIE_2017, ZAGORUYKO_2016,
};
use super::{Entry, ModelSpec, TIMM, TIMM_HALVES, TORCHVISION, VGG_DEPTHS, cifar, imagenet};
use crate::families::{
    AlexNetSpec, Attention, Block, BottleneckTransformerSpec, DenseNetSpec, Downsampling, Form,
    Norm, Paths, PreActivationSpec, Reduction, ResNetSpec, Shortcut, Stem, VggSpec,
};

pub(super) fn named() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(TABLE_1.iter().map(|row| row.entry(Form::ImageNet, true)));
    entries.extend(other_paths());
    entries.extend(TABLE_1.iter().map(|row| row.entry(Form::ImageNet, false)));
    for residual in [true, false] {
        entries.extend(TABLE_1.iter().map(|row| row.entry(Form::Cifar, residual)));
    }
    entries.extend(other_stems());
    entries.extend(squeeze_excitation());
    entries.extend(efficient_channel());
    entries.extend(cbam());
    entries.extend(selective_kernel());
    entries.extend(pre_activation());
    entries.push(bottleneck_transformer());
    entries.extend(densenet());
    entries.extend(vgg());
    entries.push(alexnet());
    entries
}

const BOTTLENECK: Block = Block::Bottleneck(Paths::ONE);

/// A network of He et al. 2015, Table 1.
#[derive(Clone, Copy)]
struct TableRow {
    depth: usize,
    block: Block,
    blocks: [usize; 4],
}

const fn row(depth: usize, block: Block, blocks: [usize; 4]) -> TableRow {
    TableRow {
        depth,
        block,
        blocks,
    }
}

const ROW_18: TableRow = row(18, Block::Basic, [2, 2, 2, 2]);
const ROW_34: TableRow = row(34, Block::Basic, [3, 4, 6, 3]);
const ROW_50: TableRow = row(50, BOTTLENECK, [3, 4, 6, 3]);
const ROW_101: TableRow = row(101, BOTTLENECK, [3, 4, 23, 3]);
const ROW_152: TableRow = row(152, BOTTLENECK, [3, 8, 36, 3]);
const TABLE_1: [TableRow; 5] = [ROW_18, ROW_34, ROW_50, ROW_101, ROW_152];
/// timm's, not of the table: the blocks of 18 layers as bottlenecks.
const ROW_26: TableRow = row(26, BOTTLENECK, [2, 2, 2, 2]);

impl TableRow {
    fn spec(&self, form: Form, shortcut: Shortcut) -> ResNetSpec {
        ResNetSpec::four_stages(form, self.block, self.blocks, shortcut)
    }

    fn entry(&self, form: Form, residual: bool) -> Entry {
        let (kind, shortcut) = if residual {
            ("resnet", Shortcut::Projection)
        } else {
            ("plain", Shortcut::None)
        };
        let name = format!("{kind}{}", self.depth);
        let spec = ModelSpec::ResNet(self.spec(form, shortcut));
        match form {
            Form::ImageNet if residual => imagenet(name, HE_2015, spec).with(TORCHVISION),
            Form::ImageNet => imagenet(name, HE_2015, spec),
            Form::Cifar => cifar(format!("cifar_{name}"), HE_2015, spec),
        }
    }

    /// The ImageNet network, to be changed.
    fn imagenet(self) -> ResNetSpec {
        self.spec(Form::ImageNet, Shortcut::Projection)
    }

    /// With other paths through its bottlenecks.
    fn with_paths(self, count: usize, width: usize) -> Self {
        Self {
            block: Block::Bottleneck(Paths { count, width }),
            ..self
        }
    }
}

/// Wider and grouped bottlenecks.
fn other_paths() -> Vec<Entry> {
    let grouped = |name, row: TableRow| {
        imagenet(name, XIE_2017, ModelSpec::ResNet(row.imagenet())).with(TORCHVISION)
    };
    let wide = |name, row: TableRow| {
        let spec = ModelSpec::ResNet(row.with_paths(1, 128).imagenet());
        imagenet(name, ZAGORUYKO_2016, spec).with(TORCHVISION)
    };
    vec![
        grouped("resnext50_32x4d", ROW_50.with_paths(32, 4)),
        grouped("resnext101_32x8d", ROW_101.with_paths(32, 8)),
        grouped("resnext101_64x4d", ROW_101.with_paths(64, 4)),
        wide("wide_resnet50_2", ROW_50),
        wide("wide_resnet101_2", ROW_101),
    ]
}

/// ResNet-C.
const DEEP: Stem = Stem::Deep { widths: [32, 32] };
/// timm's ResNet-T.
const TIERED: Stem = Stem::Deep { widths: [24, 32] };

impl ResNetSpec {
    /// With this stem and projections that read the mean of the pixels: ResNet-D.
    fn averaged(self, stem: Stem) -> Self {
        Self {
            stem,
            downsampling: Downsampling::AveragePool,
            ..self
        }
    }

    /// With gates at the end of residual branches.
    fn gated(self, attention: Attention) -> Self {
        Self {
            attention: Some(attention),
            ..self
        }
    }
}

fn other_stems() -> Vec<Entry> {
    let entry = |name, spec| imagenet(name, HE_2019, ModelSpec::ResNet(spec)).with(TIMM);
    let deep = ResNetSpec {
        stem: DEEP,
        ..ROW_50.imagenet()
    };
    vec![
        entry("resnet50c", deep),
        entry("resnet18d", ROW_18.imagenet().averaged(DEEP)),
        entry("resnet26d", ROW_26.imagenet().averaged(DEEP)),
        entry("resnet34d", ROW_34.imagenet().averaged(DEEP)),
        entry("resnet50d", ROW_50.imagenet().averaged(DEEP)),
        entry("resnet101d", ROW_101.imagenet().averaged(DEEP)).of_size(256),
        entry("resnet152d", ROW_152.imagenet().averaged(DEEP)).of_size(256),
        entry("resnet26t", ROW_26.imagenet().averaged(TIERED)).of_size(256),
    ]
}

fn squeeze_excitation() -> Vec<Entry> {
    let entry = |name: &str, row: TableRow| {
        let gate = Attention::SqueezeExcitation(Reduction::ROUNDED);
        imagenet(name, HU_2018, ModelSpec::ResNet(row.imagenet().gated(gate)))
    };
    vec![
        entry("seresnet18", ROW_18),
        entry("seresnet34", ROW_34),
        entry("seresnet50", ROW_50).with(TIMM),
        entry("seresnet101", ROW_101),
        entry("seresnet152", ROW_152),
        entry("seresnext50_32x4d", ROW_50.with_paths(32, 4)).with(TIMM),
        entry("seresnext101_32x8d", ROW_101.with_paths(32, 8)).with(TIMM),
    ]
}

fn efficient_channel() -> Vec<Entry> {
    let entry = |name, row: TableRow, stem| {
        let gate = Attention::EfficientChannel;
        let spec = row.imagenet().averaged(stem).gated(gate);
        imagenet(name, WANG_2020, ModelSpec::ResNet(spec)).with(TIMM)
    };
    vec![
        entry("ecaresnet26t", ROW_26, TIERED).of_size(256),
        entry("ecaresnet50d", ROW_50, DEEP),
        entry("ecaresnet101d", ROW_101, DEEP),
    ]
}

fn cbam() -> Vec<Entry> {
    let rows = [ROW_18, ROW_34, ROW_50, ROW_101].into_iter();
    rows.map(|row| {
        let name = format!("resnet{}_cbam", row.depth);
        let spec = row.imagenet().gated(Attention::Cbam(Reduction::PLAIN));
        imagenet(name, WOO_2018, ModelSpec::ResNet(spec))
    })
    .collect()
}

fn selective_kernel() -> Vec<Entry> {
    let rows = [ROW_18, ROW_34].into_iter();
    rows.map(|row| {
        let name = format!("skresnet{}", row.depth);
        let spec = ResNetSpec {
            block: Block::SelectiveKernel,
            ..row.imagenet()
        };
        imagenet(name, LI_2019, ModelSpec::ResNet(spec)).with(TIMM)
    })
    .collect()
}

fn pre_activation() -> Vec<Entry> {
    let entry = |row: TableRow| {
        let name = format!("resnetv2_{}", row.depth);
        let spec = PreActivationSpec::imagenet(row.blocks);
        imagenet(name, HE_2016, ModelSpec::PreActivation(spec))
    };
    vec![
        entry(ROW_50).with(TIMM_HALVES),
        entry(ROW_101).with(TIMM_HALVES),
        entry(ROW_152),
    ]
}

fn bottleneck_transformer() -> Entry {
    let spec = ModelSpec::BottleneckTransformer(BottleneckTransformerSpec::botnet26t());
    imagenet("botnet26t_256", SRINIVAS_2021, spec)
        .with(TIMM)
        .of_size(256)
}

/// torchvision publishes these weights under other names than its networks have (`norm.1` for `norm1`),
/// which are known where files are read.
fn densenet() -> Vec<Entry> {
    let entry = |name, growth, stem_width, blocks| {
        let spec = DenseNetSpec::imagenet(growth, stem_width, blocks);
        imagenet(name, HUANG_2017, ModelSpec::DenseNet(spec)).with(TORCHVISION)
    };
    vec![
        entry("densenet121", 32, 64, [6, 12, 24, 16]),
        entry("densenet161", 48, 96, [6, 12, 36, 24]),
        entry("densenet169", 32, 64, [6, 12, 32, 32]),
        entry("densenet201", 32, 64, [6, 12, 48, 32]),
    ]
}

fn vgg() -> Vec<Entry> {
    let entry = |(depth, norm): (usize, Option<Norm>)| {
        let spec = VggSpec::depth(depth, Form::ImageNet, norm)?;
        let suffix = if norm.is_some() { "_bn" } else { "" };
        let name = format!("vgg{depth}{suffix}");
        Some(imagenet(name, SIMONYAN_2015, ModelSpec::Vgg(spec)).with(TORCHVISION))
    };
    let depths = VGG_DEPTHS.into_iter();
    let forms = depths.flat_map(|depth| [(depth, None), (depth, Some(Norm::Batch))]);
    forms.filter_map(entry).collect()
}

fn alexnet() -> Entry {
    let spec = ModelSpec::AlexNet(AlexNetSpec::new(Form::ImageNet));
    imagenet("alexnet", KRIZHEVSKY_2014, spec).with(TORCHVISION)
}
