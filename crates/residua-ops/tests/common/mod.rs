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
    /// allowance is 64 rounding units (of 2⁻²⁴) a sum and as many times √terms as there are
    /// terms. It is absolute for small values, which are differences of large ones.
    #[track_caller]
    pub(crate) fn assert_agree<const D: usize>(
        &self,
        found: Tensor<D>,
        expected: FlexTensor,
        terms: usize,
    ) {
        assert_within(
            &self.fetch(found),
            &host_of_flex(expected),
            tolerance(terms),
        );
    }

    /// [`Place::assert_agree`] for matrix products, for which the device may round the
    /// operands first: each product is then wrong by up to twice that, and their sum by √terms
    /// times as much, with a factor of 4 for the tail.
    #[track_caller]
    pub(crate) fn assert_products_agree<const D: usize>(
        &self,
        found: Tensor<D>,
        expected: FlexTensor,
        terms: usize,
    ) {
        let rounded = 4.0 * 2.0 * self.operand_rounding * (terms as f32).sqrt();
        let tolerance = tolerance(terms) + rounded;
        assert_within(&self.fetch(found), &host_of_flex(expected), tolerance);
    }

    /// [`Place::assert_agree`] for the gradient of a leaf.
    #[track_caller]
    pub(crate) fn assert_gradient<const D: usize>(
        &self,
        leaf: &Tensor<D>,
        gradients: &Gradients,
        expected: FlexTensor,
        terms: usize,
    ) {
        let gradient = leaf.grad(gradients).expect("every leaf has a gradient");
        self.assert_agree(gradient, expected, terms);
    }
}

/// For sums of that many products of numbers below 1: roundings grow with the root of the terms;
/// those of Winograd's convolutions, which add numbers of a whole tile, with their magnitude.
fn tolerance(terms: usize) -> f32 {
    let terms = terms as f32;
    4e-6 * terms.sqrt().max(4.0) + 1e-6 * terms
}

#[track_caller]
fn assert_within<const D: usize>(found: &Host<D>, expected: &Host<D>, tolerance: f32) {
    assert_eq!(found.shape, expected.shape);
    for (index, (found, expected)) in found.values.iter().zip(&expected.values).enumerate() {
        // Not `>`, which a NaN would pass.
        assert!(
            (found - expected).abs() <= tolerance * expected.abs().max(1.0),
            "value {index}: {found} is not {expected} to within {tolerance}"
        );
    }
}
