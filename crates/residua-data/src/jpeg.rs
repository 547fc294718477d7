//! Whether a JPEG file is complete.
//!
//! The decoder fills the missing part of a truncated file with grey and reports success,
//! which would train on half an image in silence. A complete file ends with an end-of-image
//! marker; finding it tells one from the other without decoding.

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const TEMPORARY: u8 = 0x01;
const RESTARTS: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;

/// Whether the markers of a JPEG file (ITU-T T.81, annex B) lead to its end-of-image marker.
///
/// Segments are skipped by their length, so that the thumbnail in one is not mistaken for the
/// image. Bytes that are no marker, such as the coded data of a scan, are passed over.
pub(crate) fn is_complete(file: &[u8]) -> bool {
    let mut rest = file;
    while let Some(start) = rest.windows(2).position(|pair| is_marker(pair[0], pair[1])) {
        let marker = rest[start + 1];
        rest = &rest[start + 2..];
        if marker == END_OF_IMAGE {
            return true;
        }
        if marker == START_OF_IMAGE || marker == TEMPORARY || RESTARTS.contains(&marker) {
            continue;
        }
        let Some(length) = rest.first_chunk::<2>() else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes(*length));
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

/// In coded data, 0xFF is followed by 0; before a marker, it may be repeated.
fn is_marker(first: u8, second: u8) -> bool {
    first == 0xFF && second != 0 && second != 0xFF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_image_counts() {
        let start = [0xFF, 0xD8];
        // An APP1 segment that contains an end-of-image marker, as a thumbnail does.
        let thumbnail = [0xFF, 0xE1, 0, 6, 0xFF, 0xD9, 1, 2];
        let scan = [0xFF, 0xDA, 0, 3, 7, 0xFF, 0, 0xFF, 0xD3, 5];
        let end = [0xFF, 0xFF, 0xD9];
        let whole = [&start[..], &thumbnail, &scan, &end, b"trailing"].concat();
        assert!(is_complete(&whole));
        for length in 0..start.len() + thumbnail.len() + scan.len() + end.len() {
            assert!(!is_complete(&whole[..length]), "{length} bytes");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(file in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            is_complete(&file);
        }
    }
}
