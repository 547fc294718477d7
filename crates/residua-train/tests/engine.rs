//! The engine, which computes on the CPU, against the tape, which computes elsewhere.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use residua_core::seed::SeedStream;
use residua_data::Labels;
use residua_graph::catalog::{self, BuildOptions, VariationOptions};
use residua_graph::families::{Block, Form, Norm, Paths, ResNetSpec, Shortcut, Stage};
use residua_graph::{Activation, Graph, Shape, StateRole};
use residua_train::{LossConfig, Network, Precision, Targets, TrainError};

const LOSS: LossConfig = LossConfig::CrossEntropy {
    label_smoothing: 0.1,
};

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_into_vec().unwrap()
}

fn stages(widths: &[usize], blocks: usize) -> Vec<Stage> {
    let stage = |width: &usize| Stage {
        width: *width,
        blocks,
    };
    widths.iter().map(stage).collect()
}

/// 7×7 stem, max pool, bottlenecks with projections.
fn imagenet_bottlenecks() -> Graph {
    let spec = ResNetSpec {
        stem_width: 16,
        stages: stages(&[8, 16, 24], 2),
        ..ResNetSpec::four_stages(
            Form::ImageNet,
            Block::Bottleneck(Paths::ONE),
            [0; 4],
            Shortcut::Projection,
        )
    };
    spec.build("bottlenecks", Shape::map(64, 64, 3), 7).unwrap()
}

/// As `cifar_resnet18`, narrower.
fn cifar_projections() -> Graph {
    let spec = ResNetSpec {
        stem_width: 16,
        stages: stages(&[16, 24, 32], 2),
        ..ResNetSpec::four_stages(Form::Cifar, Block::Basic, [0; 4], Shortcut::Projection)
    };
    spec.build("projections", Shape::map(32, 32, 3), 10)
        .unwrap()
}

fn cataloged(name: &str) -> Graph {
    catalog::build(name, &BuildOptions::default()).unwrap()
}

/// What the normalisations of a case add.
#[derive(Clone, Copy)]
enum Shifts {
    /// Little, so that rectifiers cut where it comes.
    Small,
    /// So much that a rectifier is on or off for a whole channel, by four deviations and more. The
    /// network is then smooth: it has no rectifier that a rounding error could turn over.
    Decisive,
}

/// A network whose normalisations have all learned something, and a batch for it.
struct Case {
    network: Network,
    images: Tensor<4>,
    labels: Labels,
}

impl Case {
    fn new(graph: Graph, batch: usize, shifts: Shifts) -> Self {
        let mut rng = SeedStream::new(11).child("engine").rng();
        let shape = graph.input_shape();
        let [height, width] = shape.spatial();
        let pixels = (0..batch * shape.elements()).map(|_| rng.random_range(-1.8..2.4));
        let pixels: Vec<f32> = pixels.collect();
        let shape = [batch, height, width, shape.channels()];
        let classes = graph.output_shape().channels() as u32;
        let labels = (0..batch).map(|_| rng.random_range(0..classes)).collect();
        let mut network = Network::initialise(graph, SeedStream::new(3), &Device::flex());
        for index in 0..network.entries().len() {
            let entry = &network.entries()[index];
            let range = match entry.role {
                StateRole::NormScale | StateRole::RunningVariance => 0.7..1.3,
                StateRole::NormShift | StateRole::RunningMean => -0.2..0.2,
                _ => continue,
            };
            let length = entry.elements();
            let draw = |_| match (entry.role, shifts) {
                (StateRole::NormShift, Shifts::Decisive) if rng.random_bool(0.25) => -40.0,
                (StateRole::NormShift, Shifts::Decisive) => 4.0,
                _ => rng.random_range(range.clone()),
            };
            let drawn: Vec<f32> = (0..length).map(draw).collect();
            let data = TensorData::new(drawn, [length]);
            network.set_values(index, Tensor::from_data(data, &Device::flex()));
        }
        Self {
            network,
            images: Tensor::from_data(TensorData::new(pixels, shape), &Device::flex()),
            labels,
        }
    }

    fn pass(&self, network: Network) -> Outcome {
        let mut network = network;
        let pass = network.train_pass(self.images.clone(), SeedStream::new(9));
        let logits = values(&pass.logits);
        let loss = LOSS.compute(
            pass.logits.clone(),
            Targets::new(&self.labels),
            network.device(),
        );
        network.absorb_statistics(&pass);
        let gradients = pass.gradients(&loss).into_iter();
        let name = |entry: usize| network.entries()[entry].name.clone();
        let statistics = network.entries().iter().enumerate().filter(|(_, entry)| {
            matches!(
                entry.role,
                StateRole::RunningMean | StateRole::RunningVariance
            )
        });
        Outcome {
            evaluated: values(&network.evaluate(self.images.clone())),
            logits,
            statistics: statistics
                .map(|(index, entry)| (entry.name.clone(), values(network.values(index))))
                .collect(),
            gradients: gradients
                .map(|(entry, gradient)| (name(entry), values(&gradient)))
                .collect(),
        }
    }
}

/// All that a pass gives; tensors with their names.
struct Outcome {
    logits: Vec<f32>,
    /// With the statistics of the pass absorbed.
    evaluated: Vec<f32>,
    statistics: Vec<(String, Vec<f32>)>,
    gradients: Vec<(String, Vec<f32>)>,
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

/// Length of the difference, relative to the length.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    (dot(&difference, &difference) / dot(expected, expected)).sqrt()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The worst error among tensors of the same names, relative to the length of the tensor, or to a
/// tenth of the usual length for tensors that are nearly nothing. (The gradient of a shift vanishes
/// but for the edges of the image where no rectifier cuts before the next normalisation, which takes
/// shifts out again: what is left is the rounding of its parts.)
fn worst<'a>(
    found: &'a [(String, Vec<f32>)],
    expected: &[(String, Vec<f32>)],
) -> (f64, &'a String) {
    assert_eq!(found.len(), expected.len());
    let squares: f64 = expected.iter().map(|(_, values)| dot(values, values)).sum();
    let least = 0.1 * (squares / expected.len() as f64).sqrt();
    let pairs = found.iter().zip(expected);
    let errors = pairs.map(|((name, found), (other, expected))| {
        assert_eq!(name, other);
        let length = dot(expected, expected).sqrt();
        let error = relative_error(found, expected) * length / length.max(least);
        (error, name)
    });
    let worst = errors.max_by(|a, b| a.0.total_cmp(&b.0));
    worst.expect("a network has parameters")
}

/// All gradients as one vector.
fn whole(outcome: &Outcome) -> Vec<f32> {
    let gradients = outcome.gradients.iter();
    gradients.flat_map(|(_, values)| values.clone()).collect()
}

/// The least cosine among gradients of the same names that are more than rounding: a bias before a
/// normalisation has none.
fn least_cosine<'a>(found: &'a Outcome, expected: &Outcome) -> (f64, &'a String) {
    let whole = whole(expected);
    let least = 1e-5 * dot(&whole, &whole).sqrt();
    let pairs = found.gradients.iter().zip(&expected.gradients);
    let pairs = pairs.filter(|(_, (_, expected))| dot(expected, expected).sqrt() > least);
    let cosines = pairs.map(|((name, found), (_, expected))| (cosine(found, expected), name));
    cosines.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// A network of the catalog for small images.
fn small(name: &str, size: usize, variations: VariationOptions) -> Graph {
    let options = BuildOptions {
        classes: Some(7),
        input: Some(Shape::map(size, size, 3)),
        variations,
    };
    catalog::build(name, &options).unwrap()
}

fn graphs() -> Vec<(Graph, usize)> {
    let none = VariationOptions::default();
    let regularised = VariationOptions {
        norm: Some(Norm::Group { groups: 4 }),
        activation: Some(Activation::Silu),
        dropout: Some(0.2),
        stochastic_depth: Some(0.4),
        ..none
    };
    vec![
        (small("resnet14", 16, regularised), 6),
        (small("wrn10_1", 16, regularised), 6),
        (small("densenet10_k8", 16, none), 6),
        (small("densenet_bc16_k8", 16, none), 6),
        (small("cifar_vgg11_bn", 32, none), 6),
        (small("cifar_alexnet", 32, none), 4),
        (small("se_resnet8", 16, none), 6),
        (small("cbam_resnet8", 16, none), 6),
        (small("skresnet18", 64, none), 6),
        (small("ecaresnet26t", 64, none), 6),
        (small("resnetv2_50", 64, none), 6),
        (small("botnet26t_256", 64, none), 6),
        (cataloged("preact_resnet29"), 6),
        (cataloged("resnext29_4x8d"), 6),
        (cataloged("resnet20"), 8),
        (cataloged("plain20"), 8),
        (cifar_projections(), 6),
        (imagenet_bottlenecks(), 6),
    ]
}

/// Errors are relative to the length of each tensor, since single elements may cancel to nothing.
/// Both sides round, a convolution by up to 1e-6 of its largest value where it is computed by
/// Winograd's algorithm, and every layer multiplies what those before it have added. 2e-3 leaves room
/// for that; a wrong formula is off by a tenth or more.
#[test]
fn the_engine_agrees_with_the_tape() {
    for (graph, batch) in graphs() {
        let case = Case::new(graph, batch, Shifts::Decisive);
        let engine = case.pass(case.network.clone());
        let tape = case.pass(case.network.clone().on_tape());
        let logits = relative_error(&engine.logits, &tape.logits);
        let evaluated = relative_error(&engine.evaluated, &tape.evaluated);
        let statistics = match tape.statistics.is_empty() {
            true => 0.0,
            false => worst(&engine.statistics, &tape.statistics).0,
        };
        let (gradients, parameter) = worst(&engine.gradients, &tape.gradients);
        let name = case.network.graph().name();
        println!(
            "{name}: logits {logits:.1e}, evaluation {evaluated:.1e}, statistics {statistics:.1e}, \
             gradients {gradients:.1e} ({parameter})"
        );
        assert!(logits < 5e-4 && evaluated < 5e-4, "{name}");
        assert!(statistics < 5e-4, "{name}: {statistics:.1e}");
        assert!(gradients < 2e-3, "{name}: {parameter} {gradients:.1e}");
    }
}

/// Where rectifiers cut at random, the gradient jumps with each that turns over, and a change of the
/// images by 1e-5 changes single gradients of these networks by a tenth. As a whole it still points
/// into the same direction, which it does not if the engine's rectifiers differ from the tape's.
#[test]
fn rectifiers_cut_where_the_tape_cuts() {
    for (graph, batch) in graphs() {
        let case = Case::new(graph, batch, Shifts::Small);
        let engine = case.pass(case.network.clone());
        let tape = case.pass(case.network.clone().on_tape());
        let name = case.network.graph().name();
        let logits = relative_error(&engine.logits, &tape.logits);
        let evaluated = relative_error(&engine.evaluated, &tape.evaluated);
        let direction = cosine(&whole(&engine), &whole(&tape));
        let (least, parameter) = least_cosine(&engine, &tape);
        println!(
            "{name}: logits {logits:.1e}, evaluation {evaluated:.1e}, cosine {direction:.6}, \
             least {least:.4} ({parameter})"
        );
        assert!(logits < 2e-3 && evaluated < 2e-3, "{name}");
        assert!(direction > 0.99, "{name}: {direction}");
        assert!(least > 0.95, "{name}: {parameter} {least}");
    }
}

/// bfloat16 has 8 bits, so that every number that is stored or multiplied is off by up to 0.4 %. Half
/// a gradient's length would be a cosine of 0.87.
#[test]
fn bf16_points_where_f32_does() {
    for (graph, shifts) in [
        (cataloged("resnet8"), Shifts::Small),
        (cataloged("resnet20"), Shifts::Decisive),
        (imagenet_bottlenecks(), Shifts::Decisive),
    ] {
        let case = Case::new(graph, 16, shifts);
        let exact = case.pass(case.network.clone());
        let mut network = case.network.clone();
        network.set_precision(Precision::Bf16).unwrap();
        let rounded = case.pass(network.clone());
        let name = case.network.graph().name();
        let logits = relative_error(&rounded.logits, &exact.logits);
        let inferred = network.evaluate_in(Precision::Bf16, case.images.clone());
        let inferred = values(&inferred.unwrap());
        let evaluated = values(&network.evaluate(case.images.clone()));
        let inference = relative_error(&inferred, &evaluated);
        let direction = cosine(&whole(&rounded), &whole(&exact));
        let (error, parameter) = worst(&rounded.gradients, &exact.gradients);
        println!(
            "{name}: logits {logits:.1e}, inference {inference:.1e}, cosine {direction:.4}, \
             worst error {error:.2} ({parameter})"
        );
        assert!(logits > 0.0, "{name}: this was not computed in bf16");
        assert!(logits < 0.02 && inference < 0.02, "{name}");
        assert!(direction > 0.98, "{name}: {direction}");
        assert!(error < 0.45, "{name}: {parameter} {error}");
        // Whatever the precision of training, evaluations are in f32.
        let plain = values(&case.network.evaluate(case.images.clone()));
        assert_eq!(evaluated, plain, "{name}");
    }
}

#[test]
fn a_loss_of_other_things_has_no_gradient() {
    let case = Case::new(cataloged("resnet8"), 2, Shifts::Small);
    for network in [case.network.clone(), case.network.clone().on_tape()] {
        let pass = network.train_pass(case.images.clone(), SeedStream::new(9));
        // The logits take part, and weigh nothing.
        let loss = pass.logits.clone().mul_scalar(0.0).sum();
        for (_, gradient) in pass.gradients(&loss) {
            assert!(values(&gradient).iter().all(|value| *value == 0.0));
        }
    }
}

#[test]
fn the_tape_has_no_bf16() {
    let network = Case::new(cataloged("resnet8"), 1, Shifts::Small)
        .network
        .on_tape();
    let error = network.clone().set_precision(Precision::Bf16).unwrap_err();
    assert!(matches!(error, TrainError::PrecisionNeedsCpu { .. }));
    assert!(error.is_bad_input());
    assert_eq!(
        error.to_string(),
        "precision bf16 is there on the CPU only; compute on it (--device cpu) or in f32 \
         (--precision f32)"
    );
}
