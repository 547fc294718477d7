//! Decoded images.

use std::borrow::Cow;

/// A decoded RGB image: `[height, width, 3]`, one byte a channel, row after row.
///
/// It borrows its pixels where they are already in memory (CIFAR-10) and owns them where they
/// were just decoded from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels<'a> {
    height: usize,
    width: usize,
    rgb: Cow<'a, [u8]>,
}

impl<'a> Pixels<'a> {
    /// An image of `height` × `width` pixels; `rgb` is `[height, width, 3]`.
    ///
    /// `None` if a side is 0 or the number of bytes is not `height * width * 3`.
    pub fn new(height: usize, width: usize, rgb: impl Into<Cow<'a, [u8]>>) -> Option<Self> {
        let rgb = rgb.into();
        let bytes = height.checked_mul(width)?.checked_mul(3)?;
        (bytes > 0 && bytes == rgb.len()).then_some(Self { height, width, rgb })
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The bytes, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The same image with its own copy of the bytes.
    pub fn into_owned(self) -> Pixels<'static> {
        Pixels {
            height: self.height,
            width: self.width,
            rgb: Cow::Owned(self.rgb.into_owned()),
        }
    }
}

/// Brightness of a colour (ITU-R BT.601), rounded as Pillow does it.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let weighted =
        19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue) + 0x8000;
    (weighted >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_must_fill_the_shape() {
        assert!(Pixels::new(2, 1, vec![0; 6]).is_some());
        assert!(Pixels::new(2, 1, vec![0; 5]).is_none());
        assert!(Pixels::new(0, 1, vec![]).is_none());
        assert!(Pixels::new(usize::MAX, 2, vec![]).is_none());
    }
}
