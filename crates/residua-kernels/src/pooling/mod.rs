//! Max and average pooling of `[N, H, W, C]` tensors, with PyTorch's rules for borders.

mod average;
mod max;

pub use average::{AverageGeometry, average_backward, average_forward};
pub use max::{MaxGeometry, NO_POSITION, max_backward, max_forward};

use crate::ShapeError;

/// The sizes of a pooling window and of what it slides over, before they are checked.
///
/// Pairs are `[height, width]`. The default has stride 1, no padding and no dilation and rounds
/// down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolingSpec {
    /// Images in the batch.
    pub batch: usize,
    /// Height and width of an input image in pixels.
    pub input: [usize; 2],
    /// Channels, which are pooled separately.
    pub channels: usize,
    /// Height and width of the window in pixels.
    pub kernel: [usize; 2],
    /// Input pixels from one window to the next.
    pub stride: [usize; 2],
    /// Pixels added before and after each axis, at most half of the kernel. They never win a
    /// maximum.
    pub padding: [usize; 2],
    /// Input pixels from one element of the window to the next; average pooling needs 1.
    pub dilation: [usize; 2],
    /// Whether a last window that reaches beyond the padded input counts, if it begins within the
    /// input or the padding before it.
    pub ceil_mode: bool,
}

impl Default for PoolingSpec {
    fn default() -> Self {
        Self {
            batch: 0,
            input: [0, 0],
            channels: 0,
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            ceil_mode: false,
        }
    }
}

impl PoolingSpec {
    /// Checks the sizes and returns those of the output.
    fn output(&self) -> Result<[usize; 2], ShapeError> {
        let mut output = [0; 2];
        check_tensor(self.batch, self.input, self.channels)?;
        for (axis, name) in ["height", "width"].into_iter().enumerate() {
            let [input, kernel, stride, padding, dilation] = [
                self.input,
                self.kernel,
                self.stride,
                self.padding,
                self.dilation,
            ]
            .map(|pair| pair[axis]);
            if [kernel, stride, dilation].contains(&0) {
                return Err(ShapeError::new(format!(
                    "pooling along the {name} with kernel {kernel}, stride {stride}, dilation {dilation}: \
                     each must be at least 1",
                )));
            }
            if padding > kernel / 2 {
                return Err(ShapeError::new(format!(
                    "{name} padding {padding} is more than half of kernel {kernel}"
                )));
            }
            let extent = dilation
                .checked_mul(kernel - 1)
                .and_then(|span| span.checked_add(1));
            let room = extent.and_then(|extent| (input + 2 * padding).checked_sub(extent)).ok_or_else(|| {
                ShapeError::new(format!(
                    "pooling kernel {kernel} with dilation {dilation} does not fit the padded input {name} {}",
                    input + 2 * padding,
                ))
            })?;
            let rounded_up = if self.ceil_mode {
                room.div_ceil(stride)
            } else {
                room / stride
            };
            // A window that would begin in the padding behind the input is dropped.
            let begins_behind = rounded_up * stride >= input + padding;
            output[axis] = rounded_up + usize::from(!begins_behind);
        }
        Ok(output)
    }
}

/// Checks that a tensor is not empty and can be addressed, its pixels with 32 bits.
fn check_tensor(batch: usize, input: [usize; 2], channels: usize) -> Result<(), ShapeError> {
    let shape = [batch, input[0], input[1], channels];
    let elements = shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size));
    let pixels = input[0].checked_mul(input[1]);
    let fits = elements.is_some_and(|count| (1..=isize::MAX as usize / 16).contains(&count))
        && pixels.is_some_and(|count| count < u32::MAX as usize);
    if fits {
        return Ok(());
    }
    Err(ShapeError::new(format!(
        "an input of shape {shape:?} is empty or too large to pool"
    )))
}
