use residua_graph::StateRole;
use residua_graph::catalog::{self, BuildOptions};

use super::*;

fn resnet20() -> (Graph, Vec<StateEntry>) {
    let graph = catalog::build("resnet20", &BuildOptions::default()).unwrap();
    let state = graph.ids().flat_map(|id| graph.state_of(id));
    let entries = state.filter(|entry| entry.role != StateRole::BatchCount);
    let entries = entries.collect();
    (graph, entries)
}

fn group(names: &str) -> ParameterGroup {
    ParameterGroup {
        names: names.to_owned(),
        rate: 1.0,
        weight_decay: None,
        frozen: Freezing::Never,
    }
}

fn plan(stages: Option<StageRules>, groups: &[ParameterGroup]) -> Result<ParameterPlan, String> {
    let (graph, entries) = resnet20();
    ParameterPlan::new(&graph, &entries, stages, groups).map_err(|error| error.to_string())
}

fn index(name: &str) -> usize {
    let (_, entries) = resnet20();
    entries.iter().position(|entry| entry.name == name).unwrap()
}

#[test]
fn stages_learn_the_faster_the_nearer_they_are_to_the_head() {
    let rules = StageRules {
        rate_decay: 0.5,
        ..StageRules::default()
    };
    let plan = plan(Some(rules), &[]).unwrap();
    let rates = [
        ("conv1.weight", 0.125),
        ("layer1.0.conv1.weight", 0.125),
        ("layer2.0.conv1.weight", 0.25),
        ("layer3.2.bn2.weight", 0.5),
        ("linear.weight", 1.0),
    ];
    for (name, rate) in rates {
        assert_eq!(plan.rate(index(name)), rate, "{name}");
        assert!(plan.learns(index(name), 0), "{name}");
    }
}

#[test]
fn stages_thaw_from_the_head_on() {
    let rules = StageRules {
        frozen: 1,
        unfreeze_every: Some(2),
        ..StageRules::default()
    };
    let plan = plan(Some(rules), &[]).unwrap();
    let (graph, entries) = resnet20();
    let learns = |epoch| {
        [
            "conv1.weight",
            "layer2.0.conv1.weight",
            "layer3.0.bn1.bias",
            "linear.bias",
        ]
        .map(|name| plan.learns(index(name), epoch))
    };
    assert_eq!(learns(0), [false, false, false, true]);
    assert_eq!(learns(1), [false, false, false, true]);
    assert_eq!(learns(2), [false, false, true, true]);
    assert_eq!(learns(4), [false, true, true, true]);
    assert_eq!(learns(1000), [false, true, true, true]);
    let frozen = |epoch| {
        let cut = plan.frozen_part(&graph, &entries, epoch).unwrap();
        graph.node(cut).name.clone()
    };
    assert!(frozen(0).starts_with("layer3.2."), "{}", frozen(0));
    assert!(frozen(2).starts_with("layer2.2."), "{}", frozen(2));
    assert!(frozen(4).starts_with("layer1.2."), "{}", frozen(4));
}

#[test]
fn the_first_group_that_fits_counts() {
    let groups = [
        ParameterGroup {
            rate: 64.0,
            weight_decay: Some(0.0),
            ..group("*.bn?.bias")
        },
        ParameterGroup {
            frozen: Freezing::ForEpochs(3),
            ..group("layer1.*")
        },
    ];
    let plan = plan(None, &groups).unwrap();
    let bias = index("layer1.0.bn1.bias");
    assert_eq!(
        (plan.rate(bias), plan.weight_decay(bias)),
        (64.0, Some(0.0))
    );
    assert!(plan.learns(bias, 0));
    let weight = index("layer1.0.bn1.weight");
    assert_eq!((plan.rate(weight), plan.weight_decay(weight)), (1.0, None));
    assert!(!plan.learns(weight, 2) && plan.learns(weight, 3));
    // The first convolution learns, so nothing before it is frozen.
    let (graph, entries) = resnet20();
    assert_eq!(plan.frozen_part(&graph, &entries, 0), None);
}

#[test]
fn rules_that_do_nothing_are_refused() {
    let message = plan(None, &[group("layer9.*")]).unwrap_err();
    assert!(
        message.contains("parameter_groups.0.names is 'layer9.*'"),
        "{message}"
    );
    let message = plan(None, &[group("*"), group("*")]).unwrap_err();
    assert!(message.contains("parameter_groups.1.names"), "{message}");
    let all = ParameterGroup {
        frozen: Freezing::Always,
        ..group("*")
    };
    let message = plan(None, &[all]).unwrap_err();
    assert!(message.contains("nothing is left"), "{message}");
    let rules = StageRules {
        frozen: 4,
        ..StageRules::default()
    };
    let message = plan(Some(rules), &[]).unwrap_err();
    assert!(message.contains("resnet20 has 3 stages"), "{message}");
    let message = group("layer[").validate().unwrap_err().to_string();
    assert!(
        message.contains("names is 'layer[', which is no pattern"),
        "{message}"
    );
}

#[test]
fn without_rules_everything_learns() {
    let plan = plan(None, &[]).unwrap();
    let (graph, entries) = resnet20();
    assert!((0..entries.len()).all(|entry| plan.learns(entry, 0) && plan.rate(entry) == 1.0));
    assert_eq!(plan.frozen_part(&graph, &entries, 0), None);
}
