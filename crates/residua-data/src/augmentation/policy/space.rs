//! The operations that a policy chooses from, and what their magnitudes mean.

use crate::augmentation::operation::Operation;

/// An operation without its magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Colour,
    Contrast,
    Sharpness,
    Posterise,
    Solarise,
    AutoContrast,
    Equalise,
    Invert,
}

impl Kind {
    /// Those of RandAugment and TrivialAugment, in torchvision's order: all but inverting.
    pub(crate) const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Colour,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterise,
        Self::Solarise,
        Self::AutoContrast,
        Self::Equalise,
    ];
}

/// How far operations go: each range is divided evenly into bins, from 0 on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    bins: usize,
    shear: f32,
    translation: Reach,
    degrees: f32,
    /// Brightness, colour, contrast and sharpness: the largest distance from 1.
    enhancement: f32,
    /// The most bits that posterising drops.
    lost_bits: f32,
}

/// The farthest that an image is moved.
#[derive(Debug, Clone, Copy)]
enum Reach {
    /// A share of its side.
    Share(f64),
    Pixels(f32),
}

impl Space {
    /// The ranges of AutoAugment (Cubuk et al. 2018, table 6 of the appendix; translations of 150
    /// of 331 pixels) in 31 bins.
    pub(crate) const RAND_AUGMENT: Self = Self {
        bins: 31,
        shear: 0.3,
        translation: Reach::Share(150.0 / 331.0),
        degrees: 30.0,
        enhancement: 0.9,
        lost_bits: 4.0,
    };

    /// The same ranges in the 10 bins that the sub-policies are written in.
    pub(crate) const AUTO_AUGMENT: Self = Self {
        bins: 10,
        ..Self::RAND_AUGMENT
    };

    /// The ranges that Müller and Hutter 2021 call Wide.
    pub(crate) const TRIVIAL_AUGMENT_WIDE: Self = Self {
        bins: 31,
        shear: 0.99,
        translation: Reach::Pixels(32.0),
        degrees: 135.0,
        enhancement: 0.99,
        lost_bits: 6.0,
    };

    /// The operation with the magnitude of a bin, for an image of `[height, width]`; reversed
    /// only where it has two directions.
    pub(crate) fn operation(
        &self,
        kind: Kind,
        bin: usize,
        is_reversed: bool,
        [height, width]: [usize; 2],
    ) -> Operation {
        let sign = if is_reversed { -1.0 } else { 1.0 };
        let signed = |most: f32| sign * f64::from(self.between(0.0, most, bin));
        let translation = |side: usize| match self.translation {
            Reach::Share(share) => signed((share * side as f64) as f32) as i32,
            Reach::Pixels(pixels) => signed(pixels) as i32,
        };
        let factor = || (1.0 + signed(self.enhancement)) as f32;
        match kind {
            Kind::Identity => Operation::Identity,
            Kind::ShearX => Operation::ShearX(signed(self.shear)),
            Kind::ShearY => Operation::ShearY(signed(self.shear)),
            Kind::TranslateX => Operation::TranslateX(translation(width)),
            Kind::TranslateY => Operation::TranslateY(translation(height)),
            Kind::Rotate => Operation::Rotate(signed(self.degrees)),
            Kind::Brightness => Operation::Brightness(factor()),
            Kind::Colour => Operation::Colour(factor()),
            Kind::Contrast => Operation::Contrast(factor()),
            Kind::Sharpness => Operation::Sharpness(factor()),
            Kind::Posterise => {
                let share = bin as f32 / ((self.bins - 1) as f32 / self.lost_bits);
                Operation::Posterise(8 - share.round_ties_even() as u32)
            }
            Kind::Solarise => Operation::Solarise(self.between(255.0, 0.0, bin)),
            Kind::AutoContrast => Operation::AutoContrast,
            Kind::Equalise => Operation::Equalise,
            Kind::Invert => Operation::Invert,
        }
    }

    /// The value of a bin, counted from the nearer end in 32-bit numbers and rounded once as
    /// PyTorch's `linspace` does it, so that both truncate to the same whole pixels.
    fn between(&self, first: f32, last: f32, bin: usize) -> f32 {
        let step = (last - first) / (self.bins - 1) as f32;
        if bin < self.bins / 2 {
            step.mul_add(bin as f32, first)
        } else {
            step.mul_add(-((self.bins - 1 - bin) as f32), last)
        }
    }
}
