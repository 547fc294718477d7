//! Resizing as Pillow does it.

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, IntoImageView, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::pixels::Pixels;

/// A rectangle of pixels inside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// Columns, at least 1.
    pub width: usize,
}

impl Rectangle {
    /// All of an image of this size.
    pub fn whole(height: usize, width: usize) -> Self {
        Self {
            top: 0,
            left: 0,
            height,
            width,
        }
    }

    /// The rectangle of `height` × `width` pixels in the middle of a larger one; an odd pixel
    /// more is left at the top or left as torchvision's `CenterCrop` does (half to even).
    pub fn centred(outer: [usize; 2], [height, width]: [usize; 2]) -> Self {
        let middle = |outer: usize, inner: usize| {
            let margin = outer.saturating_sub(inner);
            (margin as f64 / 2.0).round_ties_even() as usize
        };
        Self {
            top: middle(outer[0], height),
            left: middle(outer[1], width),
            height,
            width,
        }
    }
}

/// Results with more pixels than this are refused.
const MAX_PIXELS: usize = 1 << 28;

/// Scales the part `area` of an image to `height` × `width` pixels, bilinear with
/// antialiasing. Pixels outside `area` have no influence.
///
/// The result is Pillow's, except that a few values in a hundred differ by 1 of 255: the
/// filter's coefficients have 16 bits here and 22 there.
///
/// `None` if `area` does not lie in the image, a side is 0, or the result (or the image between
/// the two passes) would have more than 2^28 pixels.
pub fn resize(
    image: &Pixels<'_>,
    area: Rectangle,
    [height, width]: [usize; 2],
) -> Option<Pixels<'static>> {
    let source = ImageRef::new(
        side(image.width())?,
        side(image.height())?,
        image.rgb(),
        PixelType::U8x3,
    )
    .ok()?;
    let area_view = CroppedImage::new(
        &source,
        side(area.left)?,
        side(area.top)?,
        side(area.width)?,
        side(area.height)?,
    )
    .ok()?;
    // The library would scale columns first; Pillow scales rows first, and rounds to 8 bits
    // in between, so the order can be seen in the result.
    let wide = scale(&area_view, [area.height, width])?;
    let scaled = scale(&wide, [height, width])?;
    Pixels::new(height, width, scaled.into_vec())
}

fn scale(source: &impl IntoImageView, [height, width]: [usize; 2]) -> Option<Image<'static>> {
    if height.checked_mul(width)? > MAX_PIXELS {
        return None;
    }
    let mut target = Image::new(side(width)?, side(height)?, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(source, &mut target, &options).ok()?;
    Some(target)
}

fn side(length: usize) -> Option<u32> {
    u32::try_from(length).ok()
}
