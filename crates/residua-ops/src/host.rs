//! The memory of CPU tensors, lent to those who compute outside of Burn.

use std::fmt;
use std::ops::Deref;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Device, Tensor};

/// Whether tensors of this device are in the memory of the process, where [`HostValues`] reads
/// them.
pub fn is_host(device: &Device) -> bool {
    // Devices are equal with and without the tape.
    *device == Device::flex()
}

/// The values of a CPU tensor in row-major order, read where they are.
///
/// While it lives the tensor counts as shared: whoever changes it then gets a copy.
#[derive(Clone)]
pub struct HostValues(FlexTensor);

impl HostValues {
    /// The values of a tensor, off the tape; `None` if it is on another device or not made of
    /// 32-bit floating point. Only views that are not in row-major order are copied.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        let tensor = tensor.clone().inner().try_into_primitive::<Flex>().ok()?;
        let tensor = if tensor.is_contiguous() {
            tensor
        } else {
            tensor.to_contiguous()
        };
        tensor.as_slice::<f32>()?;
        Some(Self(tensor))
    }
}

impl Deref for HostValues {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0
            .as_slice()
            .expect("checked to be contiguous and 32-bit when it was made")
    }
}

impl fmt::Debug for HostValues {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HostValues({} elements)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_where_they_are() {
        let device = Device::flex();
        assert!(is_host(&device));
        let tensor = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &device);
        let first = HostValues::of(&tensor).unwrap();
        let second = HostValues::of(&tensor).unwrap();
        assert_eq!(*first, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(first.as_ptr(), second.as_ptr());
        let on_tape = HostValues::of(&tensor.clone().autodiff().require_grad()).unwrap();
        assert_eq!(first.as_ptr(), on_tape.as_ptr());
    }

    #[test]
    fn views_are_brought_in_order() {
        let tensor = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &Device::flex());
        let turned = HostValues::of(&tensor.clone().transpose()).unwrap();
        assert_eq!(*turned, [1.0, 3.0, 2.0, 4.0]);
        let column = HostValues::of(&tensor.narrow(1, 1, 1)).unwrap();
        assert_eq!(*column, [2.0, 4.0]);
    }
}
