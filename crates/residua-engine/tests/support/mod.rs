//! Networks with plausible values, and their derivatives by differences.

use residua_engine::{
    Engine, Gradient, GradientCheckpointing, Precision, SeedStream, TrainingSettings, state_entries,
};
use residua_graph::catalog::{self, BuildOptions};
use residua_graph::{Graph, Shape, StateRole};

/// All feature maps kept, and always the same dropped.
pub(crate) fn settings(precision: Precision) -> TrainingSettings {
    TrainingSettings {
        precision,
        checkpointing: GradientCheckpointing::Off,
        randomness: SeedStream::new(5),
    }
}

/// A reproducible sequence of numbers between -1 and 1.
pub(crate) struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        // Constants of Knuth's MMIX generator (The Art of Computer Programming, volume 2, 3.3.4).
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// Of the scalar, so that a difference can be seen in 32-bit numbers.
const LEAST_CHANGE: f64 = 1e-5;

/// A network with plausible values and a batch of images.
pub(crate) struct Case {
    pub(crate) graph: Graph,
    pub(crate) state: Vec<Vec<f32>>,
    pub(crate) images: Vec<f32>,
    pub(crate) batch: usize,
    /// Weights of the logits in the scalar that is differentiated.
    pub(crate) weights: Vec<f32>,
}

impl Case {
    pub(crate) fn new(graph: Graph, batch: usize) -> Self {
        let mut numbers = Numbers(7);
        let state = state_entries(&graph)
            .map(|entry| {
                let count = entry.elements();
                match entry.role {
                    StateRole::Weight => {
                        let inputs: usize = entry.shape[1..].iter().product();
                        let bound = (6.0 / inputs as f32).sqrt();
                        numbers.take(count).iter().map(|x| x * bound).collect()
                    }
                    StateRole::NormScale | StateRole::RunningVariance => {
                        numbers.take(count).iter().map(|x| 1.0 + 0.3 * x).collect()
                    }
                    _ => numbers.take(count).iter().map(|x| 0.3 * x).collect(),
                }
            })
            .collect();
        let images = numbers.take(batch * graph.input_shape().elements());
        let weights = numbers.take(batch * graph.output_shape().elements());
        Self {
            graph,
            state,
            images,
            batch,
            weights,
        }
    }

    pub(crate) fn named(model: &str, size: usize, batch: usize) -> Self {
        let options = BuildOptions {
            input: Some(Shape::map(size, size, 3)),
            ..BuildOptions::default()
        };
        Self::new(catalog::build(model, &options).unwrap(), batch)
    }

    pub(crate) fn gradients(&self, precision: Precision) -> Vec<Gradient> {
        self.gradients_in(settings(precision)).1
    }

    /// Logits and gradients.
    pub(crate) fn gradients_in(&self, settings: TrainingSettings) -> (Vec<f32>, Vec<Gradient>) {
        let state: Vec<&[f32]> = self.state.iter().map(Vec::as_slice).collect();
        let engine = Engine::new(&self.graph);
        let pass = engine.train_forward(settings, &self.images, self.batch, &state);
        let gradients = engine.backward(pass.record, &self.weights, &state);
        (pass.logits, gradients)
    }

    fn scalar(&self, state: &[Vec<f32>]) -> f64 {
        let state: Vec<&[f32]> = state.iter().map(Vec::as_slice).collect();
        let engine = Engine::new(&self.graph);
        let pass = engine.train_forward(settings(Precision::F32), &self.images, self.batch, &state);
        let pairs = pass.logits.iter().zip(&self.weights);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// Compares the derivative along each tensor's own gradient with a central difference. Deep networks
    /// are curved, and rectifiers switch, so they need more tolerance.
    pub(crate) fn check_derivatives(&self, tolerance: f64) {
        let (gradients, mut checked) = (self.gradients(Precision::F32), 0);
        let most = gradients.len();
        for gradient in gradients {
            let norm = norm(&gradient.values);
            let entry = state_entries(&self.graph).nth(gradient.entry).unwrap();
            // So small a step that rectifiers hardly switch, so large that rounding hardly shows.
            let size = f64::from(norm_of_state(&self.state[gradient.entry])) * 2e-3;
            if norm < 1e-4 || norm * size < LEAST_CHANGE {
                // A bias before a normalisation changes nothing, and what changes little is lost in the
                // rounding of the sum.
                continue;
            }
            checked += 1;
            let moved = |factor: f64| {
                let mut state = self.state.clone();
                for (value, slope) in state[gradient.entry].iter_mut().zip(&gradient.values) {
                    *value += (factor * f64::from(*slope) / norm) as f32;
                }
                self.scalar(&state)
            };
            let measured = (moved(size) - moved(-size)) / (2.0 * size);
            let relative = (measured - norm).abs() / norm;
            assert!(
                relative < tolerance,
                "{}: {}: the slope is {measured}, the gradient says {norm}",
                self.graph.name(),
                entry.name
            );
        }
        assert!(
            2 * checked > most,
            "{}: {checked} of {most}",
            self.graph.name()
        );
    }
}

pub(crate) fn norm(values: &[f32]) -> f64 {
    let squares = values.iter().map(|value| f64::from(*value).powi(2));
    squares.sum::<f64>().sqrt()
}

fn norm_of_state(values: &[f32]) -> f32 {
    (norm(values) as f32).max(0.1)
}

pub(crate) fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let pairs = left.iter().zip(right);
    let product: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    product / (norm(left) * norm(right)).max(1e-30)
}
