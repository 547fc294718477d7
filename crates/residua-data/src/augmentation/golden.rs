//! Agreement with torchvision and timm, by a fixture made with them: see
//! `tests/fixtures/augmentation.py`.

use std::path::Path;

use flate2::Crc;
use serde_json::Value;

use super::canvas::Canvas;
use super::colour_jitter::shifted_hue;
use super::operation::Operation;
use super::policy::{CIFAR, Kind, Space};
use super::{erasing, mix};

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augmentation.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap();
    values
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

fn checksum(canvas: &Canvas) -> u32 {
    let mut checksum = Crc::new();
    checksum.update(canvas.rgb());
    checksum.sum()
}

/// An image whose values are a function of row, column and channel.
fn image([height, width]: [usize; 2], value: impl Fn(usize, usize, usize) -> usize) -> Canvas {
    let index = 0..height * width * 3;
    let values = index.map(|index| value(index / 3 / width, index / 3 % width, index % 3) as u8);
    Canvas::new(width, values.collect())
}

fn images() -> Vec<(&'static str, Canvas)> {
    let textured = |y: usize, x: usize, channel: usize| {
        (x * (7 + channel) + y * 5 + x * y * (channel + 1) * (x + y) / 16 + 40 * channel) % 251
    };
    let dark =
        |y: usize, x: usize, channel: usize| 30 + (x * y + channel * x) % (13 + 40 * channel);
    vec![
        ("square", image([32, 32], textured)),
        ("wide", image([17, 21], textured)),
        ("strip", image([2, 9], textured)),
        ("dark", image([24, 20], dark)),
        ("flat", image([4, 5], |_, _, channel| [9, 90, 200][channel])),
    ]
}

/// 64 levels of each channel in all combinations.
fn palette() -> Canvas {
    image([512, 512], |y, x, channel| {
        let index = y * 512 + x;
        [index % 64, index / 64 % 64, index / 4096][channel] * 255 / 63
    })
}

fn kind(name: &str) -> Kind {
    match name {
        "Identity" => Kind::Identity,
        "ShearX" => Kind::ShearX,
        "ShearY" => Kind::ShearY,
        "TranslateX" => Kind::TranslateX,
        "TranslateY" => Kind::TranslateY,
        "Rotate" => Kind::Rotate,
        "Brightness" => Kind::Brightness,
        "Color" => Kind::Colour,
        "Contrast" => Kind::Contrast,
        "Sharpness" => Kind::Sharpness,
        "Posterize" => Kind::Posterise,
        "Solarize" => Kind::Solarise,
        "AutoContrast" => Kind::AutoContrast,
        "Equalize" => Kind::Equalise,
        "Invert" => Kind::Invert,
        other => panic!("{other} is no operation of torchvision"),
    }
}

#[test]
fn the_images_are_those_of_the_fixture() {
    let fixture = fixture();
    for (name, canvas) in images() {
        assert_eq!(checksum(&canvas), fixture["images"][name], "{name}");
    }
    assert_eq!(checksum(&palette()), fixture["images"]["palette"]);
}

#[test]
fn every_operation_of_every_policy_is_torchvisions_in_every_bin() {
    let fixture = fixture();
    let mut compared = 0;
    for (policy, space, bins) in [
        ("rand-augment", Space::RAND_AUGMENT, 31),
        ("trivial-augment-wide", Space::TRIVIAL_AUGMENT_WIDE, 31),
        ("auto-augment-cifar", Space::AUTO_AUGMENT, 10),
    ] {
        for (title, canvas) in images() {
            let operations = fixture["policies"][policy][title].as_object().unwrap();
            for (name, expected) in operations {
                let expected = expected.as_array().unwrap();
                let directions = (expected.len() / bins).max(1);
                for (index, expected) in expected.iter().enumerate() {
                    let bin = index / directions;
                    let is_reversed = index % directions == 1;
                    let operation = space.operation(kind(name), bin, is_reversed, canvas.size());
                    let mut changed = canvas.clone();
                    operation.apply(&mut changed);
                    let place = format!("{policy}, {title}, {operation:?}");
                    assert_eq!(checksum(&changed), *expected, "{place}");
                    compared += 1;
                }
            }
        }
    }
    // Nine operations with two directions and two with one; three or four without magnitudes.
    assert_eq!(compared, 5 * ((9 * 2 + 2) * (31 + 31 + 10) + 3 + 3 + 3));
}

#[test]
fn the_sub_policies_are_torchvisions() {
    let fixture = fixture();
    let expected = fixture["sub_policies"].as_array().unwrap();
    assert_eq!(expected.len(), CIFAR.len());
    for (steps, expected) in CIFAR.iter().zip(expected) {
        for (step, expected) in steps.iter().zip(expected.as_array().unwrap()) {
            assert_eq!(step.kind, kind(expected[0].as_str().unwrap()));
            assert_eq!(step.probability, expected[1].as_f64().unwrap());
            assert_eq!(step.bin as u64, expected[2].as_u64().unwrap_or(0));
        }
    }
}

#[test]
fn colours_change_as_torchvisions_do() {
    let fixture = fixture();
    let cases = &fixture["adjustments"];
    let adjustment = |name: &str, factor: f32| match name {
        "brightness" => Operation::Brightness(factor),
        "contrast" => Operation::Contrast(factor),
        "saturation" => Operation::Colour(factor),
        _ => shifted_hue(factor),
    };
    for name in ["brightness", "contrast", "saturation", "hue"] {
        for case in cases[name].as_array().unwrap() {
            let factor = case[0].as_f64().unwrap() as f32;
            let mut canvas = palette();
            adjustment(name, factor).apply(&mut canvas);
            assert_eq!(checksum(&canvas), case[1], "{name} {factor}");
        }
    }
    let mut canvas = palette();
    for operation in [
        shifted_hue(0.1),
        Operation::Brightness(1.3),
        Operation::Colour(0.6),
        Operation::Contrast(1.4),
    ] {
        operation.apply(&mut canvas);
    }
    let together = &cases["hue 0.1, brightness 1.3, saturation 0.6, contrast 1.4"];
    assert_eq!(checksum(&canvas), *together);
}

#[test]
fn erased_rectangles_have_timms_sides() {
    for case in fixture()["erasing"].as_array().unwrap() {
        let case = numbers(case);
        let found = erasing::sides([case[0] as usize, case[1] as usize], case[2], case[3]);
        let [height, width] = found.unwrap_or([0, 0]);
        assert_eq!([height as f64, width as f64], case[4..], "{case:?}");
    }
}

#[test]
fn cut_rectangles_are_timms() {
    for case in fixture()["cuts"].as_array().unwrap() {
        let case = numbers(case);
        let [height, width, top, left] = [0, 1, 3, 4].map(|index| case[index] as usize);
        let found = mix::rectangle_about([top, left], [height, width], case[2]);
        let edges = [
            found.top,
            found.top + found.height,
            found.left,
            found.left + found.width,
        ];
        assert_eq!(edges.map(|edge| edge as f64), case[5..9], "{case:?}");
        let remains = 1.0 - (found.height * found.width) as f64 / (height * width) as f64;
        assert_eq!(remains, case[9], "{case:?}");
    }
}

#[test]
fn blended_images_are_timms() {
    let fixture = fixture();
    let narrow = |value: &Value| -> Vec<f32> {
        numbers(value)
            .into_iter()
            .map(|value| value as f32)
            .collect()
    };
    for case in fixture["mixup"]["mixed"].as_array().unwrap() {
        let mut images = narrow(&fixture["mixup"]["batch"]);
        let share = case[0].as_f64().unwrap();
        mix::blend(&mut images, [4, 1, 2, 1], share as f32);
        for (found, expected) in images.iter().zip(narrow(&case[1])) {
            // PyTorch rounds the products, or does not, as the processor multiplies and adds.
            assert!(
                (found - expected).abs() <= 3e-7,
                "{share}: {found} {expected}"
            );
        }
    }
}
