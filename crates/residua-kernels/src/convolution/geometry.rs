//! The sizes of a convolution, checked once.

use crate::ShapeError;

/// The sizes of a two-dimensional convolution, before they are checked.
///
/// Pairs are `[height, width]`. The default is a 1×1 convolution of stride 1 with no padding,
/// dilation or groups; batch, input and channels have to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvolutionSpec {
    /// Images in the batch.
    pub batch: usize,
    /// Height and width of an input image in pixels.
    pub input: [usize; 2],
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the kernel in pixels.
    pub kernel: [usize; 2],
    /// Input pixels from one output pixel to the next.
    pub stride: [usize; 2],
    /// Zeros added before and after each axis of the input.
    pub padding: [usize; 2],
    /// Input pixels from one kernel element to the next.
    pub dilation: [usize; 2],
    /// Groups of channels that are convolved separately; divides both channel counts.
    pub groups: usize,
}

impl Default for ConvolutionSpec {
    fn default() -> Self {
        Self {
            batch: 0,
            input: [0, 0],
            in_channels: 0,
            out_channels: 0,
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

/// A convolution that exists: every size is at least one and the kernel fits into the padded input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvolutionGeometry {
    spec: ConvolutionSpec,
    output: [usize; 2],
}

impl ConvolutionGeometry {
    /// Checks `spec` and derives the output size.
    ///
    /// # Errors
    /// If a size is zero, the groups do not divide the channels, the kernel is larger than the
    /// padded input, or a tensor would have more elements than memory can address.
    pub fn new(spec: ConvolutionSpec) -> Result<Self, ShapeError> {
        check_sizes(&spec)?;
        let mut output = [0; 2];
        for (axis, name) in ["height", "width"].into_iter().enumerate() {
            let padded = spec.input[axis] + 2 * spec.padding[axis];
            let extent = spec.dilation[axis] * (spec.kernel[axis] - 1) + 1;
            if extent > padded {
                return Err(ShapeError::new(format!(
                    "kernel {} with dilation {} spans {extent} pixels, but the padded input {name} is {padded}",
                    spec.kernel[axis], spec.dilation[axis],
                )));
            }
            output[axis] = (padded - extent) / spec.stride[axis] + 1;
        }
        Ok(Self { spec, output })
    }

    /// The sizes that this geometry was made from.
    pub fn spec(&self) -> &ConvolutionSpec {
        &self.spec
    }

    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        self.output
    }

    /// Elements of the input `[N, H, W, C]`.
    pub fn input_length(&self) -> usize {
        self.spec.batch * self.spec.input[0] * self.spec.input[1] * self.spec.in_channels
    }

    /// Elements of the output `[N, H, W, C]`.
    pub fn output_length(&self) -> usize {
        self.spec.batch * self.output[0] * self.output[1] * self.spec.out_channels
    }

    /// Elements of the weight `[out, in / groups, kernel height, kernel width]`.
    pub fn weight_length(&self) -> usize {
        self.spec.out_channels * self.group_in_channels() * self.taps()
    }

    /// Multiply-accumulate operations of one pass, products with padding included.
    pub fn multiply_accumulates(&self) -> u64 {
        self.output_length() as u64 * (self.group_in_channels() * self.taps()) as u64
    }

    /// Positions in the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.spec.kernel[0] * self.spec.kernel[1]
    }

    /// Input channels of one group.
    pub(crate) fn group_in_channels(&self) -> usize {
        self.spec.in_channels / self.spec.groups
    }

    /// Output channels of one group.
    pub(crate) fn group_out_channels(&self) -> usize {
        self.spec.out_channels / self.spec.groups
    }
}

/// A bound on every size, low enough that sums and products of two sizes and a pair cannot
/// overflow.
const LARGEST_SIZE: usize = 1 << 20;

fn check_sizes(spec: &ConvolutionSpec) -> Result<(), ShapeError> {
    let sizes = [
        ("batch", spec.batch),
        ("input height", spec.input[0]),
        ("input width", spec.input[1]),
        ("input channels", spec.in_channels),
        ("output channels", spec.out_channels),
        ("kernel height", spec.kernel[0]),
        ("kernel width", spec.kernel[1]),
        ("vertical stride", spec.stride[0]),
        ("horizontal stride", spec.stride[1]),
        ("vertical dilation", spec.dilation[0]),
        ("horizontal dilation", spec.dilation[1]),
        ("groups", spec.groups),
    ];
    for (name, size) in sizes {
        if size == 0 {
            return Err(ShapeError::new(format!(
                "{name} is 0, but a convolution needs at least 1"
            )));
        }
    }
    let paddings = [
        ("vertical padding", spec.padding[0]),
        ("horizontal padding", spec.padding[1]),
    ];
    for (name, size) in sizes.into_iter().chain(paddings) {
        if size > LARGEST_SIZE {
            return Err(ShapeError::new(format!(
                "{name} is {size}, more than the supported {LARGEST_SIZE}"
            )));
        }
    }
    for (name, channels) in [("input", spec.in_channels), ("output", spec.out_channels)] {
        if !channels.is_multiple_of(spec.groups) {
            return Err(ShapeError::new(format!(
                "{} groups do not divide {channels} {name} channels",
                spec.groups
            )));
        }
    }
    let padded = [0, 1].map(|axis| spec.input[axis] + 2 * spec.padding[axis]);
    let tensors = [
        (
            "input",
            [spec.batch, padded[0], padded[1], spec.in_channels],
        ),
        (
            "output",
            [spec.batch, padded[0], padded[1], spec.out_channels],
        ),
        (
            "weight",
            [
                spec.out_channels,
                spec.in_channels,
                spec.kernel[0],
                spec.kernel[1],
            ],
        ),
    ];
    for (name, shape) in tensors {
        let elements = shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        if elements.is_none_or(|count| count > isize::MAX as usize / 16) {
            return Err(ShapeError::new(format!(
                "the {name} of shape {shape:?} does not fit into memory"
            )));
        }
    }
    Ok(())
}
