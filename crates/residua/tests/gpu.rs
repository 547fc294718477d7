//! Whole networks on every GPU device of the build, against the CPU: a training pass, an
//! evaluation, and a few steps of learning. See `docs/gpu.md`, also for how to run this without
//! a GPU.
#![cfg(any(
    feature = "cuda",
    feature = "rocm",
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal"
))]

#[cfg(any(feature = "cuda", feature = "rocm"))]
use burn::tensor::DeviceIndex;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
use burn::tensor::DeviceKind;
use burn::tensor::{Device, Tensor, TensorData};
use residua::core::seed::SeedStream;
use residua::data::HostBatch;
use residua::graph::Shape;
use residua::graph::catalog::{self, BuildOptions};
use residua::train::{
    Learner, LearnerSettings, LossConfig, Network, OptimiserConfig, Pace, Targets,
};

const CLASSES: usize = 4;
const BATCH: usize = 12;
const SIDE: usize = 16;

const LOSS: LossConfig = LossConfig::CrossEntropy {
    label_smoothing: 0.1,
};

fn gpus() -> Vec<Device> {
    vec![
        #[cfg(feature = "cuda")]
        Device::cuda(DeviceIndex::Default),
        #[cfg(feature = "rocm")]
        Device::rocm(DeviceIndex::Default),
        #[cfg(feature = "metal")]
        Device::metal(DeviceKind::DefaultDevice),
        #[cfg(feature = "vulkan")]
        Device::vulkan(DeviceKind::DefaultDevice),
        #[cfg(feature = "wgpu")]
        Device::wgpu(DeviceKind::DefaultDevice),
    ]
}

/// The same initial values on every device.
fn network(model: &str, device: &Device) -> Network {
    let options = BuildOptions {
        classes: Some(CLASSES),
        input: Some(Shape::map(SIDE, SIDE, 3)),
        ..BuildOptions::default()
    };
    let graph = catalog::build(model, &options).unwrap();
    Network::initialise(graph, SeedStream::new(1), device)
}

/// Stripes whose direction and distance are the class, brighter from image to image.
fn batch() -> HostBatch {
    let stripe = |label: usize, y: usize, x: usize| {
        let position = if label < 2 { x } else { y };
        let period = if label.is_multiple_of(2) { 2.0 } else { 5.0 };
        (position as f32 / period * std::f32::consts::TAU + 0.3).sin()
    };
    let mut images = Vec::new();
    for sample in 0..BATCH {
        for pixel in 0..SIDE * SIDE {
            let value = stripe(sample % CLASSES, pixel / SIDE, pixel % SIDE);
            let brightness = sample as f32 / BATCH as f32;
            images.extend([value + brightness, 0.5 * value - brightness, brightness]);
        }
    }
    HostBatch {
        epoch: 0,
        index: 0,
        shape: [BATCH, SIDE, SIDE, 3],
        images,
        labels: (0..BATCH as u32)
            .map(|sample| sample % CLASSES as u32)
            .collect(),
        mixture: None,
        samples: (0..BATCH).collect(),
    }
}

/// Brings a tensor of `device` to the host.
#[track_caller]
fn fetch<const D: usize>(tensor: Tensor<D>, device: &Device) -> Vec<f32> {
    assert_eq!(tensor.device(), *device, "computed on another device");
    tensor.into_data().try_into_vec().unwrap()
}

struct Outcome {
    logits: Vec<f32>,
    /// All gradients one after the other.
    gradients: Vec<f32>,
    /// Logits with the statistics of the batch absorbed.
    evaluated: Vec<f32>,
}

fn pass(model: &str, device: &Device) -> Outcome {
    let mut network = network(model, device);
    let batch = batch();
    let images =
        || Tensor::<4>::from_data(TensorData::new(batch.images.clone(), batch.shape), device);
    let pass = network.train_pass(images(), SeedStream::new(9));
    let loss = LOSS.compute(pass.logits.clone(), Targets::new(&batch.labels), device);
    network.absorb_statistics(&pass);
    let logits = fetch(pass.logits.clone(), device);
    let gradients = pass.gradients(&loss).into_iter();
    Outcome {
        gradients: gradients
            .flat_map(|(_, gradient)| fetch(gradient, device))
            .collect(),
        evaluated: fetch(network.evaluate(images()), device),
        logits,
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

/// Length of the difference, relative to the length.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    (dot(&difference, &difference) / dot(expected, expected)).sqrt()
}

/// Logits agree to the rounding of ten layers (on the CPU also that of Winograd's algorithm), or of
/// products with 10 bits of the operands' fractions in the last. Gradients jump with every rectifier
/// that rounding turns over, so they agree as directions only; a wrong operation turns them
/// elsewhere. The operations' own gradients are compared value by value in `residua-ops`.
#[test]
fn a_pass_agrees_with_the_cpu() {
    for device in gpus() {
        assert_ne!(device, Device::flex());
        for model in ["resnet8", "plain8", "resnet18"] {
            let found = pass(model, &device);
            let expected = pass(model, &Device::flex());
            let logits = relative_error(&found.logits, &expected.logits);
            let evaluated = relative_error(&found.evaluated, &expected.evaluated);
            let [own, other] = [&found, &expected].map(|outcome| &outcome.gradients);
            let cosine = dot(own, other) / (dot(own, own) * dot(other, other)).sqrt();
            println!(
                "{model}: logits {logits:.1e}, evaluation {evaluated:.1e}, cosine {cosine:.6}"
            );
            assert!(logits < 2e-3 && evaluated < 2e-3, "{model}");
            assert!(cosine > 0.99, "{model}: {cosine}");
        }
    }
}

/// Steps of both optimisers bring the loss down as they do on the CPU. The first loss is that of the
/// pass above; from step to step rounding makes more of a difference.
#[test]
fn learning_agrees_with_the_cpu() {
    for device in gpus() {
        for optimiser in [OptimiserConfig::sgd(0.05), OptimiserConfig::adam_w(0.01)] {
            let losses = |device: &Device| {
                let settings = LearnerSettings {
                    clip_norm: Some(5.0),
                    ..LearnerSettings::new(LOSS, optimiser)
                };
                let mut learner = Learner::new(network("resnet8", device), settings);
                let steps = (1..=8).map(|step| {
                    let learned =
                        learner.learn(batch(), Pace::rate(optimiser.learning_rate()), step);
                    learned.unwrap().loss / BATCH as f64
                });
                steps.collect::<Vec<_>>()
            };
            let (found, expected) = (losses(&device), losses(&Device::flex()));
            println!("{optimiser:?}\n  found    {found:.4?}\n  expected {expected:.4?}");
            for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let tolerance = if step == 0 { 2e-3 } else { 0.05 };
                assert!(
                    (found - expected).abs() < tolerance * expected,
                    "step {step}"
                );
            }
            assert!(found[7] < 0.7 * found[0], "nothing was learned: {found:?}");
        }
    }
}
