//! Networks whose beginning is frozen: what they compute, and what learns.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use residua_core::seed::SeedStream;
use residua_data::HostBatch;
use residua_graph::catalog::{self, BuildOptions};
use residua_graph::{Graph, NodeId, Shape, StateRole};
use residua_train::{
    Learner, LearnerSettings, LossConfig, Network, OptimiserConfig, Pace, ParameterPlan, Precision,
    StageRules, Targets,
};

const SIDE: usize = 16;
const LABELS: [u32; 6] = [0, 2, 1, 2, 3, 0];

fn graph(name: &str) -> Graph {
    let options = BuildOptions {
        classes: Some(4),
        input: Some(Shape::map(SIDE, SIDE, 3)),
        ..BuildOptions::default()
    };
    catalog::build(name, &options).unwrap()
}

fn numbers() -> Vec<f32> {
    let mut rng = SeedStream::new(5).child("images").rng();
    (0..LABELS.len() * SIDE * SIDE * 3)
        .map(|_| rng.random_range(-1.8..2.4))
        .collect()
}

fn images() -> Tensor<4> {
    let data = TensorData::new(numbers(), [LABELS.len(), SIDE, SIDE, 3]);
    Tensor::from_data(data, &Device::flex())
}

fn batch() -> HostBatch {
    HostBatch {
        epoch: 0,
        index: 0,
        shape: [LABELS.len(), SIDE, SIDE, 3],
        images: numbers(),
        labels: LABELS.to_vec().into(),
        mixture: None,
        samples: (0..LABELS.len()).collect(),
    }
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_into_vec().unwrap()
}

/// A network with running statistics that are not those of a beginning. Norms shift so far that each
/// rectifier is on or off for a whole channel, and no rounding error can turn one over.
fn network(name: &str) -> Network {
    let mut network = Network::initialise(graph(name), SeedStream::new(3), &Device::flex());
    let mut rng = SeedStream::new(3).child("shifts").rng();
    for index in 0..network.entries().len() {
        let entry = &network.entries()[index];
        if entry.role == StateRole::NormShift {
            let shifts = (0..entry.elements()).map(|_| match rng.random_bool(0.25) {
                true => -40.0,
                false => 4.0,
            });
            let shifts: Vec<f32> = shifts.collect();
            let data = TensorData::new(shifts.clone(), [shifts.len()]);
            network.set_values(index, Tensor::from_data(data, &Device::flex()));
        }
    }
    for step in 0..3 {
        let pass = network.train_pass(images(), SeedStream::new(step));
        network.absorb_statistics(&pass);
    }
    network
}

/// Logits and gradients of a pass.
fn pass(network: &Network) -> (Vec<f32>, Vec<(usize, Vec<f32>)>) {
    let pass = network.train_pass(images(), SeedStream::new(9));
    let loss = LossConfig::CrossEntropy {
        label_smoothing: 0.1,
    };
    let logits = values(&pass.logits);
    let loss = loss.compute(
        pass.logits.clone(),
        Targets::new(&LABELS.to_vec().into()),
        network.device(),
    );
    let gradients = pass.gradients(&loss).into_iter();
    let gradients = gradients.map(|(entry, gradient)| (entry, values(&gradient)));
    (logits, gradients.collect())
}

/// The distance as a share of the length: both sides round, and every layer multiplies what those before
/// it have added.
fn assert_close(found: &[f32], expected: &[f32], place: &str) {
    let length = |numbers: &mut dyn Iterator<Item = f64>| {
        numbers.map(|number| number * number).sum::<f64>().sqrt()
    };
    let pairs = found.iter().zip(expected);
    let distance = length(&mut pairs.map(|(found, expected)| f64::from(found - expected)));
    let whole = length(&mut expected.iter().map(|number| f64::from(*number)));
    let error = distance / whole.max(1e-6);
    assert!(error < 1e-2, "{place}: off by {error:.1e}");
}

#[test]
fn the_engine_agrees_with_the_tape_wherever_a_network_is_cut() {
    for name in [
        "resnet8",
        "densenet40_k12",
        "se_resnet20",
        "preact_resnet20",
    ] {
        let mut network = network(name);
        let cuts = network.graph().cuts();
        for cut in cuts.iter().copied().step_by(cuts.len() / 4 + 1) {
            network.freeze_before(Some(cut));
            let (logits, gradients) = pass(&network);
            let (expected, of_tape) = pass(&network.clone().on_tape());
            let place = format!("{name}, {}", network.graph().node(cut).name);
            assert_close(&logits, &expected, &place);
            let entries = |gradients: &[(usize, Vec<f32>)]| -> Vec<usize> {
                gradients.iter().map(|(entry, _)| *entry).collect()
            };
            assert_eq!(entries(&gradients), entries(&of_tape), "{place}");
            let trained = |entry: &usize| network.entries()[*entry].node > cut;
            assert!(entries(&gradients).iter().all(trained), "{place}");
            for ((entry, found), (_, expected)) in gradients.iter().zip(&of_tape) {
                let name = &network.entries()[*entry].name;
                assert_close(found, expected, &format!("{place}, {name}"));
            }
        }
    }
}

#[test]
fn what_is_thawed_again_computes_as_before() {
    let mut network = network("resnet8");
    let before = pass(&network);
    let cut: Option<NodeId> = network.graph().cuts().pop();
    network.freeze_before(cut);
    assert_ne!(pass(&network).0, before.0);
    network.freeze_before(None);
    assert_eq!(pass(&network), before);
}

fn learner(stages: StageRules, precision: Precision) -> Learner {
    let mut network = network("resnet8");
    network.set_precision(precision).unwrap();
    let loss = LossConfig::CrossEntropy {
        label_smoothing: 0.0,
    };
    let plan = ParameterPlan::new(network.graph(), network.entries(), Some(stages), &[]);
    Learner::new(
        network,
        LearnerSettings {
            plan: plan.unwrap(),
            clip_norm: Some(5.0),
            ..LearnerSettings::new(loss, OptimiserConfig::sgd(0.05))
        },
    )
}

/// Names of entries that differ.
fn changed(before: &Network, after: &Network) -> Vec<String> {
    let entries = before.entries().iter().enumerate();
    let differs = |index: &usize| values(before.values(*index)) != values(after.values(*index));
    entries
        .filter(|(index, _)| differs(index))
        .map(|(_, entry)| entry.name.clone())
        .collect()
}

#[test]
fn frozen_stages_stay_as_they_are_with_their_statistics() {
    for precision in Precision::ALL {
        let rules = StageRules {
            frozen: 1,
            unfreeze_every: Some(1),
            ..StageRules::default()
        };
        let mut learner = learner(rules, precision);
        let mut step = 0;
        let mut learn_in = |epoch: u64, learner: &mut Learner| {
            let before = learner.network().clone();
            learner.begin_epoch(epoch);
            step += 1;
            learner.learn(batch(), Pace::rate(0.05), step).unwrap();
            changed(&before, learner.network())
        };
        let of_head = learn_in(0, &mut learner);
        assert_eq!(of_head, ["linear.weight", "linear.bias"]);
        let with_last = learn_in(1, &mut learner);
        assert!(
            with_last
                .iter()
                .any(|name| name == "layer3.0.bn1.running_mean")
        );
        assert!(
            !with_last.iter().any(|name| name.starts_with("layer2")),
            "{with_last:?}"
        );
        let thawed = learn_in(2, &mut learner);
        assert!(thawed.iter().any(|name| name == "layer2.0.conv1.weight"));
        let last = learn_in(100, &mut learner);
        let of_first = |name: &String| name.starts_with("layer1") || name.contains("conv1.weight");
        let all_trained = learner.network().entries().iter().filter(|entry| {
            let name = &entry.name;
            !(name.starts_with("layer1") || name.starts_with("conv1") || name.starts_with("bn1"))
        });
        assert_eq!(last.len(), all_trained.count(), "{last:?}");
        assert!(last.iter().any(of_first));
    }
}

#[test]
fn a_frozen_network_still_learns_a_batch() {
    let rules = StageRules {
        frozen: 2,
        rate_decay: 0.5,
        unfreeze_every: None,
    };
    let mut learner = learner(rules, Precision::F32);
    let mut learn = |step| {
        learner
            .learn(batch(), Pace::rate(0.001), step)
            .unwrap()
            .loss
    };
    let first = learn(1);
    let last = (2..=25).map(&mut learn).last().unwrap();
    assert!(last < 0.7 * first, "{first} to {last}");
    let network = learner.network();
    let running = network
        .entries()
        .iter()
        .filter(|entry| entry.role == StateRole::RunningMean && entry.name.starts_with("layer2"));
    assert!(running.count() > 0);
}

/// What thaws moves as if training had begun with it: Adam's corrections count its own steps.
#[test]
fn what_thaws_begins_with_a_step_of_its_own() {
    let first_change = |unfreeze_every: Option<u64>| {
        let network = network("resnet8");
        let rules = StageRules {
            unfreeze_every,
            ..StageRules::default()
        };
        let plan = ParameterPlan::new(network.graph(), network.entries(), Some(rules), &[]);
        let loss = LossConfig::CrossEntropy {
            label_smoothing: 0.0,
        };
        let settings = LearnerSettings {
            plan: plan.unwrap(),
            steps_per_epoch: 4,
            ..LearnerSettings::new(loss, OptimiserConfig::adam_w(0.001))
        };
        let mut learner = Learner::new(network, settings);
        let mut step = 0;
        for epoch in 0..unfreeze_every.unwrap_or(0) * 3 {
            learner.begin_epoch(epoch);
            for _ in 0..4 {
                step += 1;
                learner.learn(batch(), Pace::rate(0.001), step).unwrap();
            }
        }
        let before = learner.network().clone();
        learner.begin_epoch(step / 4);
        learner.learn(batch(), Pace::rate(0.001), step + 1).unwrap();
        let entries = before.entries().iter();
        let entry = { entries }.position(|entry| entry.name == "layer1.0.conv1.weight");
        let entry = entry.unwrap();
        let (old, new) = (
            values(before.values(entry)),
            values(learner.network().values(entry)),
        );
        let changes = old.iter().zip(&new).map(|(old, new)| (new - old).abs());
        changes.fold(0.0_f32, f32::max)
    };
    // Adam's first step is as long as the rate, whatever the gradient (and a little decay).
    for unfreeze_every in [None, Some(1)] {
        let change = first_change(unfreeze_every);
        assert!(
            (0.0009..0.0012).contains(&change),
            "{unfreeze_every:?}: {change}"
        );
    }
}
