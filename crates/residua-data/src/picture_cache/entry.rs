//! One picture in a file.
//!
//! ```text
//! form      8 bytes
//! key       16 bytes, what the picture was made from
//! height    4 bytes, little endian as all numbers
//! width     4 bytes
//! checksum  8 bytes, XXH3 of all of the above and of the pixels
//! pixels    height × width × 3 bytes, row by row
//! ```
//!
//! The pixels are stored as they are, because a cache is there to save time. Of photograph-like
//! pictures of 256×341 pixels, reading and checking plain bytes took 0.02 ms, QOI 0.45 and the fastest
//! PNG 0.67, where cropping and scaling afterwards takes 0.1; and they saved no more than 14 % and 20 %
//! of the space.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use residua_core::atomic_file;
use xxhash_rust::xxh3::Xxh3;

use crate::pixels::Pixels;

const FORM: [u8; 8] = *b"RESPIX01";
const HEADER_BYTES: usize = 40;
/// Where the checksum stands in the header.
const CHECKSUM: std::ops::Range<usize> = 32..40;

/// What a picture was made from, as a number.
pub(super) type Key = u128;

/// The picture, if there is a whole one made from this; whatever else is there counts as nothing.
pub(super) fn read(path: &Path, key: Key) -> Option<Pixels<'static>> {
    let mut file = File::open(path).ok()?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).ok()?;
    let side = |at: usize| {
        let bytes = header[at..at + 4].try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let (height, width) = (side(24)?, side(28)?);
    // A damaged header must not ask for gigabytes: the file is as long as it says, or no picture.
    let length = height.checked_mul(width)?.checked_mul(3)?;
    let whole = (length as u64).checked_add(HEADER_BYTES as u64)?;
    if file.metadata().ok()?.len() != whole {
        return None;
    }
    let mut rgb = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut rgb).ok()?;
    let pixels = Pixels::new(height, width, rgb)?;
    (header == self::header(key, &pixels)).then_some(pixels)
}

/// Writes the picture; a file that is there already is replaced.
pub(super) fn write(path: &Path, key: Key, pixels: &Pixels<'_>) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + pixels.rgb().len());
    bytes.extend(header(key, pixels));
    bytes.extend(pixels.rgb());
    atomic_file::replace_unsynced(path, &bytes)
}

fn header(key: Key, pixels: &Pixels<'_>) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&FORM);
    header[8..24].copy_from_slice(&key.to_le_bytes());
    header[24..28].copy_from_slice(&(pixels.height() as u32).to_le_bytes());
    header[28..32].copy_from_slice(&(pixels.width() as u32).to_le_bytes());
    let mut checksum = Xxh3::new();
    checksum.update(&header[..CHECKSUM.start]);
    checksum.update(pixels.rgb());
    header[CHECKSUM].copy_from_slice(&checksum.digest().to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn picture() -> Pixels<'static> {
        let rgb: Vec<u8> = (0..5 * 7 * 3).map(|index| (index * 11) as u8).collect();
        Pixels::new(5, 7, rgb).unwrap()
    }

    #[test]
    fn a_picture_reads_back_by_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        assert_eq!(read(&path, 1), None);
        write(&path, 1, &picture()).unwrap();
        assert_eq!(read(&path, 1), Some(picture()));
        assert_eq!(read(&path, 2), None);
    }

    /// If this fails, caches are of another form: count [`FORM`] up rather than adapt the numbers.
    #[test]
    fn the_form_does_not_change() {
        let header = header(0x0102, &picture());
        assert_eq!(&header[..8], b"RESPIX01");
        assert_eq!(header[8..12], [2, 1, 0, 0]);
        assert_eq!(header[24..32], [5, 0, 0, 0, 7, 0, 0, 0]);
        // From the Python package xxhash: xxh3_64_intdigest(header[:32] + pixels).
        assert_eq!(header[CHECKSUM], CHECKSUM_OF_THE_PICTURE.to_le_bytes());
    }

    const CHECKSUM_OF_THE_PICTURE: u64 = 11_135_637_492_021_245_823;

    #[test]
    fn no_damage_goes_unnoticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        write(&path, 1, &picture()).unwrap();
        let whole = fs::read(&path).unwrap();
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(read(&path, 1), None, "byte {index}");
            fs::write(&path, &whole[..index]).unwrap();
            assert_eq!(read(&path, 1), None, "{index} bytes");
        }
        fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
        assert_eq!(read(&path, 1), None);
    }
}
