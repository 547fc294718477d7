//! The operations that policies are made of, on 8-bit RGB.
//!
//! Each is what torchvision's does on a Pillow image, bit for bit: pixels are moved without
//! interpolation (the nearest one is taken), and what comes from outside the image is black,
//! as torchvision has it by default and as the padding of the random crop is.

mod affine;
mod blend;
mod hue;
mod levels;

use super::canvas::Canvas;

/// An operation with its magnitude.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    Identity,
    /// Columns by which the image moves left from one row to the next.
    ShearX(f64),
    /// Rows by which the image moves up from one column to the next.
    ShearY(f64),
    /// Columns by which the image moves right.
    TranslateX(i32),
    /// Rows by which the image moves down.
    TranslateY(i32),
    /// Degrees, anticlockwise, about the centre.
    Rotate(f64),
    /// 0 gives black, 1 the image.
    Brightness(f32),
    /// 0 gives grey values, 1 the image.
    Colour(f32),
    /// 0 gives the mean of the grey values, 1 the image.
    Contrast(f32),
    /// 0 gives a smoothed image, 1 the image.
    Sharpness(f32),
    /// The bits of a channel that are kept, 1 to 8.
    Posterise(u32),
    /// Values from this on are inverted.
    Solarise(f32),
    AutoContrast,
    Equalise,
    Invert,
    /// By this many of 256 steps round the colour circle.
    ShiftHue(u8),
}

impl Operation {
    pub(crate) fn apply(self, canvas: &mut Canvas) {
        match self {
            Self::Identity => (),
            Self::ShearX(slope) => affine::transform(canvas, [1.0, slope, 0.0, 0.0, 1.0, 0.0]),
            Self::ShearY(slope) => affine::transform(canvas, [1.0, 0.0, 0.0, slope, 1.0, 0.0]),
            Self::TranslateX(columns) => {
                affine::transform(canvas, [1.0, 0.0, f64::from(-columns), 0.0, 1.0, 0.0]);
            }
            Self::TranslateY(rows) => {
                affine::transform(canvas, [1.0, 0.0, 0.0, 0.0, 1.0, f64::from(-rows)]);
            }
            Self::Rotate(degrees) => affine::rotate(canvas, degrees),
            Self::Brightness(factor) => blend::brightness(canvas, factor),
            Self::Colour(factor) => blend::colour(canvas, factor),
            Self::Contrast(factor) => blend::contrast(canvas, factor),
            Self::Sharpness(factor) => blend::sharpness(canvas, factor),
            Self::Posterise(bits) => levels::posterise(canvas, bits),
            Self::Solarise(threshold) => levels::solarise(canvas, threshold),
            Self::AutoContrast => levels::auto_contrast(canvas),
            Self::Equalise => levels::equalise(canvas),
            Self::Invert => levels::invert(canvas),
            Self::ShiftHue(steps) => hue::shift(canvas, steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn operations() -> impl Strategy<Value = Operation> {
        let factor = || 0.0_f32..4.0;
        prop_oneof![
            (-2.0..2.0).prop_map(Operation::ShearX),
            (-2.0..2.0).prop_map(Operation::ShearY),
            (-40..40).prop_map(Operation::TranslateX),
            (-40..40).prop_map(Operation::TranslateY),
            (-360.0..360.0).prop_map(Operation::Rotate),
            factor().prop_map(Operation::Brightness),
            factor().prop_map(Operation::Colour),
            factor().prop_map(Operation::Contrast),
            factor().prop_map(Operation::Sharpness),
            (1_u32..=8).prop_map(Operation::Posterise),
            (0.0_f32..=256.0).prop_map(Operation::Solarise),
            Just(Operation::AutoContrast),
            Just(Operation::Equalise),
            Just(Operation::Invert),
            any::<u8>().prop_map(Operation::ShiftHue),
        ]
    }

    fn canvases() -> impl Strategy<Value = Canvas> {
        (1_usize..12, 1_usize..12).prop_flat_map(|(height, width)| {
            let bytes = proptest::collection::vec(any::<u8>(), height * width * 3);
            bytes.prop_map(move |rgb| Canvas::new(width, rgb))
        })
    }

    fn applied(operation: Operation, canvas: &Canvas) -> Vec<u8> {
        let mut canvas = canvas.clone();
        operation.apply(&mut canvas);
        canvas.rgb().to_vec()
    }

    proptest! {
        #[test]
        fn every_operation_keeps_the_size(operation in operations(), canvas in canvases()) {
            prop_assert_eq!(applied(operation, &canvas).len(), canvas.rgb().len());
        }

        #[test]
        fn some_magnitudes_change_nothing(canvas in canvases()) {
            for operation in [
                Operation::Identity,
                Operation::ShearX(0.0),
                Operation::ShearY(0.0),
                Operation::TranslateX(0),
                Operation::TranslateY(0),
                Operation::Rotate(0.0),
                Operation::Brightness(1.0),
                Operation::Colour(1.0),
                Operation::Contrast(1.0),
                Operation::Sharpness(1.0),
                Operation::Posterise(8),
                Operation::Solarise(256.0),
            ] {
                prop_assert_eq!(&applied(operation, &canvas), canvas.rgb(), "{:?}", operation);
            }
        }

        #[test]
        fn inverting_twice_changes_nothing(canvas in canvases()) {
            let mut changed = canvas.clone();
            Operation::Invert.apply(&mut changed);
            prop_assert_ne!(changed.rgb(), canvas.rgb());
            Operation::Invert.apply(&mut changed);
            prop_assert_eq!(changed.rgb(), canvas.rgb());
        }

        #[test]
        fn four_quarter_turns_of_a_square_change_nothing(
            side in 1_usize..12,
            first in any::<u8>(),
        ) {
            let bytes = (0..side * side * 3).map(|index| first.wrapping_add(index as u8 * 7));
            let canvas = Canvas::new(side, bytes.collect());
            let mut turned = canvas.clone();
            for _ in 0..4 {
                Operation::Rotate(90.0).apply(&mut turned);
            }
            prop_assert_eq!(turned.rgb(), canvas.rgb());
        }

        #[test]
        fn a_translation_leaves_black_behind(columns in 1_i32..40, canvas in canvases()) {
            let [_, width] = canvas.size();
            let moved = applied(Operation::TranslateX(columns), &canvas);
            let columns = (columns as usize).min(width);
            let rows = moved.chunks_exact(width * 3).zip(canvas.rgb().chunks_exact(width * 3));
            for (moved, row) in rows {
                prop_assert!(moved[..columns * 3].iter().all(|&byte| byte == 0));
                prop_assert_eq!(&moved[columns * 3..], &row[..(width - columns) * 3]);
            }
        }
    }
}
