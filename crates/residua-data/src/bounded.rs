//! Reading as many bytes as a header promises, and no more.
//!
//! A header is only a claim. Memory is asked for once the file is known to be large enough for
//! what it claims, compressed or not; and what comes after the claim is noticed, not read.

use std::io::{self, Read};

/// The most bytes that the images of one file may have in memory: a bound on what a damaged or malicious
/// file can make us hold.
pub(crate) const MAX_BYTES: u64 = 8 << 30;

/// The longest side of an image. No data set of arrays comes near it.
pub(crate) const MAX_SIDE: u64 = 65_535;

/// The most images of a split. ImageNet-21k, the largest that is public, has 14 million.
pub(crate) const MAX_IMAGES: u64 = 1 << 24;

/// The most zeros and ones that say which classes the images of a split show. A one becomes a number
/// of 4 bytes, so that they are 1 GiB at most. COCO, with 80 classes, has 10 million, and the chest
/// radiographs of MedMNIST, with 14, have 1 million.
pub(crate) const MAX_INDICATORS: u64 = 1 << 28;

/// DEFLATE cannot expand more than this (zlib's "Technical Details", maximum compression factor).
const MAX_EXPANSION: u64 = 1_032;

/// Large images that unpack to more times what is stored of them are refused, though DEFLATE could do it:
/// a small file must not fill the memory. MNIST's unpack to 5 times as much, and photographs to less than 2.
pub(crate) const MAX_IMAGE_EXPANSION: u64 = 128;

/// Images of so many bytes are not large, however well they are compressed.
const SMALL_IMAGES: u64 = 64 << 20;

/// How the bytes of a file, or of a part of it, are stored, and how many are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored {
    /// As they are.
    Plain(u64),
    /// By DEFLATE.
    Deflated(u64),
}

impl Stored {
    /// How many bytes it can unpack to at most.
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Deflated(bytes) => bytes.saturating_mul(MAX_EXPANSION),
        }
    }

    /// What is stored, if so many bytes of images are suspiciously many for it.
    pub(crate) fn suspicious_for_images(self, unpacked: u64) -> Option<u64> {
        match self {
            Self::Deflated(bytes)
                if unpacked > SMALL_IMAGES
                    && unpacked > bytes.saturating_mul(MAX_IMAGE_EXPANSION) =>
            {
                Some(bytes)
            }
            _ => None,
        }
    }
}

/// Why there are not exactly as many bytes as expected.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// There are fewer.
    Short,
    /// There are more.
    Long,
    /// They cannot be read.
    Io(io::Error),
}

/// Reads exactly `expected` bytes, after which `reader` must be at its end.
pub(crate) fn read_exactly(reader: impl Read, expected: u64) -> Result<Vec<u8>, Misfit> {
    let mut bytes = Vec::new();
    reserve(&mut bytes, expected)?;
    visit_exactly(reader, expected, |part| bytes.extend_from_slice(part))?;
    Ok(bytes)
}

/// Room for `count` more bytes.
pub(crate) fn reserve(bytes: &mut Vec<u8>, count: u64) -> Result<(), Misfit> {
    let count = usize::try_from(count).map_err(|error| Misfit::Io(io::Error::other(error)))?;
    let reserved = bytes.try_reserve_exact(count);
    reserved.map_err(|_| Misfit::Io(io::ErrorKind::OutOfMemory.into()))
}

/// Hands over `expected` bytes in parts, each but the last of a multiple of 8 bytes, after which
/// `reader` must be at its end.
pub(crate) fn visit_exactly(
    mut reader: impl Read,
    expected: u64,
    mut visit: impl FnMut(&[u8]),
) -> Result<(), Misfit> {
    const PART: u64 = 1 << 16;
    let mut part = Vec::new();
    let mut left = expected;
    while left > 0 {
        part.clear();
        let wanted = left.min(PART);
        let found = { reader.by_ref().take(wanted) }.read_to_end(&mut part);
        if (found.map_err(Misfit::Io)? as u64) < wanted {
            return Err(Misfit::Short);
        }
        visit(&part);
        left -= wanted;
    }
    // A checksum, where there is one, is compared when the end is reached.
    let found = reader.take(1).read_to_end(&mut part);
    match found.map_err(Misfit::Io)? {
        0 => Ok(()),
        _ => Err(Misfit::Long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_promised_number_will_do() {
        let bytes: Vec<u8> = (0..200_001_u32).map(|index| (index % 251) as u8).collect();
        assert_eq!(read_exactly(&bytes[..], 200_001).unwrap(), bytes);
        assert!(matches!(
            read_exactly(&bytes[..], 200_002),
            Err(Misfit::Short)
        ));
        assert!(matches!(
            read_exactly(&bytes[..], 200_000),
            Err(Misfit::Long)
        ));
        assert!(matches!(read_exactly(&bytes[..], 0), Err(Misfit::Long)));
        assert_eq!(read_exactly(&[][..], 0).unwrap(), [0; 0]);
    }

    #[test]
    fn large_images_out_of_a_small_file_are_suspicious() {
        let deflated = Stored::Deflated(1 << 20);
        assert_eq!(deflated.most(), 1_032 << 20);
        assert_eq!(deflated.suspicious_for_images(128 << 20), None);
        let suspicious = deflated.suspicious_for_images((128 << 20) + 1);
        assert_eq!(suspicious, Some(1 << 20));
        assert_eq!(Stored::Deflated(1).suspicious_for_images(64 << 20), None);
        let plain = Stored::Plain(1 << 30);
        assert_eq!(plain.most(), 1 << 30);
        assert_eq!(plain.suspicious_for_images(1 << 30), None);
    }

    #[test]
    fn more_than_any_memory_is_an_error() {
        assert!(matches!(
            read_exactly(&[][..], u64::MAX),
            Err(Misfit::Io(_))
        ));
    }
}
