//! The settings of the operations.

/// Settings of a convolution; kernel size and channels follow from the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionOptions {
    /// Step between outputs, vertically and horizontally.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Distance between kernel taps.
    pub dilation: [usize; 2],
    /// Independent groups of channels.
    pub groups: usize,
}

impl Default for ConvolutionOptions {
    fn default() -> Self {
        Self {
            stride: [1; 2],
            padding: [0; 2],
            dilation: [1; 2],
            groups: 1,
        }
    }
}

/// Settings of a max pool. The border is padded with minus infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPoolOptions {
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Padding on each side.
    pub padding: [usize; 2],
}

/// Settings of a normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormOptions {
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether a rectifier follows.
    pub relu: bool,
}

/// Settings of the option-A shortcut (He et al. 2015, §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZeroPadOptions {
    /// Step between the pixels kept.
    pub stride: usize,
    /// Zero channels before the existing ones.
    pub before: usize,
    /// Zero channels after them.
    pub after: usize,
}

/// Settings of an average pool without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AveragePoolOptions {
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Whether pixels at the far edges that do not fill a window form a smaller one.
    pub keep_edges: bool,
}
