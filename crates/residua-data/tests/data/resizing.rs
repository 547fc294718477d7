//! Agreement with Pillow, by a fixture made with it.

use std::path::Path;

use residua_core::preprocessing::{Normalisation, Preprocessing, ResizeRule};
use residua_core::seed::SeedStream;
use residua_data::resize::{Rectangle, resize};
use residua_data::{Augmentation, Pixels, Transform};
use serde_json::Value;

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/image_preprocess.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let data = value["data"].as_array().unwrap();
    data.iter().map(|number| number.as_f64().unwrap()).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    numbers(value)
        .into_iter()
        .map(|number| number as u8)
        .collect()
}

fn picture(fixture: &Value) -> Pixels<'static> {
    Pixels::new(37, 48, bytes(&fixture["inputs"]["pixels"])).unwrap()
}

/// Mean 0 and deviation 1/255: the result is the pixel value itself.
fn identity() -> Normalisation {
    Normalisation::new(vec![0.0; 3], vec![1.0 / 255.0; 3]).unwrap()
}

fn rounded(values: &[f32]) -> Vec<u8> {
    values.iter().map(|value| value.round() as u8).collect()
}

/// At most 1 level apart (as far as torchvision is from Pillow, says the fixture), and that in
/// fewer than 3 % of the values.
fn assert_close(found: &[u8], expected: &Value) {
    let expected = bytes(expected);
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(&expected);
    let apart = pairs.map(|(&found, &expected)| found.abs_diff(expected));
    assert!(apart.clone().all(|levels| levels <= 1));
    let different = apart.filter(|&levels| levels > 0).count();
    assert!(
        different * 100 < found.len() * 3,
        "{different} of {}",
        found.len()
    );
}

#[test]
fn stretching_is_pillows() {
    let fixture = fixture();
    let resized = resize(&picture(&fixture), Rectangle::whole(37, 48), [32, 32]).unwrap();
    assert_close(resized.rgb(), &fixture["outputs"]["resized_uint8"]);
}

#[test]
fn the_shorter_side_is_pillows() {
    let fixture = fixture();
    let resized = resize(&picture(&fixture), Rectangle::whole(37, 48), [24, 31]).unwrap();
    assert_close(resized.rgb(), &fixture["outputs"]["shorter_side_24_uint8"]);
    // The crop of the pipeline takes the middle of exactly that: (31 - 24) / 2, half to even.
    let preprocessing = Preprocessing {
        height: 24,
        width: 24,
        shorter_side: None,
        resize: ResizeRule::CoverAndCrop { crop_fraction: 1.0 },
        normalisation: identity(),
    };
    let transform = Transform::evaluation(&preprocessing).unwrap();
    let values = transform
        .apply(&picture(&fixture), SeedStream::new(0))
        .unwrap();
    let expected: Vec<u8> = resized
        .rgb()
        .chunks_exact(31 * 3)
        .flat_map(|row| &row[4 * 3..28 * 3])
        .copied()
        .collect();
    assert_eq!(rounded(&values), expected);
}

#[test]
fn a_reduction_comes_before_everything_else() {
    let fixture = fixture();
    let reducing = Preprocessing {
        height: 24,
        width: 31,
        shorter_side: Some(24),
        resize: ResizeRule::Stretch,
        normalisation: identity(),
    };
    let transform = Transform::evaluation(&reducing).unwrap();
    let values = transform
        .apply(&picture(&fixture), SeedStream::new(0))
        .unwrap();
    assert_close(
        &rounded(&values),
        &fixture["outputs"]["shorter_side_24_uint8"],
    );
    // What is reduced already is left as it is, so that both ways give the same bits.
    let reduced = resize(&picture(&fixture), Rectangle::whole(37, 48), [24, 31]).unwrap();
    let random = Transform::training(&reducing, residua_data::Augmentation::IMAGENET).unwrap();
    for transform in [transform, random] {
        let seed = SeedStream::new(3);
        let direct = transform.apply(&picture(&fixture), seed).unwrap();
        assert_eq!(transform.apply(&reduced, seed).unwrap(), direct);
    }
}

#[test]
fn crop_flip_and_normalisation_are_torchvisions() {
    let fixture = fixture();
    let outputs = &fixture["outputs"];
    let resized = Pixels::new(32, 32, bytes(&outputs["resized_uint8"])).unwrap();
    let crop = Rectangle::centred([32, 32], [24, 24]);
    assert_eq!((crop.top, crop.left), (4, 4));
    let cropped = resize(&resized, crop, [24, 24]).unwrap();
    assert_eq!(cropped.rgb(), bytes(&outputs["cropped_uint8"]));

    let mut preprocessing = Preprocessing {
        height: 24,
        width: 24,
        shorter_side: None,
        resize: ResizeRule::Stretch,
        normalisation: Normalisation::imagenet(),
    };
    let transform = Transform::evaluation(&preprocessing).unwrap();
    let values = transform.apply(&cropped, SeedStream::new(0)).unwrap();
    let expected = numbers(&outputs["normalised_chw"]);
    for (pixel, channels) in values.chunks_exact(3).enumerate() {
        for (channel, &value) in channels.iter().enumerate() {
            let expected = expected[channel * 24 * 24 + pixel];
            assert!(
                (f64::from(value) - expected).abs() < 1e-5,
                "{value} {expected}"
            );
        }
    }

    preprocessing.normalisation = identity();
    let flip = Augmentation {
        flip_probability: 1.0,
        ..Augmentation::NONE
    };
    let transform = Transform::training(&preprocessing, flip).unwrap();
    let values = transform.apply(&cropped, SeedStream::new(0)).unwrap();
    assert_eq!(
        rounded(&values),
        bytes(&outputs["horizontal_flip_crop_uint8"])
    );
}

#[test]
fn pixels_outside_the_area_have_no_influence() {
    let mut rgb = vec![255; 20 * 20 * 3];
    for row in 5..15 {
        rgb[(row * 20 + 5) * 3..(row * 20 + 15) * 3].fill(40);
    }
    let image = Pixels::new(20, 20, rgb).unwrap();
    let area = Rectangle {
        top: 5,
        left: 5,
        height: 10,
        width: 10,
    };
    for size in [[4, 4], [10, 7], [33, 33]] {
        let resized = resize(&image, area, size).unwrap();
        assert!(resized.rgb().iter().all(|&byte| byte == 40), "{size:?}");
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let image = Pixels::new(2, 2, vec![0; 12]).unwrap();
    assert!(resize(&image, Rectangle::whole(3, 2), [2, 2]).is_none());
    assert!(resize(&image, Rectangle::whole(2, 2), [0, 2]).is_none());
    assert!(resize(&image, Rectangle::whole(2, 2), [1 << 20, 1 << 20]).is_none());
}
