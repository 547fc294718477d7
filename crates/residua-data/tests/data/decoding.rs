//! Every kind of PNG, against Pillow and NumPy (`fixtures/png_kinds.py`).

use std::path::Path;

use residua_data::decode_bytes;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// In hexadecimal digits.
    file: String,
    size: [usize; 2],
    rgb: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/png_kinds.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(digits: &str) -> Vec<u8> {
    let places = (0..digits.len()).step_by(2);
    places
        .map(|place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_kind_of_png_shows_what_it_should() {
    let cases = cases();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let pixels = decode_bytes(&case.name, &bytes(&case.file)).unwrap();
        assert_eq!(
            [pixels.height(), pixels.width()],
            case.size,
            "{}",
            case.name
        );
        // Blending may be rounded in one way or the other; everything else is exact.
        let tolerance = u8::from(case.name.contains("alpha"));
        for (index, (found, expected)) in pixels.rgb().iter().zip(&case.rgb).enumerate() {
            assert!(
                found.abs_diff(*expected) <= tolerance,
                "{}: value {index} is {found}, expected {expected}",
                case.name
            );
        }
        assert_eq!(pixels.rgb().len(), case.rgb.len());
    }
}
