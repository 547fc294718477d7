//! Feature maps in both formats, and what they stand for in f64.

use half::bf16;
use residua_kernels::feature_map::{Affine, Shortcut, Source};
use residua_kernels::{Element, InstructionSet, with_instruction_set};

use super::numbers;

/// A format under test.
pub trait Format: Element {
    /// Largest relative error of a rounding.
    const ROUNDING: f64;

    fn rounded(number: f32) -> Self;

    fn exact(self) -> f64;
}

impl Format for f32 {
    const ROUNDING: f64 = f32::EPSILON as f64;

    fn rounded(number: f32) -> Self {
        number
    }

    fn exact(self) -> f64 {
        f64::from(self)
    }
}

impl Format for bf16 {
    const ROUNDING: f64 = 1.0 / 256.0;

    fn rounded(number: f32) -> Self {
        bf16::from_f32(number)
    }

    fn exact(self) -> f64 {
        self.to_f64()
    }
}

pub fn map<E: Format>(seed: u64, length: usize) -> Vec<E> {
    numbers(seed, length).into_iter().map(E::rounded).collect()
}

/// A map and all that may be done to it before it is read.
pub struct Parts<E> {
    pub channels: usize,
    pub values: Vec<E>,
    pub shortcut: Vec<E>,
    /// Scale and shift of the values, and of the shortcut.
    pub affine: [Vec<f32>; 4],
    pub has_affine: bool,
    pub has_shortcut: bool,
    pub rectified: bool,
}

impl<E: Format> Parts<E> {
    pub fn new(
        pixels: usize,
        channels: usize,
        [has_affine, has_shortcut, rectified]: [bool; 3],
    ) -> Self {
        Self {
            channels,
            values: map(1, pixels * channels),
            shortcut: map(2, pixels * channels),
            affine: [3, 4, 5, 6].map(|seed| numbers(seed, channels)),
            has_affine,
            has_shortcut,
            rectified,
        }
    }

    pub fn source(&self) -> Source<'_, E> {
        let [scale, shift, shortcut_scale, shortcut_shift] = &self.affine;
        Source {
            values: (&self.values[..]).into(),
            affine: self.has_affine.then_some(Affine { scale, shift }),
            shortcut: self.has_shortcut.then_some(Shortcut {
                values: (&self.shortcut[..]).into(),
                affine: self.has_affine.then_some(Affine {
                    scale: shortcut_scale,
                    shift: shortcut_shift,
                }),
            }),
            rectified: self.rectified,
        }
    }

    pub fn reference(&self) -> Vec<f64> {
        let affine = |number: E, index: usize, first: usize| {
            let channel = index % self.channels;
            let [scale, shift] = [0, 1].map(|part| f64::from(self.affine[first + part][channel]));
            if self.has_affine {
                number.exact() * scale + shift
            } else {
                number.exact()
            }
        };
        let numbers = self.values.iter().enumerate().map(|(index, &value)| {
            let mut number = affine(value, index, 0);
            if self.has_shortcut {
                number += affine(self.shortcut[index], index, 2);
            }
            if self.rectified {
                number.max(0.0)
            } else {
                number
            }
        });
        numbers.collect()
    }
}

#[track_caller]
pub fn assert_near<E: Format>(name: &str, actual: &[E], expected: &[f64], magnitude: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let allowed = E::ROUNDING * expected.abs() + 8.0 * f64::from(f32::EPSILON) * magnitude;
        let error = (actual.exact() - expected).abs();
        assert!(
            error <= allowed,
            "{name}[{index}] is {}, the reference {expected}, allowed {allowed:e}",
            actual.exact()
        );
    }
}

pub fn in_every_set(mut body: impl FnMut()) {
    for set in InstructionSet::available() {
        with_instruction_set(set, &mut body);
    }
}
