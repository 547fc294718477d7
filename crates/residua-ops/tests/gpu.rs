//! The operations on every GPU device of the build against their definitions computed on the
//! CPU, forward and backward: the cases of `agreement.rs`. See `docs/gpu.md`, also for how to
//! run this without a GPU.
#![cfg(any(
    feature = "cuda",
    feature = "rocm",
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal"
))]

mod common;

use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "rocm"))]
use burn::tensor::DeviceIndex;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
use burn::tensor::DeviceKind;
use proptest::prelude::*;

use common::{Place, cases, network_cases};

/// A device whose matrix products round their operands by `operand_rounding`.
fn gpu(device: Device, operand_rounding: f32) -> Place {
    Place {
        device,
        operand_rounding,
        // Burn sums the terms one by one.
        transform_rounding: 0.0,
    }
}

/// The default device of each kind that the build offers.
fn gpus() -> Vec<Place> {
    // Burn multiplies matrices of 32-bit floating point on tensor cores where a device has
    // them, with 10 bits of the operands' fractions (TF32).
    #[cfg(any(feature = "cuda", feature = "rocm"))]
    const TF32: f32 = 1.0 / 2048.0;
    vec![
        #[cfg(feature = "cuda")]
        gpu(Device::cuda(DeviceIndex::Default), TF32),
        #[cfg(feature = "rocm")]
        gpu(Device::rocm(DeviceIndex::Default), TF32),
        #[cfg(feature = "metal")]
        gpu(Device::metal(DeviceKind::DefaultDevice), 0.0),
        #[cfg(feature = "vulkan")]
        gpu(Device::vulkan(DeviceKind::DefaultDevice), 0.0),
        #[cfg(feature = "wgpu")]
        gpu(Device::wgpu(DeviceKind::DefaultDevice), 0.0),
    ]
}

fn on_every_gpu(check: impl Fn(&Place)) {
    for place in gpus() {
        check(&place);
    }
}

/// Without this the others could pass by comparing the CPU with itself. (That every result is
/// of the device it was asked of is asserted where it is fetched.)
#[test]
fn the_devices_are_gpus() {
    let gpus = gpus();
    assert!(!gpus.is_empty());
    for Place { device, .. } in gpus {
        assert_ne!(device, Device::flex());
        // The backend of GPUs knows what it runs on; that of the CPU does not answer.
        let identity = device.identity().expect("a GPU has an identity");
        println!("{device:?} is {}", identity.name);
    }
}

proptest! {
    // Fewer than on the CPU, for the sake of GPUs that a CPU imitates.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn convolutions_agree(case in cases::convolutions()) {
        on_every_gpu(|gpu| case.check(gpu));
    }

    #[test]
    fn norms_agree(case in cases::norms()) {
        on_every_gpu(|gpu| case.check(gpu));
    }

    #[test]
    fn pools_and_shortcuts_agree(case in cases::pools()) {
        on_every_gpu(|gpu| case.check(gpu));
    }

    #[test]
    fn linear_layers_agree(case in cases::linear_layers()) {
        on_every_gpu(|gpu| case.check(gpu));
    }

    #[test]
    fn optimiser_steps_agree(case in cases::optimiser_steps()) {
        on_every_gpu(|gpu| case.check(gpu));
    }
}

#[test]
fn the_operations_of_networks_agree() {
    on_every_gpu(network_cases::check);
}
