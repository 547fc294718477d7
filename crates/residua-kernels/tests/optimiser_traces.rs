//! Steps of the optimisers against PyTorch's and timm's in f64, for every instruction set of the
//! machine. `tests/fixtures/optimisers/generate.py` wrote the traces.

mod support;

use residua_kernels::optimiser::{
    DecayForm, Lamb, Muon, MuonScale, RmsProp, RmsPropForm, TrustBound,
};
use serde_json::Value;
use support::maps::in_every_set;

/// What five steps in f32 may be away from f64, in a parameter of size 1: some roundings of each step.
const ALLOWED: f64 = 4e-6;

fn traces() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/optimisers/traces.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

fn narrowed(value: &Value) -> Vec<f32> {
    let numbers = floats(value).into_iter();
    numbers.map(|number| number as f32).collect()
}

fn option(options: &Value, name: &str) -> f64 {
    options[name].as_f64().unwrap()
}

fn betas(options: &Value) -> [f64; 2] {
    [0, 1].map(|index| options["betas"][index].as_f64().unwrap())
}

/// One step of a rule under test.
struct Step<'a> {
    number: u64,
    learning_rate: f64,
    shape: [usize; 2],
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    /// Two tensors that begin as zeros.
    state: &'a mut [Vec<f32>; 2],
}

/// Replays the traces of rule `name` on all tensors; `step` makes one step with the options.
fn trace_matches(name: &str, step: impl Fn(&Value, Step<'_>)) {
    let traces = traces();
    let rule = &traces["rules"][name];
    let options = &rule["options"];
    let expected = rule["parameters_after_each_step"].as_object().unwrap();
    assert!(!expected.is_empty(), "{name} has no trace");
    in_every_set(|| {
        for (tensor, expected) in expected {
            let given = &traces["tensors"][tensor];
            let rows = given["shape"][0].as_u64().unwrap() as usize;
            let mut parameter = narrowed(&given["initial"]);
            let length = parameter.len();
            let mut state = [vec![0.0; length], vec![0.0; length]];
            let gradients = given["gradients"].as_array().unwrap();
            let expected = expected.as_array().unwrap();
            assert_eq!(gradients.len(), 5);
            for (number, (gradient, expected)) in (1..).zip(gradients.iter().zip(expected)) {
                // The learning rate is halved on the way, which tells the two places of it apart.
                let halved = if number > 3 { 0.5 } else { 1.0 };
                let made = Step {
                    number,
                    learning_rate: option(options, "lr") * halved,
                    shape: [rows, length / rows],
                    parameter: &mut parameter,
                    gradient: &narrowed(gradient),
                    state: &mut state,
                };
                step(options, made);
                assert_near(&format!("{name} {tensor} {number}"), &parameter, expected);
            }
        }
    });
}

#[track_caller]
fn assert_near(name: &str, actual: &[f32], expected: &Value) {
    let expected = floats(expected);
    assert_eq!(actual.len(), expected.len(), "{name}");
    for (index, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs();
        assert!(
            error <= ALLOWED * (1.0 + expected.abs()),
            "{name}[{index}] is {actual}, the reference {expected}"
        );
    }
}

fn rms_prop_matches(name: &str, form: RmsPropForm) {
    trace_matches(name, |options, step| {
        let rule = RmsProp {
            learning_rate: step.learning_rate,
            smoothing: option(options, "alpha"),
            epsilon: option(options, "eps"),
            momentum: option(options, "momentum"),
            weight_decay: option(options, "weight_decay"),
            form,
        };
        let [mean_square, velocity] = step.state;
        if step.number == 1 {
            mean_square.fill(form.first_mean_square());
        }
        rule.step(step.parameter, step.gradient, mean_square, velocity)
            .unwrap();
    });
}

#[test]
fn rms_prop() {
    rms_prop_matches("rmsprop", RmsPropForm::PyTorch);
    rms_prop_matches("rmsprop_plain", RmsPropForm::PyTorch);
    rms_prop_matches("rmsprop_tf", RmsPropForm::TensorFlow);
}

fn lamb_matches(name: &str, form: DecayForm, bound: TrustBound) {
    trace_matches(name, |options, step| {
        let rule = Lamb {
            learning_rate: step.learning_rate,
            betas: betas(options),
            epsilon: option(options, "eps"),
            weight_decay: option(options, "weight_decay"),
            form,
            bound,
        };
        let [first, second] = step.state;
        rule.step(step.number, step.parameter, step.gradient, first, second)
            .unwrap();
    });
}

#[test]
fn lamb() {
    lamb_matches("lamb", DecayForm::Coupled, TrustBound::Unbounded);
    lamb_matches(
        "lamb_decoupled",
        DecayForm::Decoupled,
        TrustBound::Unbounded,
    );
    lamb_matches("lamb_clipped", DecayForm::Coupled, TrustBound::One);
    lamb_matches(
        "lamb_without_decay",
        DecayForm::Coupled,
        TrustBound::Unbounded,
    );
}

fn muon_matches(name: &str, scale: MuonScale) {
    trace_matches(name, |options, step| {
        let rule = Muon {
            learning_rate: step.learning_rate,
            momentum: option(options, "momentum"),
            nesterov: options["nesterov"].as_bool().unwrap(),
            weight_decay: option(options, "weight_decay"),
            scale,
        };
        let [velocity, _] = step.state;
        rule.step(step.shape, step.parameter, step.gradient, velocity)
            .unwrap();
    });
}

#[test]
fn muon() {
    muon_matches("muon", MuonScale::Original);
    muon_matches("muon_match_rms", MuonScale::MatchRms);
}
