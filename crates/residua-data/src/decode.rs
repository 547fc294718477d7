//! Image files to pixels.
//!
//! Whatever the file holds becomes 8-bit RGB: 16 bits are scaled to 8 (divided by 257 and rounded,
//! so that white stays white), fewer than 8 are spread over the whole range, colours are looked up in
//! the palette, grey is repeated in all three channels, transparency (of an alpha channel, a palette
//! or a single colour) is composited onto white, since the colour stored under transparent pixels is
//! arbitrary, often black. The EXIF orientation is applied, and of an animation the first frame is
//! taken. The format is recognised by content, not by file name.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage};
use walkdir::WalkDir;

use crate::error::DataError;
use crate::jpeg;
use crate::panics::panic_message;
use crate::pixels::Pixels;

/// The endings of files that are taken for images, in lower case.
pub const IMAGE_EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// Larger images are refused before their pixels are decoded: 100 million pixels are 300 MB
/// of RGB, more than any camera for classification data delivers.
pub(crate) const MAX_PIXELS: u64 = 100_000_000;

/// Larger files are not read.
const MAX_FILE_BYTES: u64 = 1 << 29;

/// What a decoder may allocate besides, in bytes (16-bit RGBA of `MAX_PIXELS` would be 800 MB).
const MAX_DECODER_BYTES: u64 = 1 << 30;

/// Decodes an image file.
///
/// # Errors
/// [`DataError::Unreadable`] with the path and the decoder's reason, whatever is wrong with
/// the file; it never panics.
pub fn decode_file(path: &Path) -> Result<Pixels<'static>, DataError> {
    let unreadable = |reason: String| DataError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let bytes = read_limited(path).map_err(unreadable)?;
    decode(&bytes).map_err(unreadable)
}

/// Decodes an image that is already in memory, such as the body of a request.
///
/// # Errors
/// [`DataError::Unreadable`] with `name` in the place of the path.
pub fn decode_bytes(name: &str, bytes: &[u8]) -> Result<Pixels<'static>, DataError> {
    decode(bytes).map_err(|reason| DataError::Unreadable {
        path: PathBuf::from(name),
        reason,
    })
}

/// The image files in `path`, sorted by path: `path` itself if it is a file, otherwise all
/// below it with a known ending, hidden ones left out. Links are followed.
///
/// # Errors
/// If a folder cannot be read, or there is nothing at `path`.
pub fn list_images(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut images = Vec::new();
    let entries = WalkDir::new(path)
        .follow_links(true)
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
    for entry in entries {
        let entry = entry.map_err(|error| DataError::Read {
            path: error.path().unwrap_or(path).to_owned(),
            source: error.into(),
        })?;
        if entry.file_type().is_file() && (entry.depth() == 0 || has_image_extension(entry.path()))
        {
            images.push(entry.into_path());
        }
    }
    images.sort();
    Ok(images)
}

pub(crate) fn has_image_extension(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| {
            IMAGE_EXTENSIONS
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        })
}

pub(crate) fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn read_limited(path: &Path) -> Result<Vec<u8>, String> {
    let describe = |error: io::Error| error.to_string();
    let file = File::open(path).map_err(describe)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(describe)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("the file has more than {MAX_FILE_BYTES} bytes"));
    }
    Ok(bytes)
}

/// Decoders are meant to return errors for bad files; a panic in one is turned into such an
/// error, because one bad file among millions must not end a run.
fn decode(file: &[u8]) -> Result<Pixels<'static>, String> {
    catch_unwind(|| decode_unguarded(file))
        .unwrap_or_else(|panic| Err(format!("the decoder failed: {}", panic_message(&*panic))))
}

fn decode_unguarded(file: &[u8]) -> Result<Pixels<'static>, String> {
    let mut reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    match reader.format() {
        None => return Err("not a JPEG, PNG, WebP, BMP or GIF image".to_owned()),
        Some(ImageFormat::Jpeg) if !jpeg::is_complete(file) => {
            return Err("the JPEG file is truncated: it has no end-of-image marker".to_owned());
        }
        Some(_) => {}
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);

    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!(
            "{width} × {height} pixels; expected at most {MAX_PIXELS} in all"
        ));
    }
    // Damaged metadata do not make the pixels unreadable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    image.apply_orientation(orientation);

    let rgb = if image.color().has_alpha() {
        composite_on_white(&image.into_rgba8())
    } else {
        image.into_rgb8()
    };
    let (width, height) = rgb.dimensions();
    Pixels::new(height as usize, width as usize, rgb.into_raw())
        .ok_or_else(|| "the image has no pixels".to_owned())
}

fn composite_on_white(image: &RgbaImage) -> RgbImage {
    let mut rgb = RgbImage::new(image.width(), image.height());
    for (target, source) in rgb.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = source.0;
        let alpha = u32::from(alpha);
        target.0 = [red, green, blue].map(|channel| {
            let blended = u32::from(channel) * alpha + 255 * (255 - alpha);
            ((blended + 127) / 255) as u8
        });
    }
    rgb
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgba};

    use super::*;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_format_becomes_rgb() {
        let mut image = RgbImage::new(5, 3);
        for (index, pixel) in image.pixels_mut().enumerate() {
            pixel.0 = [index as u8 * 10, 100, 200];
        }
        let image = DynamicImage::from(image);
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let pixels = decode_bytes("test", &encoded(&image, format)).unwrap();
            assert_eq!((pixels.height(), pixels.width()), (3, 5));
            assert_eq!(pixels.rgb(), image.as_bytes(), "{format:?}");
        }
        for format in [ImageFormat::Jpeg, ImageFormat::Gif] {
            let pixels = decode_bytes("test", &encoded(&image, format)).unwrap();
            assert_eq!((pixels.height(), pixels.width()), (3, 5), "{format:?}");
        }
    }

    #[test]
    fn sixteen_bit_grey_is_scaled_and_repeated() {
        let grey = image::ImageBuffer::from_pixel(2, 1, Luma([0x8080_u16]));
        let bytes = encoded(&DynamicImage::ImageLuma16(grey), ImageFormat::Png);
        assert_eq!(decode_bytes("grey", &bytes).unwrap().rgb(), [0x80; 6]);
    }

    #[test]
    fn transparency_shows_white() {
        let mut image = RgbaImage::from_pixel(3, 1, Rgba([200, 0, 0, 255]));
        image.put_pixel(1, 0, Rgba([0, 0, 0, 0]));
        image.put_pixel(2, 0, Rgba([0, 0, 0, 128]));
        let bytes = encoded(&DynamicImage::from(image), ImageFormat::Png);
        assert_eq!(
            decode_bytes("alpha", &bytes).unwrap().rgb(),
            [200, 0, 0, 255, 255, 255, 127, 127, 127]
        );
    }

    #[test]
    fn exif_orientation_is_applied() {
        let image = DynamicImage::from(RgbImage::new(4, 2));
        let jpeg = encoded(&image, ImageFormat::Jpeg);
        // An APP1 segment with one EXIF tag: orientation 6, a quarter turn clockwise.
        let exif = b"\xFF\xE1\x00\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let turned = [&jpeg[..2], exif, &jpeg[2..]].concat();
        let pixels = decode_bytes("turned", &turned).unwrap();
        assert_eq!((pixels.height(), pixels.width()), (4, 2));
    }

    #[test]
    fn a_huge_image_is_refused_before_it_is_decoded() {
        // The header of a BMP that claims 100,000 × 100,000 pixels.
        let mut bomb = vec![0_u8; 54];
        bomb[..2].copy_from_slice(b"BM");
        bomb[10] = 54;
        bomb[14] = 40;
        bomb[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
        bomb[22..26].copy_from_slice(&60_000_u32.to_le_bytes());
        bomb[26] = 1;
        bomb[28] = 24;
        let message = decode_bytes("bomb.bmp", &bomb).unwrap_err().to_string();
        assert_eq!(
            message,
            "bomb.bmp: unreadable image: 60000 × 60000 pixels; expected at most 100000000 in all"
        );
    }

    #[test]
    fn other_files_say_what_was_expected() {
        let message = decode_bytes("notes.jpg", b"hello").unwrap_err().to_string();
        assert_eq!(
            message,
            "notes.jpg: unreadable image: not a JPEG, PNG, WebP, BMP or GIF image"
        );
    }

    #[test]
    fn a_truncated_file_is_unreadable() {
        let mut image = RgbImage::new(64, 64);
        for (index, pixel) in image.pixels_mut().enumerate() {
            pixel.0 = [(index * 37) as u8, (index * 11) as u8, (index / 3) as u8];
        }
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
            ImageFormat::Bmp,
            ImageFormat::WebP,
        ] {
            let bytes = encoded(&DynamicImage::from(image.clone()), format);
            let half = &bytes[..bytes.len() / 2];
            assert!(decode_bytes("half", half).is_err(), "{format:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_images_never_panic(position in 0_usize..200, byte: u8, length in 0_usize..400) {
            for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP] {
                let mut bytes = encoded(&DynamicImage::from(RgbImage::new(6, 6)), format);
                let position = position % bytes.len();
                bytes[position] = byte;
                bytes.truncate(length);
                let _ = decode_bytes("damaged", &bytes);
            }
        }
    }
}
