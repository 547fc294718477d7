//! Maps that explain, against PyTorch's, and for what they promise.

mod support;

use burn::tensor::Tensor;
use residua_core::task::Task;
use residua_train::explain::{
    CamMethod, HeatMap, Occlusion, attribute, last_map, occlusion, saliency,
};
use serde_json::Value;

use support::Case;

/// Numbers of a fixture's output.
fn numbers(fixture: &Value, name: &str) -> Vec<f64> {
    serde_json::from_value(fixture["outputs"][name]["data"].clone()).unwrap()
}

fn assert_maps_agree(name: &str, maps: &[HeatMap], expected: &[f64]) {
    let found: Vec<f64> = { maps.iter() }
        .flat_map(|map| map.values.iter().map(|value| f64::from(*value)))
        .collect();
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(error < 1e-4 * largest, "{name}: {found} is not {expected}");
    }
}

fn check(text: &str, model: &str, stage: &str, images: Option<[usize; 4]>) {
    let fixture: Value = serde_json::from_str(text).unwrap();
    let case = Case::for_images(model, &format!("torchvision_{model}"), images);
    let graph = case.network.graph();
    let tap = graph.find(stage).unwrap();
    if stage == "layer4" {
        assert_eq!(last_map(graph), Some(tap), "{model}");
    }
    let found = attribute(&case.network, case.images.clone(), tap, Some(7)).unwrap();
    let name = format!("{model} {stage}");
    let gradcam = CamMethod::GradCam.maps(&found);
    assert_maps_agree(&name, &gradcam, &numbers(&fixture, "gradcam"));
    let plus_plus = CamMethod::GradCamPlusPlus.maps(&found);
    assert_maps_agree(&name, &plus_plus, &numbers(&fixture, "gradcam_plus_plus"));
    for (image, logit) in fixture["outputs"]["class_logit"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        let own = f64::from(found.logits[image * 1000 + 7]);
        assert!(
            (own - logit.as_f64().unwrap()).abs() < 1e-4,
            "{name}: {own}"
        );
    }
    // The predicted class, where none is named.
    let found = attribute(&case.network, case.images.clone(), tap, None).unwrap();
    let predicted: Vec<usize> =
        serde_json::from_value(fixture["attributes"]["argmax_per_image"].clone()).unwrap();
    assert_eq!(found.classes, predicted, "{name}");
}

#[test]
fn class_activation_maps_are_those_of_pytorch() {
    check(
        include_str!("fixtures/gradcam_resnet18_layer4_64x64_class7.json"),
        "resnet18",
        "layer4",
        None,
    );
    check(
        include_str!("fixtures/gradcam_resnet18_layer3_64x64_class7.json"),
        "resnet18",
        "layer3",
        None,
    );
    check(
        include_str!("fixtures/gradcam_resnet18_layer4_96x128_class7.json"),
        "resnet18",
        "layer4",
        Some([2, 3, 96, 128]),
    );
    check(
        include_str!("fixtures/gradcam_resnet50_layer4_96x96_class7.json"),
        "resnet50",
        "layer4",
        Some([2, 3, 96, 96]),
    );
}

#[test]
fn a_saliency_is_the_slope_of_the_score() {
    let case = Case::new("resnet20", "cifar_resnet20");
    let map = saliency(&case.network, case.images.clone(), Some(3)).swap_remove(0);
    assert_eq!([map.height, map.width], [32, 32]);
    // Changing the most important pixel changes the score by so much for each unit of the way.
    let place = (0..32 * 32)
        .max_by(|a, b| map.values[*a].total_cmp(&map.values[*b]))
        .unwrap();
    let image: Vec<f32> = case.images.to_data().try_into_vec().unwrap();
    let score = |pixel: &[f32]| -> f64 {
        let mut image = image[..32 * 32 * 3].to_vec();
        image[place * 3..][..3].copy_from_slice(pixel);
        let data = burn::tensor::TensorData::new(image, [1, 32, 32, 3]);
        let images = Tensor::<4>::from_data(data, &burn::tensor::Device::flex());
        let logits: Vec<f32> = case
            .network
            .evaluate(images)
            .to_data()
            .try_into_vec()
            .unwrap();
        f64::from(logits[3])
    };
    let pixel: [f32; 3] = image[place * 3..][..3].try_into().unwrap();
    let step = 1e-3;
    let slopes = [0, 1, 2].map(|channel| {
        let moved = |by: f32| {
            let mut pixel = pixel;
            pixel[channel] += by;
            score(&pixel)
        };
        ((moved(step) - moved(-step)) / (2.0 * f64::from(step))).abs()
    });
    let steepest = slopes.into_iter().fold(0.0, f64::max);
    let found = f64::from(map.values[place]);
    assert!(
        (found / steepest - 1.0).abs() < 0.1,
        "{found} and {slopes:?}"
    );
}

#[test]
fn covering_what_matters_costs_probability() {
    let case = Case::new("resnet20", "cifar_resnet20");
    let image: Vec<f32> = case.images.to_data().try_into_vec().unwrap();
    let settings = Occlusion {
        patch: 8,
        stride: 8,
    };
    let map = occlusion(
        &case.network,
        &image[..32 * 32 * 3],
        None,
        Task::SingleLabel,
        settings,
    );
    assert!(map.values.iter().all(|value| (0.0..=1.0).contains(value)));
    assert!(map.values.iter().any(|value| *value > 0.0));
    // Patches that do not overlap give blocks of one value.
    for block in [0, 8, 16, 24] {
        assert_eq!(map.values[block], map.values[block + 7 * 32 + 7]);
    }
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let case = Case::new("resnet20", "cifar_resnet20");
    let graph = case.network.graph();
    let stage = graph.find("layer3").unwrap();
    let error = attribute(&case.network, case.images.clone(), stage, Some(10)).unwrap_err();
    assert!(
        error.to_string().contains("class 10 does not exist"),
        "{error}"
    );
    let head = graph.find("linear").unwrap();
    let error = attribute(&case.network, case.images.clone(), head, None).unwrap_err();
    assert!(
        error.to_string().contains("linear gives a vector"),
        "{error}"
    );
}
