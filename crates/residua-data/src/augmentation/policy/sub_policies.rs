//! The policy of AutoAugment for CIFAR-10.

use super::space::Kind;

/// An operation of a sub-policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) probability: f64,
    /// Magnitude, 0 to 9; without meaning for operations that have none.
    pub(crate) bin: usize,
}

const fn step(kind: Kind, probability: f64, bin: usize) -> Step {
    Step {
        kind,
        probability,
        bin,
    }
}

/// Cubuk et al. 2018, table 7 of the appendix, with the probabilities and magnitudes of the
/// authors' program, which torchvision has too.
pub(crate) const CIFAR: [[Step; 2]; 25] = {
    use Kind::*;
    [
        [step(Invert, 0.1, 0), step(Contrast, 0.2, 6)],
        [step(Rotate, 0.7, 2), step(TranslateX, 0.3, 9)],
        [step(Sharpness, 0.8, 1), step(Sharpness, 0.9, 3)],
        [step(ShearY, 0.5, 8), step(TranslateY, 0.7, 9)],
        [step(AutoContrast, 0.5, 0), step(Equalise, 0.9, 0)],
        [step(ShearY, 0.2, 7), step(Posterise, 0.3, 7)],
        [step(Colour, 0.4, 3), step(Brightness, 0.6, 7)],
        [step(Sharpness, 0.3, 9), step(Brightness, 0.7, 9)],
        [step(Equalise, 0.6, 0), step(Equalise, 0.5, 0)],
        [step(Contrast, 0.6, 7), step(Sharpness, 0.6, 5)],
        [step(Colour, 0.7, 7), step(TranslateX, 0.5, 8)],
        [step(Equalise, 0.3, 0), step(AutoContrast, 0.4, 0)],
        [step(TranslateY, 0.4, 3), step(Sharpness, 0.2, 6)],
        [step(Brightness, 0.9, 6), step(Colour, 0.2, 8)],
        [step(Solarise, 0.5, 2), step(Invert, 0.0, 0)],
        [step(Equalise, 0.2, 0), step(AutoContrast, 0.6, 0)],
        [step(Equalise, 0.2, 0), step(Equalise, 0.6, 0)],
        [step(Colour, 0.9, 9), step(Equalise, 0.6, 0)],
        [step(AutoContrast, 0.8, 0), step(Solarise, 0.2, 8)],
        [step(Brightness, 0.1, 3), step(Colour, 0.7, 0)],
        [step(Solarise, 0.4, 5), step(AutoContrast, 0.9, 0)],
        [step(TranslateY, 0.9, 9), step(TranslateY, 0.7, 9)],
        [step(AutoContrast, 0.9, 0), step(Solarise, 0.8, 3)],
        [step(Equalise, 0.8, 0), step(Invert, 0.1, 0)],
        [step(TranslateY, 0.7, 9), step(AutoContrast, 0.9, 0)],
    ]
};
