use super::*;
use serde_json::Value;

/// Rates by PyTorch, one epoch being one step.
fn assert_agrees(name: &str, config: ScheduleConfig, peak: f64, steps: Option<u64>) {
    let text = include_str!("../../tests/fixtures/lr_schedules.json");
    let fixture: Value = serde_json::from_str(text).unwrap();
    let values = fixture[name]["values"].as_array().unwrap();
    let schedule = Schedule::new(config, peak, steps.unwrap_or(values.len() as u64), 1);
    for (step, expected) in (0..).zip(values) {
        let (found, expected) = (schedule.rate(step), expected.as_f64().unwrap());
        assert!(
            (found - expected).abs() <= 1e-9 * peak,
            "{name}, step {step}: {found} is not {expected}"
        );
    }
}

fn one_cycle(anneal: Anneal) -> ScheduleConfig {
    ScheduleConfig::OneCycle {
        warmup_fraction: 0.3,
        start_divisor: 25.0,
        end_divisor: 1e4,
        anneal,
        momentum: None,
    }
}

#[test]
fn rates_agree_with_pytorch() {
    assert_agrees("onecycle_cos", one_cycle(Anneal::Cosine), 0.1, None);
    assert_agrees("onecycle_linear", one_cycle(Anneal::Linear), 0.1, None);
    let warm = |warmup_epochs| ScheduleConfig::Cosine { warmup_epochs };
    assert_agrees("cosine_with_linear_warmup", warm(5.0), 0.1, None);
    assert_agrees("cosine", warm(0.0), 0.1, Some(10));
    let multi_step = ScheduleConfig::MultiStep {
        milestone_epochs: vec![4.0, 8.0, 12.0],
        factor: 0.1,
        warmup_epochs: 0.0,
    };
    assert_agrees("multistep", multi_step, 0.1, None);
}

#[test]
fn a_rate_that_falls_in_steps_may_begin_with_a_tenth() {
    let config = ScheduleConfig::MultiStep {
        milestone_epochs: vec![4.0],
        factor: 0.5,
        warmup_epochs: 0.5,
    };
    let schedule = Schedule::new(config.clone().stretched(2.0), 0.1, 100, 10);
    let rates = [0, 9, 10, 79, 80].map(|step| schedule.rate(step));
    assert_eq!(rates, [0.01, 0.01, 0.1, 0.1, 0.05]);
}

/// PyTorch's `ReduceLROnPlateau(factor=0.5, patience=1, threshold=0.01)`.
#[test]
fn plateaus_are_noticed_where_pytorch_does() {
    let config = ScheduleConfig::Plateau {
        factor: 0.5,
        patience: 1,
        minimum_gain: 0.01,
    };
    let mut schedule = Schedule::new(config, 0.1, 15, 1);
    let losses = [
        1.0, 0.9, 0.895, 0.893, 0.892, 0.88, 0.885, 0.884, 0.883, 0.882, 0.87, 0.5, 0.5, 0.5, 0.5,
    ];
    let expected = [
        0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125, 0.0125, 0.0125,
        0.00625, 0.00625,
    ];
    for (loss, expected) in losses.into_iter().zip(expected) {
        schedule.validated(loss);
        assert!((schedule.rate(3) - expected).abs() < 1e-12, "{loss}");
    }
}

/// PyTorch's `OneCycleLR(max_lr=0.1, total_steps=12, pct_start=0.25)`, which cycles the momentum by
/// default.
#[test]
fn momentum_goes_against_the_rate_as_pytorchs() {
    let expected = [
        0.95,
        0.9,
        0.85,
        0.85301536896,
        0.86169777784,
        0.875,
        0.89131759112,
        0.90868240888,
        0.925,
        0.93830222216,
        0.94698463104,
        0.95,
    ];
    let mut config = ScheduleConfig::one_cycle();
    let ScheduleConfig::OneCycle { momentum, .. } = &mut config else {
        panic!("one cycle is one cycle");
    };
    *momentum = Some(MomentumCycle::default());
    config.validate().unwrap();
    let schedule = Schedule::new(config, 0.1, 12, 1);
    for (step, expected) in (0..).zip(expected) {
        let found = schedule.pace(step).momentum.unwrap();
        assert!(
            (found - expected).abs() < 1e-9,
            "step {step}: {found} is not {expected}"
        );
    }
    let without = Schedule::new(ScheduleConfig::one_cycle(), 0.1, 12, 1);
    assert_eq!(without.pace(3), Pace::rate(without.rate(3)));
}

#[test]
fn the_shortest_runs_have_finite_rates() {
    let configs = [
        ScheduleConfig::Constant,
        ScheduleConfig::one_cycle(),
        ScheduleConfig::Cosine { warmup_epochs: 1.0 },
    ];
    for config in configs {
        for steps in 1..5 {
            let schedule = Schedule::new(config.clone(), 0.1, steps, 1);
            for step in 0..steps {
                let rate = schedule.rate(step);
                assert!(rate.is_finite() && rate >= 0.0, "{config:?} {steps} {step}");
            }
        }
    }
}
