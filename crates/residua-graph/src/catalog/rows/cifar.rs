//! Networks for CIFAR that have a name of their own, and those that a rule makes.

use super::papers::{
    HE_2015, HE_2016, HU_2018, HUANG_2017, JORDAN_2024, KRIZHEVSKY_2012, PAGE_2018, SIMONYAN_2015,
    WOO_2018, XIE_2017, ZAGORUYKO_2016,
};
use super::{Entry, IDELBAYEV, ModelSpec, VGG_DEPTHS, cifar};
use crate::families::{
    AlexNetSpec, Attention, DenseNetKind, DenseNetSpec, Form, Norm, Paths, PreActivationBlock,
    PreActivationSpec, Reduction, ResNetSpec, ShallowSpec, Shortcut, VggSpec,
};

/// Depths of the CIFAR form in He et al. 2015, Table 6.
const PUBLISHED_DEPTHS: [usize; 6] = [20, 32, 44, 56, 110, 1202];
/// Depths of its gated forms with a row of their own.
const GATED_DEPTHS: [usize; 3] = [20, 56, 110];

pub(super) fn named() -> Vec<Entry> {
    let mut entries = Vec::new();
    for make in [resnet, plain] {
        entries.extend(PUBLISHED_DEPTHS.into_iter().filter_map(make));
    }
    entries.extend([110, 164, 1001].into_iter().filter_map(pre_activation));
    let wide = [(16, 8), (28, 10), (40, 4)].into_iter();
    entries.extend(wide.filter_map(|(depth, widening)| wide_resnet(depth, widening)));
    entries.extend([8, 16].map(|count| resnext29(Paths { count, width: 64 })));
    for make in [squeeze_excitation, cbam] {
        entries.extend(GATED_DEPTHS.into_iter().filter_map(make));
    }
    entries.extend(densenet(40, 12));
    let compressed = [(100, 12), (190, 40), (250, 24)].into_iter();
    entries.extend(compressed.filter_map(|(depth, growth)| densenet_bc(depth, growth)));
    entries.extend(VGG_DEPTHS.into_iter().filter_map(vgg));
    entries.push(alexnet());
    entries.extend(shallow());
    entries
}

/// A network of He et al. 2015, §4.2.
pub(super) fn resnet(depth: usize) -> Option<Entry> {
    let spec = ResNetSpec::cifar_depth(depth, Shortcut::ZeroPad)?;
    let entry = cifar(format!("resnet{depth}"), HE_2015, ModelSpec::ResNet(spec));
    Some(if PUBLISHED_DEPTHS.contains(&depth) {
        entry.with(IDELBAYEV)
    } else {
        entry
    })
}

/// The same without shortcuts.
pub(super) fn plain(depth: usize) -> Option<Entry> {
    let spec = ResNetSpec::cifar_depth(depth, Shortcut::None)?;
    let spec = ModelSpec::ResNet(spec);
    Some(cifar(format!("plain{depth}"), HE_2015, spec))
}

/// The same with a gate at the end of each branch.
pub(super) fn squeeze_excitation(depth: usize) -> Option<Entry> {
    let gate = Attention::SqueezeExcitation(Reduction::PLAIN);
    gated("se", depth, HU_2018, gate)
}

/// The same with a gate of CBAM.
pub(super) fn cbam(depth: usize) -> Option<Entry> {
    let gate = Attention::Cbam(Reduction::PLAIN);
    gated("cbam", depth, WOO_2018, gate)
}

fn gated(kind: &str, depth: usize, paper: &'static str, attention: Attention) -> Option<Entry> {
    let spec = ResNetSpec {
        attention: Some(attention),
        ..ResNetSpec::cifar_depth(depth, Shortcut::ZeroPad)?
    };
    let name = format!("{kind}_resnet{depth}");
    Some(cifar(name, paper, ModelSpec::ResNet(spec)))
}

/// Basic blocks where the depth allows them, except for the network of 164 layers, which was published
/// with bottlenecks.
pub(super) fn pre_activation(depth: usize) -> Option<Entry> {
    let basic = PreActivationSpec::resnet(depth, PreActivationBlock::Basic);
    let bottleneck = PreActivationSpec::resnet(depth, PreActivationBlock::Bottleneck);
    let spec = basic.filter(|_| depth != 164).or(bottleneck)?;
    let name = format!("preact_resnet{depth}");
    Some(cifar(name, HE_2016, ModelSpec::PreActivation(spec)))
}

pub(super) fn wide_resnet(depth: usize, widening: usize) -> Option<Entry> {
    let spec = PreActivationSpec::wide(depth, widening)?;
    let name = format!("wrn{depth}_{widening}");
    Some(cifar(name, ZAGORUYKO_2016, ModelSpec::PreActivation(spec)))
}

pub(super) fn resnext29(paths: Paths) -> Entry {
    let name = format!("resnext29_{}x{}d", paths.count, paths.width);
    let spec = ResNetSpec::resnext29(paths);
    cifar(name, XIE_2017, ModelSpec::ResNet(spec))
}

pub(super) fn densenet(depth: usize, growth: usize) -> Option<Entry> {
    let spec = DenseNetSpec::cifar(depth, growth, DenseNetKind::Plain)?;
    let name = format!("densenet{depth}_k{growth}");
    Some(cifar(name, HUANG_2017, ModelSpec::DenseNet(spec)))
}

pub(super) fn densenet_bc(depth: usize, growth: usize) -> Option<Entry> {
    let spec = DenseNetSpec::cifar(depth, growth, DenseNetKind::BottleneckCompression)?;
    let name = format!("densenet_bc{depth}_k{growth}");
    Some(cifar(name, HUANG_2017, ModelSpec::DenseNet(spec)))
}

fn vgg(depth: usize) -> Option<Entry> {
    let spec = VggSpec::depth(depth, Form::Cifar, Some(Norm::Batch))?;
    let name = format!("cifar_vgg{depth}_bn");
    Some(cifar(name, SIMONYAN_2015, ModelSpec::Vgg(spec)))
}

fn alexnet() -> Entry {
    let spec = ModelSpec::AlexNet(AlexNetSpec::new(Form::Cifar));
    cifar("cifar_alexnet", KRIZHEVSKY_2012, spec)
}

/// Networks that are made to be trained fast.
fn shallow() -> [Entry; 2] {
    [
        ("resnet9", PAGE_2018, ShallowSpec::resnet9()),
        ("fast_resnet10", JORDAN_2024, ShallowSpec::fast_resnet10()),
    ]
    .map(|(name, paper, spec)| cifar(name, paper, ModelSpec::Shallow(spec)))
}
