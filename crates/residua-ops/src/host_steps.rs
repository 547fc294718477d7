//! Optimiser steps that are computed on the host, wherever the tensors are: rules that have kernels for
//! the CPU and no code for other devices.

use burn::tensor::{Tensor, TensorData};
use residua_kernels::ShapeError;
use residua_kernels::optimiser::{Lamb, Muon, RmsProp};

/// One step of RMSProp; `state` is mean square and velocity. The result is `(parameter, state)`.
///
/// # Shapes
/// All tensors `[elements]`, off the tape.
pub fn rms_prop_step(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    state: [Tensor<1>; 2],
    rule: RmsProp,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let [mean_square, velocity] = state;
    let tensors = [parameter, gradient, mean_square, velocity];
    let changed = on_host(tensors, |[parameter, gradient, mean_square, velocity]| {
        rule.step(parameter, gradient, mean_square, velocity)
    });
    let [parameter, _, mean_square, velocity] = changed;
    (parameter, [mean_square, velocity])
}

/// Step number `step`, counted from 1, of LAMB. `moments` are the running means of the gradient and of
/// its square; the result is `(parameter, moments)`.
///
/// # Shapes
/// All tensors `[elements]`, off the tape; the parameter is a whole one.
pub fn lamb_step(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: [Tensor<1>; 2],
    rule: Lamb,
    step: u64,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let [mean, mean_square] = moments;
    let tensors = [parameter, gradient, mean, mean_square];
    let changed = on_host(tensors, |[parameter, gradient, mean, mean_square]| {
        rule.step(step, parameter, gradient, mean, mean_square)
    });
    let [parameter, _, mean, mean_square] = changed;
    (parameter, [mean, mean_square])
}

/// One step of Muon on a matrix `[rows, columns]`: `(parameter, velocity)`.
///
/// # Shapes
/// All tensors `[rows · columns]`, off the tape.
pub fn muon_step(
    shape: [usize; 2],
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    velocity: Tensor<1>,
    rule: Muon,
) -> (Tensor<1>, Tensor<1>) {
    let tensors = [parameter, gradient, velocity];
    let changed = on_host(tensors, |[parameter, gradient, velocity]| {
        rule.step(shape, parameter, gradient, velocity)
    });
    let [parameter, _, velocity] = changed;
    (parameter, velocity)
}

/// Changes the values of tensors; on the CPU in their own memory, where nobody else holds it.
fn on_host<const N: usize>(
    tensors: [Tensor<1>; N],
    change: impl FnOnce([&mut [f32]; N]) -> Result<(), ShapeError>,
) -> [Tensor<1>; N] {
    let devices = tensors.each_ref().map(Tensor::device);
    let mut values: [Vec<f32>; N] = tensors.map(|tensor| {
        let data = tensor.into_data();
        data.try_into_vec().expect("parameters are 32-bit")
    });
    let changed = change(values.each_mut().map(Vec::as_mut_slice));
    changed.unwrap_or_else(|error| panic!("an optimiser's tensors do not fit: {error}"));
    let mut devices = devices.iter();
    values.map(|values| {
        let device = devices.next().expect("a device for each tensor");
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), device)
    })
}
