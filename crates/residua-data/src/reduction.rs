//! Bringing large pictures to a smaller size before anything else is done to them.
//!
//! JPEG files are decoded in full before. The decoder that we use cannot decode at a half, a quarter or
//! an eighth of the size. `jpeg-decoder` can, and was measured against it, both with the reduction to 256
//! pixels, at the smallest scale of at least twice that: 2.6 ms against 1.5 for 500×375 pixels, 21
//! against 20 for 2000×1500, 57 to 79 against 120 for 4000×3000, but 226 against 191 where that file is
//! progressive. A second decoder, with pixels of its own, is too much for that where a cache decodes
//! each picture once.

use crate::pixels::Pixels;
use crate::resize::{Rectangle, resize};
use crate::transform::TransformError;

/// An image whose shorter side has more than `shorter_side` pixels, reduced until it has as many;
/// `None` for any other, which stays as it is.
pub(crate) fn reduced(
    image: &Pixels<'_>,
    shorter_side: usize,
) -> Result<Option<Pixels<'static>>, TransformError> {
    let size = [image.height(), image.width()];
    reduced_size(size, shorter_side)
        .map(|to| scaled(image, Rectangle::whole(size[0], size[1]), to))
        .transpose()
}

/// `area` of an image in another size.
pub(crate) fn scaled(
    image: &Pixels<'_>,
    area: Rectangle,
    [height, width]: [usize; 2],
) -> Result<Pixels<'static>, TransformError> {
    resize(image, area, [height, width]).ok_or(TransformError::Scale {
        height: image.height(),
        width: image.width(),
        scaled_height: height,
        scaled_width: width,
    })
}

/// The longer side is rounded down, as torchvision's `Resize` does.
fn reduced_size([height, width]: [usize; 2], shorter_side: usize) -> Option<[usize; 2]> {
    let shorter = height.min(width);
    (shorter > shorter_side).then(|| [height, width].map(|side| side * shorter_side / shorter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_torchvisions() {
        // As `torchvision.transforms.v2.functional.resize(image, [256])` has them.
        let cases = [
            ([375, 500], Some([256, 341])),
            ([500, 375], Some([341, 256])),
            ([3000, 4000], Some([256, 341])),
            ([257, 9000], Some([256, 8964])),
            ([1000, 1000], Some([256, 256])),
            ([256, 300], None),
            ([100, 9000], None),
        ];
        for (size, expected) in cases {
            assert_eq!(reduced_size(size, 256), expected, "{size:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_was_reduced_is_not_reduced_again(
            height in 1_usize..5_000, width in 1_usize..5_000, shorter_side in 1_usize..600,
        ) {
            if let Some([high, wide]) = reduced_size([height, width], shorter_side) {
                assert_eq!(high.min(wide), shorter_side);
                assert_eq!(reduced_size([high, wide], shorter_side), None);
            }
        }
    }
}
