//! The values that training starts from.

use rand::{Rng, RngExt};
use residua_core::seed::SeedStream;
use residua_graph::{Initial, StateEntry};

/// Fresh values of one tensor of the state, as the graph describes them.
///
/// They depend only on the seed and the tensor's name, so a layer starts the same whatever
/// else the network contains.
pub fn initial_values(entry: &StateEntry, seed: SeedStream) -> Vec<f32> {
    let count = entry.elements();
    let mut rng = seed.child("initialise").child(&entry.name).rng();
    match entry.initial {
        Initial::Constant(value) => vec![value; count],
        Initial::Normal(deviation) => (0..count)
            .map(|_| (normal(&mut rng) * f64::from(deviation)) as f32)
            .collect(),
        Initial::Uniform(bound) => uniform(&mut rng, count, bound),
    }
}

fn uniform(rng: &mut impl Rng, count: usize, bound: f32) -> Vec<f32> {
    (0..count)
        .map(|_| rng.random_range(-bound..bound))
        .collect()
}

/// A standard normal value (Box and Muller 1958); the second of each pair is not used, so
/// that a value depends on nothing but its own two uniform numbers.
fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let angle = std::f64::consts::TAU * rng.random::<f64>();
    radius * angle.cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use residua_graph::catalog::{self, BuildOptions};

    /// Mean and variance of the start of a convolution.
    fn moments(model: &str, name: &str) -> [f64; 2] {
        let graph = catalog::build(model, &BuildOptions::default()).unwrap();
        let state = graph.state();
        let entry = state.iter().find(|entry| entry.name == name).unwrap();
        let values = initial_values(entry, SeedStream::new(0));
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / count;
        [mean, square]
    }

    #[test]
    fn convolutions_have_the_deviation_of_he_et_al() {
        // 256 channels to 512: torchvision measures by the outputs; 16 to 32: the reference of the narrow
        // networks for CIFAR by the inputs.
        for (model, name, fan) in [
            ("resnet18", "layer4.0.conv1.weight", 512.0 * 9.0),
            ("resnet20", "layer2.0.conv1.weight", 16.0 * 9.0),
        ] {
            let [mean, square] = moments(model, name);
            let share = |value: f64| value * fan / 2.0;
            // Four standard deviations of the fewest, 4,608 values.
            assert!(mean.abs() * (fan / 2.0).sqrt() < 0.06, "{model}: {mean}");
            assert!((share(square) - 1.0).abs() < 0.085, "{model}: {square}");
        }
    }

    #[test]
    fn layers_start_independently_and_reproducibly() {
        let build = |name: &str| catalog::build(name, &BuildOptions::default()).unwrap();
        let first = |name: &str, seed| {
            let entry = build(name).state().swap_remove(0);
            initial_values(&entry, SeedStream::new(seed))
        };
        assert_eq!(first("resnet20", 1), first("resnet56", 1));
        assert_ne!(first("resnet20", 1), first("resnet20", 2));
    }
}
