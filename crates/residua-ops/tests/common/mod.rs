//! What the tests of the operations share: values that depend on a seed alone, the place where
//! the operations are computed, and the comparison with values of the CPU.

pub(crate) mod cases;
pub(crate) mod network_cases;

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{Device, Gradients, Tensor, TensorData};

/// Pseudo-random values in [-1, 1) that depend on `seed` alone.
pub(crate) fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A tensor of the host, from which those of the devices are made.
#[derive(Debug, Clone)]
pub(crate) struct Host<const D: usize> {
    pub(crate) shape: [usize; D],
    pub(crate) values: Vec<f32>,
}

impl<const D: usize> Host<D> {
    pub(crate) fn random(seed: u64, shape: [usize; D]) -> Self {
        let values = values(seed, shape.iter().product());
        Self { shape, values }
    }

    pub(crate) fn map(mut self, function: impl Fn(f32) -> f32) -> Self {
        for value in &mut self.values {
            *value = function(*value);
        }
        self
    }

    fn data(&self) -> TensorData {
        TensorData::new(self.values.clone(), self.shape)
    }

    /// For the references, which compute on the CPU.
    pub(crate) fn flex(&self) -> FlexTensor {
        Flex::float_from_data(self.data(), &Default::default())
    }
}

fn host_of_flex<const D: usize>(tensor: FlexTensor) -> Host<D> {
    let shape = tensor.shape();
    assert_eq!(shape.num_dims(), D);
    let shape = std::array::from_fn(|axis| shape[axis]);
    let data = tensor.to_contiguous().into_data();
    let values = data.try_into_vec().unwrap();
    Host { shape, values }
}

/// Where the operations under test are computed, and how exactly.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) device: Device,
    /// How far the device rounds the operands of a matrix product, relative to their size;
    /// 0 where it multiplies them as they are.
    pub(crate) operand_rounding: f32,
    /// What a convolution is wrong by for each of its terms because it adds numbers of a whole
    /// tile, as Winograd's algorithm does; 0 where it only adds its terms.
    pub(crate) transform_rounding: f32,
}

impl Place {
    /// A tensor off the tape.
    pub(crate) fn tensor<const D: usize>(&self, host: &Host<D>) -> Tensor<D> {
        Tensor::from_data(host.data(), &self.device)
    }

    /// A tensor whose gradient is wanted.
    pub(crate) fn leaf<const D: usize>(&self, host: &Host<D>) -> Tensor<D> {
        self.tensor(host).autodiff().require_grad()
    }

    /// The gradients of all leaves where `dy` is the gradient of `y`.
    pub(crate) fn backward<const D: usize>(&self, y: Tensor<D>, dy: &Host<D>) -> Gradients {
        (y * self.tensor(dy).autodiff()).sum().backward()
    }

    /// Brings a result to the host.
    ///
    /// # Panics
    /// If it was computed elsewhere: a test that silently compares the CPU with itself proves
    /// nothing.
    #[track_caller]
    pub(crate) fn fetch<const D: usize>(&self, tensor: Tensor<D>) -> Host<D> {
        assert_eq!(tensor.device(), self.device, "a result of another device");
        let shape = tensor.dims();
        let values = tensor.into_data().try_into_vec().unwrap();
        Host { shape, values }
    }

    /// Equal shapes, and values that differ by no more than rounding of sums of `terms`
    /// products.
    ///
    /// The operands are below 1, so a sum of `terms` products is of the size of their square
    /// root, and its rounding errors, which are independent, grow no faster than that: the
    /// allowance is 64 rounding units (of 2⁻²⁴) for each of √terms, and for 4 at least. It is
    /// absolute for small values, which are differences of large ones.
    #[track_caller]
    pub(crate) fn assert_agree<const D: usize>(
        &self,
        found: Tensor<D>,
        expected: FlexTensor,
        terms: usize,
    ) {
        self.assert_within(found, expected, tolerance(terms));
    }

    /// [`Place::assert_agree`] for matrix products: each product is wrong by up to twice the
    /// rounding of an operand, and their sum by √terms times as much, with a factor of 4 for the
    /// tail.
    #[track_caller]
    pub(crate) fn assert_products_agree<const D: usize>(
        &self,
        found: Tensor<D>,
        expected: FlexTensor,
        terms: usize,
    ) {
        let rounded = 4.0 * 2.0 * self.operand_rounding * (terms as f32).sqrt();
        self.assert_within(found, expected, tolerance(terms) + rounded);
    }

    /// [`Place::assert_agree`] for convolutions, whose windows may be transformed first.
    #[track_caller]
    pub(crate) fn assert_convolutions_agree<const D: usize>(
        &self,
        found: Tensor<D>,
        expected: FlexTensor,
        terms: usize,
    ) {
        let transformed = self.transform_rounding * terms as f32;
        self.assert_within(found, expected, tolerance(terms) + transformed);
    }

    #[track_caller]
    fn assert_within<const D: usize>(
        &self,
        found: Tensor<D>,
        expected: FlexTensor,
        tolerance: f32,
    ) {
        let found = self.fetch(found);
        let expected = host_of_flex::<D>(expected);
        assert_eq!(found.shape, expected.shape);
        for (index, (found, expected)) in found.values.iter().zip(&expected.values).enumerate() {
            // Not `>`, which a NaN would pass.
            assert!(
                (found - expected).abs() <= tolerance * expected.abs().max(1.0),
                "value {index}: {found} is not {expected} to within {tolerance}"
            );
        }
    }
}

fn tolerance(terms: usize) -> f32 {
    4e-6 * (terms as f32).sqrt().max(4.0)
}

#[track_caller]
pub(crate) fn gradient<const D: usize>(leaf: &Tensor<D>, gradients: &Gradients) -> Tensor<D> {
    leaf.grad(gradients).expect("every leaf has a gradient")
}
