use super::*;
use residua_data::ClassSet;
use serde_json::Value;

fn floats(value: &Value) -> Vec<f32> {
    let list = value["data"].as_array().unwrap();
    list.iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn numbers(list: &Value) -> Vec<f32> {
    let list = list.as_array().unwrap().iter();
    list.map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Value and gradient of a loss on the logits of a case.
fn assert_agrees(loss: LossConfig, targets: Targets<'_>, logits: &Value, case: &Value) {
    let device = Device::flex().autodiff();
    let logits = numbers(logits);
    let images = targets.labels.len();
    let data = TensorData::new(logits.clone(), [images, logits.len() / images]);
    let logits = Tensor::<2>::from_data(data, &device).require_grad();
    let found = loss.compute(logits.clone(), targets, &device);
    let gradient = logits.grad(&found.backward()).unwrap();
    assert_close(&values(found), &[case["value"].as_f64().unwrap() as f32]);
    assert_close(&values(gradient), &numbers(&case["gradient"]));
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-6 + 1e-5 * expected.abs(),
            "{found} is not {expected}"
        );
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn assert_cross_entropy_agrees(text: &str, label_smoothing: f32) {
    let fixture: Value = serde_json::from_str(text).unwrap();
    let logits = &fixture["inputs"]["logits"];
    let rows = logits["shape"][0].as_u64().unwrap() as usize;
    let columns = logits["shape"][1].as_u64().unwrap() as usize;
    let labels = floats(&fixture["inputs"]["target"]);
    let labels: Vec<u32> = labels.iter().map(|label| *label as u32).collect();
    let labels = Labels::Classes(labels);
    let device = Device::flex().autodiff();
    let data = TensorData::new(floats(logits), [rows, columns]);
    let logits = Tensor::<2>::from_data(data, &device).require_grad();
    let loss = LossConfig::CrossEntropy { label_smoothing };
    let loss = loss.compute(logits.clone(), Targets::new(&labels), &device);
    let gradient = logits.grad(&loss.backward()).unwrap();
    assert_close(&values(loss), &floats(&fixture["outputs"]["mean"]));
    assert_close(
        &values(gradient),
        &floats(&fixture["grad_of_logits"]["mean"]),
    );
}

#[test]
fn cross_entropy_agrees_with_pytorch() {
    assert_cross_entropy_agrees(include_str!("../../tests/fixtures/cross_entropy.json"), 0.0);
    let smoothed = include_str!("../../tests/fixtures/cross_entropy_smoothing_0.1.json");
    assert_cross_entropy_agrees(smoothed, 0.1);
}

/// From PyTorch in 64 bits: losses of each image times the weight of its class, averaged. The focal
/// loss is written out there, as PyTorch has none.
#[test]
fn all_losses_agree_with_pytorch() {
    let fixture: Value =
        serde_json::from_str(include_str!("../../tests/fixtures/losses.json")).unwrap();
    let labels = numbers(&fixture["labels"]).into_iter();
    let labels = Labels::Classes(labels.map(|label| label as u32).collect());
    let weights = numbers(&fixture["class_weights"]);
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 20);
    for case in cases {
        let mut settings = serde_json::Map::new();
        for key in ["kind", "focus", "label_smoothing"] {
            settings.extend(case.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        let loss: LossConfig = serde_json::from_value(Value::Object(settings)).unwrap();
        let targets = Targets {
            labels: &labels,
            mixture: None,
            class_weights: case["weighted"].as_bool().unwrap().then_some(&weights),
        };
        assert_agrees(loss, targets, &fixture["logits"], case);
    }
}

/// From PyTorch 2 in 64 bits: `binary_cross_entropy_with_logits(logits, y, pos_weight=w)`, and the
/// focal loss written out, `mean(-w y (1 - p)^focus log(p) - (1 - y) p^focus log(1 - p))`. `y` is 1
/// for the classes of an image; in mixed cases `share * y + (1 - share) * y.flip(0)`.
#[test]
fn losses_of_any_number_of_classes_agree_with_pytorch() {
    let fixture = include_str!("../../tests/fixtures/losses_of_labels.json");
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    let sets = fixture["sets"].as_array().unwrap().iter();
    let set = |classes: &Value| -> ClassSet {
        numbers(classes)
            .into_iter()
            .map(|class| class as u32)
            .collect()
    };
    let sets: Vec<ClassSet> = sets.map(set).collect();
    let mixture = Mixture {
        partner_labels: Labels::Sets(sets.iter().rev().cloned().collect()),
        shares: vec![fixture["share"].as_f64().unwrap() as f32; 5],
    };
    let labels = Labels::Sets(sets);
    let weights = numbers(&fixture["class_weights"]);
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    let label_smoothing = 0.0;
    for case in cases {
        let loss = match case["focus"].as_f64() {
            None => LossConfig::BinaryCrossEntropy {
                label_smoothing,
                target_threshold: None,
            },
            Some(focus) => LossConfig::Focal {
                focus: focus as f32,
                label_smoothing,
            },
        };
        let targets = Targets {
            labels: &labels,
            mixture: case["mixed"].as_bool().unwrap().then_some(&mixture),
            class_weights: case["weighted"].as_bool().unwrap().then_some(&weights),
        };
        assert_agrees(loss, targets, &fixture["logits"], case);
    }
}

#[test]
fn certain_answers_have_finite_gradients() {
    let device = Device::flex().autodiff();
    let labels = Labels::Sets(vec![ClassSet::from_iter([0]), ClassSet::default()]);
    let loss = LossConfig::Focal {
        focus: 0.5,
        label_smoothing: 0.0,
    };
    let logits = Tensor::<2>::from_data([[200.0, -200.0], [200.0, -200.0]], &device);
    let logits = logits.require_grad();
    let found = loss.compute(logits.clone(), Targets::new(&labels), &device);
    let gradient = values(logits.grad(&found.backward()).unwrap());
    assert_close(&values(found), &[50.0]);
    assert_close(&gradient, &[0.0, 0.0, 0.25, 0.0]);
}

#[test]
fn what_has_no_meaning_for_several_classes_is_refused() {
    let refusal = |loss: LossConfig| {
        let refused = loss.check_task(Task::MultiLabel);
        refused.unwrap_err().to_string()
    };
    let label_smoothing = 0.1;
    let message = refusal(LossConfig::CrossEntropy { label_smoothing });
    assert!(
        message.starts_with("kind is cross-entropy, which takes each image to be of one class")
    );
    assert!(refusal(LossConfig::MeanSquaredError).contains("--loss binary-cross-entropy"));
    let smoothed = LossConfig::BinaryCrossEntropy {
        label_smoothing,
        target_threshold: None,
    };
    assert!(refusal(smoothed).starts_with("label_smoothing is 0.1, which spreads"));
    assert_eq!(smoothed.check_task(Task::SingleLabel), Ok(()));
    let label_smoothing = 0.0;
    let plain = LossConfig::BinaryCrossEntropy {
        label_smoothing,
        target_threshold: None,
    };
    assert_eq!(plain.check_task(Task::MultiLabel), Ok(()));
}

#[test]
fn classes_of_mixed_images_count_whole_above_a_threshold() {
    let mixture = Mixture {
        partner_labels: Labels::Classes(vec![2, 1, 0]),
        shares: vec![0.25, 0.9, 0.5],
    };
    let labels = Labels::Classes(vec![0, 2, 2]);
    let targets = Targets {
        mixture: Some(&mixture),
        ..Targets::new(&labels)
    };
    let loss = LossConfig::BinaryCrossEntropy {
        label_smoothing: 0.0,
        target_threshold: Some(0.2),
    };
    let expected = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
    assert_eq!(loss.distributions(targets, 3), expected);
    // Without mixing nothing is rounded.
    let smoothed = LossConfig::BinaryCrossEntropy {
        label_smoothing: 0.3,
        target_threshold: Some(0.2),
    };
    let plain = smoothed.distributions(Targets::new(&labels), 3);
    assert_close(&plain[..3], &[0.8, 0.1, 0.1]);
}

#[test]
fn mixed_images_are_of_both_classes() {
    let mixture = Mixture {
        partner_labels: Labels::Classes(vec![2, 1, 0]),
        shares: vec![0.25, 0.5, 1.0],
    };
    let weights = [1.0, 10.0, 100.0];
    let targets = Targets {
        labels: &Labels::Classes(vec![0, 1, 2]),
        mixture: Some(&mixture),
        class_weights: Some(&weights),
    };
    let loss = LossConfig::CrossEntropy {
        label_smoothing: 0.3,
    };
    let expected = [
        0.7 * 0.25 + 0.1,
        0.1,
        0.7 * 0.75 + 0.1, //
        0.1,
        0.8,
        0.1, //
        0.1,
        0.1,
        0.8,
    ];
    assert_close(&loss.distributions(targets, 3), &expected);
    let expected = [0.25 + 75.0, 10.0, 100.0];
    assert_close(&targets.image_weights().unwrap(), &expected);
}

#[test]
fn certainty_has_finite_gradients() {
    let device = Device::flex().autodiff();
    for kind in [
        LossConfig::Focal {
            focus: 0.5,
            label_smoothing: 0.0,
        },
        LossConfig::binary_cross_entropy(),
    ] {
        let logits = Tensor::<2>::from_data([[90.0, -90.0], [-90.0, 90.0]], &device);
        let logits = logits.require_grad();
        let loss = kind.compute(
            logits.clone(),
            Targets::new(&Labels::Classes(vec![0, 0])),
            &device,
        );
        let gradient = values(logits.grad(&loss.backward()).unwrap());
        assert!(
            gradient.iter().all(|number| number.is_finite()),
            "{gradient:?}"
        );
        assert!(values(loss)[0] > 80.0 / 2.0);
    }
}

#[test]
fn squared_error_is_the_mean_over_samples_and_classes() {
    let device = Device::flex().autodiff();
    let logits = Tensor::<2>::from_data([[1.0, 0.5], [0.0, -1.0]], &device).require_grad();
    let labels = Labels::Classes(vec![0, 1]);
    let loss = LossConfig::MeanSquaredError.compute(logits.clone(), Targets::new(&labels), &device);
    let gradient = logits.grad(&loss.backward()).unwrap();
    // Differences 0, 0.5, 0, -2.
    assert_close(&values(loss), &[4.25 / 4.0]);
    assert_close(&values(gradient), &[0.0, 0.25, 0.0, -1.0]);
}
