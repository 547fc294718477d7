//! Charts as pictures made of pixels.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};
use thiserror::Error;

/// The longest side of a picture, in pixels.
const LONGEST: u32 = 20_000;

/// The name by which the font's file calls it.
const FAMILY: &str = "Ubuntu";

/// The font of pictures. It is part of the program, so that the same chart has the same pixels on a
/// machine without fonts.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    // Charts end their lists of fonts with `sans-serif`.
    fonts.set_sans_serif_family(FAMILY);
    Arc::new(fonts)
});

/// Why a chart has no picture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The size is of no use.
    #[error(
        "a picture of {width} × {height} pixels cannot be made; \
         each side has at least 1 and at most {LONGEST} pixels"
    )]
    Size {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// The drawing was not understood, which is a mistake in this crate.
    #[error("the chart cannot be read as SVG: {0}")]
    Drawing(#[from] usvg::Error),
    /// The pixels could not be written as PNG.
    #[error("the picture cannot be written as PNG: {0}")]
    Encoding(String),
}

/// An SVG document as a PNG file of this width.
pub(super) fn png(svg: &str, width: u32) -> Result<Vec<u8>, PictureError> {
    let options = usvg::Options {
        fontdb: Arc::clone(&FONTS),
        font_family: FAMILY.to_owned(),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options)?;
    let scale = width as f32 / tree.size().width();
    // Saturates, and is then refused.
    let height = (tree.size().height() * scale).ceil() as u32;
    let bad_size = PictureError::Size { width, height };
    if width > LONGEST || height > LONGEST {
        return Err(bad_size);
    }
    let mut pixels = Pixmap::new(width, height).ok_or(bad_size)?;
    let transform = Transform::from_scale(scale, scale);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels
        .encode_png()
        .map_err(|failure| PictureError::Encoding(failure.to_string()))
}
