//! Where the networks come from.

pub(super) const HE_2015: &str = "He et al. 2015, Deep Residual Learning for Image Recognition";
pub(super) const HE_2016: &str = "He et al. 2016, Identity Mappings in Deep Residual Networks";
pub(super) const HE_2019: &str =
    "He et al. 2019, Bag of Tricks for Image Classification with Convolutional Neural Networks";
pub(super) const HU_2018: &str = "Hu et al. 2018, Squeeze-and-Excitation Networks";
pub(super) const HUANG_2017: &str = "Huang et al. 2017, Densely Connected Convolutional Networks";
pub(super) const JORDAN_2024: &str =
    "after Jordan 2024, 94 % on CIFAR-10 in 3.29 Seconds on a Single GPU";
pub(super) const KRIZHEVSKY_2012: &str =
    "Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks";
pub(super) const KRIZHEVSKY_2014: &str =
    "Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks";
pub(super) const LI_2019: &str = "Li et al. 2019, Selective Kernel Networks";
pub(super) const PAGE_2018: &str = "Page 2018, How to Train Your ResNet";
pub(super) const SIMONYAN_2015: &str = "Simonyan and Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition";
pub(super) const SRINIVAS_2021: &str =
    "Srinivas et al. 2021, Bottleneck Transformers for Visual Recognition";
pub(super) const WANG_2020: &str =
    "Wang et al. 2020, ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks";
pub(super) const WOO_2018: &str = "Woo et al. 2018, CBAM: Convolutional Block Attention Module";
pub(super) const XIE_2017: &str =
    "Xie et al. 2017, Aggregated Residual Transformations for Deep Neural Networks";
pub(super) const ZAGORUYKO_2016: &str = "Zagoruyko and Komodakis 2016, Wide Residual Networks";
